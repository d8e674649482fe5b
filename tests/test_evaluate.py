"""Metrics against hand-made cases and independent formulas."""

import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from hairmask_core.errors import PhotoError
from hairmask_core.evaluation import evaluate, metrics, plot
from hairmask_core.photo.files import read_photo

TRUTH = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
FOUND = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)  # TP 3, FP 1, FN 1, TN 3


def test_counts_by_hand():
    assert metrics.iou(FOUND, TRUTH) == 3 / 5
    assert metrics.f1(FOUND, TRUTH) == 6 / 8
    assert metrics.pixel_accuracy(FOUND, TRUTH) == 6 / 8
    assert metrics.mean_pixel_accuracy(FOUND, TRUTH) == (3 / 4 + 3 / 4) / 2


def test_empty_masks():
    none = np.zeros((3, 3), bool)
    assert metrics.iou(none, none) == metrics.f1(none, none) == metrics.dice(none.astype(np.float32), none) == 1
    assert (
        metrics.boundary_f_score(none, none) == 1 and metrics.boundary_f_score(~none, none) == 1
    )  # a full mask has no outline
    assert metrics.mean_pixel_accuracy(none, none) == 1


def test_dice_of_a_hard_mask_is_f1_and_of_a_soft_one_less():
    assert metrics.dice(FOUND.astype(np.float32), TRUTH) == pytest.approx(metrics.f1(FOUND, TRUTH))
    assert metrics.dice(TRUTH * np.float32(0.5), TRUTH) == pytest.approx(2 * 2 / (2 + 4))


