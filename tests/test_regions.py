"""Where a second, closer look is taken."""

import numpy as np
import pytest

from hairmask_core.segmentation.regions import (
    MOST_REGIONS,
    SUSPICION,
    Region,
    feather,
    find_regions,
    grow_region,
    merge_regions,
)


def glance(*blobs, size=(96, 64)):
    """A map of zeros with rectangles of hair: (top, bottom, left, right)."""
    p = np.zeros(size, np.float32)
    for top, bottom, left, right in blobs:
        p[top:bottom, left:right] = 0.9
    return p


def test_small_head_is_framed_with_room_around_it():
    (region,) = find_regions(glance((10, 20, 30, 38)), 960, 640)
    assert (region.top, region.bottom, region.left, region.right) == (55, 245, 255, 425)


def test_room_ends_at_the_photo():
    (region,) = find_regions(glance((0, 10, 0, 10)), 960, 640)
    assert (region.top, region.left) == (0, 0) and region.bottom == 145 and region.right == 145


def test_hair_that_fills_the_photo_is_seen_as_a_whole():
    assert find_regions(glance((10, 80, 5, 60)), 960, 640) == [Region(0, 960, 0, 640)]


def test_no_hair_no_region():
    assert find_regions(np.full((96, 64), SUSPICION - 0.01, np.float32), 960, 640) == []


def test_specks_are_passed_over():
    assert find_regions(glance((10, 11, 30, 33)), 960, 640) == []


def test_people_far_apart_get_a_region_each_and_near_ones_share_one():
    apart = find_regions(glance((5, 12, 5, 12), (80, 86, 50, 56)), 960, 640)
    assert [r.height > 0 for r in apart] == [True, True] and apart[0].area > apart[1].area
    assert len(find_regions(glance((5, 12, 5, 12), (5, 12, 14, 21)), 960, 640)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_regions_hold_all_hair_never_overlap_and_are_few(seed):
    rng = np.random.default_rng(seed)
    tops, lefts = rng.integers(0, 240, 30), rng.integers(0, 240, 30)
    p = glance(*((t, t + 4, x, x + 3) for t, x in zip(tops, lefts)), size=(256, 256))
    regions = find_regions(p, 2560, 2560)
    assert 1 <= len(regions) <= MOST_REGIONS
    assert not any(a.overlaps(b) for i, a in enumerate(regions) for b in regions[:i])
    inside = np.zeros((2560, 2560), bool)
    for region in regions:
        inside[region.slices] = True
    assert inside[p.repeat(10, 0).repeat(10, 1) > 0.5].all()


def test_merging_joins_the_nearest():
    boxes = [Region(0, 10, 100 * i, 100 * i + 10) for i in range(MOST_REGIONS)] + [Region(0, 10, 12, 22)]
    assert Region(0, 10, 0, 22) in merge_regions(boxes) and len(merge_regions(boxes)) == MOST_REGIONS


def test_region_grows_only_where_hair_reaches_its_edge():
    region = Region(100, 200, 100, 200)
    assert grow_region(region, glance((20, 50, 20, 50)), 1000, 1000) == region
    assert grow_region(region, glance((60, 96, 20, 50)), 1000, 1000) == Region(100, 240, 100, 200)
    assert grow_region(region, glance((20, 50, 0, 30)), 1000, 1000) == Region(100, 200, 60, 200)


def test_region_at_the_photo_edge_cannot_grow_there():
    region = Region(0, 100, 0, 100)
    assert grow_region(region, glance((0, 96, 0, 64)), 100, 100) == region


def test_matte_fades_at_edges_inside_the_photo_only():
    region = Region(0, 100, 50, 150)
    faded = feather(np.ones((100, 100), np.float32), region, 400, 150)
    assert faded[0, 50] == 1 and faded[50, -1] == 1  # the photo's own edges
    assert faded[-1, 50] < 0.3 and faded[50, 0] < 0.3
    assert (faded[20:80, 20:] == 1).all()
