"""The dense map of the patch classifier: the sliding window's own numbers."""

import numpy as np
import pytest

from hairmask_core.errors import Cancelled, ModelError
from hairmask_core.options import LARGEST_STEP
from hairmask_core.segmentation.sliding_window import (
    cheapest_way,
    dense_map,
    interpolate_map,
    slide_window,
)

pytestmark = pytest.mark.slow  # all together


@pytest.fixture(scope="module")
def photo(astronaut):
    """Hair, skin and background, (64, 56, 3)."""
    return astronaut[110:174, 190:246].astype(np.float32) / 255


def by_hand(photo, classifier, y, x):
    """One window, cut from the photo continued by numpy's reflection."""
    margin = classifier.card.window // 2
    padded = np.pad(photo, ((margin, margin), (margin, margin), (0, 0)), "reflect")
    window = padded[y : y + classifier.card.window, x : x + classifier.card.window]
    x = (window - classifier.card.mean) * classifier.card.scale
    return classifier.strided.run(np.ascontiguousarray(x.transpose(2, 0, 1)[None]))[0, 0, 0, 0]


@pytest.mark.slow
def test_step_1_equals_the_sliding_window_everywhere(photo, classifier):
    assert cheapest_way(classifier, 1) == "dilated"
    found = dense_map(photo, classifier)
    assert found.shape == photo.shape[:2] and found.dtype == np.float32
    assert found.std() > 0.1  # there is something to differ in
    np.testing.assert_allclose(found, slide_window(photo, classifier, 1), atol=1e-4)
    for y, x in ((0, 0), (0, 55), (63, 0), (63, 55), (17, 17), (38, 31), (63, 40)):
        assert found[y, x] == pytest.approx(by_hand(photo, classifier, y, x), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_step_1_equals_the_sliding_window_on_random_crops(astronaut, classifier, seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2)
    top, left = rng.integers(0, 512 - 60, 2)
    crop = astronaut[top : top + height, left : left + width].astype(np.float32) / 255
    np.testing.assert_allclose(dense_map(crop, classifier), slide_window(crop, classifier, 1), atol=1e-4)


def test_every_step_is_a_part_of_step_1(photo, classifier):
    whole = dense_map(photo, classifier)
    ways = set()
    for step in range(1, LARGEST_STEP + 1):
        found = dense_map(photo, classifier, step)
        assert found.shape == (-(-64 // step), -(-56 // step))
        np.testing.assert_allclose(found, whole[::step, ::step], atol=1e-4)
        ways.add(cheapest_way(classifier, step))
    assert ways == {"dilated", "strided", "windows"}


@pytest.mark.parametrize("step", [1, 2, 3, 30])
@pytest.mark.parametrize("tile", [1, 7, 50, 1000])
def test_tiles_change_nothing(photo, classifier, tile, step):
    photo = photo[:40, :33]
    np.testing.assert_allclose(dense_map(photo, classifier, step, tile), dense_map(photo, classifier, step), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (34, 34), (35, 35)])
def test_photos_smaller_than_the_window(classifier, size):
    photo = np.random.default_rng(1).random((*size, 3)).astype(np.float32)
    found = dense_map(photo, classifier)
    assert found.shape == size and ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found, slide_window(photo, classifier, 1), atol=1e-4)


def test_one_color_gives_one_probability(classifier):
    found = dense_map(np.full((50, 60, 3), 0.5, np.float32), classifier)
    assert np.ptp(found) < 1e-5


@pytest.mark.parametrize("step", [0, -1, 36])
def test_impossible_steps_are_refused(photo, classifier, step):
    with pytest.raises(ValueError, match=f"a step of {step} pixels is not possible"):
        dense_map(photo, classifier, step)


def test_progress_is_told_tile_by_tile_and_can_stop_the_work(photo, classifier):
    said = []
    dense_map(photo, classifier, tile=24, report=said.append)
    assert len(said) == 9 and said == sorted(said) and said[-1] == 1

    def stop(done):
        said.append(done)
        raise Cancelled

    said.clear()
    with pytest.raises(Cancelled):
        dense_map(photo, classifier, tile=24, report=stop)
    assert len(said) == 1


def test_numbers_that_are_none_are_an_error(photo, classifier):
    with pytest.raises(ModelError, match="no usable probabilities"):
        dense_map(np.full_like(photo, np.nan), classifier)


# Between the windows


@pytest.mark.parametrize("step", [1, 2, 5, 35])
def test_spread_keeps_every_window_in_its_place(step):
    found = np.random.default_rng(step).random((-(-50 // step), -(-41 // step))).astype(np.float32)
    out = interpolate_map(found, step, 50, 41)
    assert out.shape == (50, 41) and out.dtype == np.float32
    np.testing.assert_allclose(out[::step, ::step], found, atol=1e-6)
    assert out.min() >= found.min() - 1e-6 and out.max() <= found.max() + 1e-6


def test_spread_is_bilinear():
    ramp = np.add.outer(np.arange(0, 40, 4), 2 * np.arange(0, 40, 4)).astype(np.float32)
    expected = np.add.outer(np.arange(37), 2 * np.arange(37))
    np.testing.assert_allclose(interpolate_map(ramp, 4, 37, 37), expected, atol=1e-4)
