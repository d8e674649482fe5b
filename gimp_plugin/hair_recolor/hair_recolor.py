#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters > Hair > Recolor for GIMP 3: the current layer's hair in another color, on a masked layer.

Takes pixels out of GIMP, asks the worker (worker_client.py), and puts the answer in as one undo
step. Standard library and gi only: GIMP's Python has no numpy, and needs none here.
"""

import json
import os
import struct
import sys
import traceback
from pathlib import Path

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp, GLib, GObject  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
import worker_client  # noqa: E402

PROCEDURE = "python-fu-hair-recolor"
CUSTOM, FOREGROUND, BACKGROUND, PHOTO, SAME = "custom", "foreground", "background", "photo", "same"  # for named shades
SWATCH = 28, 14  # width and height of the color beside a shade's name, pixels
DEVICES = (
    ("auto", "Automatic"),
    ("cpu", "Processor (CPU)"),
    ("cuda", "NVIDIA GPU (CUDA)"),
    ("directml", "Windows GPU (DirectML)"),
    ("coreml", "Apple (Core ML)"),
)
METHODS = (
    ("whole", "Whole image", "Sees people as a whole"),
    ("texture", "Texture", "Judges small windows one by one: for wigs, close-ups and strands without a head"),
)
QUALITIES = (("fast", "Fast"), ("best", "Best: strand by strand (slower)"))
DEFAULT_MODEL = "default"
STRIP_PIXELS = 1 << 22  # pixels go in and out of GIMP in strips of about this many
READ_SHARE, WORK_SHARE = 0.15, 0.7  # of the progress bar; writing gets the rest


class Problem(Exception):
    """A reason not to go on; the message tells the user what to do."""


class HairRecolor(Gimp.PlugIn):
    def do_query_procedures(self):
        return [PROCEDURE]

    def do_set_i18n(self, name):
        return False

    def do_create_procedure(self, name):
        Gegl.init(None)
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        # Every image type, so that the menu entry is always there and can say what to do about a gray image.
        procedure.set_image_types("*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label("Recolor…")
        procedure.add_menu_path("<Image>/Filters/Hair")
        procedure.set_documentation(
            "Change the hair color",
            "Finds the hair in the current layer and adds a recolored layer above it, whose layer mask is the "
            "hair probability. Paint on the mask, change the layer's opacity or mode to refine the result.",
            name,
        )
        procedure.set_attribution("Hair Recolor contributors", "GPL-3.0-or-later", "2026")
        shades = Gimp.Choice.new()
        tips = Gimp.Choice.new()
        tips.add(SAME, 0, "As the rest", "one shade from the roots to the tips")
        for number, shade in enumerate(read_shades()):
            shades.add(shade["name"], number, shade["label"], shade["description"])
            tips.add(shade["name"], number + 1, shade["label"], shade["description"])
        shades.add(CUSTOM, 1000, "Custom color", "the color chosen below")
        shades.add(FOREGROUND, 1001, "Foreground color", "GIMP's foreground color")
        shades.add(PHOTO, 1002, "Hair of another photo", "the hair in the photo chosen below")
        tips.add(BACKGROUND, 1001, "Background color", "GIMP's background color")
        models = Gimp.Choice.new()
        known = read_models()
        for number, model in enumerate(known):
            models.add(model["name"], number, model["label"], model["description"])
        methods = Gimp.Choice.new()
        for number, (method, label, description) in enumerate(METHODS):
            methods.add(method, number, label, description)
        qualities = Gimp.Choice.new()
        for number, (quality, label) in enumerate(QUALITIES):
            qualities.add(quality, number, label, "")
        devices = Gimp.Choice.new()
        for number, (device, label) in enumerate(DEVICES):
            devices.add(device, number, label, "")
        flags = GObject.ParamFlags.READWRITE
        procedure.add_choice_argument("shade", "Sh_ade", "The new hair color", shades, "copper", flags)
        copper = Gegl.Color.new("#b5592b")
        procedure.add_color_argument(
            "color", "C_ustom color", "Used when the shade is Custom color", False, copper, flags
        )
        procedure.add_file_argument(
            "photo",
            "_Photo",
            "Used when the shade is Hair of another photo",
            Gimp.FileChooserAction.OPEN,
            True,
            None,
            flags,
        )
        procedure.add_choice_argument("tips", "_Tips", "Another color towards the tips of the hair", tips, SAME, flags)
        procedure.add_double_argument(
            "strength", "S_trength", "How far towards the shade, 0 to 1", 0.0, 1.0, 1.0, flags
        )
        procedure.add_choice_argument(
            "method", "_Method", "How hair is told from the rest", methods, METHODS[0][0], flags
        )
        procedure.add_int_argument(
            "step", "Ste_p", "Texture: pixels between windows, at the working scale; 1 is finest", 1, 35, 2, flags
        )
        procedure.add_choice_argument(
            "quality", "_Quality", "How closely to look for hair", qualities, QUALITIES[0][0], flags
        )
        procedure.add_choice_argument(
            "model", "_Network", "Which network finds the hair", models, known[0]["name"], flags
        )
        procedure.add_choice_argument("device", "_Device", "Where the network runs", devices, "auto", flags)
        procedure.add_boolean_argument(
            "force", "Add the layer e_ven if no hair is found", "For painting the mask by hand", False, flags
        )
        return procedure


def run(procedure, run_mode, image, drawables, config, data):
    """One call of the filter, whatever the run mode."""
    try:
        layer = check_layer(image, drawables)
        settings = worker_client.load_settings(Path(__file__).resolve().parent)
        if run_mode == Gimp.RunMode.INTERACTIVE and not ask_user(procedure, config):
            return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
        recolor_layer(image, layer, config, settings)
        return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)
    except (Problem, worker_client.WorkerError) as problem:
        return fail(procedure, str(problem))
    except OSError as error:
        return fail(procedure, f"The layer's pixels could not be exchanged ({error}): check the free disk space.")
    except MemoryError:
        return fail(
            procedure, "There is not enough memory for this layer: close other programs or scale the layer down."
        )
    except Exception as error:  # whatever it is, GIMP must hear of it: no silent failure
        traceback.print_exc()
        return fail(procedure, f"Hair Recolor failed ({type(error).__name__}: {error}): please report this sentence.")


def fail(procedure, sentence):
    return procedure.new_return_values(
        Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error.new_literal(Gimp.PlugIn.error_quark(), sentence, 0)
    )


def read_shades():
    """The named shades that install.py put beside the plug-in; the plug-in shows even when they are missing."""
    try:
        return json.loads((Path(__file__).resolve().parent / "shades.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [{"name": "copper", "label": "Copper", "color": "#b5592b", "description": ""}]


def read_models():
    """The networks that install.py found, the default one first."""
    try:
        return json.loads((Path(__file__).resolve().parent / "models.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [{"name": DEFAULT_MODEL, "label": "Default", "description": ""}]


def check_layer(image, drawables):
    """The one layer to work on. Raises Problem for anything that cannot be recolored."""
    layer = drawables[0] if len(drawables) == 1 else None
    if isinstance(layer, Gimp.LayerMask):  # after a first run the mask is active, ready to be painted on
        layer = Gimp.Layer.from_mask(layer)
    if not isinstance(layer, Gimp.Layer):
        raise Problem("Select one layer, not a channel or several layers, then run Recolor again.")
    if image.get_base_type() != Gimp.ImageBaseType.RGB:
        raise Problem("The image is not in RGB mode, so its hair cannot take a color: choose Image → Mode → RGB first.")
    if image.get_floating_sel() is not None:
        raise Problem("There is a floating selection: anchor it (Layer > Anchor Layer), then run Recolor again.")
    if any(item.get_lock_content() for item in lineage(layer)):
        raise Problem(
            f"The layer “{layer.get_name()}” is locked: unlock its pixels in the Layers dialog, then run Recolor again."
        )
    return layer


def lineage(item):
    """The item, and the groups that it is in."""
    while item is not None:
        yield item
        item = item.get_parent()


def ask_user(procedure, config):
    """Show the dialog; True if the user wants to go on."""
    gi.require_version("GimpUi", "3.0")
    from gi.repository import GimpUi

    GimpUi.init(PROCEDURE)
    dialog = GimpUi.ProcedureDialog.new(procedure, config, "Recolor Hair")
    dialog.get_scale_entry("strength", 100.0)  # shown in percent
    dialog.fill(
        ["shade", "color", "photo", "tips", "strength", "method", "step", "quality", "model", "device", "force"]
    )
    names = ("color", "photo", "step", "quality", "model")
    widgets = {name: dialog.get_widget(name, GObject.TYPE_NONE) for name in names}
    for name in ("shade", "tips"):
        show_swatches(dialog.get_widget(name, GObject.TYPE_NONE).get_widget())

    def update(*_):
        whole = config.get_property("method") == "whole"
        widgets["color"].set_sensitive(config.get_property("shade") == CUSTOM)
        widgets["photo"].set_sensitive(config.get_property("shade") == PHOTO)
        widgets["step"].set_sensitive(not whole)
        widgets["quality"].set_sensitive(whole)
        widgets["model"].set_sensitive(whole)

    config.connect("notify::shade", update)
    config.connect("notify::method", update)
    update()
    agreed = dialog.run()
    dialog.destroy()
    return agreed


def show_swatches(combo):
    """Draw each shade's color before its name in the drop-down list."""
    gi.require_version("Gtk", "3.0")
    from gi.repository import GdkPixbuf, Gtk

    colors = {shade["name"]: shade["color"] for shade in read_shades()}
    colors[FOREGROUND], colors[BACKGROUND] = (
        "#%02x%02x%02x" % tuple(round(255 * min(max(part, 0.0), 1.0)) for part in encode(color))
        for color in (Gimp.context_get_foreground(), Gimp.context_get_background())
    )

    def draw(layout, cell, model, place):
        swatch = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, True, 8, *SWATCH)
        color = colors.get(model.get_value(place, 0))
        swatch.fill(int(color[1:] + "ff", 16) if color else 0)
        cell.set_property("pixbuf", swatch)

    cell = Gtk.CellRendererPixbuf(xpad=4)
    combo.pack_start(cell, False)
    combo.reorder(cell, 0)
    combo.set_cell_data_func(cell, draw)


