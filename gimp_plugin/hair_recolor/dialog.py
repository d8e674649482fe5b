"""The dialogs, and the preview in them: the layer before and after, as the settings would have it."""

import threading

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gtk", "3.0")
gi.require_version("GimpUi", "3.0")
import choices  # noqa: E402
import client  # noqa: E402
import layers  # noqa: E402
from gi.repository import GdkPixbuf, Gegl, Gimp, GimpUi, GLib, GObject, Gtk  # noqa: E402
from i18n import Problem, _  # noqa: E402
from options import Output, Request  # noqa: E402

COLORS = ["shade", "color", "photo", "tips", "strength"]
RESULTS = ["people", "output"]
SEARCH = ["method", "step", "quality", "refine", "model", "device"]
LIMITS = ["limit-to-selection", "force"]
CHOICES = ("shade", "tips", "people", "output", "method", "quality", "model", "device")
SWATCH = 28, 14  # width and height of the color beside a shade's name, pixels
PREVIEW_SIDE = 480  # pixels of the preview's long side
CHECK_SIZE, DARK_CHECK, LIGHT_CHECK = 8, 0x666666, 0x999999  # what is behind transparent pixels
LINE = 2  # width of the line between before and after, pixels
OF_GIMP = {  # its own buttons and their hints, for languages that its catalog leaves in part in English, as Korean in 3.0 and 3.2
    "_OK": _("_OK"),
    "_Cancel": _("_Cancel"),
    "_Reset": _("_Reset"),
    "_Save Settings": _("_Save Settings"),
    "_Load Saved Settings": _("_Load Saved Settings"),
    "_Help": _("_Help"),
    "Store current settings for later reuse": _("Store current settings for later reuse"),
    'Load settings saved with "Save Settings" button': _('Load settings saved with "Save Settings" button'),
}


def ask_user(procedure, config, recolors, image, layer, settings):
    """Show the dialog of Recolor or of Select Hair; True if the user wants to go on."""
    GimpUi.init(procedure.get_name())
    dialog, preview = make_dialog(procedure, config, recolors, image, layer, settings)
    agreed = dialog.run()
    preview.close()
    dialog.destroy()
    return agreed


def make_dialog(procedure, config, recolors, image, layer, settings):
    """The dialog, not shown yet, and the preview in it."""
    title = _("Recolor Hair") if recolors else _("Select Hair")
    names = [*COLORS, *RESULTS, *SEARCH, *LIMITS] if recolors else SEARCH
    if recolors and config.get_property("color").get_rgba()[3] == 0:  # how GIMP passes on that none was chosen yet
        config.set_property("color", Gegl.Color.new(choices.DEFAULT_COLOR))
    dialog = GimpUi.ProcedureDialog.new(procedure, config, title)
    widgets = {}
    for name in names:  # drop-down lists also for short choices, which GIMP 3.2 would spread over several lines
        kind = Gtk.ComboBox.__gtype__ if name in CHOICES else GObject.TYPE_NONE
        # Strength is shown in percent.
        widgets[name] = dialog.get_scale_entry(name, 100.0) if name == "strength" else dialog.get_widget(name, kind)
    for name in {"shade", "tips"} & set(names):
        show_swatches(widgets[name].get_widget())

    preview = Preview(image, layer, settings)
    columns = Gtk.Box(spacing=12)
    columns.pack_start(preview.widget, True, True, 0)
    columns.pack_start(dialog.fill_box("settings", names), False, False, 0)
    dialog.get_content_area().pack_start(columns, True, True, 0)
    dialog.get_content_area().reorder_child(columns, 0)
    columns.show_all()
    translate_buttons(dialog)

    def update(*_changed):
        for name, sensitive in sensitivities(config, recolors).items():
            widgets[name].set_sensitive(sensitive)
        try:
            limited = recolors and config.get_property("limit-to-selection")
            preview.ask(choices.preview_options(config), limited)
        except Problem as problem:
            preview.refuse(str(problem))

    config.connect("notify", update)
    update()
    return dialog, preview


