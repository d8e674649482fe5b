"""What can be chosen in GIMP beside what options.py names, and the Options that the choices come to."""

import json
import struct
from dataclasses import fields, replace
from pathlib import Path

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gimp  # noqa: E402
from i18n import Problem, _  # noqa: E402
from options import Coloring, Engine, Options, OptionsError, Output, People, PhotoShade  # noqa: E402

# What stands for a named shade:
CUSTOM, FOREGROUND, BACKGROUND, PHOTO, SAME, NONE = "custom", "foreground", "background", "photo", "same", "none"
LAYER, COLOR, MASK, SELECTION = "layer", "color", "mask", "selection"  # kinds of result
DEFAULT_MODEL = "default"
DEFAULT_COLOR = "#b5592b"  # copper
COLORING = {option.name for option in fields(Coloring)}  # what only a recolored layer has
ARGUMENTS = {"engine": "method"}  # of the procedures, where they are not called like the option


def read_shades():
    """The named shades that install.py put beside the plug-in; the plug-in shows even when they are missing."""
    return read_list("shades.json", {"name": "copper", "label": "Copper", "color": DEFAULT_COLOR, "description": ""})


def read_models():
    """The networks that install.py found, the default one first."""
    return read_list("models.json", {"name": DEFAULT_MODEL, "label": "Default", "description": ""})


def read_list(name, instead):
    try:
        return json.loads((Path(__file__).resolve().parent / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [instead]


def chosen_options(config):
    """The Options that a procedure's config comes to: each option is the argument of the same name, if there is one.

    Where a mask or a selection is wanted, and by Select Hair, no color is read. Raises Problem where one is missing, or
    a value cannot be.
    """
    chosen = {}
    for option in fields(Options):
        argument = ARGUMENTS.get(option.name, option.name).replace("_", "-")
        if config.find_property(argument):
            chosen[option.name] = config.get_property(argument)
    kind = chosen.get("output", SELECTION)
    if chosen["model"] == DEFAULT_MODEL or chosen["engine"] != Engine.WHOLE:  # there is one classifier of textures only
        chosen["model"] = None
    if kind == SELECTION:  # there is but one
        chosen["people"] = People.TOGETHER
    if kind in (MASK, SELECTION):
        chosen = {name: value for name, value in chosen.items() if name not in COLORING}
        chosen["output"] = Output.MASK
    else:
        tips, highlights = (second_shade(config.get_property(name)) for name in ("tips", "highlights"))
        chosen.update(output=Output.LAYER, shade=chosen_shade(config), tips=tips, highlights=highlights)
    try:
        return Options(**chosen)
    except OptionsError as error:
        raise Problem(str(error)) from error


def preview_options(config):
    """The Options for a picture of that result; of a mask, for the mask itself. Raises Problem as `chosen_options` does."""
    options = chosen_options(config)
    if options.output is Output.MASK:
        return replace(options, people=People.TOGETHER)
    return replace(options, output=Output.LCH_PICTURE if config.get_property("output") == COLOR else Output.PICTURE)


def chosen_shade(config):
    """The shade's name, its color as sRGB (r, g, b), each 0…1, or the photo whose hair has it."""
    shade = config.get_property("shade")
    if shade == FOREGROUND:
        return in_srgb(Gimp.context_get_foreground())
    if shade == PHOTO:
        photo = config.get_property("photo")
        if photo is None:
            raise Problem(_("The shade is that of another photo, but no photo is given: choose its file as well."))
        if photo.get_path() is None:
            raise Problem(
                _("The photo {address} is not in a folder of this computer: copy it there, then choose it.").format(
                    address=photo.get_uri()
                )
            )
        return PhotoShade(photo.get_path())
    if shade != CUSTOM:
        return shade
    color = config.get_property("color")
    if color.get_rgba()[3] == 0:  # what GIMP passes on where a script has not set the color
        raise Problem(_("The shade is custom, but no color is given: set the argument color as well."))
    return in_srgb(color)


def second_shade(chosen):
    """The name or color, as `chosen_shade` has it, of tips or highlights; None where they are as the rest."""
    if chosen == BACKGROUND:
        return in_srgb(Gimp.context_get_background())
    return None if chosen in (SAME, NONE) else chosen


def in_srgb(color):
    """A GeglColor as sRGB (r, g, b), each 0…1 where sRGB can show it."""
    return struct.unpack("3f", color.get_bytes(Babl.format("R'G'B' float")).get_data())
