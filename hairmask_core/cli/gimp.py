"""hairmask gimp: the plug-in into GIMP's folders, for a hairmask that was installed as a package."""

from __future__ import annotations

from importlib import import_module

from ..errors import UsageError
from .common import make_parser


def run(args) -> int:
    """Put the plug-in into GIMP, look whether it works, or remove it. Returns the exit status."""
    try:
        installer = import_module("hairmask_core.installer.main")  # in the wheel only; in the source it lies beside
    except ModuleNotFoundError as error:
        raise UsageError(
            "This hairmask runs from its source: run python3 install.py there, which does this."
        ) from error
    return installer.run_action(args.action)


def add_parser(commands) -> None:
    """Add the command to the subparsers of `hairmask`."""
    parser = make_parser(
        commands.add_parser,
        "Put Filters > Hair > Recolor… into GIMP, with the environment that this hairmask runs in.",
        """
        hairmask gimp install       (or repair, or update)
        hairmask gimp doctor        (look whether everything works, and say what to do about what does not)
        hairmask gimp uninstall     (take it out of GIMP; hairmask itself stays)
        """,
        name="gimp",
    )
    parser.add_argument("action", choices=["install", "doctor", "uninstall"])
    parser.set_defaults(command=run)
