"""The four matting errors of Rhemann et al. 2009, and the rendered pictures they are taken on."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks.matting_errors import TOLERANCE, connectivity_error, gradient_error, mse, sad
from synthetic.strands import Scene, render, scenes


@pytest.fixture
def square():
    """A solid square with a soft border."""
    alpha = np.zeros((60, 80), np.float32)
    alpha[20:40, 30:50] = 1
    alpha[19, 30:50] = alpha[40, 30:50] = 0.5
    return alpha


@pytest.mark.parametrize("error", [sad, mse, gradient_error, connectivity_error])
def test_no_error_without_a_difference(error, square):
    assert error(square, square) == pytest.approx(0, abs=1e-9)


def test_sad_and_mse_by_their_formulas(square):
    other = square.copy()
    other[0, :40] = 0.5
    assert sad(other, square) == pytest.approx(40 * 0.5 / 1000)
    assert mse(other, square) == pytest.approx(40 * 0.25 / square.size)


def test_gradient_error_counts_edges_not_levels(square):
    assert gradient_error(square + 0.25, square) == pytest.approx(0, abs=1e-9)
    noisy = square.copy()
    noisy[5, 5:75:4] = 1  # fewer pixels off than in the other, and by less in all, but sharp ones
    assert sad(noisy, square) < sad(square * 0.9, square)
    assert gradient_error(noisy, square) > 1.5 * gradient_error(square * 0.9, square) > 0


def test_connectivity_error_counts_what_hangs_in_the_air(square):
    attached, floating = square.copy(), square.copy()
    attached[40:50, 35:45] = 1
    floating[50:60, 65:75] = 1
    # The truth has neither piece, so both differ from it by the piece's pixels.
    assert connectivity_error(floating, square) == pytest.approx(0.1)
    assert connectivity_error(attached, square) == pytest.approx(0.095, abs=0.006)
    # Where both mattes have the piece, only a piece that hangs in the air is held against both, and cancels.
    assert connectivity_error(floating, floating) == 0
    faint = square.copy()
    faint[10, 10] = TOLERANCE - 0.01
    assert connectivity_error(faint, square) == 0


def test_there_are_over_thirty_pictures_of_1_to_24_megapixels():
    all_of_them = scenes()
    assert len(all_of_them) >= 30 and len({scene.name for scene in all_of_them}) == len(all_of_them)
    sizes = [scene.megapixels for scene in all_of_them]
    assert min(sizes) == 1 and max(sizes) == 24
    for scene in all_of_them:
        assert np.prod(scene.size) == pytest.approx(scene.megapixels * 1e6, rel=0.01)


@pytest.mark.parametrize("style", ["curly", "short", "wisps"])
def test_rendered_hair_is_the_same_every_time_and_its_alpha_is_exact(style):
    scene = Scene(7, 0.1, style, "paper")
    picture, alpha = render(scene)
    again, alpha_again = render(scene)
    np.testing.assert_array_equal(picture, again)
    np.testing.assert_array_equal(alpha, alpha_again)
    assert picture.shape == (*alpha.shape, 3) and picture.dtype == np.uint8 and alpha.dtype == np.float32
    assert alpha.min() == 0 and 0.02 < alpha.mean() < 0.9 and ((alpha > 0.05) & (alpha < 0.95)).mean() > 0.02


def test_alpha_is_what_two_backgrounds_say_it_is(monkeypatch):
    """Triangulation (Smith, Blinn 1996): the same hair before dark and before light gray."""
    scene, seen = Scene(7, 0.1, "curly", ""), []
    for level in (64, 192):
        gray = np.full((*scene.size[::-1], 3), level, np.float32)
        monkeypatch.setattr("synthetic.strands.draw_background", lambda scene, rng, gray=gray: gray.copy())
        picture, alpha = render(scene)
        seen.append(picture.astype(np.float32))
    expected = 1 - (seen[1] - seen[0]) / 128
    inside = ((seen[0] > 0) & (seen[1] < 255)).all(axis=2)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(expected[inside], np.repeat(alpha[..., None], 3, 2)[inside], atol=1.01 / 128)
