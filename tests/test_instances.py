"""Whose hair it is, on photos of two people made of portraits."""

import cv2
import numpy as np
import pytest

from hairmask_core.hair.instances import (
    WORKING_SIDE,
    divide_hair,
    enlarge_labels,
    find_instances,
    find_markers,
    join_parts,
    limit_matte,
    split_at_dips,
)
from hairmask_core.hair.tone import measure_tone
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair


def ellipse(shape, center, axes):
    return cv2.ellipse(np.zeros(shape, np.uint8), center, axes, 0, 0, 360, 1, -1) > 0


def wearing(portrait, hair, color):
    """The portrait with its hair's color multiplied, as another person."""
    p = hair.matte[..., None]
    return np.rint(portrait * (1 - p) + portrait * np.array(color) * p).astype(np.uint8)


@pytest.fixture(scope="module")
def hair(astronaut, model):
    return find_hair(Photo(astronaut), model)


@pytest.fixture(scope="module")
def side_by_side(astronaut, hair):
    """Two portraits beside each other, the right one mirrored and darker."""
    return np.hstack([astronaut, wearing(astronaut, hair, (0.5, 0.4, 0.3))[:, ::-1]])


@pytest.fixture(scope="module")
def touching(astronaut, hair):
    """Two heads so near that their hair touches, and where the border is: a column."""
    columns = np.flatnonzero((hair.matte[:150] > 0.5).any(axis=0))
    left, right = int(columns[0]) + 3, int(columns[-1]) - 3
    two = np.hstack([astronaut[:, :right], wearing(astronaut, hair, (0.5, 0.4, 0.3))[:, left:]])
    return np.ascontiguousarray(two), right


def test_two_portraits_side_by_side_are_two_people(side_by_side, model):
    photo = Photo(side_by_side)
    found = find_hair(photo, model)
    people = find_instances(photo, found)
    left, right = (people.hair_of(number, found) for number in (1, 2))
    assert people.labels.shape == found.matte.shape and people.labels.dtype == np.uint8
    assert set(np.unique(people.labels)) == {1, 2}
    np.testing.assert_array_equal(left.matte + right.matte, found.matte)
    assert left.matte[:, 512:].max() < 0.5 and right.matte[:, :512].max() < 0.5
    for number, part in ((1, left), (2, right)):
        assert part.tone == measure_tone(side_by_side.astype(np.float32) / 255, part.matte, found.tone.light), number
    assert left.tone.lit[0] > right.tone.lit[0] + 0.1


def test_heads_that_touch_are_told_apart_at_their_border(touching, model):
    rgb, border = touching
    photo = Photo(rgb)
    found = find_hair(photo, model)
    together = cv2.connectedComponents((found.matte > 0.5).astype(np.uint8))[1]
    assert len(set(together[60, border - 40 : border + 40]) - {0}) == 1 or together[80, border]  # it does touch
    people = find_instances(photo, found)
    assert people.labels.max() == 2
    left, right = (people.hair_of(number, found).matte for number in (1, 2))
    np.testing.assert_array_equal(left + right, found.matte)
    assert left[:, border:].sum() < 0.03 * left.sum() and right[:, :border].sum() < 0.03 * right.sum()


def test_one_portrait_is_one_person(astronaut, hair):
    people = find_instances(Photo(astronaut), hair)
    assert (people.labels == 1).all() and people.tones == (hair.tone,)
    np.testing.assert_array_equal(people.hair_of(1, hair).matte, hair.matte)


def test_limits_say_who_gets_a_layer(side_by_side, model):
    photo = Photo(side_by_side)
    hair = find_hair(photo, model)
    people = find_instances(photo, hair)
    (everybody,) = divide_hair(hair)
    assert everybody.number == 0 and everybody.hair is hair and everybody.matte is hair.matte
    assert [part.number for part in divide_hair(hair, people)] == [1, 2]
    right = np.zeros_like(hair.matte)
    right[:, 512:] = 2  # beyond 1, which counts as 1
    (part,) = divide_hair(hair, people, [right])
    assert part.number == 2 and part.hair.tone == people.tones[1]
    np.testing.assert_array_equal(part.matte, np.where(right, people.hair_of(2, hair).matte, np.float32(0)))
    (nobody,) = divide_hair(hair, people, [right, np.zeros_like(right)])
    assert nobody.number == 0 and nobody.matte.max() == 0
    with pytest.raises(ValueError, match="must be"):
        limit_matte(hair.matte, [right[:, :10]])


def test_no_hair_is_everybodys(model):
    photo = Photo(np.full((90, 120, 3), 128, np.uint8))
    people = find_instances(photo, find_hair(photo, model))
    assert (people.labels == 1).all() and len(people.tones) == 1


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (1, 1)])
def test_photos_of_one_pixel_width(shape, model):
    photo = Photo(np.full((*shape, 3), 128, np.uint8))
    assert find_instances(photo, find_hair(photo, model)).labels.shape == shape


def test_two_round_heads_that_overlap_are_split_between_their_crowns():
    one, other = ellipse((200, 300), (100, 100), (50, 60)), ellipse((200, 300), (185, 110), (50, 60))
    left, right = split_at_dips(one | other)
    assert not (left & ~one).any() and not (right & ~other).any()
    assert left.sum() > 0.6 * one.sum() and right.sum() > 0.6 * other.sum()


def test_long_hair_with_a_parting_is_one_head():
    head = ellipse((200, 200), (100, 100), (60, 80)) & ~ellipse((200, 200), (100, 130), (35, 70))  # the face
    head[:30, 97:104] = False  # the parting
    assert len(split_at_dips(head)) == 1


def test_strands_and_tails_belong_to_the_head_they_are_near():
    head, strand = ellipse((300, 500), (80, 80), (50, 50)), ellipse((300, 500), (150, 150), (8, 20))
    far = ellipse((300, 500), (440, 100), (25, 30))
    found = find_markers(head | strand | far)
    assert found.max() == 2 and found[80, 80] == found[150, 150] == 1 and found[100, 440] == 2


def test_of_more_heads_than_asked_for_the_smallest_join_the_nearest():
    heads = [ellipse((100, 800), (60 + 150 * i, 50), (20 + 4 * i, 25 + 4 * i)) for i in range(5)]
    found = find_markers(np.logical_or.reduce(heads), most=3)
    assert found.max() == 3 and found[50, 60] == found[50, 210] == found[50, 360]
    assert len(join_parts(heads[::-1], 5)) == 5


def test_enlarged_borders_are_smooth_and_in_place():
    labels = np.ones((60, WORKING_SIDE), np.uint8)
    labels[:, 100:] = 2
    large = enlarge_labels(labels, 4 * WORKING_SIDE, 240)
    border = (large == 1).sum(axis=1)
    assert large.shape == (240, 4 * WORKING_SIDE) and (abs(border - 400) <= 1).all()
    assert (np.diff(large.astype(int), axis=1) >= 0).all()
