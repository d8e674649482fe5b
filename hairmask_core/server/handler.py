"""Handles requests one after the other: the hair is found or remembered, recolored, and written for the client."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..color.coloring import NOT_FOLLOWED, Strands
from ..color.shades import Shade, find_shade
from ..errors import NoHairError
from ..hair.instances import NEGLIGIBLE, HairInstances, divide_hair
from ..hair.tone import Hair
from ..inference.cards import ModelCard, choose_card
from ..options import Coloring, Device, Engine, Options, Output, People, PhotoShade, Request, ShadeName
from ..photo.files import read_photo
from ..photo.pixels import Photo
from ..pipeline import (
    compose,
    find_hair,
    follow_strands,
    recolor_rows,
    require_hair,
    shade_of_hair,
    tell_people_apart,
)
from ..segmentation.segmenter import Segmenter, open_segmenter
from .pixel_files import (
    PIXEL_TYPES,
    MaskFiles,
    hash_pixels,
    pixel_file,
    read_pixels,
    to_photo,
    write_mask,
    write_pixels,
)

OUTSIDE = "The hair lies outside of the selection or of the layer's own mask: select it as well, or turn the limit off."
MASK_CACHE_BYTES = 512 << 20  # of mattes that are kept for the next request …
MASK_CACHE_PHOTOS = 16  # … and of how many photos at most


@dataclass
class FoundHair:
    """The hair of one photo; whose it is, and how its strands run, by person, once that was asked."""

    hair: Hair
    instances: HairInstances | None = None
    strands: dict[int, Strands] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        labels = [self.instances.labels] if self.instances else []
        maps = [self.hair.edges, self.hair.base, *(part for strands in self.strands.values() for part in strands)]
        return sum(array.nbytes for array in (self.hair.matte, *labels)) + sum(part.nbytes for part in maps if part)


class Handler:
    """What stays between requests: loaded models, and the hair of the last few photos."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.cards: dict[tuple[str | None, Engine], ModelCard] = {}  # by the model that was asked for, and engine
        self.models: dict[tuple[str, Device], Segmenter] = {}  # by name and the device that was asked for
        self.found: OrderedDict[tuple, FoundHair] = OrderedDict()  # by the photo and how its hair is looked for
        self.shades: dict[tuple, tuple[Shade, tuple[str, ...]]] = {}  # of hair in photos, and notices; likewise

    def recolor(self, request: Request, report: Callable[[float, str], None]) -> dict:
        """Do one request; its files are read from and written to the private directory. Returns the answer.

        Raises RequestError for files that are none of the directory's or do not hold what was announced, ShadeError,
        ModelError, NoHairError, PhotoError, and whatever `report` raises.
        """
        options = request.options
        for name in request.files:
            pixel_file(self.directory, name)
        shade, tips, highlights = (find_named(name) for name in (options.shade, options.tips, options.highlights))
        report(0.0, "Reading the layer")
        pixels, dtype = self.directory / request.pixels, PIXEL_TYPES[request.format]
        rgba = read_pixels(pixels, request.width, request.height, dtype, request.alpha)
        model = self._model(options)
        found = self._find_hair(
            hash_pixels(rgba),
            lambda: to_photo(rgba),
            model,
            options,
            lambda done, text: report(0.05 + 0.55 * done, text),
        )
        if not options.force:
            require_hair(found.hair)
        notices = found.hair.notices
        if isinstance(options.shade, PhotoShade) and options.output is not Output.MASK:
            path = Path(options.shade.path)
            shade, more = self._shade_of(path, model, options, lambda done, text: report(0.6, text))
            notices += more
        coloring = replace(options, shade=shade.rgb) if shade and isinstance(options.shade, PhotoShade) else options
        people = self._write(request, rgba, found, coloring, lambda done, text: report(0.6 + 0.4 * done, text))
        return {
            "device": model.device,
            "notices": list(dict.fromkeys(notices)),
            "shade": shade and name_coloring(shade, tips, highlights),
            "share": found.hair.share,
            "people": people,
        }

    def _write(
        self,
        request: Request,
        rgba: np.ndarray,
        found: FoundHair,
        coloring: Coloring,
        report: Callable[[float, str], None],
    ) -> int:
        """Write the requested masks and pixels, in that coloring; returns of how many people they are."""
        options, each = request.options, request.options.people is People.EACH
        if each and not found.instances:
            found.instances = tell_people_apart(to_photo(rgba), found.hair, lambda done, text: report(0.0, text))
            self._forget()
        limits, mask_out, layer_out = (
            [self.directory / name for name in names] for names in (request.limits, request.mask_out, request.layer_out)
        )
        only_color, people = options.output is Output.LCH_PICTURE, 0
        picture = rgba.copy() if only_color or options.output is Output.PICTURE else None
        expected = len(found.instances.tones) if each and found.instances else 1

        def report_part(done: float, text: str = "Recoloring") -> None:
            report(min(1.0, (people + done) / expected), text)

        for part in divide_hair(found.hair, found.instances if each else None, MaskFiles(limits, rgba.shape[:2])):
            report_part(0.0)
            if limits and not options.force and part.matte.max() <= NEGLIGIBLE:
                raise NoHairError(OUTSIDE)
            write_mask(mask_out[people], part.matte, PIXEL_TYPES[request.mask_format])
            if options.output is Output.LAYER:
                write_pixels(layer_out[people], rgba.nbytes, recolor_rows(rgba, part.hair, coloring, None, report_part))
            elif picture is not None:  # a preview, which asks again for other colors
                known = found.strands.get(part.number, NOT_FOLLOWED)
                found.strands[part.number] = follow_strands(rgba, part.hair, coloring, known, report_part)
                compose(picture, rgba, part, coloring, found.strands[part.number], only_color, report_part)
            people += 1
        if picture is not None:
            write_pixels(layer_out[0], picture.nbytes, [picture])
        return people

    def _model(self, options: Options) -> Segmenter:
        model, engine, device = options.model, options.engine, options.device
        if (model, engine) not in self.cards:
            self.cards[model, engine] = choose_card(model, engine=engine)
        card = self.cards[model, engine]
        if (card.name, device) not in self.models:
            self.models[card.name, device] = open_segmenter(card, device)
        return self.models[card.name, device].adjusted(options.quality, options.step)

    def _shade_of(
        self, path: Path, model: Segmenter, options: Options, report: Callable[[float, str], None]
    ) -> tuple[Shade, tuple[str, ...]]:
        """The color of the hair in that photo, and the notices on how that was found."""
        try:
            status = path.stat()
            file = str(path), status.st_ino, status.st_size, status.st_mtime_ns
        except (OSError, ValueError):  # `read_photo` has a sentence for it
            file = None
        key = (file, *self._how(model, options))
        if file is None or key not in self.shades:  # a preview asks again and again
            photo = read_photo(path)
            digest = hash_pixels(*(part for part in (photo.rgb, photo.alpha) if part is not None))
            hair = self._find_hair(digest, lambda: photo, model, options, report).hair
            self.shades[key] = shade_of_hair(hair, path), hair.notices
        return self.shades[key]

    def _how(self, model: Segmenter, options: Options) -> tuple:
        """All that decides, beside the photo, which hair is found in it.

        The device is the one that was asked for: an answer that was found where another took its place goes on saying
        so.
        """
        return model.card.name, options.device, options.refine, options.light, *model.settings.values()

    def _find_hair(
        self,
        digest: bytes,
        make_photo: Callable[[], Photo],
        model: Segmenter,
        options: Options,
        report: Callable[[float, str], None],
    ) -> FoundHair:
        """The hair of the photo of that digest, which is only made if its hair is not known."""
        key = (digest, *self._how(model, options))
        if key in self.found:
            self.found.move_to_end(key)
            return self.found[key]
        found = self.found[key] = FoundHair(find_hair(make_photo(), model, options.refine, report, options.light))
        self._forget()
        return found

    def _forget(self) -> None:
        while len(self.found) > 1 and (
            len(self.found) > MASK_CACHE_PHOTOS or sum(found.nbytes for found in self.found.values()) > MASK_CACHE_BYTES
        ):
            self.found.popitem(last=False)


def find_named(shade: ShadeName | PhotoShade | None) -> Shade | None:
    """The shade of that name or color; None where none is named, or a photo. Raises ShadeError for a name of none."""
    if isinstance(shade, tuple):
        shade = "#" + "".join(f"{round(255 * part):02x}" for part in shade)
    return find_shade(shade) if isinstance(shade, str) else None


def name_coloring(shade: Shade, tips: Shade | None, highlights: Shade | None) -> str:
    """What a layer in that coloring is called."""
    name = f"{shade.name} to {tips.name}" if tips else shade.name
    return f"{name} with {highlights.name}" if highlights else name
