"""The default model on held-out photos, where the training data lie beside the repository."""

import zlib
from pathlib import Path

import pytest

from hairmask_core.evaluate import evaluate, find_pairs
from hairmask_core.models import choose_card
from hairmask_core.pipeline import find_hair

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the photos are not part of the product")


@pytest.fixture(scope="module")
def measured(session):
    """Figures on Figaro-1k's validation photos, refined and as the network gave them."""
    pairs = find_pairs(DATA / "figaro1k/images", DATA / "figaro1k/masks")
    pairs = [pair for pair in pairs if zlib.crc32(pair[0].stem.encode()) % 10 == 0]
    return {
        refined: evaluate(pairs, lambda photo: find_hair(photo, session, refined).matte) for refined in (True, False)
    }


def test_iou_is_what_the_card_says_and_above_the_floor(measured):
    stated = choose_card().details["accuracy"]["figaro1k"]
    assert measured[True]["photos_with_hair"] == stated["photos"] == 87
    assert measured[True]["mean"]["iou"] == pytest.approx(stated["iou"], abs=2e-3)
    assert measured[True]["mean"]["iou"] >= 0.90


@pytest.mark.parametrize("figure", ["iou", "f1", "boundary_f_score"])
def test_refinement_does_not_lose(measured, figure):
    assert measured[True]["mean"][figure] >= measured[False]["mean"][figure] - 1e-3
