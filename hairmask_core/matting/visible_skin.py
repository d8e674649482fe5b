"""Hair cut so short that skin shows through: how much of it is skin, by its color.

To masks, a neck that a barber has faded from black to bare is hair throughout. Dyed platinum as if it were, its skin, which is
the lightest of that hair, would come out white. A pixel there is I = t B + (1-t) F, F the hair's color and B the skin's, and t
is told as in `foreground`, with one color of hair and one of skin for the whole photo.

Highlights must not be taken for skin. Those of brown and blond hair have its color, so t is told of dark hair alone that has
hardly any color of its own; not where much of the hair far from any skin would be skin by its color; only where some of it
is nearly bare; and only where a way leads in from bare skin on which t nowhere falls below what it is at the end: grayscale
reconstruction by dilation (Vincent 1993, "Morphological grayscale reconstruction in image analysis").
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..photo.oklab import perceived, rgb_to_oklab

SURE = 0.95  # from here on, and below 1 - SURE, the matte says that a pixel is all hair, or none
STRANDS = 0.02  # of the long side: squares over which colors are averaged, so that no single strands are seen
NEARBY = 0.12  # of the long side: so near the hair skin is looked for
SKIN_HUE, SKIN_CHROMA = (15.0, 80.0), (0.025, 0.17)  # of skin in OKLab, in degrees
SKIN_LIGHTER = 0.15  # so much lighter than the hair, in perceived lightness; else nobody sees it through the hair
LEAST_HAIR, LEAST_SKIN = 50, 20  # pixels of the map, by which colors are told
MOST_HAIR = 4096  # pixels by which the hair's color is told
LEAST_SKIN_SHARE = 0.02  # of the hair's pixels
DEEP = 0.02  # of the long side: so far inside hair has its own color
HAIR_ROUNDS, BARE = 4, 0.35  # the hair's color is told again without what had so large a t
NOISE = 0.03  # standard deviation of each channel that is added to what was seen
OFF_LINE = 0.25  # distance from the line between both colors, in sRGB values, at which t is divided by e
LARGEST_USUAL = 0.5  # of t in the hair itself, where its colors vary much
ALL_SKIN = 0.9  # from here on it is skin throughout
# The hair's lightness and saturation: up to the first wholly, from the second on not at all.
DARK, COLORLESS = (0.35, 0.45), (0.33, 0.39)
# Mean t of the quarter of the hair that is farthest from skin: up to here wholly, from twice that on not at all.
FAR, FAR_SKIN = 0.75, 0.03
SIDE_BY_SIDE = 0.16  # of the long side: squares in which most of what is behind the outline must be skin
CLEAR, FAINT = 0.4, 0.01  # t that an area must have somewhere inside the outline, and that it ends at
PLAIN = 0.1  # t from which on color alone decides
RIM = 0.05  # of the long side: so far beyond such places it decides about the outline
CHECK_EVERY = 8  # rounds of reconstruction


class VisibleSkin(NamedTuple):
    """Where skin shows through, (h, w) float32, 0 to 1: how much color alone decides there; the colors of hair and skin,
    (3,) float32 sRGB-encoded; and w, (3,) float32, with 1 - t = wᵀ (I - skin)."""

    where: np.ndarray
    hair: np.ndarray
    skin: np.ndarray
    direction: np.ndarray


def find_visible_skin(rgb: np.ndarray, p: np.ndarray) -> VisibleSkin | None:
    """Where skin shows through the hair; None if it nowhere does.

    rgb: (h, w, 3) float32, 0…1, the photo, shrunk to some hundred pixels. p: (h, w) float32, 0…1, its matte.
    """
    long_side = max(p.shape)
    side = 2 * round(STRANDS * long_side / 2) + 1
    rgb = cv2.blur(rgb, (side, side), borderType=cv2.BORDER_REFLECT_101)
    hair = p >= SURE
    inside = depth(hair)
    colors = rgb[hair & (inside >= min(DEEP * long_side, inside.max() / 2))]
    if len(colors) < LEAST_HAIR:
        return None
    colors = colors[:: 1 + len(colors) // MOST_HAIR]
    skin = skin_beside(rgb, p, float(np.median(lightness_hue_chroma(colors)[0])) + SKIN_LIGHTER)
    if skin.sum() < max(LEAST_SKIN, LEAST_SKIN_SHARE * hair.sum()):
        return None
    bare = np.median(rgb[skin], axis=0).astype(np.float64)
    told = tell_hair(colors.astype(np.float64), bare)
    if told is None or not (trust := confidence_in(told.hair)):
        return None
    t = skin_share(rgb, bare, told)
    away = depth(~skin)
    far = hair & (away > np.quantile(away[hair], FAR))
    trust *= float(np.clip(2 - t[far].mean() / FAR_SKIN, 0, 1)) if far.any() else 0.0
    if not trust:
        return None
    where = decide_where(t, skin, p, inside, trust)
    if not where.any():
        return None
    return VisibleSkin(where, *(x.astype(np.float32) for x in (told.hair, bare, told.direction)))


def decide_where(t: np.ndarray, skin: np.ndarray, p: np.ndarray, inside: np.ndarray, trust: float) -> np.ndarray:
    """How much color alone decides in each place, (h, w) float32, 0…1; see above.

    t: (h, w) float32, as `skin_share` gives it. skin: (h, w) bool, bare skin. inside: (h, w) float32, how many pixels within sure
    hair. trust: 0…1.
    """
    long_side, some_hair = max(p.shape), p > 1 - SURE
    beside = share_beside(skin, ~some_hair, SIDE_BY_SIDE * long_side)
    rim = some_hair & (inside < RIM / 2 * long_side)
    ways = np.where(rim, t * beside, np.where(some_hair | skin, t, 0)).astype(np.float32)
    led_to = reconstruct(np.where(skin, ways, 0).astype(np.float32), ways)
    led_to *= hysteresis(led_to > FAINT, (led_to >= CLEAR) & (inside >= RIM / 4 * long_side))
    shown = np.clip(cv2.blur(led_to, (3, 3)) * np.float32(trust / PLAIN), 0, 1) * some_hair
    within = shown * np.clip(4 * inside / (RIM * long_side) - 1, 0, 1)  # at the very outline any hair meets skin
    side = 2 * round(RIM * long_side) + 1
    around = cv2.dilate(within, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) * beside
    where = np.maximum(within, np.where(inside < RIM * long_side, around, 0))
    return cv2.blur(where.astype(np.float32), (5, 5))


def depth(where: np.ndarray) -> np.ndarray:
    """How far each pixel lies from the nearest that is not one of them: (h, w) bool -> float32, pixels."""
    return cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 3)


def lightness_hue_chroma(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Perceived lightness, 0…1, and OKLab's hue, in degrees, and chroma of (n, 3) float32 sRGB colors: (n,) float64 each."""
    lab = rgb_to_oklab(np.ascontiguousarray(colors, np.float32)[None])[0].astype(np.float64)
    hue, chroma = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])), np.hypot(lab[:, 1], lab[:, 2])
    return perceived(np.clip(lab[:, 0], 0, 1)), hue, chroma


