"""Colors that hair nowhere has: a brown head, a red sleeve that the map takes for hair in part, a gray wall."""

import cv2
import numpy as np
import pytest

from hairmask_core.matting.foreign_colors import (
    CELLS,
    CLEAR,
    LARGEST_EVIDENCE,
    WEIGHT,
    color_cells,
    doubt_foreign_colors,
    evidence_against,
    frequencies,
)
from hairmask_core.matting.upsampling import refine_outline

SIDE = 160
BROWN, RED, WALL = (90, 60, 40), (190, 20, 30), (150, 150, 155)
HEAD, SLEEVE, UNSURE = np.s_[20:100, 40:120], np.s_[100:160, 20:140], np.s_[90:120, 50:90]


@pytest.fixture
def scene():
    """The photo, (SIDE, SIDE, 3) float32, and a map that is unsure where hair ends on the sleeve."""
    noise = np.random.default_rng(2).normal(0, 3, (SIDE, SIDE, 3))
    rgb = np.full((SIDE, SIDE, 3), WALL, np.float32)
    rgb[SLEEVE], rgb[HEAD] = RED, BROWN
    coarse = np.zeros((SIDE, SIDE), np.float32)
    coarse[HEAD] = 1
    coarse[UNSURE] = 0.7
    return np.clip((rgb + noise) / 255, 0, 1).astype(np.float32), coarse


def test_what_has_a_foreign_color_is_no_hair(scene):
    rgb, coarse = scene
    found = doubt_foreign_colors(rgb, coarse)
    assert found.dtype == np.float32 and found.shape == coarse.shape
    assert found[104:118, 52:88].max() < 0.01  # the sleeve
    np.testing.assert_array_equal(found[92:96, 52:88], coarse[92:96, 52:88])  # as brown as the head
    np.testing.assert_array_equal(found[25:85, 45:115], 1)
    assert (found <= coarse).all()


def test_so_is_it_in_the_matte(scene):
    rgb, coarse = scene
    small = cv2.resize(coarse, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    matte = refine_outline(rgb, small)
    assert matte[106:116, 55:85].max() < 0.05 and matte[30:80, 50:110].min() > 0.99


def test_colors_of_hair_behind_it_are_no_evidence(scene):
    rgb, coarse = scene
    rgb[SLEEVE] = rgb[20:80, 45:46].mean(axis=(0, 1))
    np.testing.assert_array_equal(doubt_foreign_colors(rgb, coarse)[UNSURE], coarse[UNSURE])


@pytest.mark.parametrize("value", [0, 0.5, 0.8, 1])
def test_where_nothing_is_sure_colors_say_nothing(scene, value):
    coarse = np.full((SIDE, SIDE), value, np.float32)
    np.testing.assert_array_equal(doubt_foreign_colors(scene[0], coarse), coarse)


def test_where_little_of_the_hair_is_sure_its_colors_say_nothing(scene):
    rgb, coarse = scene
    coarse[HEAD] = 0.9
    coarse[20:60, 40:120] = 1
    coarse[UNSURE] = 0.7
    np.testing.assert_array_equal(doubt_foreign_colors(rgb, coarse), coarse)


def test_a_large_map_is_changed_as_a_small_one(scene):
    rgb, coarse = scene
    large = cv2.resize(coarse, (5 * SIDE, 5 * SIDE), interpolation=cv2.INTER_NEAREST)
    found = doubt_foreign_colors(cv2.resize(rgb, (700, 700)), large)
    assert found.shape == large.shape and found.dtype == np.float32
    assert found[525:585, 265:435].max() < 0.01 and found[130:420, 230:570].min() == 1


def test_evidence_is_the_log_of_how_frequent_colors_are(scene):
    rgb, coarse = scene
    against = evidence_against(rgb, coarse)
    assert against.max() == 0
    # In the middle of the sleeve the color is frequent where no hair is, and hair never has it.
    assert against[130, 80] == pytest.approx(WEIGHT * (CLEAR - LARGEST_EVIDENCE))


def test_cells_and_frequencies():
    rgb = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1]]], np.float32)
    cells = color_cells(rgb)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0]
    for cell, (lightness, a, b) in zip(cells[0], lab):
        place = np.array([lightness / 100, (a + 60) / 120, (b + 60) / 120]) * CELLS
        expected = np.clip(place, 0, CELLS - 1).astype(int)
        assert cell == (expected[0] * CELLS + expected[1]) * CELLS + expected[2]
    found = frequencies(cells, np.array([[1, 1, 2, 0]], np.float32))
    assert found.sum() == pytest.approx(1) and found.shape == (CELLS**3,)
    # A color away from the histogram's ends keeps 6/16 of its weight along each axis.
    middle = np.ravel_multi_index((CELLS // 2,) * 3, (CELLS,) * 3)
    assert frequencies(np.array([[middle]]), np.ones((1, 1)))[middle] == pytest.approx((6 / 16) ** 3)
