"""Proxy photo -> hair probability, by the whole-image network."""

from __future__ import annotations

import numpy as np

from .errors import ModelError
from .models import REPAIR
from .session import Session


def segment(proxy: np.ndarray, session: Session) -> np.ndarray:
    """Hair probability of a working-scale photo.

    proxy: (h, w, 3) float32 RGB, 0…1, h and w multiples of the model card's `multiple`.
    Returns (h, w) float32 in 0…1.

    Raises ModelError if the model's output is not a map of that size, or not finite.

    Method: one pass of a fully convolutional network (Long et al. 2015) with a U-shaped decoder
    (Ronneberger et al. 2015).
    """
    card = session.card
    x = ((proxy - card.mean) * card.scale).astype(np.float32)
    p = session.run(np.ascontiguousarray(x.transpose(2, 0, 1)[None]))
    if p.shape != (1, 1, *proxy.shape[:2]) or not np.isfinite(p).all():
        raise ModelError(f"The model {card.name} gave no usable probability map: {REPAIR}")
    return np.clip(p[0, 0], 0, 1).astype(np.float32)
