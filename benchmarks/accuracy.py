"""The models' IoU on every held-out photo, which tests/test_accuracy.py compares with a sample of them.

python -m benchmarks.accuracy [MODEL ...]     writes benchmarks/held_out_iou/MODEL.json; after a model has changed

The photos are not part of the product: they lie in ../shared/data.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.held_out import held_out_pairs
from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.inference.cards import ENGINES, ModelCard, find_cards
from hairmask_core.pipeline import find_hair
from hairmask_core.segmentation.segmenter import open_segmenter

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
KEPT = HERE / "held_out_iou"


def measured_models() -> list[ModelCard]:
    """The networks that users can choose, the default one first."""
    return [card for card in find_cards() if card.task in ENGINES.values()]


def datasets(card: ModelCard) -> tuple[str, ...]:
    """What a model is measured on here: the default one on portraits as well."""
    return ("figaro1k", "ccp") if card.default and card.task == "whole-image" else ("ccp",)


def kept_iou(card: ModelCard, dataset: str) -> dict[str, float]:
    """IoU by photo, as this program has written it down."""
    return json.loads((KEPT / f"{card.name}.json").read_text(encoding="utf-8"))[dataset]


def measure(card: ModelCard) -> dict[str, dict[str, float]]:
    """IoU by data set and photo; photos without hair have none."""
    model = open_segmenter(card, "cpu")
    found = {}
    for dataset in datasets(card):
        records = evaluate(held_out_pairs(DATA, dataset), lambda photo: find_hair(photo, model).matte)["photos"]
        found[dataset] = {record["name"]: round(record["iou"], 4) for record in records if "iou" in record}
    return found


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    for card in measured_models():
        if card.name in (sys.argv[1:] or [card.name]):
            (KEPT / f"{card.name}.json").write_text(json.dumps(measure(card), indent=1) + "\n", encoding="utf-8")
            print(f"{card.name}: {KEPT / card.name}.json")
