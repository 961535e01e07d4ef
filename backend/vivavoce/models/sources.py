"""What every source of weights has in common."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.filesize import decimal

from vivavoce.errors import VivavoceError, WeightsUnavailable

SPARE_BYTES = 64 * 1024 * 1024
"""Left free on the disk beside what a fetch needs."""


class SourceUnavailable(VivavoceError):
    """This source cannot give the files; the next one may."""

    code = "weights_unavailable"
    http_status = 503


def require_space(folder: Path, n_bytes: int) -> None:
    """Raise WeightsUnavailable unless the disk of `folder` has room for `n_bytes` more."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes + SPARE_BYTES:
        raise WeightsUnavailable(
            f"the disk of {folder} has {decimal(free)} free and the download needs "
            f"{decimal(n_bytes + SPARE_BYTES)}: free some space, or choose another models_dir"
        )
