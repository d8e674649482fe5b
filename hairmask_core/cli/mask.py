"""hairmask mask: the hair probability of photos as gray images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..photo.files import write_image
from ..photo.pixels import from_float
from ..pipeline import find_matte
from .common import add_photos, for_each_photo, look_for_hair, make_parser, start_model


def run(args) -> int:
    """Write the hair probability of every photo. Returns the exit status."""
    model = start_model(args)

    def one(path: Path, outputs: dict[str, Path]) -> None:
        _, hair = look_for_hair(path, lambda photo: find_matte(photo, model, refine=not args.raw), args.force)
        write_image(outputs["output"], from_float(hair.matte, np.uint16 if args.raw else np.uint8))

    return for_each_photo(args, {"output": args.output}, one)


def add_parser(commands) -> None:
    """Add the command to the subparsers of `hairmask`."""
    parser = make_parser(
        commands.add_parser,
        "Write the hair probability of photos as a gray image: white is hair.",
        """
        hairmask mask portrait.jpg -o mask.png
        hairmask mask *.jpg --out-dir masks
        hairmask mask portrait.jpg -o probability.png --raw     (16 bits, as the network gave it)
        """,
        name="mask",
    )
    add_photos(parser)
    parser.add_argument("--raw", action="store_true", help="the network's own map as 16-bit gray, without refinement")
    parser.set_defaults(command=run)
