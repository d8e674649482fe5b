"""What a stylist asks for beside the shade: tips, roots, highlights, depth, shine."""

import cv2
import numpy as np
import pytest
from test_strands import SIDE, draw, fan, straight

from hairmask_core.color.coloring import (
    NOT_FOLLOWED,
    Strands,
    highlight_share,
    make_mixture,
    shares,
)
from hairmask_core.color.recolor import recolor, recolor_strips
from hairmask_core.color.shades import find_shade, named_shades
from hairmask_core.color.tone_curve import LEVEL, change_depth, lightness_curve, split_color
from hairmask_core.errors import ShadeError
from hairmask_core.hair.highlights import highlight_order
from hairmask_core.hair.tone import Hair, measure_tone
from hairmask_core.options import MOST_DEPTH, Coloring, OptionsError
from hairmask_core.photo.oklab import perceived, rgb_to_oklab
from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.photo.scaled_map import ScaledMap
from hairmask_core.pipeline import follow_strands, recolor_layer

DTYPES = [np.uint8, np.uint16, np.float32]


def tone_of(picture, matte):
    return measure_tone(picture.astype(np.float32) / 255, matte)


def constant(value, side=SIDE):
    return ScaledMap(np.full((1, 1, 1), value, np.float32), side, side)


def layer(picture, tone, coloring, strands=NOT_FOLLOWED):
    return np.concatenate([strip for _, strip in recolor_strips(picture, tone, coloring, strands)])


# Highlights


def test_every_share_of_the_strands_is_there_to_be_chosen():
    picture, matte = draw(straight())
    order = highlight_order(picture, matte).enlarge(SIDE, SIDE)[..., 0][matte > 0.5]
    assert order.min() >= 0 and order.max() <= 1
    for share in (0.1, 0.3, 0.7):
        assert (order < share).mean() == pytest.approx(share, abs=0.02)
        assert highlight_share(order, share).mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("paths", [straight(), straight(wave=18), fan()], ids=["straight", "wavy", "fan"])
def test_highlights_follow_the_strands(paths):
    """A strand is highlighted or not for some way; its neighbors are each on their own."""
    picture, matte = draw(paths)
    order = highlight_order(picture, matte).enlarge(SIDE, SIDE)[..., 0]
    y, x = np.moveaxis(np.round(np.array(paths)[:, 20:60, ::-1]).astype(int), 2, 0)
    found = order[y, x]  # (strands, points)
    along, across = found.std(axis=1).mean(), found.std(axis=0).mean()
    assert along < 0.7 * across and across > 0.15


def test_the_outline_of_hair_without_strands_is_no_strand():
    matte = cv2.GaussianBlur(cv2.circle(np.zeros((300, 300), np.float32), (150, 150), 110, 1, -1), (0, 0), 2)
    noise = np.random.default_rng(0).normal(0, 6, (300, 300, 1))
    picture = np.clip(np.where(matte[..., None] > 0.5, 40 + noise, 220), 0, 255).astype(np.uint8).repeat(3, 2)
    order = highlight_order(picture, matte).enlarge(300, 300)[..., 0]
    y, x = np.mgrid[:300, :300]
    ring = np.abs(np.hypot(y - 150, x - 150) - 104) < 3
    assert 0.3 < order[ring].mean() < 0.7 and order[ring].std() > 0.15


def test_the_same_photo_has_the_same_highlights_and_one_without_hair_has_none_of_its_own():
    picture, matte = draw(fan())
    np.testing.assert_array_equal(highlight_order(picture, matte).values, highlight_order(picture, matte).values)
    assert (highlight_order(picture, np.zeros_like(matte)).values == 0.5).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_highlights_are_the_other_shade_on_their_share_of_the_strands(dtype):
    picture, matte = draw(straight())
    tone = tone_of(picture, matte)
    photo = from_float(picture.astype(np.float32) / 255, dtype)
    coloring = Coloring("brown", highlights="light-blond", highlights_share=0.3)
    brown, blond = (recolor(photo, tone, find_shade(name).rgb) for name in ("brown", "light-blond"))
    np.testing.assert_array_equal(layer(photo, tone, coloring, Strands(order=constant(0.9))), brown)
    np.testing.assert_array_equal(layer(photo, tone, coloring, Strands(order=constant(0.05))), blond)
    hair = Hair(matte, 0.3, tone=tone)
    found = follow_strands(photo, hair, coloring)
    assert found.position is None and found.order is not None
    lit = highlight_share(found.order.enlarge(SIDE, SIDE)[..., 0], 0.3)[..., None]
    expected = brown + lit * (blond.astype(np.float64) - brown)
    tolerance = 1e-5 if dtype is np.float32 else 0.51
    np.testing.assert_allclose(recolor_layer(Photo(photo), hair, coloring), expected, rtol=0, atol=tolerance)


def test_the_ends_of_the_share_are_none_and_all():
    picture, matte = draw(straight())
    tone = tone_of(picture, matte)
    order = Strands(order=highlight_order(picture, matte))
    for share, shade in ((0.0, "brown"), (1.0, "platinum")):
        coloring = Coloring("brown", highlights="platinum", highlights_share=share)
        expected = recolor(picture, tone, find_shade(shade).rgb).astype(int)
        difference = np.abs(layer(picture, tone, coloring, order) - expected)
        assert difference.mean() < 0.1


# Roots


