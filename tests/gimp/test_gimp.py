"""The plug-in inside real GIMPs, installed by install.py as a user would."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import catalogs
import harness
import icc
import numpy as np
import PIL.ImageCms
import pytest
from environments import take_compiled
from folders import changed, tree
from PIL import Image
from pins import read_pins
from skimage.color import deltaE_ciede2000, rgb2lab

from hairmask_core.color.blend import blend, take_color
from hairmask_core.color.shades import find_shade, parse_hex
from hairmask_core.hair.instances import find_instances
from hairmask_core.inference.cards import find_cards
from hairmask_core.options import Coloring
from hairmask_core.photo.files import read_photo, write_image
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair, recolor_layer, shade_of_hair
from hairmask_core.segmentation.segmenter import open_model

SHARED = (Path(__file__).parent / "scripts.py").read_text()
LAYER_KINDS = (Path(__file__).parent / "layer_kinds.py").read_text()
ARTIFACTS = harness.REPOSITORY / "artifacts"

# One session of gimp-console does all calls that need no window; the tests then look at what it left.
CALLS = (
    SHARED
    + """
def case(name, image, drawables, name_="python-fu-hair-recolor", **settings):
    before = describe(image)
    status, message = recolor(image, drawables, name=name_, **settings)
    RESULT[name] = {"status": status, "message": message, "before": before, "after": describe(image)}
    return image.get_layers()[0]

def dump_case(name, image, layer, kind="u8"):
    dump(layer, "R'G'B'A " + kind, f"{HOME}/{name}-layer.raw")
    dump(layer.get_mask(), "Y u8" if kind == "u8" else "Y float", f"{HOME}/{name}-mask.raw")
    dump_flat(image, f"{HOME}/{name}-flat.raw", "R'G'B' " + kind)

def empty_image():
    image = Gimp.Image.new(400, 300, Gimp.ImageBaseType.RGB)
    layer = Gimp.Layer.new(image, "white", 400, 300, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.fill(Gimp.FillType.WHITE)
    return image, [layer]

for name in ("python-fu-hair-recolor", "python-fu-select-hair"):
    procedure = Gimp.get_pdb().lookup_procedure(name)
    RESULT[name] = [procedure.get_menu_label(), procedure.get_menu_paths()]

# The plain case, saved and opened again; the source must stay as it was.
image = load(HOME + "/portrait.png")
source = image.get_layers()[0]
dump(source, "R'G'B' u8", HOME + "/source-before.raw")
case("plain", image, [source], shade="blue")
dump(source, "R'G'B' u8", HOME + "/source-after.raw")
save(image, HOME + "/plain.xcf")
image.delete()
image = load(HOME + "/plain.xcf")
RESULT["opened again"] = describe(image)
dump_case("plain", image, image.get_layers()[0])

# With the last values; those of calls without a dialog do not count, so these are the defaults.
case("last values", image, [image.get_layers()[1]], mode=Gimp.RunMode.WITH_LAST_VALS)

# With a mask selected, as it is right after a run: the layer that it belongs to is meant.
case("mask selected", image, [image.get_layers()[0].get_mask()], shade="red")

# A custom color at part strength.
image = load(HOME + "/portrait.png")
layer = case("custom", image, [image.get_layers()[0]], shade="custom", color=Gegl.Color.new("#7a3422"), strength=0.5)
dump_case("custom", image, layer)

# Another network, at another quality.
import glob, json
known = json.load(open(glob.glob(HOME + "/.config/GIMP/*/plug-ins/hair_recolor/models.json")[0]))
RESULT["networks"] = [model["name"] for model in known]
image = load(HOME + "/portrait.png")
layer = case("choices", image, [image.get_layers()[0]], shade="blue", quality="best", model=known[-1]["name"])
dump_case("choices", image, layer)

# By texture; the portrait has little hair, and how much of it is found is not what is asked here.
image = load(HOME + "/portrait.png")
layer = case("texture", image, [image.get_layers()[0]], shade="blue", method="texture", step=20, force=True)
dump_case("texture", image, layer)

# In a group, with offsets, larger than the image, with alpha and opacity.
image = Gimp.Image.new(300, 200, Gimp.ImageBaseType.RGB)
group = Gimp.GroupLayer.new(image, "people")
image.insert_layer(group, None, 0)
layer = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(HOME + "/portrait.png"))
image.insert_layer(layer, group, 0)
layer.add_alpha()
layer.set_offsets(-40, 25)
group.set_lock_position(True)
layer.set_opacity(60)
above = Gimp.Layer.new(image, "above", 10, 10, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
image.insert_layer(above, group, 0)
case("group", image, [layer], shade="blue")
dump(group.get_children()[1].get_mask(), "Y u8", HOME + "/group-mask.raw")

# Smaller than the image, half of it transparent.
image = Gimp.Image.new(2000, 1500, Gimp.ImageBaseType.RGB)
layer = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(HOME + "/half.png"))
image.insert_layer(layer, None, 0)
layer.set_offsets(700, 500)
new = case("small", image, [layer], shade="blue")
dump_case("small", image, new)

# A feathered selection in the image, on a layer with offsets, and the layer's own mask.
image = Gimp.Image.new(600, 600, Gimp.ImageBaseType.RGB)
layer = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(HOME + "/portrait.png"))
image.insert_layer(layer, None, 0)
layer.set_offsets(50, 30)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 150, 30, 125, 400)
Gimp.Selection.feather(image, 30)
dump(image.get_selection(), "Y float", HOME + "/selection.raw", (50, 30, 512, 512))
new = case("selection", image, [layer], shade="blue")
dump(new.get_mask(), "Y u8", HOME + "/selection-mask.raw")
Gimp.Selection.none(image)
mask = layer.create_mask(Gimp.AddMaskType.WHITE)
layer.add_mask(mask)
buffer = mask.get_buffer()
buffer.set(Gegl.Rectangle.new(0, 0, 512, 60), "Y u8", bytes(512 * 30) + bytes([100]) * (512 * 30))
buffer.flush()
mask.update(0, 0, 512, 60)
case("own mask", image, [layer], shade="blue")
new = image.get_layers()[1]
dump(new.get_mask(), "Y u8", HOME + "/own-mask.raw")

# The selection need not limit, and can be the result: of a layer with offsets, on its own and within another one.
layer.remove_mask(Gimp.MaskApplyMode.DISCARD)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 150, 30, 125, 400)
Gimp.Selection.feather(image, 30)
case("not limited", image, [layer], shade="blue", limit_to_selection=False)
new = image.get_layers()[image.get_item_position(layer) - 1]
dump(new.get_mask(), "Y u8", HOME + "/unlimited-mask.raw")
image.remove_layer(new)
case("selection within", image, [layer], output="selection")
dump(image.get_selection(), "Y float", HOME + "/within.raw", (50, 30, 512, 512))
Gimp.Selection.none(image)
layer.set_lock_content(True)  # does not matter: no pixel of it is touched
case("selection alone", image, [layer], output="selection")
dump(image.get_selection(), "Y float", HOME + "/alone.raw", (50, 30, 512, 512))
linear = image.duplicate()
linear.convert_precision(Gimp.Precision.FLOAT_LINEAR)
Gimp.Selection.none(linear)
case("selection linear", linear, [linear.get_layers()[-1]], output="selection")
dump(linear.get_selection(), "Y float", HOME + "/linear.raw", (50, 30, 512, 512))
RESULT["left over channels"] = len(image.get_channels())
RESULT["still active"] = [one.get_name() for one in image.get_selected_layers()]
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 5, 5)
case("select", image, [layer], name_="python-fu-select-hair", method="texture", step=30)
dump(image.get_selection(), "Y float", HOME + "/select.raw", (50, 30, 512, 512))
case("select without hair", *empty_image(), name_="python-fu-select-hair")

# Other kinds of result, and one layer for each person.
image = load(HOME + "/portrait.png")
layer = case("color", image, [image.get_layers()[0]], shade="blue", output="color")
dump_case("color", image, layer)
image = load(HOME + "/portrait.png")
layer = case("mask", image, [image.get_layers()[0]], output="mask", refine=False)
dump_case("mask", image, layer)
image = load(HOME + "/two.png")
case("each", image, [image.get_layers()[0]], shade="blue", people="each")
for number, layer in enumerate(image.get_layers()[:2], 1):
    dump(layer, "R'G'B'A u8", f"{HOME}/each-{number}-layer.raw")
    dump(layer.get_mask(), "Y u8", f"{HOME}/each-{number}-mask.raw")

# Other precisions, a wide-gamut and a linear profile.
def prepare(name):
    image = load(HOME + "/portrait.png")
    if name in ("adobe16", "light16"):
        image.convert_precision(Gimp.Precision.U16_NON_LINEAR)
    if name.startswith("adobe"):
        image.convert_color_profile(Gimp.ColorProfile.new_rgb_adobe(), Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, False)
    elif name == "light16":
        image.convert_color_profile(Gimp.ColorProfile.new_rgb_srgb_linear(), Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, False)
    else:
        image.convert_precision({"u16": Gimp.Precision.U16_NON_LINEAR, "linear": Gimp.Precision.U8_LINEAR, "float": Gimp.Precision.FLOAT_LINEAR}[name])
    return image

for name in ("u16", "linear", "float", "adobe", "adobe16", "light16"):
    image = prepare(name)
    layer = case(name, image, [image.get_layers()[0]], shade="blue")
    dump_case(name, image, layer, "float")
    save(image, f"{HOME}/{name}.xcf")
    image = prepare(name)
    layer = case(name + " zero", image, [image.get_layers()[0]], shade="blue", strength=0.0)
    dump(layer, "R'G'B'A float", f"{HOME}/{name}-zero.raw")
    dump(image.get_layers()[1], "R'G'B'A float", f"{HOME}/{name}-source.raw")

