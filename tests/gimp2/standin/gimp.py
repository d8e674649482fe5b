# -*- coding: utf-8 -*-
"""In place of the module `gimp` that GIMP 2.10 brings along: images and layers in memory, and a few procedures.

A procedure can only be called if GIMP 2.10's own list (PROCEDURES) has it, with as many arguments as it has there, of
the types that it names there.
"""

import io
import json
import os
import subprocess

with io.open(os.environ["GIMP_PROCEDURES"], encoding="utf-8") as file:
    PROCEDURES = json.load(file)
locale_directory = ""
callbacks, installed, menus, messages, progress, pulses = [], [], [], [], [], []
loaded = []  # images that were loaded from files and are not deleted yet


class Display(object):
    pass


class Vectors(object):
    pass


# Run by the tests' own Python, since Python 2.7 has no decoder: the image's width, height, bytes a pixel, and pixels.
DECODE = """
import sys
import numpy as np
from PIL import Image
pixels = np.array(Image.open(sys.argv[1]))
sys.stdout.buffer.write(b"%d %d %d\\n" % (pixels.shape[1], pixels.shape[0], pixels[0, 0].size) + pixels.tobytes())
"""


class Item(object):
    name, parent, visible, lock_content = "", None, 1, 0


class Drawable(Item):
    def __init__(self, width, height, bpp, pixels=None):
        self.width, self.height, self.bpp = width, height, bpp
        self.pixels = bytearray(pixels if pixels is not None else width * height * bpp)
        assert len(self.pixels) == width * height * bpp
        self.offsets, self.flushed = (0, 0), True

    def get_pixel_rgn(self, x, y, width, height, dirty, shadow):
        assert (x, y, width, height) == (0, 0, self.width, self.height) and not shadow
        return PixelRgn(self, dirty)

    def flush(self):
        self.flushed = True


class Layer(Drawable):
    mask, apply_mask, opacity, composite_space = None, 1, 100.0, 0


class Channel(Drawable):
    layer = None  # whose mask it is


class Image(object):
    def __init__(self, width, height, base_type=0, precision=150):
        self.width, self.height, self.base_type, self.precision = width, height, base_type, precision
        self.layers, self.active, self.floating = [], None, None
        self.selection = Channel(width, height, 1)
        self.steps, self.group = 0, None  # of undo

    def change(self):
        """Count one step of undo; of all steps in a group, one."""
        if self.group != "counted":
            self.steps += 1
        if self.group:
            self.group = "counted"


class PixelRgn(object):
    """Rectangles of pixels of 8 bits a channel."""

    def __init__(self, drawable, dirty):
        self.drawable, self.dirty = drawable, dirty

    def rows(self, area):
        (left, right, _), (top, bottom, _) = area[0].indices(self.drawable.width), area[1].indices(self.drawable.height)
        if left >= right or top >= bottom:
            raise IndexError("invalid slice")
        for row in range(top, bottom):
            start = (row * self.drawable.width + left) * self.drawable.bpp
            yield slice(start, start + (right - left) * self.drawable.bpp)

    def __getitem__(self, area):
        return b"".join(bytes(self.drawable.pixels[row]) for row in self.rows(area))

    def __setitem__(self, area, pixels):
        assert self.dirty and isinstance(pixels, bytes)
        rows = list(self.rows(area))
        if len(pixels) != sum(row.stop - row.start for row in rows):
            raise TypeError("string is wrong length")
        self.drawable.flushed, start = False, 0
        for row in rows:
            self.drawable.pixels[row] = pixels[start : start + row.stop - row.start]
            start += row.stop - row.start


def _load(path, raw_path):
    said, pixels = subprocess.check_output([os.environ["DECODER"], "-I", "-c", DECODE, path]).split(b"\n", 1)
    width, height, bpp = map(int, said.split())
    image = Image(width, height)
    image.active = Layer(width, height, bpp, pixels)
    loaded.append(image)
    return image


def _new_layer(image, width, height, kind, name, opacity, mode):
    layer = Layer(width, height, 4 if kind == 1 else 3)
    layer.name, layer.opacity = name, opacity
    return layer


def _create_mask(layer, kind):
    return Channel(layer.width, layer.height, 1)


def _siblings(image, parent):
    return parent.layers if parent else image.layers


def _insert(image, layer, parent, position):
    assert layer.flushed
    image.change()
    layer.parent = parent
    _siblings(image, parent).insert(position, layer)


