"""Pictures made hard on purpose: hats on other heads, fur and wicker around them, hair that fills the frame.

Images are (h, w, 3) uint8 RGB, labels (h, w, 2) uint8 as in datasets.py.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from synthetic.hats import Head, draw_hat
from synthetic.surfaces import draw_cloth, draw_fur, draw_texture

from .datasets import HEADWEAR, REST, label_alpha


def certain(labels: np.ndarray, bit: int) -> np.ndarray:
    """(h, w) float32, 1 where a pixel is certainly of that class."""
    return ((labels[..., 1] == bit) & (labels[..., 0] < 128)).astype(np.float32)


def person_of(image: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """The person's alpha, (h, w) float32, 0…1: by the labels where they tell the background, else by GrabCut."""
    background = certain(labels, REST)
    if background.any():
        return 1 - cv2.GaussianBlur(background, (0, 0), 0.7)
    cv2.setRNGSeed(seed)  # GrabCut's clusters begin at random
    return cut_out(image, labels[..., 0])


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


def blend(image, labels, over, over_labels, alpha):
    """`over` before `image` by its alpha (h, w), 0…1; labels follow the nearer one, shares of hair are mixed."""
    mixed = image + alpha[..., None] * (over.astype(np.float32) - image)
    hair = labels[..., 0] + alpha * (over_labels[..., 0].astype(np.float32) - labels[..., 0])
    others = np.where(alpha >= 0.5, over_labels[..., 1], labels[..., 1])
    return mixed.astype(np.uint8), np.stack([np.round(hair).astype(np.uint8), others], axis=2)


def before_background(image, labels, alpha, background, background_labels, rng: np.random.Generator):
    """The person of `alpha` before a random piece of another picture that shows no hair."""
    height, width = labels.shape[:2]
    side = rng.uniform(0.5, 1, 2) * background.shape[:2]
    top, left = (rng.uniform(0, 1, 2) * (np.array(background.shape[:2]) - side)).astype(int)
    piece = np.s_[top : top + int(side[0]), left : left + int(side[1])]
    behind = cv2.resize(background[piece], (width, height), interpolation=cv2.INTER_LINEAR)
    behind_labels = cv2.resize(background_labels[piece], (width, height), interpolation=cv2.INTER_NEAREST)
    return blend(behind, behind_labels, image, labels, alpha)


