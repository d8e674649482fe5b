"""The photos that figures are reported on: those whose stem's CRC-32 is divisible by 10; training skips them."""

from __future__ import annotations

import zlib
from pathlib import Path

from hairmask_core.evaluation.evaluate import find_pairs


def held_out_pairs(data: Path, name: str) -> list[tuple[Path, Path]]:
    """Photos and masks of one data set, DATA/NAME/{images,masks}, sorted by stem. Raises PhotoError as `find_pairs`."""
    pairs = find_pairs(data / name / "images", data / name / "masks")
    return [pair for pair in pairs if zlib.crc32(pair[0].stem.encode()) % 10 == 0]