def _add_mask(layer, mask):
    assert mask.flushed and (mask.width, mask.height) == (layer.width, layer.height)
    layer.mask, mask.layer = mask, layer


def _set_active(image, layer):
    image.active = layer


def _undo_start(image):
    assert image.group is None
    image.group = "open"


def _undo_end(image):
    assert image.group is not None
    image.group = None


def _setter(name):
    return lambda item, *values: setattr(item, name, values if len(values) > 1 else values[0])


DOES = {
    "gimp-context-get-background": lambda: (255, 255, 0, 255),
    "gimp-context-get-foreground": lambda: (0, 102, 255, 255),
    "gimp-displays-flush": lambda: None,
    "gimp-drawable-has-alpha": lambda drawable: int(drawable.bpp in (2, 4)),
    "gimp-drawable-height": lambda drawable: drawable.height,
    "gimp-drawable-offsets": lambda drawable: drawable.offsets,
    "gimp-drawable-update": lambda drawable, x, y, width, height: None,
    "gimp-drawable-width": lambda drawable: drawable.width,
    "gimp-file-load": _load,
    "gimp-image-base-type": lambda image: image.base_type,
    "gimp-image-delete": lambda image: loaded.remove(image),
    "gimp-image-get-active-drawable": lambda image: image.active,
    "gimp-image-get-floating-sel": lambda image: image.floating,
    "gimp-image-get-item-position": lambda image, item: _siblings(image, item.parent).index(item),
    "gimp-image-get-precision": lambda image: image.precision,
    "gimp-image-get-selection": lambda image: image.selection,
    "gimp-image-insert-layer": _insert,
    "gimp-image-set-active-layer": _set_active,
    "gimp-image-undo-group-end": _undo_end,
    "gimp-image-undo-group-start": _undo_start,
    "gimp-item-get-lock-content": lambda item: item.lock_content,
    "gimp-item-get-name": lambda item: item.name,
    "gimp-item-get-parent": lambda item: item.parent,
    "gimp-item-get-visible": lambda item: item.visible,
    "gimp-item-is-layer": lambda item: int(isinstance(item, Layer)),
    "gimp-item-is-layer-mask": lambda item: int(isinstance(item, Channel) and item.layer is not None),
    "gimp-item-set-visible": _setter("visible"),
    "gimp-layer-add-mask": _add_mask,
    "gimp-layer-create-mask": _create_mask,
    "gimp-layer-from-mask": lambda mask: mask.layer,
    "gimp-layer-get-apply-mask": lambda layer: layer.apply_mask,
    "gimp-layer-get-mask": lambda layer: layer.mask,
    "gimp-layer-get-opacity": lambda layer: layer.opacity,
    "gimp-layer-new": _new_layer,
    "gimp-layer-set-composite-space": _setter("composite_space"),
    "gimp-layer-set-offsets": _setter("offsets"),
    "gimp-message": messages.append,
    "gimp-progress-end": lambda: None,
    "gimp-progress-pulse": lambda: pulses.append(1),
    "gimp-progress-set-text": lambda text: None,
    "gimp-selection-is-empty": lambda image: int(not any(image.selection.pixels)),
}
FITS = {
    "GIMP_PDB_INT32": (int, bool),
    "GIMP_PDB_FLOAT": (int, float),
    "GIMP_PDB_STRING": (str,),
    "GIMP_PDB_IMAGE": (Image,),
    "GIMP_PDB_LAYER": (Layer, type(None)),
    "GIMP_PDB_CHANNEL": (Channel,),
    "GIMP_PDB_DRAWABLE": (Drawable,),
    "GIMP_PDB_ITEM": (Item,),
}


class PDB(object):
    def __getattr__(self, name):
        name = name.replace("_", "-")
        wanted = [
            argument for argument in PROCEDURES[name]["arguments"] if argument[0] != "run-mode"
        ]  # pygimp gives it

        def call(*arguments):
            assert len(arguments) == len(wanted), "%s wants %d arguments" % (name, len(wanted))
            for argument, (_, kind, _) in zip(arguments, wanted):
                assert isinstance(argument, FITS[kind]), "%s: %r is no %s" % (name, argument, kind)
            return DOES[name](*arguments)

        return call


pdb = PDB()


def main(*functions):
    callbacks[:] = functions


def install_procedure(*description):
    installed.append(description)


def menu_register(*place):
    menus.append(place)


def message(text):
    messages.append(text)


def progress_init(text):
    progress[:] = [0.0]


def progress_update(fraction):
    progress.append(fraction)


def displays_flush():
    pass
