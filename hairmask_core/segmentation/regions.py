"""Where in a photo to segment a crop of its own: boxes around the hair that the overview pass found."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SUSPICION = 0.3  # probability in the overview from which a place is worth a crop of its own
SMALLEST = 4  # pixels of the overview; less is noise
MARGIN = 0.45  # of the hair's longer side, left around it on every side, so that the face is in view
WHOLE_SHARE = 0.6  # a box with more than this of the photo's area becomes the whole photo
FEATHER = 0.06  # of a region's side, over which its matte fades out at its edge
MOST_REGIONS = (
    8  # crops of one photo; with more heads than that, the nearest share one. Of strips: for each of their parts
)
ELONGATED = 2.5  # longer side by shorter: what is longer is looked at part by part, each no longer than that
MOST_PARTS = 40  # of one region: thinner strips show nobody


@dataclass(frozen=True)
class Region:
    """A box of a photo, in pixels: rows top…bottom and columns left…right, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def long_side(self) -> int:
        return max(self.height, self.width)

    @property
    def parts(self) -> float:
        """How many parts no longer than ELONGATED there are in it: 1 or more."""
        return min(max(1.0, self.long_side / (ELONGATED * min(self.height, self.width))), MOST_PARTS)

    @property
    def area(self) -> int:
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def union(self, other: Region) -> Region:
        return Region(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def overlaps(self, other: Region) -> bool:
        return (
            self.top < other.bottom and other.top < self.bottom and self.left < other.right and other.left < self.right
        )


@dataclass(frozen=True)
class Crop:
    """One region of a photo as the network saw it.

    proxy: (h, w, 3) float32 RGB, 0…1, the region at working scale. coarse: (h, w) float32 hair probability.
    """

    region: Region
    proxy: np.ndarray
    coarse: np.ndarray


def find_regions(overview: np.ndarray, height: int, width: int) -> list[Region]:
    """Boxes of a (height, width) photo that hold all hair of the overview with room around it; none overlap.

    overview: (h, w) float32 hair probability of the whole photo, 0…1, at any scale.
    Returns the boxes from the one with most hair to the one with least; the whole photo as the only one where
    the hair fills much of it; none where there is no hair.
    """
    suspected = (overview >= SUSPICION).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(suspected, connectivity=8)
    y_scale, x_scale = height / overview.shape[0], width / overview.shape[1]
    whole = Region(0, height, 0, width)
    boxes = []
    for left, top, w, h, area in stats[1:count]:
        if area < SMALLEST:
            continue
        room = MARGIN * max(h * y_scale, w * x_scale)
        boxes.append(
            Region(
                max(0, int(top * y_scale - room)),
                min(height, int(np.ceil((top + h) * y_scale + room))),
                max(0, int(left * x_scale - room)),
                min(width, int(np.ceil((left + w) * x_scale + room))),
            )
        )
    boxes = merge_regions(boxes, int(MOST_REGIONS * whole.parts))
    if sum(box.area for box in boxes) > WHOLE_SHARE * whole.area:
        return [whole]
    return sorted(boxes, key=lambda box: -box.area)


def merge_regions(boxes: list[Region], most: int = MOST_REGIONS) -> list[Region]:
    """Join boxes until none overlap and no more than `most` are left, those first whose union adds least."""
    boxes = list(boxes)
    while True:
        pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        if len(boxes) <= most:
            pairs = [(a, b) for a, b in pairs if a.overlaps(b)]
        if not pairs:
            return boxes
        a, b = min(pairs, key=lambda pair: pair[0].union(pair[1]).area - pair[0].area - pair[1].area)
        boxes = [box for box in boxes if box is not a and box is not b] + [a.union(b)]


def grow_region(region: Region, coarse: np.ndarray, height: int, width: int) -> Region:
    """The region, larger on the sides where hair reaches its edge; the same region where none does.

    coarse: (h, w) float32 hair probability of the region, any scale. height, width: of the photo.
    """
    reach = 0.4 * region.long_side
    hair = coarse >= 0.5
    top, bottom, left, right = (edge.mean() > 0.02 for edge in (hair[0], hair[-1], hair[:, 0], hair[:, -1]))
    return Region(
        max(0, round(region.top - reach * top)),
        min(height, round(region.bottom + reach * bottom)),
        max(0, round(region.left - reach * left)),
        min(width, round(region.right + reach * right)),
    )


def feather(matte: np.ndarray, region: Region, height: int, width: int) -> np.ndarray:
    """The region's matte, faded to nothing at those of its edges that are not the photo's.

    matte: (region.height, region.width) float32, changed in place and returned. Faint traces of hair would
    otherwise end in a straight line.
    """
    for axis, (before, after) in enumerate(
        [(region.top > 0, region.bottom < height), (region.left > 0, region.right < width)]
    ):
        length = matte.shape[axis]
        ramp = (np.arange(length, dtype=np.float32) + 1) / max(1, FEATHER * length)
        weights = np.minimum(ramp if before else 1, ramp[::-1] if after else 1)
        if before or after:
            matte *= np.minimum(weights, 1)[:, None] if axis == 0 else np.minimum(weights, 1)
    return matte
