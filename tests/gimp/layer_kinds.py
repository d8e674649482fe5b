"""Every kind of layer in GIMP, each recolored at strength 0, which must not be seen, and some at strength 1.

Runs inside GIMP, after scripts.py, in which HOME and RESULT are what `run_script` says. See docs/layers.md.
"""

# ruff: noqa: F821

from gi.repository import Gegl, Gimp, Gio
from scripts import describe, dump_flat, load, recolor, save

SIDE = 512
KINDS = {}  # what makes each: () -> image and layers to run the filter on


def kind(make):
    KINDS[make.__name__] = make
    return make


def photo():
    image = load(HOME + "/portrait.png")
    return image, image.get_layers()[0]


def photo_over_another_layer():
    image, layer = photo()
    below = Gimp.Layer.new(image, "below", SIDE, SIDE, Gimp.ImageType.RGB_IMAGE, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(below, None, 1)
    Gimp.context_set_background(Gegl.Color.new("#c08040"))
    below.fill(Gimp.FillType.BACKGROUND)
    return image, layer


def ramp(low, high):
    """Bytes from low at the left to high at the right, a row."""
    return bytes(round(low + (high - low) * x / (SIDE - 1)) for x in range(SIDE))


def soften(layer, low=40, high=220):
    """Make a layer transparent in part, less to the right."""
    layer.add_alpha()
    buffer, whole = layer.get_buffer(), Gegl.Rectangle.new(0, 0, SIDE, SIDE)
    pixels = bytearray(buffer.get(whole, 1.0, "R'G'B'A u8", Gegl.AbyssPolicy.NONE))
    pixels[3::4] = ramp(low, high) * SIDE
    buffer.set(whole, "R'G'B'A u8", bytes(pixels))
    buffer.flush()
    layer.update(0, 0, SIDE, SIDE)


def add_mask(layer, low=40, high=220):
    """A mask on a layer that lets more of it show to the right."""
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    layer.add_mask(mask)
    buffer = mask.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, SIDE, SIDE), "Y u8", ramp(low, high) * SIDE)
    buffer.flush()
    mask.update(0, 0, SIDE, SIDE)


def add_effect(layer, operation="gegl:exposure", **settings):
    effect = Gimp.DrawableFilter.new(layer, operation, "effect")
    for name, value in (settings or {"exposure": 0.8}).items():
        effect.get_config().set_property(name.replace("_", "-"), value)
    layer.append_filter(effect)


def put_into_group(image, layer, mode=Gimp.LayerMode.NORMAL):
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, layer.get_parent(), image.get_item_position(layer))
    image.reorder_item(layer, group, 0)
    group.set_mode(mode)
    return group


@kind
def plain():
    image, layer = photo_over_another_layer()
    return image, [layer]


@kind
def legacy_mode():
    image, layer = photo_over_another_layer()
    layer.set_mode(Gimp.LayerMode.NORMAL_LEGACY)
    return image, [layer]


@kind
def hidden():
    image, layer = photo_over_another_layer()
    layer.set_visible(False)
    return image, [layer]


@kind
def opacity():
    image, layer = photo_over_another_layer()
    layer.set_opacity(60)
    return image, [layer]


@kind
def opacity_alone():
    image, layer = photo()
    layer.set_opacity(60)
    return image, [layer]


@kind
def opacity_in_a_group():
    image, layer = photo_over_another_layer()
    put_into_group(image, layer)
    layer.set_opacity(60)
    return image, [layer]


@kind
def opacity_in_a_pass_through_group():
    image, layer = photo_over_another_layer()
    put_into_group(image, layer, Gimp.LayerMode.PASS_THROUGH)
    layer.set_opacity(60)
    return image, [layer]


@kind
def multiply():
    image, layer = photo_over_another_layer()
    layer.set_mode(Gimp.LayerMode.MULTIPLY)
    return image, [layer]


@kind
def luminance():
    image, layer = photo_over_another_layer()
    layer.set_mode(Gimp.LayerMode.LUMINANCE)
    layer.set_opacity(70)
    return image, [layer]


