"""The whole story on one page: segment -> refine -> tell people apart -> recolor -> compose.

`find_matte` does the first two, and `find_hair` sees of what color the hair is; `tell_people_apart` and `hair.instances.divide_hair` say which hair gets a layer of its
own; `recolor_layer` makes that layer, `recolor` and `compose` the picture that is seen. All report progress and can be
stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from .color import edges, transform
from .color.blend import blend, take_color
from .color.coloring import NOT_FOLLOWED, Strands
from .color.edges import Outline
from .color.recolor import recolor_strips
from .color.shades import Shade
from .color.tone_curve import Color
from .color.transform import STORED_TYPES
from .errors import NoHairError
from .hair.highlights import highlight_order
from .hair.instances import HairInstances, HairPart, find_instances
from .hair.strands import root_to_tip
from .hair.tone import Hair, HairMatte, measure_tone, sample_photo, tone_color
from .matting.foreground import edge_colors
from .matting.upsampling import enlarge_map, refine_outline
from .options import Coloring, Light
from .photo.base import LONG_SIDE as BASE_SIDE
from .photo.base import find_base
from .photo.light import NEUTRAL, estimate_illuminant
from .photo.pixels import Photo
from .photo.proxy import shrink
from .photo.scaled_map import ScaledMap
from .segmentation.regions import Crop, feather
from .segmentation.segmenter import Segmenter

# `report(fraction, text)` is called with 0…1 and what is being done, several times a second.
# It may raise (errors.Cancelled) to stop the work; nothing is half-written then.
Report = Callable[[float, str], None]


def no_report(fraction: float, text: str) -> None:
    """For callers that want to hear nothing."""


def no_progress(fraction: float) -> None:
    """The same, where only the fraction is told."""


def warm_up(types: tuple[type, ...] = STORED_TYPES[:1]) -> None:
    """Load what is compiled, for pixels of those types: a second; if it was never compiled, seconds each."""
    transform.warm_up(types)
    edges.warm_up(types)
    edge_colors(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32))


# Where hair is


def find_hair(
    photo: Photo, model: Segmenter, refine: bool = True, report: Report = no_report, light: Light = Light.AUTO
) -> Hair:
    """Find the hair in a photo.

    Parameters
    ----------
    photo : Photo
        As `read_photo` gives it, or `Photo(rgb)` for an array (H, W, 3) of uint8, uint16 or float32 (0 to 1).
    model : Segmenter
        As `open_model` gives it.
    refine : bool
        Whether the outline follows the photo's own edges. False gives the network's map, only enlarged.
    report : callable
        Called with the fraction done, 0 to 1, and what is being done; may raise to stop the work.
    light : Light
        Light.AUTO estimates the light's color and judges the hair's color in it; Light.NEUTRAL takes it for white.

    Returns
    -------
    Hair
        `matte`, (H, W) float32: how much of each pixel is hair, 0 to 1. `tone`: its color. `share`: of the photo;
        `found`: whether that is any worth mentioning. `edges`, `base`: what recoloring has to know of the outline, and of
        the photo's light. `notices`: sentences for the user, the photo's own and where a device failed.

    Raises
    ------
    NoHairError
        If the photo is fully transparent. That no hair is found is no error here: see `Hair.found`.
    ModelError
        If the model cannot run.

    References
    ----------
    Whole image: fully convolutional network (Long et al. 2015) with a U-shaped decoder (Ronneberger et al. 2015), by
    multi-scale inference. Texture: dense patch classification (Giusti et al. 2013). Outline: guided filter (He, Sun,
    Tang 2013), or its linear model with learned coefficients (Levin et al. 2008; Wu et al. 2018). Its colors: Germer et al.
    2020, "Fast Multi-Level Foreground Estimation". Light: gray edge (van de Weijer et al. 2007).

    Examples
    --------
    >>> hair = find_hair(read_photo("portrait.jpg"), open_model())
    >>> hair.found, hair.matte.shape, round(hair.share, 2)
    (True, (512, 512), 0.04)
    """
    found = find_matte(photo, model, refine, report)
    with ThreadPoolExecutor(1) as other:  # one core for the outline, one for the rest: each uses little more
        outline = other.submit(find_edge_colors, photo, found.matte)
        small = shrink(photo.rgb, BASE_SIDE)  # once for both
        illuminant = estimate_illuminant(small) if light is Light.AUTO else NEUTRAL
        tone = measure_tone(*sample_photo(photo, found.matte), illuminant)
        base = find_base(small, illuminant, shrink(found.matte, BASE_SIDE))
    base = replace(base, height=photo.height, width=photo.width)
    return Hair(found.matte, found.share, found.notices, tone=tone, edges=outline.result(), base=base)


def find_matte(photo: Photo, model: Segmenter, refine: bool = True, report: Report = no_report) -> HairMatte:
    """Where the hair is, for those who do not recolor it; all as for `find_hair`, whose result has this and more."""
    notices, model.notices[:] = list(model.notices), []
    try:
        crops = segment_photo(photo, model, lambda done: report(0.4 * done, "Looking for hair"), notices)
        network = model.refiner.telling(notices).run if model.refiner else None
        matte = assemble(photo, crops, refine, network, lambda done: report(0.4 + 0.6 * done, "Refining the outline"))
    except BaseException:  # this answer will not be given: the next one tells
        model.notices[:] = notices
        raise
    share = sum((crop.coarse >= 0.5).mean() * crop.region.area for crop in crops) / matte.size
    return HairMatte(matte, float(share), (*photo.notices, *notices))


def find_edge_colors(photo: Photo, matte: np.ndarray) -> ScaledMap:
    """The colors of hair and of what is behind it along the outline, as `edge_colors` finds them."""
    return ScaledMap(edge_colors(photo.rgb, matte, photo.alpha), photo.height, photo.width)


def segment_photo(
    photo: Photo,
    model: Segmenter,
    report: Callable[[float], None] = no_progress,
    notices: list[str] | None = None,
) -> list[Crop]:
    """The photo as the model saw it, crop by crop; see `find_hair` and `Segmenter.predict`."""
    report(0.0)
    if photo.alpha is not None and not photo.alpha.any():
        raise NoHairError("The image is empty (fully transparent): choose a layer or photo that shows a person.")
    return model.predict(photo, report, notices)


def assemble(
    photo: Photo,
    crops: list[Crop],
    refine: bool = True,
    network: Callable[[np.ndarray], np.ndarray] | None = None,
    report: Callable[[float], None] = no_progress,
) -> np.ndarray:
    """The matte of the whole photo from its crops: (H, W) float32, 0…1; see `find_hair`.

    network: for `refine_outline`. report: called with the fraction done, 0…1; may raise to stop the work.
    """
    matte = np.zeros((photo.height, photo.width), np.float32)
    area, done = sum(crop.region.area for crop in crops), 0
    for crop in crops:
        region, before = crop.region, done / area
        share = region.area / area
        if refine:

            def report_part(part: float, before: float = before, share: float = share) -> None:
                report(before + part * share)

            piece = refine_outline(photo.rgb[region.slices], crop.coarse, network, report_part)
        else:
            piece = enlarge_map(crop.coarse, region.width, region.height)
        here = matte[region.slices]
        np.maximum(here, feather(piece, region, photo.height, photo.width), out=here)
        done += region.area
    report(1.0)
    return matte


def require_hair(hair: HairMatte) -> None:
    """Raise NoHairError if the photo has none."""
    if not hair.found:
        raise NoHairError(
            "No hair was found in this photo: crop closer to the head, or force the result to paint the mask yourself."
        )


# Whose it is


def tell_people_apart(photo: Photo, hair: Hair, report: Report = no_report) -> HairInstances:
    """Whose hair it is, where there are several people; see `find_instances`."""
    return find_instances(photo, hair, report=lambda done: report(done, "Telling people apart"))


# Its new color


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


def recolor(photo: Photo, hair: Hair, coloring: str | Color | Coloring, report: Report = no_report) -> Photo:
    """Recolor the hair in a photo.

    Parameters
    ----------
    photo : Photo
        The photo.
    hair : Hair
        Its hair, as `find_hair` gives it.
    coloring : str or tuple of float or Coloring
        The new color: a shade's name (``hairmask recolor --help`` lists them), "#rrggbb", or (r, g, b), sRGB-encoded,
        each 0 to 1. A `Coloring` has more to say: strength, tips, roots, highlights, depth, shine.
    report : callable
        Called with the fraction done, 0 to 1, and what is being done; may raise to stop the work.

    Returns
    -------
    Photo
        (1 - p) photo + p recolored, p the hair's matte, on sRGB-encoded values whatever the photo's color profile; of
        the photo's dtype, with its alpha and that profile.

    Raises
    ------
    ShadeError
        If there is no shade of that name, or the color is not one, or none is named.
    ValueError
        For hair of a photo of another size. Also `OptionsError`, where a `Coloring` is made of values that cannot be.

    References
    ----------
    The tone transform works in OKLab (Ottosson 2020, "A perceptual color space for image processing"). Along the
    strands: geodesic distance in the metric of the structure tensor (Bigün, Granlund 1987; Jbabdi et al. 2008).
    Highlights: line integral convolution (Cabral, Leedom 1993).

    Examples
    --------
    >>> photo = read_photo("portrait.jpg")
    >>> hair = find_hair(photo, open_model())
    >>> write_photo("copper.png", recolor(photo, hair, "copper"))
    ()
    >>> ombre = Coloring("dark-brown", tips="#d8b070", strength=0.8)
    >>> write_photo("ombre.png", recolor(photo, hair, ombre))
    ()
    """
    layer = recolor_layer(photo, hair, coloring, report)
    return replace(photo, rgb=blend(photo.rgb, layer, hair.matte))


def recolor_layer(photo: Photo, hair: Hair, coloring: str | Color | Coloring, report: Report = no_report) -> np.ndarray:
    """The recolored photo on every pixel, to be masked with the hair's matte, as GIMP's layer has it.

    Parameters
    ----------
    photo, hair, coloring, report
        As for `recolor`.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) of the photo's dtype, sRGB-encoded: each pixel as if it were hair of that tone in the new shade. Along the
        outline, where pixels are hair in part, such that their hair alone is in the new shade when the matte masks it.

    Raises
    ------
    ShadeError, ValueError
        As `recolor` does.

    Examples
    --------
    >>> photo = read_photo("portrait.jpg")
    >>> layer = recolor_layer(photo, find_hair(photo, open_model()), (0.1, 0.2, 0.8))
    >>> layer.shape, str(layer.dtype)
    ((512, 512, 3), 'uint8')
    """
    return np.concatenate(list(recolor_rows(photo.rgb, hair, as_coloring(coloring), report=report)))


def as_coloring(coloring: str | Color | Coloring) -> Coloring:
    """A shade by itself as a coloring."""
    return coloring if isinstance(coloring, Coloring) else Coloring(coloring)


def recolor_rows(
    pixels: np.ndarray,
    hair: Hair,
    coloring: Coloring,
    strands: Strands | None = None,
    report: Report = no_report,
) -> Iterator[np.ndarray]:
    """`recolor_layer` some rows at a time, from top to bottom, so that memory stays bounded.

    pixels: (H, W, 3), or (H, W, 4) with alpha, which stays; see `recolor_strips`. strands: as `follow_strands` finds
    them, where they are known already.
    """
    began = 0.0
    if strands is None:
        strands = follow_strands(pixels, hair, coloring, report=lambda done, text: report(0.1 * done, text))
        began = 0.1 if any(strands) else 0.0
    outline = Outline(hair.matte, hair.edges) if hair.edges else None
    for rows, strip in recolor_strips(pixels, hair.tone, coloring, strands, hair.base, outline):
        yield strip
        report(began + (1 - began) * rows.stop / len(pixels), "Recoloring")


def follow_strands(
    pixels: np.ndarray, hair: Hair, coloring: Coloring, known: Strands = NOT_FOLLOWED, report: Report = no_report
) -> Strands:
    """What a coloring has to know of the strands, of which some may be known from another coloring.

    pixels: (H, W, 3 or 4), the photo.
    """
    position, order = known
    missing = coloring.follows_strands and position is None, coloring.highlights is not None and order is None
    rgb = np.ascontiguousarray(pixels[..., :3]) if any(missing) else pixels
    said = "Following the strands"
    if missing[0]:
        position = root_to_tip(rgb, hair.matte, lambda done: report(0.5 * done, said))
    if missing[1]:
        order = highlight_order(rgb, hair.matte, lambda done: report(0.5 + 0.5 * done, said))
    return Strands(position, order)


# The picture that is seen


def compose(
    picture: np.ndarray,
    pixels: np.ndarray,
    part: HairPart,
    coloring: Coloring,
    strands: Strands | None = None,
    only_color: bool = False,
    report: Report = no_report,
) -> None:
    """Lay the recolored hair of one part over a picture, as GIMP shows the masked layer; only where there is any.

    picture: (H, W, 4), changed in place. pixels: (H, W, 4), the photo. only_color: the photo's lightness stays, as in
    the layer mode LCh Color. The rest as for `recolor_rows`.
    """
    rows, columns = (np.flatnonzero(part.matte.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return
    if strands is None:  # of all of the photo, as the layer has them
        strands = follow_strands(pixels, part.hair, coloring, report=report)
    box, corner = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)), (int(rows[0]), int(columns[0]))
    photo = np.ascontiguousarray(pixels[box][..., :3])
    outline, base = (found and found.cut(*corner) for found in (part.hair.edges, part.hair.base))
    hair = replace(part.hair, matte=part.hair.matte[box], edges=outline, base=base)
    layer = np.concatenate(list(recolor_rows(photo, hair, coloring, strands.cut(*corner), report)))
    above = take_color(photo, layer) if only_color else layer
    picture[box][..., :3] = blend(np.ascontiguousarray(picture[box][..., :3]), above, part.matte[box])
