"""What can be asked for: the one description of a request, for GIMP's plug-in, the server and the command line.

Standard library only, for Python 3.9 and newer: the installer lays a copy of this file beside the plug-in, whose Python
is GIMP's. An option is one field of `Options`: its type, its default, and how a value that came as JSON is read. A value
that cannot be is answered with an OptionsError, one sentence that says what is wrong and what to do.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Union

PROTOCOL = 6  # version of what plug-in and server say to each other; see server/protocol.py
MOST_PEOPLE = 8  # heads of hair that are told apart in one photo
LARGEST_STEP = 35  # pixels between the windows of the patch engine: a window's own side, so that none is left out
LARGEST_SIDE = 524288  # pixels of a layer's side: GIMP's own limit


class OptionsError(ValueError):
    """A request that cannot be met; the message is for the user."""


class Engine(str, Enum):
    """How hair is told from the rest."""

    WHOLE = "whole"  # a network sees people as a whole
    TEXTURE = "texture"  # small windows are judged one by one, for wigs, close-ups and strands without a head


class Quality(str, Enum):
    """How closely the whole-image engine looks."""

    FAST = "fast"
    BEST = "best"  # also follows the outline strand by strand


class Device(str, Enum):
    """Where the networks run."""

    AUTO = "auto"
    CUDA = "cuda"
    DIRECTML = "directml"
    COREML = "coreml"
    CPU = "cpu"


class People(str, Enum):
    """Whether all hair goes into one layer or each person's into its own."""

    TOGETHER = "together"
    EACH = "each"


class Output(str, Enum):
    """What is made of the hair that is found."""

    LAYER = "layer"  # recolored on every pixel, and the mask
    MASK = "mask"  # the mask alone, which needs no shade
    PICTURE = "picture"  # the photo as the layer shows it, for a preview
    LCH_PICTURE = "lch picture"  # the same in GIMP's layer mode LCh Color


class PixelFormat(str, Enum):
    """How pixels and masks travel: sRGB-encoded, without loss from GIMP's own precisions."""

    U8 = "u8"
    U16 = "u16"
    FLOAT = "float"

    @property
    def size(self) -> int:
        """Bytes for each number."""
        return {"u8": 1, "u16": 2, "float": 4}[self.value]


@dataclass(frozen=True)
class PhotoShade:
    """The color of the hair in another photo, as a shade."""

    path: str


# A named shade, "#rrggbb", or (r, g, b) in sRGB, each 0…1.
ShadeName = Union[str, "tuple[float, float, float]"]


def choice(kind: type[Enum], what: str):
    """Reads one of an enum's values."""

    def read(value: Any):
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(member.value for member in kind)
            raise OptionsError(f"There is no {what} {value!r}: choose one of {names}.") from None

    return read


def number(what: str, low: float, high: float):
    """Reads a number from low to high."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise OptionsError(f"A {what} of {value!r} is not possible: give a number from {low:g} to {high:g}.")
        return float(value)

    return read


def whole_number(what: str, low: int, high: int):
    """Reads a whole number from low to high."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise OptionsError(f"A {what} of {value!r} is not possible: give a whole number from {low} to {high}.")
        return value

    return read


def flag(what: str):
    """Reads true or false."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise OptionsError(f"{what!r} is {value!r}: give true or false.")
        return value

    return read


def text(what: str):
    """Reads a text, or null for none."""

    def read(value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            raise OptionsError(f"The {what} is {value!r}: give a name, or null for the default.")
        return value

    return read


def read_shade_name(value: Any) -> ShadeName | None:
    """Reads a shade's name, "#rrggbb" or [r, g, b], each brought into 0…1; null for none."""
    if value is None or isinstance(value, str):
        return value
    try:
        red, green, blue = (min(max(float(part), 0.0), 1.0) for part in value)
        return red, green, blue
    except (TypeError, ValueError):
        raise OptionsError(f"There is no shade {value!r}: give a name, #rrggbb, or three numbers from 0 to 1.") from None


def read_shade(value: Any) -> ShadeName | PhotoShade | None:
    """As `read_shade_name`; {"photo": path} means the hair in that photo."""
    if isinstance(value, dict):
        path = value.get("photo")
        if set(value) != {"photo"} or not isinstance(path, str):
            raise OptionsError(f'The shade {value!r} names no photo: give {{"photo": path}}.')
        return PhotoShade(path)
    return read_shade_name(value)


