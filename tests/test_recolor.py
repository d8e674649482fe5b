"""OKLab, the curves, and recolored photos."""

import functools

import cv2
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from hairmask_core.color import kernels
from hairmask_core.color.blend import blend
from hairmask_core.color.coloring import GRADIENT_SHADES, Strands, shades_between
from hairmask_core.color.gamut import DARKEST, LIGHTEST, LINEAR_RANGE
from hairmask_core.color.kernels import DETAIL_GAIN, LEAST_ROOM, VARIATION_LIMIT
from hairmask_core.color.recolor import recolor, recolor_strips
from hairmask_core.color.shades import find_shade, named_shades
from hairmask_core.color.tone_curve import (
    CURVE_SIZE,
    STEEPEST,
    color_curves,
    lightness_curve,
    lit_of,
    make_transform,
    median_of,
    quantiles_at,
    real_hair,
)
from hairmask_core.color.transform import FARTHEST, ToneTransform, apply_transform, gamut_shares
from hairmask_core.errors import Cancelled, ShadeError
from hairmask_core.hair.tone import LIT, QUANTILES, HairTone, measure_tone, tone_color
from hairmask_core.options import Coloring
from hairmask_core.photo import compiled
from hairmask_core.photo.base import EDGE, LEAST_REST, find_base
from hairmask_core.photo.oklab import (
    LAB_TO_LMS,
    LMS_TO_LAB,
    LMS_TO_RGB,
    RGB_TO_LMS,
    oklab_to_linear,
    oklab_to_rgb,
    perceived,
    rgb_to_oklab,
    unperceived,
)
from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.photo.scaled_map import ScaledMap
from hairmask_core.pipeline import find_hair


def even_tone(low: float, middle: float, high: float) -> HairTone:
    """Brown hair whose lightness is spread evenly on both sides of its median."""
    quantiles = np.interp(QUANTILES, (0, 0.5, 1), (low, middle, high))
    return HairTone(tuple(quantiles), tuple((x, 0.01, 0.05) for x in np.linspace(low, high, 5)), 0.01)


TONE = even_tone(0.1, 0.3, 0.7)


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


# Hair to recolor


def drawn_hair(color, side: int = 160) -> np.ndarray:
    """A picture full of strands, each a little lighter or darker, with gloss across them: (side, side, 3) uint8."""
    rng = np.random.default_rng(5)
    picture = np.full((side, side, 3), np.array(color) * 0.5, np.float32)
    for _ in range(900):
        x, lean = rng.uniform(-20, side + 20), rng.uniform(-25, 25)
        tint = np.array(color) * np.exp(rng.normal(0, 0.25))
        cv2.line(picture, (round(x), 0), (round(x + lean), side), tuple(map(float, tint)), 1, cv2.LINE_AA)
    gloss = np.exp(-(((np.arange(side) - 50) / 12) ** 2))[:, None, None]
    picture += gloss * 0.3 * (255 - picture) + rng.normal(0, 1.5, (side, side, 1))
    return np.clip(np.rint(picture), 1, 254).astype(np.uint8)


DRAWN = {
    "black": (26, 21, 19),
    "brown": (96, 66, 44),
    "blond": (205, 172, 122),
    "grey": (165, 164, 163),
    "dyed": (120, 40, 130),
}


@pytest.fixture(scope="module")
def heads(astronaut, model):
    """Photo, where it is hair for certain, and tone."""
    hair = find_hair(Photo(astronaut), model)
    heads = {"astronaut": (astronaut, hair.matte > 0.99, hair.tone)}
    for name, color in DRAWN.items():
        picture = drawn_hair(color)
        everywhere = np.ones(picture.shape[:2], np.float32)
        heads[name] = (picture, everywhere > 0, measure_tone(picture.astype(np.float32) / 255, everywhere))
    return heads


@pytest.fixture(scope="module")
def dyed(heads):
    """dyed(head, shade): the head in that shade, computed once for all tests."""
    bases = {name: find_base(photo) for name, (photo, _, _) in heads.items()}
    return functools.cache(lambda head, shade: recolor(heads[head][0], heads[head][2], shade.rgb, base=bases[head]))


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L*, 0…100."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[..., 0]


