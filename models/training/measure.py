"""Figures of a model on photos that it has not learned from, by the very code that users run.

python -m models.training.measure --data DATA [--engine whole|texture] [--model NAME] [--quality fast]
                                  [--part report|choice|training] [--sets NAME ...] [--raw] [--json FILE]

The parts are those of the split (see datasets.py): "report" for what is published, "choice" for what is decided by,
"training" for every twelfth of the photos that were learned from.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np

from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.evaluation.metrics import THRESHOLD
from hairmask_core.options import Engine, Quality
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_matte
from hairmask_core.segmentation.segmenter import Segmenter, open_model

from .datasets import OTHERS, PARTS, Sample, find_samples, read_labels

# Sets whose masks people drew, or that show no hair.
MEASURED = ("figaro1k", "celebamask", "celebahq", "ccp", "lfw", "lfw_more", "fasseg", "facesynthetics", "nohair")
TRAINING_EVERY = 12  # photos
MEANS = ("iou", "f1", "pixel_accuracy", "average_precision", "boundary_f_score")
WHOLE = ("median_iou", "low_iou_share", "pooled_f1", "pooled_iou")
STYLES = ("straight", "wavy", "curly", "kinky", "braids", "dreadlocks", "short")
FRAMES_PER_STYLE = 150  # of Figaro-1k: frames 1-150 are straight, 151-300 wavy, and so on
COLUMNS = {
    "iou": "IoU", "median_iou": "median", "low_iou_share": "IoU < 0.7", "pooled_iou": "pooled IoU", "f1": "F1",
    "pooled_f1": "pooled F1", "pixel_accuracy": "pixel accuracy", "average_precision": "AP",
    "boundary_f_score": "boundary F",
}  # fmt: skip


def choose_samples(data: Path, dataset: str, part: str) -> list[Sample]:
    """The photos of one part that are measured."""
    return find_samples(data, dataset, part)[:: TRAINING_EVERY if part == "training" else 1]


def measure(
    model: Segmenter,
    data: Path,
    quality: str = "fast",
    refined: bool = True,
    sets: tuple[str, ...] = MEASURED,
    part: str = "report",
) -> dict[str, dict]:
    """Figures on one part of each data set, at the photos' own resolution.

    Returns for each data set a dict with "photos" (that show hair), their MEANS and WHOLE figures, "empty_photos" and,
    where there are any, "false_share" (of their pixels), "taken_for_hair" (the share of the pixels of each other class,
    where the data set tells them apart), and for figaro1k "styles" (IoU of each).
    """
    figures, model = {}, model.adjusted(quality)
    for dataset in sets:
        samples = choose_samples(data, dataset, part)
        taken, labels = Taken(), iter(samples)

        def predict(photo: Photo, taken=taken, labels=labels) -> np.ndarray:
            p = find_matte(photo, model, refined).matte
            taken.add(p >= THRESHOLD, read_labels(next(labels)))
            return p

        result = evaluate([(sample.image, sample.mask) for sample in samples], predict)
        kept = {"photos": result["photos_with_hair"], "empty_photos": result["empty_photos"]}
        if result["photos_with_hair"]:
            kept |= {key: round(result["mean"][key], 4) for key in MEANS}
            kept |= {key: round(result[key], 4) for key in WHOLE}
        if result["empty_photos"]:
            kept["false_share"] = round(result["mean_false_share"], 5)
        if shares := taken.shares():
            kept["taken_for_hair"] = shares
        if dataset == "figaro1k":
            kept["styles"] = figaro_styles(result["photos"])
        figures[dataset] = kept
    return figures


class Taken:
    """How many pixels of each class but hair there are, and how many were taken for hair."""

    def __init__(self):
        self.counts = {name: [0, 0] for name in OTHERS}

    def add(self, found: np.ndarray, labels: np.ndarray) -> None:
        """found: (h, w) bool. labels: (h, w, 2) uint8 as in datasets.py; pixels count whose class is certain."""
        for name, bit in OTHERS.items():
            where = (labels[..., 1] == bit) & (labels[..., 0] < 128)
            self.counts[name][0] += int(np.count_nonzero(found & where))
            self.counts[name][1] += int(np.count_nonzero(where))

    def shares(self) -> dict[str, float]:
        """By class, of those that were seen."""
        return {name: round(taken / seen, 5) for name, (taken, seen) in self.counts.items() if seen}


def figaro_styles(records: list[dict]) -> dict[str, float]:
    """Mean IoU of each of Figaro-1k's seven styles; records as `evaluate` gives them."""
    scores = {style: [] for style in STYLES}
    for record in records:
        frame = int(re.search(r"\d+", record["name"]).group())
        if "iou" in record:
            scores[STYLES[(frame - 1) // FRAMES_PER_STYLE]].append(record["iou"])
    return {style: round(float(np.mean(values)), 4) for style, values in scores.items() if values}


def format_tables(figures: dict[str, dict]) -> str:
    """All tables in Markdown: the figures, what was taken for hair, Figaro-1k's styles."""
    lines = table_head(["data set", "photos", *COLUMNS.values(), "without hair", "false hair"])
    for name, f in figures.items():
        cells = {key: f"{f[key]:.3f}" if key in f else "" for key in COLUMNS}
        cells["low_iou_share"] = percent(f.get("low_iou_share"), 1)
        row = [name, str(f["photos"]), *cells.values(), str(f["empty_photos"]), percent(f.get("false_share"), 2)]
        lines.append("| " + " | ".join(row) + " |")
    if any("taken_for_hair" in f for f in figures.values()):
        lines += ["", *table_head(["taken for hair", *OTHERS])]
        for name, f in figures.items():
            if "taken_for_hair" in f:
                shares = [percent(f["taken_for_hair"].get(kind), 2) for kind in OTHERS]
                lines.append("| " + " | ".join([name, *shares]) + " |")
    if styles := figures.get("figaro1k", {}).get("styles"):
        lines += ["", *table_head(list(styles)), "| " + " | ".join(f"{value:.3f}" for value in styles.values()) + " |"]
    return "\n".join(lines)


def table_head(names: list[str]) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]


def percent(share: float | None, digits: int) -> str:
    return "" if share is None else f"{100 * share:.{digits}f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see datasets.py)")
    parser.add_argument("--engine", choices=[engine.value for engine in Engine], default="whole")
    parser.add_argument("--model", help="a model's name; the engine's default one otherwise")
    parser.add_argument("--quality", choices=[quality.value for quality in Quality], default="fast")
    parser.add_argument("--part", choices=PARTS, default="report")
    parser.add_argument("--sets", nargs="+", help="data sets; otherwise all that are there")
    parser.add_argument("--raw", action="store_true", help="the network's map, only enlarged")
    parser.add_argument("--json", type=Path, help="write the figures as JSON as well")
    args = parser.parse_args()
    sets = tuple(args.sets or (name for name in MEASURED if (args.data / name).is_dir()))
    model = open_model(args.model, engine=args.engine, device="cpu")
    figures = measure(model, args.data, args.quality, not args.raw, sets, args.part)
    print(format_tables(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
