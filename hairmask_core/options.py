"""What can be asked for: the one description of a request, for GIMP's plug-in, the server and the command line.

Standard library only, for Python 3.9 and newer: the installer lays a copy of this file beside the plug-in, whose Python
is GIMP's. An option is one field of `Options`: its type, its default, and how a value is read, be it JSON's or a caller's.
A value that cannot be is answered with an OptionsError, one sentence that says what is wrong and what to do.
"""

from __future__ import annotations

import numbers
import reprlib
import uuid
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any, Union

PROTOCOL = 8  # version of what plug-in and server say to each other; see server/protocol.py
MOST_PEOPLE = 8  # heads of hair that are told apart in one photo
DEFAULT_STEP = 2  # pixels between the windows of the patch engine …
LARGEST_STEP = 35  # … and the most: a window's own side, so that none is left out
MOST_DEPTH = 4  # levels that hair can be made lighter or darker than its shade
LARGEST_SIDE = 524288  # pixels of a layer's side: GIMP's own limit
# What a request takes at most, as measured (benchmarks/RESULTS.md, "Memory"); keys are engines and pixel formats.
NETWORK_BYTES = {"whole": 0.7e9, "texture": 1.0e9}  # of the server's memory, whatever the layer's size …
PIXEL_BYTES = {"u8": 16, "u16": 24, "float": 40}  # … and for each of its pixels …
MORE_BYTES = 8  # … with this where it is asked whose hair it is, or how far along the strands
QUOTED_CHARACTERS = 100  # of a value that an error quotes, at most


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


class Light(str, Enum):
    """Whether the photo's light tints the new color."""

    AUTO = "auto"  # as in the photo, where it is clearly no white
    NEUTRAL = "neutral"  # as if it were white


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


# Readers: each makes a field's value of what JSON, or a caller, has for it, and raises OptionsError where that cannot be.


def choice(kind: type[Enum], what: str):
    """Reads one of an enum's values."""

    def read(value: Any):
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(member.value for member in kind)
            raise OptionsError(f"There is no {what} {shown(value)}: choose one of {names}.") from None

    return read


def number(what: str, low: float, high: float):
    """Reads a number from low to high."""

    def read(value: Any) -> float:
        if not is_number(value) or not low <= value <= high:  # NaN is neither
            raise OptionsError(f"A {what} of {shown(value)} is not possible: give a number from {low:g} to {high:g}.")
        return float(value)

    return read


def whole_number(what: str, low: int, high: int):
    """Reads a whole number from low to high."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise OptionsError(f"A {what} of {shown(value)} is not possible: give a whole number from {low} to {high}.")
        return value

    return read


def flag(what: str):
    """Reads true or false."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise OptionsError(f"The option {what} is {shown(value)}: give true or false.")
        return value

    return read


