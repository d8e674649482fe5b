"""Random input for the public functions: what comes back has the promised shape, type and range, or is the documented error.

Shapes are tiny, thin and odd; arrays lie in memory in every way; values are ordinary, extreme or no numbers at all. Functions
that a user of the library or the worker calls are given anything; what only they call, is given what its docstring asks for.
"""

import json
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hairmask_core.color import coloring as colorings
from hairmask_core.color import gamut, recolor, shades, tone_curve, transform
from hairmask_core.color.blend import blend
from hairmask_core.errors import HairmaskError, PhotoError, RequestError, ShadeError
from hairmask_core.evaluation import evaluate, metrics
from hairmask_core.hair import strands
from hairmask_core.hair import tone as hair_tone
from hairmask_core.hair.highlights import highlight_order
from hairmask_core.hair.instances import limit_matte
from hairmask_core.hair.tone import sample_photo
from hairmask_core.matting import guided_filter, matting_network, upsampling
from hairmask_core.options import MOST_DEPTH, Coloring, Options, OptionsError, Request
from hairmask_core.photo import oklab
from hairmask_core.photo.files import read_photo, write_image
from hairmask_core.photo.pixels import FULL_SCALE, Photo, from_float, to_float
from hairmask_core.photo.proxy import make_proxy, proxy_size
from hairmask_core.photo.scaled_map import ScaledMap
from hairmask_core.photo.strips import row_strips
from hairmask_core.pipeline import assemble, find_hair, recolor_layer
from hairmask_core.segmentation import pixel_classifier, regions
from hairmask_core.segmentation.patch import fuse_log_odds, log_odds
from hairmask_core.segmentation.regions import Crop
from hairmask_core.segmentation.sliding_window import dense_map, interpolate_map
from hairmask_core.segmentation.whole_image import QUALITIES
from hairmask_core.server.pixel_files import (
    PIXEL_TYPES,
    MaskFiles,
    hash_pixels,
    pixel_file,
    read_pixels,
    to_photo,
    write_mask,
    write_pixels,
)

pytestmark = pytest.mark.slow  # all together

STORED = [np.uint8, np.uint16, np.float32]
OTHERS = [
    np.float16,
    np.float64,
    np.bool_,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.complex64,
    ">f4",
    ">u2",
    "U3",
    object,
]
SIDES = [1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 31]
VALUES = ["ordinary", "ordinary", "zeros", "full", "two levels"]
WILD = ["NaN", "infinite", "huge", "denormal", "negative", "all NaN", "all infinite"]
LAYOUTS = ["plain", "plain", "Fortran", "reversed", "sliced", "transposed", "read-only"]
NEAR = 1e-5  # of 0 and 1, for what is computed in float32


def fuzz(examples):
    """So many examples, the same ones in every run."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=quiet)


def fill(shape, dtype, values, seed):
    """An array of that shape and type (float: nominal range 0…1)."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    full = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    base = {"zeros": np.zeros(shape), "full": np.ones(shape), "two levels": rng.integers(0, 2, shape)}
    array = np.asarray(base.get(values, rng.random(shape)) * full).astype(dtype)
    wild = {"NaN": np.nan, "infinite": np.inf, "huge": 3e38, "denormal": 1e-42, "negative": 1.5}
    if dtype.kind == "f" and values.startswith("all "):
        array[...] = wild[values[4:]]
    elif dtype.kind == "f" and values in wild:
        there = rng.random(shape) < 0.3
        np.copyto(array, wild[values] * rng.choice([-1, 1], shape), "unsafe", there)
    return array


def lay_out(array, layout):
    """The same array, lying in memory another way."""
    if array.ndim < 2 or layout == "plain":
        return array
    if layout == "Fortran":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    if layout == "sliced":
        around = np.zeros((2 * array.shape[0] + 1, 3 * array.shape[1] + 1, *array.shape[2:]), array.dtype)
        around[1::2, 1::3] = array
        return around[1::2, 1::3]
    if layout == "transposed":
        return np.ascontiguousarray(array.swapaxes(0, 1)).swapaxes(0, 1)
    array.setflags(write=False)
    return array


