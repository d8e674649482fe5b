"""From photo to recolored photo: what holds for the whole way."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from hairmask_core.color.blend import blend, take_color
from hairmask_core.errors import Cancelled, ModelError, NoHairError, ShadeError
from hairmask_core.evaluation.metrics import iou
from hairmask_core.hair.instances import divide_hair
from hairmask_core.options import Coloring
from hairmask_core.photo.pixels import Photo, from_float, to_float
from hairmask_core.pipeline import assemble, compose, find_hair, recolor, recolor_layer, require_hair, segment_photo
from hairmask_core.segmentation.whole_image import QUALITIES, segment


def test_found_where_it_is_and_nowhere_else(astronaut, model):
    hair = find_hair(Photo(astronaut), model)
    require_hair(hair)
    assert hair.matte.shape == (512, 512) and hair.matte.dtype == np.float32
    assert 0.03 < hair.share < 0.05
    rows, columns = np.nonzero(hair.matte > 0.5)
    assert 10 < rows.min() < 30 and 120 < rows.max() < 140 and 150 < columns.min() < 165 and 295 < columns.max() < 310


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_every_depth_finds_the_same(astronaut, model, dtype):
    deep = astronaut.astype(np.uint16) * 257 if dtype is np.uint16 else astronaut.astype(np.float32) / 255
    difference = find_hair(Photo(deep), model).matte - find_hair(Photo(astronaut), model).matte
    # 8-bit proxies are rounded to 8 bits, which the network answers by as much here and there where it is unsure.
    assert np.abs(difference).max() < 0.05 and np.abs(difference).mean() < 1e-4


def test_sizes_of_one_photo_agree(astronaut, model):
    small = find_hair(Photo(astronaut[::2, ::2].copy()), model)
    large = find_hair(Photo(astronaut.repeat(3, 0).repeat(3, 1)), model)
    assert small.share == pytest.approx(large.share, rel=0.1)


def scattered(astronaut, places, height, width, side):
    """The astronaut's picture, shrunk, at each of the places (top, left) of a brick wall."""
    wall = cv2.resize(skimage.data.brick(), (width, height), interpolation=cv2.INTER_CUBIC)[..., None].repeat(3, 2)
    small = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)
    for top, left in places:
        wall[top : top + side, left : left + side] = small
    return Photo(np.ascontiguousarray(wall))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("places", [[(200, 500)], [(150, 80), (150, 700), (900, 420), (1500, 900)]])
def test_small_heads_are_found_like_large_ones(astronaut, model, quality, places):
    side = 230
    photo = scattered(astronaut, places, 1875, 1250, side)
    model = model.adjusted(quality)
    alone = find_hair(Photo(astronaut), model).matte
    expected = cv2.resize(alone, (side, side), interpolation=cv2.INTER_AREA) >= 0.5
    found = find_hair(photo, model).matte >= 0.5
    for top, left in places:
        here = found[top : top + side, left : left + side]
        assert iou(here, expected) > 0.75
        found[top : top + side, left : left + side] = False
    assert found.mean() < 0.002  # of the wall


def test_a_faint_matte_does_not_end_in_a_straight_line(astronaut, model):
    matte = find_hair(scattered(astronaut, [(200, 500)], 1875, 1250, 230), model).matte
    for axis in (0, 1):
        assert np.abs(np.diff(matte.mean(axis=axis))).max() < 0.05


def test_what_lies_under_transparency_does_not_matter(astronaut, model):
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[:, 320:] = 0
    other = astronaut.copy()
    other[:, 330:] = np.random.default_rng(11).integers(0, 256, (512, 182, 3), np.uint8)
    mattes = [find_hair(Photo(rgb, alpha), model, refine=False).matte[:, :320] for rgb in (astronaut, other)]
    np.testing.assert_allclose(*mattes, atol=1e-3)


def test_transparent_photo_is_said_to_be_empty(astronaut, model):
    with pytest.raises(NoHairError, match="fully transparent"):
        find_hair(Photo(astronaut, np.zeros((512, 512), np.uint8)), model)


def test_photo_without_hair(model):
    hair = find_hair(Photo(skimage.data.rocket()), model)
    assert not hair.found
    with pytest.raises(NoHairError, match="No hair was found"):
        require_hair(hair)


