#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters > Hair for GIMP 3: Recolor (the hair in another color, on a masked layer) and Select Hair.

Says what the two procedures take, and does them: pixels out of GIMP (layers.py), a question to the worker
(client.py), the answer into the image as one undo step. Standard library and gi only: GIMP's Python has no
numpy, and needs none here.
"""

import sys
import traceback
from pathlib import Path

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gegl, Gimp, GLib, GObject  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
import choices  # noqa: E402
import client  # noqa: E402
import layers  # noqa: E402
from i18n import Problem, _  # noqa: E402
from options import (  # noqa: E402
    DEFAULT_STEP,
    LARGEST_STEP,
    MOST_DEPTH,
    Device,
    Engine,
    Light,
    People,
    Quality,
    Request,
)

RECOLOR, SELECT = "python-fu-hair-recolor", "python-fu-select-hair"
METHODS = (
    (Engine.WHOLE.value, _("Whole image"), _("Sees people as a whole")),
    (
        Engine.TEXTURE.value,
        _("Texture"),
        _("Judges small windows one by one: for wigs, close-ups and strands without a head"),
    ),
)
QUALITIES = ((Quality.FAST.value, _("Fast"), ""), (Quality.BEST.value, _("Best: strand by strand (slower)"), ""))
LIGHTS = (
    (Light.AUTO.value, _("As in the photo"), _("In warm, cold or dim light, the new color is seen in that light")),
    (Light.NEUTRAL.value, _("White"), _("The new color is as in white light, whatever the photo's light")),
)
PEOPLE = (
    (People.TOGETHER.value, _("All together"), _("One layer for all hair in the photo")),
    (People.EACH.value, _("One layer each"), _("Heads of hair are told apart, and each is dyed from its own color")),
)
OUTPUTS = (
    (choices.LAYER, _("Recolored layer with mask"), _("Recolored everywhere; the mask says where it shows")),
    (choices.COLOR, _("Color layer (LCh Color) with mask"), _("Gives hue and chroma; the lightness stays the photo's")),
    (choices.MASK, _("Hair mask only"), _("On a copy of the layer, which is not recolored")),
    (choices.SELECTION, _("Selection"), _("The hair is selected, fine strands in part")),
)
DEVICES = (
    (Device.AUTO.value, _("Automatic"), ""),
    (Device.CPU.value, _("Processor (CPU)"), ""),
    (Device.CUDA.value, _("NVIDIA GPU (CUDA)"), ""),
    (Device.DIRECTML.value, _("Windows GPU (DirectML)"), ""),
    (Device.COREML.value, _("Apple (Core ML)"), ""),
)
FLAGS = GObject.ParamFlags.READWRITE


class HairRecolor(Gimp.PlugIn):
    def do_query_procedures(self):
        return [RECOLOR, SELECT]

    def do_set_i18n(self, name):
        return False  # nothing to do for GIMP: i18n.py looks the sentences up, menu labels included

    def do_create_procedure(self, name):
        Gegl.init(None)
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        # Every image type, so that the menu entry is always there and can say what to do about a gray image.
        procedure.set_image_types("*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_attribution("Hair Recolor contributors", "GPL-3.0-or-later", "2026")
        if name == RECOLOR:
            describe_recolor(procedure)
        else:
            describe_select(procedure)
        procedure.add_menu_path("<Image>/Filters/" + _("Hair"))
        return procedure


def describe_recolor(procedure):
    """Menu label and arguments of Recolor."""
    procedure.set_menu_label(_("Recolor…"))
    procedure.set_documentation(
        _("Change the hair color"),
        _(
            "Finds the hair in the current layer and adds a recolored layer above it, whose layer mask is the "
            "hair probability. Paint on the mask, change the layer's opacity or mode to refine the result."
        ),
        RECOLOR,
    )
    named = [described(shade) for shade in choices.read_shades()]
    shades = [
        *named,
        (choices.CUSTOM, _("Custom color"), _("the color chosen below")),
        (choices.FOREGROUND, _("Foreground color"), _("GIMP's foreground color")),
        (choices.PHOTO, _("Hair of another photo"), _("the hair in the photo chosen below")),
    ]
    tips = [
        (choices.SAME, _("As the rest"), _("one shade from the roots to the tips")),
        *named,
        (choices.BACKGROUND, _("Background color"), _("GIMP's background color")),
    ]
    highlights = [(choices.NONE, _("None"), _("all strands in the same shade")), *tips[1:]]
    add_choice(procedure, "shade", _("Sh_ade"), _("The new hair color"), shades, "copper")
    copper = Gegl.Color.new(choices.DEFAULT_COLOR)
    procedure.add_color_argument(
        "color", _("C_ustom color"), _("Used when the shade is Custom color"), False, copper, FLAGS
    )
    procedure.add_file_argument(
        "photo",
        _("_Photo"),
        _("Used when the shade is Hair of another photo"),
        Gimp.FileChooserAction.OPEN,
        True,
        None,
        FLAGS,
    )
    add_choice(procedure, "tips", _("_Tips"), _("Another color towards the tips of the hair"), tips)
    add_number(procedure, "strength", _("Stren_gth"), _("How far towards the shade, 0 to 1"), 0.0, 1.0, 1.0)
    add_choice(procedure, "highlights", _("Highlights"), _("Another color on some of the strands"), highlights)
    add_number(
        procedure,
        "highlights-share",
        _("Highlighted share"),
        _("How many of the strands are highlighted, 0 to 1"),
        0.0,
        1.0,
        0.3,
    )
    add_number(
        procedure,
        "roots",
        _("Roots"),
        _("The share of the hair's length, from the scalp, that keeps its own color, 0 to 1"),
        0.0,
        1.0,
        0.0,
    )
    add_number(
        procedure,
        "depth",
        _("Depth"),
        _("Levels lighter than the shades, as hairdressers count; darker if below 0"),
        -float(MOST_DEPTH),
        float(MOST_DEPTH),
        0.0,
    )
    add_number(
        procedure,
        "shine",
        _("Shine"),
        _("How much the hair gleams: 1 twice as much, -1 half as much"),
        -1.0,
        1.0,
        0.0,
    )
    add_choice(procedure, "light", _("Light"), _("The light that the new color is seen in"), LIGHTS)
    add_choice(procedure, "people", _("Se_veral people"), _("Whether each person gets a layer"), PEOPLE)
    add_choice(procedure, "output", _("_Kind of result"), _("What is made of the hair that is found"), OUTPUTS)
    add_search(procedure)
    procedure.add_boolean_argument(
        "limit-to-selection",
        _("L_imit to the selection"),
        _("If there is a selection, hair outside of it stays as it is"),
        True,
        FLAGS,
    )
    procedure.add_boolean_argument(
        "force", _("Add it an_yway if no hair is found"), _("For painting the mask by hand"), False, FLAGS
    )


def describe_select(procedure):
    """Menu label and arguments of Select Hair."""
    procedure.set_menu_label(_("Select Hair"))
    procedure.set_documentation(
        _("Select the hair"),
        _("Finds the hair in the current layer and selects it; single strands and soft outlines are selected in part."),
        SELECT,
    )
    add_search(procedure)


def add_search(procedure):
    """The arguments that say how hair is found."""
    models = [described(model) for model in choices.read_models()]
    add_choice(procedure, "method", _("_Method"), _("How hair is told from the rest"), METHODS)
    procedure.add_int_argument(
        "step",
        _("St_ep"),
        _("Texture: pixels between windows, at the working scale; 1 is finest"),
        1,
        LARGEST_STEP,
        DEFAULT_STEP,
        FLAGS,
    )
    add_choice(procedure, "quality", _("_Quality"), _("How closely to look for hair"), QUALITIES)
    procedure.add_boolean_argument(
        "refine", _("Re_fine the outline"), _("Follow the photo's own edges at full resolution"), True, FLAGS
    )
    add_choice(procedure, "model", _("_Network"), _("Which network finds the hair"), models)
    add_choice(procedure, "device", _("_Device"), _("Where the network runs"), DEVICES)


def described(entry):
    """Name, label and description of a shade or a network."""
    label, description = entry["label"], entry["description"]
    return entry["name"], _(label), description and _(description)


def add_choice(procedure, name, label, description, entries, default=None):
    """An argument that is one of `entries`, (name, label, description) each; the first one unless told otherwise."""
    choice = Gimp.Choice.new()
    for number, (entry, entry_label, entry_description) in enumerate(entries):
        choice.add(entry, number, entry_label, entry_description)
    procedure.add_choice_argument(name, label, description, choice, default or entries[0][0], FLAGS)


def add_number(procedure, name, label, description, low, high, default):
    """An argument that is a number from low to high."""
    procedure.add_double_argument(name, label, description, low, high, default, FLAGS)


def run(procedure, run_mode, image, drawables, config, data):
    """One call of either procedure, whatever the run mode."""
    try:
        layer, earlier = layers.choose_source(image, drawables)
        size, recolors = (layer.get_width(), layer.get_height()), procedure.get_name() == RECOLOR
        settings = client.load_settings(Path(__file__).resolve().parent)
        if run_mode == Gimp.RunMode.INTERACTIVE:
            import dialog

            with layers.as_seen(image, layer) as seen:
                agreed = dialog.ask_user(procedure, config, recolors, image, layer, seen, settings)
            if not agreed:
                return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
            layers.check_still_there(image, layer, size)
        if recolors:
            kind, limited = config.get_property("output"), config.get_property("limit-to-selection")
            if kind != choices.SELECTION:
                layers.check_unlocked(layer)
        else:
            kind, limited = choices.SELECTION, False
        if kind == choices.SELECTION:
            layers.check_on_canvas(image, layer)
        with layers.as_seen(image, layer) as seen:
            find_hair(image, layer, seen, kind, choices.chosen_options(config), limited, settings, earlier)
        return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)
    except (Problem, client.WorkerError) as problem:
        return fail(procedure, str(problem))
    except OSError as error:
        return fail(
            procedure,
            _("The layer's pixels could not be exchanged ({reason}): check the free disk space.").format(reason=error),
        )
    except MemoryError:
        return fail(
            procedure, _("There is not enough memory for this layer: close other programs or scale the layer down.")
        )
    except Exception as error:  # whatever it is, GIMP must hear of it: no silent failure
        traceback.print_exc()
        return fail(
            procedure,
            _("Hair Recolor failed ({reason}): please report this sentence.").format(
                reason=f"{type(error).__name__}: {error}"
            ),
        )


def fail(procedure, sentence):
    sentence = sentence.encode("utf-8", "replace").decode()  # a folder's name may be no UTF-8, which GIMP does not take
    return procedure.new_return_values(
        Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error.new_literal(Gimp.PlugIn.error_quark(), sentence, 0)
    )


def find_hair(image, layer, seen, kind, options, limited, settings, earlier=()):
    """Read the layer, have its hair found and recolored, and put the result into the image.

    seen: the layer `as_seen`. kind: of result, see choices.py. options: an options.Options. limited: whether the
    selection limits the hair. earlier: results of former runs, of the same source, that the new one takes the place of.
    """
    laying = None
    if kind != choices.SELECTION:
        laying = layers.choose_laying(image, layer, seen)
        layers.check_can_hide([*earlier, layer] if laying == layers.GROUPED else earlier)
    directory = client.private_directory()
    size, own_size = (seen.get_width(), seen.get_height()), (layer.get_width(), layer.get_height())
    limits = list(layers.limiting_masks(image, layer, seen, limited))
    layer_format, mask_format = layers.choose_formats(image)
    request = Request.of_layer(options, size, layer_format, mask_format, len(limits), seen.has_alpha())
    paths = [directory / name for name in request.files]
    layers.check_room(request, directory)
    read = layers.READ_SHARE

    def write_files():
        Gimp.progress_set_text(_("Reading the layer"))
        try:
            for path in paths:  # where another worker had them before
                path.unlink(missing_ok=True)
            area = (0, 0, *size)
            pixel_format = layers.rgb(request.format, request.alpha)
            layers.read_buffer(seen.get_buffer(), area, pixel_format, directory / request.pixels, (0.0, read))
            for name, (buffer, left, top, is_own) in zip(request.limits, limits):
                # Where the layer is in part transparent by its own mask, the result is as well, so that is not its
                # own mask's business.
                is_soft = kind == choices.SELECTION or not is_own
                layers.read_limit(buffer, (left, top, *size), directory / name, is_soft)
        except OSError as error:
            raise layers.not_written(directory, error) from error
        Gimp.progress_set_text(_("Looking for hair"))

    def on_progress(fraction, text):
        Gimp.progress_set_text(text)
        Gimp.progress_update(read + layers.WORK_SHARE * fraction)

    def on_result(result):
        layers.check_still_there(image, layer, own_size)
        notices = put_in(image, layer, seen, kind, request, result, directory, laying, earlier)
        return [*result["notices"], *notices]

    Gimp.progress_init(_("Starting the hair worker"))  # the first time; else it is there at once
    try:
        notices = client.ask(settings, directory, request, on_progress, on_result, write_files)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    Gimp.progress_end()
    for notice in notices:
        Gimp.message(notice)
    Gimp.displays_flush()


def put_in(image, layer, seen, kind, request, result, directory, laying, earlier):
    """Put the worker's answer into the image: layers above the source, or the selection. Returns notices for the user."""
    masks = [directory / name for name in request.mask_out[: result["people"]]]
    if kind == choices.SELECTION:
        layers.select_hair(image, seen, request.mask_format, masks[0])
        return []
    unchanged = kind == choices.MASK or request.options.strength == 0
    made = []
    for number, mask in enumerate(masks, 1):
        name = layers.layer_name(kind, layer, result["shade"], number, len(masks))
        pixels = None if unchanged else directory / request.layer_out[number - 1]
        made.append(layers.make_layer(image, seen, name, kind, request, pixels, mask, laying))
    return layers.add_layers(image, layer, made, laying, earlier)


if __name__ == "__main__":
    Gimp.main(HairRecolor.__gtype__, sys.argv)
