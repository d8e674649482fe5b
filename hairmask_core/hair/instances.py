"""The hair of several people in one photo -> whose hair each pixel is, so that each can get a color of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..options import MOST_PEOPLE
from ..photo.pixels import Photo, bounded, check_map, from_float
from ..photo.proxy import make_proxy, resize_area
from ..photo.strips import row_strips
from .tone import Hair, HairTone, measure_tone, sample_photo, sampling_step

WORKING_SIDE = 384  # pixels of the photo's long side, where it is decided whose hair is whose
HAIR_PROBABILITY = 0.5  # from which a pixel counts as hair there
DIP = 0.15  # depth of a dip in the outline between two crowns, by their distance, from which they are two heads
APART = 0.3  # distance between two crowns at least, by the square root of the hair's area: curls and partings dip too
UNSURE = 0.15  # of the crowns' distance: so near to the dip, the photo's own edges decide
SCRAP = 0.3  # of a head's hair: a piece with less, and nearer than the head is large, belongs to it
NEGLIGIBLE = 0.05  # probability: where limits leave no more than this of a head, it is not meant
SPECK = 0.01  # of the largest head's hair: a piece with less is no head, wherever it is


@dataclass(frozen=True)
class HairInstances:
    """Whose hair it is. labels: (H, W) uint8, the person whom a pixel would belong to, 1 … n from left to right, on
    every pixel. tones: of each one's hair, n of them."""

    labels: np.ndarray
    tones: tuple[HairTone, ...]

    def hair_of(self, number: int, everybodys: Hair) -> Hair:
        """The hair of person `number`, 1 … n, out of everybody's. All people's mattes sum to the whole matte."""
        matte = np.where(self.labels == number, everybodys.matte, np.float32(0))
        return replace(everybodys, matte=matte, tone=self.tones[number - 1])


@dataclass(frozen=True)
class HairPart:
    """Hair that gets a layer of its own.

    number: whose it is, 1 … n from left to right, 0 for everybody's. hair: all of it, with its own tone.
    matte: (H, W) float32, 0…1, how much of it shows: what the limits leave.
    """

    number: int
    hair: Hair
    matte: np.ndarray


def find_instances(
    photo: Photo, hair: Hair, most: int = MOST_PEOPLE, report: Callable[[float], None] = lambda fraction: None
) -> HairInstances:
    """Tell the heads of hair in a photo apart.

    most: heads told apart at most, 1 … 255; of more, the smallest count to their neighbors. report: called with the
    fraction done, 0…1; may raise to stop.
    Where there is one head, or no hair, everything belongs to person 1.

    Method: pieces of hair that do not touch are heads of their own, but for small ones near a large one (strands, a
    ponytail). Heads that touch have a crown each, with a dip in the hair's outline between them; along the dip the
    border is that of a watershed (Meyer 1992) on the photo's hair. So heads are taken to be upright, side by side.
    """
    scale = WORKING_SIDE / max(photo.width, photo.height)
    width, height = (max(1, round(side * min(1.0, scale))) for side in (photo.width, photo.height))
    size = (width, height)
    p = resize_area(hair.matte, size)
    labels = grow_markers(find_markers(p >= HAIR_PROBABILITY, most), p, make_proxy(photo, size))
    labels = enlarge_labels(labels, photo.width, photo.height, report)
    rgb, matte = sample_photo(photo, hair.matte)
    step = sampling_step(hair.matte.size)
    whose = labels[::step, ::step]
    tones = (
        measure_tone(rgb, matte * (whose == number), hair.tone.light) for number in range(1, int(labels.max()) + 1)
    )
    return HairInstances(labels, tuple(tones))


def divide_hair(
    hair: Hair, instances: HairInstances | None = None, limits: Iterable[np.ndarray] = ()
) -> Iterator[HairPart]:
    """The parts of the hair that get a layer each: everybody's, or with `instances` each one's, from left to right.

    limits: (H, W) float32 each, see `limit_matte`; gone through once for each part, so no iterator.
    People of whom the limits leave nothing over are left out, unless that is so of all: then everybody's is the part.
    Raises ValueError for limits of another size or type.
    """
    nobody = True
    everyone = range(1, len(instances.tones) + 1) if instances else ()
    for number in everyone:
        assert instances
        own = instances.hair_of(number, hair)
        matte = limit_matte(own.matte, limits)
        if matte.max() > NEGLIGIBLE:
            nobody = False
            yield HairPart(number, own, matte)
    if nobody:
        yield HairPart(0, hair, limit_matte(hair.matte, limits))


def limit_matte(matte: np.ndarray, limits: Iterable[np.ndarray]) -> np.ndarray:
    """The matte times each limit: a feathered selection, a layer's own mask.

    matte: (H, W) float32, 0…1. limits: (H, W) float32 each; values outside of 0…1 count as 0 or 1, NaN as 0.
    Returns (H, W) float32, 0…1. Raises ValueError for limits of another size or type.
    """
    for limit in limits:
        check_map(limit, matte.shape, np.float32)
        matte = matte * bounded(limit)
    return matte


