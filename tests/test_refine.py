"""The guided filter and what is around it."""

import cv2
import numpy as np
import pytest

from hairmask_core.errors import Cancelled
from hairmask_core.matting.guided_filter import guided_filter_coefficients
from hairmask_core.matting.upsampling import HAZE, clear_haze, enlarge_map, refine_outline
from hairmask_core.segmentation.pixel_classifier import (
    BINOMIAL_KERNEL,
    PIXEL_FEATURES,
    UNCERTAIN_RANGE,
    pixel_features,
    reclassify,
    sharpen_noisy_or,
    smooth_binomial,
)


def brute_force_guided_filter(guide, target, radius, epsilon):
    """He et al. 2013, eq. 19-21, window by window, in double precision."""
    height, width = target.shape
    pad = [(radius, radius), (radius, radius)]
    # cv2's BORDER_REFLECT repeats the edge pixel, as numpy's "symmetric" does.
    guide_padded = np.pad(guide.astype(float), [*pad, (0, 0)], "symmetric")
    target_padded = np.pad(target.astype(float), pad, "symmetric")
    a, b = np.empty((height, width, 3)), np.empty((height, width))
    for y in range(height):
        for x in range(width):
            window = np.s_[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            i, p = guide_padded[window].reshape(-1, 3), target_padded[window].ravel()
            covariance = np.cov(i.T, bias=True) + epsilon * np.eye(3)
            a[y, x] = np.linalg.solve(covariance, (i * p[:, None]).mean(0) - i.mean(0) * p.mean())
            b[y, x] = p.mean() - a[y, x] @ i.mean(0)

    def mean(x):
        return cv2.blur(x, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    return np.dstack([mean(a), mean(b)])


def test_coefficients_equal_the_papers_formula(astronaut):
    guide = astronaut[60:84, 200:230].astype(np.float32) / 255
    target = np.random.default_rng(5).random(guide.shape[:2]).astype(np.float32)
    expected = brute_force_guided_filter(guide, target, 3, 1e-3)
    np.testing.assert_allclose(guided_filter_coefficients(guide, target, 3, 1e-3), expected, atol=1e-4)


def test_gray_guide_does_not_break_the_solution():
    gray = np.repeat(np.random.default_rng(6).random((20, 20, 1)), 3, axis=2).astype(np.float32)
    expected = brute_force_guided_filter(gray, gray[..., 0], 2, 1e-4)
    found = guided_filter_coefficients(gray, gray[..., 0], 2, 1e-4)
    value = (found[..., :3] * gray).sum(-1) + found[..., 3]
    np.testing.assert_allclose(value, (expected[..., :3] * gray).sum(-1) + expected[..., 3], atol=1e-5)


def test_a_blurred_outline_returns_to_the_edge():
    rgb = np.full((400, 400, 3), 220, np.uint8)
    cv2.circle(rgb, (200, 200), 120, (60, 40, 30), -1)
    truth = (rgb[..., 0] < 100).astype(np.float32)
    coarse = cv2.GaussianBlur(cv2.resize(truth, (100, 100), interpolation=cv2.INTER_AREA), (0, 0), 0.7)
    plain = np.abs(enlarge_map(coarse, 400, 400) - truth).mean()
    assert np.abs(refine_outline(rgb, coarse) - truth).mean() < 0.5 * plain


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4000), (4000, 1), (3, 5), (300, 200)])
def test_shape_type_and_range(dtype, height, width):
    rng = np.random.default_rng(7)
    rgb = (rng.random((height, width, 3)) * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)
    matte = refine_outline(rgb, rng.random((64, 96)).astype(np.float32))
    assert matte.shape == (height, width) and matte.dtype == np.float32
    assert 0 <= matte.min() and matte.max() <= 1


def test_strips_leave_no_seam(astronaut, monkeypatch):
    coarse = cv2.resize((astronaut[..., 0] > 128).astype(np.float32), (96, 96))
    whole = refine_outline(astronaut, coarse)
    monkeypatch.setattr("hairmask_core.photo.strips.STRIP_PIXELS", 512 * 7)
    np.testing.assert_allclose(refine_outline(astronaut, coarse), whole, atol=1e-6)


def test_certain_regions_become_certain():
    p = np.array([0, HAZE / 2, HAZE, 0.5, 1 - HAZE, 1], np.float32)
    np.testing.assert_allclose(clear_haze(p), [0, 0, 0, 0.5, 1, 1], atol=1e-6)