@kind
def dissolve():
    image, layer = photo_over_another_layer()
    layer.set_mode(Gimp.LayerMode.DISSOLVE)
    layer.set_opacity(50)
    return image, [layer]


@kind
def clipped_to_what_is_below():
    image, layer = photo_over_another_layer()
    soften(image.get_layers()[1])
    layer.set_composite_mode(Gimp.LayerCompositeMode.CLIP_TO_BACKDROP)
    return image, [layer]


@kind
def transparency():
    image, layer = photo_over_another_layer()
    soften(layer)
    return image, [layer]


@kind
def transparency_alone():
    image, layer = photo()
    soften(layer)
    return image, [layer]


@kind
def transparency_locked():
    image, layer = photo_over_another_layer()
    soften(layer)
    layer.set_lock_alpha(True)
    layer.set_lock_position(True)
    return image, [layer]


@kind
def mask():
    image, layer = photo_over_another_layer()
    add_mask(layer)
    return image, [layer.get_mask()]


@kind
def mask_alone():
    image, layer = photo()
    add_mask(layer)
    return image, [layer]


@kind
def mask_off():
    image, layer = photo_over_another_layer()
    add_mask(layer)
    layer.set_apply_mask(False)
    return image, [layer]


@kind
def mask_edited():
    image, layer = photo_over_another_layer()
    add_mask(layer)
    layer.set_edit_mask(True)
    return image, [layer]


@kind
def effect():
    image, layer = photo_over_another_layer()
    add_effect(layer)
    return image, [layer]


@kind
def effect_with_mask_and_opacity():
    image, layer = photo_over_another_layer()
    add_effect(layer)
    add_mask(layer)
    layer.set_opacity(70)
    return image, [layer]


@kind
def shadow():
    image, layer = photo_over_another_layer()
    layer.scale(400, 400, False)
    layer.set_offsets(20, 30)
    layer.add_alpha()
    add_effect(layer, "gegl:dropshadow", x=30.0, y=20.0, radius=8.0)
    return image, [layer]


@kind
def shadow_without_alpha():
    image, layer = photo_over_another_layer()
    layer.scale(400, 400, False)
    layer.set_offsets(20, 30)
    add_effect(layer, "gegl:dropshadow", x=30.0, y=20.0, radius=8.0)
    return image, [layer]


@kind
def group():
    image, layer = photo_over_another_layer()
    return image, [put_into_group(image, layer)]


@kind
def group_with_all():
    image, layer = photo_over_another_layer()
    soften(layer)
    found = put_into_group(image, layer)
    add_effect(found)
    add_mask(found)
    found.set_opacity(70)
    found.set_mode(Gimp.LayerMode.HARDLIGHT)
    return image, [found]


@kind
def pass_through_group():
    image, layer = photo_over_another_layer()
    layer.set_opacity(60)
    return image, [put_into_group(image, layer, Gimp.LayerMode.PASS_THROUGH)]


@kind
def pass_through_group_alone():
    image, layer = photo()
    found = put_into_group(image, layer, Gimp.LayerMode.PASS_THROUGH)
    add_effect(found)
    return image, [found]


@kind
def group_of_a_layer_with_effects():
    image, layer = photo_over_another_layer()
    add_effect(layer)
    return image, [put_into_group(image, layer)]


@kind
def beyond_the_canvas():
    image, layer = photo_over_another_layer()
    layer.set_offsets(-60, -20)
    layer.set_opacity(60)
    return image, [layer]


@kind
def linear_and_soft():
    image, layer = photo_over_another_layer()
    soften(layer)
    image.convert_precision(Gimp.Precision.U16_LINEAR)
    return image, [layer]


@kind
def text():
    image, _layer = photo_over_another_layer()
    text = Gimp.TextLayer.new(image, "Hair", Gimp.context_get_font(), 90, Gimp.Unit.pixel())
    image.insert_layer(text, None, 0)
    return image, [text]


