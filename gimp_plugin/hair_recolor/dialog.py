"""The dialogs, and the preview in them: the layer before and after, as the settings would have it."""

import threading

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gegl", "0.4")
gi.require_version("Gtk", "3.0")
gi.require_version("GimpUi", "3.0")
import choices  # noqa: E402
import client  # noqa: E402
import layers  # noqa: E402
import view  # noqa: E402
from gi.repository import Gdk, GdkPixbuf, Gegl, Gimp, GimpUi, GLib, GObject, Gtk  # noqa: E402
from i18n import Problem, _  # noqa: E402
from options import Output, PixelFormat, Request  # noqa: E402

RECOLOR = ["shade", "color", "photo", "tips", "strength", "output"]
MORE_COLORS = ["highlights", "highlights-share", "roots", "depth", "shine", "light"]
MORE_OF_RECOLOR = [
    *MORE_COLORS,
    "people",
    "method",
    "step",
    "quality",
    "refine",
    "model",
    "device",
    "limit-to-selection",
    "force",
]
SELECT, MORE_OF_SELECT = ["method", "quality", "refine"], ["step", "model", "device"]
CHOICES = ("shade", "tips", "highlights", "light", "people", "output", "method", "quality", "model", "device")
SCALES = dict.fromkeys(("strength", "highlights-share", "roots", "shine"), 100.0) | {"depth": 1.0}  # percent; levels
SWATCH = 28, 14  # width and height of the color beside a shade's name, pixels
WINDOW = 480, 440  # width and height of the preview at least, screen pixels
MORE_HEIGHT = 300  # of the settings under More that are seen at once, at most, screen pixels
SMALL_SIDE = 512  # of the copy of the layer in which hair is found first, pixels
SAME = 1.2  # copies of the layer whose scales differ by no more are equally fine
CHECK_SIZE, DARK_CHECK, LIGHT_CHECK = 8, 0x666666, 0x999999  # what is behind transparent pixels
LINE, REACH = 2, 8  # width of the line between before and after, and how near the mouse takes it, screen pixels
STEP, MOVE = 1.25, 0.1  # of the zoom; of the picture by the keyboard, in windows
ZOOM_KEYS = {"plus": STEP, "equal": STEP, "KP_Add": STEP, "minus": 1 / STEP, "KP_Subtract": 1 / STEP}
MOVE_KEYS = {"Left": (1, 0), "Right": (-1, 0), "Up": (0, 1), "Down": (0, -1)}  # the window goes there, the picture back
HAIR, WHOLE = "hair", "whole"  # what the preview can show
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


def ask_user(procedure, config, recolors, image, layer, seen, settings):
    """Show the dialog of Recolor or of Select Hair; True if the user wants to go on."""
    GimpUi.init(procedure.get_name())
    dialog, preview = make_dialog(procedure, config, recolors, image, layer, seen, settings)
    agreed = dialog.run()
    preview.close()
    dialog.destroy()
    return agreed


def make_dialog(procedure, config, recolors, image, layer, seen, settings):
    """The dialog, not shown yet, and the preview in it."""
    title = _("Recolor Hair") if recolors else _("Select Hair")
    names, more_names = (RECOLOR, MORE_OF_RECOLOR) if recolors else (SELECT, MORE_OF_SELECT)
    if recolors and config.get_property("color").get_rgba()[3] == 0:  # how GIMP passes on that none was chosen yet
        config.set_property("color", Gegl.Color.new(choices.DEFAULT_COLOR))
    dialog = GimpUi.ProcedureDialog.new(procedure, config, title)
    widgets = {}
    for name in names + more_names:
        # Drop-down lists also for short choices, which GIMP 3.2 would spread over several lines.
        kind = Gtk.ComboBox.__gtype__ if name in CHOICES else GObject.TYPE_NONE
        factor = SCALES.get(name)
        widgets[name] = dialog.get_scale_entry(name, factor) if factor else dialog.get_widget(name, kind)
    for name in {"shade", "tips", "highlights"} & set(widgets):
        show_swatches(widgets[name].get_widget())

    preview = Preview(image, layer, seen, settings)
    columns = Gtk.Box(spacing=12)
    columns.pack_start(preview.widget, True, True, 0)
    boxes = dialog.fill_box("settings", names), dialog.fill_box("more", more_names)
    more = Gtk.Expander(label=_("More"), spacing=6)
    # So that the dialog fits on a laptop's screen with all of it open.
    scrolled = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER)
    scrolled.set_propagate_natural_height(True)
    scrolled.set_max_content_height(MORE_HEIGHT)
    scrolled.add(boxes[1])
    more.add(scrolled)
    both = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
    both.pack_start(boxes[0], False, False, 0)
    both.pack_start(more, False, False, 0)
    align(widgets.values(), boxes)
    columns.pack_start(both, False, False, 0)
    dialog.get_content_area().pack_start(columns, True, True, 0)
    dialog.get_content_area().reorder_child(columns, 0)
    columns.show_all()
    translate_buttons(dialog)

    defaults, changed = procedure.create_config(), False

    def update(*_changed):
        nonlocal changed
        for name, sensitive in sensitivities(config, recolors).items():
            widgets[name].set_sensitive(sensitive)
        differs = [config.get_property(name) != defaults.get_property(name) for name in more_names]
        matters = [widgets[name].get_sensitive() for name in more_names]
        before, changed = changed, any(map(all, zip(differs, matters)))
        if changed and not before:  # so that nobody wonders why the result is another one
            more.set_expanded(True)
        try:
            limited = recolors and config.get_property("limit-to-selection")
            preview.ask(choices.preview_options(config), limited)
        except Problem as problem:
            preview.refuse(str(problem))

    config.connect("notify", update)
    update()
    return dialog, preview


