"""The models' IoU on every held-out photo, which tests/test_accuracy.py compares with a sample of them.

python -m benchmarks.accuracy --data DATA [MODEL ...]     writes benchmarks/held_out_iou/MODEL.json; after a model changed

DATA is the folder of data sets that models/training/README.md describes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.held_out import held_out_pairs
from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.inference.cards import ENGINES, ModelCard, find_cards
from hairmask_core.pipeline import find_matte
from hairmask_core.segmentation.segmenter import open_segmenter

KEPT = Path(__file__).resolve().parent / "held_out_iou"


def measured_models() -> list[ModelCard]:
    """The networks that users can choose, the default one first."""
    return [card for card in find_cards() if card.task in ENGINES.values()]


def datasets(card: ModelCard) -> tuple[str, ...]:
    """What a model is measured on here: the default one on portraits as well."""
    return ("figaro1k", "ccp") if card.default and card.task == "whole-image" else ("ccp",)


def kept_iou(card: ModelCard, dataset: str) -> dict[str, float]:
    """IoU by photo, as this program has written it down."""
    return json.loads((KEPT / f"{card.name}.json").read_text(encoding="utf-8"))[dataset]


def measure(card: ModelCard, data: Path) -> dict[str, dict[str, float]]:
    """IoU by data set and photo; photos without hair have none. data: folder of data sets."""
    model = open_segmenter(card, "cpu")
    found = {}
    for dataset in datasets(card):
        records = evaluate(held_out_pairs(data, dataset), lambda photo: find_matte(photo, model).matte)["photos"]
        found[dataset] = {record["name"]: round(record["iou"], 4) for record in records if "iou" in record}
    return found


def main() -> None:
    names = [card.name for card in measured_models()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(names)}; all otherwise")
    args = parser.parse_args()
    unknown = set(args.models) - set(names)
    if unknown:
        parser.error(f"there is no model {', '.join(sorted(unknown))}: choose of {', '.join(names)}")
    KEPT.mkdir(exist_ok=True)
    for card in measured_models():
        if card.name in (args.models or names):
            path = KEPT / f"{card.name}.json"
            path.write_text(json.dumps(measure(card, args.data), indent=1) + "\n", encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
