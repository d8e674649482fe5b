"""The models on photos that they have not seen: held-out ones, where they lie beside the repository, and free ones."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import no_hair
from benchmarks.accuracy import datasets, kept_iou, measured_models
from benchmarks.held_out import held_out_pairs
from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.inference.cards import choose_card
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_matte
from hairmask_core.segmentation.segmenter import open_segmenter

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
FLOORS = {"figaro1k": 0.92, "ccp": 0.75}  # of the default model's mean IoU
EVERY = {"whole-image": 8, "patch": 16}  # by task, which of the held-out photos are measured here: one in so many
AGAIN = "measure it again: python -m benchmarks.accuracy --data DATA"
needs_photos = pytest.mark.skipif(not DATA.is_dir(), reason="the photos are not part of the product")
pytestmark = pytest.mark.slow
CASES = [(card, dataset) for card in measured_models() for dataset in datasets(card)]


@pytest.fixture(scope="module")
def measured(model):
    """Figures of the default model on a sample of the validation photos, refined and as the network gave them."""
    sample = held_out_pairs(DATA, "figaro1k")[:: EVERY["whole-image"]]
    return {
        refined: evaluate(sample, lambda photo: find_matte(photo, model, refined).matte) for refined in (True, False)
    }


@pytest.mark.parametrize(("card", "dataset"), CASES, ids=lambda value: getattr(value, "name", value))
def test_the_card_says_the_mean_over_all_photos(card, dataset):
    kept, stated = kept_iou(card, dataset), card.details["accuracy"][dataset]
    assert len(kept) == stated["photos"] > 80
    assert np.mean(list(kept.values())) == pytest.approx(stated["iou"], abs=5e-4), f"{card.name}: {AGAIN}"


@needs_photos
@pytest.mark.parametrize(("card", "dataset"), CASES, ids=lambda value: getattr(value, "name", value))
def test_photos_have_the_iou_that_they_had(card, dataset):
    """A sample of the photos, each compared with its own figure: a model that is off by little is off in many."""
    model, kept = open_segmenter(card, "cpu"), kept_iou(card, dataset)
    sample = held_out_pairs(DATA, dataset)[:: EVERY[card.task]]
    records = evaluate(sample, lambda photo: find_matte(photo, model).matte)["photos"]
    found = {record["name"]: record["iou"] for record in records if "iou" in record}
    assert len(found) >= 5 and set(found) <= set(kept)
    off = {name: iou - kept[name] for name, iou in found.items()}
    assert np.mean(list(off.values())) == pytest.approx(0, abs=1e-3), f"{card.name}: {AGAIN}"
    assert max(map(abs, off.values())) < 0.02, off


@pytest.mark.parametrize("dataset", FLOORS)
def test_iou_of_the_default_model_is_above_the_floor(dataset):
    assert np.mean(list(kept_iou(choose_card(), dataset).values())) >= FLOORS[dataset]


@needs_photos
@pytest.mark.parametrize("figure", ["iou", "f1", "boundary_f_score"])
def test_refinement_does_not_lose(measured, figure):
    assert measured[True]["mean"][figure] >= measured[False]["mean"][figure] - 1e-3


def test_hardly_anything_is_found_where_no_hair_is(model):
    pictures = dict(no_hair.scenes())
    assert len(pictures) >= 40
    shares = {name: (find_matte(Photo(rgb), model).matte > 0.5).mean() for name, rgb in pictures.items()}
    assert np.mean(list(shares.values())) <= 0.006, sorted(shares.items(), key=lambda item: -item[1])[:5]
