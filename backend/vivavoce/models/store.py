"""The store of weights: `<models_dir>/<id>/<file>`, fetched once, verified, then used offline."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.filesize import decimal

from vivavoce.errors import WeightsUnavailable
from vivavoce.models.catalogue import (
    Catalogue,
    HubSource,
    ModelEntry,
    ModelFile,
    Source,
    load_catalogue,
)
from vivavoce.models.hub import Hub
from vivavoce.models.integrity import Fault, Stamps, find_fault
from vivavoce.models.progress import SilentProgress, TransferProgress
from vivavoce.models.sources import SourceUnavailable
from vivavoce.models.wheels import PackageIndex

LOCK_TIMEOUT_S = 3600.0
"""How long to wait for another process that fetches the same model."""


class ModelStore:
    """Finds, fetches, verifies and removes weights; safe with several processes at once.

    models_dir: where weights are kept and fetched to. offline_dir: a second folder of the same
    layout that is only read, used in place when it has a whole model. A file put there by hand is
    as good as a fetched one: it is hashed on first use and from then on known by size and time.
    """

    def __init__(
        self,
        models_dir: Path,
        *,
        offline_dir: Path | None = None,
        progress: TransferProgress | None = None,
        catalogue: Catalogue | None = None,
        hub: Hub | None = None,
        index: PackageIndex | None = None,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        self.models_dir = models_dir.expanduser().absolute()
        self.offline_dir = offline_dir.expanduser().absolute() if offline_dir else None
        self.catalogue = catalogue or load_catalogue()
        self._progress = progress or SilentProgress()
        self._hub = hub or Hub()
        self._index = index or PackageIndex()
        self._lock_timeout_s = lock_timeout_s

    def path(self, model_id: str) -> Path:
        """The folder of a model whose files are all there and right.

        Uses no network. Raises WeightsUnavailable with each missing or corrupt file, its sha256
        and what to do; NotFound for an unknown id.
        """
        return self.verify(model_id, deep=False)

    def verify(self, model_id: str, *, deep: bool = True) -> Path:
        """Like `path`, but hash every byte again (deep) whatever is remembered."""
        model = self.catalogue[model_id]
        found = []
        for folder in self._folders(model):
            found.append(self._faults(model, folder, deep=deep))
            if not found[-1]:
                return folder
        raise self._unavailable(model, found[0])

    def faults(self, model_id: str, *, deep: bool = False) -> list[Fault]:
        """What is wrong with a model; empty when some folder has all of it."""
        model = self.catalogue[model_id]
        found = [self._faults(model, folder, deep=deep) for folder in self._folders(model)]
        return [] if [] in found else found[0]

    def installed(self) -> list[str]:
        """Ids of the models whose files all have the right size; nothing is hashed."""
        return [
            model.id
            for model in self.catalogue.models
            if any(
                all(_size(folder / file.name) == file.n_bytes for file in model.files)
                for folder in self._folders(model)
            )
        ]

    def ensure(self, model_id: str) -> Path:
        """The folder of a model, fetched first if need be.

        Raises WeightsUnavailable when no source could give it; what was downloaded is kept, and
        the next call goes on from there.
        """
        model = self.catalogue[model_id]
        if not self.faults(model_id):
            return self.path(model_id)
        with self._locked(model):
            if self.faults(model_id):  # else another process has fetched it meanwhile
                self._fetch(model)
        return self.path(model_id)

    def remove(self, model_id: str) -> int:
        """Delete a model and what is left of its downloads from models_dir; return the bytes."""
        model = self.catalogue[model_id]
        n_bytes = 0
        with self._locked(model):
            for folder in (self._home(model), self._partial(model)):
                n_bytes += sum(_size(path) or 0 for path in folder.rglob("*"))
                if folder.exists():
                    shutil.rmtree(folder)
            for file in model.files:
                self._stamps(model).forget(self._home(model) / file.name)
        return n_bytes

    # ── one model ─────────────────────────────────────────────────────────────────────────────

    def _fetch(self, model: ModelEntry) -> None:
        home, partial = self._home(model), self._partial(model)
        wanted = [fault.file for fault in self._faults(model, home)]
        reasons: list[str] = []
        try:
            home.mkdir(parents=True, exist_ok=True)
            partial.mkdir(parents=True, exist_ok=True)
            for source in model.sources:
                if not wanted:
                    break
                try:
                    for file, path in self._offer(source, tuple(wanted), partial):
                        self._install(model, file, path)
                        wanted.remove(file)
                except SourceUnavailable as error:
                    reasons.append(error.message)
                    follows = "; trying the next source" if source != model.sources[-1] else ""
                    self._progress.say(f"{model.id}: {error.message}{follows}")
        except OSError as error:
            raise WeightsUnavailable(f"cannot store {model.id}: {error}") from error
        if wanted:
            raise self._unavailable(model, self._faults(model, home), reasons)
        shutil.rmtree(partial)

    def _offer(
        self, source: Source, wanted: Sequence[ModelFile], into: Path
    ) -> Iterator[tuple[ModelFile, Path]]:
        if isinstance(source, HubSource):
            return self._hub.fetch(source, wanted, into, self._progress)
        return self._index.fetch(source, wanted, into, self._progress)

    def _install(self, model: ModelEntry, file: ModelFile, path: Path) -> None:
        target = self._home(model) / file.name
        path.replace(target)
        self._stamps(model).record(target, file.sha256)

    def _faults(self, model: ModelEntry, folder: Path, *, deep: bool = False) -> list[Fault]:
        stamps = self._stamps(model)
        found = (find_fault(f, folder / f.name, stamps, deep=deep) for f in model.files)
        return [fault for fault in found if fault is not None]

    @contextmanager
    def _locked(self, model: ModelEntry) -> Iterator[None]:
        path = self.models_dir / ".locks" / f"{model.id}.lock"
        lock = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self._progress.say(f"{model.id}: another process is at work on it; waiting")
                lock.acquire(timeout=self._lock_timeout_s)
        except Timeout as error:
            raise WeightsUnavailable(
                f"another process has held {path} for over {self._lock_timeout_s:.0f} s"
            ) from error
        except OSError as error:
            raise WeightsUnavailable(f"cannot write to {self.models_dir}: {error}") from error
        try:
            yield
        finally:
            lock.release()

    # ── where things lie ──────────────────────────────────────────────────────────────────────

    def _home(self, model: ModelEntry) -> Path:
        return self.models_dir / model.id

    def _partial(self, model: ModelEntry) -> Path:
        return self.models_dir / ".partial" / model.id

    def _folders(self, model: ModelEntry) -> list[Path]:
        return [self._home(model), *([self.offline_dir / model.id] if self.offline_dir else [])]

    def _stamps(self, model: ModelEntry) -> Stamps:
        return Stamps(self.models_dir / ".verified" / f"{model.id}.json")

    def _unavailable(
        self, model: ModelEntry, faults: Sequence[Fault], reasons: Sequence[str] = ()
    ) -> WeightsUnavailable:
        lines = [f"the weights of {model.id} are not complete:"]
        for fault in faults:
            lines += [
                f"  {fault.path}: {fault.reason}",
                f"    wanted: {decimal(fault.file.n_bytes)}, sha256 {fault.file.sha256}",
                f"    by hand: {fault.file.origin}",
            ]
        lines += [f"  tried: {reason}" for reason in reasons]
        lines.append(f"Run `vivavoce models pull {model.id}`, or put the files there yourself.")
        return WeightsUnavailable("\n".join(lines), param=model.id)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
