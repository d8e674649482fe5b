"""What networks learn from: data sets and their labels, augmentation, hard cases, drawn pictures, negatives."""

import json
import sys

import cv2
import numpy as np
import pytest

from models.training import augmentation, datasets, hard_cases, negatives
from models.training.datasets import ANY, CLOTHES, HEADWEAR, LEFT_OUT, REST, SKIN, find_samples, part_of, read_sample
from synthetic.people import render_person
from synthetic.surfaces import render_surface

SIDE = 128


@pytest.fixture(scope="module")
def drawn():
    """A few drawn people with hair, labelled: rest on top, headwear in a band, clothes at the bottom, else skin."""
    people = (render_person(SIDE, np.random.default_rng(seed)) for seed in range(40))
    return [(image, label(mask)) for image, mask in people if (mask > 127).sum() > 300][:12]


def label(mask):
    others = np.full(mask.shape, SKIN, np.uint8)
    others[96:], others[:8], others[20:40] = CLOTHES, REST, HEADWEAR
    return np.stack([mask, others], axis=2)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# Data sets


def test_split_follows_the_rule():
    # CRC-32 modulo 10 of these: 2, 9; 0, 0, 5; 1.
    assert [part_of(stem) for stem in ("123456789", "0")] == ["training"] * 2
    assert [part_of(stem) for stem in ("Frame00053", "Frame00796", "Frame00054")] == ["report", "report", "training"]
    assert part_of("Frame00008") == "choice"


def write_set(root, name, stems, labels=None, suffix="png"):
    for part in ("images", "masks"):
        (root / name / part).mkdir(parents=True, exist_ok=True)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 20:40] = 255
    for stem in stems:
        cv2.imwrite(str(root / name / "images" / f"{stem}.jpg"), np.full((40, 60, 3), 90, np.uint8))
        cv2.imwrite(str(root / name / "masks" / f"{stem}.png"), mask)
        if labels is not None:
            (root / name / "parsing").mkdir(exist_ok=True)
            cv2.imwrite(str(root / name / "parsing" / f"{stem}.png"), labels)
    return mask


def test_parts_of_a_set_are_told_apart(tmp_path):
    stems = [f"Frame{number:05}" for number in range(60)]
    write_set(tmp_path, "figaro1k", stems)
    found = {part: [s.image.stem for s in find_samples(tmp_path, "figaro1k", part)] for part in datasets.PARTS}
    assert sorted(stem for chosen in found.values() for stem in chosen) == stems and all(
        len(part) > 2 for part in found.values()
    )
    assert all(part_of(stem) == part for part, chosen in found.items() for stem in chosen)
    everything = find_samples(tmp_path, "figaro1k")
    assert (
        len(everything) == 60 and len(datasets.some(everything, 7)) == 7 and datasets.some(everything, 99) == everything
    )


