#!/usr/bin/env python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters > Hair > Recolor for GIMP 2.10: the current layer's hair in another color, on a masked layer.

Through Python-Fu, which is Python 2.7: the only file that is. It writes the layer to a PNG, has the command line
(`hairmask recolor`) recolor that, and puts the result in as one undo step. Plug-ins of GIMP 2.10 see 8 bits a channel,
whatever the image has.
"""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib

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
READ_SHARE, WRITE_SHARE = 0.15, 0.15  # of the progress bar; in between it only says that something is being done
POLL_SECONDS = 0.1
# What GIMP, or what it is packed in (AppImage), sets for itself: with its Python and its libraries the environment's would
# not start. -I ignores the rest.
OF_GIMP = ("PYTHON", "GI_", "GEGL_", "BABL_", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_")
NO_HAIR = "3"  # exit status of the command line
SAYS = "hairmask: "  # how a sentence of the command line begins, among what its libraries may say
FILE_NAMES = "mbcs" if sys.platform == "win32" else "utf-8"  # their encoding: str is bytes in Python 2
# Runs the command line in the environment's Python once a line arrives here, then writes its exit status. Whatever way
# the plug-in ends, and GIMP kills it to cancel, this input ends with it: then the work stops and the folder goes.
COMMAND_LINE = """
import os, shutil, sys, threading, traceback
folder = sys.argv.pop(1)
def end_with_plug_in():
    sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
from hairmask_core.cli.main import main
go = sys.stdin.readline()
watch = threading.Thread(target=end_with_plug_in)
watch.start()
if go:
    status = 1
    try:
        status = main(sys.argv[1:])
    except SystemExit as wrong_usage:
        status = wrong_usage.code
    except BaseException:
        traceback.print_exc()
    with open(os.path.join(folder, "status.part"), "w") as file:
        file.write(str(status))
    os.rename(os.path.join(folder, "status.part"), os.path.join(folder, "status"))
"""


class Problem(Exception):
    """A reason not to go on; the message tells the user what to do."""


def native(value, encoding="utf-8"):
    """A text of JSON's as bytes, which str is in Python 2."""
    return value.encode(encoding)


def read_json(name):
    """What install.py put beside the plug-in."""
    with io.open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return json.load(file)


def read_list(name, otherwise):
    """A list of names and labels; the plug-in shows even when it is missing."""
    try:
        return [(native(entry["name"]), native(entry["label"])) for entry in read_json(name)]
    except (EnvironmentError, ValueError, KeyError, TypeError, AttributeError):
        return [otherwise]


def read_settings():
    """The environment's Python, and the command that repairs the installation."""
    try:
        settings = read_json("settings.json")
        return native(settings["python"], FILE_NAMES), native(settings["repair"], FILE_NAMES)
    except (EnvironmentError, ValueError, KeyError, TypeError, AttributeError):
        raise Problem(
            "Hair Recolor is not completely installed ({} is missing or damaged): "
            "run python3 install.py in the folder that Hair Recolor came in.".format(
                os.path.join(FOLDER, "settings.json")
            )
        )


NAMED = read_list("shades.json", ("copper", "Copper"))
SHADES = NAMED + [(CUSTOM, "Custom color"), (FOREGROUND, "Foreground color"), (PHOTO, "Hair of another photo")]
TIPS = [(SAME, "As the rest")] + NAMED + [(BACKGROUND, "Background color")]
MODELS = read_list("models.json", (DEFAULT_MODEL, "Default"))


