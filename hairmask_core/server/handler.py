"""Handles requests one after the other: the hair is found or remembered, recolored, and written for the client."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..color.blend import blend, take_color
from ..color.shades import Shade, find_shade
from ..hair.instances import HairInstances, find_instances
from ..hair.strands import root_to_tip
from ..hair.tone import Hair
from ..inference.cards import ModelCard, choose_card
from ..inference.session import Session, open_session
from ..options import Device, Engine, Options, Output, People, PhotoShade, Request, ShadeName
from ..photo.files import read_photo
from ..photo.pixels import Photo
from ..pipeline import find_hair, paint_strips, require_hair, shade_of_hair
from .pixel_files import (
    PIXEL_TYPES,
    hash_pixels,
    limit_matte,
    pixel_file,
    read_pixels,
    to_photo,
    write_mask,
    write_pixels,
)

NEGLIGIBLE = 0.05  # probability: where a limit leaves no more than this of a head, it is not meant
MASK_CACHE_BYTES = 512 << 20  # of mattes that are kept for the next request …
MASK_CACHE_PHOTOS = 16  # … and of how many photos at most


@dataclass
class FoundHair:
    """The hair of one photo; whose it is, and how far along the strands, by person, once that was asked."""

    hair: Hair
    instances: HairInstances | None = None
    positions: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        labels = [self.instances.labels] if self.instances else []
        return sum(array.nbytes for array in (self.hair.matte, *labels, *self.positions.values()))


class Handler:
    """What stays between requests: loaded models, and the hair of the last few photos."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.cards: dict[tuple[str | None, Engine], ModelCard] = {}  # by the model that was asked for, and engine
        self.sessions: dict[tuple[str, Device], Session] = {}  # by model and device
        self.found: OrderedDict[tuple, FoundHair] = OrderedDict()
        self.shades: dict[tuple, Shade] = {}  # of the hair in photos, by file and how it is looked for

    def recolor(self, request: Request, report: Callable[[float, str], None]) -> dict:
        """Do one request; its files are read from and written to the private directory. Returns the answer.

        Raises RequestError for files that are none of the directory's or do not hold what was announced, ShadeError,
        ModelError, NoHairError, PhotoError, and whatever `report` raises.
        """
        options = request.options
        for name in request.files:
            pixel_file(self.directory, name)
        shade, tips = (find_named(name) for name in (options.shade, options.tips))
        report(0.0, "Reading the layer")
        pixels, dtype = self.directory / request.pixels, PIXEL_TYPES[request.format]
        rgba = read_pixels(pixels, request.width, request.height, dtype)
        session = self._session(options)
        found = self._find_hair(
            hash_pixels(rgba),
            lambda: to_photo(rgba),
            session,
            options,
            lambda done, text: report(0.05 + 0.55 * done, text),
        )
        if not options.force:
            require_hair(found.hair)
        if isinstance(options.shade, PhotoShade) and options.output is not Output.MASK:
            path = Path(options.shade.path)
            shade = self._shade_of(path, session, options, lambda done, text: report(0.6, text))
        people = self._write(request, rgba, found, shade, tips, lambda done, text: report(0.6 + 0.4 * done, text))
        name = f"{shade.name} to {tips.name}" if shade and tips else shade and shade.name
        answer = {"device": session.device, "notices": session.notices, "shade": name, "share": found.hair.share}
        return answer | {"people": people}

    def _write(
        self,
        request: Request,
        rgba: np.ndarray,
        found: FoundHair,
        shade: Shade | None,
        tips: Shade | None,
        report: Callable[[float, str], None],
    ) -> int:
        """Write the requested masks and pixels; returns of how many people they are."""
        options, each = request.options, request.options.people is People.EACH
        if each and not found.instances:
            found.instances = find_instances(
                to_photo(rgba), found.hair, report=lambda done: report(0.0, "Telling people apart")
            )
            self._forget()
        limits, mask_out, layer_out = (
            [self.directory / name for name in names] for names in (request.limits, request.mask_out, request.layer_out)
        )
        only_color, tips_rgb, people = options.output is Output.LCH_PICTURE, tips.rgb if tips else None, 0
        picture = rgba.copy() if only_color or options.output is Output.PICTURE else None
        expected = len(found.instances.tones) if each else 1

        def part(done: float, text: str = "Recoloring") -> None:
            report(min(1.0, (people + done) / expected), text)

        for number, hair, matte in instances_within(found, each, limits):
            part(0.0)
            write_mask(mask_out[people], matte, PIXEL_TYPES[request.mask_format])
            if options.output is Output.LAYER:
                painted = paint_strips(rgba, hair, shade.rgb, options.strength, part, tips_rgb)
                write_pixels(layer_out[people], rgba.nbytes, painted)
            elif picture is not None:
                if tips and number not in found.positions:  # the same for every shade
                    found.positions[number] = root_to_tip(np.ascontiguousarray(rgba[..., :3]), hair.matte, part)
                wanted = (shade.rgb, options.strength, part, tips_rgb)
                recolor_in_picture(picture, rgba, hair, matte, wanted, found.positions.get(number), only_color)
            people += 1
        if picture is not None:
            write_pixels(layer_out[0], picture.nbytes, [picture])
        return people

    def _session(self, options: Options) -> Session:
        model, engine, device = options.model, options.engine, options.device
        if (model, engine) not in self.cards:
            self.cards[model, engine] = choose_card(model, engine=engine.value)
        card = self.cards[model, engine]
        if (card.name, device) not in self.sessions:
            self.sessions[card.name, device] = open_session(card, device.value)
        return self.sessions[card.name, device]

    def _shade_of(self, path: Path, session: Session, options: Options, report: Callable[[float, str], None]) -> Shade:
        """The color of the hair in that photo."""
        try:
            status = path.stat()
            file = str(path), status.st_ino, status.st_size, status.st_mtime_ns
        except (OSError, ValueError):  # `read_photo` has a sentence for it
            file = None
        key = (file, *self._how(session, options))
        if file is None or key not in self.shades:  # a preview asks again and again
            photo = read_photo(path)
            digest = hash_pixels(*(part for part in (photo.rgb, photo.alpha) if part is not None))
            hair = self._find_hair(digest, lambda: photo, session, options, report).hair
            self.shades[key] = shade_of_hair(hair, path)
        return self.shades[key]

    def _how(self, session: Session, options: Options) -> tuple:
        """All that decides, beside the photo, which hair is found in it."""
        return session.card.sha256, session.device, options.quality, options.step, options.refine

    def _find_hair(
        self,
        digest: bytes,
        make_photo: Callable[[], Photo],
        session: Session,
        options: Options,
        report: Callable[[float, str], None],
    ) -> FoundHair:
        """The hair of the photo of that digest, which is only made if its hair is not known."""
        key = (digest, *self._how(session, options))
        if key in self.found:
            self.found.move_to_end(key)
            return self.found[key]
        hair = find_hair(make_photo(), session, options.refine, options.quality.value, options.step, report)
        found = self.found[key] = FoundHair(hair)
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
        shade = "#%02x%02x%02x" % tuple(round(255 * part) for part in shade)
    return find_shade(shade) if isinstance(shade, str) else None