def test_average_precision_equals_the_sorted_formula():
    rng = np.random.default_rng(10)
    truth = rng.random((60, 70)) < 0.3
    p = np.clip(truth * 0.3 + rng.random((60, 70)) * 0.7, 0, 1).astype(np.float32)
    hits = truth.ravel()[np.argsort(-p.ravel(), kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, hits.size + 1)
    exact = precision[hits].sum() / hits.sum()
    assert metrics.average_precision(metrics.score_histogram(p, truth)) == pytest.approx(exact, abs=1e-2)


def test_average_precision_of_perfect_and_of_no_knowledge():
    truth = np.arange(1000).reshape(20, 50) % 4 == 0
    assert metrics.average_precision(metrics.score_histogram(truth.astype(np.float32), truth)) == 1
    assert metrics.average_precision(
        metrics.score_histogram(np.full(truth.shape, 0.5, np.float32), truth)
    ) == pytest.approx(0.25)


@pytest.mark.parametrize(("shift", "score"), [(0, 1.0), (1, 1.0), (40, 0.0)])
def test_boundary_score_of_shifted_stripes(shift, score):
    columns = np.arange(200)[None].repeat(200, 0)  # the tolerance is 2.1 pixels
    assert metrics.boundary_f_score(columns >= 100 + shift, columns >= 100) == score


def test_boundary_score_falls_where_half_of_the_outline_is_off():
    truth = np.arange(200)[None].repeat(200, 0) >= 100
    found = truth.copy()
    found[:100] = np.arange(200)[None] >= 140
    assert 0.4 < metrics.boundary_f_score(found, truth) < 0.75


@pytest.fixture
def folders(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    truth = np.zeros((20, 30), np.uint8)
    truth[:, 10:] = 255
    for stem, mask in {"a": truth, "b": truth[:, ::-1], "empty": truth * 0}.items():
        Image.fromarray(np.full((20, 30, 3), 100, np.uint8)).save(tmp_path / "images" / f"{stem}.jpg")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{stem}.png")
    return tmp_path / "images", tmp_path / "masks"


def test_a_folder_from_end_to_end(folders, tmp_path):
    advanced = []
    p = np.zeros((20, 30), np.float32)
    p[:, 10:] = 0.9
    result = evaluate.evaluate(evaluate.find_pairs(*folders), lambda photo: p, lambda: advanced.append(1))
    assert len(advanced) == 3 and result["photos_with_hair"] == 2 and result["empty_photos"] == 1
    assert result["photos"][0]["iou"] == 1 and result["photos"][1]["iou"] == pytest.approx(10 / 30)
    assert result["mean"]["iou"] == pytest.approx((1 + 1 / 3) / 2)
    assert result["mean_false_share"] == pytest.approx(2 / 3)
    assert result["median_iou"] == pytest.approx(2 / 3) and result["low_iou_share"] == 0.5
    # 400 pixels are found in each of three photos; two have 400 of hair, of which 400 and 200 are among those.
    assert result["pooled_iou"] == pytest.approx(600 / (1200 + 800 - 600))
    assert result["pooled_f1"] == pytest.approx(2 * 600 / (1200 + 800))
    assert json.loads(json.dumps(result)) == result
    assert "iou" in evaluate.format_table(result) and "66.667 %" in evaluate.format_table(result)
    plot.plot_curve(result, tmp_path / "pr.png")
    assert len(np.unique(read_photo(tmp_path / "pr.png").rgb.reshape(-1, 3), axis=0)) > 20


def test_limit(folders):
    assert [photo.stem for photo, _ in evaluate.find_pairs(*folders, limit=2)] == ["a", "b"]


def test_what_does_not_pair_is_said(folders, tmp_path):
    images, masks = folders
    with pytest.raises(PhotoError, match="is not a folder"):
        evaluate.find_pairs(images, tmp_path / "nowhere")
    (masks / "b.png").unlink()
    with pytest.raises(PhotoError, match="1 of 3 photos have no mask .* the first is b.jpg"):
        evaluate.find_pairs(images, masks)
    with pytest.raises(PhotoError, match="holds no photos"):
        evaluate.find_pairs(tmp_path, masks)


def test_mask_of_another_size_is_refused(folders):
    images, masks = folders
    Image.new("L", (31, 20)).save(masks / "a.png")
    with pytest.raises(PhotoError, match="31x20 pixels, its photo 30x20"):
        evaluate.evaluate(evaluate.find_pairs(images, masks), lambda photo: np.zeros((20, 30), np.float32))


def test_masks_of_every_depth_and_numbering_read_alike(tmp_path):
    hair = np.arange(600).reshape(20, 30) % 30 >= 10
    stored = {
        "8bit.png": hair.astype(np.uint8) * 255,
        "16bit.png": hair.astype(np.uint16) * 65535,
        "float.tif": hair.astype(np.float32),
        "classes.png": hair.astype(np.uint8),
        "soft.png": np.where(hair, 128, 127).astype(np.uint8),
    }
    for name, pixels in stored.items():
        assert cv2.imwrite(str(tmp_path / name), pixels)
        assert np.array_equal(evaluate.read_mask(tmp_path / name), hair), name
    Image.fromarray(hair).save(tmp_path / "1bit.png")
    assert np.array_equal(evaluate.read_mask(tmp_path / "1bit.png"), hair)
    assert cv2.imwrite(str(tmp_path / "none.png"), np.zeros((20, 30), np.uint8))
    assert not evaluate.read_mask(tmp_path / "none.png").any()


def test_a_turned_photo_is_measured_upright(folders):
    images, masks = folders
    turn = Image.Exif()
    turn[0x0112] = 6  # stored lying, 20 wide and 30 high; shown 30 wide and 20 high
    Image.new("RGB", (20, 30)).save(images / "a.jpg", exif=turn)
    hair = evaluate.read_mask(masks / "a.png")
    result = evaluate.evaluate(evaluate.find_pairs(images, masks, limit=1), lambda photo: hair.astype(np.float32))
    assert result["photos"][0]["iou"] == 1


def test_files_that_pair_twice_are_refused_and_hidden_ones_passed_over(folders):
    images, masks = folders
    (images / "._a.jpg").write_bytes(b"resource fork")
    assert len(evaluate.find_pairs(images, masks)) == 3
    Image.new("L", (30, 20)).save(masks / "a.gif")
    with pytest.raises(PhotoError, match="both a.gif and a.png"):
        evaluate.find_pairs(images, masks)


def test_figures_without_any_hair_or_any_photo(folders, tmp_path):
    images, masks = folders
    pairs = [pair for pair in evaluate.find_pairs(images, masks) if pair[0].stem == "empty"]
    for result in (
        evaluate.evaluate(pairs, lambda photo: np.zeros((20, 30), np.float32)),
        evaluate.evaluate([], lambda photo: None),
    ):
        assert result["mean"]["iou"] is None and result["pooled_average_precision"] is None
        assert result["median_iou"] is result["low_iou_share"] is result["pooled_iou"] is result["pooled_f1"] is None
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        assert evaluate.format_table(result).startswith("0 photos with hair")
        with pytest.raises(PhotoError, match="none of the masks has hair"):
            plot.plot_curve(result, tmp_path / "pr.png")


def test_the_curve_lies_where_its_figures_say(folders):
    """A perfect result runs along the upper and right edges, and F1 lines below it stay gray."""
    result = {
        "photos_with_hair": 3,
        "pooled_average_precision": 0.9,
        "curve": {"recall": [0.0, 0.5, 1.0], "precision": [0.5, 0.5, 0.5]},
    }
    picture = plot.draw_curve(result)
    orange = (np.abs(picture.astype(int) - plot.ORANGE).max(axis=2) < 60).nonzero()
    (left, middle), (right, _) = plot._to_pixels(0, 0.5), plot._to_pixels(1, 0.5)
    assert np.abs(orange[0] - middle).max() <= 2
    assert orange[1].min() == pytest.approx(left, abs=2)
    assert orange[1].max() == pytest.approx(right, abs=2)


def test_a_curve_that_cannot_be_written_is_said(folders, tmp_path):
    result = evaluate.evaluate(evaluate.find_pairs(*folders), lambda photo: np.ones((20, 30), np.float32))
    for path in (tmp_path / "pr.xyz", tmp_path / "missing" / "pr.png"):
        with pytest.raises(PhotoError):
            plot.plot_curve(result, path)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bar(capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with evaluate.progress_bar(20) as advance:
        for _ in range(20):
            advance()
    said = capsys.readouterr().err
    assert said.count("\r") == 20 and "20/20" in said if terminal else len(said.splitlines()) == 10
