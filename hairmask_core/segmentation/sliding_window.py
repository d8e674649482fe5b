"""Patch classifier -> probability map, with the very numbers that a sliding window gives, but affordable.

The classifier decides for a 35x35 window whether its center pixel is hair. It has no padding inside, so it may be run
over a whole piece of a photo; neighbouring windows then share what they have in common. Three ways lead to the same
numbers, and `dense_map` takes the one that costs least at the requested step:

- *dilated*: strides taken out, what follows them dilated: every pixel's window (Giusti et al. 2013, "Fast image
  scanning with deep max-pooling convolutional neural networks"; Long et al. 2015);
- *strided*: the network as it is over the whole piece: every second window (Sermanet et al. 2014, "OverFeat");
- *windows*: cut one by one, where they hardly overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import ModelError
from ..inference.cards import REPAIR, NetworkCard, WindowCard
from ..inference.network import Network, open_network
from ..options import LARGEST_STEP

SLIDING_TILE = 80  # pixels; a tile's time is how long cancelling takes, and its size bounds memory
BATCH = 64  # windows at a time


@dataclass(frozen=True)
class WindowClassifier:
    """A patch classifier at one working scale: a `WindowCard`'s networks, and what each way of running them costs."""

    strided: Network
    dilated: Network
    multiplications: dict[str, float]

    @classmethod
    def open(cls, card: WindowCard, device: str, notices: list[str]) -> WindowClassifier:
        """Load both networks; see `open_network`."""
        strided = open_network(card.strided, device, notices)
        return cls(strided, open_network(card.dilated, strided.device, notices), card.multiplications)

    @property
    def card(self) -> NetworkCard:
        return self.strided.card

    def telling(self, notices: list[str]) -> WindowClassifier:
        """The same, its sentences for the user going to another list; see `Network.telling`."""
        return WindowClassifier(self.strided.telling(notices), self.dilated.telling(notices), self.multiplications)


def dense_map(
    photo: np.ndarray,
    classifier: WindowClassifier,
    step: int = 1,
    tile: int = SLIDING_TILE,
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Probability of hair of the windows that are centered on every `step`-th pixel.

    photo: (h, w, 3) float32 RGB, 0…1, of any size; beyond its edges it is continued by reflection. step: 1…35 pixels.
    tile: pixels done at a time, along each side; changes time and memory only.
    report: called with the fraction done, 0…1, after each tile; may raise to stop the work.
    Returns (ceil(h / step), ceil(w / step)) float32 in 0…1; element (i, j) belongs to pixel (i * step, j * step).

    Raises ValueError for a step outside 1…35, ModelError if the model gives no usable numbers.
    """
    if not 1 <= step <= LARGEST_STEP:
        raise ValueError(f"a step of {step} pixels is not possible: give 1 to {LARGEST_STEP}")
    card = classifier.card
    height, width = photo.shape[:2]
    x = _continue_and_scale(photo, card)
    run = {"dilated": _run_dilated, "strided": _run_strided, "windows": _run_windows}[cheapest_way(classifier, step)]

    found = np.empty((-(-height // step), -(-width // step)), np.float32)
    side = max(1, tile // step)  # of a tile, in windows
    corners = [(i, j) for i in range(0, found.shape[0], side) for j in range(0, found.shape[1], side)]
    for done, (i, j) in enumerate(corners, 1):
        out = found[i : i + side, j : j + side]
        rows, columns = (
            slice(start * step, (start + count - 1) * step + card.window) for start, count in zip((i, j), out.shape)
        )
        out[:] = run(x[:, rows, columns], classifier, step)
        report(done / len(corners))
    if not np.isfinite(found).all():
        raise ModelError(f"The model {card.model} gave no usable probabilities: {REPAIR}")
    return np.clip(found, 0, 1, out=found)


def slide_window(photo: np.ndarray, classifier: WindowClassifier, step: int, batch: int = BATCH) -> np.ndarray:
    """What `dense_map` gives, by cutting out and classifying every window: the measure of its speed and exactness.

    batch: windows at a time.
    """
    return _run_windows(_continue_and_scale(photo, classifier.card), classifier, step, batch)


def _continue_and_scale(photo: np.ndarray, card: NetworkCard) -> np.ndarray:
    """(3, h + window - 1, w + window - 1) as the network wants it."""
    margin = card.window // 2
    x = cv2.copyMakeBorder(photo, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(((x - card.mean) * card.scale).astype(np.float32).transpose(2, 0, 1))


def cheapest_way(classifier: WindowClassifier, step: int) -> str:
    """Which of "dilated", "strided" and "windows" needs the fewest multiplications at that step."""
    cost = classifier.multiplications  # of a window, and of one pixel of a large piece
    ways = {"windows": cost["window"] / step**2, "dilated": cost["dilated"]}
    if step % classifier.card.stride == 0:
        ways["strided"] = cost["strided"]
    return min(ways, key=lambda way: ways[way])


def _run_dilated(x: np.ndarray, classifier: WindowClassifier, step: int) -> np.ndarray:
    return classifier.dilated.run(x[None])[0, 0, ::step, ::step]


def _run_strided(x: np.ndarray, classifier: WindowClassifier, step: int) -> np.ndarray:
    every = step // classifier.card.stride
    return classifier.strided.run(x[None])[0, 0, ::every, ::every]


def _run_windows(x: np.ndarray, classifier: WindowClassifier, step: int, batch: int = BATCH) -> np.ndarray:
    side = classifier.card.window
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))[:, ::step, ::step]
    rows, columns = windows.shape[1:3]
    found = np.empty(rows * columns, np.float32)
    for start in range(0, len(found), batch):
        here = np.unravel_index(np.arange(start, min(start + batch, len(found))), (rows, columns))
        batched = windows[:, here[0], here[1]].swapaxes(0, 1).copy()
        found[start : start + batch] = classifier.strided.run(batched)[:, 0, 0, 0]
    return found.reshape(rows, columns)


def interpolate_map(found: np.ndarray, step: int, height: int, width: int) -> np.ndarray:
    """A map of every `step`-th pixel on every pixel, bilinearly: (height, width) float32.

    found: as `dense_map` returns it. Its elements keep their places and values; beyond the last ones they go on.
    """
    for length in (height, width):  # rows first; the transpose brings columns to the front, then back
        place = np.arange(length) / np.float32(step)
        before = np.minimum(place.astype(int), len(found) - 1)
        after = np.minimum(before + 1, len(found) - 1)
        weight = (place - before)[:, None]
        found = (found[before] + weight * (found[after] - found[before])).T
    return np.ascontiguousarray(found, np.float32)
