"""Pixels out of GIMP into files, and files into layers, masks and the selection."""

import os
import shutil

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from choices import COLOR, MASK  # noqa: E402
from gi.repository import Babl, Gegl, Gimp  # noqa: E402
from i18n import Problem, _  # noqa: E402
from options import PixelFormat  # noqa: E402

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


def choose_formats(image):
    """The pixel formats, of layers and of masks, that carry this image's without loss.

    8- and 16-bit sRGB images travel as they are. Others, linear or wide-gamut ones for example, travel
    as floating-point sRGB, which has no limits, so that GIMP's conversion there and back loses nothing.
    """
    profile = image.get_effective_color_profile()
    precision = image.get_precision()
    if profile is None or profile.is_equal(Gimp.ColorProfile.new_rgb_srgb()):
        if precision == Gimp.Precision.U8_NON_LINEAR:
            return PixelFormat.U8, PixelFormat.U8
        if precision == Gimp.Precision.U16_NON_LINEAR:
            return PixelFormat.U16, PixelFormat.FLOAT
    return PixelFormat.FLOAT, PixelFormat.FLOAT


def rgba(pixel_format):
    """What GIMP calls layers in that format."""
    return f"R'G'B'A {pixel_format.value}"


def gray(pixel_format):
    """What GIMP calls masks in that format."""
    return f"Y {pixel_format.value}"


def limiting_masks(image, layer, selection=True):
    """What keeps parts of the layer out: (buffer, left, top) of the selection, if it is to, and of the layer's own mask."""
    if selection and not Gimp.Selection.is_empty(image):
        _found, left, top = layer.get_offsets()
        yield image.get_selection().get_buffer(), left, top
    if layer.get_mask() is not None and layer.get_apply_mask():
        yield layer.get_mask().get_buffer(), 0, 0


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
    """Fill a drawable, or an area of it, from a raw file, row by row."""
    left, top, width, height = area or (0, 0, drawable.get_width(), drawable.get_height())
    buffer = drawable.get_buffer()
    row_bytes = path.stat().st_size // height
    with open(path, "rb") as file:
        for row, rows in strips(width, height):
            rectangle = Gegl.Rectangle.new(left, top + row, width, rows)
            buffer.set(rectangle, pixel_format, file.read(row_bytes * rows))
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
    layer = Gimp.Layer.new(image, name, width, height, image_type, source.get_opacity(), mode)
    # Blend as the mask says, on the values that the user sees, also where the image's profile is linear:
    # (1-p)*original + p*recolored.
    layer.set_composite_space(Gimp.LayerColorSpace.RGB_PERCEPTUAL)
    layer.set_visible(source.get_visible())
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


def add_layers(image, source, made):
    """Add layers with their masks above the source, the first one on top: same place and group; one undo step."""
    image.undo_group_start()
    try:
        for layer, mask in made:
            image.insert_layer(layer, source.get_parent(), image.get_item_position(source))
            layer.add_mask(mask)
        image.set_selected_layers([layer for layer, mask in made])
    finally:
        image.undo_group_end()


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
    try:
        image.insert_channel(channel, None, 0)
        image.select_item(Gimp.ChannelOps.REPLACE, channel)
        image.remove_channel(channel)
        image.set_selected_layers(selected)
    finally:
        image.undo_group_end()


def layer_name(kind, source, shade, number, people):
    """What a new layer is called. number: of the person, from 1; people: how many there are."""
    name = _("Hair of {layer}") if kind == MASK else _("Hair recolor ({shade})")
    name = name.format(layer=source.get_name(), shade=shade)
    return name if people == 1 else _("{name}, person {number}").format(name=name, number=number)
