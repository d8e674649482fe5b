"""The models on photos that they have not seen: held-out ones, where they lie beside the repository, and free ones."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import no_hair
from benchmarks.held_out import held_out_pairs
from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.inference.cards import ENGINES, choose_card, find_cards
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair
from hairmask_core.segmentation.segmenter import open_segmenter

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"
FLOORS = {"figaro1k": 0.92, "ccp": 0.75}  # of the default model's mean IoU
beside = pytest.mark.skipif(not DATA.is_dir(), reason="the photos are not part of the product")


@pytest.fixture(scope="module")
def measured(model):
    """Figures of the default model on validation photos, by data set, refined and as the network gave them."""
    return {
        (dataset, refined): evaluate(
            held_out_pairs(DATA, dataset), lambda photo: find_hair(photo, model, refined).matte
        )
        for dataset, refined in (("figaro1k", True), ("figaro1k", False), ("ccp", True))
    }


@beside
@pytest.mark.parametrize("dataset", FLOORS)
def test_iou_is_what_the_card_says_and_above_the_floor(measured, dataset):
    stated, found = choose_card().details["accuracy"][dataset], measured[dataset, True]
    assert found["photos_with_hair"] == stated["photos"] > 80
    assert found["mean"]["iou"] == pytest.approx(stated["iou"], abs=2e-3)
    assert found["mean"]["iou"] >= FLOORS[dataset]


@beside
@pytest.mark.parametrize("figure", ["iou", "f1", "boundary_f_score"])
def test_refinement_does_not_lose(measured, figure):
    assert measured["figaro1k", True]["mean"][figure] >= measured["figaro1k", False]["mean"][figure] - 1e-3


@beside
def test_other_models_are_what_their_cards_say():
    for card in (card for card in find_cards()[1:] if card.task in ENGINES.values()):
        other = open_segmenter(card, "cpu")
        found = evaluate(held_out_pairs(DATA, "ccp"), lambda photo: find_hair(photo, other).matte)
        assert found["mean"]["iou"] == pytest.approx(card.details["accuracy"]["ccp"]["iou"], abs=2e-3)


def test_hardly_anything_is_found_where_no_hair_is(model):
    pictures = dict(no_hair.scenes())
    assert len(pictures) >= 40
    shares = {name: (find_hair(Photo(rgb), model).matte > 0.5).mean() for name, rgb in pictures.items()}
    assert np.mean(list(shares.values())) <= 0.005, sorted(shares.items(), key=lambda item: -item[1])[:5]