# The image's own colors as shades, the hair of another photo, and other tips.
Gimp.context_set_foreground(Gegl.Color.new("#2457c5"))
Gimp.context_set_background(Gegl.Color.new("#e8dfcf"))
image = load(HOME + "/portrait.png")
layer = case("foreground", image, [image.get_layers()[0]], shade="foreground", tips="background", highlights="pink", highlights_share=0.4, roots=0.2, depth=-1.0, shine=0.5, light="neutral")
dump_case("foreground", image, layer)
image = load(HOME + "/portrait.png")
layer = case("photo", image, [image.get_layers()[0]], shade="photo", photo=Gio.File.new_for_path(HOME + "/blue.png"))
dump_case("photo", image, layer)
image = prepare("adobe16")
layer = case("wide", image, [image.get_layers()[0]], shade="photo", photo=Gio.File.new_for_path(HOME + "/wide.png"))
dump_case("wide", image, layer, "float")

# A layer that begins beyond the canvas, and one that lies wholly outside.
for name, canvas, place in (("left", (400, 400), (-64, 0)), ("above", (300, 300), (0, -20)), ("around", (300, 200), (-100, -40))):
    image = Gimp.Image.new(*canvas, Gimp.ImageBaseType.RGB)
    layer = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(HOME + "/portrait.png"))
    image.insert_layer(layer, None, 0)
    layer.set_offsets(*place)
    case("select " + name, image, [layer], name_="python-fu-select-hair")
    dump(image.get_selection(), "Y float", f"{HOME}/select-{name}.raw", (0, 0, *canvas))
layer.set_offsets(900, 0)
case("select outside", image, [layer], name_="python-fu-select-hair")

# Hair that a selection leaves out.
image = load(HOME + "/portrait.png")
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 400, 60, 60)
case("beside", image, [image.get_layers()[0]], shade="blue")
case("select beside", image, [image.get_layers()[0]], output="selection")
RESULT["still selected"] = list(Gimp.Selection.bounds(image))[2:]
case("beside forced", image, [image.get_layers()[0]], shade="blue", force=True)

# A script's feather.
image = load(HOME + "/portrait.png")
Gimp.context_set_feather(True)
Gimp.context_set_feather_radius(60, 60)
case("select feather", image, [image.get_layers()[0]], name_="python-fu-select-hair")
RESULT["feather"] = Gimp.context_get_feather()
Gimp.context_set_feather(False)
dump(image.get_selection(), "Y float", HOME + "/feather.raw", (0, 0, 512, 512))

# Again, on the layer that the first run left selected.
image = load(HOME + "/portrait.png")
case("again first", image, [image.get_layers()[0]], shade="blue")
case("again", image, image.get_selected_layers(), shade="copper")
dump_flat(image, HOME + "/again.raw", "R'G'B' u8")
save(image, HOME + "/again.xcf")
image = load(HOME + "/again.xcf")
image.remove_layer(image.get_layers()[-1])
case("again without its source", image, [image.get_layers()[0]], shade="blue")
image = load(HOME + "/portrait.png")
case("once", image, [image.get_layers()[0]], shade="copper")
dump_flat(image, HOME + "/once.raw", "R'G'B' u8")

# A photo whose name is not UTF-8, and one that is on no disk.
import shutil
shutil.copy(HOME + "/blue.png", (HOME + "/caf").encode() + b"\\xe9.png")
image = load(HOME + "/portrait.png")
case("latin", image, [image.get_layers()[0]], shade="photo", photo=Gio.File.new_for_uri(f"file://{HOME}/caf%E9.png"))
case("remote", image, [image.get_layers()[0]], shade="photo", photo=Gio.File.new_for_uri("https://example.org/a.png"))

# A camera's own sRGB profile, which differs from GIMP's by bytes only.
image = load(HOME + "/camera.png")
RESULT["camera profile"] = image.get_color_profile().is_equal(Gimp.ColorProfile.new_rgb_srgb())
layer = case("camera", image, [image.get_layers()[0]], shade="blue")
dump_case("camera", image, layer)

