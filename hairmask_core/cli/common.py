"""What the commands share: reading, finding hair, planning outputs, and the arguments that several take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ..errors import HairmaskError, NoHairError, NoSuchModelError, PhotoError, ShadeError, UsageError
from ..hair.tone import HairMatte
from ..options import DEFAULT_STEP, LARGEST_STEP, Device, Engine, Quality
from ..photo.files import check_writable_name, read_photo
from ..photo.pixels import Photo
from ..pipeline import require_hair
from ..segmentation.segmenter import Segmenter, open_model

AnyHair = TypeVar("AnyHair", bound=HairMatte)

# Exit statuses; argparse itself ends with 2 for wrong usage.
EXIT_FAILED, EXIT_USAGE, EXIT_NO_HAIR, EXIT_INTERRUPTED = 1, 2, 3, 130

# The status that says what kind of error it was, the first that fits.
EXIT_STATUSES = (
    (NoHairError, EXIT_NO_HAIR),
    ((UsageError, ShadeError, NoSuchModelError), EXIT_USAGE),
    (HairmaskError, EXIT_FAILED),
)


def complain(sentence: str, status: int = EXIT_FAILED) -> int:
    """Say what went wrong; returns the exit status."""
    print(f"hairmask: {sentence}", file=sys.stderr)
    return status


def complain_of(error: HairmaskError) -> int:
    """Say what went wrong; returns the exit status for such an error."""
    return complain(str(error), next(status for kind, status in EXIT_STATUSES if isinstance(error, kind)))


def start_model(args) -> Segmenter:
    """The model that the arguments name, on the device that they name, with their settings."""
    model = open_model(args.model, engine=args.engine, quality=args.quality, step=args.step, device=args.device)
    tell(model.notices)
    model.notices.clear()
    return model


def tell(notices: Iterable[str]) -> None:
    """Say what the user should know of how something was done."""
    for notice in notices:
        complain(notice)


def look_for_hair(path: Path, find: Callable[[Photo], AnyHair], force: bool = False) -> tuple[Photo, AnyHair]:
    """Read a photo and find its hair; the errors name the photo. find: what `find_matte` or `find_hair` make of it."""
    photo = read_photo(path)
    hair = find(photo)
    tell(hair.notices)
    if not force:
        try:
            require_hair(hair)
        except NoHairError:
            raise NoHairError(
                f"No hair was found in {path}: crop closer to the head, or give --force to write the result anyway."
            ) from None
    return photo, hair


def only_itself(output: Path) -> list[Path]:
    """What is written for an output, mostly."""
    return [output]


def for_each_photo(args, wanted: dict[str, Path | None], one, files=only_itself, protected: Iterable[Path] = ()) -> int:
    """Run `one(photo path, output paths)` on every photo; a photo that fails does not stop the others.

    files: which files may be written for an output. protected: photos that none of them may replace, beside the photos
    themselves.
    """
    plan = plan_outputs(args.photos, wanted, args.out_dir, files, protected)
    worst = 0
    for path, outputs in plan:
        try:
            one(path, outputs)
        except HairmaskError as error:
            worst = max(worst, complain_of(error))
    return worst


def plan_outputs(
    photos: list[Path], wanted: dict[str, Path | None], out_dir: Path | None, files=only_itself, protected=()
) -> list[tuple[Path, dict[str, Path]]]:
    """Which photo goes where: to the named files, or, with a folder, to STEM.png in it. Checked before any work.

    files, protected: see `for_each_photo`.
    """
    read = [*photos, *protected]
    if out_dir is None:
        if len(photos) > 1:
            raise UsageError("Several photos need a folder to write to: give --out-dir FOLDER instead of -o FILE.")
        outputs = {name: path for name, path in wanted.items() if path}
        if not outputs:
            raise UsageError("Where to write is missing: give -o FILE, or --out-dir FOLDER for several photos.")
        for path in outputs.values():
            check_outputs(files(path), read)
        return [(photos[0], outputs)]
    if any(wanted.values()):
        raise UsageError("--out-dir names the files itself: leave out -o, --layer-out and --mask-out.")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"The folder {out_dir} cannot be made ({error.strerror}): choose another.") from error
    plan: list[tuple[Path, dict[str, Path]]] = []
    taken: dict[Path, Path] = {}
    for photo in photos:
        output = out_dir / f"{photo.stem}.png"
        if output in taken:
            raise UsageError(f"{photo} and {taken[output]} would both be written to {output}: give them in two runs.")
        taken[output] = photo
        check_outputs(files(output), read)
        plan.append((photo, {"output": output}))
    return plan


def check_outputs(paths: list[Path], photos: list[Path]) -> None:
    """`check_output` of each."""
    for path in paths:
        check_output(path, photos)


def check_output(path: Path, photos: list[Path]) -> None:
    """Raise UsageError unless `path` can be written and is none of the photos that are read."""
    try:
        check_writable_name(path)
    except PhotoError as error:
        raise UsageError(str(error)) from error
    if any(path.resolve() == photo.resolve() for photo in photos):
        raise UsageError(f"{path} is the photo itself: write the result to another file.")


# The parser


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    return number_within(0, 1)(text)


def number_within(low: float, high: float):
    """Reads a number from low to high, for argparse."""

    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return number


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
        default=DEFAULT_STEP,
        metavar=f"1..{LARGEST_STEP}",
        help=f"engine texture: pixels between windows (default {DEFAULT_STEP}; 1 looks at every pixel)",
    )
    parser.add_argument(
        "--quality",
        choices=[quality.value for quality in Quality],
        default="fast",
        help="engine whole: how closely to look (default fast; best also follows single strands, and takes several times as long)",
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=[engine.value for engine in Engine],
        default="whole",
        help="whole: a network sees people as a whole (default); texture: windows of 35x35 pixels are judged one by one, "
        "for wigs, close-ups and strands without a head",
    )
    parser.add_argument("--model", metavar="NAME", help="which network (hairmask info lists them)")
    parser.add_argument(
        "--device",
        choices=[device.value for device in Device],
        default="auto",
        help="where the network runs (default auto: the GPU if it works, else the CPU)",
    )
