"""Photo -> hair probability by its texture: a patch classifier decides for small windows, wherever they lie.

It needs no head and no face in the picture: wigs, extensions, close-ups, strands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ..inference.cards import PatchCard
from ..inference.network import Network, open_network
from ..options import DEFAULT_STEP, LARGEST_STEP
from ..photo.pixels import Photo
from ..photo.proxy import make_proxy, proxy_size
from .pixel_classifier import reclassify, sharpen_noisy_or, smooth_binomial
from .regions import Crop, Region
from .sliding_window import WindowClassifier, dense_map, interpolate_map

WINDOWS_SHARE = 0.85  # share of the time until the windows have been asked


@dataclass(frozen=True)
class PatchSegmenter:
    """A patch classifier: it judges small windows one by one. See `segmenter.Segmenter`.

    fine: at the model's working scale. coarser: for a smaller copy of the photo, and pixels: what decides uncertain
    pixels again, each where the model's card has one. step: pixels of the working scale between windows, 1…35, between
    which the map is bilinear; ValueError for any other.
    """

    card: PatchCard
    fine: WindowClassifier
    coarser: WindowClassifier | None = None
    pixels: Network | None = None
    step: int = DEFAULT_STEP
    notices: list[str] = field(default_factory=list)

    def __post_init__(self):
        if not 1 <= self.step <= LARGEST_STEP:
            raise ValueError(f"a step of {self.step} pixels is not possible: give 1 to {LARGEST_STEP}")

    @classmethod
    def open(cls, card: PatchCard, device: str) -> PatchSegmenter:
        """Load the model's networks; see `open_network`."""
        notices: list[str] = []
        fine = WindowClassifier.open(card.fine, device, notices)
        device = fine.strided.device
        coarser = WindowClassifier.open(card.coarser, device, notices) if card.coarser else None
        pixels = open_network(card.pixels, device, notices) if card.pixels else None
        return cls(card, fine, coarser, pixels, notices=notices)

    def adjusted(self, quality: str | None = None, step: int | None = None) -> PatchSegmenter:
        return self if step is None else replace(self, step=step)

    @property
    def device(self) -> str:
        return self.fine.strided.device

    @property
    def settings(self) -> dict[str, str | int]:
        return {"step": self.step}

    @property
    def refiner(self) -> Network | None:
        return None  # the matting network learned from the maps of whole-image networks

    def predict(
        self,
        photo: Photo,
        report: Callable[[float], None] = lambda fraction: None,
        notices: list[str] | None = None,
    ) -> list[Crop]:
        notices = self.notices if notices is None else notices
        crop = classify_windows(
            photo,
            self.fine.telling(notices),
            self.coarser.telling(notices) if self.coarser else None,
            self.card.fusion,
            self.step,
            lambda done: report(WINDOWS_SHARE * done),
        )
        classify = self.pixels.telling(notices).run if self.pixels else None
        return [postprocess(crop, classify, lambda done: report(WINDOWS_SHARE + (1 - WINDOWS_SHARE) * done))]


def classify_windows(
    photo: Photo,
    fine: WindowClassifier,
    coarser: WindowClassifier | None,
    fusion: tuple[float, float, float],
    step: int,
    report: Callable[[float], None] = lambda fraction: None,
) -> Crop:
    """The whole photo at the classifier's working scale, and what the windows say of each of its pixels.

    coarser: where there is one, windows of a smaller copy of the photo say what surrounds a place, and the log odds of
    both are added up; fusion: how, see `fuse_log_odds`. step: pixels of the working scale between windows, 1…35;
    between them, bilinear. report: called with the fraction done, 0…1. Raises as `dense_map` does.
    """
    size = proxy_size(photo.width, photo.height, fine.card.long_side, 1)
    proxy = make_proxy(photo, size)
    share = 1.0 if coarser is None else 1 / (1 + (coarser.card.long_side / fine.card.long_side) ** 2)
    found = interpolate_map(
        dense_map(proxy, fine, step, report=lambda done: report(share * done)), step, size[1], size[0]
    )
    if coarser:
        step_there = step * coarser.card.long_side / fine.card.long_side
        around = context_map(photo, coarser, step_there, size, lambda done: report(share + (1 - share) * done))
        found = fuse_log_odds(found, around, fusion)
    return Crop(Region(0, photo.height, 0, photo.width), proxy, found)


def postprocess(
    crop: Crop,
    classify: Callable[[np.ndarray], np.ndarray] | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> Crop:
    """The map sharpened, smoothed, and decided again where it is uncertain: what measured best.

    classify: the classifier of pixels for the last, as for `reclassify`; without one, that is left out. The table is in
    benchmarks/RESULTS.md. report: called with the fraction done, 0…1.
    """
    report(0.0)
    found = smooth_binomial(sharpen_noisy_or(crop.coarse))
    report(0.0)
    if classify:
        found = reclassify(crop.proxy, found, classify, report)
    report(1.0)
    return replace(crop, coarse=found)


def context_map(
    photo: Photo,
    classifier: WindowClassifier,
    step: float,
    size: tuple[int, int],
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Probability of hair by windows of a smaller copy of the photo, brought to size (width, height), float32.

    classifier: for that copy. step: pixels of that copy between windows; rounded, at least 1.
    report: called with the fraction done, 0…1.
    """
    small = proxy_size(photo.width, photo.height, classifier.card.long_side, 1)
    step = max(1, round(step))
    found = dense_map(make_proxy(photo, small), classifier, step, report=report)
    found = interpolate_map(found, step, small[1], small[0])
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
