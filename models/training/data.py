"""Photographs with hair masks: reading, the split, and what training does to them.

A data set is a folder with `images/STEM.jpg` and `masks/STEM.png` (255 = hair, same size).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import named_shades
from hairmask_core.hair.tone import measure_tone

DYED_SHARE = 0.2  # of the samples
DATASETS = ("figaro1k", "celebamask", "celebahq", "ccp", "lfw", "nohair")


@dataclass(frozen=True)
class Pair:
    """One photo and its mask, by path."""

    dataset: str
    image: Path
    mask: Path

    @property
    def is_validation(self) -> bool:
        return is_validation(self.image.stem)


def is_validation(stem: str) -> bool:
    """The split rule: stems whose CRC-32 is divisible by 10 are for validation, the rest for training."""
    return zlib.crc32(stem.encode()) % 10 == 0


def find_pairs(root: Path, datasets=DATASETS) -> list[Pair]:
    """All pairs of the named data sets under `root`; raises FileNotFoundError for a photo without a mask."""
    pairs = []
    for dataset in datasets:
        for image in sorted((root / dataset / "images").glob("*.jpg")):
            mask = root / dataset / "masks" / f"{image.stem}.png"
            if not mask.exists():
                raise FileNotFoundError(f"{image} has no mask at {mask}")
            pairs.append(Pair(dataset, image, mask))
    if not pairs:
        raise FileNotFoundError(f"No photos under {root}: expected {root}/{datasets[0]}/images/*.jpg")
    return pairs


def read_pair(pair: Pair, long_side: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """RGB photo (H, W, 3) and mask (H, W, 0 or 255 before shrinking), uint8, shrunk to `long_side` at most."""
    image = cv2.cvtColor(cv2.imread(str(pair.image), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    mask = cv2.imread(str(pair.mask), cv2.IMREAD_GRAYSCALE)
    scale = (long_side or 10**9) / max(mask.shape)
    if scale < 1:
        size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return image, mask


def collage(first, second, rng: np.random.Generator):
    """Cover a side or a corner of one sample with a piece of another; samples as `augment` gives them.

    Two people in one picture, people beside animals and things: what stands next to a face is not hair
    for that reason alone. After Yun et al. 2019, "CutMix".
    """
    (image, mask), (other_image, other_mask) = first, second
    size = mask.shape[0]
    width, height = (int(size * rng.uniform(0.25, 0.6)) for _ in range(2))
    if rng.random() < 0.6:
        height = size
    top = 0 if rng.random() < 0.5 else size - height
    left = 0 if rng.random() < 0.5 else size - width
    piece = np.s_[top : top + height, left : left + width]
    image, mask = image.copy(), mask.copy()
    image[piece], mask[piece] = other_image[piece], other_mask[piece]
    return image, mask


def cut_out(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The person as far as it can be told from the background, (h, w) float32 alpha, 0…1.

    image: (h, w, 3) uint8 RGB. mask: (h, w) uint8, the hair. Hair is certainly the person, what lies below it
    probably is, what lies away from it probably not; GrabCut (Rother et al. 2004) decides at a small scale.
    Along the hair the alpha is the mask's own, so that outlines stay as they were drawn.
    """
    height, width = mask.shape
    scale = 160 / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    hair = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 127
    rows, cols = np.flatnonzero(hair.any(1)), np.flatnonzero(hair.any(0))
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    middle, reach = (cols[0] + cols[-1]) / 2, max(cols[-1] - cols[0], 8)
    guess = np.full(hair.shape, cv2.GC_PR_BGD, np.uint8)
    below = (y > rows[0]) & (np.abs(x - middle) < reach * np.where(y > rows[0] + 1.2 * reach, 0.9, 0.5))
    guess[below] = cv2.GC_PR_FGD
    guess[(y < rows[0]) | (np.abs(x - middle) > 2.5 * reach)] = cv2.GC_BGD
    guess[hair] = cv2.GC_FGD
    if not (guess & 1).any() or (guess & 1).all():  # nothing but person or nothing but background
        return np.ones(mask.shape, np.float32)
    state = np.zeros((1, 65)), np.zeros((1, 65))
    guess, _, _ = cv2.grabCut(small, guess, None, *state, 3, cv2.GC_INIT_WITH_MASK)
    person = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    person = cv2.resize(cv2.GaussianBlur(person, (0, 0), 0.8), (width, height), interpolation=cv2.INTER_LINEAR)
    near_hair = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(1, round(2 / scale)))
    return np.where((near_hair > 127) & (person < 0.9), mask / np.float32(255), person).astype(np.float32)


def change_background(image, mask, alpha, background, rng: np.random.Generator):
    """The person of `alpha` before another picture; (h, w, 3) uint8 and the mask as it was.

    background: (H, W, 3) uint8 without hair; a random piece of it is stretched over the photo's size.
    """
    height, width = mask.shape
    side = rng.uniform(0.5, 1, 2) * background.shape[:2]
    top, left = (rng.uniform(0, 1, 2) * (np.array(background.shape[:2]) - side)).astype(int)
    piece = background[top : top + int(side[0]), left : left + int(side[1])]
    behind = cv2.resize(piece, (width, height), interpolation=cv2.INTER_LINEAR)
    return (behind + alpha[..., None] * (image.astype(np.float32) - behind)).astype(np.uint8), mask


