#!/usr/bin/env python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters > Hair > Recolor for GIMP 2.10: the current layer's hair in another color, on a masked layer.

The same as hair_recolor.py is for GIMP 3, through Python-Fu (Python 2.7): takes pixels out of GIMP, asks the worker
(worker_client.py), and puts the answer in as one undo step. Plug-ins of GIMP 2.10 see 8 bits a channel, whatever the
image has.
"""

import errno
import io
import json
import os
import struct
import sys
import traceback

from gimpfu import (
    ADD_MASK_BLACK,
    LAYER_COLOR_SPACE_RGB_PERCEPTUAL,
    LAYER_MODE_NORMAL,
    PF_COLOR,
    PF_DRAWABLE,
    PF_FILENAME,
    PF_IMAGE,
    PF_OPTION,
    PF_SLIDER,
    PF_SPINNER,
    PF_TOGGLE,
    PRECISION_U8_GAMMA,
    PRECISION_U8_LINEAR,
    RGB,
    RGB_IMAGE,
    RGBA_IMAGE,
    CancelError,
    gimp,
    main,
    pdb,
    register,
)

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
import worker_client  # noqa: E402

METHODS = (("whole", "Whole image"), ("texture", "Texture: small windows, for wigs and close-ups"))
QUALITIES = (("fast", "Fast"), ("best", "Best: strand by strand (slower)"))
DEVICES = (
    ("auto", "Automatic"),
    ("cpu", "Processor (CPU)"),
    ("cuda", "NVIDIA GPU (CUDA)"),
    ("directml", "Windows GPU (DirectML)"),
    ("coreml", "Apple (Core ML)"),
)
CUSTOM, FOREGROUND, BACKGROUND, PHOTO, SAME = "custom", "foreground", "background", "photo", "same"  # for named shades
DEFAULT_MODEL = "default"
STRIP_PIXELS = 1 << 20  # pixels go in and out of GIMP in strips of about this many
READ_SHARE, WORK_SHARE = 0.15, 0.7  # of the progress bar; writing gets the rest
FLOAT_BYTES = [struct.pack("=256f", *(level / 255.0 for level in range(256)))[place::4] for place in range(4)]


class Problem(Exception):
    """A reason not to go on; the message tells the user what to do."""


def read_list(name, otherwise):
    """A list that install.py put beside the plug-in; the plug-in shows even when it is missing."""
    try:
        with io.open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            entries = json.load(file)
        return [(worker_client.native(entry["name"]), worker_client.native(entry["label"])) for entry in entries]
    except (EnvironmentError, ValueError, KeyError, TypeError):
        return [otherwise]


NAMED = read_list("shades.json", ("copper", "Copper"))
SHADES = NAMED + [(CUSTOM, "Custom color"), (FOREGROUND, "Foreground color"), (PHOTO, "Hair of another photo")]
TIPS = [(SAME, "As the rest")] + NAMED + [(BACKGROUND, "Background color")]
MODELS = read_list("models.json", (DEFAULT_MODEL, "Default"))


def run(image, layer, *wishes):
    """One call of the filter; wishes are in the order of PARAMETERS."""
    try:
        recolor_layer(image, check_layer(image, layer), *wishes)
    except (Problem, worker_client.WorkerError) as problem:
        fail_with(problem.args[0])
    except EnvironmentError as error:
        fail_with("The layer's pixels could not be exchanged ({}): check the free disk space.".format(error))
    except MemoryError:
        fail_with("There is not enough memory for this layer: close other programs or scale the layer down.")
    except Exception as error:  # whatever it is, GIMP must hear of it: no silent failure
        traceback.print_exc()
        fail_with("Hair Recolor failed ({}: {}): please report this sentence.".format(type(error).__name__, error))


def fail_with(sentence):
    """Say it, and end without the window of gimpfu's that shows Python's own words; a calling script gets an error."""
    pdb.gimp_message(sentence)
    raise CancelError(sentence)


def check_layer(image, layer):
    """The one layer to work on. Raises Problem for anything that cannot be recolored."""
    if pdb.gimp_item_is_layer_mask(layer):  # after a first run the mask is active, ready to be painted on
        layer = pdb.gimp_layer_from_mask(layer)
    if not pdb.gimp_item_is_layer(layer):
        raise Problem("Select one layer, not a channel, then run Recolor again.")
    if pdb.gimp_image_base_type(image) != RGB:
        raise Problem("The image is not in RGB mode, so its hair cannot take a color: choose Image → Mode → RGB first.")
    if pdb.gimp_image_get_floating_sel(image) is not None:
        raise Problem("There is a floating selection: anchor it (Layer > Anchor Layer), then run Recolor again.")
    if any(pdb.gimp_item_get_lock_content(item) for item in lineage(layer)):
        raise Problem(
            "The layer “{}” is locked: unlock its pixels in the Layers dialog, then run Recolor again.".format(
                pdb.gimp_item_get_name(layer)
            )
        )
    return layer


def lineage(item):
    """The item, and the groups that it is in."""
    while item is not None:
        yield item
        item = pdb.gimp_item_get_parent(item)


def recolor_layer(image, layer, shade, color, photo, tips, strength, method, step, quality, model, device, force):
    """Read the layer, have it recolored, and add the masked layer above it in one undo step."""
    settings = worker_client.load_settings(FOLDER)
    directory = worker_client.private_directory()
    width, height = pdb.gimp_drawable_width(layer), pdb.gimp_drawable_height(layer)
    method, model = chosen(METHODS, method), chosen(MODELS, model)
    wish = {
        "shade": chosen_shade(chosen(SHADES, shade), color, photo),
        "tips": chosen_tips(chosen(TIPS, tips)),
        "strength": float(strength),
        "engine": method,
        "step": int(step),
        "quality": chosen(QUALITIES, quality),
        "refine": True,
        "model": None if model == DEFAULT_MODEL or method != "whole" else model,
        "device": chosen(DEVICES, device),
        "people": "together",
        "output": "layer",
        "force": bool(force),
    }
    masks = list(limiting_masks(image, layer))
    transport = {"type": "u8", "mask_type": "u8"}
    request, paths = worker_client.make_request(directory, (width, height), transport, wish, len(masks))
    files = {key: os.path.join(directory, request[key][0]) for key in ("layer_out", "mask_out")}
    gimp.progress_init("Reading the layer")
    try:
        read_layer(layer, width, height, paths[0])
        for (mask, left, top), path in zip(masks, paths[1:]):
            read_mask(mask, left, top, width, height, path)

        def on_progress(fraction, text):
            pdb.gimp_progress_set_text(text)
            gimp.progress_update(READ_SHARE + WORK_SHARE * fraction)

        def on_result(result):
            name = "Hair recolor ({})".format(worker_client.native(result["shade"]))
            add_masked_layer(image, layer, name, width, height, files)
            return result

        pdb.gimp_progress_set_text("Looking for hair")  # the first time, the worker has to start
        result = worker_client.ask(settings, directory, request, on_progress, on_result)
    finally:
        for path in paths:
            remove(path)
    pdb.gimp_progress_end()
    for notice in result["notices"]:
        pdb.gimp_message(worker_client.native(notice))
    if pdb.gimp_image_get_precision(image) not in (PRECISION_U8_GAMMA, PRECISION_U8_LINEAR):
        pdb.gimp_message(
            "GIMP 2.10 gives plug-ins 8 bits a channel only, so the new layer has no more than that: "
            "use GIMP 3 to keep this image's full precision."
        )
    pdb.gimp_displays_flush()


def chosen(choices, number):
    """The name of the choice of that number."""
    if not 0 <= number < len(choices):
        raise Problem("There is no choice number {}: give one from 0 to {}.".format(number, len(choices) - 1))
    return choices[number][0]


def chosen_shade(shade, color, photo):
    """The shade's name; a color as sRGB [r, g, b], each 0…1; or {"photo": path} for the hair of that photo."""
    if shade == FOREGROUND:
        return encode(pdb.gimp_context_get_foreground())
    if shade == PHOTO:
        if not photo:
            raise Problem("The shade is that of another photo, but no photo is given: choose its file as well.")
        return {"photo": photo}
    return encode(color) if shade == CUSTOM else shade


