"""Matting: coefficients tile by tile, and through the refinement."""

import numpy as np
import pytest

from hairmask_core.errors import Cancelled
from hairmask_core.matting.matting_network import (
    KEPT_SIDE,
    KNOWN_HAIR,
    MATTING_FEATURES,
    MATTING_TILE,
    NETWORK_REACH,
    OVERLAP,
    UNDECIDED,
    WIDE_SIDE,
    decided_share,
    matting_coefficients,
    missing_hair,
    tile_feather,
    tile_starts,
    uncertain_share,
)
from hairmask_core.matting.upsampling import refine_outline


def guess(x):
    """A network that says alpha is the red channel, with a slope of 1 for it."""
    out = np.zeros_like(x[:, :4])
    out[:, 0] = 1
    return out


def keep(x):
    """A network that leaves the map as it is."""
    out = np.zeros_like(x[:, :4])
    out[:, 3] = x[:, 3]
    return out


@pytest.mark.parametrize(
    "length",
    [1, OVERLAP, MATTING_TILE, MATTING_TILE + 1, 2 * MATTING_TILE - OVERLAP, 2 * MATTING_TILE - OVERLAP + 1, 1536],
)
def test_tiles_cover_a_side_and_their_weights_add_up_to_one(length):
    starts = tile_starts(length)
    total = np.zeros(starts[-1] + MATTING_TILE)
    for i, start in enumerate(starts):
        total[start : start + MATTING_TILE] += tile_feather(i > 0, i < len(starts) - 1)
    assert len(total) >= length and starts[-1] < length
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (40, 300), (256, 256), (500, 700)])
def test_coefficients_are_the_networks_where_the_map_is_uncertain(shape):
    rng = np.random.default_rng(0)
    guide, p = rng.random((*shape, 3), np.float32), np.full(shape, 0.1, np.float32)
    np.testing.assert_allclose(
        matting_coefficients(guide, p, 3.0, keep), np.dstack([np.zeros((*shape, 3)), p]), atol=1e-6
    )
    found = matting_coefficients(guide, p, 3.0, guess)
    assert found.shape == (*shape, 4) and found.dtype == np.float32
    np.testing.assert_allclose(found[..., :3], np.broadcast_to([1, 0, 0], guide.shape), atol=1e-6)
    asked = np.dstack([np.ones_like(p), np.zeros((*shape, 3), np.float32)])
    np.testing.assert_allclose(found[..., 3], missing_hair(guide, p, 3.0, asked), atol=1e-5)


def test_the_network_sees_guide_and_map_of_uncertain_tiles_only():
    rng = np.random.default_rng(1)
    guide, p = rng.random((500, 900, 3), np.float32), np.zeros((500, 900), np.float32)
    p[:, 450:] = 1
    p[352, 576] = 0.5
    seen = []

    def network(x):
        seen.append(x)
        return keep(x)

    found = matting_coefficients(guide, p, 3.0, network)
    np.testing.assert_allclose(found[..., 3], p, atol=1e-6)
    assert len(seen) == 1
    rows, columns = (max(start for start in tile_starts(n) if start <= at) for n, at in ((500, 352), (900, 576)))
    assert seen[0].shape == (1, MATTING_FEATURES, MATTING_TILE, MATTING_TILE) and seen[0].dtype == np.float32
    here = np.s_[rows : rows + MATTING_TILE, columns : columns + MATTING_TILE]
    np.testing.assert_array_equal(seen[0][0, :3], guide[here].transpose(2, 0, 1))
    np.testing.assert_array_equal(seen[0][0, 3], p[here])