def crowd(people, background: np.ndarray, side: int, rng: np.random.Generator):
    """Several people, small, in one picture: (side, side, 3) uint8 and its hair mask (side, side) uint8.

    people: (image, mask, alpha) each, alpha as `cut_out` gives it. background: as for `change_background`.
    The largest stand in front. Small heads in large photos are rare in the data sets.
    """
    image = cv2.resize(background, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    mask = np.zeros((side, side), np.float32)
    sizes = np.sort(side * np.exp(rng.uniform(np.log(0.08), np.log(0.6), len(people))))
    for size, (person, hair, alpha) in zip(sizes, people):
        scale = size / max(hair.shape)
        shape = (max(8, round(hair.shape[1] * scale)), max(8, round(hair.shape[0] * scale)))
        person, hair, alpha = (
            cv2.resize(part, shape, interpolation=cv2.INTER_AREA).astype(np.float32) for part in (person, hair, alpha)
        )
        if rng.random() < 0.2:  # a picture on a wall, a page of a magazine
            alpha[:] = 1
        left, top = (int(rng.integers(0, side - length + 1)) for length in shape)
        here = np.s_[top : top + shape[1], left : left + shape[0]]
        image[here] += alpha[..., None] * (person - image[here])
        mask[here] += alpha * (hair - mask[here])
    return image.astype(np.uint8), mask.astype(np.uint8)


def render_texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """A rendered surface without hair, (size, size, 3) uint8: clouds, grain, points of light, stripes, plain tones.

    Noise goes through a palette from dark to light, mostly of muted tones; nothing in it comes from a photo.
    """
    kind = rng.choice(["clouds", "grain", "points", "stripes", "plain"], p=[0.3, 0.25, 0.2, 0.15, 0.1])
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    value = np.zeros((size, size), np.float32)
    if kind == "clouds":
        for octave in range(1, 7):
            noise = rng.random((2**octave + 1, 2**octave + 1)).astype(np.float32)
            value += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) / 1.7**octave
    elif kind == "grain":  # noise drawn out along one direction and bent, as in wood and brushed metal
        noise = rng.random((size * 2, size * 2)).astype(np.float32)
        value = cv2.resize(cv2.blur(noise, (int(rng.integers(15, 120)), int(rng.integers(1, 5)))), (size, size))
        bend = np.float32(rng.uniform(0, 40)) * np.sin(2 * np.pi * (x * rng.uniform(0.2, 2) + rng.random())).astype(
            np.float32
        )
        value = cv2.remap(value, x * size, np.clip(y * size + bend, 0, size - 1), cv2.INTER_LINEAR)
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 180), 1.5)
        value = cv2.warpAffine(value, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    elif kind == "points":
        for radius in (0.6, 1.2, 2.5):
            points = (rng.random((size, size)) < 10 ** rng.uniform(-4, -2)).astype(np.float32)
            value += cv2.GaussianBlur(points, (0, 0), radius) * 10 * radius**2
        value = np.minimum(value, 1)
    elif kind == "stripes":
        angle, cycles = rng.uniform(0, np.pi), rng.uniform(3, 60)
        value = np.sin(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32)
    else:
        value = x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)
    value = cv2.normalize(value, None, 0, 1, cv2.NORM_MINMAX)
    tones = int(rng.integers(2, 5))
    steps = np.linspace(0, 1, tones)
    dark, light = (0.0, rng.uniform(120, 255)) if kind == "points" else np.sort(rng.uniform(10, 245, 2))
    spread = 12 if rng.random() < 0.4 else 45  # how far from gray, in 8-bit levels
    palette = np.clip(
        (dark + (light - dark) * steps)[:, None] + rng.normal(0, spread, 3) + rng.normal(0, 8, (tones, 3)), 0, 255
    )
    if kind == "points":
        palette[0] = rng.uniform(0, 15, 3)
    return np.stack([np.interp(value, steps, palette[:, c]) for c in range(3)], axis=2).astype(np.uint8)


def augment(image: np.ndarray, mask: np.ndarray, size: int, rng: np.random.Generator):
    """One training sample: (size, size, 3) float32 RGB in -1…1 and (size, size) float32 mask in 0…1."""
    return change_look(*random_view(image, mask, size, rng), rng)


def change_look(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator):
    """Other hair color, light and picture quality now and then.

    image: (h, w, 3) uint8 RGB. mask: (h, w) uint8. Returns (h, w, 3) float32 in -1…1 and (h, w) float32 in 0…1.
    """
    if rng.random() < DYED_SHARE:
        image = dye_hair(image, mask, rng)
    image = image.astype(np.float32) / 255
    mask = mask.astype(np.float32) / 255
    image = jitter_color(image, rng)
    image = degrade(image, rng)
    return image * 2 - 1, mask