def texture_kept(before: np.ndarray, after: np.ndarray, hair: np.ndarray) -> float:
    """Correlation of lightness gradients."""
    inside = cv2.erode(hair.astype(np.uint8), np.ones((3, 3))) > 0
    x, y = (
        np.concatenate([cv2.Sobel(lightness(rgb), cv2.CV_32F, *axis)[inside] for axis in ((1, 0), (0, 1))])
        for rgb in (before, after)
    )
    return np.corrcoef(x, y)[0, 1]


def highlight(rgb: np.ndarray, hair: np.ndarray) -> float:
    """L* of the brightest 2 % over the median."""
    values = lightness(rgb)[hair]
    return values[values >= np.quantile(values, 0.98)].mean() - np.median(values)


QUICK_SHADES = ("black", "golden-blond", "platinum", "copper", "blue")  # one of each kind; the rest in the full run
every_shade = pytest.mark.parametrize(
    "shade",
    [pytest.param(s, marks=() if s.name in QUICK_SHADES else pytest.mark.slow, id=s.name) for s in named_shades()],
)
every_head = pytest.mark.parametrize("head", ["astronaut", *DRAWN])


# The curves


@pytest.mark.parametrize("hair", [(0.0, 0.05, 0.1), (0.1, 0.3, 0.7), (0.6, 0.6, 0.6), (0.6, 0.9, 1.0), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("shade", [0.02, 0.3, 0.6, 0.95])
def test_lightness_curve_is_monotone_and_meets_the_shade_where_hair_is_lit(hair, shade):
    tone = even_tone(*hair)
    curve = lightness_curve(tone, shade, median_of(shade))
    assert (np.diff(curve) >= 0).all() and np.diff(curve).max() <= (STEEPEST + 1e-6) / (CURVE_SIZE - 1)
    assert perceived(DARKEST) - 1e-6 <= curve.min() and curve.max() <= perceived(LIGHTEST) + 1e-6
    assert np.interp(tone.lit[0], np.linspace(0, 1, CURVE_SIZE), curve) == pytest.approx(shade, abs=0.005)


def test_the_table_of_real_hair_has_the_quantiles_that_are_measured():
    real = real_hair()
    assert tuple(real.quantiles) == QUANTILES and (np.diff(real.medians) > 0).all() and len(real.medians) >= 9
    assert (np.diff(real.offsets, axis=1) > 0).all() and (real.offsets[:, QUANTILES.index(0.5)] == 0).all()
    for lit in (0.1, 0.4, 0.8):
        assert lit_of(quantiles_at(median_of(lit))) == pytest.approx(lit, abs=1e-3)
    assert lit_of(np.array(QUANTILES)) == pytest.approx(LIT)


@pytest.mark.parametrize("shade", [0.08, 0.3, 0.5, 0.7])
def test_the_lightness_of_dyed_hair_spreads_like_that_of_real_hair(shade):
    """Whatever it was before: quantiles go nearly all the way to those of real hair as light as the shade."""
    real = quantiles_at(median_of(shade))
    for hair in ((0.1, 0.3, 0.7), (0.4, 0.6, 0.9), (0.02, 0.1, 0.4)):
        tone = even_tone(*hair)
        new = np.interp(tone.quantiles, np.linspace(0, 1, CURVE_SIZE), lightness_curve(tone, shade, median_of(shade)))
        assert np.abs(new - np.clip(real, 0.03, 1)).mean() < 0.04


def test_perceived_lightness_runs_like_cie():
    gray = np.linspace(0, 1, 256, dtype=np.float32)
    cie = cv2.cvtColor(np.repeat(gray.reshape(1, -1, 1), 3, 2), cv2.COLOR_RGB2Lab)[0, :, 0] / 100
    ok = rgb_to_oklab(np.repeat(gray.reshape(1, -1, 1), 3, 2))[0, :, 0]
    np.testing.assert_allclose(perceived(ok), cie, atol=0.03)
    np.testing.assert_allclose(unperceived(perceived(ok)), ok, atol=1e-6)


@every_shade
def test_color_curves_fade_at_both_ends_and_meet_the_shade(shade):
    lightness, a, b = rgb_to_oklab(np.array(shade.rgb, np.float32).reshape(1, 1, 3))[0, 0].astype(float)
    lit = float(perceived(lightness))
    curves = np.array(color_curves(lit, a, b))
    assert np.hypot(*curves[:, [0, -1]]).max() < 1e-6
    met = [np.interp(lit, np.linspace(0, 1, CURVE_SIZE), curve) for curve in curves]
    np.testing.assert_allclose(met, (a, b), atol=0.004)


def test_blond_is_warmer_and_more_colorful_in_its_shadows_and_blue_keeps_its_hue():
    def look(name, *at):
        lightness, a, b = rgb_to_oklab(np.array(find_shade(name).rgb, np.float32).reshape(1, 1, 3))[0, 0].astype(float)
        lit = float(perceived(lightness))
        a, b = (
            np.interp([lit + more for more in at], np.linspace(0, 1, CURVE_SIZE), curve)
            for curve in color_curves(lit, a, b)
        )
        return np.hypot(a, b), np.degrees(np.arctan2(b, a))

    chroma, hue = look("golden-blond", -0.25, 0, 0.2)
    assert chroma[0] > chroma[1] > 1.2 * chroma[2] and hue[1] - hue[0] > 5 and hue[2] - hue[1] > 4
    assert np.ptp(look("blue", -0.2, 0, 0.1)[1]) < 0.5


def test_fitting_share_is_the_edge_of_the_gamut():
    rng = np.random.default_rng(3)
    lab = np.column_stack([rng.uniform(0.1, 0.98, 500), rng.uniform(-0.4, 0.4, (500, 2))])
    share = gamut_shares(lab)

    def spare(share):
        linear = oklab_to_linear((lab * np.column_stack([np.ones(500), share, share])).astype(np.float32)[None])
        return np.minimum(linear, 1 - linear).min(axis=2)[0]

    assert spare(share).min() > 0
    assert (spare(share * 1.05)[share < 0.95] < spare(share)[share < 0.95]).all() and (share < 0.95).sum() > 100
    assert spare(share)[share < 0.95].max() < 0.01  # nothing is given away


# What the issue asks for


@every_head
@every_shade
def test_hair_shows_the_shade_where_it_is_lit_and_keeps_its_texture(heads, dyed, head, shade):
    photo, hair, tone = heads[head]
    lab = rgb2lab(dyed(head, shade)[hair][::5][None])[0]
    low, high = np.quantile(lab[:, 0], (LIT - 0.05, LIT + 0.05))
    shown = np.median(lab[(lab[:, 0] >= low) & (lab[:, 0] <= high)], axis=0)
    goal = rgb2lab(np.array(shade.rgb).reshape(1, 1, 3))[0, 0]
    assert deltaE_ciede2000(shown, goal) <= 3
    # Not by 8 bits, which have only a few levels for black.
    exact = recolor(photo.astype(np.float32) / 255, tone, shade.rgb) * 255
    away = abs(goal[0] - np.median(lightness(photo)[hair]))
    assert texture_kept(photo, exact, hair) >= (0.95 if away <= 15 else 0.85 if away <= 20 else 0.75)


@every_head
@every_shade
def test_dyed_hair_is_no_flat_cap(heads, dyed, head, shade):
    """Its lightness varies like that of real hair as light as that; drawn hair, which has few shadows, a little less."""
    _, hair, _ = heads[head]
    values = perceived(rgb_to_oklab(dyed(head, shade)[hair][None])[0, :, 0].astype(float))
    new = np.quantile(values, QUANTILES)
    real = np.clip(quantiles_at(new[QUANTILES.index(0.5)]), perceived(DARKEST), 1)
    assert 0.6 < (new[-2] - new[1]) / (real[-2] - real[1]) < 1.5


@every_head
@every_shade
def test_nothing_clips(heads, dyed, head, shade):
    photo, hair, _ = heads[head]
    new = dyed(head, shade)[hair]
    lost = (photo[hair] > 0) & (photo[hair] < 255) & ((new == 0) | (new == 255))
    assert lost.mean(axis=0).max() <= 0.001


@every_shade
def test_any_color_at_all_stays_within_levels_1_to_254(heads, shade):
    rgb = np.random.default_rng(2).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    for head in ("black", "blond", "dyed"):
        exact = recolor(rgb.astype(np.float32) / 255, heads[head][2], shade.rgb)
        assert exact.min() * 255 > 0.95 and exact.max() * 255 < 254.05
        drawn = recolor(rgb, heads[head][2], shade.rgb)
        assert drawn.min() >= 1 and drawn.max() <= 254


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_strength_zero_is_the_original_to_the_bit(astronaut, dtype):
    rgb = astronaut.astype(np.float32) / 255 * 1.2 - 0.1 if dtype is np.float32 else astronaut.astype(dtype)
    rgb = rgb.astype(dtype)
    np.testing.assert_array_equal(recolor(rgb, TONE, (1, 0, 0), 0), rgb)


@every_head
def test_strength_is_monotone_at_every_pixel(heads, head):
    photo, _, tone = heads[head]
    steps = [recolor(photo, tone, (0.1, 0.2, 0.8), strength).astype(int) for strength in (0, 0.02, 0.25, 0.5, 0.75, 1)]
    distances = np.abs(np.array(steps) - steps[-1])
    assert (np.diff(distances, axis=0) <= 1).all()  # rounding
    assert (np.diff(distances.mean(axis=(1, 2, 3))) < 0).all()


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strength_out_of_range(astronaut, strength):
    with pytest.raises(ValueError, match="from 0 to 1"):
        recolor(astronaut, TONE, (1, 0, 0), strength)


def test_every_pixel_is_recolored_not_only_hair(astronaut):
    tone = measure_tone(astronaut.astype(np.float32) / 255, np.zeros(astronaut.shape[:2], np.float32))
    blue = rgb_to_oklab(recolor(astronaut, tone, (0.1, 0.2, 0.8)))
    middle = (blue[..., 0] > 0.3) & (blue[..., 0] < 0.8)
    assert (blue[..., 2][middle] < -0.03).mean() > 0.99


def test_hair_dyed_in_its_own_color_hardly_changes(heads):
    photo, hair, tone = heads["astronaut"]
    change = np.abs(recolor(photo, tone, tone_color(tone))[hair].astype(int) - photo[hair])
    assert change.mean() < 8


# Base and detail


def test_the_base_follows_light_and_leaves_strands_to_the_detail():
    """A step and a slow slope of light are base; strands of a pixel are not; noise of one level is no signal."""
    rng = np.random.default_rng(3)
    x = np.where(np.arange(400) < 200, 0.2, 0.7) + np.linspace(0, 0.1, 400)
    strands = 0.02 * np.resize([-1, 1], 400)
    gray = (unperceived(np.tile(x + strands, (300, 1))) ** 3).astype(np.float32)
    encoded = np.where(gray <= 0.0031308, gray * 12.92, 1.055 * gray ** (1 / 2.4) - 0.055)
    base = find_base(np.repeat(encoded[..., None], 3, 2).astype(np.float32))
    assert (base.height, base.width) == base.values.shape[:2] == (300, 400)
    found = base.values[..., 0] * (x + strands) + base.values[..., 1]
    away = abs(np.arange(400) - 200) > 12
    assert np.abs(found - x)[:, away].mean() < 0.008
    assert np.abs(found - x)[:, ~away].mean() < 0.06  # a step is no detail
    assert base.values[..., 2].min() > 0.8
    flat = find_base(np.full((50, 50, 3), 20, np.uint8) + rng.integers(0, 2, (50, 50, 1)).astype(np.uint8))
    assert flat.values[..., 2].max() < 0.6


def uneven_hair() -> tuple[np.ndarray, HairTone]:
    """Brown hair with few bright strands, redder on its left than on its right, (200, 200, 3) float32, and its tone."""
    rng = np.random.default_rng(11)
    lab = np.empty((200, 200, 3), np.float32)
    lab[..., 0] = 0.3 * np.exp(0.2 * rng.normal(size=(1, 200))) + 0.005 * rng.normal(size=(200, 200))
    lab[..., 1:] = np.where(np.arange(200) < 100, 0.03, 0.02)[None, :, None] + 0.002 * rng.normal(size=(200, 200, 2))
    photo = oklab_to_rgb(lab)
    return photo, measure_tone(photo, np.ones(photo.shape[:2], np.float32))


def skewness(values: np.ndarray) -> float:
    return ((values - values.mean()) ** 3).mean() / values.std() ** 3


def test_light_hair_has_dark_gaps_where_dark_hair_has_bright_strands():
    photo, tone = uneven_hair()
    lighter = make_transform(tone, find_shade("platinum").rgb)
    straight = lighter._replace(variation=lighter.variation * np.float32([0, 1, 1, 1, 1, 1, 1]))
    leaning, without = (skewness(lightness(apply_transform(photo, dye))) for dye in (lighter, straight))
    assert lighter.variation[0] > 0.05 and leaning < without - 0.05
    blond = measure_tone(np.full((9, 9, 3), 0.7, np.float32), np.ones((9, 9), np.float32))
    assert make_transform(blond, find_shade("black").rgb).variation[0] < -0.05


@pytest.mark.parametrize("name", ["golden-blond", "platinum", "blue"])
def test_where_hair_is_redder_the_dye_is_more_colorful(name):
    """Of any hue, and never beyond gray."""
    photo, tone = uneven_hair()
    shade = np.array(find_shade(name).rgb, np.float32)
    lab = rgb_to_oklab(recolor(photo, tone, tuple(shade)))
    own = rgb_to_oklab(shade.reshape(1, 1, 3))[0, 0, 1:]
    along = lab[..., 1:] @ (own / np.linalg.norm(own))
    left, right = (np.median(part) for part in (along[:, 20:80], along[:, 120:180]))
    assert left > 1.15 * right > 0


def test_what_is_beside_the_hair_does_not_color_it():
    """Dark hair beside red cloth: the matte says what of it is hair; without it the cloth shows in the base."""
    photo = np.full((200, 200, 3), (40, 32, 28), np.uint8)
    photo[:, 100:] = (200, 40, 40)
    matte = np.zeros((200, 200), np.float32)
    matte[:, :100] = 1
    within, mixed = (find_base(photo, matte=m).values[100, 99] for m in (matte, None))
    alone = find_base(photo[:, :100]).values[100, 50]
    np.testing.assert_allclose(within[3:], alone[3:], atol=2e-3)
    assert np.abs(mixed[3:] - alone[3:]).max() > 0.02


def test_crushed_blacks_are_not_blown_up():
    """Level 8 with noise of a level in all channels, made platinum: the noise stays as fine as lightness allows."""
    rng = np.random.default_rng(4)
    black = (8 + rng.integers(-1, 2, (200, 200, 1)) + np.zeros(3)).astype(np.uint8)
    tone = measure_tone(black.astype(np.float32) / 255, np.ones((200, 200), np.float32))
    before, after = (lightness(rgb).std() for rgb in (black, recolor(black, tone, find_shade("platinum").rgb)))
    assert after < 3 * before + 0.3


def test_a_part_of_the_photo_is_dyed_as_in_the_whole(astronaut):
    for scale in (1, 3):
        photo = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        base = find_base(photo)
        whole = recolor(photo, TONE, (0.7, 0.3, 0.1), base=base)
        part = recolor(photo[150:400, 90:301], TONE, (0.7, 0.3, 0.1), base=base.cut(150, 90))
        # Vector instructions round their last bits otherwise than what is left over at the end of a block.
        off = np.abs(part.astype(int) - whole[150:400, 90:301])
        assert off.max() <= 1 and off.mean() < 1e-4


# How it is computed


def dye_by_the_formulas(rgb: np.ndarray, dye: ToneTransform, base: ScaledMap) -> np.ndarray:
    """`apply_transform` in double precision: encoded values, 0…1, of shape (H, W, 3), with a base as fine as they are."""
    linear = np.where(np.abs(rgb) <= 0.04045, rgb / 12.92, np.sign(rgb) * ((np.abs(rgb) + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt(linear @ RGB_TO_LMS.T) @ LMS_TO_LAB.T
    seen = perceived(np.clip(lab[..., 0], 0, 1))
    slope, offset, signal, *around = np.moveaxis(base.values.astype(float), -1, 0)
    lean, fine, along_a, along_b, aa, ab, bb = dye.variation.astype(float)
    rest = np.maximum(1 - slope, LEAST_REST)
    mean, variance = offset / rest, EDGE**2 * slope / rest
    x = seen - lean * ((seen - mean) ** 2 - variance) / np.sqrt((seen - mean) ** 2 + variance + kernels.TINY)
    old = np.clip(slope * x + offset, 0, 1)
    grid = np.linspace(0, 1, dye.curves.shape[1])
    new = np.interp(old, grid, dye.curves[0])
    gain = np.clip(np.interp(old, grid, dye.curves[3]), *DETAIL_GAIN)
    detail = np.where(gain > 1, 1 + signal * (gain - 1), gain) * (x - old)
    bottom, top = perceived(np.float64(DARKEST)), perceived(np.float64(LIGHTEST))
    room = np.maximum(np.where(detail > 0, top - new, new - bottom), LEAST_ROOM)
    new = np.clip(new + detail / np.sqrt(1 + (detail / room) ** 2), bottom, top)

    def usual(lightness: np.ndarray) -> np.ndarray:
        at = np.clip(lightness, *dye.usual[:, 0]) - dye.usual[:, 0].astype(float).mean()
        cubics = [np.poly1d(row[:0:-1].astype(float)) for row in dye.usual]
        return np.stack([[cubic(at), cubic.deriv(2)(at)] for cubic in cubics], axis=-1)

    around = np.stack(around, axis=-1) - (lambda at: at[0] + variance[..., None] / 2 * at[1])(usual(mean))
    own = fine * (lab[..., 1:] - usual(seen)[0] - around)
    around *= (mean**2 / (mean**2 + kernels.CRUSHED**2))[..., None]
    more = np.clip(around @ (along_a, along_b), -kernels.MOST_COLORFUL, kernels.MOST_COLORFUL)
    colorful = np.where(more > 0, 1 + more / (1 + 2 * np.abs(more)), 1 / (1 + np.abs(more)))
    vary = own + around @ np.array([[aa, ab], [ab, bb]])
    vary /= 1 + np.linalg.norm(vary, axis=-1, keepdims=True) / VARIATION_LIMIT
    given = colorful[..., None] * np.stack([np.interp(new, grid, curve) for curve in dye.curves[1:3]], axis=-1)
    lightness = unperceived(new)[..., None]
    new = np.concatenate([lightness, given + vary], axis=-1)
    linear, gray = (new @ LAB_TO_LMS.T) ** 3 @ LMS_TO_RGB.T, lightness**3
    above = (linear.max(axis=-1, keepdims=True) - gray) / (LINEAR_RANGE[1] - gray)
    below = (gray - linear.min(axis=-1, keepdims=True)) / (gray - LINEAR_RANGE[0])
    linear = gray + (linear - gray) / np.maximum(np.maximum(above, below), 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def smooth_base(size: tuple[int, int], seed: int) -> ScaledMap:
    """A base that no photo has: any slope and offset, any share of signal, any colors around."""
    values = np.random.default_rng(seed).random((*size, 5), np.float32)
    return ScaledMap(values * np.float32((0.8, 0.5, 1, 0.2, 0.2)) - np.float32((0, 0, 0, 0.1, 0.1)), *size)


@every_shade
def test_every_color_is_dyed_by_the_formulas_at_every_depth(heads, shade):
    rng = np.random.default_rng(4)
    base = smooth_base((200, 200), 9)
    for head in ("black", "blond", "dyed"):
        dye = make_transform(heads[head][2], shade.rgb)
        for dtype, tolerance in ((np.uint8, 0.6), (np.uint16, 4.0), (np.float32, 6e-5)):
            full = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
            rgb = rng.random((200, 200, 3)) * full
            rgb[:20] *= 0.05  # the dark ones are the hardest
            rgb[0, 0] = 0
            rgb = rgb.astype(dtype)
            expected = dye_by_the_formulas(rgb.astype(float) / full, dye, base) * full
            found = apply_transform(rgb, dye, base).astype(float)
            off = np.abs(found - expected)
            assert np.quantile(off, 0.999) <= tolerance and off.max() <= 5 * tolerance, (head, dtype, off.max())


def test_what_floats_hold_beyond_the_range_is_dyed_by_the_formulas_too():
    rgb = np.random.default_rng(6).choice([-1, 1], (50, 50, 3)) * np.geomspace(1e-3, 30, 7500).reshape(50, 50, 3)
    dye, base = make_transform(TONE, (0.7, 0.3, 0.1)), find_base(rgb.astype(np.float32))
    expected = dye_by_the_formulas(rgb.astype(np.float32).astype(float), dye, base)
    found = apply_transform(rgb.astype(np.float32), dye, base)
    assert np.quantile(np.abs(found - expected), 0.99) < 2e-4 and np.abs(found - expected).max() < 5e-3


def test_roots_without_division_are_as_exact_as_single_precision():
    x = np.geomspace(kernels.TINY, 1e15, 100_001).astype(np.float32)
    root = np.array([kernels.cube_root(value) for value in x[::50]])
    np.testing.assert_allclose(root, np.cbrt(x[::50].astype(float)), rtol=5e-7)
    encoded = np.concatenate([-x[x < FARTHEST], [0], x[x < FARTHEST]]).astype(np.float32)[::50]
    linear = np.array([kernels.linear_from_encoded(value) for value in encoded])
    size = np.abs(encoded.astype(float))
    expected = np.sign(encoded) * np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear, expected, rtol=1.5e-6)


def test_where_no_folder_can_be_written_it_is_compiled_all_the_same(monkeypatch):
    compile_it = compiled.numba.njit

    def refuse_to_keep(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_it(function, **options)

    monkeypatch.setattr(compiled.numba, "njit", refuse_to_keep)
    assert compiled.compiled(lambda x: x + 1)(2) == 3


def test_a_dye_that_makes_no_sense_reads_no_foreign_memory():
    wild = np.array([[np.nan, np.inf], [-np.inf, 1e30], [np.nan, -1e30], [np.inf, -np.inf]], np.float32)
    rgb = np.random.default_rng(5).integers(0, 256, (64, 64, 4)).astype(np.uint8)
    for dtype in (np.uint8, np.uint16, np.float32):
        usual = np.full((2, 5), np.nan, np.float32)
        base = ScaledMap(np.full((3, 3, 5), np.inf, np.float32), 64, 64)
        dyed = apply_transform(rgb.astype(dtype), ToneTransform(wild, usual, np.full(7, np.inf, np.float32)), base)
        assert np.isfinite(dyed).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_stays_whatever_it_is(dtype):
    rgba = np.random.default_rng(7).random((40, 30, 4)) * (1 if dtype is np.float32 else np.iinfo(dtype).max)
    rgba = rgba.astype(dtype)
    if dtype is np.float32:
        rgba[0, 0, 3], rgba[1, 1, 3], rgba[2, 2, 0] = np.nan, 7, np.nan
    for strength in (0.3, 1):
        np.testing.assert_array_equal(recolor(rgba, TONE, (0.7, 0.3, 0.1), strength)[..., 3], rgba[..., 3])


def test_every_depth_gives_the_same(astronaut):
    base = find_base(astronaut)
    deep = recolor(astronaut.astype(np.uint16) * 257, TONE, (0.7, 0.3, 0.1), base=base) / 65535
    exact = recolor(astronaut.astype(np.float32) / 255, TONE, (0.7, 0.3, 0.1), base=base)
    assert deep.dtype != np.uint16 and exact.dtype == np.float32
    # The gain of the detail is a step function, and whoever is next to a step may be on its other side.
    assert np.quantile(np.abs(deep - exact), 0.9999) < 0.6 / 65535 + 4e-5 and np.abs(deep - exact).max() < 1e-3
    np.testing.assert_allclose(recolor(astronaut, TONE, (0.7, 0.3, 0.1)) / 255, exact, atol=0.6 / 255)


def test_floats_beyond_the_range_are_taken_as_its_ends_and_leave_the_rest_alone():
    rgb = np.array([[(-0.5, -0.5, -0.5), (3, 3, 3), (np.nan, 0.5, 0.5), (0.4, 0.3, 0.2)]], np.float32)
    base = find_base(rgb)
    dyed = recolor(rgb, TONE, (0.7, 0.3, 0.1), base=base)
    finite = dyed[0, [0, 1, 3]]
    assert np.isfinite(finite).all() and finite.min() >= 0 and finite.max() <= 1
    alone = recolor(rgb[:, 3:], TONE, (0.7, 0.3, 0.1), base=base.cut(0, 3))
    np.testing.assert_allclose(dyed[:, 3:], alone, rtol=0, atol=2e-6)  # last bits, as below


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_strips_leave_no_seam(astronaut, monkeypatch, dtype):
    photo = astronaut.astype(dtype) if dtype is not np.float32 else astronaut.astype(np.float32) / 255
    whole = recolor(photo, TONE, (0.7, 0.3, 0.1))
    monkeypatch.setattr("hairmask_core.photo.strips.STRIP_PIXELS", 2 * 512 * 7)
    # Vector instructions round their last bits otherwise than what is left over at the end of a block.
    tolerance = {np.uint8: 0, np.uint16: 1, np.float32: 2e-6}[dtype]
    np.testing.assert_allclose(recolor(photo, TONE, (0.7, 0.3, 0.1)), whole, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_odd_sizes(size, dtype):
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    photo = np.full((*size, 3), full * 0.4).astype(dtype)
    dyed = recolor(photo, TONE, (0.7, 0.3, 0.1))
    assert dyed.shape == photo.shape and dyed.dtype == dtype
    np.testing.assert_allclose(dyed / full, np.broadcast_to(dyed[:1, :1], dyed.shape) / full, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_view_of_a_larger_picture(astronaut, dtype):
    photo = astronaut if dtype is np.uint8 else astronaut.astype(np.float32) / 255
    view = photo[100:300:2, 380:20:-3]
    expected = recolor(np.ascontiguousarray(view), TONE, (0.7, 0.3, 0.1))
    np.testing.assert_allclose(recolor(view, TONE, (0.7, 0.3, 0.1)), expected, atol=2e-6)


def test_reports_rise_to_one_and_can_stop_the_work(astronaut, monkeypatch):
    monkeypatch.setattr("hairmask_core.photo.strips.STRIP_PIXELS", 2 * 512 * 16)
    said = []
    recolor(astronaut, TONE, (0.7, 0.3, 0.1), 1.0, said.append)
    assert len(said) == 32 and said == sorted(said) and said[-1] == 1

    def stop(fraction):
        said.append(fraction)
        raise Cancelled

    said.clear()
    with pytest.raises(Cancelled):
        recolor(astronaut, TONE, (0.7, 0.3, 0.1), 1.0, stop)
    assert len(said) == 1


def test_shades_along_a_position(astronaut):
    red, blue = (0.7, 0.1, 0.1), (0.1, 0.2, 0.8)
    position = np.broadcast_to(np.linspace(0, 1, 512, dtype=np.float32), (512, 512))
    for photo in (astronaut, astronaut.astype(np.float32) / 255):
        full = 255 if photo.dtype == np.uint8 else 1
        dyed = np.array([recolor(photo, TONE, shade).astype(float) for shade in shades_between(red, blue)])
        place = position * (GRADIENT_SHADES - 1)
        weights = [np.maximum(1 - np.abs(place - number), 0)[..., None] for number in range(GRADIENT_SHADES)]
        expected = sum(weight * one for weight, one in zip(weights, dyed))
        strands = Strands(position=ScaledMap(position[..., None], 512, 512))
        strips = recolor_strips(photo, TONE, Coloring(red, tips=blue), strands)
        both = np.concatenate([strip for _, strip in strips])
        np.testing.assert_allclose(both, expected, atol=0.51 if full == 255 else 1e-5)


# The blend and the shades


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