def test_what_the_network_leaves_out_is_added_where_the_map_has_hair():
    p = np.zeros((200, 200), np.float32)
    p[:, 100:] = 0.8
    guide, nothing = np.zeros((200, 200, 3), np.float32), np.zeros((200, 200, 4), np.float32)
    pixel = 8.0  # so that five goes into the side of the squares
    more = missing_hair(guide, p, pixel, nothing)
    assert more.dtype == np.float32 and not more[:, :100].any()
    np.testing.assert_allclose(more[:, 100:], 0.8, atol=1e-6)
    everything = nothing.copy()
    everything[..., 3] = 1
    assert not missing_hair(guide, p, pixel, everything).any()
    strands = nothing.copy()  # every fifth pixel solid instead of 0.8 missing a fifth: the same in all
    strands[:, 100:, 3] = np.where(np.arange(100) % 5 == 0, 0, 1)
    reach = round(KEPT_SIDE * pixel)
    assert missing_hair(guide, p, pixel, strands)[:, 100 + reach : 200 - reach // 2].max() < 0.02


def test_the_finer_the_map_the_nearer_the_matte_keeps_to_it():
    """Hair on the wrong side of a line: a coarse map does not know better, one as fine as the guide does."""
    p, found = np.zeros((100, 100), np.float32), np.zeros((100, 100, 4), np.float32)
    p[:, 50:], found[:, :50, 3] = 0.9, 0.9
    guide = np.zeros((100, 100, 3), np.float32)
    coarse, fine = (missing_hair(guide, p, pixel, found)[50] for pixel in (10.0, 1.0))
    assert coarse[52] < 0.5 and fine[52] > 0.8 and coarse[95] == pytest.approx(fine[95], abs=1e-5)


def test_what_is_certain_stays_away_from_what_is_not():
    p = np.zeros((300, 800), np.float32)
    p[:, :50] = 1
    p[100:110, 48:52] = 0.5
    share = uncertain_share(p)
    assert share.shape == p.shape and share.min() == 0 and share.max() == 1 and (share[100:110, 48:52] == 1).all()
    reach = round(NETWORK_REACH * 800)
    assert (share[:, 52 + reach + 8 :] == 0).all() and share[105, 52 + reach // 2] == 1
    assert not uncertain_share(np.round(p)).any() and uncertain_share(np.full((3, 2), 0.5, np.float32)).all()
    found = matting_coefficients(np.random.default_rng(3).random((300, 800, 3), np.float32), p, 3.0, guess)
    untouched = share == 0
    np.testing.assert_array_equal(found[untouched & (p == 0)][:, 3], 0)
    assert not found[untouched][:, :3].any() and (found[share == 1][:, :3] == [1, 0, 0]).all()


def test_tiles_fade_into_each_other():
    """Two tiles that disagree leave no step between them."""
    answers = iter([0.5, 1.0])

    def network(x):
        out = np.zeros_like(x[:, :4])
        out[:, 3] = next(answers)
        return out

    p = np.full((MATTING_TILE, 2 * MATTING_TILE - OVERLAP), 0.1, np.float32)
    alpha = matting_coefficients(np.zeros((*p.shape, 3), np.float32), p, 3.0, network)[0, :, 3]
    assert alpha[0] == 0.5 and alpha[-1] == 1
    assert np.abs(np.diff(alpha)).max() < 1.1 / OVERLAP


def test_the_matte_follows_the_full_resolution(monkeypatch):
    """Single-pixel lines that the guide cannot show come out with their full contrast."""
    monkeypatch.setattr("hairmask_core.matting.upsampling.WORK_LONG_SIDE", 100)
    rgb = np.zeros((400, 400, 3), np.uint8)
    rgb[:, ::4, 0] = 255
    coarse = np.full((40, 40), 0.1, np.float32)
    coarse[-1] = 1
    matte = refine_outline(rgb, coarse, guess)
    np.testing.assert_array_equal(matte[:300], (rgb[:300, :, 0] > 0).astype(np.float32))


def test_what_is_undecided_all_around_stays_as_it_is():
    """An outline is for the network, a wide patch that may be hair is not."""
    p = np.zeros((600, 900), np.float32)
    p[:, 600:] = 1
    p[:, 596:604] = 0.5
    p[100:500, 100:500] = 0.5
    pixel = 3.0
    share = decided_share(p, pixel)
    assert share.shape == p.shape and share.dtype == np.float32 and share.max() == 1
    reach = round(WIDE_SIDE * pixel / 2)
    assert (share[100 + reach : 500 - reach, 100 + reach : 500 - reach] == 0).all()
    assert (share[:, 500 + reach + 8 :] == 1).all() and (decided_share(p, pixel / 100)[300, 200:400] == 0).all()
    mean = sum(UNDECIDED) / 2
    even = np.full((40, 50), (1 - np.sqrt(1 - mean)) / 2, np.float32)
    np.testing.assert_allclose(decided_share(even, pixel), 0.5, atol=1e-5)

    found = matting_coefficients(np.random.default_rng(4).random((*p.shape, 3), np.float32), p, pixel, guess)
    assert not found[share == 0][:, :3].any() and (found[200:400, 200:400, 3] == 0.5).all()
    assert (found[:, 596:604, :3] == [1, 0, 0]).all()


def test_without_any_certain_hair_the_guided_filter_takes_the_networks_place(astronaut):
    def network(x):
        raise AssertionError("asked")

    coarse = np.random.default_rng(5).random((32, 32), np.float32) * np.float32(KNOWN_HAIR)
    np.testing.assert_array_equal(refine_outline(astronaut, coarse, network), refine_outline(astronaut, coarse))
    coarse[:, :14], coarse[:, 18:] = 0, 1
    with pytest.raises(AssertionError, match="asked"):
        refine_outline(astronaut, coarse, network)


def test_progress_rises_and_can_stop_the_work(astronaut):
    said, coarse = [], np.full((32, 32), 0.9, np.float32)
    refine_outline(astronaut, coarse, keep, said.append)
    assert said == sorted(said) and said[-1] == 1 and len(said) > 9

    def stop(done):
        if done > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        refine_outline(astronaut, coarse, keep, stop)