@st.composite
def sizes(draw):
    """Height and width: small and odd, or long and thin."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.permutations([1, draw(st.integers(100, 900))]))
    return draw(st.sampled_from(SIDES)), draw(st.sampled_from(SIDES))


@st.composite
def pictures(draw, size=None, types=STORED, wild=True, channels=(3,)):
    """(H, W, 3) of a stored type, in any layout."""
    shape = (*(size or draw(sizes())), *channels)
    dtype = draw(st.sampled_from(types))
    values = draw(st.sampled_from(VALUES + (WILD if wild and dtype is np.float32 else [])))
    return lay_out(fill(shape, dtype, values, draw(st.integers(0, 999))), draw(st.sampled_from(LAYOUTS)))


def maps(size=None, wild=False):
    """(H, W) float32 in 0…1, or with anything in it."""
    return pictures(size, [np.float32], wild, ())


@st.composite
def anything(draw):
    """An array of any type, with any number of dimensions, perhaps empty."""
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 4, 5, 9]), max_size=4)))
    dtype = np.dtype(draw(st.sampled_from(STORED + OTHERS)))
    if dtype.kind in "fiu" and dtype.isnative:
        return fill(shape, dtype, draw(st.sampled_from(VALUES + WILD)), draw(st.integers(0, 999)))
    return np.zeros(shape, dtype)


def photos(wild=True):
    """A Photo, with or without alpha."""

    @st.composite
    def make(draw):
        rgb = draw(pictures(wild=wild))
        alpha = draw(pictures(rgb.shape[:2], [rgb.dtype.type], wild, ())) if draw(st.booleans()) else None
        return Photo(rgb, alpha)

    return make()


numbers = st.floats(0, 1, width=32)
colors = st.tuples(numbers, numbers, numbers)
tones = st.builds(
    lambda quantiles, colors, spread, light: hair_tone.HairTone(
        tuple(sorted(quantiles)),
        tuple((x, a - 0.5, b - 0.5) for x, (a, b) in zip(sorted(quantiles), colors, strict=True)),
        spread,
        light,
    ),
    st.lists(numbers, min_size=7, max_size=7),
    st.lists(st.tuples(numbers, numbers), min_size=7, max_size=7),
    numbers,
    st.just((1.0, 1.0, 1.0)) | st.tuples(*[st.floats(0.125, 3, width=32)] * 3),
)


def promise(array, shape, dtype, low=0, high=1):
    """Assert what a docstring promises of a result."""
    assert array.shape == tuple(shape) and array.dtype == dtype
    if array.size:
        assert low - NEAR <= array.min() and array.max() <= high + NEAR, (
            array.min(),
            array.max(),
        )  # not for NaN either


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of arithmetic with NaN
        yield


# Images


@given(array=pictures(wild=False) | pictures(wild=False, channels=()) | pictures(wild=False, channels=(5, 2)))
@fuzz(200)
def test_stored_pixels_to_numbers_and_back(array):
    numbers = to_float(array)
    promise(numbers, array.shape, np.float32)
    np.testing.assert_allclose(numbers, array / FULL_SCALE[array.dtype], atol=1e-6)
    np.testing.assert_array_equal(from_float(numbers, array.dtype), array)


@given(values=pictures(types=[np.float32]) | maps(wild=True), dtype=st.sampled_from(STORED))
@fuzz(200)
def test_any_numbers_to_stored_pixels(values, dtype):
    stored = from_float(values, dtype)
    assert stored.shape == values.shape and stored.dtype == dtype
    if dtype is not np.float32:
        known = np.isfinite(values)
        expected = np.clip(values[known].astype(float), 0, 1) * FULL_SCALE[np.dtype(dtype)]
        assert np.abs(stored[known] - expected).max(initial=0) <= 0.51


@given(rgb=anything() | pictures(), alpha=anything() | st.none())
@fuzz(200)
def test_a_photo_is_what_it_says_or_an_error(rgb, alpha):
    try:
        photo = Photo(rgb, alpha)
    except ValueError as error:
        assert str(error).count(":") == 1
        return
    assert photo.rgb.shape == (photo.height, photo.width, 3) and photo.rgb.dtype in FULL_SCALE
    assert alpha is None or (photo.alpha.shape == rgb.shape[:2] and photo.alpha.dtype == rgb.dtype)


@given(photo=photos(), size=sizes())
@fuzz(200)
def test_proxies(photo, size):
    promise(make_proxy(photo, size), (size[1], size[0], 3), np.float32)


@given(*[st.integers(1, 600000)] * 2, st.integers(1, 4000), st.integers(1, 64))
@fuzz(200)
def test_proxy_sizes_are_multiples_and_hold_the_aspect(width, height, long_side, multiple):
    w, h = proxy_size(width, height, long_side, multiple)
    assert w % multiple == h % multiple == 0 and min(w, h) >= multiple
    assert max(w, h) <= max(multiple, long_side + multiple / 2)


@given(st.integers(0, 5000), st.integers(0, 600000))
@fuzz(100)
def test_strips_cover_every_row_once(height, width):
    assert [row for rows in row_strips(height, width) for row in range(rows.start, rows.stop)] == list(range(height))


# Color


@given(pictures())
@fuzz(200)
def test_oklab_there_and_back(rgb):
    lab = oklab.rgb_to_oklab(rgb)
    assert lab.shape == rgb.shape and lab.dtype == np.float32
    inside = ((rgb >= 0) & (rgb <= 1)).all(axis=2) if rgb.dtype == np.float32 else np.full(rgb.shape[:2], True)
    np.testing.assert_allclose(oklab.oklab_to_rgb(lab)[inside], to_float(rgb)[inside], atol=2e-3)


@given(rgb=pictures(types=[np.float32], wild=False), seed=st.integers(0, 99))
@fuzz(100)
def test_any_oklab_color_is_shown(rgb, seed):
    promise(oklab.oklab_to_rgb(np.ascontiguousarray(2 * rgb - 0.5)), rgb.shape, np.float32)


@given(rgb=pictures() | pictures(channels=(4,)), tone=tones, shade=colors, strength=numbers)
@fuzz(250)
def test_recolor(rgb, tone, shade, strength):
    before = rgb.copy()
    out = recolor.recolor(rgb, tone, shade, strength)
    np.testing.assert_array_equal(rgb, before)
    np.testing.assert_array_equal(out[..., 3:], rgb[..., 3:])
    out, rgb = out[..., :3], rgb[..., :3]
    assert out.shape == rgb.shape and out.dtype == rgb.dtype
    if strength == 0:
        np.testing.assert_array_equal(out, rgb)
    elif strength == 1:
        promise(to_float(out), rgb.shape, np.float32)
    assert strength == 0 or rgb.dtype != np.float32 or np.isfinite(out).all()


@given(st.data())
@fuzz(150)
def test_recolor_in_any_coloring(data):
    rgb = data.draw(pictures())
    position = data.draw(maps(rgb.shape[:2], wild=True))
    order = data.draw(maps(rgb.shape[:2], wild=True))
    maps_of_it = colorings.Strands(*(ScaledMap(part[..., None], *part.shape) for part in (position, order)))
    unit = st.floats(0, 1)
    coloring = Coloring(
        data.draw(colors),
        tips=data.draw(st.none() | colors),
        highlights=data.draw(st.none() | colors),
        highlights_share=data.draw(unit),
        roots=data.draw(unit),
        depth=data.draw(st.floats(-MOST_DEPTH, MOST_DEPTH)),
        shine=data.draw(st.floats(-1, 1)),
    )
    out = np.concatenate([part for _, part in recolor.recolor_strips(rgb, data.draw(tones), coloring, maps_of_it)])
    ends = (-transform.FARTHEST, transform.FARTHEST) if coloring.roots else (0, 1)  # roots keep what they hold
    promise(to_float(out), rgb.shape, np.float32, *ends)


@given(rgb=anything(), tone=tones, shade=colors | st.tuples(st.floats(), st.floats()), strength=st.floats())
@fuzz(300)
def test_recolor_of_anything(rgb, tone, shade, strength):
    try:
        out = recolor.recolor(rgb, tone, shade, strength)
    except ValueError as error:
        assert re.search("must be|not possible|There is no shade", str(error))
    else:
        assert out.shape == rgb.shape and out.dtype == rgb.dtype and 0 <= strength <= 1


@given(st.data())
@fuzz(200)
def test_tone_and_its_color(data):
    rgb = data.draw(pictures(types=[np.float32], wild=False))
    tone = hair_tone.measure_tone(rgb, data.draw(maps(rgb.shape[:2])))
    assert list(tone.quantiles) == sorted(tone.quantiles)
    assert -NEAR <= tone.quantiles[0] and tone.quantiles[-1] <= 1 + NEAR and tone.spread >= 0
    assert tone.quantiles[0] <= tone.lit[0] <= tone.quantiles[-1] and max(map(abs, tone.lit[1:])) < 0.5
    promise(np.array(hair_tone.tone_color(tone)), (3,), float)


@given(tone=tones, shade=numbers)
@fuzz(200)
def test_lightness_curves_rise_and_stay_within(tone, shade):
    curve = tone_curve.lightness_curve(tone, shade, tone_curve.median_of(shade))
    ends = (float(oklab.perceived(np.float64(end))) for end in (gamut.DARKEST, gamut.LIGHTEST))
    promise(curve, (tone_curve.CURVE_SIZE,), float, *ends)
    assert (np.diff(curve) >= -1e-9).all()


@given(tone=tones, shade=colors)
@fuzz(100)
def test_make_dye_and_apply_it(tone, shade):
    made = tone_curve.make_transform(tone, shade)
    promise(made.curves, (4, tone_curve.CURVE_SIZE), np.float32, -0.5, tone_curve.STEEPEST)
    promise(made.variation, (7,), np.float32, -np.inf, np.inf)
    assert abs(made.variation[0]) <= 0.5
    promise(made.usual, (2, 5), np.float32, -np.inf, np.inf)
    rgb = np.random.default_rng(0).random((3, 5, 3), np.float32)
    promise(transform.apply_transform(rgb, made), rgb.shape, np.float32)


@given(colors, colors)
@fuzz(100)
def test_shades_between(roots, tips):
    found = colorings.shades_between(roots, tips)
    assert found[0] == roots and found[-1] == tips
    promise(np.array(found), (colorings.GRADIENT_SHADES, 3), float)


@given(st.data())
@fuzz(150)
def test_root_to_tip(data):
    rgb = data.draw(pictures())
    matte = data.draw(maps(rgb.shape[:2]))
    promise(strands.root_to_tip(rgb, matte).enlarge(*matte.shape), (*matte.shape, 1), np.float32)


@given(st.data())
@fuzz(50)
def test_highlight_order(data):
    rgb = data.draw(pictures())
    matte = data.draw(maps(rgb.shape[:2]))
    promise(highlight_order(rgb, matte).enlarge(*matte.shape), (*matte.shape, 1), np.float32)


# The matte


@given(p=maps())
@fuzz(150)
def test_votes(p):
    promise(pixel_classifier.sharpen_noisy_or(p), p.shape, np.float32)
    promise(pixel_classifier.smooth_binomial(p), p.shape, np.float32)
    promise(upsampling.clear_haze(p), p.shape, np.float32)


@given(p=maps(), size=sizes())
@fuzz(100)
def test_enlarge(p, size):
    promise(upsampling.enlarge_map(p, size[1], size[0]), size, np.float32, p.min(), p.max())


@given(st.data())
@fuzz(150)
def test_pixels_are_described_and_decided(data):
    rgb = data.draw(pictures(types=[np.float32], wild=False))
    p = data.draw(maps(rgb.shape[:2]))
    features = pixel_classifier.pixel_features(rgb, p)
    promise(features, (*p.shape, pixel_classifier.PIXEL_FEATURES), np.float32, -10, 10)
    out = pixel_classifier.reclassify(rgb, p, lambda x: x[:, 3] * 3 - 1)
    promise(out, p.shape, np.float32)
    sure = (p <= pixel_classifier.UNCERTAIN_RANGE[0]) | (p >= pixel_classifier.UNCERTAIN_RANGE[1])
    np.testing.assert_array_equal(out[sure], p[sure])


def network(x):
    """In place of the matting network: numbers of its shape that depend on what it sees."""
    assert (
        x.shape == (1, matting_network.MATTING_FEATURES, matting_network.MATTING_TILE, matting_network.MATTING_TILE)
        and x.dtype == np.float32
    )
    assert np.isfinite(x).all()
    return x[:, :4] * np.float32(3) - 1


@given(rgb=pictures(), coarse=maps(wild=True), network=st.sampled_from([None, None, None, network]))
@fuzz(300)
def test_refine(rgb, coarse, network):
    promise(upsampling.refine_outline(rgb, coarse, network), rgb.shape[:2], np.float32)


@given(rgb=anything(), coarse=anything() | maps())
@fuzz(300)
def test_refine_of_anything(rgb, coarse):
    try:
        promise(upsampling.refine_outline(rgb, coarse), rgb.shape[:2], np.float32)
    except ValueError as error:
        assert "must be" in str(error)


@given(st.data())
@fuzz(100)
def test_matting_parts(data):
    guide = data.draw(pictures(types=[np.float32], wild=False))
    p = data.draw(maps(guide.shape[:2]))
    assert np.isfinite(matting_network.matting_features(guide, p)).all()
    promise(matting_network.color_nearby(guide, p), guide.shape, np.float32, -1e-3, 1 + 1e-3)
    promise(matting_network.uncertain_share(p), p.shape, np.float32)
    promise(matting_network.decided_share(p, data.draw(st.floats(0.01, 50))), p.shape, np.float32)
    promise(
        matting_network.missing_hair(guide, p, data.draw(st.floats(0.01, 50)), np.dstack([guide, p])),
        p.shape,
        np.float32,
    )


@given(st.data())
@fuzz(40)
def test_matting_coefficients(data):
    guide = data.draw(pictures(types=[np.float32], wild=False))
    p = data.draw(maps(guide.shape[:2]))
    found = matting_network.matting_coefficients(guide, p, 3.0, network)
    assert found.shape == (*p.shape, 4) and found.dtype == np.float32 and np.isfinite(found).all()


@given(st.data())
@fuzz(150)
def test_guided_filter(data):
    guide = data.draw(pictures(types=[np.float32], wild=False))
    p = data.draw(maps(guide.shape[:2]))
    radius = data.draw(st.integers(1, 9))
    c = guided_filter.guided_filter_coefficients(guide, p, radius, upsampling.EPSILON)
    side = max(1, (2 * radius + 1) // guided_filter.FINENESS)
    assert c.shape == (*(max(1, round(length / side)) for length in p.shape), 4)
    assert c.dtype == np.float32 and np.isfinite(c).all()


# Regions


@given(glance=maps(), height=st.integers(1, 5000), width=st.integers(1, 5000))
@fuzz(200)
def test_regions_lie_within_the_photo_and_apart(glance, height, width):
    found = regions.find_regions(glance, height, width)
    for i, region in enumerate(found):
        assert 0 <= region.top < region.bottom <= height and 0 <= region.left < region.right <= width
        assert not any(region.overlaps(other) for other in found[:i])
        larger = regions.grow_region(region, glance, height, width)
        assert larger.union(region) == larger and larger.bottom <= height and larger.right <= width
        assert larger.top >= 0 and larger.left >= 0


@given(st.data())
@fuzz(100)
def test_tapered_mattes(data):
    matte = data.draw(maps()).copy()
    before, (height, width) = matte.copy(), matte.shape
    top, left, below, right = (data.draw(st.integers(0, 3)) for _ in range(4))
    region = regions.Region(top, top + height, left, left + width)
    promise(regions.feather(matte, region, top + height + below, left + width + right), before.shape, np.float32)
    assert (matte <= before).all()


@given(p=maps(), other=maps(), weights=st.tuples(numbers, numbers, numbers))
@fuzz(50)
def test_fusion(p, other, weights):
    promise(fuse_log_odds(p, cv2.resize(other, p.shape[::-1]), weights), p.shape, np.float32)
    promise(log_odds(p), p.shape, np.float32, -7, 7)


@given(st.data())
@fuzz(100)
def test_spread(data):
    height, width, step = (data.draw(st.integers(1, 40)) for _ in range(3))
    found = data.draw(maps((-(-height // step), -(-width // step))))
    out = interpolate_map(found, step, height, width)
    promise(out, (height, width), np.float32)
    np.testing.assert_allclose(out[::step, ::step], found, atol=1e-6)


@given(rgb=pictures(types=[np.float32], wild=False), step=st.integers(-2, 40))
@fuzz(30)
def test_windows_of_the_classifier(classifier, rgb, step):
    rgb = rgb[:40, :40]
    try:
        found = dense_map(rgb, classifier, step)
        promise(found, (-(-rgb.shape[0] // step), -(-rgb.shape[1] // step)), np.float32)
    except ValueError as error:
        assert "1 to 35" in str(error) and not 1 <= step <= 35


# The pipeline


@given(photo=photos(), quality=st.sampled_from(sorted(QUALITIES)), refined=st.booleans())
@fuzz(40)
def test_find_hair_and_recolor(model, photo, quality, refined):
    try:
        hair = find_hair(photo, model.adjusted(quality), refined)
    except HairmaskError as error:
        assert "fully transparent" in str(error) and not photo.alpha.any()
        return
    promise(hair.matte, (photo.height, photo.width), np.float32)
    assert 0 <= hair.share <= 1 and np.isfinite([*hair.tone.quantiles, *hair.tone.lit, hair.tone.spread]).all()
    out = recolor_layer(photo, hair, Coloring((0.2, 0.4, 0.9), tips=(1.0, 0.0, 0.0)))
    promise(to_float(out), photo.rgb.shape, np.float32)


@given(photo=photos(), matte=maps())
@fuzz(100)
def test_samples(photo, matte):
    matte = cv2.resize(matte, (photo.width, photo.height))
    rgb, p = sample_photo(photo, matte)
    promise(rgb, (*p.shape, 3), np.float32)
    promise(p, p.shape, np.float32)
    hair_tone.measure_tone(rgb, p)


@given(photo=photos(), coarse=maps(wild=True), refined=st.booleans(), seed=st.integers(0, 99))
@fuzz(100)
def test_looks_are_assembled(photo, coarse, refined, seed):
    rng = np.random.default_rng(seed)
    looks = []
    for _ in range(rng.integers(1, 4)):
        top, left = rng.integers(0, photo.height), rng.integers(0, photo.width)
        region = regions.Region(top, rng.integers(top, photo.height) + 1, left, rng.integers(left, photo.width) + 1)
        looks.append(Crop(region, None, np.clip(np.nan_to_num(coarse), 0, 1)))
    promise(assemble(photo, looks, refined), (photo.height, photo.width), np.float32)


@given(st.data())
@fuzz(200)
def test_blend(data):
    below = data.draw(pictures())
    above = data.draw(pictures(below.shape[:2], [below.dtype.type]))
    out = blend(below, above, data.draw(maps(below.shape[:2])))
    assert out.shape == below.shape and out.dtype == below.dtype
    if out.dtype == np.float32:
        ordinary = (np.abs(below) < 1e6) & (np.abs(above) < 1e6)
        low, high = np.minimum(below, above)[ordinary], np.maximum(below, above)[ordinary]
        assert (out[ordinary] >= low - 1e-5).all() and (out[ordinary] <= high + 1e-5).all()
    else:
        low, high = np.minimum(below, above).astype(int), np.maximum(below, above).astype(int)
        assert (out >= low - 1).all() and (out <= high + 1).all()


@given(below=anything(), above=anything(), matte=anything())
@fuzz(200)
def test_blend_of_anything(below, above, matte):
    try:
        out = blend(below, above, matte)
    except ValueError as error:
        assert "must be" in str(error)
    else:
        assert out.shape == below.shape and out.dtype == below.dtype


# Metrics


@st.composite
def judged(draw):
    """A probability map and the truth."""
    p = draw(maps())
    share = draw(st.sampled_from([0, 0.01, 0.5, 1]))
    return p, lay_out(
        np.random.default_rng(draw(st.integers(0, 99))).random(p.shape) < share, draw(st.sampled_from(LAYOUTS))
    )


@given(judged())
@fuzz(250)
def test_metrics_are_shares(judged):
    p, truth = judged
    found = p >= metrics.THRESHOLD
    for metric in ("iou", "f1", "pixel_accuracy", "mean_pixel_accuracy", "boundary_f_score"):
        measure = getattr(metrics, metric)
        assert 0 <= measure(found, truth) <= 1 and measure(truth, truth) == 1, metric
    assert 0 <= metrics.dice(p, truth) <= 1 + NEAR
    histogram = metrics.score_histogram(p, truth)
    assert histogram.shape == (2, metrics.BINS) and histogram.sum() == p.size
    precision, recall = metrics.precision_recall(histogram)
    promise(precision, (metrics.BINS,), float)
    promise(recall, (metrics.BINS,), float)
    assert 0 <= metrics.average_precision(histogram) <= 1 + NEAR


@given(found=anything(), truth=anything() | maps())
@fuzz(300)
def test_metrics_of_anything(found, truth):
    names = ("iou", "f1", "pixel_accuracy", "mean_pixel_accuracy", "boundary_f_score", "dice", "score_histogram")
    for metric in names:
        try:
            result = getattr(metrics, metric)(found, truth)
        except ValueError as error:
            assert "must be" in str(error)
        else:
            assert metric == "score_histogram" or 0 <= result <= 1


@given(answer=anything() | maps((4, 6), wild=True))
@fuzz(60)
def test_evaluate_of_whatever_is_predicted(answer, tmp_path):
    truth = np.zeros((4, 6), np.uint8)
    truth[:2] = 255
    for name in ("photo.png", "mask.png"):
        Image.fromarray(truth).save(tmp_path / name)
    try:
        result = evaluate.evaluate([(tmp_path / "photo.png", tmp_path / "mask.png")], lambda photo: answer)
    except ValueError as error:
        assert "must be" in str(error)
    else:
        assert all(0 <= value <= 1 for value in result["mean"].values())


# What comes from outside: names, requests, files


@given(text=st.text(max_size=30) | st.from_regex(r"#?[0-9a-fA-F]{3,7}", fullmatch=True))
@fuzz(300)
def test_shades_by_any_name(text):
    try:
        shade = shades.find_shade(text)
    except ShadeError as error:
        assert "#rrggbb" in str(error)
    else:
        promise(np.array(shade.rgb), (3,), float)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=9)
    | st.just("exchange-a"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["photo", "x"]), inner, max_size=2),
    max_leaves=6,
)
OPTIONS = Options(shade="copper", device="cpu").to_dict()
REQUEST = Request.of_layer(Options(**OPTIONS), (3, 2), "u8", "u8").to_dict()


@given(
    changes=st.dictionaries(st.sampled_from(sorted(REQUEST | OPTIONS)), json_values, max_size=3),
    less=st.sampled_from(["", *REQUEST]),
)
@fuzz(500)
def test_any_request_is_understood_or_refused(changes, less):
    options = OPTIONS | {key: value for key, value in changes.items() if key in OPTIONS}
    said = REQUEST | {"options": options} | {key: value for key, value in changes.items() if key in REQUEST}
    said = {key: value for key, value in said.items() if key != less or key in changes}
    try:
        request = Request.from_dict(said)
    except OptionsError as error:
        assert ":" in str(error) and len(str(error)) < 500
        return
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    assert request.width >= 1 and request.height >= 1 and 0 <= request.options.strength <= 1
    for name in request.files:
        try:
            assert pixel_file(Path("/private"), name).parent == Path("/private")
        except RequestError as error:
            assert ":" in str(error)


@given(data=st.data())
@fuzz(200)
def test_pixels_in_files(data, tmp_path):
    rgba = data.draw(pictures(channels=(4,)))
    kind = {np.dtype(kind): kind for kind in PIXEL_TYPES.values()}[rgba.dtype]
    width, height = rgba.shape[1], rgba.shape[0]
    path = tmp_path / "exchange-1"
    path.write_bytes(rgba.tobytes())
    pixels = read_pixels(path, width, height, kind)
    assert pixels.shape == rgba.shape and pixels.dtype == rgba.dtype and np.isfinite(pixels).all()
    known = np.isfinite(rgba)
    np.testing.assert_array_equal(pixels[known], rgba[known])
    photo = to_photo(pixels)
    np.testing.assert_array_equal(photo.rgb, pixels[..., :3])
    assert len(hash_pixels(pixels)) == len(hash_pixels(photo.rgb)) == 16
    write_pixels(path, pixels.nbytes, [pixels[:1], pixels[1:]])
    np.testing.assert_array_equal(read_pixels(path, width, height, kind), pixels)
    with pytest.raises(RequestError):
        read_pixels(path, width + 1, height, kind)
    path.write_bytes(np.ascontiguousarray(pixels[..., :3]).tobytes())
    opaque = read_pixels(path, width, height, kind, alpha=False)
    np.testing.assert_array_equal(opaque[..., :3], pixels[..., :3])
    assert opaque.shape == pixels.shape and (opaque[..., 3] == FULL_SCALE[pixels.dtype]).all()
    matte = data.draw(maps((height, width)))
    write_mask(path, matte, np.float32)
    np.testing.assert_array_equal(limit_matte(np.ones_like(matte), MaskFiles([path], matte.shape)), matte)
    limit = data.draw(maps((height, width), wild=True))
    path.write_bytes(limit.tobytes())
    promise(limit_matte(matte, MaskFiles([path], matte.shape)), matte.shape, np.float32)


FORMATS = ["png", "tif", "jpg", "webp", "bmp", "gif"]


@given(data=st.data())
@fuzz(400)
def test_damaged_files(data, tmp_path):
    """Files with wrong bytes, missing ends, and mere noise."""
    ending = data.draw(st.sampled_from(FORMATS))
    path = tmp_path / f"photo.{ending}"
    picture = data.draw(pictures((5, 7), [np.uint8, np.uint16] if ending in ("png", "tif") else [np.uint8], wild=False))
    if picture.dtype == np.uint16:
        write_image(path, picture)
    else:
        Image.fromarray(np.ascontiguousarray(picture)).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content), len(content) // 2, 20]))]
    path.write_bytes(data.draw(st.sampled_from([b"", b"\0" * 50])) + content)
    try:
        photo = read_photo(path)
    except PhotoError as error:
        assert ":" in str(error)
    else:
        assert photo.rgb.shape == (photo.height, photo.width, 3) and photo.rgb.dtype in FULL_SCALE


@given(values=maps(wild=True))
@fuzz(60)
def test_floating_point_photos_have_numbers_only(values, tmp_path):
    path = tmp_path / "photo.tif"
    Image.fromarray(np.ascontiguousarray(values)).save(path)
    photo = read_photo(path)
    assert photo.rgb.shape == (*values.shape, 3) and photo.rgb.dtype == np.float32 and np.isfinite(photo.rgb).all()


@pytest.mark.parametrize("ending", [".webp", ".jpg"])
def test_pictures_too_large_for_a_format(ending, tmp_path):
    with pytest.raises(PhotoError, match="png instead"):
        write_image(tmp_path / f"long{ending}", np.zeros((1, 70000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@given(name=st.text(min_size=1, max_size=40) | st.sampled_from(["a" * 300, "x" * 5000, "a\0b", "..", "\ud800"]))
@fuzz(100)
def test_names_of_photos_that_are_none(name, tmp_path):
    with pytest.raises(PhotoError):
        read_photo(tmp_path / name / "photo.png")


@given(
    pixels=pictures() | maps(wild=True) | anything(),
    ending=st.sampled_from([".png", ".jpg", ".tif", ".webp", ".xyz", ""]),
)
@fuzz(200)
def test_images_are_written_or_refused(pixels, ending, tmp_path):
    path = tmp_path / ("out" + ending)
    path.unlink(missing_ok=True)
    try:
        write_image(path, pixels)
    except (PhotoError, ValueError):
        assert not path.exists()
    else:
        assert read_photo(path).rgb.shape[:2] == pixels.shape[:2]