def instances_within(found: FoundHair, each: bool, limits: list[Path]) -> Iterator[tuple[int, Hair, np.ndarray]]:
    """Everybody's hair, or each one's: the person's number, 0 for everybody, hair, and its matte within the limits.

    People of whom the limits leave nothing over are left out, unless that is so of all.
    """
    nobody = True
    for number in range(1, len(found.instances.tones) + 1) if each else ():
        hair = found.instances.hair_of(number, found.hair)
        matte = limit_matte(hair.matte, limits)
        if matte.max() > NEGLIGIBLE:
            nobody = False
            yield number, hair, matte
    if nobody:
        yield 0, found.hair, limit_matte(found.hair.matte, limits)


def recolor_in_picture(
    picture: np.ndarray,
    rgba: np.ndarray,
    hair: Hair,
    matte: np.ndarray,
    wanted: tuple,
    position: np.ndarray | None,
    only_color: bool,
) -> None:
    """Recolor one head's hair in a picture, where there is any.

    picture: (H, W, 4), changed in place. rgba: the photo. matte: (H, W) float32, what shows of the hair. wanted: see
    `paint_strips`. only_color: the photo's lightness stays.
    """
    rows, columns = (np.flatnonzero(matte.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    photo = np.ascontiguousarray(rgba[box][..., :3])
    part = replace(hair, matte=hair.matte[box])
    painted = np.concatenate(list(paint_strips(photo, part, *wanted, None if position is None else position[box])))
    above = take_color(photo, painted) if only_color else painted
    picture[box][..., :3] = blend(np.ascontiguousarray(picture[box][..., :3]), above, matte[box])
