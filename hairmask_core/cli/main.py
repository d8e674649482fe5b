"""The command line: hairmask mask | recolor | heatmap | evaluate | worker | info | gimp."""

from __future__ import annotations

import argparse
import sys

from .. import __version__
from ..errors import HairmaskError
from . import evaluate, gimp, heatmap, info, mask, recolor, worker
from .common import EXIT_FAILED, EXIT_INTERRUPTED, complain, complain_of, make_parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 wrong usage, 3 no hair found, 130 interrupted."""
    args = build_parser().parse_args(arguments)
    try:
        return args.command(args)
    except HairmaskError as error:
        return complain_of(error)
    except MemoryError:
        return complain("There is not enough memory for this photo: close other programs or scale the photo down.")
    except KeyboardInterrupt:
        return complain("Interrupted: nothing more was written.", EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, `head` for example, has enough
        sys.stderr.close()
        return EXIT_FAILED


def build_parser() -> argparse.ArgumentParser:
    """The whole command line with its help."""
    parser = make_parser(
        argparse.ArgumentParser,
        "Find the hair in photos and recolor it.",
        """
        hairmask recolor portrait.jpg --shade copper -o copper.png
        hairmask mask portrait.jpg -o mask.png
        hairmask info
        """,
        prog="hairmask",
    )
    parser.add_argument("--version", action="version", version=f"hairmask {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (mask, recolor, heatmap, evaluate, worker, info, gimp):
        command.add_parser(commands)
    return parser
