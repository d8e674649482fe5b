"""Photo -> hair probability by the whole-image network, by multi-scale inference.

Hair is looked for twice: an overview pass over the whole photo finds where hair is, then each such region is cropped
and segmented in several views (scales, mirror images), so that a head in a full-body photo is seen as large as in a
portrait. A strip, a panorama for example, is looked at part by part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ..errors import ModelError
from ..inference.cards import REPAIR, WholeImageCard
from ..inference.network import Network, open_network
from ..options import Quality
from ..photo.pixels import Photo
from ..photo.proxy import make_proxy, proxy_size
from .regions import ELONGATED, SMALLEST, SUSPICION, Crop, Region, find_regions, grow_region

# A region is enlarged this much at most before the network sees it: there is no more to see in it.
MOST_ENLARGEMENT = 4
SMALL_REGION = 0.15  # of the photo's long side; where all regions are smaller, a finer overview may find more of them
STRIP_OVERVIEW = 3.0  # working scale of a strip's finer overview: people in a panorama are far away
SURE = 0.92  # mean probability of the hair that is suspected from which a photo is taken to stand upright
TURNED_SCALE = 0.8  # working scale at which the others are looked at turned
SURER = 0.08  # by how much `certainty` must be higher than upright …
SURE_OF_TURNED = 0.8  # … and how high at least, of a network that knows hair alone
GROWTHS = 2  # how often a region may grow when hair reaches its edge


@dataclass(frozen=True)
class Preset:
    """How many passes, at which scales; working scales are multiples of the model's own.

    overview: working scale of the overview pass. finer_overview: of one more where that shows no hair, or only heads so
    small that there may be others too small for it, and the photo is larger than that. views: working scale of each
    view of a crop, and whether it is mirrored; they are averaged (test-time augmentation). Two views of one crop err
    less than one, and the overview was no mirrored one.
    most_views: of all crops together; where there are many crops, each gets fewer, but at least one.
    strands: the outline is refined by the matting network, strand by strand, where the model's card names one.
    """

    overview: float
    finer_overview: float
    views: tuple[tuple[float, bool], ...]
    most_views: int
    strands: bool


# What users may ask for.
QUALITIES = {
    Quality.FAST.value: Preset(1.4, 1.8, ((0.8, False), (0.8, True), (1.0, True)), 4, False),
    Quality.BEST.value: Preset(
        1.4, 3.0, tuple((scale, mirrored) for scale in (0.8, 1.0, 1.2) for mirrored in (False, True)), 20, True
    ),
}


@dataclass(frozen=True)
class WholeImageSegmenter:
    """A whole-image network: it sees people as a whole. See `segmenter.Segmenter`.

    network: the model's own. matting: the network that refines its map's outline, if the model's card names one.
    quality: key of QUALITIES; ValueError for any other.
    """

    card: WholeImageCard
    network: Network
    matting: Network | None = None
    quality: str = Quality.FAST.value
    notices: list[str] = field(default_factory=list)

    def __post_init__(self):
        if self.quality not in QUALITIES:
            raise ValueError(f"There is no quality {self.quality!r}: it must be one of {', '.join(QUALITIES)}.")

    @classmethod
    def open(cls, card: WholeImageCard, device: str) -> WholeImageSegmenter:
        """Load the model's networks; see `open_network`."""
        notices: list[str] = []
        network = open_network(card.network, device, notices)
        matting = open_network(card.matting.network, network.device, notices) if card.matting else None
        return cls(card, network, matting, notices=notices)

    def adjusted(self, quality: str | None = None, step: int | None = None) -> WholeImageSegmenter:
        return self if quality is None else replace(self, quality=getattr(quality, "value", quality))

    @property
    def device(self) -> str:
        return self.network.device

    @property
    def settings(self) -> dict[str, str | int]:
        return {"quality": self.quality}

    @property
    def refiner(self) -> Network | None:
        return self.matting if QUALITIES[self.quality].strands else None

    def predict(
        self,
        photo: Photo,
        report: Callable[[float], None] = lambda fraction: None,
        notices: list[str] | None = None,
    ) -> list[Crop]:
        network = self.network.telling(self.notices if notices is None else notices)
        return segment_at_scales(photo, network, QUALITIES[self.quality], report)


