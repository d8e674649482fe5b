"""Cropped hair: skin that shows through keeps its color, and highlights of hair are not taken for it."""

import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from skimage.morphology import reconstruction

from hairmask_core.hair.tone import measure_tone
from hairmask_core.matting import foreground
from hairmask_core.matting.visible_skin import find_visible_skin, reconstruct

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
from fades import FADE, SIDE, SKIN, drawn_fade, fade_error, layers, matte, mixed, seen  # noqa: E402


def test_skin_that_shows_through_keeps_its_color():
    truth, before, now = drawn_fade()
    assert fade_error(now, truth) < 0.35 * fade_error(before, truth)
    lower = slice((FADE.start + FADE.stop) // 2, FADE.stop)
    assert (now[lower].mean((1, 2)) < 255 * truth[lower].mean((1, 2)) + 15).all()


def test_well_inside_the_hair_nothing_changes():
    hair, skin = layers()
    photo, tone = mixed(hair, skin), measure_tone(hair, np.ones((SIDE, SIDE), np.float32))
    now = seen(photo, tone)
    with mock.patch.object(foreground, "find_visible_skin", return_value=None):
        np.testing.assert_array_equal(seen(photo, tone)[: FADE.start - 30], now[: FADE.start - 30])


@pytest.mark.parametrize(
    ("color", "skin"),
    [((120, 75, 45), SKIN), ((190, 150, 100), SKIN), ((30, 27, 26), (150, 150, 155)), ((30, 27, 26), (60, 45, 38))],
    ids=["brown", "blond", "gray wall", "dark skin"],
)
def test_hair_that_may_look_like_skin_and_what_is_no_lighter_skin_are_left_alone(color, skin):
    assert find_visible_skin(mixed(*layers(color, skin)), matte()) is None


def test_a_gleam_of_skins_color_that_no_way_leads_to_is_hair():
    hair, skin = layers()
    photo = mixed(hair, skin)
    photo[60:72, 100:160] = skin[60:72, 100:160]
    assert find_visible_skin(photo, matte()).where[50:80].max() == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 150)])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_photos_of_one_kind_only(shape, p):
    assert find_visible_skin(np.full((*shape, 3), 0.1, np.float32), np.full(shape, p, np.float32)) is None


def test_hair_that_fills_the_photo():
    assert find_visible_skin(layers()[0], np.ones((SIDE, SIDE), np.float32)) is None


def test_reconstruction_is_that_of_the_literature():
    rng = np.random.default_rng(1)
    mask = rng.random((40, 60)).astype(np.float32)
    marker = np.where(rng.random(mask.shape) < 0.02, mask, 0).astype(np.float32)
    expected = reconstruction(marker, mask, footprint=np.ones((3, 3)))
    np.testing.assert_array_equal(reconstruct(marker, mask), expected.astype(np.float32))
