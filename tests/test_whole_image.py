"""Multi-scale inference by the whole-image network: views of a photo and what becomes of them."""

import numpy as np
import pytest

from hairmask_core.photo.pixels import Photo
from hairmask_core.segmentation.regions import Crop, Region
from hairmask_core.segmentation.whole_image import (
    QUALITIES,
    add_overview,
    average_crops,
    segment_at_scales,
    segment_crop,
)


def ramp(height, width, region, photo_width):
    """A crop whose map is the column's place in the photo, 0…1."""
    x = (np.arange(width) + 0.5) / width * region.width + region.left
    p = np.repeat((x / photo_width).astype(np.float32)[None], height, axis=0)
    return Crop(region, np.zeros((height, width, 3), np.float32), p)


def test_overview_is_taken_from_the_same_place():
    overview = ramp(96, 64, Region(0, 960, 0, 640), 640)
    crop = ramp(40, 50, Region(300, 500, 200, 450), 640)
    np.testing.assert_allclose(add_overview(crop, overview, 1).coarse, crop.coarse, atol=2e-3)


@pytest.mark.parametrize("views", [1, 4])
def test_overview_counts_for_less_where_it_saw_less(views):
    overview = ramp(96, 64, Region(0, 960, 0, 640), 640)
    blank = np.zeros((60, 50), np.float32)
    closer = Crop(Region(300, 500, 200, 450), np.zeros((60, 50, 3), np.float32), blank)  # 2 pixels where it had 1
    alike = Crop(overview.region, overview.proxy, np.zeros_like(overview.coarse))
    there = ramp(60, 50, closer.region, 640).coarse
    np.testing.assert_allclose(add_overview(closer, overview, views).coarse, there * 0.5 / (views + 0.5), atol=2e-3)
    np.testing.assert_allclose(add_overview(alike, overview, views).coarse, overview.coarse / (views + 1), atol=1e-5)


def test_views_of_several_scales_become_one_of_the_largest():
    region = Region(0, 100, 0, 100)
    one = average_crops([ramp(32, 32, region, 100), ramp(64, 64, region, 100)])
    assert one.coarse.shape == (64, 64) and one.proxy.shape == (64, 64, 3)
    np.testing.assert_allclose(one.coarse[:, 4:-4], ramp(64, 64, region, 100).coarse[:, 4:-4], atol=1e-2)


def test_mirrored_view_is_the_mirror_images_turned_back(astronaut, model):
    photo, mirror, region = Photo(astronaut), Photo(astronaut[:, ::-1]), Region(0, 512, 0, 512)
    mirrored = segment_crop(photo, region, model.network, (1.0, True))
    np.testing.assert_allclose(
        mirrored.coarse, segment_crop(mirror, region, model.network, (1.0, False)).coarse[:, ::-1], atol=1e-5
    )
    np.testing.assert_array_equal(mirrored.proxy, segment_crop(photo, region, model.network, (1.0, False)).proxy)


def test_small_regions_are_not_enlarged_beyond_reason(astronaut, model):
    crop = segment_crop(Photo(astronaut), Region(0, 40, 200, 240), model.network, (1.0, False))
    assert max(crop.coarse.shape) == 160


@pytest.mark.parametrize("preset", QUALITIES.values())
def test_progress_only_rises(astronaut, model, preset):
    said = []
    crops = segment_at_scales(Photo(astronaut), model.network, preset, said.append)
    assert said == sorted(said) and 0 < said[-1] < 1
    for crop in crops:
        assert crop.coarse.dtype == np.float32 and crop.proxy.shape[:2] == crop.coarse.shape
