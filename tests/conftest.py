"""Fixtures that every test may use, and what holds for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.loop_watch import LIMIT_MS, is_supported, watching_loops

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=125)
settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"may_block_loop: may hold an event loop up for over {LIMIT_MS} ms"
    )


WATCHED = ("conversation", "protocols", "test_loop_watch.py")
"""Where the loop is a server's; elsewhere a test may poll processes and files in its own."""


@pytest.fixture(autouse=True)
def _loops_are_not_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which a callback held its event loop up."""
    watched = request.path.relative_to(Path(__file__).parent).parts[0] in WATCHED
    exempt = request.node.get_closest_marker("may_block_loop") is not None
    if not watched or exempt or not is_supported():
        yield
        return
    with watching_loops() as stalls:
        yield
    if stalls:
        pytest.fail("the event loop was held up: " + "; ".join(stalls[:3]), pytrace=False)


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of weights that `scripts/test.sh` has filled."""
    folder = os.environ.get("VIVAVOCE_MODELS_DIR")
    return Path(folder) if folder else Path.home() / ".cache" / "vivavoce"


@pytest.fixture(scope="session")
def audio_dir() -> Path:
    return Path(__file__).parent / "audio"
