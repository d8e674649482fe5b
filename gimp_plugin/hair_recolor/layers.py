"""Pixels out of GIMP into files, and files into layers, masks and the selection."""

import os
import shutil
from contextlib import contextmanager

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from choices import COLOR, MASK  # noqa: E402
from gi.repository import Babl, Gegl, Gimp  # noqa: E402
from i18n import Problem, _  # noqa: E402
from options import PixelFormat  # noqa: E402

PLAIN_MODES = (Gimp.LayerMode.NORMAL, Gimp.LayerMode.NORMAL_LEGACY, Gimp.LayerMode.PASS_THROUGH)
SOURCE_NOTE = "hair-recolor-source"  # a layer's parasite
STRIP_PIXELS = 1 << 22  # pixels go in and out of GIMP in strips of about this many
READ_SHARE, WORK_SHARE = 0.15, 0.7  # of the progress bar; writing gets the rest
GIGABYTE = 1e9


def check_layer(image, drawables):
    """The one layer to work on. Raises Problem for anything that cannot be recolored."""
    layer = drawables[0] if len(drawables) == 1 else None
    if isinstance(layer, Gimp.LayerMask):  # after a first run the mask is active, ready to be painted on
        layer = Gimp.Layer.from_mask(layer)
    if not isinstance(layer, Gimp.Layer):
        raise Problem(_("Select one layer, not a channel or several layers, then run the filter again."))
    check_mode(image)
    if image.get_floating_sel() is not None:
        raise Problem(_("There is a floating selection: anchor it (Layer > Anchor Layer), then run the filter again."))
    return layer


def check_on_canvas(image, layer):
    """Raise Problem if the layer lies wholly outside of the canvas, where nothing can be selected."""
    _found, left, top = layer.get_offsets()
    right, bottom = left + layer.get_width(), top + layer.get_height()
    if right <= 0 or bottom <= 0 or left >= image.get_width() or top >= image.get_height():
        raise Problem(
            _(
                "The layer “{name}” lies outside of the canvas, where nothing can be selected: move it, or choose "
                "Image → Fit Canvas to Layers, then run the filter again."
            ).format(name=layer.get_name())
        )


def check_unlocked(layer):
    """Raise Problem if the layer's pixels, or those of a group that it is in, are locked."""
    if any(item.get_lock_content() for item in lineage(layer)):
        raise Problem(
            _(
                "The layer “{name}” is locked: unlock its pixels in the Layers dialog, then run the filter again."
            ).format(name=layer.get_name())
        )


def check_mode(image):
    if image.get_base_type() != Gimp.ImageBaseType.RGB:
        raise Problem(
            _("The image is not in RGB mode, so its hair cannot take a color: choose Image → Mode → RGB first.")
        )


def check_still_there(image, layer, size):
    """Raise Problem if the image was closed, or the layer removed or resized, since the work began."""
    if not image.is_valid():
        raise Problem(_("The image was closed while its hair was looked for: open it and run the filter again."))
    if not layer.is_valid():
        raise Problem(
            _("The layer was removed while its hair was looked for: undo that, or run the filter on another layer.")
        )
    if (layer.get_width(), layer.get_height()) != size:
        raise Problem(_("The layer's size was changed while its hair was looked for: run the filter again."))
    check_mode(image)


def lineage(item):
    """The item, and the groups that it is in."""
    while item is not None:
        yield item
        item = item.get_parent()


@contextmanager
def as_seen(image, layer):
    """The layer with its effects, as the user sees it: where it has any, one of another image that lives as long as this.

    It is as large as the effects make it. The layer keeps its effects.
    """
    if not any(effect.get_visible() for effect in layer.get_filters()):
        yield layer
        return
    path = [image.get_item_position(item) for item in lineage(layer)]
    copy = image.duplicate()
    try:
        twin = copy.get_layers()[path.pop()]
        while path:
            twin = twin.get_children()[path.pop()]
        if isinstance(twin, Gimp.GroupLayer):
            twin = twin.merge()
        else:
            twin.merge_filters()
        yield twin
    finally:
        copy.delete()


def choose_formats(image):
    """The pixel formats, of layers and of masks, that carry this image's without loss.

    8- and 16-bit sRGB images travel as they are. Others, linear or wide-gamut ones for example, travel
    as floating-point sRGB, which has no limits, so that GIMP's conversion there and back loses nothing.
    """
    profile = image.get_effective_color_profile()
    precision = image.get_precision()
    if profile is None or is_srgb(profile):
        if precision == Gimp.Precision.U8_NON_LINEAR:
            return PixelFormat.U8, PixelFormat.U8
        if precision == Gimp.Precision.U16_NON_LINEAR:
            return PixelFormat.U16, PixelFormat.FLOAT
    return PixelFormat.FLOAT, PixelFormat.FLOAT


def is_srgb(profile):
    """Whether a profile means sRGB, whoever made it: cameras have their own that differ by bytes only."""
    space = profile.get_space(Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC)
    return Babl.get_name(space) == "sRGB"


def rgba(pixel_format):
    """What GIMP calls layers in that format."""
    return f"R'G'B'A {pixel_format.value}"


