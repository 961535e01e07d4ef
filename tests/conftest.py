"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of weights that `scripts/test.sh` has filled."""
    folder = os.environ.get("VIVAVOCE_MODELS_DIR")
    return Path(folder) if folder else Path.home() / ".cache" / "vivavoce"


@pytest.fixture(scope="session")
def audio_dir() -> Path:
    return Path(__file__).parent / "audio"