def put_on_hat(image, labels, hat_image, hat_labels, rng: np.random.Generator):
    """The headwear of one portrait on the head of another; both are aligned by their faces, as CelebA's are.

    What was above the hat comes along, so that the hair of the new wearer does not stand out above it.
    """
    height, width = labels.shape[:2]
    scale, shift = rng.uniform(0.94, 1.12), rng.normal(0, 0.012, 2) * width
    center = np.array([width / 2, height / 2])
    move = np.hstack([scale * np.eye(2), (center - scale * center + shift)[:, None]])
    if hat_labels.shape != labels.shape:
        ratio = np.array([width, height]) / hat_labels.shape[1::-1]
        move[:, :2] *= ratio
    if rng.random() < 0.5:  # mirrored
        hat_image, hat_labels = hat_image[:, ::-1], hat_labels[:, ::-1]
    warped = cv2.warpAffine(hat_image, move, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    warped_labels = cv2.warpAffine(
        hat_labels, move, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    hat = certain(warped_labels, HEADWEAR)
    rows = np.flatnonzero(hat.any(1))
    if not rows.size:
        return image, labels
    below = np.where(hat.any(0), hat.argmax(0), 0)  # first row of the hat in each column
    above = (np.arange(height)[:, None] < below[None]) & (warped_labels[..., 0] < 128)
    alpha = cv2.GaussianBlur(np.maximum(hat, above).astype(np.float32), (0, 0), 0.8)
    tint = np.clip(warped * np.exp(rng.normal(0, 0.15, 3)) * rng.uniform(0.6, 1.3), 0, 255)
    return blend(image, labels, np.where(hat[..., None] > 0, tint, warped), warped_labels, alpha)


def draw_on_hat(image, labels, material: Callable[[], np.ndarray], rng: np.random.Generator):
    """A drawn hat on the head of a portrait that is aligned by its face, as CelebA's are; material: see `draw_hat`."""
    height, width = labels.shape[:2]
    hair = labels[..., 0] > 127
    brow = rng.uniform(0.26, 0.4) * height
    above = hair[: int(brow)]
    rows, columns = np.flatnonzero(above.any(1)), np.flatnonzero(above[-max(4, height // 24) :].any(0))
    top = rows[0] if rows.size else 0.1 * height
    half = (columns[-1] - columns[0]) / 2 if columns.size else 0.0
    head = Head(
        (0.5 + rng.normal(0, 0.01)) * width,
        brow,
        np.clip(half, 0.24 * width, 0.36 * width),
        np.clip(top, 0.02 * height, brow - 0.1 * height),
    )
    color, alpha = draw_hat((height, width), head, material, rng)
    shadow = cv2.GaussianBlur(np.roll(alpha, round(rng.uniform(0, 0.03) * height), axis=0), (0, 0), width / 60)
    image = (image * (1 - rng.uniform(0, 0.6) * shadow)[..., None]).astype(np.uint8)
    headwear = label_alpha(np.zeros((height, width), np.uint8), HEADWEAR)
    return blend(image, labels, color, headwear, cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.4, 1.5)))


def retexture(image, labels, bit: int, texture: np.ndarray, rng: np.random.Generator):
    """What is of one class gets another surface, lit as before: fur collars, knitted hats, patterned cloth."""
    where = certain(labels, bit)
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    if rows.size < 8 or columns.size < 8:
        return image, labels
    here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = where[here].shape
    side = min(texture.shape[:2])
    size = int(side * rng.uniform(0.4, 1))
    top, left = (int(rng.integers(0, length - size + 1)) for length in texture.shape[:2])
    long_side = max(height, width)
    piece = cv2.resize(
        texture[top : top + size, left : left + size], (long_side, long_side), interpolation=cv2.INTER_AREA
    )
    piece = piece[:height, :width].astype(np.float32)
    gray = cv2.GaussianBlur(image[here].astype(np.float32).mean(2), (0, 0), max(1.0, long_side / 40))
    light = gray / max(float(gray[where[here] > 0].mean()), 1.0)
    piece = np.clip(piece * np.clip(light, 0.4, 1.6)[..., None], 0, 255)
    alpha = cv2.GaussianBlur(where[here], (0, 0), 0.8) * rng.uniform(0.85, 1)
    changed = image.copy()
    changed[here] = image[here] + alpha[..., None] * (piece - image[here])
    return changed, labels


def draw_material(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Fur, cloth or another surface drawn by program, (size, size, 3) uint8."""
    kind = rng.random()
    drawn = draw_fur(size, rng) if kind < 0.45 else draw_cloth(size, rng) if kind < 0.8 else draw_texture(size, rng)
    return np.clip(drawn, 0, 255).astype(np.uint8)


def crowd(people, background: np.ndarray, background_labels: np.ndarray, side: int, rng: np.random.Generator):
    """Several people, small, in one picture of (side, side); people: (image, labels, alpha) each.

    The largest stand in front. Small heads in large photos are rare in the data sets.
    """
    image = cv2.resize(background, (side, side), interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(background_labels, (side, side), interpolation=cv2.INTER_NEAREST)
    sizes = np.sort(side * np.exp(rng.uniform(np.log(0.08), np.log(0.6), len(people))))
    for size, (person, person_labels, alpha) in zip(sizes, people, strict=True):
        scale = size / max(alpha.shape)
        shape = (max(8, round(alpha.shape[1] * scale)), max(8, round(alpha.shape[0] * scale)))
        person = cv2.resize(person, shape, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, shape, interpolation=cv2.INTER_AREA)
        hair = cv2.resize(person_labels[..., 0], shape, interpolation=cv2.INTER_AREA)
        others = cv2.resize(person_labels[..., 1], shape, interpolation=cv2.INTER_NEAREST)
        if rng.random() < 0.2:  # a picture on a wall, a page of a magazine
            alpha[:] = 1
        left, top = (int(rng.integers(0, side - length + 1)) for length in shape)
        here = np.s_[top : top + shape[1], left : left + shape[0]]
        image[here], labels[here] = blend(image[here], labels[here], person, np.stack([hair, others], axis=2), alpha)
    return image, labels


def collage(first, second, rng: np.random.Generator):
    """Cover a side or a corner of one sample with a piece of another (Yun et al. 2019, "CutMix")."""
    (image, labels), (other_image, other_labels) = first, second
    size = labels.shape[0]
    width, height = (int(size * rng.uniform(0.25, 0.6)) for _ in range(2))
    if rng.random() < 0.6:
        height = size
    top = 0 if rng.random() < 0.5 else size - height
    left = 0 if rng.random() < 0.5 else size - width
    piece = np.s_[top : top + height, left : left + width]
    image, labels = image.copy(), labels.copy()
    image[piece], labels[piece] = other_image[piece], other_labels[piece]
    return image, labels


def surface(rng: np.random.Generator, size: int = 256):
    """A drawn picture without people, and its labels."""
    image = draw_material(rng, size)
    return image, label_alpha(np.zeros((size, size), np.uint8), REST)