def align(widgets, boxes):
    """Let all settings begin at one line, whatever box they are in; and no box be wider when the other one opens."""
    labels, widths = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL), Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
    for widget in widgets:
        if isinstance(widget, GimpUi.Labeled):
            labels.add_widget(widget.get_label())
        elif isinstance(widget, GimpUi.FileChooser):
            labels.add_widget(widget.get_label_widget())
    for box in boxes:
        widths.add_widget(box)


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
        found.update(dict.fromkeys(("shade", "tips", "strength", *MORE_COLORS), colored))
        found["highlights-share"] = colored and config.get_property("highlights") != choices.NONE
        found["people"] = config.get_property("output") != choices.SELECTION
    return found


def show_swatches(combo):
    """Draw each shade's color before its name in the drop-down list."""
    colors = {shade["name"]: shade["color"] for shade in choices.read_shades()}
    colors[choices.FOREGROUND], colors[choices.BACKGROUND] = (
        "#" + "".join(f"{round(255 * min(max(part, 0.0), 1.0)):02x}" for part in choices.in_srgb(color))
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


class Copy:
    """The layer, reduced: pixels and limits as the worker gets them, and the picture of it as it is."""

    def __init__(self, image, layer, seen, scale):
        self.scale = scale
        self.size = width, height = [max(1, round(side * scale)) for side in (seen.get_width(), seen.get_height())]
        self.alpha = seen.has_alpha()
        pixel_format = layers.rgb(PixelFormat.U8, self.alpha)
        self.pixels = layers.read_reduced(seen.get_buffer(), (0, 0, width, height), scale, pixel_format)
        self.limits = {  # with and without the selection
            selection: [
                layers.read_reduced(buffer, (round(left * scale), round(top * scale), width, height), scale, "Y float")
                for buffer, left, top, _is_own in layers.limiting_masks(image, layer, seen, selection)
            ]
            for selection in (True, False)
        }
        self.before = self.picture(self.pixels, self.alpha)

    def picture(self, pixels, alpha=True):
        """Pixels of this copy's size, RGBA or without alpha, as a picture."""
        width, height = self.size
        layout = (GdkPixbuf.Colorspace.RGB, alpha, 8, width, height, (3 + alpha) * width)
        return GdkPixbuf.Pixbuf.new_from_bytes(GLib.Bytes.new(pixels), *layout)


class Preview:
    """The layer before and after, with a line between them that can be moved; opens on the hair, and can be zoomed.

    Hair is found in a small copy of the whole layer first. Then the layer is read once more, as finely as the part that
    is shown deserves while another color still takes it no more than a moment, and its hair is found in that as well.
    It is always the whole layer that is looked at, as the result will be: in a part of it other hair might be found.
    A thread asks the worker, so that the dialog stays alive; of several questions only the newest counts. The worker
    keeps the hair that it found, so that another color takes it no new search.
    """

    def __init__(self, image, layer, seen, settings):
        self.settings, self.directory = settings, client.private_directory()
        self.image, self.layer, self.seen = image, layer, seen
        self.own_size, self.layer_size = ((one.get_width(), one.get_height()) for one in (layer, seen))
        self.small = self.copy = Copy(image, layer, seen, min(1.0, SMALL_SIDE / max(self.layer_size)))
        self.fine = self.fine_hair = None  # the finer copy, and the options for which its hair is known
        self.after: GdkPixbuf.Pixbuf | None = None  # the picture of `copy` with its new color, if there is one
        self.box = self.box_of = None  # where hair was found, and for what
        self.view = view.show_whole(self.layer_size, WINDOW)
        # What the view is to keep to, whatever the window's size; None: what the user made of it.
        self.shows: str | None = HAIR
        self.wanted = None  # the newest options and whether the selection limits the hair; None: nothing can be shown
        self.answered = None  # the options whose final picture is shown, or that had an error for an answer
        self.news, self.closed = threading.Condition(), False
        self.newest: tuple | None = None  # what the worker is to be asked next
        self.on_shown = lambda: None  # called whenever a new picture is shown
        self._make_widget()
        threading.Thread(target=self._serve, daemon=True).start()

    # What is seen

    def _make_widget(self):
        self.words = Gtk.Label(wrap=True, max_width_chars=44, margin=12, no_show_all=True)
        self.words.set_halign(Gtk.Align.CENTER)
        self.words.set_valign(Gtk.Align.END)
        for style in ("osd", "app-notification"):
            self.words.get_style_context().add_class(style)
        overlay = Gtk.Overlay()
        overlay.add(self._make_canvas())
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
        self.widget.pack_start(self._make_zoom(), False, False, 0)
        self.widget.pack_start(below, False, False, 0)
        self._draw()

    def _make_canvas(self):
        """Where the picture is drawn: as large as the dialog has room for, whatever the picture's size."""
        self.picture = Gtk.Image()
        self.canvas = Gtk.Layout(can_focus=True)
        self.canvas.set_size_request(*WINDOW)
        self.canvas.get_accessible().set_name(_("Preview"))
        self.canvas.put(self.picture, 0, 0)
        masks = Gdk.EventMask
        self.canvas.add_events(
            masks.BUTTON_PRESS_MASK
            | masks.BUTTON_RELEASE_MASK
            | masks.POINTER_MOTION_MASK
            | masks.SCROLL_MASK
            | masks.SMOOTH_SCROLL_MASK
            | masks.KEY_PRESS_MASK
        )
        self.held = None  # what the mouse drags: "line", or the place where it last was
        self.canvas.connect("button-press-event", self._press)
        self.canvas.connect("motion-notify-event", self._move)
        self.canvas.connect("button-release-event", self._release)
        self.canvas.connect("scroll-event", self._scroll)
        self.canvas.connect("key-press-event", self._key)
        self.canvas.connect("size-allocate", self._resize)
        self.canvas.connect("notify::has-focus", lambda canvas, name: self._draw())
        return self.canvas

    def _make_zoom(self):
        """The row of buttons that zoom."""
        row = Gtk.Box(spacing=6)
        self.to_hair = Gtk.Button(label=_("Hair"), tooltip_text=_("Show the hair that was found, with room around it"))
        self.to_hair.connect("clicked", lambda button: self._fit(HAIR))
        self.to_hair.set_sensitive(False)
        whole = Gtk.Button(label=_("Whole layer"), tooltip_text=_("Show the whole layer"))
        whole.connect("clicked", lambda button: self._fit(WHOLE))
        for button in (self.to_hair, whole):
            row.pack_start(button, False, False, 0)
        self.percent = Gtk.Label(width_chars=7, xalign=1.0)
        row.pack_start(self.percent, True, True, 0)
        for icon, name, keys, factor in (
            (GimpUi.ICON_ZOOM_OUT, _("Zoom out"), _("Zoom out (mouse wheel; - on the picture)"), 1 / STEP),
            (GimpUi.ICON_ZOOM_IN, _("Zoom in"), _("Zoom in (mouse wheel; + on the picture)"), STEP),
        ):
            button = Gtk.Button.new_from_icon_name(icon, Gtk.IconSize.BUTTON)
            button.set_tooltip_text(keys)
            button.get_accessible().set_name(name)
            button.connect("clicked", lambda button, factor=factor: self._zoom(factor))
            row.pack_start(button, False, False, 0)
        return row

    def _fit(self, what):
        """Show the hair and what is around it, or the whole layer; that as well as long as no hair was found."""
        self.shows, window = what, self.view.window
        if what == HAIR and self.box:
            self.view = view.show_box(self.layer_size, window, view.with_room(self.box, self.layer_size))
        else:
            self.view = view.show_whole(self.layer_size, window)
        self._draw()

    def _look(self, at):
        """Show another part of the layer, as the user wants to see it."""
        if at != self.view:
            self.view, self.shows = at, None
            self._draw()

    def _zoom(self, factor, x=None, y=None):
        """Enlarge the picture around a point of the window, or its middle."""
        width, height = self.view.window
        x, y = width / 2 if x is None else x, height / 2 if y is None else y
        self._look(self.view.zoomed(factor, x, y, view.LARGEST * (self.fine or self.small).scale))

    def _resize(self, canvas, room):
        window = max(1, room.width), max(1, room.height)
        if window != self.view.window:
            self.view = self.view.resized(window)
            if self.shows:
                GLib.idle_add(self._fit, self.shows)
            else:
                GLib.idle_add(self._draw)

    def _line(self):
        """Where the line between before and after is, screen pixels."""
        left, _top, right, _bottom = self.view.shown()
        return left + round(self.split.get_value() * (right - left))

    def _near_line(self, x):
        """Whether the mouse would take the line there: everywhere if the picture cannot be moved anyway."""
        splits = self.after is not None and not self.original.get_active()
        return splits and (abs(x - self._line()) <= REACH or not self.view.can_move())

    def _press(self, canvas, event):
        canvas.grab_focus()
        if event.button == 1:
            self.held = "line" if self._near_line(event.x) else (event.x, event.y)
            self._move(canvas, event)
        return True

    def _move(self, canvas, event):
        if self.held == "line":
            left, _top, right, _bottom = self.view.shown()
            self.split.set_value((event.x - left) / (right - left))
        elif self.held:
            across, down, self.held = event.x - self.held[0], event.y - self.held[1], (event.x, event.y)
            self._look(self.view.moved(across, down))
        self._point(event.x)

    def _release(self, canvas, event):
        self.held = None
        self._point(event.x)

    def _point(self, x):
        """Let the mouse's pointer say what it would move."""
        if self.held == "line" or (self.held is None and self._near_line(x)):
            name = "col-resize"
        else:
            name = ("grabbing" if self.held else "grab") if self.view.can_move() else "default"
        self.canvas.get_bin_window().set_cursor(Gdk.Cursor.new_from_name(self.canvas.get_display(), name))

    def _scroll(self, canvas, event):
        steps = {Gdk.ScrollDirection.UP: 1, Gdk.ScrollDirection.DOWN: -1}.get(event.direction, 0)
        if event.direction == Gdk.ScrollDirection.SMOOTH:
            steps = -event.delta_y
        if steps:
            self._zoom(STEP**steps, event.x, event.y)
        return True

    def _key(self, canvas, event):
        key = Gdk.keyval_name(event.keyval)
        width, height = self.view.window
        if key in ZOOM_KEYS:
            self._zoom(ZOOM_KEYS[key])
        elif key in MOVE_KEYS and self.view.can_move():
            across, down = MOVE_KEYS[key]
            self._look(self.view.moved(across * width * MOVE, down * height * MOVE))
        else:
            return False
        return True

    def _draw(self):
        (width, height), (left, top, right, bottom) = self.view.window, self.view.shown()
        picture = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, True, 8, width, height)
        picture.fill(0)
        line = right if self.after is None or self.original.get_active() else self._line()
        zoom = [side * self.view.scale / pixels for side, pixels in zip(self.layer_size, self.copy.size)]
        offset = [-round(at * self.view.scale) for at in (self.view.left, self.view.top)]
        for source, start, end in ((self.copy.before, left, line), (self.after or self.copy.before, line, right)):
            if end > start:
                area = (start, top, end - start, bottom - top)
                checks = (0, 0, CHECK_SIZE, DARK_CHECK, LIGHT_CHECK)
                source.composite_color(picture, *area, *offset, *zoom, GdkPixbuf.InterpType.BILINEAR, 255, *checks)
        if left < line < right:
            fill(picture, (max(left, min(line, right - LINE)), top, min(LINE, right - left), bottom - top))
        if self.canvas.has_visible_focus():
            for area in ((0, 0, width, 1), (0, height - 1, width, 1), (0, 0, 1, height), (width - 1, 0, 1, height)):
                fill(picture, area)
        self.picture.set_from_pixbuf(picture)
        self.percent.set_text(f"{100 * self.view.scale:.0f} %")

    # What is asked for

    def ask(self, options, limited):
        """Show the layer as these options would have it, as soon as the worker has done it."""
        hair = hair_part(options)
        if self.after is None or self.box_of is None or hair != self.box_of[0]:
            self.after = None
            self.say(_("Looking for hair…"))
        self.wanted = options, limited
        self._send(options, limited, self.fine if self.fine and self.fine_hair == hair else self.small)

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

    def _send(self, *wanted):
        with self.news:
            self.newest = wanted
            self.news.notify()

    # In the thread

    def _serve(self):
        while True:
            with self.news:
                while self.newest is None and not self.closed:
                    self.news.wait()
                if self.closed:
                    return
                assert self.newest
                (options, limited, copy), self.newest = self.newest, None
            try:
                answer = (*self._ask_worker(options, limited, copy), "")
            except Outdated:
                continue
            except (Problem, client.WorkerError, OSError) as error:
                answer = None, None, str(error)
            GLib.idle_add(self._show, options, limited, copy, *answer)

    def _ask_worker(self, options, limited, copy):
        """The copy's pixels after, RGBA, or its mask: bytes; and the box of its hair."""
        limits = copy.limits[limited]
        request = Request.of_layer(options, copy.size, "u8", "u8", len(limits), copy.alpha)
        paths = [self.directory / name for name in request.files]

        def write_files():
            try:
                for name, data in zip([request.pixels, *request.limits], [copy.pixels, *limits]):
                    (self.directory / name).unlink(missing_ok=True)  # where another worker had it before
                    with layers.create(self.directory / name) as file:
                        file.write(data)
            except OSError as error:
                raise layers.not_written(self.directory, error) from error

        def on_progress(fraction, text):
            newest = self.newest
            if self.closed or (newest and (hair_part(newest[0]) != hair_part(options) or copy is not newest[2])):
                raise Outdated  # what was found so far would not help, or is not what would help first

        def on_result(result):
            shown = (self.directory / (request.layer_out or request.mask_out)[0]).read_bytes()
            if self.box_of == (hair_part(options), limited):  # it is known, and takes as long as some colors
                return shown, self.box
            masks = [(self.directory / name).read_bytes() for name in request.mask_out[: result["people"]]]
            return shown, view.join(view.hair_box(mask, copy.size, self.layer_size) for mask in masks)

        try:
            return client.ask(self.settings, self.directory, request, on_progress, on_result, write_files)
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    # Back in the dialog

    def _show(self, options, limited, copy, shown, box, words):
        hair = hair_part(options)
        if self.closed or self.wanted is None or (hair_part(self.wanted[0]), self.wanted[1]) != (hair, limited):
            return
        self.copy = copy
        self.after = copy.picture(shown if options.output is not Output.MASK else gray(shown)) if shown else None
        if shown and copy is self.fine:
            self.fine_hair = hair
        if shown and self.box_of != (hair, limited):
            self._place(box, (hair, limited))
        elif not shown and (self.box_of is None or self.box_of[0] != hair):
            self._place(None, None)
        self.say(words)
        finer = self._finer(copy) if shown else None
        if finer is None:
            self.answered = options
        elif self.wanted == (options, limited):  # else newer options are on their way with the small copy
            self._send(options, limited, finer)
        self.on_shown()

    def _place(self, box, box_of):
        """Remember where the hair is, and show it unless the user looks elsewhere."""
        self.box, self.box_of = box, box_of
        self.to_hair.set_sensitive(box is not None)
        if self.shows == HAIR:
            self._fit(HAIR)

    def _finer(self, copy):
        """The copy of the layer that is as fine as its hair deserves, read if it is not there yet; None if it is this."""
        scale = max(view.finest_scale(self.layer_size, self.box), self.small.scale) if self.box else self.small.scale
        if copy is self.small and scale <= SAME * copy.scale or 1 / SAME < scale / copy.scale < SAME:
            return None
        if self.fine is None or not 1 / SAME < scale / self.fine.scale < SAME:
            try:
                layers.check_still_there(self.image, self.layer, self.own_size)
            except Problem:  # which the user hears of on OK
                return None
            self.fine, self.fine_hair = Copy(self.image, self.layer, self.seen, scale), None
        return self.fine


def fill(picture, area):
    """Make an area of a picture white."""
    picture.new_subpixbuf(*area).fill(0xFFFFFFFF)


class Outdated(Exception):
    """The user wants to see something else by now."""


def hair_part(options):
    """What of the options decides where hair is found; the rest changes colors only, which is quick."""
    return options.search, options.output is Output.MASK


def gray(mask):
    """A mask's bytes as RGBA."""
    rgba = bytearray(b"\xff") * (4 * len(mask))
    for channel in range(3):
        rgba[channel::4] = mask
    return bytes(rgba)
