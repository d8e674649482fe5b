"""What each stage makes of the probability map, for both engines, on a data set's photos kept for reports.

    python benchmarks/stages.py --data DATA [--engine whole|texture] [--step 2] [--pixels FILE.onnx]
                                [--set figaro1k] [--limit N]

Printed: mean IoU, F1, average precision and boundary F at the photos' own resolution, after each stage in turn and
after each alone. --pixels: a pixel classifier, as `python -m models.training.pixel_classifier` writes it; the model's
own otherwise.
Refined: foreign colors are doubted, and the outline follows the guided filter; matte.py compares ways of that.
For the texture engine first the maps of its two scales by themselves, whose AP can be compared; their IoU cannot, as
they learned from balanced windows.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from held_out import held_out_pairs

from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.inference.session import ort
from hairmask_core.matting.foreign_colors import doubt_foreign_colors
from hairmask_core.options import LARGEST_STEP, Engine
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import assemble, segment_photo
from hairmask_core.segmentation.patch import PatchSegmenter, classify_windows, context_map
from hairmask_core.segmentation.pixel_classifier import reclassify, sharpen_noisy_or, smooth_binomial
from hairmask_core.segmentation.regions import Crop
from hairmask_core.segmentation.segmenter import open_model

FIGURES = ("iou", "f1", "average_precision", "boundary_f_score")


def both_scales(photo: Photo, model: PatchSegmenter) -> list[Crop]:
    return [classify_windows(photo, model.fine, model.coarser, model.card.fusion, model.step)]


def fine_scale(photo: Photo, model: PatchSegmenter) -> list[Crop]:
    return both_scales(photo, replace(model, coarser=None))


def coarse_scale(photo: Photo, model: PatchSegmenter) -> list[Crop]:
    (crop,) = fine_scale(photo, model.adjusted(step=LARGEST_STEP))  # for its place and size
    size = crop.coarse.shape[::-1]
    step = model.step * model.coarser.card.long_side / model.fine.card.long_side
    return [replace(crop, coarse=context_map(photo, model.coarser, step, size))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see held_out.py)")
    parser.add_argument("--engine", choices=[engine.value for engine in Engine], default="whole")
    parser.add_argument("--step", type=int, default=2)
    parser.add_argument("--pixels", type=Path)
    parser.add_argument("--set", default="figaro1k", help="the data set")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    files = held_out_pairs(args.data, args.set)[: args.limit]
    model = open_model(engine=args.engine, step=args.step, device="cpu")
    in_windows = isinstance(model, PatchSegmenter)
    segment = both_scales if in_windows else segment_photo
    seen = [segment(read_photo(image), model) for image, _ in files]

    stages = {
        "sharpened": lambda crop: sharpen_noisy_or(crop.coarse),
        "neighbours": lambda crop: smooth_binomial(crop.coarse),
    }
    classify = model.pixels.run if in_windows and model.pixels else None
    if args.pixels:
        runtime = ort.InferenceSession(args.pixels.read_bytes(), providers=["CPUExecutionProvider"])
        classify = lambda f: runtime.run(None, {"features": f})[0]  # noqa: E731
    if classify:
        stages["second classifier"] = lambda crop: reclassify(crop.proxy, crop.coarse, classify)

    def row(name: str, chain: list, refined: bool, seen: list = seen) -> None:
        improved = []
        for crops in seen:
            for stage in chain:
                crops = [replace(crop, coarse=stage(crop)) for crop in crops]
            improved.append(crops)
        of = iter(improved)
        mean = evaluate(files, lambda photo: assemble(photo, next(of), refined))["mean"]
        print(f"| {name} | " + " | ".join(f"{mean[figure]:.4f}" for figure in FIGURES) + " |", flush=True)

    print(f"{args.engine}, step {args.step}, {args.set}, {len(files)} photos")
    print("| stage | IoU | F1 | AP | boundary F |\n|---|---|---|---|---|")
    if in_windows and model.coarser:
        for name, segment in {"fine scale alone": fine_scale, "coarser scale alone": coarse_scale}.items():
            row(name, [], False, [segment(read_photo(image), model) for image, _ in files])
    row("the map", [], False)
    chain = []
    for name, stage in stages.items():
        chain.append(stage)
        row(f"+ {name}", chain, False)
    row("+ refined", chain, True)
    for name, stage in stages.items():
        row(f"{name} alone", [stage], False)
        row(f"{name}, refined", [stage], True)
    row("foreign colors alone", [lambda crop: doubt_foreign_colors(crop.proxy, crop.coarse)], False)
    row("refined alone", [], True)


if __name__ == "__main__":
    main()