def translate_buttons(widget):
    """Translate GIMP's own buttons that are still in English, in a dialog or a part of it."""
    if isinstance(widget, Gtk.Button):
        label, hint = widget.get_label(), widget.get_tooltip_text()
        if label in OF_GIMP:
            widget.set_label(OF_GIMP[label])
        if hint in OF_GIMP:
            widget.set_tooltip_text(OF_GIMP[hint])
    elif isinstance(widget, Gtk.Container):
        widget.forall(translate_buttons)


def sensitivities(config, recolors):
    """Which settings matter as the others are."""
    whole = config.get_property("method") == "whole"
    found = {"step": not whole, "quality": whole, "model": whole}
    if recolors:
        colored = config.get_property("output") in (choices.LAYER, choices.COLOR)
        shade = config.get_property("shade")
        found["color"], found["photo"] = shade == choices.CUSTOM and colored, shade == choices.PHOTO and colored
        found["shade"] = found["tips"] = found["strength"] = colored
        found["people"] = config.get_property("output") != choices.SELECTION
    return found


def show_swatches(combo):
    """Draw each shade's color before its name in the drop-down list."""
    colors = {shade["name"]: shade["color"] for shade in choices.read_shades()}
    colors[choices.FOREGROUND], colors[choices.BACKGROUND] = (
        "#%02x%02x%02x" % tuple(round(255 * min(max(part, 0.0), 1.0)) for part in choices.in_srgb(color))
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


class Preview:
    """A small copy of the layer, before and after, with a line between them that can be moved.

    A thread asks the worker, so that the dialog stays alive; of several wishes only the newest counts. The worker
    keeps the hair that it found, so that another color takes it no new search.
    """

    def __init__(self, image, layer, settings):
        self.settings, self.directory = settings, client.private_directory()
        scale = min(1.0, PREVIEW_SIDE / max(layer.get_width(), layer.get_height()))
        self.size = width, height = [max(1, round(side * scale)) for side in (layer.get_width(), layer.get_height())]
        area = (0, 0, width, height)
        self.pixels = layers.read_reduced(layer.get_buffer(), area, scale, "R'G'B'A u8")
        self.limits = {  # with and without the selection
            selection: [
                layers.read_reduced(buffer, (round(left * scale), round(top * scale), width, height), scale, "Y float")
                for buffer, left, top in layers.limiting_masks(image, layer, selection)
            ]
            for selection in (True, False)
        }
        self.before, self.after = self._picture(self.pixels), None
        self.wanted = None  # the newest wish, if it can be granted
        self.answered = None  # the wish whose picture is shown, or what kept it from being granted
        self.news, self.newest, self.closed = threading.Condition(), None, False
        self.on_shown = lambda: None  # called whenever a new picture is shown
        self._make_widget()
        threading.Thread(target=self._serve, daemon=True).start()

    def _make_widget(self):
        self.picture = Gtk.Image()
        self.words = Gtk.Label(wrap=True, max_width_chars=44, margin=12, no_show_all=True)
        self.words.set_halign(Gtk.Align.CENTER)
        self.words.set_valign(Gtk.Align.END)
        for style in ("osd", "app-notification"):
            self.words.get_style_context().add_class(style)
        overlay = Gtk.Overlay(halign=Gtk.Align.CENTER, valign=Gtk.Align.CENTER)
        handle = Gtk.EventBox()
        handle.add(self.picture)
        handle.connect("button-press-event", self._drag)
        handle.connect("motion-notify-event", self._drag)
        overlay.add(handle)
        overlay.add_overlay(self.words)
        overlay.set_overlay_pass_through(self.words, True)
        self.split = Gtk.Scale.new_with_range(Gtk.Orientation.HORIZONTAL, 0.0, 1.0, 0.05)
        self.split.set_draw_value(False)
        self.split.set_value(0.5)
        self.split.set_tooltip_text(_("Left of the line the layer is shown as it is, right of it the result"))
        self.split.connect("value-changed", lambda scale: self._draw())
        self.original = Gtk.CheckButton.new_with_mnemonic(_("Sho_w the original"))
        self.original.connect("toggled", lambda button: self._draw())
        below = Gtk.Box(spacing=6)
        below.pack_start(Gtk.Label(label=_("Before")), False, False, 0)
        below.pack_start(self.split, True, True, 0)
        below.pack_start(Gtk.Label(label=_("After")), False, False, 0)
        below.pack_start(self.original, False, False, 6)
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self.widget.pack_start(overlay, True, True, 0)
        self.widget.pack_start(below, False, False, 0)
        self._draw()

    def _drag(self, handle, event):
        self.split.set_value(event.x / max(1, self.size[0]))

    def ask(self, wish, limited):
        """Show the layer with this wish granted, as soon as the worker has done it."""
        if self.after is None or hair_part(wish) != hair_part(self.answered):
            self.after = None
            self.say(_("Looking for hair…"))
        self.wanted = wish
        with self.news:
            self.newest = (wish, limited)
            self.news.notify()

    def refuse(self, words):
        """Show the layer as it is, and a sentence that says why."""
        self.wanted = self.newest = self.after = None
        self.say(words)

    def say(self, words):
        """Write a sentence over the picture; none if it is empty."""
        self.words.set_text(words)
        self.words.set_visible(bool(words))
        self._draw()

    def close(self):
        """Let go of the worker."""
        with self.news:
            self.closed = True
            self.news.notify()

    # In the thread

    def _serve(self):
        while True:
            with self.news:
                while self.newest is None and not self.closed:
                    self.news.wait()
                if self.closed:
                    return
                (wish, limited), self.newest = self.newest, None
            try:
                shown, words = self._ask_worker(wish, limited), ""
            except Outdated:
                continue
            except (Problem, client.WorkerError, OSError) as error:
                shown, words = None, str(error)
            GLib.idle_add(self._show, wish, shown, words)

    def _ask_worker(self, wish, limited):
        """The preview's pixels after, RGBA, or its mask: bytes."""
        limits = self.limits[limited]
        request = Request.of_layer(wish, self.size, "u8", "u8", len(limits))
        paths = [self.directory / name for name in request.files]

        def write_files():
            try:
                for name, data in zip([request.pixels, *request.limits], [self.pixels, *limits]):
                    (self.directory / name).unlink(missing_ok=True)  # where another worker had it before
                    with layers.create(self.directory / name) as file:
                        file.write(data)
            except OSError as error:
                raise layers.not_written(self.directory, error) from error

        def on_progress(fraction, text):
            newest = self.newest
            if self.closed or (newest and hair_part(newest[0]) != hair_part(wish)):
                raise Outdated  # what was found so far would not help

        def on_result(result):
            return (self.directory / (request.layer_out or request.mask_out)[0]).read_bytes()

        try:
            return client.ask(self.settings, self.directory, request, on_progress, on_result, write_files)
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    # Back in the dialog

    def _show(self, wish, shown, words):
        if self.closed or self.wanted is None or hair_part(self.wanted) != hair_part(wish):
            return
        self.answered = wish
        self.after = self._picture(shown if wish.output is not Output.MASK else gray(shown)) if shown else None
        self.say(words)
        self.on_shown()

    def _picture(self, rgba):
        width, height = self.size
        layout = (GdkPixbuf.Colorspace.RGB, True, 8, width, height, 4 * width)
        pixels = GdkPixbuf.Pixbuf.new_from_bytes(GLib.Bytes.new(rgba), *layout)
        checks = (CHECK_SIZE, DARK_CHECK, LIGHT_CHECK)
        return pixels.composite_color_simple(width, height, GdkPixbuf.InterpType.NEAREST, 255, *checks)

    def _draw(self):
        width, height = self.size
        before = width if self.after is None or self.original.get_active() else round(self.split.get_value() * width)
        picture = self.before.copy()
        if before < width:
            self.after.copy_area(before, 0, width - before, height, picture, before, 0)
            if before:
                line = picture.new_subpixbuf(
                    min(before, width - LINE) if width > LINE else 0, 0, min(LINE, width), height
                )
                line.fill(0xFFFFFFFF)
        self.picture.set_from_pixbuf(picture)


class Outdated(Exception):
    """The user wants to see something else by now."""


def hair_part(wish):
    """What of a wish decides where hair is found; the rest changes colors only, which is quick."""
    return wish.search, wish.output is Output.MASK


def gray(mask):
    """A mask's bytes as RGBA."""
    rgba = bytearray(b"\xff") * (4 * len(mask))
    for channel in range(3):
        rgba[channel::4] = mask
    return bytes(rgba)
