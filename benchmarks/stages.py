"""What each stage makes of the probability map, for both engines, on a data set's held-out photos.

    python benchmarks/stages.py --data DATA [--engine whole|texture] [--step 2] [--pixels FILE.onnx]
                                [--set figaro1k] [--limit N]

Printed: mean IoU, F1, average precision and boundary F at the photos' own resolution, after each stage in turn and
after each alone. --pixels: the pixel-level classifier as `models/training/uncertain.py` writes it; the model's own otherwise.
The outline is refined by the guided filter here; matte.py compares ways of refining it.
For the texture engine first the maps of its two scales by themselves, whose AP can be compared; their IoU cannot, as
they learned from balanced windows.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import onnxruntime as ort

from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.inference.cards import ENGINES, choose_card
from hairmask_core.inference.session import Session, open_session
from hairmask_core.options import LARGEST_STEP
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import assemble, segment_photo
from hairmask_core.segmentation.patch import classify_windows, context_map
from hairmask_core.segmentation.pixel_classifier import reclassify, sharpen_noisy_or, smooth_binomial
from hairmask_core.segmentation.regions import Crop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from models.training.data import find_pairs  # noqa: E402

FIGURES = ("iou", "f1", "average_precision", "boundary_f_score")


def look_widely(photo: Photo, session: Session, step: int) -> list[Crop]:
    return [classify_windows(photo, session, step)]


def look_finely(photo: Photo, session: Session, step: int) -> list[Crop]:
    return [classify_windows(photo, replace(session, coarser=None), step)]


def look_coarsely(photo: Photo, session: Session, step: int) -> list[Crop]:
    (look,) = look_finely(photo, session, LARGEST_STEP)  # for its place and size
    size = look.coarse.shape[::-1]
    step = step * session.coarser.card.long_side / session.card.long_side
    return [replace(look, coarse=context_map(photo, session.coarser, step, size))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (models/training/data.py)")
    parser.add_argument("--engine", choices=ENGINES, default="whole")
    parser.add_argument("--step", type=int, default=2)
    parser.add_argument("--pixels", type=Path)
    parser.add_argument("--set", default="figaro1k", help="the data set")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    pairs = [pair for pair in find_pairs(args.data, (args.set,)) if pair.is_validation][: args.limit]
    files = [(pair.image, pair.mask) for pair in pairs]
    session = open_session(choose_card(engine=args.engine), "cpu")
    look_at = look_widely if session.card.task == "patch" else segment_photo
    seen = [look_at(read_photo(image), session, step=args.step) for image, _ in files]

    stages = {
        "sharpened": lambda look: sharpen_noisy_or(look.coarse),
        "neighbours": lambda look: smooth_binomial(look.coarse),
    }
    classify = session.pixels.run if session.pixels else None
    if args.pixels:
        runtime = ort.InferenceSession(args.pixels.read_bytes(), providers=["CPUExecutionProvider"])
        classify = lambda f: runtime.run(None, {"features": f})[0]  # noqa: E731
    if classify:
        stages["second classifier"] = lambda look: reclassify(look.proxy, look.coarse, classify)

    def row(name: str, chain: list, refined: bool, seen: list = seen) -> None:
        improved = []
        for looks in seen:
            for stage in chain:
                looks = [replace(look, coarse=stage(look)) for look in looks]
            improved.append(looks)
        of = iter(improved)
        mean = evaluate(files, lambda photo: assemble(photo, next(of), refined))["mean"]
        print(f"| {name} | " + " | ".join(f"{mean[figure]:.4f}" for figure in FIGURES) + " |", flush=True)

    print(
        f"{args.engine}, step {args.step}, {args.set}, {len(files)} photos\n| stage | IoU | F1 | AP | boundary F |\n|---|---|---|---|---|"
    )
    if session.coarser:
        for name, look_at in {"fine scale alone": look_finely, "coarser scale alone": look_coarsely}.items():
            row(name, [], False, [look_at(read_photo(image), session, args.step) for image, _ in files])
    row("the map", [], False)
    chain = []
    for name, stage in stages.items():
        chain.append(stage)
        row(f"+ {name}", chain, False)
    row("+ guided filter", chain, True)
    for name, stage in stages.items():
        row(f"{name} alone", [stage], False)
        row(f"{name}, guided filter", [stage], True)
    row("guided filter alone", [], True)


if __name__ == "__main__":
    main()
