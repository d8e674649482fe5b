"""A request as it came -> its options, checked."""

from __future__ import annotations

from pathlib import Path

from ..color.shades import Shade, find_shade
from ..errors import RequestError
from ..hair.instances import MOST_INSTANCES
from ..inference.cards import ENGINES
from ..inference.session import DEVICES
from ..segmentation.sliding_window import LARGEST_STEP
from ..segmentation.whole_image import QUALITIES
from .pixel_files import PIXEL_TYPES, pixel_file

LARGEST_SIDE = 524288  # GIMP's own limit
PEOPLE = ("together", "each")  # whether everybody's hair gets one mask, or each one's a mask of its own
OUTPUTS = ("layer", "mask", "picture", "lch picture")  # what a client may ask for, see `protocol`


def check_request(request: dict, directory: Path) -> dict:
    """The request with files as paths and the shade found. Raises RequestError or ShadeError for anything amiss."""
    if request.get("type") != "recolor":
        raise RequestError(f"The worker does not know the request {request.get('type')!r}: update the plug-in.")
    try:
        shade, tips = request["shade"], request["tips"]
        options = {
            "width": int(request["width"]),
            "height": int(request["height"]),
            "format": PIXEL_TYPES[request["format"]],
            "mask_format": PIXEL_TYPES[request["mask_format"]],
            "pixels": pixel_file(directory, request["pixels"]),
            "limits": [pixel_file(directory, name) for name in request["limits"]],
            "layer_out": [pixel_file(directory, name) for name in request["layer_out"]],
            "mask_out": [pixel_file(directory, name) for name in request["mask_out"]],
            "shade": None if shade is None else read_shade_or_photo(shade),
            "tips": None if tips is None else read_shade(tips),
            "strength": float(request["strength"]),
            "engine": str(request["engine"]),
            "step": int(request["step"]),
            "model": None if request["model"] is None else str(request["model"]),
            "quality": str(request["quality"]),
            "refined": bool(request["refined"]),
            "people": str(request["people"]),
            "output": str(request["output"]),
            "device": str(request["device"]),
            "force": bool(request["force"]),
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RequestError(
            f"The request to the worker is incomplete or malformed ({error!r}): update the plug-in."
        ) from error
    if not (0 < options["width"] <= LARGEST_SIDE and 0 < options["height"] <= LARGEST_SIDE):
        raise RequestError(
            f"A layer of {options['width']}x{options['height']} pixels cannot be recolored: sides must be 1 to {LARGEST_SIDE}."
        )
    if not 0 <= options["strength"] <= 1:
        raise RequestError(f"A strength of {options['strength']} is not possible: give a number from 0 to 1.")
    if options["engine"] not in ENGINES:
        raise RequestError(f"There is no engine {options['engine']!r}: choose one of {', '.join(ENGINES)}.")
    if not 1 <= options["step"] <= LARGEST_STEP:
        raise RequestError(
            f"A step of {options['step']} is not possible: give a whole number from 1 to {LARGEST_STEP}."
        )
    if options["quality"] not in QUALITIES:
        raise RequestError(f"There is no quality {options['quality']!r}: choose one of {', '.join(QUALITIES)}.")
    if options["device"] not in DEVICES:
        raise RequestError(f"There is no device {options['device']!r}: choose one of {', '.join(DEVICES)}.")
    if options["people"] not in PEOPLE:
        raise RequestError(f"There is no way {options['people']!r} with people: choose one of {', '.join(PEOPLE)}.")
    if options["output"] not in OUTPUTS:
        raise RequestError(f"There is no output {options['output']!r}: choose one of {', '.join(OUTPUTS)}.")
    if options["shade"] is None and options["output"] != "mask":
        raise RequestError("A shade is missing: name one, or ask for the mask only.")
    masks = MOST_INSTANCES if options["people"] == "each" else 1
    layers = {"layer": masks, "mask": 0}.get(options["output"], 1)
    if (len(options["mask_out"]), len(options["layer_out"])) != (masks, layers):
        raise RequestError(
            f"The output {options['output']}, people {options['people']}, goes to {masks} mask and {layers} layer files, not to "
            f"{len(options['mask_out'])} and {len(options['layer_out'])}: update the plug-in."
        )
    return options


def read_shade_or_photo(said: object) -> Shade | Path:
    """A SHADE of the protocol, or the photo whose hair's color is meant. Raises as `read_shade` does."""
    return Path(str(said["photo"])) if isinstance(said, dict) else read_shade(said)


def read_shade(said: object) -> Shade:
    """A SHADE of the protocol. Raises ShadeError, TypeError or ValueError if it is none."""
    if isinstance(said, list):
        red, green, blue = (min(max(float(part), 0.0), 1.0) for part in said)
        said = "#%02x%02x%02x" % tuple(round(255 * part) for part in (red, green, blue))
    return find_shade(str(said))
