"""Cropped hair: skin that shows through keeps its color, and highlights of hair are not taken for it."""

from unittest import mock

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.morphology import reconstruction

from hairmask_core.color.blend import blend
from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import find_shade
from hairmask_core.hair.tone import Hair, measure_tone
from hairmask_core.matting import foreground
from hairmask_core.matting.cropped import find_cropped, reconstruct
from hairmask_core.photo.base import find_base
from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.pipeline import find_edge_colors, recolor_layer

SIDE = 256
FADE = slice(100, 180)  # rows in which hair becomes skin
PLATINUM = find_shade("platinum").rgb
SKIN = (205, 155, 130)


def layers(color=(30, 27, 26), skin=SKIN) -> tuple[np.ndarray, np.ndarray]:
    """Hair with lighter strands, and skin: (SIDE, SIDE, 3) float32 each, 0…1."""
    rng = np.random.default_rng(0)
    strands = np.clip(rng.normal(0, 1, (1, SIDE, 1)), 0, 3) * 12 + rng.normal(0, 4, (SIDE, SIDE, 1))
    hair = np.array(color) + strands
    bare = np.array(skin) + rng.normal(0, 3, (SIDE, SIDE, 1))
    hair, bare = (np.clip(part / 255, 0, 1).astype(np.float32) for part in (hair, bare))
    return hair, bare


def bare_share() -> np.ndarray:
    """Of a neck that is faded from black at the top to bare skin at the bottom: (SIDE, SIDE, 1) float32."""
    rows = np.clip((np.arange(SIDE) - FADE.start) / (FADE.stop - FADE.start), 0, 1)
    return np.broadcast_to(rows[:, None, None], (SIDE, SIDE, 1)).astype(np.float32)


def matte() -> np.ndarray:
    """As masks have it: hair throughout, down to where hardly any is left."""
    return np.clip((FADE.stop - 8 - np.arange(SIDE)) / 6, 0, 1)[:, None].repeat(SIDE, 1).astype(np.float32)


def mixed(hair: np.ndarray, skin: np.ndarray) -> np.ndarray:
    return hair + bare_share() * (skin - hair)


def seen(photo: np.ndarray, tone) -> np.ndarray:
    """The photo dyed platinum through the matte, (SIDE, SIDE, 3) uint8."""
    photo = Photo(from_float(photo, np.uint8))
    edges, base = find_edge_colors(photo, matte()), find_base(photo.rgb)
    return blend(
        photo.rgb, recolor_layer(photo, Hair(matte(), 0.5, tone=tone, edges=edges, base=base), "platinum"), matte()
    )


def test_skin_that_shows_through_keeps_its_color():
    hair, skin = layers()
    photo, tone = mixed(hair, skin), measure_tone(hair, np.ones((SIDE, SIDE), np.float32))
    dyed = recolor(from_float(hair, np.uint8), tone, PLATINUM) / np.float32(255)
    truth = dyed + bare_share() * (skin - dyed)

    def error(image: np.ndarray) -> float:
        return float(deltaE_ciede2000(rgb2lab(image / 255), rgb2lab(truth))[FADE].mean())

    now = seen(photo, tone)
    with mock.patch.object(foreground, "find_cropped", return_value=None):
        before = seen(photo, tone)
    assert error(now) < 0.35 * error(before)
    lower = slice((FADE.start + FADE.stop) // 2, FADE.stop)
    assert (now[lower].mean((1, 2)) < 255 * truth[lower].mean((1, 2)) + 15).all()


def test_well_inside_the_hair_nothing_changes():
    hair, skin = layers()
    photo, tone = mixed(hair, skin), measure_tone(hair, np.ones((SIDE, SIDE), np.float32))
    now = seen(photo, tone)
    with mock.patch.object(foreground, "find_cropped", return_value=None):
        np.testing.assert_array_equal(seen(photo, tone)[: FADE.start - 30], now[: FADE.start - 30])


@pytest.mark.parametrize(
    ("color", "skin"),
    [((120, 75, 45), SKIN), ((190, 150, 100), SKIN), ((30, 27, 26), (150, 150, 155)), ((30, 27, 26), (60, 45, 38))],
    ids=["brown", "blond", "gray wall", "dark skin"],
)
def test_hair_that_may_look_like_skin_and_what_is_no_lighter_skin_are_left_alone(color, skin):
    assert find_cropped(mixed(*layers(color, skin)), matte()) is None


def test_a_gleam_of_skins_color_that_no_way_leads_to_is_hair():
    hair, skin = layers()
    photo = mixed(hair, skin)
    photo[60:72, 100:160] = skin[60:72, 100:160]
    assert find_cropped(photo, matte()).where[50:80].max() == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 150)])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_photos_of_one_kind_only(shape, p):
    assert find_cropped(np.full((*shape, 3), 0.1, np.float32), np.full(shape, p, np.float32)) is None


def test_hair_that_fills_the_photo():
    assert find_cropped(layers()[0], np.ones((SIDE, SIDE), np.float32)) is None


def test_reconstruction_is_that_of_the_literature():
    rng = np.random.default_rng(1)
    mask = rng.random((40, 60)).astype(np.float32)
    marker = np.where(rng.random(mask.shape) < 0.02, mask, 0).astype(np.float32)
    expected = reconstruction(marker, mask, footprint=np.ones((3, 3)))
    np.testing.assert_array_equal(reconstruct(marker, mask), expected.astype(np.float32))
