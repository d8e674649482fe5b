"""Photo -> hair mask -> recolored photo, with progress and cancellation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .errors import NoHairError
from .image import Photo, bounded, check_map, check_rgb, from_float, strips, to_float
from .looks import QUALITIES, Look, look_closely
from .recolor import HairTone, measure_tone, recolor_strips, tone_color
from .refine import enlarge, refine
from .regions import taper
from .session import Session
from .shades import Shade
from .strands import root_to_tip, shades_between
from .texture import STEP, look_by_texture

# `report(fraction, text)` is called with 0…1 and what is being done, several times a second.
# It may raise (errors.Cancelled) to stop the work; nothing is half-written then.
Report = Callable[[float, str], None]

# Less of the photo than this counts as no hair: a head in the far background is larger.
NO_HAIR_SHARE = 0.0005
TONE_PIXELS = 1 << 20  # of the photo, from which the hair's tone is measured


@dataclass(frozen=True)
class Hair:
    """What was found in one photo.

    matte: (H, W) float32 hair probability, 0…1. tone: the hair's median color.
    share: of the working-scale pixels with probability >= 0.5, 0…1.
    """

    matte: np.ndarray
    tone: HairTone
    share: float

    @property
    def found(self) -> bool:
        return self.share >= NO_HAIR_SHARE


def no_report(fraction: float, text: str) -> None:
    pass


def no_progress(fraction: float) -> None:
    pass


def find_hair(
    photo: Photo,
    session: Session,
    refined: bool = True,
    quality: str = "fast",
    step: int = STEP,
    report: Report = no_report,
) -> Hair:
    """Hair probability at the photo's own resolution, and the hair's tone.

    refined: follow the photo's own edges; False gives the network's map, only enlarged.
    quality: key of looks.QUALITIES, for whole-image networks. step: for patch classifiers, see `texture`.
    Raises NoHairError for a fully transparent photo, ModelError if the model cannot run, ValueError for another quality
    or step, and whatever `report` raises.
    """
    if quality not in QUALITIES:
        raise ValueError(f"There is no quality {quality!r}: it must be one of {', '.join(QUALITIES)}.")
    looks = find_looks(photo, session, quality, step, lambda done: report(0.4 * done, "Looking for hair"))
    network = session.matting.run if session.matting and QUALITIES[quality].strands else None
    matte = assemble(photo, looks, refined, network, lambda done: report(0.4 + 0.6 * done, "Refining the outline"))
    share = sum((look.coarse >= 0.5).mean() * look.region.area for look in looks) / matte.size
    return Hair(matte, measure_tone(*sample(photo, matte)), float(share))


def sampling_step(pixels: int) -> int:
    """The step in both directions with which about TONE_PIXELS of so many pixels are looked at."""
    return max(1, round((pixels / TONE_PIXELS) ** 0.5))


def sample(photo: Photo, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every so many pixels in both directions, TONE_PIXELS about: (h, w, 3) float32, 0…1, and their probability (h, w).

    What is transparent is no hair.
    """
    step = sampling_step(matte.size)
    p = np.ascontiguousarray(matte[::step, ::step])
    if photo.alpha is not None:
        p = p * bounded(to_float(np.ascontiguousarray(photo.alpha[::step, ::step])))
    return bounded(to_float(np.ascontiguousarray(photo.rgb[::step, ::step]))), p


def find_looks(
    photo: Photo,
    session: Session,
    quality: str = "fast",
    step: int = STEP,
    report: Callable[[float], None] = no_progress,
) -> list[Look]:
    """The photo as the model saw it, place by place; see `find_hair`. report: called with the fraction done, 0…1."""
    report(0.0)
    if photo.alpha is not None and not photo.alpha.any():
        raise NoHairError("The image is empty (fully transparent): choose a layer or photo that shows a person.")
    if session.card.task == "patch":
        return [look_by_texture(photo, session, step, report)]
    return look_closely(photo, session, QUALITIES[quality], report)


def assemble(
    photo: Photo,
    looks: list[Look],
    refined: bool = True,
    network: Callable[[np.ndarray], np.ndarray] | None = None,
    report: Callable[[float], None] = no_progress,
) -> np.ndarray:
    """The matte of the whole photo from its looks: (H, W) float32, 0…1; see `find_hair`.

    network: for `refine.refine`.
    """
    matte = np.zeros((photo.height, photo.width), np.float32)
    area, done = sum(look.region.area for look in looks), 0
    for look in looks:
        region, before = look.region, done / area
        share = region.area / area
        if refined:
            piece = refine(
                photo.rgb[region.slices],
                look.coarse,
                network,
                lambda part, before=before, share=share: report(before + part * share),
            )
        else:
            piece = enlarge(look.coarse, region.width, region.height)
        here = matte[region.slices]
        np.maximum(here, taper(piece, region, photo.height, photo.width), out=here)
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
    """The recolored photo on every pixel: (H, W, 3) of the photo's dtype. See `recolor.recolor`.

    tips: the shade of the hair's tips, towards which `shade` then changes from the roots on; see `strands`. Both
    sRGB-encoded, each 0…1.
    """
    strips = paint_strips(photo.rgb, hair, shade, strength, report, tips)
    return np.concatenate(list(strips))


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

    pixels: (H, W, 3), or (H, W, 4) with alpha, which stays; see `recolor.recolor_strips`. position: (H, W) float32,
    0…1, as `strands.root_to_tip` finds it, where it is known already.
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


def blend(original: np.ndarray, recolored: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """(1-p)·original + p·recolored, on sRGB-encoded values, as GIMP shows the masked layer.

    original, recolored: (H, W, 3), uint8, uint16 or float32, both of one dtype. matte: (H, W) float32, 0…1.
    Returns that dtype. What is no number in one of them is none in the result. Raises ValueError for other arrays.
    """
    check_rgb(original)
    check_rgb(recolored)
    if recolored.shape != original.shape or recolored.dtype != original.dtype:
        raise ValueError(f"The recolored picture must be {original.shape} of {original.dtype}, as the original.")
    check_map(matte, original.shape[:2], np.float32)
    out = np.empty_like(original)
    for rows in strips(*matte.shape):
        below, p = to_float(original[rows]), matte[rows, :, None]
        out[rows] = from_float(below + p * (to_float(recolored[rows]) - below), original.dtype)
    return out


def take_color(original: np.ndarray, recolored: np.ndarray) -> np.ndarray:
    """The original's lightness with the recolored photo's chroma and hue, as GIMP's layer mode LCh Color shows it.

    Both (H, W, 3) of one dtype. Returns that dtype. In CIE Lab (CIE 15:2004).
    """
    out = np.empty_like(original)
    for rows in strips(*original.shape[:2]):
        lab, color = (cv2.cvtColor(to_float(part[rows]), cv2.COLOR_RGB2Lab) for part in (original, recolored))
        lab[..., 1:] = color[..., 1:]
        out[rows] = from_float(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), original.dtype)
    return out
