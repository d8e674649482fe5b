"""The colors of the outline: hair alone is dyed there, and what is no hair stays."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hairmask_core.color.blend import blend
from hairmask_core.color.coloring import Strands
from hairmask_core.color.edges import EXCESS
from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import find_shade
from hairmask_core.hair.instances import HairInstances, divide_hair
from hairmask_core.hair.tone import Hair, measure_tone
from hairmask_core.matting.foreground import CHANNELS, LONG_SIDE, discriminant, edge_colors, separate_colors
from hairmask_core.options import Coloring
from hairmask_core.photo.base import find_base
from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.photo.scaled_map import ScaledMap
from hairmask_core.pipeline import compose, find_edge_colors, find_hair, recolor_layer, recolor_rows
from hairmask_core.server.handler import FoundHair
from synthetic.people import render_layers, render_person

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
from edges import rim  # noqa: E402

SIDE, RADIUS = 256, 80
COPPER = find_shade("copper").rgb
DTYPES = (np.uint8, np.uint16, np.float32)
distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - SIDE / 2))


def disk_matte(wider: float = 0) -> np.ndarray:
    """Of a disk with an outline 12 pixels soft, so many pixels wider than it is."""
    return np.clip((RADIUS + wider - distance) / 12 + 0.5, 0, 1).astype(np.float32)


def dark_disk() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dark hair with light strands on skin: hair, skin and both, each (SIDE, SIDE, 3) float32, 0…1."""
    rng = np.random.default_rng(0)
    strands = np.clip(rng.normal(0, 1, (1, SIDE)), 0, 3)[..., None] * 25
    hair = np.array([30, 25, 23]) + strands + rng.normal(0, 4, (SIDE, SIDE, 1))
    skin = np.array([200, 150, 125]) + rng.normal(0, 2, (SIDE, SIDE, 1))
    hair, skin = (np.clip(part / 255, 0, 1).astype(np.float32) for part in (hair, skin))
    return hair, skin, skin + disk_matte()[..., None] * (hair - skin)


@pytest.fixture(scope="module")
def disk():
    """The disk as a photo, and its hair with the true matte."""
    photo = Photo(from_float(dark_disk()[2], np.uint8))
    return photo, found(photo, disk_matte())


def found(photo: Photo, matte: np.ndarray) -> Hair:
    tone = measure_tone(dark_disk()[2], disk_matte())
    return Hair(matte, 0.3, tone=tone, edges=find_edge_colors(photo, matte), base=find_base(photo.rgb, matte=matte))


def luma(rgb: np.ndarray) -> np.ndarray:
    return rgb @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("shade", ["copper", "burgundy"])
@pytest.mark.parametrize("wider", [0, 3, 5])
def test_a_matte_that_is_too_wide_leaves_no_light_rim(disk, wider, shade):
    photo, matte = disk[0], disk_matte(wider)
    seen = luma(blend(photo.rgb, recolor_layer(photo, found(photo, matte), shade), matte))
    rings = [seen[(distance >= r) & (distance < r + 2)].mean() for r in range(66, 98, 2)]
    assert max(rings) <= max(seen[distance > 110].mean(), seen[distance < 60].mean()) + 2


def test_without_the_colors_of_the_outline_there_would_be_one(disk):
    photo, matte = disk[0], disk_matte(5)
    hair = replace(found(photo, matte), edges=None)
    seen = luma(blend(photo.rgb, recolor_layer(photo, hair, "copper"), matte))
    assert seen[(distance > 78) & (distance < 80)].mean() > seen[distance > 110].mean() + 25


def test_with_the_true_matte_hair_is_dyed_and_what_is_behind_it_stays(disk):
    photo, hair = disk
    own, skin, _ = dark_disk()
    p = hair.matte[..., None]
    truth = p * recolor(own, hair.tone, COPPER) + (1 - p) * skin
    outline = (hair.matte > 0.02) & (hair.matte < 0.98)

    def error(hair: Hair) -> float:
        seen = blend(photo.rgb, recolor_layer(photo, hair, COPPER), hair.matte)
        return float(np.abs(seen / 255 - truth)[outline].mean())

    assert error(hair) < 0.4 * error(replace(hair, edges=None))


