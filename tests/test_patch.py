"""Hair by texture: from the photo to the map, and on through the pipeline."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hairmask_core.errors import Cancelled, NoHairError
from hairmask_core.options import DEFAULT_STEP
from hairmask_core.photo.pixels import Photo
from hairmask_core.photo.proxy import make_proxy
from hairmask_core.pipeline import find_hair, segment_photo
from hairmask_core.segmentation.patch import classify_windows, context_map, fuse_log_odds, postprocess
from hairmask_core.segmentation.pixel_classifier import UNCERTAIN_RANGE, sharpen_noisy_or, smooth_binomial
from hairmask_core.segmentation.regions import Region
from hairmask_core.segmentation.segmenter import open_model
from hairmask_core.segmentation.sliding_window import dense_map, interpolate_map

pytestmark = pytest.mark.slow  # all together


@pytest.fixture(scope="module")
def photo(astronaut):
    """Hair, face and suit, 256 x 192 pixels."""
    return Photo(np.ascontiguousarray(astronaut[:192, 128:384]))


@pytest.fixture(scope="module")
def coarser(texture_model):
    """The networks for a smaller copy of the photo."""
    return texture_model.coarser


@pytest.mark.parametrize("step", [DEFAULT_STEP, pytest.param(12, marks=pytest.mark.slow), 35])
def test_the_fine_map_is_the_dense_map_of_the_whole_photo_at_the_working_scale(photo, classifier, step):
    crop = classify_windows(photo, classifier, None, (1, 0, 0), step)
    long_side = classifier.card.long_side
    assert crop.region == Region(0, 192, 0, 256)
    assert crop.proxy.shape == (long_side * 3 // 4, long_side, 3) and crop.coarse.shape == crop.proxy.shape[:2]
    expected = interpolate_map(dense_map(crop.proxy, classifier, step), step, *crop.coarse.shape)
    np.testing.assert_array_equal(crop.coarse, expected)


def test_what_surrounds_a_place_comes_from_a_smaller_copy(photo, coarser):
    size = (640, 480)
    small = make_proxy(photo, (coarser.card.long_side, coarser.card.long_side * 3 // 4))
    for step, whole in ((0.25, 1), (2.6, 3)):
        expected = interpolate_map(dense_map(small, coarser, whole), whole, *small.shape[:2])
        expected = cv2.resize(expected, size, interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(context_map(photo, coarser, step, size), expected)


def test_the_log_odds_of_both_scales_are_added_up(photo, texture_model):
    fine, coarser, fusion = texture_model.fine, texture_model.coarser, texture_model.card.fusion
    alone, both = (classify_windows(photo, fine, other, fusion, 4) for other in (None, coarser))
    around = context_map(photo, coarser, 1, alone.coarse.shape[::-1])
    np.testing.assert_array_equal(both.coarse, fuse_log_odds(alone.coarse, around, fusion))
    assert np.abs(both.coarse - alone.coarse).max() > 0.1


@pytest.mark.slow
def test_the_map_is_improved_step_by_step(photo, texture_model):
    crop = classify_windows(photo, texture_model.fine, texture_model.coarser, texture_model.card.fusion, 4)
    before, after = postprocess(crop).coarse, postprocess(crop, texture_model.pixels.run).coarse
    np.testing.assert_array_equal(before, smooth_binomial(sharpen_noisy_or(crop.coarse)))
    uncertain = (before > UNCERTAIN_RANGE[0]) & (before < UNCERTAIN_RANGE[1])
    np.testing.assert_array_equal(after[~uncertain], before[~uncertain])
    assert np.abs(after - before)[uncertain].mean() > 0.02
    (whole,) = segment_photo(photo, texture_model.adjusted(step=4))
    np.testing.assert_array_equal(whole.coarse, after)


def test_fusion_is_the_sigmoid_of_a_weighted_sum():
    fine, coarse = np.array([[0.5, 0.9, 0.2]], np.float32), np.array([[0.5, 0.9, 0.6]], np.float32)
    np.testing.assert_allclose(fuse_log_odds(fine, coarse, (1, 0, 0)), fine, atol=1e-6)
    odds = 2 * np.log(fine / (1 - fine)) + 0.5 * np.log(coarse / (1 - coarse)) - 1
    np.testing.assert_allclose(fuse_log_odds(fine, coarse, (2, 0.5, -1)), 1 / (1 + np.exp(-odds)), rtol=1e-5)
    ends = fuse_log_odds(np.array([0, 1], np.float32), np.array([0, 1], np.float32), (1, 1, 0))
    assert ends.dtype == np.float32 and 0 <= ends[0] < 1e-5 and 1 - 1e-5 < ends[1] <= 1


@pytest.mark.slow
def test_a_model_without_the_other_parts_works(texture_model, tmp_path, photo):
    folder = shutil.copytree(
        texture_model.card.network.path.parent, tmp_path / "models", ignore=shutil.ignore_patterns("training", "*.md")
    )
    path = folder / f"{texture_model.card.name}.json"
    card = json.loads(path.read_text())
    for part in ("coarser", "fusion", "pixels"):
        del card[part]
    path.write_text(json.dumps(card))
    alone = open_model(engine="texture", step=20, device="cpu", folder=folder)
    assert alone.coarser is None and alone.pixels is None
    (crop,) = segment_photo(photo, alone)
    (expected,) = segment_photo(photo, replace(texture_model, coarser=None, pixels=None, step=20))
    np.testing.assert_array_equal(crop.coarse, expected.coarse)


@pytest.mark.slow
def test_the_pipeline_goes_on_from_there(photo, texture_model):
    model = texture_model.adjusted(step=20)
    hair = find_hair(photo, model)
    assert hair.matte.shape == (192, 256) and 0 < hair.share < 1
    raw = find_hair(photo, model, refine=False)
    assert np.abs(hair.matte - raw.matte).max() > 0.1 and raw.share == hair.share


def test_a_transparent_photo_is_refused(texture_model):
    with pytest.raises(NoHairError, match="fully transparent"):
        find_hair(Photo(np.zeros((50, 50, 3), np.uint8), np.zeros((50, 50), np.uint8)), texture_model)


def test_progress_rises_and_can_stop_the_work(photo, texture_model):
    said, model = [], texture_model.adjusted(step=4)
    find_hair(photo, model, report=lambda done, text: said.append(done))
    assert said == sorted(said) and said[-1] == 1 and len(said) > 8

    def stop(done, text):
        if done > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        find_hair(photo, model, report=stop)


@pytest.mark.parametrize("step", [0, -1, 36])
def test_impossible_steps_are_refused_before_any_work(texture_model, step):
    with pytest.raises(ValueError, match=f"a step of {step} pixels is not possible"):
        texture_model.adjusted(step=step)