def skin_beside(rgb: np.ndarray, p: np.ndarray, darkest: float) -> np.ndarray:
    """What near the hair has skin's hue and chroma, and is lighter than that: (h, w) bool."""
    outside = p <= 1 - SURE
    near = outside & (depth(outside) <= NEARBY * max(p.shape))
    skin = np.zeros(p.shape, bool)
    if not near.any():
        return skin
    lightness, hue, chroma = lightness_hue_chroma(rgb[near])
    like_skin = (hue > SKIN_HUE[0]) & (hue < SKIN_HUE[1]) & (chroma > SKIN_CHROMA[0]) & (chroma < SKIN_CHROMA[1])
    skin[near] = like_skin & (lightness > darkest)
    return skin


class HairColor(NamedTuple):
    """The hair's median color, (3,) float64; w, as in `VisibleSkin`; and how large t usually is in it."""

    hair: np.ndarray
    direction: np.ndarray
    usual: float


def tell_hair(colors: np.ndarray, skin: np.ndarray) -> HairColor | None:
    """The hair's own color among colors of which some are skin.

    colors: (n, 3) float64, from inside the matte. skin: (3,) float64. None if too few are left.
    """
    own = np.ones(len(colors), bool)
    for _ in range(HAIR_ROUNDS):
        hair = np.median(colors[own], axis=0)
        spread = np.cov(colors[own].T) + NOISE**2 * np.eye(3)
        direction = np.linalg.solve(spread, hair - skin)
        length = direction @ (hair - skin)
        if not length > 0:
            return None
        direction /= length
        t = np.clip(1 - (colors - skin) @ direction, 0, 1)
        own = t < BARE
        if own.sum() < LEAST_HAIR:
            return None
    return HairColor(hair, direction, float(np.sqrt((t[own] ** 2).mean())))


def confidence_in(hair: np.ndarray) -> float:
    """How sure it is that no highlight of such hair has the color of skin, 0…1. hair: (3,) float64."""
    lightness = lightness_hue_chroma(hair[None])[0].item()
    saturation = (hair.max() - hair.min()) / max(hair.max(), 1e-6)
    return float(
        np.prod(
            [
                np.clip((end - x) / (end - begin), 0, 1)
                for x, (begin, end) in ((lightness, DARK), (saturation, COLORLESS))
            ]
        )
    )


def skin_share(rgb: np.ndarray, skin: np.ndarray, told: HairColor) -> np.ndarray:
    """t of each pixel by its color, beyond what is usual in the hair itself: (h, w) float32, 0…1."""
    t = np.clip(1 - (rgb - skin) @ told.direction, 0, 1)
    off = np.linalg.norm(rgb - told.hair - t[..., None] * (skin - told.hair), axis=2)
    t = t * np.exp(-((off / OFF_LINE) ** 2))
    usual = min(told.usual, LARGEST_USUAL)
    return np.clip((t - usual) / (ALL_SKIN - usual), 0, 1).astype(np.float32)


def hysteresis(areas: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Of what is connected, that in which there is a seed: (h, w) bool each. Hysteresis thresholding (Canny 1986)."""
    _, labels = cv2.connectedComponents(areas.astype(np.uint8))
    return areas & np.isin(labels, np.unique(labels[seeds]))


def share_beside(skin: np.ndarray, outside: np.ndarray, side: float) -> np.ndarray:
    """Whether what lies outside near a pixel is skin: (h, w) float32, 0 (a quarter or less of it) to 1 (three)."""
    odd = 2 * round(side / 2) + 1
    of_skin, of_all = (cv2.blur(x.astype(np.float32), (odd, odd)) for x in (skin, outside))
    return np.clip(2 * of_skin / np.maximum(of_all, np.float32(1e-3)) - np.float32(0.5), 0, 1)


def reconstruct(marker: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Grayscale reconstruction by dilation: the largest value from which a way leads to a pixel on which neither the
    start's marker nor the mask is smaller. Both (h, w) float32, the marker nowhere above the mask."""
    square = np.ones((3, 3), np.uint8)
    while True:
        before = marker
        for _ in range(CHECK_EVERY):
            marker = np.minimum(cv2.dilate(marker, square), mask)
        if (marker == before).all():
            return marker
