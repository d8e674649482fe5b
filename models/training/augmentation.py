"""What training does to a photo and its labels before the network sees them: view, hair color, light, quality.

Images are (h, w, 3) uint8 RGB, labels (h, w, 2) uint8 as in datasets.py.
"""

from __future__ import annotations

import cv2
import numpy as np

from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import named_shades
from hairmask_core.hair.tone import measure_tone

from .datasets import REST

DYED_SHARE = 0.2  # of the samples
LYING_SHARE, UPSIDE_DOWN_SHARE = 0.04, 0.02


def random_view(image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator):
    """Random square crop at a random scale, as image and labels of (size, size).

    The crop's side runs from a little more than the hair's bounding box to a little more than the photo, so that small
    heads in full-body photos are seen both small and large; now and then hair fills the frame.
    """
    height, width = labels.shape[:2]
    long_side = max(height, width)
    hair = labels[..., 0] > 127
    rows, cols = np.flatnonzero(hair.any(1)), np.flatnonzero(hair.any(0))
    chance = rng.random()
    if chance < (0.04 if rows.size else 0.3):
        # A close look at cloth, wood, fur, grass or skin: texture alone does not make hair.
        side = rng.uniform(0.2, 0.5) * long_side
        return warp(image, labels, size, side, rng.uniform(0.25, 0.75, 2) * (width, height), rng)
    if rows.size:
        centre = np.array([(cols[0] + cols[-1]) / 2, (rows[0] + rows[-1]) / 2])
        hair_side = max(rows[-1] - rows[0], cols[-1] - cols[0]) + 1
    if rows.size and chance < 0.09 and hair_side > 0.25 * long_side:
        return warp(
            image, labels, size, rng.uniform(0.4, 1.0) * hair_side, centre + rng.normal(0, 0.1, 2) * hair_side, rng
        )
    if rows.size and chance < 0.9:
        low = min(max(1.4 * hair_side, 48), 0.75 * long_side)
    else:
        centre = rng.uniform(0.25, 0.75, 2) * (width, height)
        low = 0.5 * long_side
    side = np.exp(rng.uniform(np.log(low), np.log(1.15 * long_side)))
    # The larger the crop, the nearer its centre stays to the photo's; either way the subject stays in view.
    photo_centre = np.array([width / 2, height / 2])
    pull = np.clip((side - low) / (1.15 * long_side - low), 0, 1)
    centre = centre * (1 - pull) + photo_centre * pull + rng.uniform(-0.15, 0.15, 2) * side
    return warp(image, labels, size, side, centre, rng)


def warp(image, labels, size: int, side: float, centre, rng: np.random.Generator, frame_share: float = 0.6):
    """Bring the square of that side (pixels) around the centre (x, y) to (size, size), turned, stretched, mirrored.

    frame_share: how often what lies beyond the photo is one color, instead of the photo's reflection. Reflected
    pixels keep their labels; the frame has none but "no hair".
    """
    chance = rng.random()
    angle = rng.normal(0, 10)
    if chance < LYING_SHARE:
        angle += rng.choice([-90, 90])
    elif chance < LYING_SHARE + UPSIDE_DOWN_SHARE:
        angle += 180
    elif chance < 0.12:
        angle = rng.uniform(-60, 60)
    scale = size / side
    while scale < 0.6:  # bilinear warps alias below half size
        image = cv2.pyrDown(image)
        hair = cv2.pyrDown(np.ascontiguousarray(labels[..., 0]))
        labels = np.stack([hair, cv2.resize(labels[..., 1], hair.shape[::-1], interpolation=cv2.INTER_NEAREST)], axis=2)
        centre, scale = centre / 2, scale * 2
    turn, stretch = np.deg2rad(angle), np.exp(rng.normal(0, 0.08))
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.diag([stretch, 1 / stretch])
    if rng.random() < 0.5:
        linear = np.diag([-1, 1]) @ linear
    matrix = np.hstack([linear, (size / 2 - linear @ centre)[:, None]])
    gray = tuple(float(v) for v in rng.uniform(0, 255, 3)) if rng.random() < 0.5 else (0.0, 0.0, 0.0)
    border = cv2.BORDER_CONSTANT if rng.random() < frame_share else cv2.BORDER_REFLECT_101
    shape = (size, size)
    image = cv2.warpAffine(image, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=gray)
    hair = cv2.warpAffine(labels[..., 0], matrix, shape, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=0)
    others = cv2.warpAffine(labels[..., 1], matrix, shape, flags=cv2.INTER_NEAREST, borderMode=border, borderValue=REST)
    return image, np.stack([hair, others], axis=2)


def change_look(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other hair color, light and picture quality now and then; (h, w, 3) float32 RGB in -1…1."""
    if rng.random() < DYED_SHARE:
        image = dye_hair(image, labels[..., 0], rng)
    return degrade(jitter_color(monochrome(image.astype(np.float32) / 255, rng), rng), rng) * 2 - 1


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


def monochrome(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black and white or sepia now and then; float32 in 0…1."""
    chance = rng.random()
    if chance > 0.06:
        return image
    gray = image @ np.array([0.299, 0.587, 0.114], np.float32)
    tint = np.ones(3, np.float32) if chance < 0.04 else np.array([1.1, 0.95, 0.7], np.float32) ** rng.uniform(0.3, 1.2)
    return np.clip(gray[..., None] * tint, 0, 1).astype(np.float32)


def jitter_color(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, gamma, contrast, white balance, saturation; sometimes black and white. float32 in 0…1."""
    image = image * rng.uniform(0.7, 1.35) * np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    gray = image.mean(axis=2, keepdims=True)
    image = gray + (image - gray) * (0 if rng.random() < 0.04 else rng.uniform(0.5, 1.5))
    image = 0.5 + (image - 0.5) * rng.uniform(0.75, 1.25)
    return np.clip(image, 0, 1).astype(np.float32) ** rng.uniform(0.7, 1.4)


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, loss of resolution, JPEG down to quality 5, noise, each now and then; float32 in 0…1."""
    size = image.shape[1::-1]
    if rng.random() < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), np.exp(rng.uniform(np.log(0.5), np.log(4))))
    if rng.random() < 0.15:
        factor = rng.uniform(0.25, 0.8)
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15:
        image = image + rng.normal(0, np.exp(rng.uniform(np.log(0.005), np.log(0.12))), image.shape).astype(np.float32)
    if rng.random() < 0.2:
        quality = int(np.exp(rng.uniform(np.log(5), np.log(90))))
        coded = (np.clip(image, 0, 1) * 255).astype(np.uint8)
        _, packed = cv2.imencode(".jpg", coded, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR).astype(np.float32) / 255
    return np.clip(image, 0, 1).astype(np.float32)