def option(default: Any, read) -> Any:
    """A field with its default and the function that reads it from JSON."""
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True)
class Options:
    """All that a user can choose.

    engine, model, device, quality, step, refine say how hair is found; the rest what is made of it. quality: of the
    whole-image engine. step: of the patch engine, pixels between windows. refine: the outline follows the photo's own edges.
    shade: new color of the hair; None where the output needs none. tips: another color towards the tips.
    strength: how far towards the shade. force: give a result even where there is no hair.
    """

    engine: Engine = option(Engine.WHOLE, choice(Engine, "engine"))
    model: str | None = option(None, text("model"))
    device: Device = option(Device.AUTO, choice(Device, "device"))
    quality: Quality = option(Quality.FAST, choice(Quality, "quality"))
    step: int = option(2, whole_number("step", 1, LARGEST_STEP))
    refine: bool = option(True, flag("refine"))
    people: People = option(People.TOGETHER, choice(People, "way with people"))
    output: Output = option(Output.LAYER, choice(Output, "output"))
    shade: ShadeName | PhotoShade | None = option(None, read_shade)
    tips: ShadeName | None = option(None, read_shade_name)
    strength: float = option(1.0, number("strength", 0, 1))
    force: bool = option(False, flag("force"))

    @property
    def search(self) -> tuple:
        """All that decides, beside the photo, which hair is found in it."""
        return self.engine, self.model, self.device, self.quality, self.step, self.refine

    @classmethod
    def from_dict(cls, said: dict) -> Options:
        """Options from JSON's values; what is not said has its default. Raises OptionsError for anything else."""
        options = cls(**read_fields(cls, said))
        if options.shade is None and options.output is not Output.MASK:
            raise OptionsError("A shade is missing: name one, or ask for the mask only.")
        return options

    def to_dict(self) -> dict:
        """What `from_dict` reads."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True)
class Request:
    """One layer's request: options, and the files in the private directory by which its pixels travel, by name.

    pixels: raw RGBA. limits: raw masks of float32 that limit the matte. layer_out, mask_out: for the results.
    """

    options: Options
    width: int
    height: int
    format: PixelFormat
    mask_format: PixelFormat
    pixels: str
    limits: tuple[str, ...]
    layer_out: tuple[str, ...]
    mask_out: tuple[str, ...]

    @classmethod
    def of_layer(cls, options: Options, size: tuple[int, int], format, mask_format, limits: int = 0) -> Request:
        """A new request with file names of its own. size: width, height. limits: how many masks limit the hair."""
        masks, layers = result_files(options)
        names = [tuple(new_file_name() for _ in range(count)) for count in (limits, layers, masks)]
        return cls(options, *size, PixelFormat(format), PixelFormat(mask_format), new_file_name(), *names)

    @property
    def files(self) -> list[str]:
        """The names of all its files."""
        return [self.pixels, *self.limits, *self.mask_out, *self.layer_out]

    @classmethod
    def from_dict(cls, said: dict) -> Request:
        """A request from JSON's values. Raises OptionsError for anything that is missing or cannot be."""
        missing = [each.name for each in fields(cls) if each.name not in said]
        if missing:
            raise OptionsError(f"The request is incomplete ({missing[0]} is missing): update the plug-in.")
        if not isinstance(said["options"], dict):
            raise OptionsError("The request's options are malformed: update the plug-in.")
        request = cls(
            options=Options.from_dict(said["options"]),
            width=whole_number("width", 1, LARGEST_SIDE)(said["width"]),
            height=whole_number("height", 1, LARGEST_SIDE)(said["height"]),
            format=choice(PixelFormat, "pixel format")(said["format"]),
            mask_format=choice(PixelFormat, "mask format")(said["mask_format"]),
            pixels=read_name(said["pixels"]),
            **{key: read_names(said[key]) for key in ("limits", "layer_out", "mask_out")},
        )
        masks, layers = result_files(request.options)
        if (len(request.mask_out), len(request.layer_out)) != (masks, layers):
            raise OptionsError(
                f"The output {request.options.output.value}, people {request.options.people.value}, goes to {masks} mask and "
                f"{layers} layer files, not to {len(request.mask_out)} and {len(request.layer_out)}: update the plug-in."
            )
        return request

    def to_dict(self) -> dict:
        """What `from_dict` reads."""
        said = {each.name: plain(getattr(self, each.name)) for each in fields(self)}
        return {**said, "options": self.options.to_dict()}


def result_files(options: Options) -> tuple[int, int]:
    """How many masks and how many layers or pictures may come back."""
    masks = MOST_PEOPLE if options.people is People.EACH else 1
    return masks, {Output.LAYER: masks, Output.MASK: 0}.get(options.output, 1)


def new_file_name() -> str:
    """A name for a file in the private directory that no other request has."""
    return f"exchange-{uuid.uuid4().hex}"


def read_fields(kind: type, said: dict) -> dict:
    """The fields of a dataclass that are said, read; raises OptionsError for one that it does not have."""
    readers = {each.name: each.metadata["read"] for each in fields(kind)}
    for name in said:
        if name not in readers:
            raise OptionsError(f"There is no option {name!r}: update the plug-in, or leave it out.")
    return {name: readers[name](value) for name, value in said.items()}


def read_name(value: Any) -> str:
    if not isinstance(value, str):
        raise OptionsError(f"The file name {value!r} is malformed: update the plug-in.")
    return value


def read_names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise OptionsError(f"The file names {value!r} are malformed: update the plug-in.")
    return tuple(read_name(name) for name in value)


def plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PhotoShade):
        return {"photo": value.path}
    return list(value) if isinstance(value, tuple) else value
