"""Photo -> hair by its texture: a patch classifier decides for small windows, wherever they lie.

It needs no head and no face in the picture: wigs, extensions, close-ups, strands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from .dense import dense_map, spread
from .image import Photo, make_proxy, proxy_size
from .looks import Look
from .refine import ask_neighbors, reclassify, sharpen
from .regions import Region
from .session import Session

STEP = 2  # pixels of the working scale between windows, unless told otherwise
FOUND = 0.85  # share of the time until the windows have been asked


def look_by_texture(photo: Photo, session: Session, step: int, report: Callable[[float], None]) -> Look:
    """The whole photo at the classifier's working scale, and the probability of hair at each of its pixels.

    session: of a patch classifier. step: pixels of the working scale between windows, 1…35; between them, bilinear.
    report: called with the fraction done, 0…1. Raises ValueError for another step.
    """
    look = find_map(photo, session, step, lambda done: report(FOUND * done))
    return improve(look, session, lambda done: report(FOUND + (1 - FOUND) * done))


def find_map(photo: Photo, session: Session, step: int, report: Callable[[float], None] = lambda done: None) -> Look:
    """What the windows say; see `look_by_texture`.

    Where the card has a coarser classifier, windows of a smaller copy of the photo say what surrounds a place, and the
    log odds of both are added up.
    """
    card, coarser = session.card, session.coarser
    size = proxy_size(photo.width, photo.height, card.long_side, 1)
    proxy = make_proxy(photo, size)
    share = 1.0 if coarser is None else 1 / (1 + (coarser.card.long_side / card.long_side) ** 2)
    found = spread(dense_map(proxy, session, step, report=lambda done: report(share * done)), step, size[1], size[0])
    if coarser:
        step_there = step * coarser.card.long_side / card.long_side
        around = look_around(photo, coarser, step_there, size, lambda done: report(share + (1 - share) * done))
        found = fuse(found, around, card.fusion)
    return Look(Region(0, photo.height, 0, photo.width), proxy, found)


def improve(look: Look, session: Session, report: Callable[[float], None] = lambda done: None) -> Look:
    """The map sharpened, compared with its neighbours, and decided again where it is uncertain: what measured best.

    The last only where the card has a classifier of pixels. The table is in benchmarks/RESULTS.md.
    report: called with the fraction done, 0…1.
    """
    report(0.0)
    found = ask_neighbors(sharpen(look.coarse))
    report(0.0)
    if session.pixels:
        found = reclassify(look.proxy, found, session.pixels.run, report)
    report(1.0)
    return replace(look, coarse=found)


def look_around(
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
    found = spread(dense_map(make_proxy(photo, small), session, step, report=report), step, small[1], small[0])
    return cv2.resize(found, size, interpolation=cv2.INTER_LINEAR)


def fuse(fine: np.ndarray, coarse: np.ndarray, fusion: tuple[float, float, float]) -> np.ndarray:
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