def gray(pixel_format):
    """What GIMP calls masks in that format."""
    return f"Y {pixel_format.value}"


def limiting_masks(image, layer, seen, selection=True):
    """What keeps parts of the layer out: (buffer, left, top) of the selection, if it is to, and of the layer's own mask.

    seen: the layer `as_seen`, in whose place left and top are.
    """
    _found, left, top = seen.get_offsets()
    if selection and not Gimp.Selection.is_empty(image):
        yield image.get_selection().get_buffer(), left, top
    if layer.get_mask() is not None and layer.get_apply_mask():
        _found, own_left, own_top = layer.get_offsets()
        yield layer.get_mask().get_buffer(), left - own_left, top - own_top


# Room


def check_room(request, directory):
    """Raise Problem if the files of the request do not fit on the disk, or its work not into the memory.

    What GIMP itself needs for the new layers it swaps to the disk.
    """
    for what, need, free, remedy in (
        (_("free disk space"), request.bytes_on_disk, shutil.disk_usage(directory).free, _("free some in {folder}")),
        (_("memory"), request.bytes_in_memory, free_memory(), _("close other programs")),
    ):
        if free is not None and need > free:
            raise Problem(
                _(
                    "This layer of {width} × {height} pixels needs about {need:.1f} GB of {what}, but there are {free:.1f} GB: "
                    "{remedy}, or scale the layer down."
                ).format(
                    width=request.width,
                    height=request.height,
                    need=need / GIGABYTE,
                    what=what,
                    free=free / GIGABYTE,
                    remedy=remedy.format(folder=directory),
                )
            )


def free_memory():
    """Bytes that a new process could get, swap included; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            said = dict(line.split(":", 1) for line in file)
        return sum(int(said[name].split()[0]) * 1024 for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        return None


# Pixels


def strips(width, height):
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, min(rows, height - top)


def read_buffer(buffer, area, pixel_format, path, progress):
    """Write an area of a buffer to a new file, raw and row by row; outside the buffer it is zero."""
    left, top, width, height = area
    with create(path) as file:
        for row, rows in strips(width, height):
            rectangle = Gegl.Rectangle.new(left, top + row, width, rows)
            file.write(buffer.get(rectangle, 1.0, pixel_format, Gegl.AbyssPolicy.NONE))
            Gimp.progress_update(progress[0] + (progress[1] - progress[0]) * (row + rows) / height)


def read_reduced(buffer, area, scale, pixel_format):
    """The bytes of an area of a buffer that is shrunk by `scale`; the area is in the shrunk one's pixels."""
    return buffer.get(Gegl.Rectangle.new(*area), scale, pixel_format, Gegl.AbyssPolicy.NONE)


def not_written(directory, error):
    """The Problem that an OSError is while pixels are written for the worker."""
    sentence = _("The layer's pixels could not be written to {folder} ({reason}): check the free disk space.")
    return Problem(sentence.format(folder=directory, reason=error.strerror or error))


