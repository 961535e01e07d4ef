"""The Node packages of the client tests, installed on first use."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "node"


@cache
def node() -> str | None:
    """The path of the Node binary, its packages installed; None where there is no Node."""
    binary, npm = shutil.which("node"), shutil.which("npm")
    if binary is None or npm is None:
        return None
    installed = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=FOLDER, check=True)
    return binary
