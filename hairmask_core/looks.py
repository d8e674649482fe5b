"""Photo -> the places where hair is, each as the network saw it.

Hair is looked for twice: a glance at the whole photo finds where hair is, then each such place is looked at
closely, so that a head in a full-body photo is seen as large as in a portrait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .image import Photo, make_proxy, proxy_size
from .regions import Region, find_regions, grow
from .segment import segment
from .session import Session

# A place is enlarged this much at most before the network sees it: there is no more to see in it.
ENLARGEMENT = 4
SMALL = 0.15  # of the photo's long side; where all regions are smaller, a closer glance may find more of them
GROWTHS = 2  # how often a region may grow when hair reaches its edge


@dataclass(frozen=True)
class Quality:
    """How closely to look; working scales are multiples of the model's own.

    glance: working scale of the first look. closer_glance: of one more where that shows no hair, or only heads so
    small that there may be others too small for it, and the photo is larger than that. looks: working scale of each
    look at a place, and whether the mirror image is looked at; they are averaged. Two views of one place err less
    than one, and the glance was no mirrored one.
    most: looks at all places together; where there are many places, each gets fewer, but at least one.
    strands: the outline is refined by the matting network, strand by strand, where the model's card names one.
    """

    glance: float
    closer_glance: float
    looks: tuple[tuple[float, bool], ...]
    most: int
    strands: bool


QUALITIES = {
    "fast": Quality(1.4, 1.8, ((0.8, False), (0.8, True), (1.0, True)), 4, False),
    "best": Quality(
        1.4, 3.0, tuple((scale, mirrored) for scale in (0.8, 1.0, 1.2) for mirrored in (False, True)), 20, True
    ),
}


@dataclass(frozen=True)
class Look:
    """One place of a photo as the network saw it.

    proxy: (h, w, 3) float32 RGB, 0…1, the region at working scale. coarse: (h, w) float32 hair probability.
    """

    region: Region
    proxy: np.ndarray
    coarse: np.ndarray


def look_closely(photo: Photo, session: Session, quality: Quality, report: Callable[[float], None]) -> list[Look]:
    """A glance at the whole photo, then a look at every region in which it suspects hair.

    Where it suspects none, the glance itself is the only look. report: called with the fraction done, 0…1.
    """
    whole = Region(0, photo.height, 0, photo.width)
    glance = look_at(photo, whole, session, (quality.glance, False))
    regions = find_regions(glance.coarse, photo.height, photo.width)
    largest = max((region.long_side for region in regions), default=0)
    if largest < SMALL * whole.long_side and whole.long_side > quality.closer_glance * session.card.long_side:
        glance = look_at(photo, whole, session, (quality.closer_glance, False))
        regions = find_regions(glance.coarse, photo.height, photo.width)
    looks, views = [], quality.looks[: max(1, quality.most // max(1, len(regions)))]
    for i, region in enumerate(regions):
        report((i + 1) / (len(regions) + 1))
        for _ in range(GROWTHS + 1):
            look = look_at(photo, region, session, *views)
            larger = grow(region, look.coarse, photo.height, photo.width)
            if larger == region:
                break
            region = larger
        looks.append(add_glance(look, glance, len(views)))
    return looks or [glance]


def look_at(photo: Photo, region: Region, session: Session, *views: tuple[float, bool]) -> Look:
    """The network's map of one region, averaged over some views of it.

    views: the region's longer side in multiples of the model's working scale, and whether the network is shown the mirror
    image, whose map is turned back.
    """
    proxies = {scale: show(photo, region, session, scale) for scale, _ in views}
    looks = []
    for scale, mirrored in views:
        proxy = proxies[scale]
        coarse = segment(proxy[:, ::-1], session)[:, ::-1] if mirrored else segment(proxy, session)
        looks.append(Look(region, proxy, coarse))
    return average(looks)


def show(photo: Photo, region: Region, session: Session, scale: float) -> np.ndarray:
    """One region of the photo as a proxy, see `image.make_proxy`, at `scale` times the model's working scale."""
    rows, columns = region.slices
    alpha = None if photo.alpha is None else photo.alpha[rows, columns]
    long_side = round(min(scale * session.card.long_side, ENLARGEMENT * region.long_side))
    size = proxy_size(region.width, region.height, long_side, session.card.multiple)
    return make_proxy(Photo(photo.rgb[rows, columns], alpha), size)


def average(looks: list[Look]) -> Look:
    """Looks at one region as one, at the largest scale among them."""
    largest = max(looks, key=lambda look: look.coarse.size)
    size = largest.coarse.shape[::-1]
    maps = [cv2.resize(look.coarse, size, interpolation=cv2.INTER_LINEAR) for look in looks]
    return replace(largest, coarse=np.mean(maps, axis=0))


def add_glance(look: Look, glance: Look, views: int) -> Look:
    """The look averaged with what the glance saw at the same place.

    views: how many looks `look` is made of. The glance counts as one more if it saw the place as large as they did,
    and for less the smaller it saw it.
    """
    height, width = look.coarse.shape
    x_step = look.region.width / width * glance.coarse.shape[1] / glance.region.width
    y_step = look.region.height / height * glance.coarse.shape[0] / glance.region.height
    x_start = look.region.left * glance.coarse.shape[1] / glance.region.width + (x_step - 1) / 2
    y_start = look.region.top * glance.coarse.shape[0] / glance.region.height + (y_step - 1) / 2
    to_glance = np.array([[x_step, 0, x_start], [0, y_step, y_start]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(glance.coarse, to_glance, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    weight = min(1.0, x_step)
    return replace(look, coarse=look.coarse + weight / (views + weight) * (there - look.coarse))