def recolor_layer(image, layer, config, settings):
    """Read the layer, have it recolored, and add the masked layer above it in one undo step."""
    directory = worker_client.private_directory()
    transport = choose_transport(image)
    width, height = layer.get_width(), layer.get_height()
    files = {name: worker_client.exchange_path(directory) for name in ("pixels", "layer_out", "mask_out")}
    limits = []
    Gimp.progress_init("Reading the layer")
    try:
        read_buffer(layer.get_buffer(), (0, 0, width, height), transport["pixels"], files["pixels"], (0.0, READ_SHARE))
        for buffer, left, top in limiting_masks(image, layer):
            limits.append(worker_client.exchange_path(directory))
            read_buffer(buffer, (left, top, width, height), "Y float", limits[-1], (READ_SHARE, READ_SHARE))
        request = {
            "type": "recolor",
            "width": width,
            "height": height,
            "format": transport["type"],
            "mask_format": transport["mask_type"],
            "shade": chosen_shade(config),
            "tips": chosen_tips(config),
            "strength": config.get_property("strength"),
            "engine": config.get_property("method"),
            "step": config.get_property("step"),
            "quality": config.get_property("quality"),
            "model": chosen_model(config),
            "device": config.get_property("device"),
            "force": config.get_property("force"),
            "limits": [path.name for path in limits],
        }
        request.update({name: path.name for name, path in files.items()})

        def on_progress(fraction, text):
            Gimp.progress_set_text(text)
            Gimp.progress_update(READ_SHARE + WORK_SHARE * fraction)

        def on_result(result):
            unchanged = config.get_property("strength") == 0
            add_masked_layer(image, layer, f"Hair recolor ({result['shade']})", transport, files, unchanged)
            return result

        Gimp.progress_set_text("Looking for hair")  # the first time, the worker has to start
        result = worker_client.ask(settings, directory, request, on_progress, on_result)
    finally:
        for path in [*files.values(), *limits]:
            path.unlink(missing_ok=True)
    Gimp.progress_end()
    for notice in result["notices"]:
        Gimp.message(notice)
    Gimp.displays_flush()


