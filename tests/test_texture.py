"""Hair by texture: from the photo to the look, and on through the pipeline."""

import numpy as np
import pytest

from hairmask_core.dense import dense_map, spread
from hairmask_core.errors import Cancelled, NoHairError
from hairmask_core.image import Photo
from hairmask_core.pipeline import find_hair, find_looks
from hairmask_core.regions import Region
from hairmask_core.texture import STEP


@pytest.fixture(scope="module")
def photo(astronaut):
    """Hair, face and suit, 256 x 192 pixels."""
    return Photo(np.ascontiguousarray(astronaut[:192, 128:384]))


@pytest.mark.parametrize("step", [STEP, 5, 35])
def test_the_look_is_the_dense_map_of_the_whole_photo_at_the_working_scale(photo, classifier, step):
    (look,) = find_looks(photo, classifier, step=step)
    long_side = classifier.card.long_side
    assert look.region == Region(0, 192, 0, 256)
    assert look.proxy.shape == (long_side * 3 // 4, long_side, 3) and look.coarse.shape == look.proxy.shape[:2]
    expected = spread(dense_map(look.proxy, classifier, step), step, *look.coarse.shape)
    np.testing.assert_array_equal(look.coarse, expected)


def test_the_pipeline_goes_on_from_there(photo, classifier):
    hair = find_hair(photo, classifier, step=9)
    assert hair.matte.shape == (192, 256) and 0 < hair.share < 1
    raw = find_hair(photo, classifier, refined=False, step=9)
    assert np.abs(hair.matte - raw.matte).max() > 0.1 and raw.share == hair.share


def test_a_transparent_photo_is_refused(classifier):
    with pytest.raises(NoHairError, match="fully transparent"):
        find_hair(Photo(np.zeros((50, 50, 3), np.uint8), np.zeros((50, 50), np.uint8)), classifier)


def test_progress_rises_and_can_stop_the_work(photo, classifier):
    said = []
    find_hair(photo, classifier, step=4, report=lambda done, text: said.append(done))
    assert said == sorted(said) and said[-1] == 1 and len(said) > 8

    def stop(done, text):
        if done > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        find_hair(photo, classifier, step=4, report=stop)