def chosen_tips(tips):
    """As `chosen_shade`, or None where the tips get the same shade as the rest."""
    if tips == BACKGROUND:
        return encode(pdb.gimp_context_get_background())
    return None if tips == SAME else tips


def encode(color):
    """GIMP's color, of 0…255 in each part, as [r, g, b], each 0…1."""
    return [part / 255.0 for part in tuple(color)[:3]]


def limiting_masks(image, layer):
    """What keeps parts of the layer out: (channel, left, top) of the selection and of the layer's own mask."""
    if not pdb.gimp_selection_is_empty(image):
        left, top = pdb.gimp_drawable_offsets(layer)
        yield pdb.gimp_image_get_selection(image), left, top
    mask = pdb.gimp_layer_get_mask(layer)
    if mask is not None and pdb.gimp_layer_get_apply_mask(layer):
        yield mask, 0, 0


def strips(width, height):
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def create(path):
    """A new file that nobody else can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def remove(path):
    """Remove a file, unless the worker has been quicker."""
    try:
        os.remove(path)
    except EnvironmentError as error:
        if error.errno != errno.ENOENT:
            raise


def read_layer(layer, width, height, path):
    """Write the layer's pixels to a new file as RGBA, row by row."""
    region = layer.get_pixel_rgn(0, 0, width, height, False, False)
    alpha = pdb.gimp_drawable_has_alpha(layer)
    with create(path) as file:
        for top, bottom in strips(width, height):
            pixels = region[0:width, top:bottom]
            file.write(pixels if alpha else with_alpha(pixels))
            gimp.progress_update(READ_SHARE * bottom / height)