def create(path):
    """A new file that only this user can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def write_buffer(drawable, pixel_format, path, progress, area=None):
    """Fill a drawable, or an area of it, from a raw file, row by row.

    What of the area lies beyond the drawable is left out: GIMP ends a plug-in that writes there.
    """
    left, top, width, height = area or (0, 0, drawable.get_width(), drawable.get_height())
    first, last = max(0, -left), min(width, drawable.get_width() - left)
    buffer = drawable.get_buffer()
    row_bytes = path.stat().st_size // height
    pixel_bytes = row_bytes // width
    with open(path, "rb") as file:
        for row, rows in strips(width, height):
            data = file.read(row_bytes * rows)
            begin, end = max(row, -top), min(row + rows, drawable.get_height() - top)
            if begin < end and first < last:
                lines = range((begin - row) * row_bytes, (end - row) * row_bytes, row_bytes)
                inside = slice(first * pixel_bytes, last * pixel_bytes)
                if last - first < width:
                    data = b"".join(data[line : line + row_bytes][inside] for line in lines)
                else:
                    data = data[lines.start : lines.stop]
                rectangle = Gegl.Rectangle.new(left + first, top + begin, last - first, end - begin)
                buffer.set(rectangle, pixel_format, data)
            Gimp.progress_update(progress[0] + (progress[1] - progress[0]) * (row + rows) / height)
    buffer.flush()
    drawable.update(0, 0, drawable.get_width(), drawable.get_height())


# Results


def make_layer(image, source, name, kind, request, pixels, mask_file):
    """A layer like the source, with a mask, both filled but not in the image yet: a cancel leaves nothing half-made.

    pixels: the file with the recolored ones, or None for the source's own, which then go through no conversion.
    Returns layer and mask.
    """
    done = READ_SHARE + WORK_SHARE
    image_type = Gimp.ImageType.RGBA_IMAGE if source.has_alpha() else Gimp.ImageType.RGB_IMAGE
    mode = Gimp.LayerMode.LCH_COLOR if kind == COLOR else Gimp.LayerMode.NORMAL
    width, height = source.get_width(), source.get_height()
    layer = Gimp.Layer.new(image, name, width, height, image_type, 100, mode)
    # Blend as the mask says, on the values that the user sees, also where the image's profile is linear:
    # (1-p)*original + p*recolored.
    layer.set_composite_space(Gimp.LayerColorSpace.RGB_PERCEPTUAL)
    _found, left, top = source.get_offsets()
    layer.set_offsets(left, top)  # before it joins: in a group of locked position it could not move any more
    if pixels is None:
        whole = Gegl.Rectangle.new(0, 0, width, height)
        source.get_buffer().copy(whole, Gegl.AbyssPolicy.NONE, layer.get_buffer(), whole)
    else:
        write_buffer(layer, rgba(request.format), pixels, (done, 0.95))
    mask = layer.create_mask(Gimp.AddMaskType.BLACK)
    write_buffer(mask, gray(request.mask_format), mask_file, (0.95, 1.0))
    return layer, mask


def add_layers(image, source, made, earlier=None):
    """Add layers with their masks above the source, the first one on top: same place and group; one undo step.

    A source that is blended in another way than Normal at full opacity would be so twice, where the new layer shows: then a
    group that is blended in its place holds a copy of it and the new layers, and it is hidden itself.
    earlier: the layer of a former run that the user has run the filter on again; the new ones lie above it, and it is
    hidden, as its color would show through.
    """
    image.undo_group_start()
    try:
        if earlier is not None:
            earlier.set_visible(False)
        elif source.get_opacity() < 100 or source.get_mode() not in PLAIN_MODES:
            source = stand_in(image, source)
        below = earlier or source
        for layer, mask in made:
            layer.set_visible(source.get_visible())
            image.insert_layer(layer, below.get_parent(), image.get_item_position(below))
            layer.add_mask(mask)
            remember_source(layer, source)
        image.set_selected_layers([layer for layer, mask in made])
    finally:
        image.undo_group_end()


def stand_in(image, source):
    """Put a group in the source's place, which is blended as the source was and holds a copy of it; returns the copy."""
    group = Gimp.GroupLayer.new(image, source.get_name())
    image.insert_layer(group, source.get_parent(), image.get_item_position(source))
    copy = source.copy()
    image.insert_layer(copy, group, 0)
    for layer, like in ((group, source), (copy, None)):
        layer.set_mode(like.get_mode() if like else Gimp.LayerMode.NORMAL)
        layer.set_blend_space(like.get_blend_space() if like else Gimp.LayerColorSpace.AUTO)
        layer.set_composite_space(like.get_composite_space() if like else Gimp.LayerColorSpace.AUTO)
        layer.set_composite_mode(like.get_composite_mode() if like else Gimp.LayerCompositeMode.AUTO)
        layer.set_opacity(like.get_opacity() if like else 100)
    group.set_visible(source.get_visible())
    copy.set_visible(True)
    source.set_visible(False)
    return copy


def remember_source(layer, source):
    """Note in a layer of ours what it was made from; the note is saved with the image."""
    layer.attach_parasite(Gimp.Parasite.new(SOURCE_NOTE, 1, str(source.get_tattoo()).encode()))


def source_of(image, layer):
    """What a layer of ours was made from; None where the layer is none of ours. Raises Problem where that is gone."""
    note = layer.get_parasite(SOURCE_NOTE)
    if note is None:
        return None
    source = image.get_layer_by_tattoo(int(bytes(note.get_data()).decode()))
    if source is None:
        raise Problem(
            _(
                "The layer “{name}” was made by this filter, and the layer that it was made from is gone: "
                "select the layer that shows the photo, then run the filter again."
            ).format(name=layer.get_name())
        )
    return source


def select_hair(image, layer, mask_format, mask_file):
    """Make the mask of a layer the image's selection, degrees of it included; one undo step."""
    width, height = image.get_width(), image.get_height()
    channel = Gimp.Channel.new(image, _("Hair"), width, height, 100.0, Gegl.Color.new("white"))
    _found, left, top = layer.get_offsets()
    area = (left, top, layer.get_width(), layer.get_height())
    # A channel may be gamma-encoded, the selection never is, and GIMP takes the one's numbers for the other's.
    encoding = Babl.get_name(channel.get_format()).split()[0]
    write_buffer(channel, f"{encoding} {mask_format.value}", mask_file, (READ_SHARE + WORK_SHARE, 1.0), area)
    selected = image.get_selected_layers()
    image.undo_group_start()
    Gimp.context_push()
    try:
        Gimp.context_set_feather(False)  # what a script has set for its own selections does not concern this one
        image.insert_channel(channel, None, 0)
        image.select_item(Gimp.ChannelOps.REPLACE, channel)
        image.remove_channel(channel)
        image.set_selected_layers(selected)
    finally:
        Gimp.context_pop()
        image.undo_group_end()


def layer_name(kind, source, shade, number, people):
    """What a new layer is called. number: of the person, from 1; people: how many there are."""
    name = _("Hair of {layer}") if kind == MASK else _("Hair recolor ({shade})")
    name = name.format(layer=source.get_name(), shade=shade)
    return name if people == 1 else _("{name}, person {number}").format(name=name, number=number)
