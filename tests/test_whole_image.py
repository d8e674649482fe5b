"""Multi-scale inference by the whole-image network: views of a photo and what becomes of them."""

import numpy as np
import pytest

from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.pipeline import assemble, find_hair
from hairmask_core.segmentation.regions import Crop, Region
from hairmask_core.segmentation.whole_image import (
    QUALITIES,
    add_overview,
    average_crops,
    certainty,
    segment_at_scales,
    segment_crop,
    segment_in_parts,
    surest_turn,
    turn_crop,
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


def wall_with_people(astronaut, width, height, places):
    """The portrait at those places of a plain wall, (left, top) each."""
    wall = np.full((height, width, 3), 170, np.uint8)
    wall += np.random.default_rng(0).integers(0, 9, (height, width, 1), np.uint8)
    for left, top in places:
        wall[top : top + 512, left : left + 512] = astronaut
    return wall


@pytest.mark.parametrize(
    ("width", "height", "places"),
    [
        (3584, 512, [(512 * i, 0) for i in range(7)]),  # side by side, as in a group's panorama
        (512, 2560, [(0, 0), (0, 1536)]),
        pytest.param(
            10000, 1000, [(700, 300), (8000, 400)], marks=pytest.mark.slow
        ),  # far away from each other and small
    ],
)
def test_everybody_is_found_in_a_strip(model, astronaut, width, height, places):
    alone = find_hair(Photo(astronaut), model).matte > 0.5
    expected = np.zeros((height, width), bool)
    for left, top in places:
        expected[top : top + 512, left : left + 512] = alone
    found = find_hair(Photo(wall_with_people(astronaut, width, height, places)), model).matte > 0.5
    assert (found & expected).sum() / (found | expected).sum() > 0.97


def test_a_strip_is_looked_at_in_parts_that_overlap(model):
    sizes = []

    class Counted:
        card = model.network.card

        def run(self, x):
            sizes.append(x.shape[2:])
            return np.full((1, 1, *x.shape[2:]), 0.25, np.float32)

    for shape in ((64, 1024, 3), (1024, 64, 3)):
        sizes.clear()
        found = segment_in_parts(np.zeros(shape, np.float32), 320, Counted())
        np.testing.assert_allclose(found, 0.25, rtol=1e-6)
        assert len(sizes) == 4 and {max(size) for size in sizes} == {320} and {min(size) for size in sizes} == {64}
    sizes.clear()
    segment_in_parts(np.zeros((448, 320, 3), np.float32), 320, Counted())  # no strip
    assert sizes == [(448, 320)]


@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1), (3, 524288)])
def test_the_thinnest_strips_are_looked_at_too(model, height, width):
    assert not find_hair(Photo(np.full((height, width, 3), 120, np.uint8)), model).found


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_a_crop_turned_is_the_crop_of_the_turned_photo(turns):
    photo = np.random.default_rng(5).random((50, 80)).astype(np.float32)
    region = Region(10, 30, 15, 60)
    crop = Crop(region, np.zeros((1, 1, 3), np.float32), photo[region.slices])
    turned = turn_crop(crop, turns, 50, 80)
    np.testing.assert_array_equal(turned.coarse, np.rot90(photo, turns)[turned.region.slices])


class KnowsUpright:
    """A network that takes what is bright for hair, and is sure of it and of the rest in the upper half only.

    hat: it takes the bright for a hat there, rather, and is surer elsewhere that it is hair. classes: that it tells apart.
    """

    def __init__(self, card, unsure, hat=False, classes=5):
        self.card, self.unsure, self.hat, self.classes = card, unsure, hat, classes

    def run(self, x):
        bright = (x[:, :1] > x.mean()).astype(np.float32)
        upper = np.arange(x.shape[2])[:, None] < x.shape[2] // 2
        sure = np.where(upper, 0.97, self.unsure) * bright
        hair = np.where(upper, 0.4, self.unsure) * bright if self.hat else sure
        dark = (1 - bright) * (0.97 if (bright * upper).sum() > bright.sum() / 2 else self.unsure)
        maps = [hair, sure - hair, bright - sure, dark, 1 - bright - dark]
        return np.concatenate(maps[: self.classes], axis=1).astype(np.float32)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize(("dtype", "classes"), [(np.uint8, 5), (np.uint16, 5), (np.float32, 5), (np.uint8, 1)])
def test_photos_that_lie_or_stand_on_their_head_are_turned_where_that_is_clearly_surer(model, dtype, classes, turns):
    upright = np.zeros((320, 240, 3), np.float32)
    upright[30:60, 100:140] = 1
    photo = Photo(np.ascontiguousarray(np.rot90(from_float(upright, dtype), turns)), None)
    network = KnowsUpright(model.network.card, 0.6, classes=classes)
    assert surest_turn(photo, network) == (-turns) % 4 or turns == 0
    crops = segment_at_scales(photo, network, QUALITIES["fast"], lambda fraction: None)
    for crop in crops:
        assert crop.coarse.max() > 0.9 and crop.coarse.shape == crop.proxy.shape[:2]
        assert crop.region.bottom <= photo.height and crop.region.right <= photo.width
    found = assemble(photo, crops, refine=False) > 0.5
    expected = np.rot90(upright[..., 0], turns) > 0.5
    assert (found & expected).sum() / (found | expected).sum() > 0.6


def test_no_photo_is_turned_that_is_as_sure_upright(model, astronaut):
    photo = Photo(np.rot90(astronaut, 2))
    assert surest_turn(Photo(astronaut), model.network) == 0
    for classes in (1, 5):
        assert surest_turn(photo, KnowsUpright(model.network.card, 0.95, classes=classes)) == 0
    assert surest_turn(Photo(np.zeros((64, 64, 3), np.uint8)), model.network) == 0


def test_a_hat_that_would_pass_for_hair_upside_down_leaves_the_photo_upright(model):
    photo = np.zeros((320, 240, 3), np.uint8)
    photo[30:90, 80:160] = 255
    network = KnowsUpright(model.network.card, 0.6, hat=True)
    assert surest_turn(Photo(photo), network) == 0
    assert surest_turn(Photo(np.ascontiguousarray(np.rot90(photo, 2))), network) == 2


def test_certainty_is_one_where_all_is_clear_and_zero_where_nothing_is():
    clear, unclear = np.zeros((5, 4, 6), np.float32), np.full((5, 4, 6), 0.2, np.float32)
    clear[1] = 1
    assert certainty(clear) == pytest.approx(1) and certainty(unclear) == pytest.approx(0, abs=1e-6)
    bit = np.full((2, 4, 6), 0.11, np.float32)
    bit[1] = 0.89
    assert certainty(bit) == pytest.approx(0.5, abs=1e-3)  # H(0.11) is half a bit
