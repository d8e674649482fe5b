"""What is in a folder, to compare it with what was in it before.

Files are told by digests, and differences by paths alone: pytest, asked to show how one environment of Python's differs from
another, byte by byte, takes an hour and all memory.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def tree(folder: Path) -> dict[Path, str | None]:
    """All files and folders in it by their paths, with a digest of what is in the files."""
    return {path.relative_to(folder): digest(path) for path in folder.rglob("*")}


def digest(path: Path) -> str | None:
    """SHA-256 of a file; None for anything else."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def changed(before: dict[Path, str | None], after: dict[Path, str | None]) -> list[str]:
    """The paths in which two trees differ."""
    return sorted({str(path) for path, _ in before.items() ^ after.items()})
