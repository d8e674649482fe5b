"""Photo -> hair probability by its texture: a patch classifier decides for small windows, wherever they lie.

It needs no head and no face in the picture: wigs, extensions, close-ups, strands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from ..inference.session import Session
from ..photo.pixels import Photo
from ..photo.proxy import make_proxy, proxy_size
from .pixel_classifier import reclassify, sharpen_noisy_or, smooth_binomial
from .regions import Crop, Region
from .sliding_window import dense_map, interpolate_map

WINDOWS_SHARE = 0.85  # share of the time until the windows have been asked


def segment_by_patches(photo: Photo, session: Session, step: int, report: Callable[[float], None]) -> Crop:
    """The whole photo at the classifier's working scale, and the probability of hair at each of its pixels.

    session: of a patch classifier. step: pixels of the working scale between windows, 1…35; between them, bilinear.
    report: called with the fraction done, 0…1. Raises ValueError for another step.
    """
    crop = classify_windows(photo, session, step, lambda done: report(WINDOWS_SHARE * done))
    return postprocess(crop, session, lambda done: report(WINDOWS_SHARE + (1 - WINDOWS_SHARE) * done))


def classify_windows(
    photo: Photo, session: Session, step: int, report: Callable[[float], None] = lambda done: None
) -> Crop:
    """What the windows say; see `segment_by_patches`.

    Where the card has a coarser classifier, windows of a smaller copy of the photo say what surrounds a place, and the
    log odds of both are added up.
    """
    card, coarser = session.card, session.coarser
    size = proxy_size(photo.width, photo.height, card.long_side, 1)
    proxy = make_proxy(photo, size)
    share = 1.0 if coarser is None else 1 / (1 + (coarser.card.long_side / card.long_side) ** 2)
    found = interpolate_map(
        dense_map(proxy, session, step, report=lambda done: report(share * done)), step, size[1], size[0]
    )
    if coarser:
        step_there = step * coarser.card.long_side / card.long_side
        around = context_map(photo, coarser, step_there, size, lambda done: report(share + (1 - share) * done))
        found = fuse_log_odds(found, around, card.fusion)
    return Crop(Region(0, photo.height, 0, photo.width), proxy, found)


def postprocess(crop: Crop, session: Session, report: Callable[[float], None] = lambda done: None) -> Crop:
    """The map sharpened, smoothed, and decided again where it is uncertain: what measured best.

    The last only where the card has a classifier of pixels. The table is in benchmarks/RESULTS.md.
    report: called with the fraction done, 0…1.
    """
    report(0.0)
    found = smooth_binomial(sharpen_noisy_or(crop.coarse))
    report(0.0)
    if session.pixels:
        found = reclassify(crop.proxy, found, session.pixels.run, report)
    report(1.0)
    return replace(crop, coarse=found)


def context_map(
    photo: Photo,
    session: Session,
    step: float,
    size: tuple[int, int],
    report: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """Probability of hair by windows of a smaller copy of the photo, brought to size (width, height), float32.

    session: of the classifier for that copy. step: pixels of that copy between windows; rounded, at least 1.
    report: called with the fraction done, 0…1.
    """
    small = proxy_size(photo.width, photo.height, session.card.long_side, 1)
    step = max(1, round(step))
    found = interpolate_map(dense_map(make_proxy(photo, small), session, step, report=report), step, small[1], small[0])
    return cv2.resize(found, size, interpolation=cv2.INTER_LINEAR)


def fuse_log_odds(fine: np.ndarray, coarse: np.ndarray, fusion: tuple[float, float, float]) -> np.ndarray:
    """Two probability maps made one: the sigmoid of a weighted sum of their log odds; float32, shapes alike.

    fusion: weight of `fine`, weight of `coarse`, and what is added. Bishop 2006, "Pattern Recognition and Machine
    Learning", 4.3.2 (logistic regression), which also gave the weights.
    """
    weights, constant = fusion[:2], fusion[2]
    odds = sum(weight * log_odds(p) for weight, p in zip(weights, (fine, coarse)))
    return 1 / (1 + np.exp(-(odds + np.float32(constant))))


def log_odds(p: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), float32; p nearer to 0 or 1 than 0.001 counts as that."""
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p)).astype(np.float32)