def random_view(image: np.ndarray, mask: np.ndarray, size: int, rng: np.random.Generator):
    """Random square crop at a random scale.

    The crop's side runs from a little more than the hair's bounding box to a little more than the
    photo, so that small heads in full-body photos are seen both small and large.
    """
    height, width = mask.shape
    long_side = max(height, width)
    rows, cols = np.flatnonzero(mask.max(1) > 127), np.flatnonzero(mask.max(0) > 127)
    chance = rng.random()
    if chance < (0.04 if rows.size else 0.4):
        # A close look at cloth, wood, fur, grass or skin: texture alone does not make hair.
        side = rng.uniform(0.2, 0.5) * long_side
        centre = rng.uniform(0.25, 0.75, 2) * (width, height)
        return warp(image, mask, size, side, centre, rng)
    if rows.size and chance < 0.88:
        centre = np.array([(cols[0] + cols[-1]) / 2, (rows[0] + rows[-1]) / 2])
        hair_side = max(rows[-1] - rows[0], cols[-1] - cols[0]) + 1
        low = min(max(1.4 * hair_side, 48), 0.75 * long_side)
    else:
        centre = rng.uniform(0.25, 0.75, 2) * (width, height)
        low = 0.5 * long_side
    side = np.exp(rng.uniform(np.log(low), np.log(1.15 * long_side)))
    # The larger the crop, the nearer its centre stays to the photo's; either way the subject stays in view.
    photo_centre = np.array([width / 2, height / 2])
    pull = np.clip((side - low) / (1.15 * long_side - low), 0, 1)
    centre = centre * (1 - pull) + photo_centre * pull + rng.uniform(-0.15, 0.15, 2) * side
    return warp(image, mask, size, side, centre, rng)


def warp(
    image: np.ndarray,
    mask: np.ndarray,
    size: int,
    side: float,
    centre: np.ndarray,
    rng: np.random.Generator,
    frame_share: float = 0.6,
):
    """Bring the square of that side (pixels) around the centre (x, y) to (size, size), turned, stretched, mirrored.

    frame_share: how often what lies beyond the photo is one color, instead of the photo's reflection.
    """
    angle = rng.normal(0, 12) if rng.random() < 0.95 else rng.uniform(-90, 90)
    scale = size / side
    if scale < 0.6:  # bilinear warps alias below half size
        image, mask = cv2.pyrDown(image), cv2.pyrDown(mask)
        centre, scale = centre / 2, scale * 2
    turn, stretch = np.deg2rad(angle), np.exp(rng.normal(0, 0.08))
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.diag([stretch, 1 / stretch])
    if rng.random() < 0.5:
        linear = np.diag([-1, 1]) @ linear
    matrix = np.hstack([linear, (size / 2 - linear @ centre)[:, None]])
    gray = tuple(float(v) for v in rng.uniform(0, 255, 3)) if rng.random() < 0.5 else (0.0, 0.0, 0.0)
    border = cv2.BORDER_CONSTANT if rng.random() < frame_share else cv2.BORDER_REFLECT_101
    image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=gray)
    mask = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=0)
    return image, mask


def dye_hair(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give the hair another color by the product's own `recolor`, so that dyed, bleached and gray hair is seen.

    image: (h, w, 3) uint8 RGB. mask: (h, w) uint8. Returns a new (h, w, 3) uint8.
    """
    if (mask > 127).sum() < 50:
        return image
    shades = named_shades()
    shade = shades[rng.integers(len(shades))].rgb if rng.random() < 0.7 else tuple(rng.random(3))
    tone = measure_tone(image.astype(np.float32) / 255, mask.astype(np.float32) / 255)
    dyed = recolor(image, tone, shade, float(rng.uniform(0.5, 1)))
    alpha = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None].astype(np.float32) / 255
    return (image + alpha * (dyed.astype(np.float32) - image)).astype(np.uint8)


def jitter_color(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, gamma, contrast, white balance, saturation; sometimes black and white."""
    image = image * rng.uniform(0.7, 1.35) * np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    gray = image.mean(axis=2, keepdims=True)
    image = gray + (image - gray) * (0 if rng.random() < 0.04 else rng.uniform(0.5, 1.5))
    image = 0.5 + (image - 0.5) * rng.uniform(0.75, 1.25)
    return np.clip(image, 0, 1).astype(np.float32) ** rng.uniform(0.7, 1.4)


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, loss of resolution, JPEG and noise, each now and then."""
    size = image.shape[1::-1]
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < 0.15:
        factor = rng.uniform(0.3, 0.8)
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15:
        quality = int(rng.integers(25, 90))
        _, packed = cv2.imencode(".jpg", (image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR).astype(np.float32) / 255
    if rng.random() < 0.2:
        image = image + rng.normal(0, rng.uniform(0.005, 0.04), image.shape).astype(np.float32)
    return np.clip(image, 0, 1)