def find_markers(hair: np.ndarray, most: int = MOST_PEOPLE) -> np.ndarray:
    """Sure pixels of each instance: (h, w) int32, 1 … n from left to right, 0 where it is unsure or no hair.

    hair: (h, w) bool, at working scale.
    """
    count, pieces = cv2.connectedComponents(hair.astype(np.uint8), connectivity=8)
    sizes = np.bincount(pieces.ravel(), minlength=count)
    largest = sizes[1:].max(initial=0)
    parts = [part for n in range(1, count) if sizes[n] > SPECK * largest for part in split_at_dips(pieces == n)]
    instances = join_parts(sorted(parts, key=np.count_nonzero, reverse=True), most)
    instances.sort(key=lambda instance: np.nonzero(instance)[1].mean())
    found = np.zeros(hair.shape, np.int32)
    for number, instance in enumerate(instances, 1):
        found[instance] = number
    return found


def split_at_dips(piece: np.ndarray) -> list[np.ndarray]:
    """A connected piece of hair as one head, or as several where its outline dips between their crowns.

    piece: (h, w) bool. Returns such arrays; near the dips, pixels may be in none of them.
    """
    columns = np.flatnonzero(piece.any(axis=0))
    top = piece[:, columns].argmax(axis=0)  # the outline as seen from above
    highest_left, highest_right = np.minimum.accumulate(top), np.minimum.accumulate(top[::-1])[::-1]
    depth = top - np.maximum(highest_left, highest_right)
    dip = int(depth.argmax())
    if depth[dip] == 0:
        return [piece]
    left = dip - int(top[dip::-1].argmin())  # the crowns
    right = dip + int(top[dip:].argmin())
    if depth[dip] < DIP * (right - left) or right - left < APART * np.count_nonzero(piece) ** 0.5:
        return [piece]
    x, unsure = np.arange(piece.shape[1]) - columns[dip], UNSURE * (right - left)
    sides = [piece & (x < -unsure), piece & (x > unsure)]
    return [part for side in sides if side.any() for part in split_at_dips(side)]


def join_parts(parts: list[np.ndarray], most: int) -> list[np.ndarray]:
    """The instances that parts of hair make up: each small part joins a large one near it.

    parts: (h, w) bool arrays, the largest first. Returns `most` such arrays at most, also the largest first.
    """
    instances: list[np.ndarray] = []
    cores: list[np.ndarray] = []
    for part in parts:
        size = np.count_nonzero(part)
        gaps = [cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 3)[part].min() for core in cores]
        near = [
            i
            for i, core in enumerate(cores)
            if size < SCRAP * np.count_nonzero(core) and gaps[i] < np.count_nonzero(core) ** 0.5
        ]
        if len(instances) == most:
            near = list(range(len(instances)))
        if near:
            nearest = min(near, key=lambda i: gaps[i])
            instances[nearest] = instances[nearest] | part
        else:
            instances.append(part)
            cores.append(part)
    return instances


def grow_markers(markers: np.ndarray, p: np.ndarray, proxy: np.ndarray) -> np.ndarray:
    """The markers grown over the whole picture: (h, w) uint8, 1 … n; in hair along its edges, else to the nearest.

    markers: see `find_markers`. p: (h, w) float32 hair probability. proxy: (h, w, 3) float32 RGB; both 0…1.
    """
    if markers.max() < 2:
        return np.ones(markers.shape, np.uint8)
    grown = cv2.watershed(from_float(proxy * p[..., None], np.uint8), markers.copy())
    owned = (grown > 0) & (p >= HAIR_PROBABILITY)  # a watershed leaves lines between the heads, and the picture's rim
    _, nearest = cv2.distanceTransformWithLabels(
        (~owned).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(nearest.max()) + 1, np.uint8)
    owner[nearest[owned]] = grown[owned]
    return owner[nearest]


def enlarge_labels(
    labels: np.ndarray, width: int, height: int, report: Callable[[float], None] = lambda fraction: None
) -> np.ndarray:
    """Labels at the photo's size, with smooth borders: each pixel gets the label that is strongest there.

    labels: (h, w) uint8, 1 … n. Returns (height, width) uint8.
    """
    count = int(labels.max())
    out = np.ones((height, width), np.uint8)
    if count < 2:
        return out
    h, w = labels.shape
    shares = [cv2.GaussianBlur((labels == number).astype(np.float32), (0, 0), 1) for number in range(1, count + 1)]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for rows in row_strips(height, width):
        # Where the middle of a pixel of the photo lies in the small map.
        place = np.array([[w / width, 0, w / width / 2 - 0.5], [0, h / height, (rows.start + 0.5) * h / height - 0.5]])
        size = (width, rows.stop - rows.start)
        best = cv2.warpAffine(shares[0], place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for number, share in enumerate(shares[1:], 2):
            here = cv2.warpAffine(share, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            stronger = here > best
            out[rows][stronger] = number
            np.maximum(best, here, out=best)
        report(rows.stop / height)
    return out