def test_report_can_stop_the_work(astronaut):
    def stop(fraction):
        raise Cancelled

    with pytest.raises(Cancelled):
        refine_outline(astronaut, np.zeros((32, 32), np.float32), report=stop)


# The stages that improve a texture map


def test_sharpening_by_the_formula():
    p = np.float32([[0, 0.1, 0.5, 0.9, 1]])
    np.testing.assert_allclose(sharpen_noisy_or(p), [[0, 0.19, 0.75, 0.99, 1]], atol=1e-6)
    assert sharpen_noisy_or(p).dtype == np.float32


def test_neighbors_have_their_say_by_the_kernel():
    p = np.zeros((5, 6), np.float32)
    p[2, 3] = 1
    out = smooth_binomial(p)
    np.testing.assert_allclose(out[1:4, 2:5], BINOMIAL_KERNEL, atol=1e-7)
    assert out.sum() == pytest.approx(1) and BINOMIAL_KERNEL.sum() == pytest.approx(1)
    np.testing.assert_allclose(smooth_binomial(np.full((3, 3), 0.7, np.float32)), 0.7, atol=1e-6)
    assert smooth_binomial(np.full((1, 1), 0.3, np.float32))[0, 0] == pytest.approx(0.3)


@pytest.fixture
def two_colors():
    """Brown left of the middle and green right of it, and a map that is sure of the outer quarters only."""
    rgb = np.empty((40, 80, 3), np.float32)
    rgb[:, :40], rgb[:, 40:] = (0.35, 0.2, 0.1), (0.2, 0.6, 0.2)
    p = np.tile(np.clip(np.linspace(1.5, -0.5, 80), 0, 1), (40, 1)).astype(np.float32)
    return rgb, p


def test_pixels_are_described(two_colors):
    features = pixel_features(*two_colors)
    assert features.shape == (40, 80, PIXEL_FEATURES) and features.dtype == np.float32
    assert np.isfinite(features).all() and np.abs(features).max() < 5
    to_hair, to_rest, ratio = (features[20, :, i] for i in (12, 13, 14))
    assert (to_hair[:40] < 0.01).all() and (to_rest[40:] < 0.01).all()
    assert (ratio[:40] > 0.3).all() and (ratio[40:] < -0.3).all()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_pixels_are_described_where_nothing_is_certain_or_all_is(value):
    features = pixel_features(np.full((1, 3, 3), 0.4, np.float32), np.full((1, 3), value, np.float32))
    assert features.shape == (1, 3, PIXEL_FEATURES) and np.isfinite(features).all()


def test_only_uncertain_pixels_are_decided_again(two_colors):
    rgb, p = two_colors
    out = reclassify(rgb, p, lambda features: (features[:, 12] < features[:, 13]).astype(np.float32))
    certain = (p <= UNCERTAIN_RANGE[0]) | (p >= UNCERTAIN_RANGE[1])
    assert certain.any() and not certain.all()
    np.testing.assert_array_equal(out[certain], p[certain])
    np.testing.assert_array_equal(out >= 0.5, np.arange(80)[None] < 40 + np.zeros((40, 1)))


def test_pixels_are_decided_in_pieces_that_report(two_colors, monkeypatch):
    rgb, p = two_colors
    uncertain = ((p > UNCERTAIN_RANGE[0]) & (p < UNCERTAIN_RANGE[1])).sum()
    pieces, said = [], []

    def classify(features):
        pieces.append(len(features))
        return features[:, 0]

    whole = reclassify(rgb, p, classify)
    assert pieces == [uncertain]
    monkeypatch.setattr("hairmask_core.segmentation.pixel_classifier.CLASSIFIED_AT_ONCE", 500)
    np.testing.assert_array_equal(reclassify(rgb, p, classify, said.append), whole)
    assert sum(pieces[1:]) == uncertain and max(pieces[1:]) == 500
    assert said == sorted(said) and said[-1] == 1 and len(set(said)) == len(pieces)
    assert said.count(0) > 4  # while the pixels are described, too

    def stop(done):
        if done > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        reclassify(rgb, p, classify, stop)
    assert len(pieces) == len(set(said)) + 1


def test_nothing_is_asked_where_all_is_certain(two_colors):
    p = np.round(two_colors[1])
    np.testing.assert_array_equal(reclassify(two_colors[0], p, lambda features: 1 / 0), p)