def chosen_shade(config):
    """The shade's name; a color as sRGB [r, g, b], each 0…1; or {"photo": path} for the hair of that photo."""
    shade = config.get_property("shade")
    if shade == FOREGROUND:
        return encode(Gimp.context_get_foreground())
    if shade == PHOTO:
        photo = config.get_property("photo")
        if photo is None or photo.get_path() is None:
            raise Problem("The shade is that of another photo, but no photo is given: choose its file as well.")
        return {"photo": photo.get_path()}
    if shade != CUSTOM:
        return shade
    color = config.get_property("color")
    if color.get_rgba()[3] == 0:  # what GIMP passes on where a script has not set the color
        raise Problem("The shade is custom, but no color is given: set the argument color as well.")
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


def chosen_model(config):
    """The network's name, or None for the default one; there is one classifier of textures only."""
    model = config.get_property("model")
    return None if model == DEFAULT_MODEL or config.get_property("method") != "whole" else model


def choose_transport(image):
    """The pixel format that carries this image's layers without loss.

    8- and 16-bit sRGB images travel as they are. Others, linear or wide-gamut ones for example, travel
    as floating-point sRGB, which has no limits, so that GIMP's conversion there and back loses nothing.
    """
    profile = image.get_effective_color_profile()
    precision = image.get_precision()
    if profile is None or profile.is_equal(Gimp.ColorProfile.new_rgb_srgb()):
        if precision == Gimp.Precision.U8_NON_LINEAR:
            return {"type": "u8", "pixels": "R'G'B'A u8", "mask_type": "u8", "mask": "Y u8"}
        if precision == Gimp.Precision.U16_NON_LINEAR:
            return {"type": "u16", "pixels": "R'G'B'A u16", "mask_type": "float", "mask": "Y float"}
    return {"type": "float", "pixels": "R'G'B'A float", "mask_type": "float", "mask": "Y float"}


