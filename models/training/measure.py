"""Figures of a model on the held-out photos, by the very code that users run.

python -m models.training.measure --data DATA [--engine whole|texture] [--model NAME] [--quality fast]
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.inference.cards import ENGINES, choose_card
from hairmask_core.inference.session import Session, open_session
from hairmask_core.pipeline import find_hair
from hairmask_core.segmentation.whole_image import QUALITIES

from .data import DATASETS, find_pairs

KEYS = ("iou", "f1", "pixel_accuracy", "average_precision", "boundary_f_score")
STYLES = ("straight", "wavy", "curly", "kinky", "braids", "dreadlocks", "short")
FRAMES_PER_STYLE = 150  # of Figaro-1k: frames 1-150 are straight, 151-300 wavy, and so on


def measure(
    session: Session, data: Path, quality: str = "fast", refined: bool = True, datasets=DATASETS
) -> dict[str, dict]:
    """Mean figures on each data set's validation photos (DATA.md's rule), Figaro-1k's styles included.

    Returns for each data set a dict with "photos", KEYS, "false_share" where some photos have no hair, and for
    figaro1k "styles" (IoU of each).
    """
    figures = {}
    for dataset in datasets:
        pairs = [(p.image, p.mask) for p in find_pairs(data, (dataset,)) if p.is_validation]
        result = evaluate(pairs, lambda photo: find_hair(photo, session, refined, quality).matte)
        kept = {"photos": result["photos_with_hair"], "empty_photos": result["empty_photos"]}
        if result["photos_with_hair"]:
            kept |= {key: round(result["mean"][key], 4) for key in KEYS}
        if result["empty_photos"]:
            kept["false_share"] = round(result["mean_false_share"], 5)
        if dataset == "figaro1k":
            kept["styles"] = figaro_styles(result["photos"])
        figures[dataset] = kept
    return figures


def figaro_styles(records: list[dict]) -> dict[str, float]:
    """Mean IoU of each of Figaro-1k's seven styles; records as `evaluate` gives them."""
    scores = {style: [] for style in STYLES}
    for record in records:
        frame = int(re.search(r"\d+", record["name"]).group())
        scores[STYLES[(frame - 1) // FRAMES_PER_STYLE]].append(record["iou"])
    return {style: round(float(np.mean(values)), 4) for style, values in scores.items() if values}


def format_tables(figures: dict[str, dict]) -> str:
    """Both tables in Markdown."""
    lines = ["| data set | photos | IoU | F1 | pixel accuracy | AP | boundary F | without hair | false hair |"]
    lines.append("|---" * 9 + "|")
    for name, f in figures.items():
        cells = [f"{f[key]:.3f}" if key in f else "" for key in KEYS]
        false = f"{100 * f['false_share']:.2f} %" if "false_share" in f else ""
        lines.append(f"| {name} | {f['photos']} | " + " | ".join(cells) + f" | {f['empty_photos']} | {false} |")
    styles = figures["figaro1k"]["styles"]
    lines += ["", "| " + " | ".join(styles) + " |", "|---" * len(styles) + "|"]
    lines.append("| " + " | ".join(f"{value:.3f}" for value in styles.values()) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see data.py)")
    parser.add_argument("--engine", choices=ENGINES, default="whole")
    parser.add_argument("--model", help="a model's name; the engine's default one otherwise")
    parser.add_argument("--quality", choices=QUALITIES, default="fast")
    parser.add_argument("--raw", action="store_true", help="the network's map, only enlarged")
    args = parser.parse_args()
    session = open_session(choose_card(args.model, engine=args.engine), "cpu")
    print(format_tables(measure(session, args.data, args.quality, not args.raw)))


if __name__ == "__main__":
    main()
