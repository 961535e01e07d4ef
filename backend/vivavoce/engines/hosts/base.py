"""What every host shares: its limits, its states, its streams and who may watch it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vivavoce.engines.interfaces import ServiceClass
from vivavoce.errors import ConfigurationError


class HostState(StrEnum):
    NEW = "new"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    CLOSED = "closed"


TRANSITIONS: dict[HostState, frozenset[HostState]] = {
    HostState.NEW: frozenset({HostState.STARTING, HostState.CLOSED}),
    HostState.STARTING: frozenset({HostState.READY, HostState.FAILED, HostState.CLOSED}),
    HostState.READY: frozenset({HostState.RESTARTING, HostState.FAILED, HostState.CLOSED}),
    HostState.RESTARTING: frozenset({HostState.READY, HostState.CLOSED}),
    HostState.FAILED: frozenset({HostState.CLOSED}),
    HostState.CLOSED: frozenset(),
}


class Outcome(StrEnum):
    """How a job ended for the one who asked."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class HostLimits:
    """Every number that bounds a host.

    workers: jobs that run at once. batch_workers: how many of them may be BATCH, by default all
    but one, so that a file never takes the last worker (with a single worker it must).
    queue: jobs that wait. streams: streams that are open. chunks: of one synthesis, made but not
    yet taken. start_ms: for the engine to be built. grace_ms: how long a job may go on after its
    deadline before its worker counts as hung. stall_ms: how long a reader may leave a full buffer.
    close_ms: for running jobs to end at close.
    """

    workers: int = 1
    batch_workers: int | None = None
    queue: int = 64
    streams: int = 1024
    chunks: int = 8
    start_ms: int = 120_000
    grace_ms: int = 500
    stall_ms: int = 15_000
    close_ms: int = 2_000

    def __post_init__(self) -> None:
        for name in ("workers", "queue", "streams", "chunks", "start_ms", "stall_ms"):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"a host's {name} is {getattr(self, name)}, it must be at least 1", param=name
                )
        if self.batch_workers is not None and not 1 <= self.batch_workers <= self.workers:
            raise ConfigurationError(
                f"batch_workers is {self.batch_workers}, it must lie between 1 and the "
                f"{self.workers} workers",
                param="batch_workers",
            )

    @property
    def batch_at_once(self) -> int:
        return self.batch_workers or max(1, self.workers - 1)


class HostObserver:
    """Watches a host without touching it; override what is of interest.

    Called on the event loop, on the hot path: return at once and never raise.
    """

    def state_changed(self, host: str, state: HostState) -> None: ...

    def queued(self, host: str, service_class: ServiceClass, depth: int) -> None:
        """A job joined the queue, which now has `depth` of them."""

    def started(self, host: str, service_class: ServiceClass, wait_ms: float) -> None:
        """A worker has taken a job that waited so long."""

    def ended(
        self, host: str, service_class: ServiceClass, outcome: Outcome, run_ms: float
    ) -> None:
        """The one who asked has got an answer, or left; run_ms is 0 if the job never began."""


class Handle:
    """An open stream of an engine: given out by `Host.open`, taken back by `Host.release`."""

    __slots__ = ("busy", "known", "lost", "number", "released")

    def __init__(self, number: int) -> None:
        self.number = number
        self.known = False
        """The engine has been asked to open it."""
        self.busy = False
        """A call on it is running."""
        self.released = False
        """Its owner has let go of it."""
        self.lost = ""
        """Why the engine no longer has this stream; "" while it does."""