def limiting_masks(image, layer):
    """What keeps parts of the layer out: (buffer, left, top) of the selection and of the layer's own mask."""
    if not Gimp.Selection.is_empty(image):
        _, left, top = layer.get_offsets()
        yield image.get_selection().get_buffer(), left, top
    if layer.get_mask() is not None and layer.get_apply_mask():
        yield layer.get_mask().get_buffer(), 0, 0


def strips(width, height):
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, min(rows, height - top)


def read_buffer(buffer, area, pixel_format, path, progress):
    """Write an area of a buffer to a new file, raw and row by row; outside the buffer it is zero."""
    left, top, width, height = area
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb"
    ) as file:
        for row, rows in strips(width, height):
            rectangle = Gegl.Rectangle.new(left, top + row, width, rows)
            file.write(buffer.get(rectangle, 1.0, pixel_format, Gegl.AbyssPolicy.NONE))
            Gimp.progress_update(progress[0] + (progress[1] - progress[0]) * (row + rows) / height)


def write_buffer(drawable, pixel_format, path, progress):
    """Fill a drawable from a raw file, row by row."""
    width, height = drawable.get_width(), drawable.get_height()
    buffer = drawable.get_buffer()
    row_bytes = path.stat().st_size // height
    with open(path, "rb") as file:
        for row, rows in strips(width, height):
            buffer.set(Gegl.Rectangle.new(0, row, width, rows), pixel_format, file.read(row_bytes * rows))
            Gimp.progress_update(progress[0] + (progress[1] - progress[0]) * (row + rows) / height)
    buffer.flush()
    drawable.update(0, 0, width, height)


def add_masked_layer(image, source, name, transport, files, unchanged):
    """Add the recolored layer with its mask above the source: same size, place and group; one undo step.

    unchanged: the layer gets the source's own pixels, which have not been through any conversion then.
    Layer and mask are filled before they join the image, so that a cancel leaves no half-made layer.
    """
    done = READ_SHARE + WORK_SHARE
    kind = Gimp.ImageType.RGBA_IMAGE if source.has_alpha() else Gimp.ImageType.RGB_IMAGE
    width, height = source.get_width(), source.get_height()
    layer = Gimp.Layer.new(image, name, width, height, kind, source.get_opacity(), Gimp.LayerMode.NORMAL)
    # Blend as the mask says, on the values that the user sees: (1-p)*original + p*recolored.
    layer.set_composite_space(Gimp.LayerColorSpace.RGB_NON_LINEAR)
    layer.set_visible(source.get_visible())
    _, left, top = source.get_offsets()
    layer.set_offsets(left, top)  # before it joins: in a group of locked position it could not move any more
    if unchanged:
        whole = Gegl.Rectangle.new(0, 0, width, height)
        source.get_buffer().copy(whole, Gegl.AbyssPolicy.NONE, layer.get_buffer(), whole)
    else:
        write_buffer(layer, transport["pixels"], files["layer_out"], (done, 0.95))
    mask = layer.create_mask(Gimp.AddMaskType.BLACK)
    write_buffer(mask, transport["mask"], files["mask_out"], (0.95, 1.0))

    image.undo_group_start()
    try:
        image.insert_layer(layer, source.get_parent(), image.get_item_position(source))
        layer.add_mask(mask)
        image.set_selected_layers([layer])
    finally:
        image.undo_group_end()


if __name__ == "__main__":
    Gimp.main(HairRecolor.__gtype__, sys.argv)