def test_who_paints_inside_or_far_outside_gets_dyed_pixels(disk):
    photo, hair = disk
    layer, plain = (recolor_layer(photo, h, COPPER) for h in (hair, replace(hair, edges=None)))
    sure = distance < RADIUS - 6 - 0.1 * SIDE
    assert sure.sum() > 1000
    np.testing.assert_array_equal(layer[sure], plain[sure])
    np.testing.assert_array_equal(layer[hair.matte == 0], plain[hair.matte == 0])


def test_highlights_inside_are_dyed_though_they_are_as_light_as_skin(disk):
    rgb = disk[0].rgb.copy()
    rgb[100:156, 126:130] = (190, 190, 195)
    photo = Photo(rgb)
    hair = found(photo, disk_matte())
    layer, plain = (recolor_layer(photo, h, COPPER) for h in (hair, replace(hair, edges=None)))
    np.testing.assert_array_equal(layer[100:156, 126:130], plain[100:156, 126:130])


@pytest.mark.parametrize("dtype", DTYPES)
def test_strength_zero_is_the_photo_to_the_bit_and_the_rest_is_linear(disk, dtype):
    photo = Photo(from_float(dark_disk()[2], dtype))
    hair = found(photo, disk_matte(3))
    none, half, full = (
        recolor_layer(photo, hair, Coloring(COPPER, strength=strength)).astype(float) for strength in (0, 0.5, 1)
    )
    np.testing.assert_array_equal(none, photo.rgb)
    tolerance = {np.uint8: 1.01, np.uint16: 1.51, np.float32: 1e-6}[dtype]
    np.testing.assert_allclose(half, (none + full) / 2, rtol=0, atol=tolerance)


