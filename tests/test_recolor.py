"""OKLab, the curves, and recolored photos."""

import cv2
import numpy as np
import pytest

from hairmask_core.errors import ShadeError
from hairmask_core.image import Photo, from_float
from hairmask_core.oklab import LMS_TO_LAB, RGB_TO_LMS, oklab_to_rgb, rgb_to_oklab
from hairmask_core.pipeline import blend, find_hair, recolor_photo
from hairmask_core.recolor import HairTone, color_curve, lightness_curve, measure_tone, recolor
from hairmask_core.shades import find_shade, named_shades


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # Ottosson's own figures for the sRGB primaries, as printed by CSS Color 4
        ((1, 1, 1), (1.0, 0.0, 0.0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_of_known_colors(rgb, lab):
    np.testing.assert_allclose(rgb_to_oklab(np.array([[rgb]], np.float32))[0, 0], lab, atol=2e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_oklab_round_trip_is_exact(dtype):
    rgb = np.random.default_rng(8).integers(0, np.iinfo(dtype).max + 1, (200, 200, 3), dtype)
    back = from_float(oklab_to_rgb(rgb_to_oklab(rgb)), dtype).astype(int)
    assert np.abs(back - rgb).max() <= (0 if dtype is np.uint8 else 3)


@pytest.mark.parametrize("hair", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("shade", [0.05, 0.3, 0.6, 0.95])
def test_lightness_curve_is_monotone_and_meets_the_shade(hair, shade):
    curve = lightness_curve(hair, shade)
    assert (np.diff(curve) >= 0).all() and curve.min() >= 0 and curve.max() <= 1
    assert abs(np.interp(hair, np.linspace(0, 1, len(curve)), curve) - shade) < 0.01


@pytest.mark.parametrize("shade", named_shades(), ids=lambda shade: shade.name)
def test_color_curve_stays_in_gamut_and_meets_the_shade(shade):
    lab = rgb_to_oklab(np.array(shade.rgb, np.float32).reshape(1, 1, 3))[0, 0]
    curve = color_curve(lab)
    l = np.linspace(0, 1, len(curve), dtype=np.float32)
    line = np.stack([l, curve[:, 0], curve[:, 1]], axis=1)
    linear = (line @ np.linalg.inv(LMS_TO_LAB).T) ** 3 @ np.linalg.inv(RGB_TO_LMS).T
    assert linear.min() >= -1e-5 and linear.max() <= 1 + 1e-3
    at = [np.interp(lab[0], l, curve[:, i]) for i in range(2)]
    np.testing.assert_allclose(at, lab[1:], atol=5e-3)
    np.testing.assert_allclose(curve[[0, -1]], 0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_strength_zero_is_the_original_to_the_bit(astronaut, dtype):
    rgb = astronaut.astype(np.float32) / 255 * 1.2 - 0.1 if dtype is np.float32 else astronaut.astype(dtype)
    rgb = rgb.astype(dtype)
    np.testing.assert_array_equal(recolor(rgb, HairTone(0.5, 0, 0), (1, 0, 0), 0), rgb)


def test_strength_is_monotone(astronaut, session):
    photo = Photo(astronaut)
    hair = find_hair(photo, session)
    inside = hair.matte > 0.9
    goal = recolor_photo(photo, hair, (0.1, 0.2, 0.8), 1.0)[inside].astype(float)
    distances = [
        np.abs(recolor_photo(photo, hair, (0.1, 0.2, 0.8), s)[inside] - goal).mean() for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert all(a > b for a, b in zip(distances, distances[1:])) and distances[-1] == 0


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strength_out_of_range(astronaut, strength):
    with pytest.raises(ValueError, match="between 0 and 1"):
        recolor(astronaut, HairTone(0.5, 0, 0), (1, 0, 0), strength)


@pytest.mark.parametrize("shade", named_shades(), ids=lambda shade: shade.name)
def test_hair_takes_the_shade_and_keeps_its_texture(astronaut, session, shade):
    photo = Photo(astronaut)
    hair = find_hair(photo, session)
    inside = hair.matte > 0.95
    before, after = rgb_to_oklab(astronaut), rgb_to_oklab(recolor_photo(photo, hair, shade.rgb))
    goal = rgb_to_oklab(np.array(shade.rgb, np.float32).reshape(1, 1, 3))[0, 0]
    assert np.linalg.norm(np.median(after[inside], axis=0) - goal) < 0.03
    gradients = [cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0)[inside] for lab in (before, after)]
    assert np.corrcoef(*gradients)[0, 1] > 0.85


def test_every_pixel_is_recolored_not_only_hair(astronaut):
    tone = measure_tone(astronaut.astype(np.float32) / 255, np.zeros(astronaut.shape[:2], np.float32))
    blue = rgb_to_oklab(recolor(astronaut, tone, (0.1, 0.2, 0.8)))
    middle = (blue[..., 0] > 0.3) & (blue[..., 0] < 0.8)
    assert (blue[..., 2][middle] < -0.03).mean() > 0.99


def test_strips_leave_no_seam(astronaut, monkeypatch):
    whole = recolor(astronaut, HairTone(0.5, 0.01, 0.05), (0.7, 0.3, 0.1))
    monkeypatch.setattr("hairmask_core.image.STRIP_PIXELS", 512 * 7)
    np.testing.assert_array_equal(recolor(astronaut, HairTone(0.5, 0.01, 0.05), (0.7, 0.3, 0.1)), whole)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_blend_is_the_formula(dtype):
    rng = np.random.default_rng(9)
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    a, b = ((rng.random((30, 20, 3)) * full).astype(dtype) for _ in range(2))
    p = rng.random((30, 20)).astype(np.float32)
    expected = (1 - p[..., None]) * a.astype(float) + p[..., None] * b.astype(float)
    np.testing.assert_allclose(blend(a, b, p).astype(float), expected, atol=1e-6 if dtype is np.float32 else 0.51)


def test_shades_by_name_and_number():
    assert find_shade("Golden Blond").name == "golden-blond"
    assert find_shade("#F00").rgb == (1, 0, 0)
    assert len({shade.name for shade in named_shades()}) == len(named_shades()) >= 20


def test_unknown_shade_names_the_nearest():
    with pytest.raises(ShadeError, match="nearest is 'copper'"):
        find_shade("coper")
    with pytest.raises(ShadeError, match="#rrggbb"):
        find_shade("#12345")
