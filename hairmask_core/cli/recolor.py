"""hairmask recolor: photos with their hair recolored."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..color.blend import blend
from ..color.shades import find_shade, named_shades
from ..hair.instances import HairPart, divide_hair
from ..hair.tone import Hair
from ..options import MOST_DEPTH, MOST_PEOPLE, Coloring, Light, People
from ..photo.files import write_image, write_photo
from ..photo.pixels import Photo, from_float, to_float
from ..pipeline import find_hair, recolor_layer, shade_of_hair, tell_people_apart, warm_up
from .common import add_photos, for_each_photo, look_for_hair, make_parser, number_within, share, start_model, tell


def run(args) -> int:
    """Recolor the hair of every photo. Returns the exit status."""
    shade, tips, highlights = (name and find_shade(name).rgb for name in (args.shade, args.shade_tips, args.highlights))
    threading.Thread(target=warm_up).start()
    model, light = start_model(args), Light(args.light)

    def find(photo: Photo) -> Hair:
        return find_hair(photo, model, light=light)

    if shade is None:  # then there is --shade-from, as the parser has seen to
        shade = shade_of_hair(look_for_hair(args.shade_from, find, force=True)[1], args.shade_from).rgb
    coloring = Coloring(
        shade, tips, highlights, args.highlights_share, args.roots, args.depth, args.shine, args.strength
    )
    each = args.people == People.EACH

    def files(output: Path) -> list[Path]:
        return [numbered(output, number) for number in range(1, MOST_PEOPLE + 1)] if each else [output]

    def one(path: Path, outputs: dict[str, Path]) -> None:
        photo, hair = look_for_hair(path, find, args.force)
        instances = tell_people_apart(photo, hair) if each else None
        for number, part in enumerate(divide_hair(hair, instances), 1):
            layer = recolor_layer(photo, part.hair, coloring)
            write_part({kind: files(output)[number - 1] for kind, output in outputs.items()}, photo, part, layer)

    wanted = {"output": args.output, "layer_out": args.layer_out, "mask_out": args.mask_out}
    return for_each_photo(args, wanted, one, files, [args.shade_from] if args.shade_from else [])


def write_part(outputs: dict[str, Path], photo: Photo, part: HairPart, layer: np.ndarray) -> None:
    """Write what was asked for of one part of the hair: the photo with it recolored, its layer, its mask."""
    if "output" in outputs:
        tell(write_photo(outputs["output"], replace(photo, rgb=blend(photo.rgb, layer, part.matte))))
    if "layer_out" in outputs:
        cover = part.matte if photo.alpha is None else part.matte * to_float(photo.alpha)
        tell(write_photo(outputs["layer_out"], replace(photo, rgb=layer, alpha=from_float(cover, layer.dtype))))
    if "mask_out" in outputs:
        write_image(outputs["mask_out"], from_float(part.matte, np.uint8))


def numbered(path: Path, number: int) -> Path:
    """NAME.png as NAME-1.png."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def add_parser(commands) -> None:
    """Add the command to the subparsers of `hairmask`."""
    parser = make_parser(
        commands.add_parser,
        "Recolor the hair in photos.",
        """
        hairmask recolor portrait.jpg --shade copper -o copper.png
        hairmask recolor portrait.jpg --shade '#723a2a' --strength 0.7 -o auburn.jpg
        hairmask recolor portrait.jpg --shade blue -o blue.png --layer-out layer.png --mask-out mask.png
        hairmask recolor portrait.jpg --shade-from friend.jpg -o like-hers.png
        hairmask recolor portrait.jpg --shade dark-brown --shade-tips golden-blond -o ombre.png
        hairmask recolor portrait.jpg --shade brown --highlights light-blond --highlights-share 0.25 -o foils.png
        hairmask recolor portrait.jpg --shade copper --depth -1 --shine 0.5 --roots 0.1 -o salon.png
        hairmask recolor *.jpg --shade platinum --out-dir platinum
        hairmask recolor couple.jpg --shade copper --people each -o one.png     (one-1.png … from left to right)
        """,
        name="recolor",
        epilog="shades: " + ", ".join(shade.name for shade in named_shades()),
    )
    add_photos(parser)
    color = parser.add_mutually_exclusive_group(required=True)
    color.add_argument("--shade", metavar="NAME|#rrggbb", help="a named shade (listed below) or any color")
    color.add_argument(
        "--shade-from", type=Path, metavar="PHOTO", help="match the hair in this photo, whose median color is the shade"
    )
    parser.add_argument(
        "--shade-tips",
        metavar="NAME|#rrggbb",
        help="the tips get this shade and the roots the other, gradually along the strands (heads upright)",
    )
    parser.add_argument(
        "--highlights", metavar="NAME|#rrggbb", help="some strands get this shade, as in foils, along the strands"
    )
    parser.add_argument(
        "--highlights-share", type=share, default=0.3, metavar="0..1", help="how many of the strands (default 0.3)"
    )
    parser.add_argument(
        "--roots",
        type=share,
        default=0.0,
        metavar="0..1",
        help="the share of the strands' length, from the scalp, that keeps its own color (default 0; heads upright)",
    )
    parser.add_argument(
        "--depth",
        type=number_within(-MOST_DEPTH, MOST_DEPTH),
        default=0.0,
        metavar=f"-{MOST_DEPTH}..{MOST_DEPTH}",
        help="levels lighter than the shades, or darker if below 0 (default 0)",
    )
    parser.add_argument(
        "--shine",
        type=number_within(-1, 1),
        default=0.0,
        metavar="-1..1",
        help="how much the hair gleams: 1 twice as much, -1 half (default 0: as real hair of that depth)",
    )
    parser.add_argument(
        "--strength", type=share, default=1.0, metavar="0..1", help="how far towards the shade (default 1)"
    )
    parser.add_argument(
        "--light",
        choices=[light.value for light in Light],
        default=Light.AUTO.value,
        help="auto: where the photo's light is clearly warm, cold or dim, the new color is seen in it too (default); "
        "neutral: the light is taken for white",
    )
    parser.add_argument(
        "--people",
        choices=[people.value for people in People],
        default=People.TOGETHER.value,
        help="each: tell people apart and recolor one at a time, into NAME-1.png, NAME-2.png … from left to right, "
        "each file a photo, layer or mask of one person's hair (default together)",
    )
    parser.add_argument(
        "--layer-out", type=Path, metavar="FILE", help="also write the recolored layer, its alpha the mask"
    )
    parser.add_argument("--mask-out", type=Path, metavar="FILE", help="also write the mask, 8-bit gray")
    parser.set_defaults(command=run)
