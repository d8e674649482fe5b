"""Photos with class labels: what each pixel is, as far as its data set says.

Five classes: hair, headwear, skin (face, beard, body), clothes, rest. A data set that knows hair only says of the other
pixels "any of the others", and a pixel whose label is not to be trusted says nothing. So labels are (h, w, 2) uint8:

- [..., 0]: share of hair, 0…255 (an alpha where the data set has one);
- [..., 1]: which of the other classes the rest may be, the bits below; 0 where the label is left out of training.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

CLASSES = ("hair", "headwear", "skin", "clothes", "rest")
HEADWEAR, SKIN, CLOTHES, REST = 1, 2, 4, 8
OTHERS = {"headwear": HEADWEAR, "skin": SKIN, "clothes": CLOTHES, "rest": REST}
ANY = HEADWEAR | SKIN | CLOTHES | REST  # any of the classes but hair
LEFT_OUT = 0

# CelebAMask-HQ's 19 classes; what is not named here is skin.
CELEBA = {"background": REST, "hat": HEADWEAR, "clothes": CLOTHES, "eyeglasses": ANY, "earring": ANY, "necklace": ANY}
# Clothing Co-Parsing's 59 classes; what is not named here is clothes.
CCP = {"null": REST, "hat": HEADWEAR, "skin": SKIN, "accessories": ANY, "scarf": CLOTHES | HEADWEAR} | dict.fromkeys(
    ("bag", "purse", "wallet", "watch", "bracelet", "ring", "glasses", "sunglasses", "necklace", "earrings"), ANY
)
# FaceSynthetics: 0 background, 1 to 12 parts of the face, 13 hair, 14 beard, then as named.
FACE_SYNTHETICS = {0: REST, 15: CLOTHES, 16: ANY, 17: HEADWEAR, 255: LEFT_OUT}

# Outlines that are not to be trusted: pixels within this share of the photo's long side of them are left out.
# LFW's are blocks of superpixels, CCP's stairs, CelebA's are drawn wide of the hair. (Figaro-1k's follow it.)
OUTLINE_BAND = {"lfw": 0.012, "lfw_more": 0.012, "ccp": 0.0025, "celebamask": 0.004, "celebahq": 0.004}

PARTS = ("report", "choice", "training")


@dataclass(frozen=True)
class Sample:
    """One photo and its labels, by path."""

    dataset: str
    image: Path
    mask: Path

    @property
    def part(self) -> str:
        return part_of(self.image.stem)


def part_of(stem: str) -> str:
    """The split by CRC-32 modulo 10 of the stem: 0 "report", 1 "choice", else "training".

    Figures are reported on the first and nothing is chosen by it; networks, sizes and thresholds are chosen by the
    second.
    """
    return {0: "report", 1: "choice"}.get(zlib.crc32(stem.encode()) % 10, "training")


def find_samples(root: Path, dataset: str, part: str | None = None) -> list[Sample]:
    """The photos of a data set under `root`, or of one part of it, sorted by name.

    A data set is a folder with `images/STEM.jpg` and `masks/STEM.png` (255 = hair, same size); some have `parsing/`
    (class numbers) and `soft/` (the hair as a probability) beside them.
    Raises FileNotFoundError if there is no photo, or one has no mask.
    """
    images = sorted((root / dataset / "images").glob("*.jpg"))
    if not images:
        raise FileNotFoundError(f"No photos under {root}: expected {root}/{dataset}/images/*.jpg")
    samples = [Sample(dataset, image, root / dataset / "masks" / f"{image.stem}.png") for image in images]
    for sample in samples:
        if not sample.mask.exists():
            raise FileNotFoundError(f"{sample.image} has no mask at {sample.mask}")
    return [sample for sample in samples if part in (None, sample.part)]


def some(samples: list[Sample], count: int) -> list[Sample]:
    """About so many of them, evenly spaced."""
    return samples[:: max(1, len(samples) // count)][:count]


def class_bits(root: Path, dataset: str) -> np.ndarray | None:
    """(256,) uint8: for each class number of the data set's `parsing` the bits above; None if it has none."""
    if dataset == "facesynthetics":
        return np.array([FACE_SYNTHETICS.get(number, SKIN) for number in range(256)], np.uint8)
    names = root / dataset / "classes.json"
    if not names.exists():
        return None
    table, others = (CCP, CLOTHES) if dataset == "ccp" else (CELEBA, SKIN)
    bits = np.full(256, ANY, np.uint8)
    for number, name in enumerate(json.loads(names.read_text())):
        bits[number] = ANY if name == "hair" else table.get(name, others)
    return bits


def read_image(sample: Sample) -> np.ndarray:
    """The photo, (h, w, 3) uint8 RGB."""
    return cv2.cvtColor(cv2.imread(str(sample.image), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_labels(sample: Sample) -> np.ndarray:
    """What its data set says of the photo, (h, w, 2) uint8 as above."""
    mask = cv2.imread(str(sample.mask), cv2.IMREAD_GRAYSCALE)
    folder = sample.mask.parent.parent
    soft = folder / "soft" / sample.mask.name
    if soft.exists():
        mask = cv2.imread(str(soft), cv2.IMREAD_GRAYSCALE)
    parsing = folder / "parsing" / sample.mask.name
    others = np.full(mask.shape, ANY, np.uint8)
    if parsing.exists():
        others = class_bits(folder.parent, sample.dataset)[cv2.imread(str(parsing), cv2.IMREAD_UNCHANGED)]
    if sample.dataset in OUTLINE_BAND:
        radius = max(1, round(OUTLINE_BAND[sample.dataset] * max(mask.shape)))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
        hair = (mask > 127).astype(np.uint8)
        others[cv2.dilate(hair, kernel) != cv2.erode(hair, kernel)] = LEFT_OUT
    return np.stack([mask, others], axis=2)


def read_sample(sample: Sample, long_side: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Photo (h, w, 3) uint8 RGB and labels (h, w, 2) uint8, shrunk to `long_side` at most."""
    image, labels = read_image(sample), read_labels(sample)
    scale = (long_side or 10**9) / max(labels.shape)
    if scale < 1:
        size = (round(labels.shape[1] * scale), round(labels.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        hair = cv2.resize(labels[..., 0], size, interpolation=cv2.INTER_AREA)
        others = cv2.resize(labels[..., 1], size, interpolation=cv2.INTER_NEAREST)
        labels = np.stack([hair, others], axis=2)
    return image, labels


def label_alpha(mask: np.ndarray, others: int = ANY) -> np.ndarray:
    """Labels (h, w, 2) of a picture whose hair is known and nothing else; mask: (h, w) uint8."""
    return np.stack([mask, np.full_like(mask, others)], axis=2)


def share_of(labels: np.ndarray, bit: int) -> float:
    """Share of the pixels that are certainly of that class and hold no hair."""
    return float(((labels[..., 1] == bit) & (labels[..., 0] < 128)).mean())
