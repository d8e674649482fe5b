"""What the user chose in GIMP, as the worker wants to hear it; see hairmask_core/server/protocol.py."""

import json
import struct
from pathlib import Path

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gimp  # noqa: E402
from texts import Problem, _  # noqa: E402

CUSTOM, FOREGROUND, BACKGROUND, PHOTO, SAME = "custom", "foreground", "background", "photo", "same"  # for named shades
LAYER, COLOR, MASK, SELECTION = "layer", "color", "mask", "selection"  # kinds of result
TOGETHER, EACH = "together", "each"
DEFAULT_MODEL = "default"
DEFAULT_COLOR = "#b5592b"  # copper


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


def hair_wishes(config):
    """How hair is to be found; what every request says."""
    method, model = config.get_property("method"), config.get_property("model")
    return {
        "engine": method,
        "step": config.get_property("step"),
        "quality": config.get_property("quality"),
        "refine": config.get_property("refine"),
        # There is one classifier of textures only.
        "model": None if model == DEFAULT_MODEL or method != "whole" else model,
        "device": config.get_property("device"),
    }


def mask_wishes(config, people=TOGETHER, force=False):
    """For a request that wants no more than the mask."""
    only_mask = {"output": "mask", "people": people, "force": force, "shade": None, "tips": None, "strength": 1.0}
    return {**hair_wishes(config), **only_mask}


def recolor_wishes(config):
    """For the result that Recolor is to give. Raises Problem where a color is missing."""
    output, people, force = (config.get_property(name) for name in ("output", "people", "force"))
    if output == SELECTION:  # there is but one selection
        return mask_wishes(config, TOGETHER, force)
    if output == MASK:
        return mask_wishes(config, people, force)
    return {
        **hair_wishes(config),
        "output": "layer",
        "people": people,
        "force": force,
        "shade": chosen_shade(config),
        "tips": chosen_tips(config),
        "strength": config.get_property("strength"),
    }


def preview_wishes(config):
    """For a picture of that result; of a mask, the mask itself. Raises Problem where a color is missing."""
    wishes = recolor_wishes(config)
    if wishes["output"] == "mask":
        return {**wishes, "people": TOGETHER}
    return {**wishes, "output": "lch picture" if config.get_property("output") == COLOR else "picture"}


def chosen_shade(config):
    """The shade's name; a color as sRGB [r, g, b], each 0…1; or {"photo": path} for the hair of that photo."""
    shade = config.get_property("shade")
    if shade == FOREGROUND:
        return encode(Gimp.context_get_foreground())
    if shade == PHOTO:
        photo = config.get_property("photo")
        if photo is None or photo.get_path() is None:
            raise Problem(_("The shade is that of another photo, but no photo is given: choose its file as well."))
        return {"photo": photo.get_path()}
    if shade != CUSTOM:
        return shade
    color = config.get_property("color")
    if color.get_rgba()[3] == 0:  # what GIMP passes on where a script has not set the color
        raise Problem(_("The shade is custom, but no color is given: set the argument color as well."))
    return encode(color)


def chosen_tips(config):
    """As `chosen_shade`, or None where the tips get the same shade as the rest."""
    tips = config.get_property("tips")
    if tips == BACKGROUND:
        return encode(Gimp.context_get_background())
    return None if tips == SAME else tips


def encode(color):
    """A GeglColor as sRGB [r, g, b], each 0…1 where sRGB can show it."""
    return list(struct.unpack("3f", color.get_bytes(Babl.format("R'G'B' float")).get_data()))
