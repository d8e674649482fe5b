"""What was looked at and whether it is well: the rows of `hairmask info` and of `install.py --doctor`.

Standard library only: the installer reads this with a bare Python.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OK, NOTE, FAILED = "ok", "note", "FAILED"  # states of a check, as they are printed

MARK = "hair-recolor.complete"  # the file in an environment that install.py has made
# Whether this came as a package, with its installer inside, into an environment that somebody else has made.
IS_PACKAGE = (Path(__file__).parent / "installer").is_dir() and not Path(sys.prefix, MARK).exists()
# What to run, to install again and where something is damaged.
INSTALL_COMMAND = "hairmask gimp install" if IS_PACKAGE else "python3 install.py"
REPAIR_COMMAND = "pipx reinstall hairmask, then hairmask gimp install" if IS_PACKAGE else INSTALL_COMMAND


@dataclass(frozen=True)
class Check:
    """One row. state: OK, FAILED, or NOTE for what is neither. remedy: what to do, where it failed."""

    state: str
    name: str
    finding: str
    remedy: str = ""


def all_well(checks: Iterable[Check]) -> bool:
    return all(check.state != FAILED for check in checks)


def format_checks(checks: list[Check], width: int | None = None) -> str:
    """The rows as a table of three columns, each remedy below its row.

    width: of the lines, characters; by default the terminal's.
    """
    width = max(width or shutil.get_terminal_size((120, 24)).columns, 60)
    longest = max((len(check.name) for check in checks), default=0)
    blank = " " * (len(FAILED) + longest + 4)
    lines = []
    for check in checks:
        start = f"{check.state:{len(FAILED)}}  {check.name:{longest}}  "
        lines += _wrap(check.finding, start, blank, width)
        if check.remedy:
            lines += _wrap(check.remedy, f"{blank}-> ", f"{blank}   ", width)
    return "\n".join(lines)


def _wrap(text: str, start: str, blank: str, width: int) -> list[str]:
    # Paths and commands stay whole, so that they can be copied.
    return textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=blank, break_long_words=False, break_on_hyphens=False
    ) or [start.rstrip()]
