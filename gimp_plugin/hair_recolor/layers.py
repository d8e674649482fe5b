"""Pixels out of GIMP into files, and files into layers, masks and the selection."""

import os
import shutil
import struct
import uuid
from contextlib import contextmanager

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from choices import COLOR, MASK  # noqa: E402
from gi.repository import Babl, Gegl, Gimp  # noqa: E402
from i18n import Problem, _  # noqa: E402
from options import PixelFormat  # noqa: E402

# How results are laid over their source so that all but the hair shows as before; `choose_laying` chooses.
OVER, CLIPPED, GROUPED = "over", "clipped", "grouped"
NORMAL_MODES = (Gimp.LayerMode.NORMAL, Gimp.LayerMode.NORMAL_LEGACY)
NORMAL_COMPOSITES = (Gimp.LayerCompositeMode.AUTO, Gimp.LayerCompositeMode.UNION)
# Parasites: in a result, what its source has in the other one. GIMP's own numbers of layers (tattoos) would not do: a
# duplicate of the image has others.
SOURCE_NOTE, IDENTITY_NOTE = "hair-recolor-source", "hair-recolor-identity"
QUICK_MASK = "Qmask"  # the channel by which GIMP itself knows that it is on
STRIP_PIXELS = 1 << 22  # pixels go in and out of GIMP in strips of about this many
READ_SHARE, WORK_SHARE = 0.15, 0.7  # of the progress bar; writing gets the rest
GIGABYTE = 1e9


def choose_source(image, drawables):
    """The one layer to work on, and the results of former runs that were chosen in its place.

    Who runs the filter again on its own result, for another shade, means the layer that this was made from; several
    results may be chosen at once if they have one source. Raises Problem for anything that cannot be recolored.
    """
    if image.get_channel_by_name(QUICK_MASK) is not None:
        raise Problem(
            _(
                "The Quick Mask is on, which becomes the selection only when it is switched off: do so "
                "(Select → Toggle Quick Mask), select the layer, then run the filter again."
            )
        )
    # After a run its mask is active, ready to be painted on.
    chosen = [Gimp.Layer.from_mask(one) if isinstance(one, Gimp.LayerMask) else one for one in drawables]
    layers = [one for one in chosen if isinstance(one, Gimp.Layer)]
    sources = [source_of(image, layer) for layer in layers] if len(layers) == len(chosen) else []
    found = {source.get_id(): source for source in sources if source}
    if len(found) == 1 and all(sources):
        layer, earlier = found.popitem()[1], layers
    elif len(layers) == len(chosen) == 1:
        layer, earlier = layers[0], []
    else:
        raise Problem(_("Select one layer, not a channel or several layers, then run the filter again."))
    check_mode(image)
    if image.get_floating_sel() is not None:
        raise Problem(_("There is a floating selection: anchor it (Layer > Anchor Layer), then run the filter again."))
    return layer, earlier


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


