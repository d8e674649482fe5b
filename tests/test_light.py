"""The light in a photo: estimated, and the new color seen in it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from benchmarks.light import black_body, cast
from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import find_shade
from hairmask_core.color.tone_curve import make_transform
from hairmask_core.color.transform import drawn_range
from hairmask_core.hair.tone import measure_tone
from hairmask_core.options import Light
from hairmask_core.photo.light import DIMMEST, FULL, LUMINANCE, NEUTRAL, estimate_color, estimate_illuminant
from hairmask_core.photo.oklab import linear_to_srgb, perceived, rgb_to_oklab, srgb_to_linear
from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.pipeline import find_hair

CANDLE = (2.2, 0.71, 0.34)


def warm(astronaut, light):
    tone = measure_tone(astronaut.astype(np.float32) / 255, np.ones(astronaut.shape[:2], np.float32), light)
    return tone, recolor(astronaut, tone, find_shade("platinum").rgb)


def test_a_photo_in_white_light_is_taken_for_one(astronaut):
    assert estimate_illuminant(astronaut) == NEUTRAL


@pytest.mark.parametrize("kelvin", [3000, 4000, 9000])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_light_of_a_black_body_is_found(astronaut, kelvin, dtype):
    photo = from_float(cast(astronaut, kelvin).astype(np.float32) / 255, dtype)
    found = np.array(estimate_illuminant(photo))
    assert found @ LUMINANCE == pytest.approx(1)
    red, blue = np.log(found[[0, 2]] / found[1]) - np.log(black_body(kelvin)[[0, 2]] / black_body(kelvin)[1])
    assert abs(red) < 0.25 and abs(blue) < 0.25


@pytest.mark.parametrize("kelvin", [3000, 4500, 9000])
@pytest.mark.parametrize("shade", ["platinum", "copper", "blue"])
def test_hair_is_dyed_in_the_light_as_it_would_look_there(astronaut, kelvin, shade):
    """cast(recolor(photo)) is recolor(cast(photo)), which it is not where the light is taken for white."""
    ellipse = cv2.ellipse(np.zeros((512, 512), np.uint8), (225, 90), (70, 60), 0, 0, 360, 1, -1) > 0

    def dyed(rgb, light):
        tone = measure_tone(rgb.astype(np.float32) / 255, ellipse.astype(np.float32), light)
        return recolor(rgb, tone, find_shade(shade).rgb)

    def apart(one, other):
        one, other = (rgb2lab(rgb[ellipse][None] / 255) for rgb in (one, other))
        return deltaE_ciede2000(one, other).mean()

    expected, photo = cast(dyed(astronaut, NEUTRAL), kelvin), cast(astronaut, kelvin)
    auto = apart(dyed(photo, estimate_illuminant(photo)), expected)
    assert auto < 5.5 and auto < 0.6 * apart(dyed(photo, NEUTRAL), expected)


@pytest.mark.parametrize(
    "rgb", [np.zeros((1, 1, 3), np.uint8), np.full((40, 30, 3), 255, np.uint8), np.full((9, 9, 4), np.nan, np.float32)]
)
def test_where_nothing_tells_it_has_no_color(rgb):
    assert estimate_color(rgb) == NEUTRAL


def test_a_white_wall_is_in_full_light():
    assert estimate_illuminant(np.full((40, 30, 3), 255, np.uint8)) == NEUTRAL


def dimmed(rgb, exposure):
    """The photo, uint8, in so much of its light."""
    return from_float(linear_to_srgb(srgb_to_linear(rgb) * np.float32(exposure)), np.uint8)


@pytest.mark.parametrize("exposure", [0.8, 0.5, 0.3])
def test_in_dim_light_white_is_darker(astronaut, exposure):
    """In white and in warm light; a fortieth of the photo is white."""
    patch = np.s_[-80:, -80:]
    astronaut = astronaut.copy()
    astronaut[patch] = 255
    for photo in (astronaut, cast(astronaut, 4000)):
        white = np.median(srgb_to_linear(photo[patch]) @ LUMINANCE)
        full, dim = (np.array(estimate_illuminant(one)) for one in (photo, dimmed(photo, exposure)))
        assert full @ LUMINANCE == pytest.approx(1)
        assert dim @ LUMINANCE == pytest.approx(min(1, exposure * white / FULL), rel=0.03)
        np.testing.assert_allclose(dim / dim.sum(), full / full.sum(), atol=0.08)
    assert estimate_illuminant(np.zeros((9, 9, 3), np.uint8)) == (DIMMEST, DIMMEST, DIMMEST)


@pytest.mark.parametrize("shade", ["platinum", "copper", "black"])
def test_hair_is_dyed_in_dim_light_as_it_would_look_there(astronaut, shade):
    """Half the light on the recolored photo, or the photo in half its light recolored: much the same; not if taken for white."""
    ellipse = cv2.ellipse(np.zeros((512, 512), np.uint8), (225, 90), (70, 60), 0, 0, 360, 1, -1) > 0

    def dyed(rgb, light):
        tone = measure_tone(rgb.astype(np.float32) / 255, ellipse.astype(np.float32), light)
        return recolor(rgb, tone, find_shade(shade).rgb)

    def lightness(rgb):
        return rgb2lab(rgb[ellipse][None] / 255)[..., 0].mean()

    dim = dimmed(astronaut, 0.5 * FULL)
    expected = lightness(dimmed(dyed(astronaut, NEUTRAL), 0.5))
    auto, white = (abs(lightness(dyed(dim, light)) - expected) for light in (estimate_illuminant(dim), NEUTRAL))
    assert auto < 4 and auto < 0.5 * white


def test_white_is_the_light_itself():
    pixels = np.array([[CANDLE]], np.float32) / max(CANDLE)
    lab = rgb_to_oklab(pixels, tuple(srgb_to_linear(pixels)[0, 0].tolist()))[0, 0]
    np.testing.assert_allclose(lab, (1, 0, 0), atol=1e-5)


def test_the_shade_in_a_candles_light_is_the_shade_times_that_light(astronaut):
    """Where hair is as light as the shade, it has the shade's color in white light, by the candle's in linear light."""
    tone, out = warm(astronaut, CANDLE)
    lab = rgb_to_oklab(out, CANDLE)
    lit = (
        np.abs(
            perceived(lab[..., 0].clip(0, 1))
            - perceived(rgb_to_oklab(np.float32([[find_shade("dark-blond").rgb]]))[0, 0, 0])
        )
        < 0.02
    )
    assert lit.sum() > 1000
    warmth = lab[lit].mean(axis=0)[1:]
    _, plain = warm(astronaut, NEUTRAL)
    expected = rgb_to_oklab(plain)
    near = np.abs(perceived(expected[..., 0].clip(0, 1)) - perceived(np.float32(lab[lit][:, 0].mean()))) < 0.02
    np.testing.assert_allclose(warmth, expected[near].mean(axis=0)[1:], atol=0.02)


@pytest.mark.parametrize("light", [NEUTRAL, CANDLE, (0.7, 1.0, 1.6), (0.3, 0.25, 0.2)])
def test_nothing_is_cut_off_in_any_light(astronaut, light):
    tone, out = warm(astronaut, light)
    assert out.min() >= 1 and out.max() <= 254
    low, high, bottom, top = drawn_range(light)
    assert 0 < low < high <= 1 / max(light) and 0 < bottom < top <= 1.0001 * perceived(np.cbrt(1 / max(light)))
    assert make_transform(tone, (0.5, 0.4, 0.3)).light == light


def test_the_light_can_be_taken_for_white(astronaut, model):
    photo = Photo(cast(astronaut, 3000))
    auto, neutral = (find_hair(photo, model, light=light) for light in (Light.AUTO, Light.NEUTRAL))
    assert neutral.tone.light == NEUTRAL and auto.tone.light == estimate_illuminant(photo.rgb) != NEUTRAL
    np.testing.assert_array_equal(auto.matte, neutral.matte)
    assert replace(auto.tone, light=NEUTRAL) != neutral.tone
