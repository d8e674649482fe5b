"""The command line: hairmask mask | recolor | heatmap | evaluate | worker | info."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path

import cv2
import numpy as np

from . import __version__
from .checks import all_well, format_checks
from .dense import LARGEST_STEP
from .dye import warm_up
from .errors import HairmaskError, NoHairError, PhotoError
from .image import Photo, check_writable_name, from_float, read_photo, to_float, write_image
from .looks import QUALITIES
from .models import ENGINES, choose_card
from .pipeline import Hair, blend, find_hair, recolor_photo, require_hair, shade_of_hair
from .session import DEVICES, Session, open_session
from .shades import find_shade, named_shades
from .texture import STEP

EXIT_FAILED, EXIT_USAGE, EXIT_NO_HAIR, EXIT_INTERRUPTED = 1, 2, 3, 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 wrong usage, 3 no hair found, 130 interrupted."""
    args = build_parser().parse_args(arguments)
    try:
        return args.command(args)
    except NoHairError as error:
        return complain(str(error), EXIT_NO_HAIR)
    except HairmaskError as error:
        return complain(str(error))
    except MemoryError:
        return complain("There is not enough memory for this photo: close other programs or scale the photo down.")
    except KeyboardInterrupt:
        return complain("Interrupted: nothing more was written.", EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, `head` for example, has enough
        sys.stderr.close()
        return EXIT_FAILED


def complain(sentence: str, status: int = EXIT_FAILED) -> int:
    print(f"hairmask: {sentence}", file=sys.stderr)
    return status


# Commands


def mask_command(args) -> int:
    session = start_session(args)

    def one(path: Path, outputs: dict[str, Path]) -> None:
        photo, hair = look_for_hair(path, session, args, refined=not args.raw, force=args.force)
        write_image(outputs["output"], from_float(hair.matte, np.uint16 if args.raw else np.uint8))

    return for_each_photo(args, {"output": args.output}, one)


def recolor_command(args) -> int:
    shade = find_shade(args.shade) if args.shade else None
    tips = find_shade(args.shade_tips).rgb if args.shade_tips else None
    threading.Thread(target=warm_up).start()
    session = start_session(args)
    if args.shade_from:
        shade = shade_of_hair(look_for_hair(args.shade_from, session, args, force=True)[1], args.shade_from)

    def one(path: Path, outputs: dict[str, Path]) -> None:
        if args.shade_from:
            for output in outputs.values():
                check_output(output, [args.shade_from])
        photo, hair = look_for_hair(path, session, args, force=args.force)
        layer = recolor_photo(photo, hair, shade.rgb, args.strength, tips=tips)
        write_image(outputs["output"], blend(photo.rgb, layer, hair.matte), photo.alpha, photo.icc_profile)
        if "layer_out" in outputs:
            cover = hair.matte if photo.alpha is None else hair.matte * to_float(photo.alpha)
            write_image(outputs["layer_out"], layer, from_float(cover, layer.dtype), photo.icc_profile)
        if "mask_out" in outputs:
            write_image(outputs["mask_out"], from_float(hair.matte, np.uint8))

    wanted = {"output": args.output, "layer_out": args.layer_out, "mask_out": args.mask_out}
    return for_each_photo(args, {key: path for key, path in wanted.items() if path or key == "output"}, one)


def heatmap_command(args) -> int:
    check_output(args.output, [args.photo])
    photo, hair = look_for_hair(args.photo, start_session(args), args, force=True)
    write_image(args.output, draw_heatmap(photo, hair.matte, args.colormap, args.opacity))
    if not hair.found:
        print("No hair was found in this photo; the heat map shows what little there is.", file=sys.stderr)
    return 0


def evaluate_command(args) -> int:
    from . import evaluate

    if args.plot:
        check_output(args.plot, [])
    if args.json and not args.json.parent.is_dir():
        raise PhotoError(f"The folder {args.json.parent} does not exist: make it first, or write somewhere else.")
    pairs = evaluate.find_pairs(args.images, args.masks, args.limit)
    session = start_session(args)
    with evaluate.progress_bar(len(pairs)) as advance:
        result = evaluate.evaluate(
            pairs, lambda photo: find_hair(photo, session, not args.raw, args.quality, args.step).matte, advance
        )
    how = {"step": args.step} if args.engine == "texture" else {"quality": args.quality}
    result |= {"model": session.card.name, "device": session.device, **how, "refined": not args.raw}
    print(evaluate.format_table(result))
    if args.json:
        try:
            args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise PhotoError(f"{args.json} cannot be written ({error.strerror}): check the folder.") from error
    if args.plot:
        evaluate.plot_curve(result, args.plot)
    return 0


def worker_command(args) -> int:
    from .worker import serve

    return serve(args.directory, args.idle_seconds)


def info_command(args) -> int:
    from . import info

    checks = info.check_all()
    if args.json:
        print(json.dumps({"version": __version__, "checks": [vars(check) for check in checks]}))
    else:
        print(format_checks(checks))
        # What is wrong with the models stands in the table; a wish that cannot be met is the user's own to hear.
        if args.model or all_well(checks):
            print(f"\n{info.describe_models()}")
            print(f"\n{info.describe_device(choose_card(args.model, engine=args.engine), args.device)}")
    return 0 if all_well(checks) else EXIT_FAILED


# What the commands share


def start_session(args) -> Session:
    session = open_session(choose_card(args.model, engine=args.engine), args.device)
    for notice in session.notices:
        print(notice, file=sys.stderr)
    session.notices.clear()
    return session


def look_for_hair(path: Path, session: Session, args, refined: bool = True, force: bool = False) -> tuple[Photo, Hair]:
    """Read a photo and find its hair; the errors name the photo."""
    photo = read_photo(path)
    hair = find_hair(photo, session, refined, args.quality, args.step)
    for notice in session.notices:
        print(notice, file=sys.stderr)
    session.notices.clear()
    if not force:
        try:
            require_hair(hair)
        except NoHairError:
            raise NoHairError(
                f"No hair was found in {path}: crop closer to the head, or give --force to write the result anyway."
            ) from None
    return photo, hair


def for_each_photo(args, wanted: dict[str, Path | None], one) -> int:
    """Run `one(photo path, output paths)` on every photo; a photo that fails does not stop the others."""
    plan = plan_outputs(args.photos, wanted, args.out_dir)
    worst = 0
    for path, outputs in plan:
        try:
            one(path, outputs)
        except HairmaskError as error:
            worst = max(worst, complain(str(error), EXIT_NO_HAIR if isinstance(error, NoHairError) else EXIT_FAILED))
    return worst


def plan_outputs(
    photos: list[Path], wanted: dict[str, Path | None], out_dir: Path | None
) -> list[tuple[Path, dict[str, Path]]]:
    """Which photo goes where: to the named files, or, with a folder, to STEM.png in it. Checked before any work."""
    if out_dir is None:
        if len(photos) > 1:
            raise PhotoError("Several photos need a folder to write to: give --out-dir FOLDER instead of -o FILE.")
        if wanted["output"] is None:
            raise PhotoError("Where to write is missing: give -o FILE, or --out-dir FOLDER for several photos.")
        for path in wanted.values():
            check_output(path, photos)
        return [(photos[0], wanted)]
    if any(wanted.values()):
        raise PhotoError("--out-dir names the files itself: leave out -o, --layer-out and --mask-out.")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"The folder {out_dir} cannot be made ({error.strerror}): choose another.") from error
    plan, taken = [], {}
    for photo in photos:
        output = out_dir / f"{photo.stem}.png"
        if output in taken:
            raise PhotoError(f"{photo} and {taken[output]} would both be written to {output}: give them in two runs.")
        taken[output] = photo
        check_output(output, photos)
        plan.append((photo, {"output": output}))
    return plan