@pytest.mark.parametrize("dtype", DTYPES)
def test_roots_keep_their_own_color_and_the_rest_is_dyed(dtype):
    picture, matte = draw(straight())
    tone = tone_of(picture, matte)
    photo = from_float(picture.astype(np.float32) / 255, dtype)
    coloring = Coloring("copper", roots=0.3)
    np.testing.assert_array_equal(layer(photo, tone, coloring, Strands(position=constant(0.1))), photo)
    dyed = recolor(photo, tone, find_shade("copper").rgb)
    np.testing.assert_array_equal(layer(photo, tone, coloring, Strands(position=constant(0.5))), dyed)


def test_roots_of_drawn_strands_are_at_their_upper_ends():
    picture, matte = draw(straight())
    hair = Hair(matte, 0.3, tone=tone_of(picture, matte))
    change = np.abs(recolor_layer(Photo(picture), hair, Coloring("blue", roots=0.3)).astype(int) - picture).mean(axis=2)
    inside = matte > 0.95
    assert change[45:60][inside[45:60]].mean() < 2 < 20 < change[300:355][inside[300:355]].mean()


def test_shares_sum_to_one_but_for_the_roots():
    picture, matte = draw(straight())
    strands = Strands(ScaledMap(np.linspace(0, 1, 50, dtype=np.float32).reshape(50, 1, 1), 50, 8), constant(0.3, 50))
    for roots in (0.0, 0.4):
        coloring = Coloring("black", "blue", "pink", roots=roots)
        found = sum(shares(make_mixture(tone_of(picture, matte), coloring, strands), slice(0, 50), 8))
        kept = 1 - found[:, 0]
        assert np.abs(found - found[:, :1]).max() < 1e-6
        if roots:
            assert (
                kept[0] == pytest.approx(1) and kept[-1] == pytest.approx(0, abs=1e-6) and (np.diff(kept) <= 1e-6).all()
            )
        else:
            np.testing.assert_allclose(kept, 0, atol=1e-6)


# Depth and shine


def test_depth_counts_levels_as_hairdressers_do():
    """Level 1 is black, level 10 platinum: nine levels lighter, black is as light as that."""
    black, platinum = (split_color(find_shade(name).rgb)[0] for name in ("black", "platinum"))
    assert black + 9 * LEVEL == pytest.approx(platinum, abs=0.05)
    for shade in named_shades():
        assert change_depth(shade.rgb, 0) == shade.rgb
        steps = [split_color(change_depth(shade.rgb, levels))[0] for levels in np.linspace(-MOST_DEPTH, MOST_DEPTH, 9)]
        assert (np.diff(steps) >= -1e-4).all()
        middle = steps[3:6]
        assert np.diff(middle) == pytest.approx(LEVEL, abs=0.01) or shade.name in ("black", "soft-black", "platinum")


def test_another_depth_has_the_hue_of_the_shade():
    for name in ("copper", "golden-blond", "blue", "pink"):
        hues = [
            np.degrees(np.arctan2(*split_color(change_depth(find_shade(name).rgb, levels))[:0:-1]))
            for levels in (-1, 0, 1)
        ]
        assert np.ptp(hues) < 8


def test_shine_moves_only_what_is_lighter_than_the_shade():
    picture, matte = draw(straight())
    tone = tone_of(picture, matte)
    lit, *_ = split_color(find_shade("brown").rgb)
    dull, usual, shiny = (lightness_curve(tone, lit, lit - 0.05, shine) for shine in (-1, 0, 1))
    of_hair = np.linspace(0, 1, len(usual)) < tone.quantiles[-1]
    above, below = of_hair & (usual > lit + 0.03), usual < lit - 0.03
    assert (shiny[above] > usual[above]).all() and (dull[above] < usual[above]).all()
    np.testing.assert_allclose(shiny[below], usual[below], atol=0.02)
    np.testing.assert_allclose(dull[below], usual[below], atol=0.02)
    for curve in (dull, usual, shiny):
        assert (np.diff(curve) >= 0).all()


def test_shining_hair_has_brighter_gleams_and_the_same_color():
    picture, matte = draw(straight())
    tone = tone_of(picture, matte)
    quantiles = []
    for shine in (-1, 0, 1):
        dyed = rgb_to_oklab(layer(picture, tone, Coloring("dark-brown", shine=shine)))[matte > 0.95]
        quantiles.append(np.quantile(perceived(dyed[:, 0].astype(float)), (0.5, 0.98)))
    (middle, gleam) = np.transpose(quantiles)
    assert np.ptp(middle) < 0.02 and gleam[0] + 0.02 < gleam[1] < gleam[2] - 0.04


# What cannot be


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"roots": 1.5}, "A length of roots of 1.5 is not possible: give a number from 0 to 1."),
        ({"depth": 7}, "A depth of 7 is not possible: give a number from -4 to 4."),
        ({"shine": float("nan")}, "A shine of nan is not possible: give a number from -1 to 1."),
        ({"highlights_share": "half"}, "A share of highlights of 'half' is not possible: give a number from 0 to 1."),
        ({"highlights": 3}, "There is no shade 3: give a name, #rrggbb, or three numbers from 0 to 1."),
    ],
)
def test_colorings_that_cannot_be(said, sentence):
    with pytest.raises(OptionsError) as error:
        Coloring("copper", **said)
    assert str(error.value) == sentence


def test_a_coloring_without_a_shade():
    picture, matte = draw(straight())
    with pytest.raises(ShadeError, match="A shade is missing"):
        recolor_layer(Photo(picture), Hair(matte, 0.3, tone=tone_of(picture, matte)), Coloring(tips="blue"))