def check_can_hide(layers):
    """Raise Problem if one of the layers is shown and locked to be so."""
    for layer in layers:
        if layer.get_visible() and layer.get_lock_visibility():
            raise Problem(
                _(
                    "The layer “{name}” has to be hidden for the result to show, but its visibility is locked: unlock it "
                    "in the Layers dialog, then run the filter again."
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


def has_effects(layer):
    """Whether effects (fx) change how the layer shows."""
    return any(effect.get_visible() for effect in layer.get_filters())


@contextmanager
def as_seen(image, layer):
    """The layer with its effects, as the user sees it: where it has any, one of another image that lives as long as this.

    It is as large as the effects make it. The layer keeps its effects.
    """
    if not has_effects(layer):
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


def rgb(pixel_format, alpha):
    """What GIMP calls layers in that format.

    For a layer without alpha GIMP would have to look for a way to make some up, which takes it half a second.
    """
    return ("R'G'B'A " if alpha else "R'G'B' ") + pixel_format.value


def gray(pixel_format):
    """What GIMP calls masks in that format."""
    return f"Y {pixel_format.value}"


def choose_laying(image, layer, seen):
    """How a result has to be laid over the layer so that without a change of color nothing that is seen changes.

    seen: the layer `as_seen`. OVER: just above it, where it covers what is below or lets it show, pixel by pixel.
    CLIPPED: above it, taking over its transparency, where nothing else is below. GROUPED: in a group that is blended in
    the layer's place and holds a copy of it, below nothing but the result, which is CLIPPED there.
    Raises Problem for a group for which none of them is right, and for a layer that shows its mask in its place.
    """
    if layer.get_mask() is not None and layer.get_show_mask():
        raise Problem(
            _(
                "The layer “{name}” shows its mask in place of its pixels: switch off Layer → Mask → Show Layer Masks, "
                "then run the filter again."
            ).format(name=layer.get_name())
        )
    normal = is_blended_normally(layer)
    mask = layer.get_mask() if layer.get_apply_mask() else None
    if normal and layer.get_opacity() == 100 and is_solid(seen) and (mask is None or is_solid(mask)):
        return OVER
    if not is_anything_below(image, layer):
        return CLIPPED
    if layer.get_mode() == Gimp.LayerMode.PASS_THROUGH and not normal:
        raise Problem(
            _(
                "The group “{name}” changes what is below it (Pass through, with effects or layers in other modes), so "
                "that it has no look of its own to recolor: choose the layer in it that shows the hair, or set its mode "
                "to Normal."
            ).format(name=layer.get_name())
        )
    return GROUPED


def is_blended_normally(layer):
    """Whether the layer lies over what is below it as paint does, or as a pass-through group of such layers."""
    if layer.get_mode() == Gimp.LayerMode.PASS_THROUGH:
        children = (child for child in layer.get_children() if child.get_visible())
        return not has_effects(layer) and all(map(is_blended_normally, children))
    return layer.get_mode() in NORMAL_MODES and layer.get_composite_mode() in NORMAL_COMPOSITES


def is_solid(drawable):
    """Whether each pixel of a layer is wholly there or not at all; of a mask, white or black."""
    is_mask = isinstance(drawable, Gimp.LayerMask)
    if not is_mask and not drawable.has_alpha():
        return True
    buffer, width = drawable.get_buffer(), drawable.get_width()
    for row, rows in strips(width, drawable.get_height()):
        rectangle = Gegl.Rectangle.new(0, row, width, rows)
        shares = buffer.get(rectangle, 1.0, "Y u8" if is_mask else "A u8", Gegl.AbyssPolicy.NONE)
        if shares.count(0) + shares.count(255) < len(shares):
            return False
    return True


def is_anything_below(image, layer):
    """Whether the layer is blended with another one that is shown below it."""
    for item in lineage(layer):
        group = item.get_parent()
        below = (group.get_children() if group else image.get_layers())[image.get_item_position(item) + 1 :]
        if any(other.get_visible() for other in below):
            return True
        if group and group.get_mode() != Gimp.LayerMode.PASS_THROUGH:
            return False
    return False


def limiting_masks(image, layer, seen, selection=True):
    """What keeps parts of the layer out: the selection, if it is to, and the layer's own mask.

    Each as (buffer, left, top, whether it is the layer's own).

    seen: the layer `as_seen`, in whose place left and top are.
    """
    _found, left, top = seen.get_offsets()
    if selection and not Gimp.Selection.is_empty(image):
        yield image.get_selection().get_buffer(), left, top, False
    if layer.get_mask() is not None and layer.get_apply_mask():
        _found, own_left, own_top = layer.get_offsets()
        yield layer.get_mask().get_buffer(), left - own_left, top - own_top, True


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


def read_buffer(buffer, area, pixel_format, path, progress, change=bytes):
    """Write an area of a buffer to a new file, raw and row by row; outside the buffer it is zero.

    change: what the bytes become.
    """
    left, top, width, height = area
    with create(path) as file:
        for row, rows in strips(width, height):
            rectangle = Gegl.Rectangle.new(left, top + row, width, rows)
            file.write(change(buffer.get(rectangle, 1.0, pixel_format, Gegl.AbyssPolicy.NONE)))
            Gimp.progress_update(progress[0] + (progress[1] - progress[0]) * (row + rows) / height)


def read_reduced(buffer, area, scale, pixel_format):
    """The bytes of an area of a buffer that is shrunk by `scale`; the area is in the shrunk one's pixels."""
    return buffer.get(Gegl.Rectangle.new(*area), scale, pixel_format, Gegl.AbyssPolicy.NONE)


def read_limit(buffer, area, path, is_soft):
    """Write an area of a mask to a new file, as float; unless `is_soft`, 1 wherever it lets anything show."""
    if is_soft:
        read_buffer(buffer, area, "Y float", path, (READ_SHARE, READ_SHARE))
    else:
        read_buffer(buffer, area, "Y u8", path, (READ_SHARE, READ_SHARE), harden)


def harden(mask):
    """Bytes, each a pixel of a mask -> floats: 1 where there is anything, else 0."""
    floats, one = bytearray(4 * len(mask)), struct.pack("=f", 1.0)
    for place, byte in enumerate(one):
        if byte:
            floats[place::4] = mask.translate(bytes([0] + [byte] * 255))
    return bytes(floats)


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


def make_layer(image, source, name, kind, request, pixels, mask_file, laying):
    """A layer like the source, with a mask, both filled but not in the image yet: a cancel leaves nothing half-made.

    source: the layer `as_seen`. pixels: the file with the recolored ones, or None for the source's own, which then go
    through no conversion. laying: see `choose_laying`. Returns layer and mask.
    """
    done = READ_SHARE + WORK_SHARE
    has_alpha = source.has_alpha() and laying == OVER  # else it takes over the source's where they are shown
    image_type = Gimp.ImageType.RGBA_IMAGE if has_alpha else Gimp.ImageType.RGB_IMAGE
    mode = Gimp.LayerMode.LCH_COLOR if kind == COLOR else Gimp.LayerMode.NORMAL
    width, height = source.get_width(), source.get_height()
    layer = Gimp.Layer.new(image, name, width, height, image_type, 100, mode)
    # Blend as the mask says, on the values that the user sees, also where the image's profile is linear:
    # (1-p)*original + p*recolored.
    layer.set_composite_space(Gimp.LayerColorSpace.RGB_PERCEPTUAL)
    if laying != OVER:
        layer.set_composite_mode(Gimp.LayerCompositeMode.CLIP_TO_BACKDROP)
    _found, left, top = source.get_offsets()
    layer.set_offsets(left, top)  # before it joins: in a group of locked position it could not move any more
    if pixels is None:
        whole = Gegl.Rectangle.new(0, 0, width, height)
        source.get_buffer().copy(whole, Gegl.AbyssPolicy.NONE, layer.get_buffer(), whole)
    else:
        write_buffer(layer, rgb(request.format, True), pixels, (done, 0.95))
    mask = layer.create_mask(Gimp.AddMaskType.BLACK)
    write_buffer(mask, gray(request.mask_format), mask_file, (0.95, 1.0))
    return layer, mask


def add_layers(image, source, made, laying, earlier=()):
    """Add layers with their masks above the source, the first one on top: same place and group; one undo step.

    laying: see `choose_laying`. earlier: results of former runs that the new ones take the place of: they are hidden, as
    their color would show through, and the new ones lie above them. Returns sentences that tell the user what was hidden.
    """
    earlier = [layer for layer in earlier if layer.is_valid()]
    hidden = [layer for layer in earlier if layer.get_visible()]
    visible = source.get_visible() or bool(hidden)
    parent, place = source.get_parent(), place_of(image, source, earlier)
    notices = [
        _("“{name}” is hidden now: the new layer takes its place, made from “{source}” as well.").format(
            name=layer.get_name(), source=source.get_name()
        )
        for layer in hidden
    ]
    image.undo_group_start()
    try:
        if laying == GROUPED:
            if source.get_visible():
                hidden.append(source)
                notices.append(
                    _(
                        "“{name}” is hidden now: a group above it, blended as it was, holds a copy and the result."
                    ).format(name=source.get_name())
                )
            identify(source)
            parent, source = stand_in(image, source, place)
            parent.set_visible(visible)
            visible, place = True, 0
        for layer in hidden:
            layer.set_visible(False)
        identity = identify(source)
        for number, (layer, mask) in enumerate(made):
            layer.set_visible(visible)
            note(layer, SOURCE_NOTE, identity)
            image.insert_layer(layer, parent, place + number)
            layer.add_mask(mask)
        image.set_selected_layers([layer for layer, mask in made])
    finally:
        image.undo_group_end()
    return notices


def place_of(image, source, earlier):
    """The place for what is to lie above the source, and above those of its results that are still beside it."""
    parents = [[item.get_id() for item in lineage(layer)][1:] for layer in (source, *earlier)]
    beside = [layer for layer, parent in zip((source, *earlier), parents) if parent == parents[0]]
    return min(map(image.get_item_position, beside))


def stand_in(image, source, place):
    """A new group at that place that is blended as the source is, and the copy of the source in it."""
    group = Gimp.GroupLayer.new(image, _("{layer} and its hair").format(layer=source.get_name()))
    image.insert_layer(group, source.get_parent(), place)
    copy = source.copy()
    image.insert_layer(copy, group, 0)
    # A pass-through group comes here only where it is blended as a normal one would be.
    passes = source.get_mode() == Gimp.LayerMode.PASS_THROUGH
    group.set_mode(Gimp.LayerMode.NORMAL if passes else source.get_mode())
    group.set_blend_space(source.get_blend_space())
    group.set_composite_space(source.get_composite_space())
    group.set_composite_mode(source.get_composite_mode())
    group.set_opacity(source.get_opacity())
    copy.set_mode(Gimp.LayerMode.NORMAL)
    copy.set_blend_space(Gimp.LayerColorSpace.AUTO)
    copy.set_composite_space(Gimp.LayerColorSpace.AUTO)
    copy.set_composite_mode(Gimp.LayerCompositeMode.AUTO)
    copy.set_opacity(100)
    copy.set_visible(True)
    return group, copy


# What a result was made from


def identify(source):
    """The name by which results know their source; it gets one if it has none yet."""
    identity = read_note(source, IDENTITY_NOTE) or uuid.uuid4().hex
    note(source, IDENTITY_NOTE, identity)
    return identity


def source_of(image, layer):
    """What a result of ours was made from, or a copy of that; None for other layers. Raises Problem where it is gone.

    Of several, the one next below is what the result is seen over.
    """
    identity = read_note(layer, SOURCE_NOTE)
    if identity is None:
        return None
    group = layer.get_parent()
    below = (group.get_children() if group else image.get_layers())[image.get_item_position(layer) + 1 :]
    for other in (*below, *all_layers(image.get_layers())):
        if read_note(other, IDENTITY_NOTE) == identity:
            return other
    raise Problem(
        _(
            "The layer “{name}” was made by this filter, and the layer that it was made from is gone: "
            "select the layer that shows the photo, then run the filter again."
        ).format(name=layer.get_name())
    )


def all_layers(layers):
    """The layers, each followed by those that are in it."""
    for layer in layers:
        yield layer
        if isinstance(layer, Gimp.GroupLayer):
            yield from all_layers(layer.get_children())


def note(layer, name, text):
    """Leave a note in a layer, which is saved with it, copied with it, and undone."""
    flags = Gimp.PARASITE_PERSISTENT | Gimp.PARASITE_UNDOABLE
    layer.attach_parasite(Gimp.Parasite.new(name, flags, text.encode()))


def read_note(layer, name):
    """What such a note says, or None."""
    found = layer.get_parasite(name)
    return found and bytes(found.get_data()).decode("ascii", "replace")


# The selection


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
