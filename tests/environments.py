"""What tests do to environments of Python's that they have made."""

from __future__ import annotations

import shutil
from pathlib import Path


def take_compiled(source: Path, target: Path) -> None:
    """Copy what Numba has compiled of the product from one environment's site-packages to another's that has the product too.

    Numba takes it where source, Numba, Python and processor are the same; to compile it anew takes 20 seconds.
    """
    for path in source.glob("hairmask_core/*/__pycache__/*.nb?"):
        kept = target / path.relative_to(source)
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(path, kept)