def segment_at_scales(photo: Photo, network: Network, preset: Preset, report: Callable[[float], None]) -> list[Crop]:
    """An overview pass over the whole photo, then a crop of every region in which it suspects hair.

    Where it suspects none, the overview itself is the only crop. Where it is unsure, and clearly surer of the photo turned,
    on its side or upside down, that is looked at. report: called with the fraction done, 0…1.
    """
    overview = segment_overview(photo, network, preset)
    turns = 0 if mean_suspected(overview.coarse) >= SURE else surest_turn(photo, network)
    if turns == 0:
        return segment_regions(photo, overview, network, preset, report)
    turned = turn_photo(photo, turns)
    crops = segment_regions(turned, segment_overview(turned, network, preset), network, preset, report)
    return [turn_crop(crop, -turns, turned.height, turned.width) for crop in crops]


def segment_overview(photo: Photo, network: Network, preset: Preset) -> Crop:
    """The overview pass."""
    return segment_crop(photo, Region(0, photo.height, 0, photo.width), network, (preset.overview, False))


def segment_regions(
    photo: Photo, overview: Crop, network: Network, preset: Preset, report: Callable[[float], None]
) -> list[Crop]:
    """A crop of every region in which the overview suspects hair; see `segment_at_scales`."""
    whole = overview.region
    finer = STRIP_OVERVIEW if whole.parts > 1 else preset.finer_overview
    regions = find_regions(overview.coarse, photo.height, photo.width)
    largest, seen = max((region.long_side for region in regions), default=0), whole.long_side / whole.parts
    if largest < SMALL_REGION * seen and seen > finer * network.card.long_side:
        overview = segment_crop(photo, whole, network, (finer, False))
        regions = find_regions(overview.coarse, photo.height, photo.width)
    crops, views = [], preset.views[: max(1, int(preset.most_views * whole.parts) // max(1, len(regions)))]
    for i, region in enumerate(regions):
        report((i + 1) / (len(regions) + 1))
        for _ in range(GROWTHS + 1):
            crop = segment_crop(photo, region, network, *views)
            larger = grow_region(region, crop.coarse, photo.height, photo.width)
            if larger == region:
                break
            region = larger
        crops.append(add_overview(crop, overview, len(views)))
    return crops or [overview]


def mean_suspected(coarse: np.ndarray) -> float:
    """The mean probability of the hair that is suspected, 0…1; 0 where there is none."""
    suspected = coarse[coarse >= SUSPICION]
    return float(suspected.mean()) if suspected.size >= SMALLEST else 0.0


def surest_turn(photo: Photo, network: Network) -> int:
    """By how many quarter turns, counterclockwise, the photo must be turned for the network to be clearly surer; mostly 0.

    Where it can, it is asked how sure it is of all that is in the photo: upside down, a network may be as sure of a hat
    that it is hair.
    """
    maps = []
    for turns in range(4):
        turned = turn_photo(photo, turns)
        proxy = crop_proxy(turned, Region(0, turned.height, 0, turned.width), network, TURNED_SCALE)
        maps.append(class_probabilities(proxy, network))
    if len(maps[0]) > 1:
        found, least = [certainty(p) for p in maps], 0.0
    else:
        found, least = [mean_suspected(p[0]) for p in maps], SURE_OF_TURNED
    best = int(np.argmax(found))
    return best if found[best] >= max(found[0] + SURER, least) else 0


def certainty(p: np.ndarray) -> float:
    """How sure a network is of what it sees: 1 less the mean entropy of its pixels (Shannon 1948), in units of the highest.

    p: (classes, h, w) float32 probabilities, of two classes at least. Returns 0…1.
    """
    entropy = -(p * np.log(np.maximum(p, 1e-9))).sum(0)
    return 1 - float(entropy.mean()) / float(np.log(len(p)))


def turn_photo(photo: Photo, turns: int) -> Photo:
    """The photo turned by so many quarters, counterclockwise: the same pixels in memory, seen otherwise."""
    alpha = None if photo.alpha is None else np.rot90(photo.alpha, turns)
    return Photo(np.rot90(photo.rgb, turns), alpha)


def turn_crop(crop: Crop, turns: int, height: int, width: int) -> Crop:
    """A crop of a photo that is turned by so many quarters, counterclockwise. height, width: of the photo before."""
    region = crop.region
    for _ in range(turns % 4):
        region = Region(width - region.right, width - region.left, region.top, region.bottom)
        height, width = width, height
    return Crop(region, np.rot90(crop.proxy, turns), np.rot90(crop.coarse, turns))


def segment_crop(photo: Photo, region: Region, network: Network, *views: tuple[float, bool]) -> Crop:
    """The network's map of one region, averaged over some views of it.

    views: the region's longer side in multiples of the model's working scale, and whether the network is shown the mirror
    image, whose map is turned back.
    """
    proxies = {scale: crop_proxy(photo, region, network, scale) for scale, _ in views}
    crops = []
    for scale, mirrored in views:
        proxy, length = proxies[scale], round(scale * network.card.long_side)
        flip = slice(None, None, -1 if mirrored else 1)
        crops.append(Crop(region, proxy, segment_in_parts(proxy[:, flip], length, network)[:, flip]))
    return average_crops(crops)


def segment_in_parts(proxy: np.ndarray, length: int, network: Network) -> np.ndarray:
    """`segment`, of a strip by parts of about that length, pixels, which overlap by half of their shorter side at least.

    proxy: (h, w, 3) float32. Where parts overlap, each counts the less the nearer its end is.
    """
    axis, multiple = int(proxy.shape[1] > proxy.shape[0]), network.card.multiple
    length = max(multiple, length // multiple * multiple)
    whole, across = proxy.shape[axis], proxy.shape[1 - axis]
    if whole <= max(length, ELONGATED * across):
        return segment(proxy, network)
    step = max(multiple, length - across // 2)
    count = 1 + -(-(whole - length) // step)
    total, weights = np.zeros(proxy.shape[:2], np.float32), np.zeros(whole, np.float32)
    for start in np.linspace(0, whole - length, count).astype(int):
        part = slice(start, start + length)
        here = (slice(None), part) if axis else (part,)
        ramp = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)).astype(np.float32)
        total[here] += segment(np.ascontiguousarray(proxy[here]), network) * (ramp if axis else ramp[:, None])
        weights[part] += ramp
    return total / (weights if axis else weights[:, None])


def crop_proxy(photo: Photo, region: Region, network: Network, scale: float) -> np.ndarray:
    """One region of the photo as a proxy, see `make_proxy`, at `scale` times the model's working scale; of a strip, each
    of its parts is at that scale.
    """
    rows, columns = region.slices
    alpha = None if photo.alpha is None else photo.alpha[rows, columns]
    long_side = round(min(scale * network.card.long_side * region.parts, MOST_ENLARGEMENT * region.long_side))
    size = proxy_size(region.width, region.height, long_side, network.card.multiple)
    return make_proxy(Photo(photo.rgb[rows, columns], alpha), size)


def average_crops(crops: list[Crop]) -> Crop:
    """Crops of one region as one, at the largest scale among them."""
    largest = max(crops, key=lambda crop: crop.coarse.size)
    size = largest.coarse.shape[::-1]
    maps = [cv2.resize(crop.coarse, size, interpolation=cv2.INTER_LINEAR) for crop in crops]
    return replace(largest, coarse=np.mean(maps, axis=0))


def add_overview(crop: Crop, overview: Crop, views: int) -> Crop:
    """The crop averaged with what the overview shows of its region.

    views: how many views `crop` is made of. The overview counts as one more if it saw the region as large as they did,
    and for less the smaller it saw it.
    """
    height, width = crop.coarse.shape
    x_step = crop.region.width / width * overview.coarse.shape[1] / overview.region.width
    y_step = crop.region.height / height * overview.coarse.shape[0] / overview.region.height
    x_start = crop.region.left * overview.coarse.shape[1] / overview.region.width + (x_step - 1) / 2
    y_start = crop.region.top * overview.coarse.shape[0] / overview.region.height + (y_step - 1) / 2
    to_overview = np.array([[x_step, 0, x_start], [0, y_step, y_start]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(overview.coarse, to_overview, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    weight = min(1.0, x_step)
    return replace(crop, coarse=crop.coarse + weight / (views + weight) * (there - crop.coarse))


def segment(proxy: np.ndarray, network: Network) -> np.ndarray:
    """Hair probability of a working-scale photo, (h, w) float32 in 0…1; see `class_probabilities`."""
    return class_probabilities(proxy, network)[0]


def class_probabilities(proxy: np.ndarray, network: Network) -> np.ndarray:
    """What the network sees in a working-scale photo, pixel by pixel.

    proxy: (h, w, 3) float32 RGB, 0…1, h and w multiples of the model card's `multiple`.
    Returns (classes, h, w) float32 in 0…1; the first class is hair, and may be the only one.

    Raises ModelError if the model's output are no maps of that size, or not finite.

    Method: one pass of a fully convolutional network (Long et al. 2015) with a U-shaped decoder
    (Ronneberger et al. 2015).
    """
    card = network.card
    x = ((proxy - card.mean) * card.scale).astype(np.float32)
    p = network.run(np.ascontiguousarray(x.transpose(2, 0, 1)[None]))
    if p.ndim != 4 or p.shape != (1, max(1, p.shape[1]), *proxy.shape[:2]) or not np.isfinite(p).all():
        raise ModelError(f"The model {card.model} gave no usable probability map: {REPAIR}")
    return np.clip(p[0], 0, 1).astype(np.float32)
