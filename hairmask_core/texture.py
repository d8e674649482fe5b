"""Photo -> hair by its texture: a patch classifier decides for small windows, wherever they lie.

It needs no head and no face in the picture: wigs, extensions, close-ups, strands.
"""

from __future__ import annotations

from collections.abc import Callable

from .dense import dense_map, spread
from .image import Photo, make_proxy, proxy_size
from .looks import Look
from .regions import Region
from .session import Session

STEP = 2  # pixels of the working scale between windows, unless told otherwise


def look_by_texture(photo: Photo, session: Session, step: int, report: Callable[[float], None]) -> Look:
    """The whole photo at the classifier's working scale, and the probability of hair at each of its pixels.

    session: of a patch classifier. step: pixels of that scale between windows, 1…35; between them, bilinear.
    report: called with the fraction done, 0…1. Raises ValueError for another step.
    """
    size = proxy_size(photo.width, photo.height, session.card.long_side, 1)
    proxy = make_proxy(photo, size)
    found = spread(dense_map(proxy, session, step, report=report), step, size[1], size[0])
    return Look(Region(0, photo.height, 0, photo.width), proxy, found)