if hasattr(Gimp, "LinkLayer"):  # GIMP 3.2

    @kind
    def link():
        image, _layer = photo_over_another_layer()
        link = Gimp.LinkLayer.new(image, Gio.File.new_for_path(HOME + "/portrait.png"))
        image.insert_layer(link, None, 0)
        link.set_opacity(60)
        return image, [link]

    @kind
    def vector():
        image, _layer = photo_over_another_layer()
        path = Gimp.Path.new(image, "path")
        image.insert_path(path, None, 0)
        path.bezier_stroke_new_ellipse(250, 200, 120, 90, 0)
        vector = Gimp.VectorLayer.new(image, path)
        image.insert_layer(vector, None, 0)
        return image, [vector]


COLORED = ("luminance", "transparency", "mask", "mask_alone", "effect", "group_with_all", "pass_through_group")
CASES = RESULT["kinds"] = {}
for name, make in KINDS.items():
    for strength in (0, 1) if name in COLORED else (0,):
        image, chosen = make()
        dump_flat(image, f"{HOME}/{name}-before.raw")
        before, types = describe(image), {type(one).__name__ for one in image.get_layers()}
        # There is no hair in letters.
        said = recolor(image, chosen, shade="blue", strength=float(strength), force=name in ("text", "vector"))
        CASES[f"{name}-{strength}"] = {
            "said": said,
            "before": before,
            "after": describe(image),
            "types kept": types <= {type(one).__name__ for one in image.get_layers()},
            "effects": [len(one.get_filters()) for one in image.get_layers()],
        }
        dump_flat(image, f"{HOME}/{name}-{strength}.raw")
        image.delete()

# What is refused.
REFUSED = RESULT["refused"] = {}


def refuse(name, image, chosen, **settings):
    before = describe(image)
    said = recolor(image, chosen, **settings)
    REFUSED[name] = {"said": said, "before": before, "after": describe(image)}


image, layer = photo_over_another_layer()
layer.set_mode(Gimp.LayerMode.MULTIPLY)
passes = put_into_group(image, layer, Gimp.LayerMode.PASS_THROUGH)
refuse("pass through to what is below", image, [passes])
layer.set_lock_visibility(True)
refuse("visibility locked", image, [layer])
layer.set_lock_visibility(False)
add_mask(layer)
layer.set_show_mask(True)
refuse("mask shown", image, [layer])
refuse("several", image, [layer, image.get_layers()[-1]])
channel = Gimp.Channel.new(image, "channel", SIDE, SIDE, 50, Gegl.Color.new("red"))
image.insert_channel(channel, None, 0)
refuse("channel", image, [channel])
channel.set_name("Qmask")  # which switches it on
refuse("quick mask", image, [layer])
for one in image.get_channels():
    image.remove_channel(one)
image.select_rectangle(Gimp.ChannelOps.REPLACE, 10, 10, 100, 100)
layer = image.get_layers()[-1]
Gimp.Selection.float(image, [layer], 5, 5)
refuse("floating", image, [layer])
image.delete()

# Again: on both results of one run, in a duplicate of the image, in a saved one, over a copy of the source, in a group.
AGAIN = RESULT["again"] = {}


def again(name, image, chosen, **settings):
    before = describe(image)
    said = recolor(image, chosen, shade="copper", **settings)
    AGAIN[name] = {"said": said, "before": before, "after": describe(image)}
    dump_flat(image, f"{HOME}/again {name}.raw")


image = load(HOME + "/two.png")
recolor(image, image.get_layers(), shade="blue", people="each")
again("both", image, image.get_selected_layers())
image.delete()
image, layer = photo_over_another_layer()
recolor(image, [layer], shade="blue")
twin = image.duplicate()
again("duplicate", twin, [twin.get_layers()[0]])
twin.delete()
save(image, HOME + "/kinds.xcf")
saved = load(HOME + "/kinds.xcf")
again("saved", saved, [saved.get_layers()[0]])
saved.delete()
copy = layer.copy()
image.insert_layer(copy, None, image.get_item_position(layer))
again("over a copy", image, [image.get_layers()[0]])
image.delete()
image, layer = photo_over_another_layer()
layer.set_opacity(60)
recolor(image, [layer], shade="blue")
again("in its group", image, image.get_selected_layers())
image.delete()
image, layer = photo_over_another_layer()
layer.set_opacity(60)
recolor(image, [layer], shade="copper")
dump_flat(image, HOME + "/once in its group.raw")
image.delete()