def test_photo_without_a_mask_and_set_without_photos_are_named(tmp_path):
    (tmp_path / "ccp" / "images").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="No photos under"):
        find_samples(tmp_path, "ccp")
    (tmp_path / "ccp" / "images" / "a.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"a\.jpg has no mask"):
        find_samples(tmp_path, "ccp")


def test_labels_say_what_their_set_knows(tmp_path):
    mask = write_set(tmp_path, "figaro1k", ["a"])
    image, labels = read_sample(*find_samples(tmp_path, "figaro1k"))
    assert image.shape == (40, 60, 3) and (labels[..., 1] == ANY).all()
    np.testing.assert_array_equal(labels[..., 0], mask)

    numbers = np.repeat(np.arange(5, dtype=np.uint8), 12)[None].repeat(40, 0)
    (tmp_path / "celebamask").mkdir()
    (tmp_path / "celebamask" / "classes.json").write_text(json.dumps(["background", "nose", "hat", "cloth", "earring"]))
    write_set(tmp_path, "celebamask", ["a"], numbers)
    assert datasets.CELEBA.get("clothes") == CLOTHES
    labels = read_sample(*find_samples(tmp_path, "celebamask"))[1]
    assert labels[0, ::12, 1].tolist() == [REST, SKIN, HEADWEAR, SKIN, ANY]

    (tmp_path / "ccp").mkdir()
    (tmp_path / "ccp" / "classes.json").write_text(json.dumps(["null", "skin", "hat", "dress", "bag"]))
    write_set(tmp_path, "ccp", ["a"], numbers)
    labels = read_sample(*find_samples(tmp_path, "ccp"))[1]
    assert labels[0, ::12, 1].tolist() == [REST, SKIN, HEADWEAR, CLOTHES, ANY]
    assert (labels[9:11, 25, 1] == LEFT_OUT).all() and labels[15, 30, 1] != LEFT_OUT  # CCP's outlines are stairs

    write_set(tmp_path, "facesynthetics", ["a"], np.array([0, 3, 14, 15, 16, 17, 255], np.uint8)[None].repeat(40, 0))
    labels = datasets.class_bits(tmp_path, "facesynthetics")[[0, 3, 14, 15, 16, 17, 255]]
    assert labels.tolist() == [REST, SKIN, SKIN, CLOTHES, ANY, HEADWEAR, LEFT_OUT]


def test_probabilities_are_preferred_to_masks_and_photos_shrunk(tmp_path):
    write_set(tmp_path, "celeba_teacher", ["a"])
    (tmp_path / "celeba_teacher" / "soft").mkdir()
    cv2.imwrite(str(tmp_path / "celeba_teacher" / "soft" / "a.png"), np.full((40, 60), 77, np.uint8))
    image, labels = read_sample(*find_samples(tmp_path, "celeba_teacher"), 30)
    assert image.shape == (20, 30, 3) and labels.shape == (20, 30, 2) and (labels[..., 0] == 77).all()


# Augmentation


@pytest.mark.parametrize("seed", range(12))
def test_views_are_in_range_and_the_same_for_the_same_seed(drawn, seed):
    def view():
        rng = np.random.default_rng(seed)
        image, labels = augmentation.random_view(*drawn[seed % len(drawn)], 96, rng)
        return augmentation.change_look(image, labels, rng), labels

    image, labels = view()
    assert image.shape == (96, 96, 3) and image.dtype == np.float32 and labels.shape == (96, 96, 2)
    assert -1 <= image.min() and image.max() <= 1
    assert set(np.unique(labels[..., 1])) <= {SKIN, CLOTHES, REST, HEADWEAR}  # classes are never mixed
    assert same(view(), (image, labels))


def test_all_kinds_of_views_are_seen(drawn):
    image, labels = drawn[0]
    shares = np.array(
        [
            (augmentation.random_view(image, labels, 48, np.random.default_rng(seed))[1][..., 0] > 127).mean()
            for seed in range(120)
        ]
    )
    assert (shares > 0.5).sum() >= 3 and (shares < 0.15).sum() >= 10


def test_a_warp_takes_image_and_labels_from_the_same_place():
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = 255
    labels = np.stack([image[..., 0], np.where(image[..., 0] > 0, SKIN, REST).astype(np.uint8)], axis=2)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        seen, there = augmentation.warp(image, labels, 64, 70, np.array([32.0, 32.0]), rng, frame_share=0)
        np.testing.assert_allclose(seen[..., 0], there[..., 0], atol=1)
        clear = (there[..., 0] < 5) | (there[..., 0] > 250)
        assert ((there[..., 1] == SKIN) == (there[..., 0] > 127))[clear].all()


def test_photos_lie_on_their_side_at_times(monkeypatch):
    monkeypatch.setattr(augmentation, "LYING_SHARE", 1.0)
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32] = 255
    labels = np.stack([image[..., 0], np.full((64, 64), REST, np.uint8)], axis=2)
    seen, _ = augmentation.warp(image, labels, 64, 64, np.array([32.0, 32.0]), np.random.default_rng(4))
    columns = seen[8:56, 8:56, 0].mean(0)
    assert abs(float(columns[:16].mean()) - float(columns[-16:].mean())) > 120


def test_gray_and_spoiled_pictures_stay_in_range():
    image = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    gray, changed = 0, 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        one = augmentation.monochrome(image, rng)
        gray += np.ptp(one, axis=2).max() < 1e-5
        spoiled = augmentation.degrade(one, rng)
        changed += np.abs(spoiled - one).max() > 0.01
        assert spoiled.shape == image.shape and spoiled.dtype == np.float32 and 0 <= spoiled.min() <= spoiled.max() <= 1
    assert 1 <= gray <= 12 and 30 < changed < 100


# Hard cases


def test_cut_out_keeps_all_hair_and_drops_some_background(drawn):
    masks = [labels[..., 0] for _, labels in drawn]
    alphas = [hard_cases.cut_out(image, mask) for (image, _), mask in zip(drawn, masks, strict=True)]
    for mask, alpha in zip(masks, alphas, strict=True):
        assert alpha.shape == mask.shape and alpha.dtype == np.float32
        assert alpha[mask > 250].mean() > 0.95
    assert np.mean([alpha.mean() for alpha in alphas]) < 0.9