def run(image, layer, *choices):
    """One call of the filter; choices are in the order of PARAMETERS."""
    try:
        recolor_layer(image, check_layer(image, layer), *choices)
    except Problem as problem:
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
    """Have the layer recolored, and add the masked layer above it in one undo step."""
    python, repair = read_settings()
    shade, tips, method, model = (
        chosen(SHADES, shade),
        chosen(TIPS, tips),
        chosen(METHODS, method),
        chosen(MODELS, model),
    )
    options = ["--strength=%r" % float(strength), "--engine=" + method, "--step=%d" % step]
    options += ["--quality=" + chosen(QUALITIES, quality), "--device=" + chosen(DEVICES, device)]
    if method == "whole" and model != DEFAULT_MODEL:  # there is one classifier of textures only
        options += ["--model=" + model]
    if force:
        options += ["--force"]
    if shade == PHOTO:
        if not photo:
            raise Problem("The shade is that of another photo, but no photo is given: choose its file as well.")
        name, options = "hair of " + os.path.basename(photo), options + ["--shade-from=" + photo]
    else:
        colors = {CUSTOM: color, FOREGROUND: pdb.gimp_context_get_foreground()}
        name = in_hex(colors[shade]) if shade in colors else shade
        options += ["--shade=" + name]
    if tips != SAME:
        tips = in_hex(pdb.gimp_context_get_background()) if tips == BACKGROUND else tips
        name, options = "{} to {}".format(name, tips), options + ["--shade-tips=" + tips]

    gimp.progress_init("Reading the layer")
    folder = tempfile.mkdtemp(prefix="hair-recolor-")  # that nobody else can read
    try:
        source, layer_file, mask_file = (os.path.join(folder, stem + ".png") for stem in ("photo", "layer", "mask"))
        files = [source, "--layer-out=" + layer_file, "--mask-out=" + mask_file]
        process = start(python, repair, folder, ["recolor"] + files + options)
        try:
            write_png(layer, source)
            pdb.gimp_progress_set_text("Looking for hair")
            notices = wait(process, repair, folder, source)
            add_masked_layer(image, layer, "Hair recolor ({})".format(name), layer_file, mask_file)
        finally:
            end(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    pdb.gimp_progress_end()
    for notice in notices:
        pdb.gimp_message(notice)
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


def in_hex(color):
    """GIMP's color, of 0…255 in each part, as #rrggbb."""
    return "#%02x%02x%02x" % tuple(color)[:3]


# The command line


def start(python, repair, folder, arguments):
    """The command line in a process of its own, which waits for the photo. Raises Problem if it cannot be started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_GIMP)}
    how = {"creationflags": 0x08000000} if sys.platform == "win32" else {"close_fds": True}  # without a window there
    command = [python, "-I", "-c", COMMAND_LINE, folder] + arguments
    with open(os.path.join(folder, "words"), "wb") as words:
        try:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=words, stderr=subprocess.STDOUT, env=environment, **how
            )
        except EnvironmentError as error:
            raise Problem(cannot_start("{}: {}".format(python, error.strerror), repair))


def wait(process, repair, folder, source):
    """Wait for the result; returns what the command line has to say. Raises Problem with its sentence if it failed."""
    place = os.path.join(folder, "status")
    try:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    except EnvironmentError:
        pass  # it has ended, as is seen below
    while not os.path.exists(place) and process.poll() is None:
        pdb.gimp_progress_pulse()
        time.sleep(POLL_SECONDS)
    with io.open(os.path.join(folder, "words"), encoding="utf-8", errors="replace") as file:
        lines = [native(line.strip()) for line in file if line.strip()]
    last = lines[-1][:300] if lines else "it left no message"
    said = [line[len(SAYS) :] for line in lines if line.startswith(SAYS)]
    if not os.path.exists(place):
        if process.returncode < 0:  # by a signal
            raise Problem(
                "The work ended unexpectedly, perhaps for lack of memory: close other programs and try again."
            )
        raise Problem(cannot_start(last, repair))
    with open(place) as file:
        status = file.read()
    if status == "0":
        return said
    if not said:
        raise Problem("Hair Recolor failed ({}): please report this sentence.".format(last))
    if status == NO_HAIR and source in said[-1]:  # not in the photo whose color was to be taken
        raise Problem(
            "No hair was found in this photo: crop closer to the head, or force the result to paint the mask yourself."
        )
    raise Problem(said[-1])


def end(process):
    """End the command line, whatever it is doing."""
    if process.poll() is None:
        process.kill()
    process.stdin.close()
    process.wait()


def cannot_start(reason, repair):
    return "Hair Recolor could not be started ({}): repair the installation with  {}".format(reason, repair)


# Pixels


def strips(width, height):
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def region_of(drawable, write=False):
    """All pixels of a drawable, to read from or write to; its width and height."""
    width, height = pdb.gimp_drawable_width(drawable), pdb.gimp_drawable_height(drawable)
    return drawable.get_pixel_rgn(0, 0, width, height, write, False), width, height


def write_png(layer, path):
    """Write the layer's pixels to a PNG of 8 bits, with neither filters nor profile (PNG 3rd edition)."""
    region, width, height = region_of(layer)
    alpha = pdb.gimp_drawable_has_alpha(layer)
    row_bytes, compress = width * (4 if alpha else 3), zlib.compressobj(1)

    def chunk(kind, data):
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF))

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6 if alpha else 2, 0, 0, 0))
        for top, bottom in strips(width, height):
            pixels = region[0:width, top:bottom]
            rows = [b"\0" + pixels[start : start + row_bytes] for start in range(0, len(pixels), row_bytes)]
            chunk(b"IDAT", compress.compress(b"".join(rows)))
            gimp.progress_update(READ_SHARE * bottom / height)
        chunk(b"IDAT", compress.flush())
        chunk(b"IEND", b"")


