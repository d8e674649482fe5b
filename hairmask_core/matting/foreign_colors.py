"""Colors that hair nowhere has: where a map is unsure, they say that it is none.

A network's map is unsure at places (a red sleeve under brown ends, a wall between curls) where everyone sees by the color that
there is no hair, because the hair of this photo nowhere has that color. How often does each color appear in the sure
hair, and in what surely is none, the nearer the more? With those frequencies h and r, smoothed histograms of CIE Lab, log h / r
is the evidence of a color (Jones, Rehg 2002, "Statistical color models with application to skin detection"). It is added
to the map's log odds where it speaks clearly against hair; never in favor of it: walls and clothes have hair's colors, too. Where
little of the hair is sure (a head cropped in several lengths), the rest may well have other colors: then nothing is said.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..photo.proxy import resize_area

LONG_SIDE = 512  # pixels at which colors are looked at
SURE = 0.95  # from here on pixels are hair, and below 1 - SURE none
LEAST = 50  # pixels of both: fewer say nothing
# Of the pixels that are rather hair than not, so many must be surely so for their colors to be the hair's: up to the first
# nothing is said, from the second on all.
KNOWN = (0.5, 0.7)
NEAR = 0.15  # of the long side: at this distance from the hair what is none counts 1 / e
CELLS = 24  # of the histogram along each axis …
LARGEST = (100.0, 60.0, 60.0)  # … which reach to L* 100, and to so large an a* and b* on both sides
SMOOTHING = np.array([1, 4, 6, 4, 1]) / 16  # of the histogram along each axis
RARE = 1e-3  # added to frequencies: what both have so seldom is no evidence
BLUR = 1.0  # pixels, standard deviation: single pixels are noise
LARGEST_EVIDENCE, CLEAR, WEIGHT = 3.0, 1.0, 4.0  # beyond CLEAR, up to LARGEST_EVIDENCE, it counts WEIGHT times
LEAST_PROBABILITY = 1e-3  # the map's log odds are bounded by it


def doubt_foreign_colors(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """The map, lower where colors are foreign to the hair: (h, w) float32, 0…1; nowhere higher.

    rgb: (H, W, 3) float32, 0…1, sRGB-encoded, the photo. coarse: (h, w) float32, 0…1, a map of it.
    """
    scale = min(1.0, LONG_SIDE / max(coarse.shape))
    size = tuple(max(1, round(side * scale)) for side in coarse.shape[::-1])
    small, p = (resize_area(x, size) for x in (rgb, coarse))
    against = evidence_against(small, p)
    if against is None:
        return coarse
    against = cv2.resize(against, coarse.shape[::-1], interpolation=cv2.INTER_LINEAR)
    sure = np.clip(coarse, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    odds = sure / (1 - sure) * np.exp(against)
    return np.where(against < 0, np.minimum(coarse, odds / (1 + odds)), coarse)


def evidence_against(rgb: np.ndarray, p: np.ndarray) -> np.ndarray | None:
    """What each pixel's color adds to the log odds of hair: (h, w) float32, 0 or less; None where colors say nothing.

    rgb: (h, w, 3) float32, 0…1. p: (h, w) float32, 0…1.
    """
    away = cv2.distanceTransform((p < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    hair = (p > SURE).astype(np.float32)
    rest = (p < 1 - SURE) * np.exp(away / np.float32(-NEAR * max(p.shape)))
    known = np.clip((hair.sum() / max(1, (p > 0.5).sum()) - KNOWN[0]) / (KNOWN[1] - KNOWN[0]), 0, 1)
    if known == 0 or hair.sum() < LEAST or rest.sum() < LEAST:
        return None
    cells = color_cells(rgb)
    evidence = np.log((frequencies(cells, hair) + RARE) / (frequencies(cells, rest) + RARE))
    seen = cv2.GaussianBlur(evidence.astype(np.float32)[cells], (0, 0), BLUR)
    return np.float32(WEIGHT * known) * np.minimum(np.maximum(seen, -LARGEST_EVIDENCE) + CLEAR, 0)


def color_cells(rgb: np.ndarray) -> np.ndarray:
    """In which cell of the histogram each pixel is: (h, w) int32. rgb: (h, w, 3) float32, 0…1."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)
    lightness, a, b = cv2.split(lab / np.array(LARGEST, np.float32))
    axes = (np.clip(CELLS * x, 0, CELLS - 1).astype(np.int32) for x in (lightness, (a + 1) / 2, (b + 1) / 2))
    return np.ravel_multi_index(tuple(axes), (CELLS,) * 3).astype(np.int32)


def frequencies(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How much of the weights is in each cell, smoothed: (CELLS³,) float64, 1 in all. cells, weights: (h, w)."""
    counts = np.bincount(cells.ravel(), weights.ravel(), CELLS**3).reshape((CELLS,) * 3)
    for axis in range(3):
        counts = cv2.sepFilter2D(
            np.moveaxis(counts, axis, 0).reshape(CELLS, -1), -1, np.ones(1), SMOOTHING, borderType=cv2.BORDER_REPLICATE
        ).reshape((CELLS,) * 3)
        counts = np.moveaxis(counts, 0, axis)
    return counts.ravel() / counts.sum()