def test_every_depth_gives_the_same_with_and_without_alpha():
    both, hair = dark_disk()[2], None
    layers = []
    for dtype in DTYPES:
        photo = Photo(from_float(both, dtype))
        hair = hair or found(photo, disk_matte(3))  # of 8 bits
        full = 1 if dtype is np.float32 else np.iinfo(dtype).max
        layers.append(recolor_layer(photo, hair, COPPER) / full)
        alpha = from_float(np.random.default_rng(1).random((SIDE, SIDE), np.float32), dtype)
        rgba = np.concatenate(list(recolor_rows(np.dstack([photo.rgb, alpha]), hair, Coloring(COPPER))))
        np.testing.assert_array_equal(rgba[..., 3], alpha)
        np.testing.assert_allclose(rgba[..., :3] / full, layers[-1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(layers[1], layers[2], rtol=0, atol=1.5e-3)  # dark colors are stretched
    # Where the matte is almost 0, a / p says little, and hardly shows.
    shown = hair.matte[..., None] * np.abs(layers[0] - layers[2])
    assert shown.max() < 8 / 255 and shown.mean() < 0.6 / 255


def test_nothing_clips_that_did_not(disk):
    rng = np.random.default_rng(2)
    photo = Photo(rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))
    matte = rng.random((SIDE, SIDE), np.float32)
    for shade in ("black", "platinum", "#ff0000"):
        hair = Hair(matte, 0.3, tone=disk[1].tone, edges=find_edge_colors(photo, matte))
        layer = recolor_layer(photo, hair, shade)
        inside = (photo.rgb > 0) & (photo.rgb < 255)
        assert layer[inside].min() >= 1 and layer[inside].max() <= 254


@pytest.mark.parametrize("dtype", DTYPES)
def test_strips_leave_no_seam_nor_do_cut_boxes(disk, monkeypatch, dtype):
    photo = Photo(from_float(dark_disk()[2], dtype))
    hair = found(photo, disk_matte(3))
    whole = recolor_layer(photo, hair, COPPER)
    monkeypatch.setattr("hairmask_core.photo.strips.STRIP_PIXELS", 2 * SIDE * 7)
    tolerance = {np.uint8: 1, np.uint16: 2, np.float32: 4e-6}[dtype]
    np.testing.assert_allclose(recolor_layer(photo, hair, COPPER), whole, rtol=0, atol=tolerance)
    (part,) = divide_hair(hair)
    rgba = np.dstack([photo.rgb, photo.rgb[..., 0]])
    picture = rgba.copy()
    compose(picture, rgba, part, Coloring(COPPER))
    np.testing.assert_allclose(picture[..., :3], blend(photo.rgb, whole, hair.matte), rtol=0, atol=tolerance)


def test_people_told_apart_have_the_outline_of_all(disk):
    photo, hair = disk
    labels = np.ones((SIDE, SIDE), np.uint8)
    labels[:, SIDE // 2 :] = 2
    everybody = recolor_layer(photo, hair, COPPER)
    for part in divide_hair(hair, HairInstances(labels, (hair.tone, hair.tone))):
        own = recolor_layer(photo, part.hair, COPPER)
        np.testing.assert_array_equal(own[labels == part.number], everybody[labels == part.number])


def test_tips_in_another_shade_mix_along_the_outline_too(disk):
    photo, hair = disk
    position = np.linspace(0, 1, SIDE, dtype=np.float32)[None].repeat(SIDE, 0)
    strands = Strands(position=ScaledMap(position[..., None], SIDE, SIDE))
    rows = recolor_rows(photo.rgb, hair, Coloring(COPPER, tips=COPPER), strands)
    np.testing.assert_allclose(
        np.concatenate(list(rows)).astype(int), recolor_layer(photo, hair, COPPER), rtol=0, atol=1
    )


def test_floats_that_are_no_numbers_stay_where_they_are(disk):
    rgb = dark_disk()[2].copy()
    rgb[40, 128], rgb[45, 128] = np.nan, (3, -2, np.inf)
    photo = Photo(rgb)
    layer, usual = (recolor_layer(Photo(x), replace(disk[1], edges=find_edge_colors(photo, disk_matte())), COPPER)
                    for x in (rgb, dark_disk()[2]))  # fmt: skip
    same = np.ones((SIDE, SIDE), bool)
    same[[40, 45], 128] = False
    np.testing.assert_array_equal(layer[same], usual[same])


# The map


def test_the_map_is_bounded_and_says_what_it_is(disk):
    photo, hair = disk
    large = cv2.resize(photo.rgb, (1300, 700)), cv2.resize(hair.matte, (1300, 700))
    for rgb, matte in ((photo.rgb, hair.matte), large):
        found = edge_colors(rgb, matte)
        assert found.shape[2] == CHANNELS and max(found.shape) <= LONG_SIDE and found.dtype == np.float32
        assert np.isfinite(found).all() and (found[..., 10] >= 0).all() and (found[..., 11] > 0).all()
    assert (edge_colors(photo.rgb, hair.matte)[distance < 40][:, 10] == 0).all()  # inside, the matte alone counts


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.parametrize("value", [0, 0.5, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_odd_sizes_and_mattes_of_one_value(size, value, dtype):
    photo = Photo(from_float(np.random.default_rng(3).random((*size, 3), np.float32), dtype))
    matte = np.full(size, value, np.float32)
    hair = found(photo, matte)
    layer = recolor_layer(photo, hair, COPPER)
    assert layer.shape == photo.rgb.shape and np.isfinite(layer).all()
    if value in (0, 1):
        np.testing.assert_array_equal(layer, recolor_layer(photo, replace(hair, edges=None), COPPER))


def test_what_is_transparent_has_no_color(disk):
    photo, hair = disk
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    alpha[:, :40] = 0
    other = photo.rgb.copy()
    other[:, :40] = (0, 255, 0)
    maps = [edge_colors(rgb, hair.matte, alpha) for rgb in (photo.rgb, other)]
    np.testing.assert_allclose(maps[0][:, 60:], maps[1][:, 60:], atol=5e-3)


def test_arrays_of_another_size_are_refused(disk):
    with pytest.raises(ValueError, match="The map is"):
        edge_colors(disk[0].rgb, disk[1].matte[1:])
    with pytest.raises(ValueError, match="The picture is"):
        edge_colors(disk[1].matte, disk[1].matte)


def test_the_discriminant_is_one_on_hair_and_zero_behind_and_blind_to_highlights():
    hair, behind = np.float32([[[0.1, 0.1, 0.1]]]), np.float32([[[0.8, 0.6, 0.5]]])
    gray = np.float32([[[0.04, 0.04, 0.04, 0.04, 0.04, 0.04]]])  # varies in lightness alone
    w, offset = discriminant(hair, behind, gray)
    assert (w * hair).sum() - offset[0, 0] == pytest.approx(1, abs=1e-4)
    assert (w * behind).sum() - offset[0, 0] == pytest.approx(0, abs=1e-4)
    plain, _ = discriminant(hair, behind, np.zeros_like(gray))
    highlight = np.float32([0.5, 0.5, 0.5])
    assert abs((w * highlight).sum()) < 0.2 * abs((plain * highlight).sum())


def test_colors_that_were_mixed_are_told_apart_again():
    share = np.broadcast_to(np.clip(np.linspace(-0.5, 1.5, 64), 0, 1), (64, 64)).astype(np.float32)
    down = np.linspace(0, 1, 64, dtype=np.float32)[:, None, None]
    hair, behind = (
        np.broadcast_to(np.float32(c) * (0.6 + 0.4 * down), (64, 64, 3)) for c in ((0.3, 0.2, 0.1), (0.6, 0.7, 0.9))
    )
    rgb = share[..., None] * hair + (1 - share[..., None]) * behind
    far = [np.broadcast_to(x.mean(axis=(0, 1)), x.shape).astype(np.float32) for x in (hair, behind)]
    found = separate_colors(rgb.astype(np.float32), share, *far)
    outline = (share > 0.05) & (share < 0.95)
    for estimate, truth, start in zip(found, (hair, behind), far):
        assert np.abs(estimate - truth)[outline].mean() < 0.4 * np.abs(start - truth)[outline].mean()


def test_a_cut_map_is_the_map_of_what_was_cut_out():
    whole = ScaledMap(np.zeros((10, 20, 9), np.float32), 100, 200)
    down, top, across, left = whole.cut(30, 50).placement
    full = whole.placement
    assert down == full[0] and across == full[2]
    assert top == pytest.approx(full[0] * 30 + full[1]) and left == pytest.approx(full[2] * 50 + full[3])


# In the product


def test_find_hair_tells_the_colors_of_the_outline_and_the_server_counts_them(astronaut, model):
    hair = find_hair(Photo(astronaut), model)
    assert hair.edges is not None and hair.edges.values.shape[2] == CHANNELS
    assert FoundHair(hair).nbytes == hair.matte.nbytes + hair.edges.nbytes + hair.base.nbytes


def test_the_layer_never_holds_much_more_than_full_dye(disk):
    photo = disk[0]
    hair = found(photo, disk_matte(-5))  # too narrow: color alone says that there is hair
    layer = recolor_layer(photo, hair, COPPER) / 255
    own = dark_disk()[0]
    reached = np.abs(layer - photo.rgb / 255).max(axis=2)
    most = (1 + EXCESS) * np.abs(recolor(own, hair.tone, COPPER) - own).max()
    assert reached[hair.matte > 0].max() <= most + 0.05


# What benchmarks/edges.py counts as a light rim


@pytest.mark.parametrize(("ring", "least", "most"), [(0, 0, 0), (10, 0, 0), (60, 0.25, 0.6), (-60, 0, 0)])
def test_rims_are_found_where_they_were_drawn(ring, least, most):
    hair = distance < RADIUS
    rgb = np.where(hair[..., None], (160, 90, 50), (200, 150, 125)).astype(int)
    drawn = (distance >= RADIUS) & (distance < RADIUS + 3)
    rgb[drawn] += ring
    rgb = np.clip(rgb + np.random.default_rng(4).integers(-3, 4, rgb.shape), 0, 255).astype(np.uint8)
    found, outline = rim(rgb, hair, disk_matte(2))
    assert least <= found.sum() / outline.sum() <= most
    assert not found[~drawn].any() and (ring < 60 or found[drawn & outline].mean() > 0.95)


def test_a_light_background_has_no_rim_however_light_it_is():
    hair = distance < RADIUS
    rgb = np.where(hair[..., None], 20, 250).astype(np.uint8).repeat(3, 2)
    assert not rim(rgb, hair, disk_matte(5))[0].any()


def test_layers_of_rendered_hair_are_the_picture():
    layers = render_layers(160, np.random.default_rng(5))
    assert (layers.hair[layers.alpha == 0] == 0).all() and 0 <= layers.alpha.min() and layers.alpha.max() <= 1
    drawn, _ = render_person(160, np.random.default_rng(5))
    assert np.abs(layers.picture().astype(int) - drawn).mean() < 2
    bare = layers.picture(np.zeros_like(layers.hair))
    np.testing.assert_array_equal(bare[layers.alpha == 0], layers.picture()[layers.alpha == 0])