def text(what: str):
    """Reads a text, or null for none."""

    def read(value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            raise OptionsError(f"There is no {what} {shown(value)}: give a name, or null for the default.")
        return value

    return read


def read_shade_name(value: Any) -> ShadeName | None:
    """Reads a shade's name, "#rrggbb" or [r, g, b], each brought into 0…1; null for none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(is_number(part) for part in value):
        if not any(part != part for part in value):  # NaN
            red, green, blue = (float(min(max(part, 0), 1)) for part in value)
            return red, green, blue
    raise OptionsError(f"There is no shade {shown(value)}: give a name, #rrggbb, or three numbers from 0 to 1.")


def read_shade(value: Any) -> ShadeName | PhotoShade | None:
    """As `read_shade_name`; {"photo": path} means the hair in that photo."""
    if isinstance(value, dict):
        if set(value) != {"photo"} or not isinstance(value["photo"], str):
            raise OptionsError(f'The shade {shown(value)} names no photo: give {{"photo": path}}.')
        return PhotoShade(value["photo"])
    return value if isinstance(value, PhotoShade) else read_shade_name(value)


def read_file_name(value: Any) -> str:
    """Reads the name of a pixel file; whether it is one of the private directory is for the server to judge."""
    if not isinstance(value, str):
        raise OptionsError(f"The file name {shown(value)} is malformed: update the plug-in.")
    return value


def read_file_names(value: Any) -> tuple[str, ...]:
    """Reads a list of such names."""
    if not isinstance(value, (list, tuple)):
        raise OptionsError(f"The file names {shown(value)} are malformed: update the plug-in.")
    return tuple(read_file_name(name) for name in value)


def is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)  # NumPy's too


def shown(value: Any) -> str:
    """A value as an error quotes it, cut short where it is long."""
    quote = reprlib.Repr()
    quote.maxstring = quote.maxother = QUOTED_CHARACTERS
    return quote.repr(value)


# Fields


def option(read, default: Any = MISSING) -> Any:
    """A field with the function that reads it, and its default if it has one."""
    return field(default=default, metadata={"read": read})


class Described:
    """Base of the dataclasses below: however one is made, each of its fields has been read."""

    def __post_init__(self):
        for each in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            object.__setattr__(self, each.name, each.metadata["read"](getattr(self, each.name)))

    @classmethod
    def from_dict(cls, said: dict):
        """One from JSON's values; what is not said has its default.

        Raises OptionsError, with a sentence for the user, for a value that cannot be, a field that is missing, and one
        that there is not.
        """
        known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
        for name in said:
            if name not in known:
                raise OptionsError(f"There is no option {shown(name)}: leave it out, or update Hair Recolor.")
        for name, each in known.items():
            if name not in said and each.default is MISSING:
                raise OptionsError(f"The request is incomplete ({name} is missing): update the plug-in.")
        return cls(**said)

    def to_dict(self) -> dict:
        """What `from_dict` reads, ready for JSON."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self)}  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    if isinstance(value, Described):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PhotoShade):
        return {"photo": value.path}
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Coloring(Described):
    """What the hair is to look like.

    shade: its new color; None where the output needs none. tips: another color towards the tips. highlights: a color for
    some of the strands, as in foils; highlights_share: how many. roots: the share of the strands' length, from the scalp,
    that keeps its color. depth: levels, as hairdressers count, that all of it is lighter than those colors (below 0:
    darker). shine: how much the hair gleams, 0 as real hair of that depth does, 1 twice as much, -1 half. strength: how
    far towards all that. Raises OptionsError for a value that cannot be.
    """

    shade: ShadeName | PhotoShade | None = option(read_shade, None)
    tips: ShadeName | None = option(read_shade_name, None)
    highlights: ShadeName | None = option(read_shade_name, None)
    highlights_share: float = option(number("share of highlights", 0, 1), 0.3)
    roots: float = option(number("length of roots", 0, 1), 0.0)
    depth: float = option(number("depth", -MOST_DEPTH, MOST_DEPTH), 0.0)
    shine: float = option(number("shine", -1, 1), 0.0)
    strength: float = option(number("strength", 0, 1), 1.0)

    @property
    def follows_strands(self) -> bool:
        """Whether it has to be known how far along its strands hair is."""
        return self.tips is not None or self.roots > 0


@dataclass(frozen=True)
class Options(Coloring):
    """All that a user can choose: a coloring, and how hair is found and what is made of it.

    engine, model, device, quality, step, refine say how hair is found; the rest what is made of it. model: None for the
    default one. quality: of the whole-image engine. step: of the patch engine, pixels between windows. refine: the
    outline follows the photo's own edges. light: whether the color of the hair is judged, and the new one shown, in the
    photo's own light. force: give a result even where there is no hair.
    Raises OptionsError for a value that cannot be.
    """

    engine: Engine = option(choice(Engine, "engine"), Engine.WHOLE)
    model: str | None = option(text("model"), None)
    device: Device = option(choice(Device, "device"), Device.AUTO)
    quality: Quality = option(choice(Quality, "quality"), Quality.FAST)
    step: int = option(whole_number("step", 1, LARGEST_STEP), DEFAULT_STEP)
    refine: bool = option(flag("refine"), True)
    light: Light = option(choice(Light, "light"), Light.AUTO)
    people: People = option(choice(People, "option for people"), People.TOGETHER)
    output: Output = option(choice(Output, "output"), Output.LAYER)
    force: bool = option(flag("force"), False)

    @property
    def search(self) -> tuple:
        """All that decides, beside the photo, which hair is found in it."""
        return self.engine, self.model, self.device, self.quality, self.step, self.refine, self.light


def read_options(value: Any) -> Options:
    """Reads Options, or what their `from_dict` takes."""
    if isinstance(value, Options):
        return value
    if not isinstance(value, dict):
        raise OptionsError("The request's options are malformed: update the plug-in.")
    return Options.from_dict(value)


@dataclass(frozen=True)
class Request(Described):
    """One layer's request: options, and the files in the private directory by which its pixels travel, by name.

    width, height: of the layer, pixels. format, mask_format: of the pixels and of the masks that come back. pixels: raw
    RGBA, or RGB without alpha. limits: raw masks of float32 that limit the matte. layer_out, RGBA, and mask_out: for the
    results, as many as `result_files` says. Raises OptionsError for a value that cannot be.
    """

    options: Options = option(read_options)
    width: int = option(whole_number("width", 1, LARGEST_SIDE))
    height: int = option(whole_number("height", 1, LARGEST_SIDE))
    format: PixelFormat = option(choice(PixelFormat, "pixel format"))
    mask_format: PixelFormat = option(choice(PixelFormat, "mask format"))
    alpha: bool = option(flag("alpha"))
    pixels: str = option(read_file_name)
    limits: tuple[str, ...] = option(read_file_names)
    layer_out: tuple[str, ...] = option(read_file_names)
    mask_out: tuple[str, ...] = option(read_file_names)

    def __post_init__(self):
        super().__post_init__()
        output, people = self.options.output, self.options.people
        if self.options.shade is None and output is not Output.MASK:
            raise OptionsError("A shade is missing: name one, or ask for the mask only.")
        masks, layers = result_files(self.options)
        if (len(self.mask_out), len(self.layer_out)) != (masks, layers):
            raise OptionsError(
                f"The output {output.value}, people {people.value}, goes to {masks} mask and {layers} layer files, "
                f"not to {len(self.mask_out)} and {len(self.layer_out)}: update the plug-in."
            )

    @classmethod
    def of_layer(
        cls, options: Options, size: tuple[int, int], format, mask_format, limits: int = 0, alpha: bool = True
    ) -> Request:
        """A new request with file names of its own. size: width, height. limits: how many masks limit the hair."""
        masks, layers = result_files(options)
        names = [tuple(new_file_name() for _ in range(count)) for count in (limits, layers, masks)]
        return cls(options, *size, format, mask_format, alpha, new_file_name(), *names)

    @property
    def files(self) -> list[str]:
        """The names of all its files, those that the client writes first."""
        return [self.pixels, *self.limits, *self.mask_out, *self.layer_out]

    @property
    def bytes_on_disk(self) -> int:
        """Room that the files take: pixels in and RGBA out, a mask for each result, float32 for each limit."""
        people = 2 if self.options.people is People.EACH else 1  # at least; how many there are is not known yet
        out = self.mask_format.size + (4 * self.format.size if self.layer_out else 0)
        each = (3 + self.alpha) * self.format.size + PixelFormat.FLOAT.size * len(self.limits) + people * out
        return self.width * self.height * each

    @property
    def bytes_in_memory(self) -> float:
        """Memory that the server takes for it at most."""
        more = MORE_BYTES if self.options.people is People.EACH or self.options.tips else 0
        each = PIXEL_BYTES[self.format.value] + more
        return NETWORK_BYTES[self.options.engine.value] + self.width * self.height * each


def result_files(options: Options) -> tuple[int, int]:
    """How many masks and how many layers or pictures may come back."""
    masks = MOST_PEOPLE if options.people is People.EACH else 1
    return masks, {Output.LAYER: masks, Output.MASK: 0}.get(options.output, 1)


def new_file_name() -> str:
    """A name for a file in the private directory that no other request has."""
    return f"exchange-{uuid.uuid4().hex}"
