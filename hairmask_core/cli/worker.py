"""hairmask worker: the server that the plug-in starts."""

from __future__ import annotations

from pathlib import Path

from ..server.server import serve
from .common import make_parser


def run(args) -> int:
    """Serve until nobody asks any more. Returns the exit status."""
    return serve(args.directory, args.idle_seconds)


def add_parser(commands) -> None:
    """Add the command to the subparsers of `hairmask`."""
    parser = make_parser(
        commands.add_parser,
        "Serve GIMP. The plug-in starts this by itself.",
        """
        hairmask worker --directory ~/.cache/hair-recolor/worker
        """,
        name="worker",
    )
    parser.add_argument(
        "--directory", type=Path, required=True, metavar="DIR", help="private folder for socket and pixels"
    )
    parser.add_argument(
        "--idle-seconds", type=float, default=600, metavar="S", help="end after so long without work (default 600)"
    )
    parser.set_defaults(command=run)