def test_cut_out_of_nothing_but_hair_is_the_whole_photo():
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    assert (hard_cases.cut_out(image, np.full((40, 60), 255, np.uint8)) == 1).all()


def test_a_person_is_cut_out_by_labels_where_those_tell_the_background_and_alike_each_time(drawn):
    image, labels = drawn[0]
    alpha = hard_cases.person_of(image, labels, 1)
    assert alpha[2, 5] < 0.05 or labels[2, 5, 0] > 127
    assert alpha[110].min() > 0.99
    unknown = np.stack([labels[..., 0], np.full_like(labels[..., 0], ANY)], axis=2)
    first = hard_cases.person_of(image, unknown, 1)
    hard_cases.person_of(drawn[1][0], drawn[1][1], 2)
    np.testing.assert_array_equal(hard_cases.person_of(image, unknown, 1), first)


def test_new_background_leaves_the_person(drawn):
    image, labels = drawn[0]
    alpha = (labels[..., 0] > 127).astype(np.float32)
    behind = np.full((50, 70, 3), 9, np.uint8), datasets.label_alpha(np.zeros((50, 70), np.uint8), REST)
    changed, there = hard_cases.before_background(image, labels, alpha, *behind, np.random.default_rng(0))
    np.testing.assert_array_equal(changed[alpha > 0], image[alpha > 0])
    np.testing.assert_array_equal(there[alpha > 0], labels[alpha > 0])
    assert (changed[alpha == 0] == 9).all() and (there[alpha == 0] == (0, REST)).all()


def test_a_hat_covers_the_hair_of_its_new_wearer():
    hair = (
        np.full((64, 64, 3), 60, np.uint8),
        np.stack([np.full((64, 64), 255, np.uint8), np.full((64, 64), SKIN, np.uint8)], axis=2),
    )
    others = np.full((64, 64), SKIN, np.uint8)
    others[16:32], others[:16] = HEADWEAR, REST
    hat = np.full((64, 64, 3), 200, np.uint8), np.stack([np.zeros((64, 64), np.uint8), others], axis=2)
    image, labels = hard_cases.put_on_hat(*hair, *hat, np.random.default_rng(1))
    assert labels[24, 32].tolist() == [0, HEADWEAR] and labels[4, 32, 0] == 0 and labels[50, 32, 0] == 255
    assert (image[50, 32] == 60).all() and image[24, 32].mean() > 90
    bare = np.stack([np.zeros((64, 64), np.uint8), np.full((64, 64), SKIN, np.uint8)], axis=2)
    assert same(hard_cases.put_on_hat(*hair, hat[0], bare, np.random.default_rng(1)), hair)


def test_drawn_hats_are_labelled_where_they_are_seen():
    """Every kind of hat, on a gray portrait with dark hair: what is not gray or dark any more is labelled headwear."""
    image, mask = np.full((256, 256, 3), 128, np.uint8), np.zeros((256, 256), np.uint8)
    cv2.circle(mask, (128, 100), 80, 255, -1)
    cv2.ellipse(mask, (128, 150), (55, 75), 0, 0, 360, 0, -1)
    image[mask > 0] = 20
    labels = np.stack([mask, np.full_like(mask, SKIN)], axis=2)
    covered = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        worn, there = hard_cases.draw_on_hat(image, labels, lambda: np.full((64, 64, 3), (30, 60, 250), np.uint8), rng)
        hat = there[..., 1] == HEADWEAR
        changed = np.abs(worn.astype(int) - image).max(2) > 90  # more than a hat's shadow does
        assert (hat | ~changed).mean() > 0.99 and (there[..., 0][hat] < 128).all()
        assert (there[..., 0][~hat] <= mask[~hat]).all() and (there[250:, 120:136, 1] == SKIN).all()
        covered.append(hat.mean())
    assert min(covered) > 0.005 and max(covered) > 0.2
    again = hard_cases.draw_on_hat(image, labels, lambda: np.full((64, 64, 3), 9, np.uint8), np.random.default_rng(2))
    same_seed = hard_cases.draw_on_hat(
        image, labels, lambda: np.full((64, 64, 3), 9, np.uint8), np.random.default_rng(2)
    )
    assert same(again, same_seed)


def test_another_surface_keeps_the_labels_and_everything_else(drawn):
    image, labels = next(pair for pair in drawn if (pair[1][100:, :, 0] < 128).all())
    texture = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    changed, there = hard_cases.retexture(image, labels, CLOTHES, texture, np.random.default_rng(0))
    assert there is labels
    np.testing.assert_array_equal(changed[:90], image[:90])
    assert np.abs(changed[100:].astype(int) - image[100:]).mean() > 10
    assert hard_cases.retexture(image, labels, LEFT_OUT + 16, texture, np.random.default_rng(0))[0] is image


