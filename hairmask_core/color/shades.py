"""Named shades: what they are called and which color they are. The list itself is `shades.json`."""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import ShadeError


@dataclass(frozen=True)
class Shade:
    """A hair color. name: as typed by users. label: as shown to them. rgb: sRGB-encoded, each 0…1."""

    name: str
    label: str
    rgb: tuple[float, float, float]
    description: str = ""


def parse_hex(text: str) -> tuple[float, float, float]:
    """'#rrggbb' or '#rgb' -> sRGB, each 0…1. Raises ShadeError if it is neither."""
    digits = text.lstrip("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    if not re.fullmatch("[0-9a-fA-F]{6}", digits):
        raise ShadeError(f"{text!r} is not a color: write it as #rrggbb, for example #b5592b.")
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


@functools.cache
def named_shades() -> tuple[Shade, ...]:
    """All named shades, natural levels first."""
    entries = json.loads((Path(__file__).parent / "shades.json").read_text(encoding="utf-8"))
    return tuple(Shade(e["name"], e["label"], parse_hex(e["color"]), e["description"]) for e in entries)


def find_shade(text: str) -> Shade:
    """The shade of that name (case, spaces and underscores do not matter), or '#rrggbb' as a shade.

    Raises ShadeError, naming the nearest known shade, if there is none.
    """
    if text.startswith("#"):
        return Shade(text.lower(), text.lower(), parse_hex(text))
    shades = {shade.name: shade for shade in named_shades()}
    name = re.sub(r"[\s_]+", "-", text.strip().lower())
    if name in shades:
        return shades[name]
    nearest = difflib.get_close_matches(name, shades, n=1, cutoff=0)
    raise ShadeError(f"There is no shade {text!r}: the nearest is {nearest[0]!r}, or give a color as #rrggbb.")


def shade_color(shade: object) -> tuple[float, float, float]:
    """The color of a shade, sRGB-encoded, each 0…1: of a name or '#rrggbb' (see `find_shade`); (r, g, b) is one already.

    Raises ShadeError for a name that no shade has, and for what is none of these.
    """
    if isinstance(shade, str):
        return find_shade(shade).rgb
    if isinstance(shade, tuple):
        red, green, blue = shade
        return red, green, blue
    raise ShadeError("A shade is missing: name one, or give a color as #rrggbb.")