def with_alpha(rgb):
    rgba = bytearray(b"\xff") * (len(rgb) // 3 * 4)
    for part in range(3):
        rgba[part::4] = rgb[part::3]
    return rgba


def without_alpha(rgba):
    rgb = bytearray(len(rgba) // 4 * 3)
    for part in range(3):
        rgb[part::3] = rgba[part::4]
    return bytes(rgb)


def read_mask(mask, left, top, width, height, path):
    """Write an area of a mask to a new file as floats, row by row; outside the mask it is zero."""
    mask_width, mask_height = pdb.gimp_drawable_width(mask), pdb.gimp_drawable_height(mask)
    region = mask.get_pixel_rgn(0, 0, mask_width, mask_height, False, False)
    first, last = min(max(left, 0), mask_width), min(max(left + width, 0), mask_width)  # columns that both have
    with create(path) as file:
        for row in range(top, top + height):
            inside = first < last and 0 <= row < mask_height
            levels = region[first:last, row : row + 1] if inside else b""
            before = first - left if inside else width
            file.write(to_floats(b"\0" * before + levels + b"\0" * (width - before - len(levels))))


def to_floats(levels):
    """Bytes of 0…255 as floats of 0…1."""
    floats = bytearray(4 * len(levels))
    for place, table in enumerate(FLOAT_BYTES):
        floats[place::4] = levels.translate(table)
    return floats


def fill(drawable, width, height, path, progress, convert):
    """Fill a drawable from a raw file, row by row."""
    region = drawable.get_pixel_rgn(0, 0, width, height, True, False)
    row_bytes = os.path.getsize(path) // height
    with open(path, "rb") as file:
        for top, bottom in strips(width, height):
            region[0:width, top:bottom] = convert(file.read(row_bytes * (bottom - top)))
            gimp.progress_update(progress[0] + (progress[1] - progress[0]) * bottom / height)
    drawable.flush()
    pdb.gimp_drawable_update(drawable, 0, 0, width, height)


def add_masked_layer(image, source, name, width, height, files):
    """Add the recolored layer with its mask above the source: same size, place and group; one undo step.

    Layer and mask are filled before they join the image, so that a cancel leaves no half-made layer.
    """
    done = READ_SHARE + WORK_SHARE
    alpha = pdb.gimp_drawable_has_alpha(source)
    opacity, kind = pdb.gimp_layer_get_opacity(source), RGBA_IMAGE if alpha else RGB_IMAGE
    layer = pdb.gimp_layer_new(image, width, height, kind, name, opacity, LAYER_MODE_NORMAL)
    # Blend as the mask says, on the values that the user sees: (1-p)*original + p*recolored.
    pdb.gimp_layer_set_composite_space(layer, LAYER_COLOR_SPACE_RGB_PERCEPTUAL)
    pdb.gimp_item_set_visible(layer, pdb.gimp_item_get_visible(source))
    left, top = pdb.gimp_drawable_offsets(source)
    pdb.gimp_layer_set_offsets(layer, left, top)  # before it joins: a group may have its position locked
    fill(layer, width, height, files["layer_out"], (done, 0.95), bytes if alpha else without_alpha)
    mask = pdb.gimp_layer_create_mask(layer, ADD_MASK_BLACK)
    fill(mask, width, height, files["mask_out"], (0.95, 1.0), bytes)

    pdb.gimp_image_undo_group_start(image)
    try:
        position = pdb.gimp_image_get_item_position(image, source)
        pdb.gimp_image_insert_layer(image, layer, pdb.gimp_item_get_parent(source), position)
        pdb.gimp_layer_add_mask(layer, mask)
        pdb.gimp_image_set_active_layer(image, layer)
    finally:
        pdb.gimp_image_undo_group_end(image)


def labels(choices):
    return tuple(label for _, label in choices)


PARAMETERS = [
    (PF_OPTION, "shade", "Sh_ade", [name for name, _ in NAMED].index("copper"), labels(SHADES)),
    (PF_COLOR, "color", "C_ustom color", (181, 89, 43)),
    (PF_FILENAME, "photo", "_Photo", ""),
    (PF_OPTION, "tips", "_Tips", 0, labels(TIPS)),
    (PF_SLIDER, "strength", "S_trength", 1.0, (0.0, 1.0, 0.01)),
    (PF_OPTION, "method", "_Method", 0, labels(METHODS)),
    (PF_SPINNER, "step", "Ste_p (texture)", 2, (1, 35, 1)),
    (PF_OPTION, "quality", "_Quality", 0, labels(QUALITIES)),
    (PF_OPTION, "model", "_Network", 0, labels(MODELS)),
    (PF_OPTION, "device", "_Device", 0, labels(DEVICES)),
    (PF_TOGGLE, "force", "Add the layer e_ven if no hair is found", False),
]

register(
    "python_fu_hair_recolor",
    "Change the hair color",
    "Finds the hair in the current layer and adds a recolored layer above it, whose layer mask is the hair probability. "
    "Paint on the mask, change the layer's opacity or mode to refine the result.",
    "Hair Recolor contributors",
    "GPL-3.0-or-later",
    "2026",
    "Recolor...",
    "*",  # every image type, so that the menu entry is always there and can say what to do about a gray image
    [(PF_IMAGE, "image", "Image", None), (PF_DRAWABLE, "drawable", "Layer", None)] + PARAMETERS,
    [],
    run,
    menu="<Image>/Filters/Hair",
)

main()
