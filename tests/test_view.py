"""The preview's arithmetic: what part of a layer is shown, how large, and where its hair is."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "gimp_plugin" / "hair_recolor"))
import view

LAYER, WINDOW = (4000, 6000), (480, 440)
HEAD = (1500, 800, 2500, 2000)


def at(shown, x, y):
    """The layer's point under a point of the window."""
    return shown.left + x / shown.scale, shown.top + y / shown.scale


def box_of(shown):
    """What is seen of the layer."""
    return (*at(shown, 0, 0), *at(shown, *shown.window))


def test_the_whole_layer_is_in_the_middle_of_the_window():
    shown = view.show_whole(LAYER, WINDOW)
    assert shown.scale == pytest.approx(440 / 6000) and not shown.can_move()
    left, top, right, bottom = shown.shown()
    assert (top, bottom) == (0, 440) and abs(right - left - 293) <= 1 and abs(left + right - 480) <= 1


def test_small_layers_are_not_enlarged_as_a_whole():
    shown = view.show_whole((100, 80), WINDOW)
    assert shown.scale == 1 and shown.shown() == (190, 180, 290, 260)


@pytest.mark.parametrize("layer", [(1, 1), (1, 4000), (524288, 1)])
def test_thin_layers_have_at_least_one_pixel_to_show(layer):
    for shown in (view.show_whole(layer, WINDOW), view.show_box(layer, WINDOW, (0, 0, *layer))):
        left, top, right, bottom = shown.shown()
        assert 0 <= left < right <= 480 and 0 <= top < bottom <= 440


def test_hair_fills_the_window_with_room_around():
    box = view.with_room(HEAD, LAYER)
    assert box == (1250, 500, 2750, 2300)
    shown = view.show_box(LAYER, WINDOW, box)
    assert shown.scale == pytest.approx(440 / 1800)
    left, top, right, bottom = box_of(shown)
    assert left < 1250 and right > 2750 and top == pytest.approx(500) and bottom == pytest.approx(2300)
    assert (left + right) / 2 == pytest.approx(2000)


def test_room_ends_where_the_layer_does_and_is_never_too_little():
    assert view.with_room((0, 100, 3900, 6000), LAYER) == (0, 0, 4000, 6000)
    assert view.with_room((1000, 1000, 1010, 1010), LAYER) == (820, 820, 1190, 1190)
    shown = view.show_box(LAYER, WINDOW, view.with_room((0, 0, 1000, 1200), LAYER))
    assert shown.left == 0 and shown.top == 0


def test_zooming_keeps_the_point_under_the_mouse():
    shown = view.show_box(LAYER, WINDOW, HEAD)
    near = shown.zoomed(1.25, 100, 300, 4)
    assert near.scale == pytest.approx(1.25 * shown.scale)
    assert at(near, 100, 300) == pytest.approx(at(shown, 100, 300))
    assert near.zoomed(0.8, 100, 300, 4).left == pytest.approx(shown.left)


def test_zooming_ends_at_the_whole_layer_and_at_the_largest():
    shown = view.show_box(LAYER, WINDOW, HEAD)
    assert shown.zoomed(1e-6, 9, 9, 4) == view.show_whole(LAYER, WINDOW)
    assert shown.zoomed(1e6, 9, 9, 4).scale == 4


def test_moving_ends_at_the_layer_s_edges():
    shown = view.show_box(LAYER, WINDOW, HEAD)
    assert shown.can_move()
    moved = shown.moved(30, -20)
    assert (moved.left, moved.top) == pytest.approx((shown.left - 30 / shown.scale, shown.top + 20 / shown.scale))
    left, top, right, bottom = box_of(shown.moved(1e6, 1e6).moved(-1e7, -1e7))
    assert (right, bottom) == pytest.approx(LAYER)


def test_a_larger_window_shows_more_around_the_same_middle():
    shown = view.show_box(LAYER, WINDOW, HEAD)
    larger = shown.resized((600, 500))
    assert larger.scale == shown.scale and larger.window == (600, 500)
    assert at(larger, 300, 250) == pytest.approx(at(shown, 240, 220))


def test_the_box_of_hair_leaves_stray_pixels_out():
    mask = np.zeros((200, 100), np.uint8)
    mask[40:120, 30:70] = 255
    mask[0, 0] = mask[199, 99] = 200  # strays
    mask[130:140] = 100  # rather no hair than hair
    assert view.hair_box(mask.tobytes(), (100, 200), (400, 800)) == (120, 160, 280, 480)
    assert view.hair_box(bytes(20000), (100, 200), (400, 800)) is None
    assert view.hair_box(b"\xff", (1, 1), (1, 1)) == (0, 0, 1, 1)


def test_boxes_are_joined():
    assert view.join([(1, 2, 3, 4), None, (0, 3, 2, 9)]) == (0, 2, 3, 9)
    assert view.join([None]) is None and view.join([]) is None


def test_the_finer_copy_is_bounded_by_the_layer_by_its_own_size_and_by_the_hair_s():
    assert view.finest_scale((500, 500), (0, 0, 50, 50)) == 1
    assert view.finest_scale((4000, 7000), (0, 0, 700, 700)) == pytest.approx(1200 / 7000)
    assert view.finest_scale((4000, 4000), (0, 0, 2000, 2000)) == pytest.approx((200000**0.5) / 2000)