def check_output(path: Path, photos: list[Path]) -> None:
    """Raise PhotoError unless `path` can be written and is none of the photos that are read."""
    check_writable_name(path)
    if any(path.resolve() == photo.resolve() for photo in photos):
        raise PhotoError(f"{path} is the photo itself: write the result to another file.")


def draw_heatmap(photo: Photo, matte: np.ndarray, colormap: str, opacity: float) -> np.ndarray:
    """Probability over the photo: (H, W, 3) uint8. opacity: 0 shows the photo only, 1 the map only."""
    colors = cv2.applyColorMap(from_float(matte, np.uint8), COLORMAPS[colormap])[..., ::-1]
    below = to_float(photo.rgb)
    return from_float(below + np.float32(opacity) * (to_float(np.ascontiguousarray(colors)) - below), np.uint8)


COLORMAPS = {
    name.removeprefix("COLORMAP_").lower(): getattr(cv2, name) for name in dir(cv2) if name.startswith("COLORMAP_")
}


# The parser


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


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

    mask = make_parser(
        commands.add_parser,
        "Write the hair probability of photos as a gray image: white is hair.",
        """
        hairmask mask portrait.jpg -o mask.png
        hairmask mask *.jpg --out-dir masks
        hairmask mask portrait.jpg -o probability.png --raw     (16 bits, as the network gave it)
        """,
        name="mask",
    )
    add_photos(mask)
    mask.add_argument("--raw", action="store_true", help="the network's own map as 16-bit gray, without refinement")
    mask.set_defaults(command=mask_command)

    recolor = make_parser(
        commands.add_parser,
        "Recolor the hair in photos.",
        """
        hairmask recolor portrait.jpg --shade copper -o copper.png
        hairmask recolor portrait.jpg --shade '#7a3422' --strength 0.7 -o auburn.jpg
        hairmask recolor portrait.jpg --shade blue -o blue.png --layer-out layer.png --mask-out mask.png
        hairmask recolor portrait.jpg --shade-from friend.jpg -o like-hers.png
        hairmask recolor portrait.jpg --shade dark-brown --shade-tips golden-blond -o ombre.png
        hairmask recolor *.jpg --shade platinum --out-dir platinum
        """,
        name="recolor",
        epilog="shades: " + ", ".join(shade.name for shade in named_shades()),
    )
    add_photos(recolor)
    wish = recolor.add_mutually_exclusive_group(required=True)
    wish.add_argument("--shade", metavar="NAME|#rrggbb", help="a named shade (listed below) or any color")
    wish.add_argument(
        "--shade-from", type=Path, metavar="PHOTO", help="match the hair in this photo, whose median color is the shade"
    )
    recolor.add_argument(
        "--shade-tips",
        metavar="NAME|#rrggbb",
        help="the tips get this shade and the roots the other, gradually along the strands (heads upright)",
    )
    recolor.add_argument(
        "--strength", type=share, default=1.0, metavar="0..1", help="how far towards the shade (default 1)"
    )
    recolor.add_argument(
        "--layer-out", type=Path, metavar="FILE", help="also write the recolored layer, its alpha the mask"
    )
    recolor.add_argument("--mask-out", type=Path, metavar="FILE", help="also write the mask, 8-bit gray")
    recolor.set_defaults(command=recolor_command)

    heatmap = make_parser(
        commands.add_parser,
        "Draw the hair probability over a photo in colors.",
        """
        hairmask heatmap portrait.jpg -o heat.png
        hairmask heatmap portrait.jpg -o heat.png --colormap viridis --opacity 0.7
        """,
        name="heatmap",
    )
    heatmap.add_argument("photo", type=Path, metavar="PHOTO")
    heatmap.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the image to write")
    heatmap.add_argument(
        "--colormap",
        choices=sorted(COLORMAPS),
        default="turbo",
        metavar="NAME",
        help=f"one of {', '.join(sorted(COLORMAPS))} (default turbo)",
    )
    heatmap.add_argument(
        "--opacity", type=share, default=0.5, metavar="0..1", help="of the colors over the photo (default 0.5)"
    )
    add_network(heatmap)
    add_quality(heatmap)
    heatmap.set_defaults(command=heatmap_command)

    evaluate = make_parser(
        commands.add_parser,
        "Measure the masks against true ones, pairing photos and masks by file stem.",
        """
        hairmask evaluate --images photos --masks masks
        hairmask evaluate --images photos --masks masks --json result.json --plot curve.png
        """,
        name="evaluate",
    )
    evaluate.add_argument("--images", type=Path, required=True, metavar="DIR", help="the photos")
    evaluate.add_argument("--masks", type=Path, required=True, metavar="DIR", help="true masks, white is hair")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    evaluate.add_argument("--plot", type=Path, metavar="FILE", help="draw the precision-recall curve")
    evaluate.add_argument("--limit", type=positive, metavar="N", help="only the first N photos")
    evaluate.add_argument("--raw", action="store_true", help="measure the network's own map, without refinement")
    add_network(evaluate)
    add_quality(evaluate)
    evaluate.set_defaults(command=evaluate_command)

    worker = make_parser(
        commands.add_parser,
        "Serve GIMP. The plug-in starts this by itself.",
        """
        hairmask worker --directory ~/.cache/hair-recolor/worker
        """,
        name="worker",
    )
    worker.add_argument(
        "--directory", type=Path, required=True, metavar="DIR", help="private folder for socket and pixels"
    )
    worker.add_argument(
        "--idle-seconds", type=float, default=600, metavar="S", help="end after so long without work (default 600)"
    )
    worker.set_defaults(command=worker_command)

    info = make_parser(
        commands.add_parser,
        "Look whether everything works: versions, devices, models, worker, disk; and which device is used and why.",
        """
        hairmask info
        hairmask info --device cuda
        hairmask info --json
        """,
        name="info",
    )
    info.add_argument("--json", action="store_true", help="the same table for programs")
    add_network(info)
    info.set_defaults(command=info_command)
    return parser


