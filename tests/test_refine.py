"""The guided filter and what is around it."""

import cv2
import numpy as np
import pytest

from hairmask_core.errors import Cancelled
from hairmask_core.refine import HAZE, clear_haze, enlarge, guided_filter_coefficients, refine


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
    plain = np.abs(enlarge(coarse, 400, 400) - truth).mean()
    assert np.abs(refine(rgb, coarse) - truth).mean() < 0.5 * plain


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4000), (4000, 1), (3, 5), (300, 200)])
def test_shape_type_and_range(dtype, height, width):
    rng = np.random.default_rng(7)
    rgb = (rng.random((height, width, 3)) * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)
    matte = refine(rgb, rng.random((64, 96)).astype(np.float32))
    assert matte.shape == (height, width) and matte.dtype == np.float32
    assert 0 <= matte.min() and matte.max() <= 1


def test_strips_leave_no_seam(astronaut, monkeypatch):
    coarse = cv2.resize((astronaut[..., 0] > 128).astype(np.float32), (96, 96))
    whole = refine(astronaut, coarse)
    monkeypatch.setattr("hairmask_core.image.STRIP_PIXELS", 512 * 7)
    np.testing.assert_allclose(refine(astronaut, coarse), whole, atol=1e-6)


def test_certain_regions_become_certain():
    p = np.array([0, HAZE / 2, HAZE, 0.5, 1 - HAZE, 1], np.float32)
    np.testing.assert_allclose(clear_haze(p), [0, 0, 0, 0.5, 1, 1], atol=1e-6)


def test_report_can_stop_the_work(astronaut):
    def stop(fraction):
        raise Cancelled

    with pytest.raises(Cancelled):
        refine(astronaut, np.zeros((32, 32), np.float32), stop)
