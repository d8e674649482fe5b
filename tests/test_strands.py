"""Roots to tips: strands drawn where it is known how they run."""

import cv2
import numpy as np
import pytest

from hairmask_core.color.coloring import shades_between
from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import find_shade
from hairmask_core.errors import Cancelled
from hairmask_core.hair.strands import (
    DISTANCE_LONG_SIDE,
    find_crown,
    geodesic_distances,
    root_to_tip,
    strand_tensor,
    structure_tensor,
)
from hairmask_core.hair.tone import Hair, measure_tone
from hairmask_core.options import Coloring
from hairmask_core.photo.oklab import rgb_to_oklab
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import recolor_layer

SIDE = 400


def positions(rgb, matte):
    """Those of all pixels."""
    return root_to_tip(rgb, matte).enlarge(*matte.shape)[..., 0]


def draw(paths, widths=7):
    """Strands of varying brightness on gray: (SIDE, SIDE, 3) uint8, and where they are, (SIDE, SIDE) float32, 0…1."""
    rng = np.random.default_rng(1)
    picture, matte = np.full((SIDE, SIDE, 3), 200, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    for path in paths:
        points = [np.round(path).astype(np.int32)]
        cv2.polylines(picture, points, False, tuple(map(float, rng.uniform(20, 130) * np.array([1, 0.8, 0.6]))), widths)
        cv2.polylines(matte, points, False, 1, widths + 2)
    return picture, cv2.GaussianBlur(matte.astype(np.float32), (0, 0), 1)


def straight(wave=0.0):
    y = np.linspace(40, 360, 80)
    return [np.stack([x + wave * np.sin(y / 25), y], axis=1) for x in range(110, 291, 5)]


def fan():
    """From a parting at the top to both sides and down, past where a face would be."""
    s = np.linspace(0, 1, 80)
    return [
        np.stack([200 + side * out * np.minimum(1, 2.5 * s) ** 0.7, 60 + (90 - out) * 0.3 + 280 * s**1.5], axis=1)
        for side in (-1, 1)
        for out in range(30, 110, 4)
    ]


@pytest.mark.parametrize("paths", [straight(), straight(wave=18), fan()], ids=["straight", "wavy", "fan"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_position_rises_along_every_strand(paths, dtype):
    picture, matte = draw(paths)
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    position = positions((picture / 255 * full).astype(dtype), matte)
    assert position.shape == (SIDE, SIDE) and position.dtype == np.float32
    assert position.min() >= 0 and position.max() <= 1
    for path in paths:
        x, y = np.round(path).astype(int).T
        along = position[y, x]
        assert (np.diff(along) > -0.002).all()
        assert along[0] < 0.2 and along[-1] > 0.8


def test_each_head_has_roots_and_tips_of_its_own():
    small = [path * 0.4 for path in straight()]
    paths = [path + (0, 0) for path in small] + [path + (180, 200) for path in small]
    picture, matte = draw(paths, widths=3)
    position = positions(picture, matte)
    for path in paths:
        x, y = np.round(path).astype(int).T
        assert position[y[0], x[0]] < 0.25 and position[y[-1], x[-1]] > 0.75


def test_ways_along_strands_are_shorter_than_across():
    x = np.arange(200)
    stripes = np.broadcast_to(((x // 3) % 2 * 90 + 60).astype(np.uint8)[None, :, None], (200, 200, 3)).copy()
    start = np.zeros((200, 200), bool)
    start[100, 100] = True
    everywhere = np.ones((200, 200), np.float32)
    way = geodesic_distances(strand_tensor(structure_tensor(stripes)), everywhere, start)
    assert way[150, 100] == pytest.approx(50, rel=0.05) and 3 < way[100, 150] / way[150, 100] < 4.5
    plain = geodesic_distances(strand_tensor(structure_tensor(np.full_like(stripes, 90))), everywhere, start)
    y, x = np.mgrid[:200, :200] - 100
    np.testing.assert_allclose(plain, np.hypot(x, y), rtol=0.06)


def test_ways_stay_within_the_hair():
    p = np.ones((60, 60), np.float32)
    p[:50, 28:32] = 0  # a wall with a gap at the bottom
    start = np.zeros((60, 60), bool)
    start[0, :28] = True
    way = geodesic_distances(np.zeros((60, 60, 3), np.float32), p, start)
    assert way[0, 40] > 10 + 4 * 1.5  # straight through costs more than its length
    assert way[55, 40] > 50


def test_one_color_is_measured_through_the_hair():
    picture = np.full((300, 200, 3), 77, np.uint8)
    matte = np.zeros((300, 200), np.float32)
    matte[30:280, 40:160] = 1
    position = positions(picture, matte)
    down = position[30:280, 100]
    assert (np.diff(down) >= -1e-4).all() and down[0] < 0.05 and down[-1] > 0.95
    assert abs(position[155, 100] - 0.45) < 0.1


def test_a_bun_on_top_is_no_root():
    head = np.zeros((200, 200), np.uint8)
    cv2.circle(head, (100, 120), 70, 1, -1)
    cv2.circle(head, (100, 40), 25, 1, -1)
    roots = find_crown(head > 0)
    rows = np.flatnonzero(roots.any(axis=1))
    assert rows.min() > 50 and rows.max() < 100
    position = positions(np.full((200, 200, 3), 77, np.uint8), head.astype(np.float32))
    assert position[25, 100] > position[70, 100] + 0.2 and position[180, 100] > position[70, 100] + 0.2


def test_no_hair():
    position = positions(np.full((50, 70, 3), 9, np.uint8), np.zeros((50, 70), np.float32))
    assert position.shape == (50, 70) and (position == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (2000, 5)])
def test_odd_sizes(size):
    position = positions(np.full((*size, 3), 9, np.uint8), np.ones(size, np.float32))
    assert position.shape == size and np.isfinite(position).all()


def test_what_is_no_number_does_not_spread():
    picture, matte = draw(straight())
    broken = picture.astype(np.float32) / 255
    whole = positions(broken, matte)
    broken[5, 5] = np.nan
    assert np.abs(positions(broken, matte) - whole).max() < 0.01


def test_size_of_the_photo_hardly_matters():
    picture, matte = draw(straight(wave=18))
    large = positions(cv2.resize(picture, None, fx=4, fy=4), cv2.resize(matte, None, fx=4, fy=4))
    small = positions(picture, matte)
    assert max(large.shape) > 4 * DISTANCE_LONG_SIDE
    assert np.abs(cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA) - small)[matte > 0.9].max() < 0.06


def test_shades_between_are_even_in_oklab():
    shades = shades_between((0.1, 0.1, 0.1), (0.9, 0.6, 0.3))
    assert shades[0] == (0.1, 0.1, 0.1) and shades[-1] == (0.9, 0.6, 0.3)
    lab = rgb_to_oklab(np.array([shades], np.float32))[0]
    np.testing.assert_allclose(np.diff(lab, axis=0), np.diff(lab, axis=0)[:1].repeat(len(shades) - 1, 0), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_roots_take_one_shade_and_tips_the_other(dtype):
    picture, matte = draw(straight())
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    photo = Photo((picture / 255 * full).astype(dtype))
    tone = measure_tone(picture.astype(np.float32) / 255, matte)
    brown, pink = find_shade("brown").rgb, find_shade("pink").rgb
    dyed = recolor_layer(photo, Hair(matte, 0.3, tone=tone), Coloring(brown, tips=pink))
    assert dyed.dtype == dtype
    inside = matte > 0.95
    for rows, shade in ((slice(40, 50), brown), (slice(352, 360), pink)):
        alone = recolor(photo.rgb, tone, shade)
        difference = np.abs(dyed[rows].astype(float) - alone[rows])[inside[rows]].mean() / full
        assert difference < 0.02


def test_it_can_be_stopped_at_every_report():
    picture, matte = draw(straight())
    photo, hair = Photo(picture), Hair(matte, 0.3, tone=measure_tone(picture.astype(np.float32) / 255, matte))
    said = []

    def report(fraction, text):
        said.append(fraction)
        if len(said) == stop_at:
            raise Cancelled

    stop_at = 0
    recolor_layer(photo, hair, Coloring((0.3, 0.2, 0.1), tips=(0.8, 0.6, 0.3)), report=report)
    count = len(said)
    assert count >= 6 and said == sorted(said) and said[-1] == 1
    for stop_at in range(1, count + 1):  # noqa: B007  # `report` looks at it
        said.clear()
        with pytest.raises(Cancelled):
            recolor_layer(photo, hair, Coloring((0.3, 0.2, 0.1), tips=(0.8, 0.6, 0.3)), report=report)