@pytest.mark.slow
def test_it_can_be_stopped_at_every_report(astronaut, model):
    large = Photo(np.tile(astronaut, (2, 2, 1)))
    count = 0

    def run(stop_at):
        nonlocal count
        count = 0

        def report(fraction, text):
            nonlocal count
            assert 0 <= fraction <= 1 and text
            count += 1
            if count == stop_at:
                raise Cancelled

        hair = find_hair(large, model, report=report)
        recolor_layer(large, hair, (0.5, 0.2, 0.1), report=report)

    run(0)
    assert count >= 8
    for stop_at in range(1, count + 1):
        with pytest.raises(Cancelled):
            run(stop_at)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_gives_no_numbers_is_said_to(model, value):
    class Broken:
        card = model.network.card

        def run(self, x):
            return np.full((1, 1, *x.shape[2:]), value, np.float32)

    with pytest.raises(ModelError, match="no usable probability map"):
        segment(np.zeros((64, 64, 3), np.float32), Broken())


def test_best_follows_strands_and_fast_the_guided_filter(astronaut, model):
    photo, best = Photo(astronaut), model.adjusted("best")
    for asked, network in ((model, None), (best, model.matting.run)):
        expected = assemble(photo, segment_photo(photo, asked), network=network)
        np.testing.assert_array_equal(find_hair(photo, asked).matte, expected)
    without = replace(best, matting=None)  # a model whose card names no matting network
    np.testing.assert_array_equal(find_hair(photo, without).matte, assemble(photo, segment_photo(photo, best)))


def test_impossible_qualities_are_refused_before_any_work(model):
    with pytest.raises(ValueError, match="There is no quality 'finest'"):
        model.adjusted("finest")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_recolored_photo_is_the_layer_over_the_photo_with_its_alpha_and_profile(astronaut, model, dtype):
    rgb = from_float(astronaut.astype(np.float32) / 255, dtype)
    photo = Photo(rgb, np.ascontiguousarray(rgb[..., 0]), b"a profile")
    hair = find_hair(photo, model)
    out = recolor(photo, hair, Coloring("copper", strength=0.8, tips=(0.1, 0.2, 0.9)))
    layer = recolor_layer(photo, hair, Coloring("#b5592b", strength=0.8, tips=(0.1, 0.2, 0.9)))  # copper
    np.testing.assert_array_equal(out.rgb, blend(rgb, layer, hair.matte))
    assert out.rgb.dtype == dtype and out.alpha is photo.alpha and out.icc_profile == b"a profile"
    with pytest.raises(ShadeError, match="nearest is 'copper'"):
        recolor(photo, hair, "coper")


@pytest.mark.parametrize("only_color", [False, True])
def test_a_composed_picture_shows_the_masked_layer(astronaut, model, only_color):
    hair = find_hair(Photo(astronaut), model)
    (part,) = divide_hair(hair, None, [np.linspace(0, 1, 512, dtype=np.float32)[None].repeat(512, 0)])
    rgba = np.dstack([astronaut, astronaut[..., 0]])
    picture = rgba.copy()
    compose(picture, rgba, part, Coloring((0.1, 0.2, 0.8), strength=0.7), only_color=only_color)
    layer = recolor_layer(Photo(astronaut), hair, Coloring((0.1, 0.2, 0.8), strength=0.7))
    above = take_color(astronaut, layer) if only_color else layer
    np.testing.assert_array_equal(picture[..., :3], blend(astronaut, above, part.matte))
    np.testing.assert_array_equal(picture[..., 3], rgba[..., 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_color_of_one_photo_with_the_lightness_of_another(astronaut, dtype):
    """As the layer mode LCh Color: a gray photo stays as gray as its color layer, and gray over color takes the color away."""
    photo = from_float(astronaut[:200].astype(np.float32) / 255, dtype)
    assert np.abs(to_float(take_color(photo, photo)) - to_float(photo)).max() <= 1.01 / 255
    gray = np.full_like(photo, photo.max() // 2 if dtype != np.float32 else 0.5)
    faded = from_float(take_color(photo, gray), np.uint8).astype(int)
    assert np.ptp(faded, axis=2).max() <= 1  # no color left
    before, after = (cv2.cvtColor(to_float(x), cv2.COLOR_RGB2Lab)[..., 0] for x in (photo, take_color(photo, gray)))
    assert np.abs(before - after).max() <= 0.6
