"""hairmask heatmap: the hair probability over a photo in colors."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from ..photo.files import write_image
from ..photo.pixels import Photo, from_float, to_float
from ..pipeline import find_matte
from .common import add_network, add_quality, check_output, look_for_hair, make_parser, share, start_model

# OpenCV's color maps by their names in lower case.
COLORMAPS = {
    name.removeprefix("COLORMAP_").lower(): getattr(cv2, name) for name in dir(cv2) if name.startswith("COLORMAP_")
}


def run(args) -> int:
    """Draw the hair probability over one photo. Returns the exit status."""
    check_output(args.output, [args.photo])
    model = start_model(args)
    photo, hair = look_for_hair(args.photo, lambda photo: find_matte(photo, model), force=True)
    write_image(args.output, draw_heatmap(photo, hair.matte, args.colormap, args.opacity))
    if not hair.found:
        print("No hair was found in this photo; the heat map shows what little there is.", file=sys.stderr)
    return 0


def draw_heatmap(photo: Photo, matte: np.ndarray, colormap: str, opacity: float) -> np.ndarray:
    """Probability over the photo: (H, W, 3) uint8. opacity: 0 shows the photo only, 1 the map only."""
    colors = cv2.applyColorMap(from_float(matte, np.uint8), COLORMAPS[colormap])[..., ::-1]
    below = to_float(photo.rgb)
    return from_float(below + np.float32(opacity) * (to_float(np.ascontiguousarray(colors)) - below), np.uint8)


def add_parser(commands) -> None:
    """Add the command to the subparsers of `hairmask`."""
    parser = make_parser(
        commands.add_parser,
        "Draw the hair probability over a photo in colors.",
        """
        hairmask heatmap portrait.jpg -o heat.png
        hairmask heatmap portrait.jpg -o heat.png --colormap viridis --opacity 0.7
        """,
        name="heatmap",
    )
    parser.add_argument("photo", type=Path, metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the image to write")
    parser.add_argument(
        "--colormap",
        choices=sorted(COLORMAPS),
        default="turbo",
        metavar="NAME",
        help=f"one of {', '.join(sorted(COLORMAPS))} (default turbo)",
    )
    parser.add_argument(
        "--opacity", type=share, default=0.5, metavar="0..1", help="of the colors over the photo (default 0.5)"
    )
    add_network(parser)
    add_quality(parser)
    parser.set_defaults(command=run)
