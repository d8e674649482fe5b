"""Photo -> hair mask -> recolored photo, with progress and cancellation: segment, refine, measure, recolor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .color.recolor import recolor_strips
from .color.shades import Shade
from .errors import NoHairError
from .hair.strands import root_to_tip, shades_between
from .hair.tone import Hair, measure_tone, sample_photo, tone_color
from .inference.session import Session
from .matting.upsampling import enlarge_map, refine_outline
from .options import DEFAULT_STEP
from .photo.pixels import Photo
from .segmentation.patch import segment_by_patches
from .segmentation.regions import Crop, feather
from .segmentation.whole_image import QUALITIES, segment_at_scales

# `report(fraction, text)` is called with 0…1 and what is being done, several times a second.
# It may raise (errors.Cancelled) to stop the work; nothing is half-written then.
Report = Callable[[float, str], None]


def no_report(fraction: float, text: str) -> None:
    """For callers that want to hear nothing."""


def no_progress(fraction: float) -> None:
    """The same, where only the fraction is told."""


def find_hair(
    photo: Photo,
    session: Session,
    refine: bool = True,
    quality: str = "fast",
    step: int = DEFAULT_STEP,
    report: Report = no_report,
) -> Hair:
    """Hair probability at the photo's own resolution, and the hair's tone.

    refine: follow the photo's own edges; False gives the network's map, only enlarged.
    quality: key of QUALITIES, for whole-image networks. step: for patch classifiers, see `segmentation.patch`.
    Raises NoHairError for a fully transparent photo, ModelError if the model cannot run, ValueError for another quality
    or step, and whatever `report` raises.
    """
    if quality not in QUALITIES:
        raise ValueError(f"There is no quality {quality!r}: it must be one of {', '.join(QUALITIES)}.")
    crops = segment_photo(photo, session, quality, step, lambda done: report(0.4 * done, "Looking for hair"))
    network = session.matting.run if session.matting and QUALITIES[quality].strands else None
    matte = assemble(photo, crops, refine, network, lambda done: report(0.4 + 0.6 * done, "Refining the outline"))
    share = sum((crop.coarse >= 0.5).mean() * crop.region.area for crop in crops) / matte.size
    return Hair(matte, measure_tone(*sample_photo(photo, matte)), float(share))


def segment_photo(
    photo: Photo,
    session: Session,
    quality: str = "fast",
    step: int = DEFAULT_STEP,
    report: Callable[[float], None] = no_progress,
) -> list[Crop]:
    """The photo as the model saw it, crop by crop; see `find_hair`. report: called with the fraction done, 0…1."""
    report(0.0)
    if photo.alpha is not None and not photo.alpha.any():
        raise NoHairError("The image is empty (fully transparent): choose a layer or photo that shows a person.")
    if session.card.task == "patch":
        return [segment_by_patches(photo, session, step, report)]
    return segment_at_scales(photo, session, QUALITIES[quality], report)


def assemble(
    photo: Photo,
    crops: list[Crop],
    refine: bool = True,
    network: Callable[[np.ndarray], np.ndarray] | None = None,
    report: Callable[[float], None] = no_progress,
) -> np.ndarray:
    """The matte of the whole photo from its crops: (H, W) float32, 0…1; see `find_hair`.

    network: for `refine_outline`.
    """
    matte = np.zeros((photo.height, photo.width), np.float32)
    area, done = sum(crop.region.area for crop in crops), 0
    for crop in crops:
        region, before = crop.region, done / area
        share = region.area / area
        if refine:
            piece = refine_outline(
                photo.rgb[region.slices],
                crop.coarse,
                network,
                lambda part, before=before, share=share: report(before + part * share),
            )
        else:
            piece = enlarge_map(crop.coarse, region.width, region.height)
        here = matte[region.slices]
        np.maximum(here, feather(piece, region, photo.height, photo.width), out=here)
        done += region.area
    report(1.0)
    return matte


def require_hair(hair: Hair) -> None:
    """Raise NoHairError if the photo has none."""
    if not hair.found:
        raise NoHairError(
            "No hair was found in this photo: crop closer to the head, or force the result to paint the mask yourself."
        )


def shade_of_hair(hair: Hair, path: Path) -> Shade:
    """The color of the hair that was found in the photo at `path`, as a shade for other hair.

    Raises NoHairError if there is none.
    """
    if not hair.found:
        raise NoHairError(
            f"No hair was found in {path}, whose color was to be taken: choose a photo that shows the hair from nearer."
        )
    name = f"hair of {path.name}"
    return Shade(name, name, tone_color(hair.tone))


def recolor_photo(
    photo: Photo,
    hair: Hair,
    shade: tuple[float, float, float],
    strength: float = 1.0,
    report: Report = no_report,
    tips: tuple[float, float, float] | None = None,
) -> np.ndarray:
    """The recolored photo on every pixel: (H, W, 3) of the photo's dtype. See `recolor`.

    tips: the shade of the hair's tips, towards which `shade` then changes from the roots on; see `hair.strands`. Both
    sRGB-encoded, each 0…1.
    """
    return np.concatenate(list(paint_strips(photo.rgb, hair, shade, strength, report, tips)))


def paint_strips(
    pixels: np.ndarray,
    hair: Hair,
    shade: tuple[float, float, float],
    strength: float = 1.0,
    report: Report = no_report,
    tips: tuple[float, float, float] | None = None,
    position: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """`recolor_photo` some rows at a time, from top to bottom.

    pixels: (H, W, 3), or (H, W, 4) with alpha, which stays; see `recolor_strips`. position: (H, W) float32,
    0…1, as `root_to_tip` finds it, where it is known already.
    """
    shades, began = [shade], 0.0
    if tips is None:
        position = None
    else:
        if position is None:
            rgb = np.ascontiguousarray(pixels[..., :3])
            position = root_to_tip(rgb, hair.matte, lambda done: report(0.1 * done, "Following the strands"))
        shades, began = shades_between(shade, tips), 0.1
    for rows, strip in recolor_strips(pixels, hair.tone, shades, position, strength):
        yield strip
        report(began + (1 - began) * rows.stop / len(pixels), "Recoloring")