def test_crowd_holds_several_heads_and_an_exact_mask(drawn):
    people = [(image, labels, np.ones(labels.shape[:2], np.float32)) for image, labels in drawn[:4]]
    behind = np.zeros((10, 10, 3), np.uint8), datasets.label_alpha(np.zeros((10, 10), np.uint8), REST)
    image, labels = hard_cases.crowd(people, *behind, 640, np.random.default_rng(5))
    assert image.shape == (640, 640, 3) and labels.shape == (640, 640, 2)
    empty = image.sum(2) == 0
    assert (labels[empty][:, 0] == 0).all() and (labels[empty][:, 1] == REST).mean() > 0.99
    assert 0.003 < (labels[..., 0] > 127).mean() < 0.5


def test_collage_takes_labels_and_image_from_the_same_place():
    ones, zeros = np.ones((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)
    image, labels = hard_cases.collage((ones, ones[..., :2]), (zeros, zeros[..., :2]), np.random.default_rng(3))
    np.testing.assert_array_equal(image[..., :2], labels)
    assert 0 < labels.mean() < 1


def test_materials_and_surfaces_show_no_hair():
    for seed in range(8):
        image, labels = hard_cases.surface(np.random.default_rng(seed), 64)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8 and (labels == (0, REST)).all()


# Drawn pictures


@pytest.mark.parametrize("seed", range(6))
def test_rendered_people_repeat_and_their_masks_are_alphas(seed):
    image, mask = render_person(SIDE, np.random.default_rng(seed))
    assert image.shape == (SIDE, SIDE, 3) and mask.shape == (SIDE, SIDE) and image.dtype == mask.dtype == np.uint8
    assert same(render_person(SIDE, np.random.default_rng(seed)), (image, mask))


def test_rendered_sets_hold_what_they_should():
    shares = [(render_person(SIDE, np.random.default_rng(seed))[1] > 127).mean() for seed in range(60)]
    assert 0.02 < np.mean(shares) < 0.3 and 3 <= np.sum(np.array(shares) == 0) <= 25
    assert not any(render_surface(64, np.random.default_rng(seed))[1].any() for seed in range(4))


# Negatives: pictures without hair, composed


@pytest.fixture
def pictures(tmp_path):
    """A red disc as an animal, a green one as another thing, a blue scenery, and what must be left out."""
    y, x = np.mgrid[:200, :200]
    alpha = np.where((y - 100) ** 2 + (x - 100) ** 2 < 80**2, 255, 0).astype(np.uint8)
    for place, color in (("animals/a", (0, 0, 255)), ("food/b", (0, 255, 0)), ("people/c", (255, 255, 255))):
        path = tmp_path / "pictures" / f"{place}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.dstack([np.full((200, 200, 3), color, np.uint8), alpha]))
    cv2.imwrite(str(tmp_path / "pictures" / "scenery.png"), np.full((700, 1000, 3), (255, 0, 0), np.uint8))
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def test_pictures_are_sorted_and_people_left_out(pictures):
    animals, others, sceneries = negatives.read_pictures([pictures])
    assert [len(of) for of in (animals, others, sceneries)] == [1, 1, 1]
    assert animals[0][100, 100].tolist() == [255, 0, 0, 255] and animals[0][0, 0, 3] == 0
    with pytest.raises(FileNotFoundError, match="no sceneries"):
        negatives.read_pictures([pictures / "animals"])


def test_negatives_are_composed_of_their_pictures_only(pictures):
    parts = negatives.read_pictures([pictures])
    animals, others = 0, 0
    for seed in range(12):
        image = negatives.compose(*parts, np.random.default_rng(seed))
        assert image.shape == (negatives.SIDE, negatives.SIDE, 3) and image.dtype == np.uint8
        assert np.array_equal(image, negatives.compose(*parts, np.random.default_rng(seed)))
        animals += (image == (255, 0, 0)).all(axis=2).any()
        others += (image == (0, 255, 0)).all(axis=2).any()
    assert animals >= 4 and others >= 4


def test_negatives_become_a_data_set_without_hair(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(negatives, "COUNT", 3)
    monkeypatch.setattr(sys, "argv", ["negatives", str(pictures), "--out", str(tmp_path)])
    negatives.main()
    samples = find_samples(tmp_path, "things")
    assert len(samples) == 3
    for sample in samples:
        image, labels = read_sample(sample)
        assert image.shape == (negatives.SIDE, negatives.SIDE, 3) and not labels[..., 0].any()