def make_parser(factory, description: str, examples: str, name: str | None = None, epilog: str = "", **options):
    """A parser whose help ends in examples."""
    lines = [line.strip() for line in examples.strip().splitlines()]
    options["epilog"] = "examples:\n" + "\n".join(f"  {line}" for line in lines) + (f"\n\n{epilog}" if epilog else "")
    options["formatter_class"] = argparse.RawDescriptionHelpFormatter
    positional = (name,) if name else ()
    if name:
        options["help"] = description
    return factory(*positional, description=description, **options)


def step(text: str) -> int:
    """A whole number from 1 to LARGEST_STEP, for argparse."""
    value = int(text)
    if not 1 <= value <= LARGEST_STEP:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {LARGEST_STEP}")
    return value


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def add_photos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the image to write (.png, .jpg, .tif, .webp)"
    )
    parser.add_argument(
        "--out-dir", type=Path, metavar="DIR", help="for several photos: write STEM.png for each into this folder"
    )
    parser.add_argument("--force", action="store_true", help="write a result even where no hair was found")
    add_network(parser)
    add_quality(parser)


def add_quality(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--step",
        type=step,
        default=STEP,
        metavar=f"1..{LARGEST_STEP}",
        help=f"engine texture: pixels between windows (default {STEP}; 1 looks at every pixel)",
    )
    parser.add_argument(
        "--quality",
        choices=QUALITIES,
        default="fast",
        help="engine whole: how closely to look (default fast; best also follows single strands, and takes several times as long)",
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="whole",
        help="whole: a network sees people as a whole (default); texture: windows of 35x35 pixels are judged one by one, "
        "for wigs, close-ups and strands without a head",
    )
    parser.add_argument("--model", metavar="NAME", help="which network (hairmask info lists them)")
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="where the network runs (default auto: the GPU if it works, else the CPU)",
    )