# What cannot be recolored.
image = load(HOME + "/portrait.png")
case("no photo", image, [image.get_layers()[0]], shade="photo")
image = load(HOME + "/portrait.png")
case("no picture", image, [image.get_layers()[0]], shade="photo", photo=Gio.File.new_for_path(HOME + "/script.py"))
image = load(HOME + "/portrait.png")
case("no color", image, [image.get_layers()[0]], shade="custom")
image = load(HOME + "/portrait.png")
image.convert_grayscale()
case("gray", image, [image.get_layers()[0]])
image = load(HOME + "/portrait.png")
image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 64, False, False, "")
case("indexed", image, [image.get_layers()[0]])
image = load(HOME + "/portrait.png")
image.get_layers()[0].set_lock_content(True)
case("locked", image, [image.get_layers()[0]])
image = Gimp.Image.new(400, 300, Gimp.ImageBaseType.RGB)
layer = Gimp.Layer.new(image, "nothing", 400, 300, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
image.insert_layer(layer, None, 0)
case("empty", image, [layer], force=True)
layer.fill(Gimp.FillType.WHITE)
case("no hair", image, [layer])
case("forced", image, [layer], force=True)
image = Gimp.Image.new(400, 300, Gimp.ImageBaseType.RGB)
layer = Gimp.Layer.new(image, "huge", 200000, 200000, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
image.insert_layer(layer, None, 0)
case("huge", image, [layer])
image.delete()
for name, width, height in (("thin", 1, 4000), ("dot", 1, 1)):
    image = Gimp.Image.new(width, height, Gimp.ImageBaseType.RGB)
    layer = Gimp.Layer.new(image, "pixels", width, height, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.fill(Gimp.FillType.WHITE)
    case(name, image, [layer], force=True)
image = load(HOME + "/portrait.png")
twice = image.get_layers()[0].copy()
image.insert_layer(twice, None, 0)
case("two layers", image, image.get_layers())
image = load(HOME + "/portrait.png")
try:
    case("no such shade", image, [image.get_layers()[0]], shade="coper")
except Exception as error:
    RESULT["no such shade"] = {"status": "refused", "message": str(error), "before": describe(image), "after": describe(image)}

# What can be missing or damaged.
import os, signal
settings = glob.glob(HOME + "/.config/GIMP/*/plug-ins/hair_recolor/settings.json")[0]
whole = open(settings).read()
def end_worker():
    import json, time
    for log in glob.glob(HOME + "/.cache/hair-recolor/worker/worker.log"):
        words = open(log).read().split("process ")
        try:
            os.kill(int(words[-1].split()[0]), signal.SIGKILL)
        except (ProcessLookupError, ValueError, IndexError):
            pass
    time.sleep(0.5)

end_worker()
image = load(HOME + "/portrait.png")
os.rename(settings, settings + ".away")
case("no settings", image, [image.get_layers()[0]])
os.rename(settings + ".away", settings)
open(settings, "w").write(whole.replace("bin/python", "bin/no-python"))
case("no python", image, [image.get_layers()[0]])
open(settings, "w").write(whole)
weights = glob.glob(HOME + "/.local/share/hair-recolor/venv/lib/python3*/site-packages/hairmask_core/weights/*.onnx")
for model in weights:
    os.rename(model, model + ".away")
case("no model", image, [image.get_layers()[0]])
end_worker()
for model in weights:
    open(model, "wb").write(open(model + ".away", "rb").read()[:-1])
case("altered model", image, [image.get_layers()[0]])
for model in weights:
    os.rename(model + ".away", model)
end_worker()
case("repaired", image, [image.get_layers()[0]], shade="blue")
RESULT["left over"] = glob.glob(HOME + "/.cache/hair-recolor/worker/exchange-*")
"""
)


GIMPS = [pytest.param(name, marks=pytest.mark.xdist_group(f"GIMP {name}")) for name in harness.wanted_series()]


@pytest.fixture(scope="module", params=GIMPS)
def gimp(request, tmp_path_factory, astronaut, hair):
    """A GIMP with the product installed and photos in its home folder."""
    gimp = harness.open_gimp(request.param, tmp_path_factory.mktemp("gimp"))
    said = harness.install_product(gimp)
    assert "plug-ins/hair_recolor\n" in said and "It works" in said
    assert "GIMP says that it has the procedure" in said
    Image.fromarray(astronaut).save(gimp.on_host(gimp.home / "portrait.png"))
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[:, 256:] = 0
    Image.fromarray(np.dstack([astronaut, alpha])).save(gimp.on_host(gimp.home / "half.png"))
    Image.fromarray(two_people(astronaut)).save(gimp.on_host(gimp.home / "two.png"))
    blue = blend(astronaut, recolor_layer(Photo(astronaut), hair, find_shade("blue").rgb), hair.matte)
    Image.fromarray(blue).save(gimp.on_host(gimp.home / "blue.png"))
    wide = np.rint(icc.convert(blue / 255, "sRGB", "ProPhoto") * 65535).astype(np.uint16)
    camera = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(astronaut).save(gimp.on_host(gimp.home / "camera.png"), icc_profile=camera)
    write_image(gimp.on_host(gimp.home / "wide.png"), wide, icc_profile=icc.icc_profile("ProPhoto"))
    yield gimp
    harness.end_all_processes(gimp)


def two_people(astronaut):
    """The portrait, and beside it somebody with darker hair."""
    return np.hstack([astronaut, astronaut[:, ::-1] // 2])


@pytest.fixture(scope="module")
def calls(gimp):
    return harness.run_script(gimp, CALLS, 400)


@pytest.fixture(scope="module")
def hair(astronaut, model):
    return find_hair(Photo(astronaut), model)


def pixels(gimp, name, channels, dtype=np.uint8, side=512):
    shape = (side, side, channels) if channels > 1 else (side, side)
    return np.fromfile(gimp.on_host(gimp.home / f"{name}.raw"), dtype).reshape(shape)


def assert_blend(flat, source, layer, mask, stored_linear=False):
    """What GIMP shows is (1-p)·original + p·recolored, within 2/255; all in 0…1."""
    expected = (1 - mask[..., None]) * source + mask[..., None] * layer
    if stored_linear:  # GIMP keeps what it shows in 8 linear bits, so that is how finely one can look
        flat, expected = (np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) for x in (flat, expected))
    assert np.abs(flat - expected).max() <= 2 / 255


def test_menu_entry(calls):
    assert calls["python-fu-hair-recolor"] == ["Recolor…", ["<Image>/Filters/Hair"]]
    assert calls["python-fu-select-hair"] == ["Select Hair", ["<Image>/Filters/Hair"]]


def test_one_masked_layer_above_the_source(calls):
    assert calls["plain"]["status"] == "success", calls["plain"]
    new, source = calls["plain"]["after"]
    assert [source] == calls["plain"]["before"]
    assert new == source | {"name": "Hair recolor (blue)", "mask": True}
    assert calls["opened again"] == calls["plain"]["after"]


def test_mask_is_the_cores_probability(gimp, calls, hair):
    mask = pixels(gimp, "plain-mask", 1)
    assert np.abs(mask / 255 - hair.matte).max() <= 1 / 255
    assert mask.max() == 255 and mask.min() == 0


def test_layer_is_the_cores_recolored_photo(gimp, calls, hair, astronaut):
    expected = recolor_layer(Photo(astronaut), hair, find_shade("blue").rgb)
    layer = pixels(gimp, "plain-layer", 4)
    assert np.abs(layer[..., :3].astype(int) - expected).max() <= 1 and (layer[..., 3] == 255).all()


def test_shown_is_the_blend(gimp, calls, astronaut):
    flat, layer, mask = pixels(gimp, "plain-flat", 3), pixels(gimp, "plain-layer", 4), pixels(gimp, "plain-mask", 1)
    assert_blend(flat / 255, astronaut / 255, layer[..., :3] / 255, mask / 255)
    assert np.abs(flat.astype(int) - astronaut)[20:90, 180:280].mean() > 20  # and the hair did change


def test_source_layer_is_untouched(gimp, calls, astronaut):
    np.testing.assert_array_equal(pixels(gimp, "source-before", 3), astronaut)
    np.testing.assert_array_equal(pixels(gimp, "source-after", 3), astronaut)


def test_run_with_last_values(calls):
    assert calls["last values"]["status"] == "success"
    assert [layer["name"] for layer in calls["last values"]["after"][:2]] == [
        "Hair recolor (blue)",
        "Hair recolor (copper)",
    ]


def test_a_selected_mask_means_its_layer(calls):
    before, after = calls["mask selected"]["before"], calls["mask selected"]["after"]
    assert calls["mask selected"]["status"] == "success", calls["mask selected"]
    assert after[0]["name"] == "Hair recolor (red)"
    assert after[1:] == [
        before[0] | {"visible": False},
        *before[1:],
    ]  # the layer of the mask, whose color would show through


def test_custom_color_at_part_strength(gimp, calls, hair, astronaut):
    assert calls["custom"]["after"][0]["name"] == "Hair recolor (#7a3422)"
    expected = recolor_layer(Photo(astronaut), hair, Coloring("#7a3422", strength=0.5))
    assert np.abs(pixels(gimp, "custom-layer", 4)[..., :3].astype(int) - expected).max() <= 1


def test_all_that_a_stylist_asks_for_in_the_foreground_and_background_color(gimp, calls, hair, astronaut):
    assert calls["foreground"]["after"][0]["name"] == "Hair recolor (#2457c5 to #e8dfcf with pink)", calls["foreground"]
    roots, tips = parse_hex("#2457c5"), parse_hex("#e8dfcf")
    how = Coloring(roots, tips, "pink", highlights_share=0.4, roots=0.2, depth=-1, shine=0.5)
    expected = recolor_layer(Photo(astronaut), hair, how)
    assert np.abs(pixels(gimp, "foreground-layer", 4)[..., :3].astype(int) - expected).max() <= 1


def test_the_shade_is_that_of_another_photo(gimp, calls, hair, astronaut, model):
    assert calls["photo"]["after"][0]["name"] == "Hair recolor (hair of blue.png)", calls["photo"]
    path = gimp.on_host(gimp.home / "blue.png")
    shade = shade_of_hair(find_hair(read_photo(path), model), path)
    expected = recolor_layer(Photo(astronaut), hair, shade.rgb)
    assert np.abs(pixels(gimp, "photo-layer", 4)[..., :3].astype(int) - expected).max() <= 1


def test_the_shade_of_another_photo_is_the_same_in_other_color_profiles(gimp, calls):
    assert calls["wide"]["after"][0]["name"] == "Hair recolor (hair of wide.png)", calls["wide"]
    twin, wide = pixels(gimp, "photo-layer", 4) / 255, pixels(gimp, "wide-layer", 4, np.float32)
    hair = pixels(gimp, "photo-mask", 1) > 230
    off = deltaE_ciede2000(*(rgb2lab(np.clip(layer[..., :3], 0, 1)) for layer in (twin, wide)))[hair]
    assert off.mean() < 1


def test_quality_and_network_are_the_chosen_ones(gimp, calls, astronaut):
    assert calls["networks"] == [card.name for card in find_cards() if card.task == "whole-image"]
    assert calls["choices"]["status"] == "success", calls["choices"]
    other = open_model(calls["networks"][-1], quality="best", device="cpu")
    expected = find_hair(Photo(astronaut), other).matte
    assert np.abs(pixels(gimp, "choices-mask", 1) / 255 - expected).max() <= 1 / 255


def test_method_and_step_are_the_chosen_ones(gimp, calls, astronaut):
    assert calls["texture"]["status"] == "success", calls["texture"]
    expected = find_hair(Photo(astronaut), open_model(engine="texture", step=20, device="cpu")).matte
    assert expected.std() > 0.05
    assert np.abs(pixels(gimp, "texture-mask", 1) / 255 - expected).max() <= 1 / 255


def test_group_and_offsets_are_the_sources(gimp, calls, hair):
    assert calls["group"]["status"] == "success", calls["group"]
    (group,) = calls["group"]["after"]
    above, new, source = group["children"]
    assert [source, above] == [calls["group"]["before"][0]["children"][1], calls["group"]["before"][0]["children"][0]]
    # It takes over opacity and transparency of what is below it, which is the source alone.
    assert new == source | {"name": "Hair recolor (blue)", "mask": True, "opacity": 100.0, "alpha": False}
    assert new["offsets"] == [-40, 25] and new["size"] == [512, 512] and new["opacity"] == 100
    assert np.abs(pixels(gimp, "group-mask", 1) / 255 - hair.matte).max() <= 1 / 255


def test_transparent_parts_stay_transparent(gimp, calls):
    new, source = calls["small"]["after"]
    assert new == source | {"name": "Hair recolor (blue)", "mask": True} and new["offsets"] == [700, 500]
    layer = pixels(gimp, "small-layer", 4)
    assert (layer[:, :256, 3] == 255).all() and (layer[:, 256:, 3] == 0).all()
    assert pixels(gimp, "small-mask", 1)[60, 200] > 200


def selected(gimp, name, width, height):
    return np.fromfile(gimp.on_host(gimp.home / f"{name}.raw"), np.float32).reshape(height, width)


@pytest.mark.parametrize(
    ("name", "canvas", "place"),
    [("left", (400, 400), (-64, 0)), ("above", (300, 300), (0, -20)), ("around", (300, 200), (-100, -40))],
)
def test_what_of_a_layer_is_on_the_canvas_is_selected(gimp, calls, hair, name, canvas, place):
    assert calls[f"select {name}"]["status"] == "success", calls[f"select {name}"]
    (width, height), (left, top) = canvas, place
    expected = np.zeros((height, width), np.float32)
    shown = hair.matte[-top : height - top, -left : width - left]
    expected[: shown.shape[0], : shown.shape[1]] = shown
    assert np.abs(selected(gimp, f"select-{name}", width, height) - expected).max() <= 1.5 / 255


def test_what_cannot_be_selected_is_said_and_changes_nothing(calls):
    assert calls["select outside"]["status"] == "execution-error"
    assert "lies outside of the canvas" in calls["select outside"]["message"]
    for name in ("beside", "select beside"):
        assert calls[name]["status"] == "execution-error" and "outside of the selection" in calls[name]["message"]
        assert calls[name]["after"] == calls[name]["before"]
    assert calls["still selected"] == [0, 400, 60, 460]
    assert calls["beside forced"]["status"] == "success"


def test_a_scripts_own_feather_is_no_feather_of_the_hair(gimp, calls, hair):
    assert calls["select feather"]["status"] == "success" and calls["feather"] is True
    assert np.abs(selected(gimp, "feather", 512, 512) - hair.matte).max() <= 1.5 / 255


def test_again_on_the_result_is_again_on_its_source(gimp, calls):
    """Above the first layer, which is hidden; what is seen is as if there had been one run."""
    before, after = calls["again"]["before"], calls["again"]["after"]
    assert after[0]["name"] == "Hair recolor (copper)" and after[0]["visible"] and len(after) == 3
    assert after[1:] == [before[0] | {"visible": False}, before[1]]
    np.testing.assert_array_equal(pixels(gimp, "again", 3), pixels(gimp, "once", 3))
    lost = calls["again without its source"]
    assert lost["status"] == "execution-error" and "made from is gone" in lost["message"]


@pytest.fixture(scope="module")
def kinds(gimp):
    script = SHARED + re.sub(r"^from scripts import .*$", "", LAYER_KINDS, flags=re.M)
    return harness.run_script(gimp, script, 400, fonts=True)


def test_of_no_kind_of_layer_more_changes_than_the_hair(gimp, kinds, hair):
    """Each is as before at strength 0; at strength 1, only its hair is not. The source keeps its kind and effects."""
    assert len(kinds["kinds"]) >= 35
    for name, case in kinds["kinds"].items():
        assert case["said"][0] == "success" and case["types kept"], (name, case)
        before, after = (pixels(gimp, shown, 3).astype(int) for shown in (f"{name[:-2]}-before", name))
        change = np.abs(after - before).max(axis=2)
        if name.endswith("0"):
            assert change.max() <= 1, name  # rounding
        else:
            assert change[hair.matte > 0.95].mean() > 8 and np.median(change[hair.matte < 0.002]) == 0, name
    assert kinds["kinds"]["effect-0"]["effects"] == [0, 1, 0]


@pytest.mark.parametrize(
    ("laid", "names"),
    [
        ("over", "plain legacy_mode hidden mask_off effect shadow_without_alpha group group_of_a_layer_with_effects"),
        ("clipped", "opacity_alone transparency_alone mask_alone pass_through_group_alone"),
        (
            "grouped",
            "opacity multiply luminance dissolve clipped_to_what_is_below transparency transparency_locked mask "
            "mask_edited effect_with_mask_and_opacity shadow group_with_all pass_through_group beyond_the_canvas text",
        ),
    ],
)
def test_results_lie_above_their_source_or_in_a_group_in_its_place(kinds, laid, names):
    for name in names.split():
        before, after = (kinds["kinds"][f"{name}-0"][when] for when in ("before", "after"))
        new = after[0]
        if laid == "grouped":
            group, source = after[:2]
            assert source == before[0] | {"visible": False} and after[2:] == before[1:], name
            assert [group[key] for key in ("opacity", "visible")] == [before[0][key] for key in ("opacity", "visible")]
            passes = name == "pass_through_group"
            assert group["mode"] == ("normal" if passes else before[0]["mode"]), name
            new, copy = group["children"]
            assert (copy["mode"], copy["opacity"], copy["mask"]) == ("normal", 100, before[0]["mask"]), name
        else:
            assert after[1:] == before, name
        assert new["name"].startswith("Hair recolor (") and new["mask"] and new["opacity"] == 100, name
        assert (new["mode"], new["visible"]) == ("normal", name != "hidden"), name
        assert laid == "over" or not new["alpha"], name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pass through to what is below", "set its mode to Normal"),
        ("visibility locked", "its visibility is locked: unlock it"),
        ("mask shown", "switch off Layer → Mask → Show Layer Masks"),
        ("several", "Select one layer"),
        ("channel", "Select one layer"),
        ("floating", "Anchor Layer"),
        ("quick mask", "Toggle Quick Mask"),
    ],
)
def test_layers_that_cannot_be_recolored_are_refused_and_stay(kinds, name, says):
    case = kinds["refused"][name]
    assert case["said"][0] == "execution-error" and says in case["said"][1], case
    assert case["after"] == case["before"]


def test_results_know_their_source_wherever_they_are(gimp, kinds):
    """Again on both layers of one run, in a duplicate of the image, saved and opened, over a copy of the source."""
    for name in ("both", "duplicate", "saved", "over a copy"):
        case = kinds["again"][name]
        assert case["said"][0] == "success", case
        ours = [layer for layer in case["before"] if layer["name"].startswith("Hair recolor")]
        new, *rest = case["after"]
        assert new["name"] == "Hair recolor (copper)" and new["visible"], name
        assert rest == [layer | {"visible": False} for layer in ours] + case["before"][len(ours) :], name
    group, *_below = kinds["again"]["in its group"]["after"]
    assert [(layer["name"], layer["visible"]) for layer in group["children"]][:2] == [
        ("Hair recolor (copper)", True),
        ("Hair recolor (blue)", False),
    ]
    np.testing.assert_array_equal(pixels(gimp, "again in its group", 3), pixels(gimp, "once in its group", 3))


def test_photos_for_a_shade_by_any_name(calls):
    assert calls["latin"]["status"] == "success", calls["latin"]
    assert calls["latin"]["after"][0]["name"] == "Hair recolor (hair of caf?.png)"
    assert calls["remote"]["status"] == "execution-error"
    assert "https://example.org/a.png is not in a folder of this computer" in calls["remote"]["message"]


def test_a_cameras_own_srgb_profile_is_srgb(gimp, calls, hair, astronaut):
    assert calls["camera profile"] is False and calls["camera"]["status"] == "success"
    expected = recolor_layer(Photo(astronaut), hair, "blue")
    np.testing.assert_array_equal(pixels(gimp, "camera-layer", 4)[..., :3], expected)


def test_selection_limits_the_mask_and_keeps_its_feather(gimp, calls, hair):
    selection = pixels(gimp, "selection", 1, np.float32)
    assert 0.2 < np.median(selection[(selection > 0.02) & (selection < 0.98)]) < 0.8  # there is a feather
    mask = pixels(gimp, "selection-mask", 1) / 255
    assert np.abs(mask - hair.matte * selection).max() <= 1.5 / 255
    assert mask[60, 150] == 0 and hair.matte[60, 150] == 0 or mask.sum() < hair.matte.sum() * 0.9


def test_what_the_layers_own_mask_hides_is_left_out(gimp, calls, hair):
    """What it shows in part, so does the result, which takes over the layer's transparency."""
    own = np.ones((512, 512))
    own[:30] = 0
    assert np.abs(pixels(gimp, "own-mask", 1) / 255 - hair.matte * own).max() <= 1.5 / 255


def test_the_selection_need_not_limit(gimp, calls, hair):
    assert calls["not limited"]["status"] == "success", calls["not limited"]
    assert np.abs(pixels(gimp, "unlimited-mask", 1) / 255 - hair.matte).max() <= 1.5 / 255


@pytest.mark.parametrize("name", ["alone", "within", "linear"])
def test_the_selection_can_be_the_result(gimp, calls, hair, name):
    case = calls[f"selection {name}"]
    assert case["status"] == "success" and case["after"] == case["before"], case
    limit = pixels(gimp, "selection", 1, np.float32) if name == "within" else 1
    difference = np.abs(pixels(gimp, name, 1, np.float32) - hair.matte * limit)
    # In the linear one the pixels have been through a conversion as well, and the network answers to their rounding.
    assert difference.max() <= (12 if name == "linear" else 1.5) / 255 and difference.mean() <= 1e-3
    assert calls["left over channels"] == 0 and calls["still active"] == ["portrait.png"]


def test_select_hair_replaces_the_selection(gimp, calls, astronaut):
    case = calls["select"]
    assert case["status"] == "success" and case["after"] == case["before"], case
    expected = find_hair(Photo(astronaut), open_model(engine="texture", step=30, device="cpu")).matte
    assert np.abs(pixels(gimp, "select", 1, np.float32) - expected).max() <= 1.5 / 255
    assert calls["select without hair"]["status"] == "execution-error"
    assert "No hair was found" in calls["select without hair"]["message"]


def test_color_layer_gives_hue_and_chroma_only(gimp, calls, hair, astronaut):
    new, source = calls["color"]["after"]
    assert new == source | {"name": "Hair recolor (blue)", "mask": True, "mode": "lch-color"}
    recolored = recolor_layer(Photo(astronaut), hair, find_shade("blue").rgb)
    expected = blend(astronaut, take_color(astronaut, recolored), hair.matte)
    shown = pixels(gimp, "color-flat", 3).astype(int)
    assert np.abs(shown - expected).mean() < 0.5  # GIMP's Lab and ours differ in the white point


def test_hair_mask_on_a_copy_of_the_layer(gimp, calls, model, astronaut):
    new, source = calls["mask"]["after"]
    assert new == source | {"name": f"Hair of {source['name']}", "mask": True}
    np.testing.assert_array_equal(pixels(gimp, "mask-layer", 4)[..., :3], astronaut)
    np.testing.assert_array_equal(pixels(gimp, "mask-flat", 3), astronaut)
    raw = find_hair(Photo(astronaut), model, refine=False).matte
    assert np.abs(pixels(gimp, "mask-mask", 1) / 255 - raw).max() <= 1 / 255


def test_each_person_gets_a_layer_dyed_from_the_own_color(gimp, calls, astronaut, model):
    first, second, source = calls["each"]["after"]
    assert [first["name"], second["name"]] == ["Hair recolor (blue), person 1", "Hair recolor (blue), person 2"]
    photo = Photo(two_people(astronaut))
    everybodys = find_hair(photo, model)
    people = find_instances(photo, everybodys)
    for number in (1, 2):
        hair = people.hair_of(number, everybodys)
        mask = np.fromfile(gimp.on_host(gimp.home / f"each-{number}-mask.raw"), np.uint8).reshape(512, 1024)
        layer = np.fromfile(gimp.on_host(gimp.home / f"each-{number}-layer.raw"), np.uint8).reshape(512, 1024, 4)
        assert np.abs(mask / 255 - hair.matte).max() <= 1 / 255
        assert np.abs(layer[..., :3].astype(int) - recolor_layer(photo, hair, find_shade("blue").rgb)).max() <= 1


@pytest.mark.parametrize("precision", ["u16", "linear", "float", "adobe", "adobe16", "light16"])
def test_other_precisions(gimp, calls, precision, model):
    assert calls[precision]["status"] == "success", calls[precision]
    source = pixels(gimp, f"{precision}-source", 4, np.float32)[..., :3]
    hair = find_hair(Photo(np.ascontiguousarray(source)), model)
    flat = pixels(gimp, f"{precision}-flat", 3, np.float32)
    layer, mask = pixels(gimp, f"{precision}-layer", 4, np.float32), pixels(gimp, f"{precision}-mask", 1, np.float32)
    assert np.abs(mask - hair.matte).max() <= 1 / 255
    if precision.startswith(
        "adobe"
    ):  # GIMP blends the image's own values, which are not the sRGB ones that are read here
        assert (
            np.abs(flat - source)[mask == 0].max() <= 1 / 255
            and np.abs(flat - layer[..., :3])[mask == 1].max() <= 1 / 255
        )
    else:
        assert_blend(flat, source, layer[..., :3], mask, precision == "linear")


@pytest.mark.parametrize("precision", ["u16", "linear", "float", "adobe", "adobe16", "light16"])
def test_strength_zero_loses_nothing(gimp, calls, precision):
    zero, source = (pixels(gimp, f"{precision}-{name}", 4, np.float32) for name in ("zero", "source"))
    np.testing.assert_array_equal(zero, source)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gray", "Image → Mode → RGB"),
        ("indexed", "Image → Mode → RGB"),
        ("locked", "unlock its pixels"),
        ("huge", "This layer of 200000 × 200000 pixels needs about"),
        ("empty", "is empty"),
        ("no hair", "No hair was found"),
        ("no color", "no color is given"),
        ("no photo", "no photo is given"),
        ("no picture", "script.py is not an image that can be read"),
        ("two layers", "Select one layer"),
        ("no settings", "run python3 install.py"),
        ("no python", "install.py'"),
        ("no model", "python3 install.py"),
        ("altered model", "was altered or damaged"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_changes(calls, name, says):
    assert calls[name]["status"] == "execution-error"
    assert says in calls[name]["message"], calls[name]["message"]
    assert "\n" not in calls[name]["message"].strip()
    assert calls[name]["after"] == calls[name]["before"]


def test_gimp_replaces_an_unknown_shade_by_the_default(calls):
    """GIMP itself checks choices, before the plug-in hears of them; the layer's name tells which shade it is."""
    assert calls["no such shade"]["after"][0]["name"] == "Hair recolor (copper)"


def test_force_adds_the_layer_without_hair(calls):
    assert calls["forced"]["status"] == "success"
    assert [layer["name"] for layer in calls["forced"]["after"]] == ["Hair recolor (copper)", "nothing"]


@pytest.mark.parametrize(("name", "size"), [("thin", [1, 4000]), ("dot", [1, 1])])
def test_layers_of_one_pixel_width(calls, name, size):
    assert calls[name]["status"] == "success", calls[name]
    assert calls[name]["after"][0]["size"] == size and calls[name]["after"][0]["mask"]


def test_it_works_again_after_the_repair_and_leaves_no_files(calls):
    assert calls["repaired"]["status"] == "success"
    assert calls["left over"] == []


def documented_calls():
    """The shell commands in the README's section on scripting."""
    section = (harness.REPOSITORY / "README.md").read_text().split("### Scripting")[1].split("\n##")[0]
    return re.findall(r"```sh\n(.*?)```", section, flags=re.S)


def test_documented_batch_calls_do_what_they_say(gimp, calls):
    """The very commands of the README, in Python-Fu and Script-Fu, for both procedures."""
    commands = documented_calls()
    assert len(commands) == 4
    for command in commands:
        harness.run(gimp, ["sh", "-c", f"cd '{gimp.home}' && {command}"])
    found = harness.run_script(
        gimp,
        SHARED
        + """
for name in ("copper", "blue", "selected", "selected-best"):
    image = load(f"{HOME}/{name}.xcf")
    RESULT[name] = [describe(image), Gimp.Selection.is_empty(image)]
    dump(image.get_selection(), "Y float", f"{HOME}/documented-{name}.raw")
""",
    )
    for name in ("copper", "blue"):
        layers, no_selection = found[name]
        assert [layer["name"] for layer in layers][0] == f"Hair recolor ({name})" and len(layers) == 2 and no_selection
    for name in ("selected", "selected-best"):
        layers, no_selection = found[name]
        assert len(layers) == 1 and not no_selection
    fast, best = (pixels(gimp, f"documented-{name}", 1, np.float32) for name in ("selected", "selected-best"))
    assert fast[60, 230] > 0.9 and fast.mean() < 0.1 and 0 < np.abs(fast - best).mean() < 0.01


class Remote:
    """Runs scripts inside a GIMP that shows its window, where undo and cancel can be pressed."""

    def __init__(self, gimp):
        self.folder, self.number = gimp.on_host(gimp.home / "remote"), 0
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def send(self, script):
        part = self.folder / "part"
        part.write_text(script)
        part.rename(self.folder / f"{self.number}.py")
        self.number += 1

    def answer(self, seconds=120):
        path, deadline = self.folder / f"{self.number - 1}.json", time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < deadline, "GIMP did not answer"
            time.sleep(0.1)
        result = json.loads(path.read_text())
        assert "traceback" not in result, result["traceback"]
        return result

    def call(self, script):
        self.send(script)
        return self.answer()


@contextmanager
def open_portrait(gimp, *arguments, language="C.UTF-8"):
    """GIMP's window with the portrait in it, a `Remote`, and the window's number."""
    (gimp.on_host(gimp.home) / "serve.py").write_text(SHARED + f"\nserve({str(gimp.home / 'remote')!r})\n")
    remote = Remote(gimp)
    load = f"exec(open({str(gimp.home / 'serve.py')!r}).read())"
    more = ["--batch-interpreter=python-fu-eval", "-b", load, str(gimp.home / "portrait.png")]
    with harness.open_window(gimp, [*arguments, *more], language) as window:
        number = window.wait_for("portrait")
        window.xdo("windowsize", "--sync", number, "1400", "850")
        time.sleep(2)
        window.xdo("windowactivate", "--sync", number)
        window.xdo("mousemove", "5", "890")
        yield window, remote, number


def open_dialog(window, number, entry="Recolor", title="Recolor Hair"):
    window.xdo("windowactivate", "--sync", number)
    window.key("slash")
    time.sleep(1)
    window.xdo("type", entry)
    time.sleep(1.5)
    window.key("Return")
    window.wait_for(title)
    time.sleep(1)


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_interactive_run_and_undo(gimp, calls, astronaut, hair):
    """From the menu search to the result in a real window, for both entries; one undo takes it back."""
    shots = ARTIFACTS / f"gimp-{gimp.series}"
    with open_portrait(gimp) as (window, remote, number):
        window.key("ctrl+shift+j")  # the whole image in the window, for the pictures
        before = remote.call("RESULT['layers'] = describe(Gimp.get_images()[0])")["layers"]
        assert len(before) == 1
        open_dialog(window, number)
        time.sleep(4)  # the worker starts, and the preview comes
        window.screenshot(shots / "dialog.png")
        window.key("Escape")
        window.wait_until_gone("Recolor Hair")
        assert remote.call("RESULT['layers'] = describe(Gimp.get_images()[0])")["layers"] == before

        open_dialog(window, number)
        window.key("alt+a", "Down", "alt+o")  # the shade after copper
        window.wait_until_gone("Recolor Hair")
        deadline = time.monotonic() + 60
        while len(remote.call("RESULT['layers'] = describe(Gimp.get_images()[0])")["layers"]) != 2:
            assert time.monotonic() < deadline, "no layer was added"
            time.sleep(0.3)
        time.sleep(1.5)
        window.screenshot(shots / "result.png")
        found = remote.call(
            "image = Gimp.get_images()[0]; RESULT['layers'] = describe(image); dump_flat(image, HOME + '/shown.raw')".replace(
                "HOME", repr(str(gimp.home))
            )
        )
        assert found["layers"][0]["name"] == "Hair recolor (strawberry-blond)" and found["layers"][0]["mask"]
        shown = pixels(gimp, "shown", 3).astype(int)
        assert np.abs(shown - astronaut)[20:90, 180:280].mean() > 10

        window.xdo("windowactivate", "--sync", number)
        window.key("ctrl+z")
        time.sleep(1)
        after = remote.call(
            "image = Gimp.get_images()[0]; RESULT['layers'] = describe(image); dump_flat(image, HOME + '/shown.raw')".replace(
                "HOME", repr(str(gimp.home))
            )
        )
        assert after["layers"] == before
        np.testing.assert_array_equal(pixels(gimp, "shown", 3), astronaut)

        again = remote.call(
            "image = Gimp.get_images()[0]\n"
            "RESULT['status'] = recolor(image, image.get_layers(), mode=Gimp.RunMode.WITH_LAST_VALS)\n"
            "RESULT['layers'] = describe(image)"
        )
        assert again["layers"][0]["name"] == "Hair recolor (strawberry-blond)", again

        # The second menu entry: its dialog shows the mask, and its result is the image's selection.
        remote.call("image = Gimp.get_images()[0]; image.remove_layer(image.get_layers()[0])")
        open_dialog(window, number, "Select Hair", "Select Hair")
        time.sleep(4)
        window.screenshot(shots / "select-hair.png")
        window.key("alt+o")
        empty = "RESULT['empty'] = Gimp.Selection.is_empty(Gimp.get_images()[0])"
        wait_until(lambda: not remote.call(empty)["empty"], "nothing was selected")
        remote.call(f"dump(Gimp.get_images()[0].get_selection(), 'Y float', {str(gimp.home / 'window.raw')!r})")
        assert np.abs(pixels(gimp, "window", 1, np.float32) - hair.matte).max() <= 1.5 / 255
        time.sleep(1)
        window.screenshot(shots / "selected.png")
        window.xdo("windowactivate", "--sync", number)
        window.key("ctrl+z")
        wait_until(lambda: remote.call(empty)["empty"], "one undo did not take the selection back")


PREVIEW = """
import sys, time
plugin = {plugin!r}
sys.path.insert(0, plugin)
import gi
gi.require_version("GimpUi", "3.0")
from gi.repository import GimpUi, GLib
import choices, client, dialog

GimpUi.init("preview")
procedure = Gimp.get_pdb().lookup_procedure("python-fu-hair-recolor")

def show(name, image, layer, **settings):
    config = procedure.create_config()
    known = client.load_settings(plugin)
    window, preview = dialog.make_dialog(procedure, config, True, image, layer, layer, known)
    window.show()
    for setting, value in settings.items():
        config.set_property(setting.replace("_", "-"), value)
    try:
        wanted = choices.preview_options(config)
    except choices.Problem:
        wanted = None
    deadline = time.monotonic() + 60
    while wanted is not None and preview.answered != wanted:
        assert time.monotonic() < deadline, preview.words.get_text()
        GLib.MainContext.default().iteration(False)
        time.sleep(0.002)
    copy = preview.copy
    if name in ("plain", "fine"):
        with open(f"{home}/copy-{{name}}.raw", "wb") as file:
            file.write(copy.pixels)
    if preview.after:
        assert preview.after.get_rowstride() == preview.after.get_n_channels() * copy.size[0]
        with open(f"{home}/preview-{{name}}.raw", "wb") as file:
            file.write(preview.after.get_pixels())
    RESULT[name] = [preview.words.get_text(), copy.size, preview.after and preview.after.get_n_channels()]
    RESULT[name] += [preview.box, preview.view == dialog.view.show_whole(preview.layer_size, preview.view.window)]
    preview.close()
    window.destroy()
    while GLib.MainContext.default().iteration(False):
        pass

image = Gimp.get_images()[0]
layer = image.get_layers()[0]
show("plain", image, layer, shade="blue")
large = image.duplicate()
large.scale(3000, 3000)
show("fine", large, large.get_layers()[0], shade="blue")
large.delete()
show("half", image, layer, shade="blue", strength=0.5, tips="copper", highlights="platinum", roots=0.1, depth=1, shine=-1)
show("color", image, layer, shade="blue", output="color")
show("raw", image, layer, output="mask", refine=False)
show("texture", image, layer, output="selection", method="texture", step=30)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 230, 512)
show("selection", image, layer, shade="blue")
show("unlimited", image, layer, limit_to_selection=False, shade="blue")  # so that no answer to a limited wish counts
Gimp.Selection.none(image)
show("custom", image, layer, shade="custom")
show("no photo", image, layer, shade="photo")
show("photo", image, layer, shade="photo", photo=Gio.File.new_for_path("{home}/no such.png"))
blank = Gimp.Image.new(4000, 10, Gimp.ImageBaseType.RGB)
white = Gimp.Layer.new(blank, "white", 4000, 10, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
blank.insert_layer(white, None, 0)
white.fill(Gimp.FillType.WHITE)
show("no hair", blank, white)
blank.delete()
"""


def test_preview_shows_what_the_core_makes_of_the_small_copy(gimp, calls, model):
    """The dialog's own preview, in a window, on the layer at preview size; and its one sentence where there is none."""
    plugin = gimp.profile / "plug-ins/hair_recolor"
    with open_portrait(gimp) as (window, remote, number):
        found = remote.call(PREVIEW.format(plugin=str(plugin), home=str(gimp.home)))
    side = found["plain"][1][0]
    assert all(found[name][1] == [side, side] for name in ("plain", "half", "selection")) and 400 <= side <= 640
    assert found["no hair"][3:] == [None, True] and not found["plain"][4]
    words = {name: said[0] for name, said in found.items() if said[0]}
    assert set(words) == {"no photo", "photo", "no hair"}
    assert "choose its file" in words["no photo"] and "no such.png does not exist" in words["photo"]
    assert "No hair was found" in words["no hair"]

    def shown(name):
        channels = found[name][2]
        return pixels(gimp, f"preview-{name}", channels, side=side)[..., :3]

    photo = Photo(pixels(gimp, "copy-plain", 3, side=side))
    hair = find_hair(photo, model)
    blue = recolor_layer(photo, hair, find_shade("blue").rgb)
    inside = np.zeros((side, side), np.float32)
    inside[:, : round(230 / 512 * side)] = 1

    def assert_shown(name, expected, columns=slice(None)):
        assert np.abs(shown(name).astype(int) - expected)[:, columns].max() <= 1, name

    copper = recolor_layer(photo, hair, parse_hex("#b5592b"))
    assert_shown("custom", blend(photo.rgb, copper, hair.matte))
    assert_shown("plain", blend(photo.rgb, blue, hair.matte))
    np.testing.assert_array_equal(shown("unlimited"), shown("plain"))
    assert_shown("color", blend(photo.rgb, take_color(photo.rgb, blue), hair.matte))
    half = recolor_layer(
        photo, hair, Coloring("blue", "copper", "platinum", roots=0.1, depth=1, shine=-1, strength=0.5)
    )
    assert_shown("half", blend(photo.rgb, half, hair.matte))
    limited = blend(photo.rgb, blue, hair.matte * inside)
    edge = abs(np.arange(side) - 230 / 512 * side) < 3
    assert_shown("selection", limited, ~edge)
    raw = find_hair(photo, model, refine=False).matte
    np.testing.assert_array_equal(shown("raw")[..., 0], np.rint(raw * 255))
    texture = find_hair(photo, open_model(engine="texture", step=30, device="cpu")).matte
    np.testing.assert_array_equal(shown("texture")[..., 1], np.rint(texture * 255))

    # A large layer is read more finely once it is known where its hair is, and looked at as a whole again.
    fine = found["fine"][1][0]
    assert 900 <= fine <= 1200 and not found["fine"][4]
    photo = Photo(pixels(gimp, "copy-fine", 3, side=fine))
    hair = find_hair(photo, model)
    expected = blend(photo.rgb, recolor_layer(photo, hair, find_shade("blue").rgb), hair.matte)
    assert np.abs(pixels(gimp, "preview-fine", 4, side=fine)[..., :3].astype(int) - expected).max() <= 1
    left, top, right, bottom = (round(side / 3000 * fine) for side in found["fine"][3])
    outside = hair.matte >= 0.5
    assert outside[top:bottom, left:right].any(axis=0).mean() > 0.95
    outside[top:bottom, left:right] = False
    assert outside.mean() < 0.001


LOOK = """
import sys, time, json, os
plugin = {plugin!r}
sys.path.insert(0, plugin)
import gi
gi.require_version("GimpUi", "3.0")
from gi.repository import GimpUi, GLib, Gtk
import dialog, client

GimpUi.init("look")
image = Gimp.get_images()[0]
procedure = Gimp.get_pdb().lookup_procedure("python-fu-hair-recolor")
config = procedure.create_config()
for name, value in {settings!r}.items():
    config.set_property(name, value)
known = client.load_settings(plugin)
window, preview = dialog.make_dialog(procedure, config, True, image, image.get_layers()[0], image.get_layers()[0], known)
answers = []
window.connect("response", lambda window, answer: answers.append(answer))
window.show()

parts = []
def gather(widget):
    parts.append(widget)
    if isinstance(widget, Gtk.Container):
        widget.forall(gather)
gather(window)
(more,) = [part for part in parts if isinstance(part, Gtk.Expander)]
buttons = {{part.get_tooltip_text() or part.get_label(): part for part in parts if isinstance(part, Gtk.Button)}}
named = {{"more": more, "canvas": preview.canvas, "hair": preview.to_hair, "whole": buttons["Show the whole layer"]}}
named["in"], named["out"] = (next(buttons[hint] for hint in buttons if hint and hint.startswith(word)) for word in ("Zoom in", "Zoom out"))

def state():
    places = {{}}
    for name, widget in named.items():
        x, y = widget.translate_coordinates(window, 0, 0)
        places[name] = [x, y, widget.get_allocated_width(), widget.get_allocated_height()]
    at = preview.view
    return {{
        "done": preview.answered is not None, "scale": at.scale, "left": at.left, "top": at.top, "window": at.window,
        "percent": preview.percent.get_text(), "split": preview.split.get_value(), "more": more.get_expanded(),
        "box": preview.box, "places": places, "size": window.get_size(), "focus": preview.canvas.has_visible_focus(),
    }}

told = None
while not answers:
    for _time in range(50):
        GLib.MainContext.default().iteration(False)
    now = json.dumps(state())
    if now != told:
        with open("{home}/state.part", "w") as file:
            file.write(now)
        os.rename("{home}/state.part", "{home}/state.json")
        told = now
    if os.path.exists("{home}/setting.json"):
        config.set_property(*json.load(open("{home}/setting.json")))
        os.remove("{home}/setting.json")
    time.sleep(0.01)
preview.close()
window.destroy()
while GLib.MainContext.default().iteration(False):
    pass
"""


@contextmanager
def open_own_dialog(gimp, window, remote, **settings):
    """The dialog of Recolor, driven by mouse and keyboard; gives a function that says how it stands."""
    path = gimp.on_host(gimp.home / "state.json")
    path.unlink(missing_ok=True)
    plugin = str(gimp.profile / "plug-ins/hair_recolor")
    remote.send(LOOK.format(plugin=plugin, home=str(gimp.home), settings=settings))
    window.wait_for("Recolor Hair")
    wait_until(lambda: path.exists() and json.loads(path.read_text())["done"], "hair was not found", 60)
    time.sleep(0.5)
    yield lambda: json.loads(path.read_text())
    window.key("Escape")
    remote.answer()


def test_preview_opens_on_the_hair_and_can_be_zoomed_and_moved(gimp, hair):
    """By the buttons, by the wheel, by dragging, by the keyboard; the line between before and after moves as ever."""
    shots = ARTIFACTS / f"gimp-{gimp.series}"
    with open_portrait(gimp) as (window, remote, number):
        with open_own_dialog(gimp, window, remote) as state:
            dialog = window.find("Recolor Hair")

            def point(name, x=0.5, y=0.5):
                left, top, width, height = state()["places"][name]
                place = str(round(left + x * width)), str(round(top + y * height))
                window.xdo("mousemove", "--window", dialog, *place)

            def until(what, condition):
                wait_until(lambda: condition(state()), f"{what}: {state()}", 10)
                return state()

            def click(name, *place):
                point(name, *place)
                window.xdo("click", "1")

            def drag(begin, end):
                point("canvas", *begin)
                window.xdo("mousedown", "1")
                for share in (0.3, 0.7, 1.0):
                    point("canvas", *(a + share * (b - a) for a, b in zip(begin, end)))
                window.xdo("mouseup", "1")

            opened = state()
            rows, columns = (np.flatnonzero((hair.matte >= 0.5).any(axis=axis)) for axis in (1, 0))
            assert opened["box"] == pytest.approx([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], abs=6)
            left, top, right, bottom = opened["box"]
            seen = [side / opened["scale"] for side in opened["window"]]
            assert opened["scale"] > 1.3 and opened["left"] < left - 20 and opened["left"] + seen[0] > right + 20
            assert opened["top"] <= max(0, top - 20) and opened["top"] + seen[1] > bottom + 20
            assert not opened["more"] and opened["size"][0] <= 1000 and opened["size"][1] <= 700

            click("in")
            until("the button enlarges", lambda now: now["scale"] == pytest.approx(1.25 * opened["scale"]))
            click("out")
            until("the button reduces", lambda now: now["scale"] == pytest.approx(opened["scale"]))
            click("whole")
            until("the whole layer", lambda now: now["scale"] == pytest.approx(min(now["window"]) / 512, abs=1e-3))
            window.screenshot(shots / "dialog-whole.png")
            drag((0.25, 0.5), (0.75, 0.5))  # nothing to move here, so the line comes
            wide, high = opened["window"]
            share = 0.5 + 0.25 * wide / min(wide, high)  # of the layer, which is square
            whole = until("the line follows the mouse", lambda now: now["split"] == pytest.approx(share, abs=0.01))
            click("hair")
            again = until("the hair again", lambda now: now["scale"] == opened["scale"])
            assert (again["left"], again["top"]) == (opened["left"], opened["top"])
            assert whole["split"] == again["split"]

            point("canvas", 0.25, 0.25)
            window.xdo("click", "4")
            near = until("the wheel enlarges", lambda now: now["scale"] > 1.1 * opened["scale"])
            before, after = (now["left"] + now["window"][0] / 4 / now["scale"] for now in (opened, near))
            assert before == pytest.approx(after, abs=0.5)  # the point under the mouse stays
            drag((0.3, 0.3), (0.4, 0.35))  # far from the line, so the picture comes
            there = near["left"] - 0.1 * wide / near["scale"], max(0, near["top"] - 0.05 * high / near["scale"])

            def follows(now):
                return (now["left"], now["top"]) == pytest.approx(there, abs=2)

            moved = until("the picture follows the mouse", follows)
            assert moved["split"] == near["split"]
            drag((moved["split"], 0.5), (0.5, 0.5))
            split = until("the line follows the mouse", lambda now: now["split"] == pytest.approx(0.5, abs=0.01))
            assert (split["left"], split["top"]) == (moved["left"], moved["top"])

            window.key("plus")
            until("the keyboard enlarges", lambda now: now["scale"] > 1.1 * split["scale"])
            window.key("minus", "Right")
            until("the keyboard moves", lambda now: now["left"] > split["left"] + 5)
            window.screenshot(shots / "dialog-near.png")

            click("more", 0.05, 0.5)
            until("more settings", lambda now: now["more"])
            time.sleep(0.5)
            window.screenshot(shots / "dialog-more.png")
            click("more", 0.05, 10 / state()["places"]["more"][3])
            until("less settings", lambda now: not now["more"])
            (gimp.on_host(gimp.home) / "setting.json").write_text('["limit-to-selection", false]')
            until("a changed setting is seen", lambda now: now["more"])

        with open_own_dialog(gimp, window, remote, step=9) as state:  # which does not matter without the method
            assert not state()["more"]
        with open_own_dialog(gimp, window, remote, people="each") as state:
            assert state()["more"] and state()["size"][1] <= 700


DIALOG = """
import sys
plugin = {plugin!r}
sys.path.insert(0, plugin)
import gi
gi.require_version("GimpUi", "3.0")
from gi.repository import GimpUi, Gtk
import client, dialog

GimpUi.init("language")

def words(widget):
    "All that is written in a widget and on what is in it, its lists and hints included."
    if isinstance(widget, Gtk.Label):
        yield widget.get_label()
    if isinstance(widget, Gtk.ComboBox):
        for row in widget.get_model():
            yield from (cell for cell in row if isinstance(cell, str))
    if widget.get_tooltip_text():
        yield widget.get_tooltip_text()
    if isinstance(widget, Gtk.Container):
        found = []
        widget.forall(found.append)
        for part in found:
            yield from words(part)

image = Gimp.get_images()[0]
for recolors, name in ((True, "python-fu-hair-recolor"), (False, "python-fu-select-hair")):
    procedure = Gimp.get_pdb().lookup_procedure(name)
    settings = client.load_settings(plugin)
    window, preview = dialog.make_dialog(procedure, procedure.create_config(), recolors, image, image.get_layers()[0], image.get_layers()[0], settings)
    RESULT[name] = {{
        "title": window.get_title(),
        "words": list(words(window)),
        "menu": [*procedure.get_menu_paths(), procedure.get_menu_label()],
    }}
    preview.close()
    window.destroy()
"""
TITLES = {  # of the two dialogs
    "de": ("Haare umfärben", "Haare auswählen"),
    "ko": ("머리카락 색 바꾸기", "머리카락 선택"),
}
MENUS = {
    "de": ["<Image>/Filters/Haare", "Umfärben …"],
    "ko": ["<Image>/Filters/머리카락", "색 바꾸기…"],
}


LANGUAGES = {"3.0": ("de", "de_DE"), "3.2": ("ko", "ko_KR")}  # one in each GIMP: the catalogs are the same in both


def test_no_english_is_left_in_another_language(gimp):
    """After GIMP had run in English: menu, dialogs with their lists and hints, and GIMP's own buttons in them."""
    language, place = LANGUAGES.get(gimp.series, ("de", "de_DE"))
    if gimp.root is None and f"{place}.utf8" not in harness.run(gimp, ["locale", "-a"]):
        pytest.skip(f"this machine has no locale {place}.UTF-8")
    plugin, english = str(gimp.profile / "plug-ins/hair_recolor"), {m.id for m in catalogs.gather() if m.id}
    catalog = catalogs.read(catalogs.LOCALE / language / "LC_MESSAGES/hair-recolor.po", language)
    with open_portrait(gimp, language=f"{place}.UTF-8") as (window, remote, number):
        window.key("ctrl+shift+j")
        found = remote.call(DIALOG.format(plugin=plugin))
        for (name, said), title in zip(found.items(), TITLES[language]):
            assert said["title"] == title
            left = [text for text in said["words"] if text in english and catalog[text].string != text]
            assert not left, name
            # GIMP's own buttons, which its Korean catalog leaves in English.
            assert {catalog[text].string for text in ("_OK", "_Cancel", "_Reset", "_Help")} <= set(said["words"]), name
        assert found["python-fu-hair-recolor"]["menu"] == MENUS[language]

        title = TITLES[language][0]
        remote.send("image = Gimp.get_images()[0]\nrecolor(image, image.get_layers(), mode=Gimp.RunMode.INTERACTIVE)")
        window.wait_for(title)
        time.sleep(3)  # the preview comes
        window.screenshot(ARTIFACTS / f"gimp-{gimp.series}" / f"dialog-{language}.png")
        window.key("Escape")
        window.wait_until_gone(title)
        remote.answer()


STAGES = ("starting", "reading", "looking", "recoloring", "writing")


def test_cancel_at_every_stage_and_changes_during_the_run(gimp, calls):
    """GIMP's own Cancel button, the layer removed and the image closed, each while the plug-in is known to be busy."""
    exchange = gimp.on_host(gimp.home / ".cache/hair-recolor/worker")
    settings = gimp.on_host(gimp.profile / "plug-ins/hair_recolor/settings.json")
    usual, plugin = settings.read_text(), "plug-ins/hair_recolor/hair_recolor.py"
    slow = gimp.home / "slow python"
    gimp.on_host(slow).write_text("#!/bin/sh\nsleep 600\n")
    gimp.on_host(slow).chmod(0o755)
    side = 4000
    with open_portrait(gimp, "--console-messages") as (window, remote, number):
        open_dialog(window, number)
        window.key("alt+o")
        wait_until(lambda: len(describe(remote)) == 2, "no layer was added")
        remote.call(
            f"image = Gimp.get_images()[0]; image.remove_layer(image.get_layers()[0])\nimage.scale({side}, {side})"
        )
        before = describe(remote)

        def at_stage(stage):
            """Whether the run that is going on is there now."""
            sizes = sorted(path.stat().st_size for path in exchange.glob("exchange-*"))
            n = side * side
            if stage == "starting":
                return bool(harness.processes(gimp, str(slow)))
            if stage == "reading":
                return len(sizes) == 1 and 0 < sizes[0] < 3 * n
            if stage == "looking":
                return sizes == [3 * n]
            reads = any(harness.reads(process, "exchange-") for process in harness.processes(gimp, plugin))
            return len(sizes) == 3 and reads == (stage == "writing")

        def repeat_until(stage):
            """Run the filter again with the same values, and hold it at the stage."""
            wait_until(lambda: not harness.processes(gimp, plugin), "the plug-in still runs")
            window.xdo("windowactivate", "--sync", number)
            window.xdo("key", "ctrl+f")
            wait_until(lambda: at_stage(stage), f"the run never was {stage}")
            (process,) = harness.processes(gimp, plugin)
            os.kill(process, signal.SIGSTOP)
            return process

        def ended_by_cancel(process):
            """Press Cancel. If the plug-in was stopped while GIMP handed pixels over, GIMP waits for it and hears nothing:
            then it may go on for a moment, until it stops elsewhere."""
            window.xdo("mousemove", "1118", "852", "click", "1")
            time.sleep(1)
            running = process in harness.processes(gimp, plugin)
            if running:
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    os.kill(process, signal.SIGCONT)
                    time.sleep(0.02)
                    os.kill(process, signal.SIGSTOP)
            return not running

        for stage in STAGES:
            if stage == "starting":
                for worker in harness.processes(gimp, "hairmask_core"):
                    os.kill(worker, signal.SIGKILL)
                settings.write_text(json.dumps(json.loads(usual) | {"python": str(slow)}))
            remote.call("Gimp.get_images()[0].clean_all()")
            process = repeat_until(stage)
            if stage == "recoloring":
                window.screenshot(ARTIFACTS / f"gimp-{gimp.series}" / "progress.png")
            wait_until(lambda: ended_by_cancel(process), f"Cancel did not end it while {stage}")
            wait_until(
                lambda: not list(exchange.glob("exchange-*")), f"files were left of a run cancelled while {stage}", 5
            )
            after = remote.call(
                "image = Gimp.get_images()[0]; RESULT['layers'], RESULT['dirty'] = describe(image), image.is_dirty()"
            )
            assert after == {"layers": before, "dirty": False}, stage
            if stage == "starting":
                for starting in harness.processes(gimp, str(slow)):
                    os.kill(starting, signal.SIGKILL)
                settings.write_text(usual)

        log = gimp.on_host(gimp.home / "window.log")
        process = repeat_until("looking")
        remote.call("image = Gimp.get_images()[0]; image.remove_layer(image.get_layers()[0])")
        os.kill(process, signal.SIGCONT)
        wait_until(
            lambda: "The layer was removed while its hair was looked for: undo that" in log.read_text(), "no word", 60
        )
        wait_until(lambda: not list(exchange.glob("exchange-*")), "files were left", 5)
        assert describe(remote) == []
        window.xdo("windowactivate", "--sync", number)
        window.key("ctrl+z")
        wait_until(lambda: describe(remote) == before, "the layer did not come back")

        process = repeat_until("looking")
        remote.call(
            "for number in range(1, 9):\n    if Gimp.Display.id_is_valid(number):\n        Gimp.Display.get_by_id(number).delete()"
        )
        os.kill(process, signal.SIGCONT)
        wait_until(lambda: not harness.processes(gimp, plugin), "the plug-in still runs", 60)
        wait_until(lambda: not list(exchange.glob("exchange-*")), "files were left", 5)
        window.screenshot(ARTIFACTS / f"gimp-{gimp.series}" / "closed.png")
        assert remote.call("RESULT['images'] = len(Gimp.get_images())")["images"] == 0
        shutil.copy(log, ARTIFACTS / f"gimp-{gimp.series}" / "window.log")


def describe(remote):
    return remote.call("RESULT['layers'] = describe(Gimp.get_images()[0])")["layers"]


# The installation itself, once more; the last test takes it away.


def installer(gimp, *arguments):
    """Run install.py; returns (exit status, what it said)."""
    command = [
        "sh",
        "-c",
        'python3 "$@"; echo "exit status $?"',
        "sh",
        gimp.home / "hair recolor/install.py",
        *arguments,
    ]
    said, _, status = harness.run(gimp, command, 400).strip().rpartition("exit status ")
    return int(status), said


def test_doctor_asks_gimp_and_changes_nothing(gimp):
    home = gimp.on_host(gimp.home)
    before = tree(home)
    status, said = installer(gimp, "--doctor")
    assert (status, "All is well." in said) == (0, True), said
    assert f"Menu of GIMP {gimp.series}" in said and "GIMP says that it has the procedure" in said
    assert changed(before, tree(home)) == []


def test_a_plug_in_that_gimp_does_not_take_is_seen(gimp):
    entry = gimp.on_host(gimp.profile / "plug-ins/hair_recolor/hair_recolor.py")
    whole = entry.read_text()
    entry.write_text("#!/usr/bin/env python3\nimport nonsense_of_another_version\n")
    look = f"""import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(gimp.home / "hair recolor")!r})
from installer import doctor, locations
for check in doctor.check_gimps(locations.find_gimps(locations.System.here())): print(check)"""
    said = harness.run(gimp, ["python3", "-c", look])
    entry.write_text(whole)
    assert "FAILED" in said and "did not take it" in said and "nonsense_of_another_version" in said, said


def test_the_environment_holds_nothing_but_what_is_pinned(gimp):
    pip = [gimp.home / ".local/share/hair-recolor/venv/bin/python", "-I", "-m", "pip", "list", "--format=json"]
    installed = {p["name"].lower().replace("_", "-"): p["version"] for p in json.loads(harness.run(gimp, pip))}
    version = harness.run(gimp, ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    for name in ("pip", "setuptools", "hairmask"):
        installed.pop(name, None)
    assert installed.items() <= dict(read_pins(version)).items()


# In one GIMP: what differs between GIMPs is install.py's as well, which each has been through.
@pytest.mark.parametrize("gimp", GIMPS[:1], indirect=True)
def test_a_wheel_does_what_install_py_does(gimp, tmp_path):
    """In an empty home: `hairmask gimp install`, `doctor` and `uninstall`, with an environment such as pipx makes.

    Its dependencies are those of the installation, to which a .pth file leads.
    """
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, harness.REPOSITORY]
    subprocess.run(pip, check=True)
    wheel, folder = next(tmp_path.glob("hairmask-*.whl")), gimp.home / "pipx"
    home, venv = folder / "home", folder / "venv"
    gimp.on_host(home).mkdir(parents=True)
    shutil.copy(wheel, gimp.on_host(folder))
    harness.run(gimp, ["python3", "-m", "venv", venv])
    packages = next(gimp.on_host(venv).glob("lib/python*/site-packages"))
    other = Path(gimp.home, ".local/share/hair-recolor/venv", *packages.parts[-3:])
    (packages / "dependencies.pth").write_text(str(other))
    pip = [venv / "bin/python", "-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed"]
    harness.run(gimp, [*pip, folder / wheel.name])
    take_compiled(gimp.on_host(other), packages)

    def hairmask(action):
        run = 'hairmask=$1; shift; "$hairmask" gimp "$@"; echo "exit status $?"'
        said = harness.run(gimp, ["sh", "-c", run, "sh", venv / "bin/hairmask", action], 400, HOME=str(home))
        said, _, status = said.strip().rpartition("exit status ")
        assert status == "0", said
        return said

    said = hairmask("install")
    assert "It works: the network runs on" in said and "GIMP says that it has the procedure" in said
    settings = gimp.on_host(home / ".config/GIMP" / gimp.series / "plug-ins/hair_recolor/settings.json")
    assert json.loads(settings.read_text())["python"] == str(venv / "bin/python")
    assert "All is well." in hairmask("doctor")
    assert "removed from GIMP" in hairmask("uninstall")
    assert not list(gimp.on_host(home).rglob("*"))
    shutil.rmtree(gimp.on_host(folder))


def test_uninstalling_leaves_nothing_of_ours(gimp):
    kept = gimp.on_host(gimp.profile / "plug-in-settings/GimpProcedureConfigRun-python-fu-hair-recolor.last")
    kept.parent.mkdir(exist_ok=True)
    kept.touch()  # the last values, which GIMP has kept if the dialog was shown before
    status, said = installer(gimp, "--uninstall")
    assert status == 0 and "is removed" in said, said
    left = [
        p
        for p in tree(gimp.on_host(gimp.home))
        if p.parts[0] != "hair recolor" and "hair" in str(p).replace("hair recolor", "")
    ]
    assert not left