def add_masked_layer(image, source, name, layer_file, mask_file):
    """Add the recolored layer with its mask above the source: same size, place and group; one undo step.

    Layer and mask are filled before they join the image, so that a cancel leaves no half-made layer.
    """
    alpha = pdb.gimp_drawable_has_alpha(source)
    width, height = pdb.gimp_drawable_width(source), pdb.gimp_drawable_height(source)
    opacity, kind = pdb.gimp_layer_get_opacity(source), RGBA_IMAGE if alpha else RGB_IMAGE
    layer = pdb.gimp_layer_new(image, width, height, kind, name, opacity, LAYER_MODE_NORMAL)
    # Blend as the mask says, on the values that the user sees: (1-p)*original + p*recolored.
    pdb.gimp_layer_set_composite_space(layer, LAYER_COLOR_SPACE_RGB_PERCEPTUAL)
    pdb.gimp_item_set_visible(layer, pdb.gimp_item_get_visible(source))
    left, top = pdb.gimp_drawable_offsets(source)
    pdb.gimp_layer_set_offsets(layer, left, top)  # before it joins: a group may have its position locked
    mask = pdb.gimp_layer_create_mask(layer, ADD_MASK_BLACK)
    limits = list(limiting_masks(image, source))
    pixels = (lambda rgba, area: with_alpha_of(source, rgba, area)) if alpha else (lambda rgba, area: colors(rgba))
    fill(layer, layer_file, (1 - WRITE_SHARE, 0.95), pixels)
    fill(mask, mask_file, (0.95, 1.0), lambda levels, area: limited(levels, limits, area))

    pdb.gimp_image_undo_group_start(image)
    try:
        position = pdb.gimp_image_get_item_position(image, source)
        pdb.gimp_image_insert_layer(image, layer, pdb.gimp_item_get_parent(source), position)
        pdb.gimp_layer_add_mask(layer, mask)
        pdb.gimp_image_set_active_layer(image, layer)
    finally:
        pdb.gimp_image_undo_group_end(image)


def fill(drawable, path, progress, convert):
    """Fill a drawable from an image file, which GIMP reads.

    convert: gets the pixels of some rows, and their area as (width, top, bottom), and returns the drawable's.
    """
    loaded = pdb.gimp_file_load(path, path)
    try:
        pixels, width, height = region_of(pdb.gimp_image_get_active_drawable(loaded))
        region, _, _ = region_of(drawable, write=True)
        for top, bottom in strips(width, height):
            region[0:width, top:bottom] = bytes(convert(pixels[0:width, top:bottom], (width, top, bottom)))
            gimp.progress_update(progress[0] + (progress[1] - progress[0]) * bottom / height)
        drawable.flush()
        pdb.gimp_drawable_update(drawable, 0, 0, width, height)
    finally:
        pdb.gimp_image_delete(loaded)


def colors(rgba):
    """RGBA without the alpha."""
    rgb = bytearray(len(rgba) // 4 * 3)
    for part in range(3):
        rgb[part::3] = rgba[part::4]
    return rgb


def with_alpha_of(source, rgba, area):
    """RGBA with the source's alpha: that of the file is the mask's."""
    width, top, bottom = area
    found = bytearray(rgba)
    found[3::4] = region_of(source)[0][0:width, top:bottom][3::4]
    return found


def limiting_masks(image, layer):
    """What keeps parts of the layer out: (channel, left, top) of the selection and of the layer's own mask."""
    if not pdb.gimp_selection_is_empty(image):
        left, top = pdb.gimp_drawable_offsets(layer)
        yield pdb.gimp_image_get_selection(image), left, top
    mask = pdb.gimp_layer_get_mask(layer)
    if mask is not None and pdb.gimp_layer_get_apply_mask(layer):
        yield mask, 0, 0


def limited(levels, limits, area):
    """Levels of a mask times those of what limits it, 0…255 each; outside of that they are zero."""
    width, top, bottom = area
    for channel, left, above in limits:
        region, channel_width, channel_height = region_of(channel)
        first, last = min(max(left, 0), channel_width), min(max(left + width, 0), channel_width)  # columns of both
        before, rows = first - left if first < last else width, []
        for row in range(top, bottom):
            inside = first < last and 0 <= row + above < channel_height
            limit = region[first:last, row + above : row + above + 1] if inside else b""
            limit = (b"\0" * before + limit).ljust(width, b"\0")
            rows.append(product(levels[(row - top) * width : (row - top + 1) * width], limit))
        levels = b"".join(rows)
    return levels


def product(levels, limit):
    """Two rows of levels, 0…255 each, multiplied."""
    if limit.count(b"\xff") == len(limit):
        return levels
    if limit.count(b"\0") == len(limit):
        return limit
    # Rounded, as integers.
    return bytes(bytearray((2 * a * b + 255) // 510 for a, b in zip(bytearray(levels), bytearray(limit))))


# What GIMP is told


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
