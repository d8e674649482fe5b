# -*- coding: utf-8 -*-
"""Run by Python 2.7: loads the entry for GIMP 2.10 as GIMP would, calls it case by case, and says what came of it.

drive.py PLUGIN FOLDER: FOLDER holds cases.json; answer.json and the pixels of new layers are written there.
"""

from __future__ import print_function

import imp
import io
import json
import os
import sys

import gimp
import gimpfu

plugin, folder = sys.argv[1:]
imp.load_source("hair_recolor_gimp2", plugin)  # ends in gimpfu.main(), which leaves the functions below
_, _, query, run = gimp.callbacks
query()


def text(value):
    """JSON's text as GIMP passes it to Python 2: bytes."""
    return value.encode("utf-8") if isinstance(value, type(b"".decode())) else value


def content(name):
    with open(os.path.join(folder, text(name)), "rb") as file:
        return file.read()


def dump(name, drawable):
    with open(os.path.join(folder, text(name)), "wb") as file:
        file.write(drawable.pixels)


def do(name, case):
    image = gimp.Image(case["width"], case["height"], case.get("base_type", 0), case.get("precision", 150))
    source = gimp.Layer(512, 512, case["bpp"], content(case["pixels"]))
    source.name, source.offsets = "Photo", tuple(case.get("offsets", (0, 0)))
    source.opacity, source.lock_content = case.get("opacity", 100.0), case.get("locked", 0)
    siblings = image.layers
    if "group" in case:
        group = gimp.Layer(1, 1, 4)
        group.layers, source.parent = [gimp.Layer(1, 1, 4)], group
        image.layers.append(group)
        siblings = group.layers
    siblings.append(source)
    if "selection" in case:
        image.selection.pixels[:] = content(case["selection"])
    if "mask" in case:
        source.mask = gimp.Channel(512, 512, 1, content(case["mask"]))
        source.mask.layer = source
    with open(os.path.join(os.path.dirname(plugin), "settings.json"), "w") as file:  # what the plug-in finds
        json.dump(case["settings"], file)
    before, gimp.messages[:], gimp.pulses[:] = list(siblings), [], []
    choices = [text(choice) for choice in case["choices"]]
    target = source.mask if case.get("mask active") else source
    said = {"error": None}
    try:
        run("python_fu_hair_recolor", (gimpfu.RUN_NONINTERACTIVE, image, target) + tuple(choices))
    except gimpfu.CancelError as error:
        said["error"] = str(error)
    new = [layer for layer in siblings if layer not in before]
    assert not gimp.loaded
    said.update(
        messages=list(gimp.messages),
        steps=image.steps,
        progress=list(gimp.progress),
        pulses=len(gimp.pulses),
        new=len(new),
    )
    if new:
        layer = new[0]
        said.update(
            name=layer.name,
            place=[siblings.index(layer), siblings.index(source)],
            offsets=layer.offsets,
            opacity=layer.opacity,
            bpp=layer.bpp,
            space=layer.composite_space,
            active=image.active is layer,
        )
        dump(name + "-layer.raw", layer)
        dump(name + "-mask.raw", layer.mask)
    return said


with io.open(os.path.join(folder, "cases.json"), encoding="utf-8") as file:
    cases = json.load(file)
answer = {"python": sys.version, "installed": gimp.installed, "menus": gimp.menus}
answer["cases"] = {name: do(name, case) for name, case in cases.items()}
with open(os.path.join(folder, "answer.json"), "w") as file:
    json.dump(answer, file)
