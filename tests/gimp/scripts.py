"""What the test scripts inside GIMP share: put before each of them. Runs in GIMP's own Python."""

import os

from gi.repository import Gegl, Gimp, Gio

opened = {}  # the portrait by its path


def load(path):
    """The image of that file. The portrait is opened once and copied: to start GIMP's plug-in for each takes longer than all else."""
    if not path.endswith("portrait.png"):
        return Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(path))
    if path not in opened:
        opened[path] = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(path))
    return opened[path].duplicate()


def save(image, path):
    assert Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(path), None)


def recolor(image, drawables, mode=Gimp.RunMode.NONINTERACTIVE, name="python-fu-hair-recolor", **settings):
    """Call one of the product's procedures; returns (status as a word, message)."""
    procedure = Gimp.get_pdb().lookup_procedure(name)
    config = procedure.create_config()
    config.set_property("run-mode", mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", drawables)
    for setting, value in settings.items():
        config.set_property(setting.replace("_", "-"), value)
    result = procedure.run(config)
    return result.index(0).value_nick, Gimp.get_pdb().get_last_error()


def dump(drawable, pixel_format, path, area=None):
    """Write a drawable's pixels, raw, for the test to read."""
    area = area or (0, 0, drawable.get_width(), drawable.get_height())
    with open(path, "wb") as file:
        file.write(drawable.get_buffer().get(Gegl.Rectangle.new(*area), 1.0, pixel_format, Gegl.AbyssPolicy.NONE))


def dump_flat(image, path, pixel_format="R'G'B' u8"):
    """Write what the image shows."""
    copy = image.duplicate()
    dump(copy.flatten(), pixel_format, path)
    copy.delete()


def describe(image):
    """The image's layers from top to bottom, groups included, as plain data."""

    def one(layer):
        found = {
            "name": layer.get_name(),
            "size": [layer.get_width(), layer.get_height()],
            "offsets": list(layer.get_offsets())[1:],
            "opacity": layer.get_opacity(),
            "visible": layer.get_visible(),
            "mask": layer.get_mask() is not None,
            "mode": layer.get_mode().value_nick,
            "alpha": layer.has_alpha(),
        }
        if isinstance(layer, Gimp.GroupLayer):
            found["children"] = [one(child) for child in layer.get_children()]
        return found

    return [one(layer) for layer in image.get_layers()]


def serve(folder):
    """Run the scripts that a test puts into the folder, one after the other, while GIMP's window is open."""
    import json
    import time
    import traceback

    number = 0
    while True:
        script, answer = f"{folder}/{number}.py", f"{folder}/{number}.json"
        while not os.path.exists(script):
            time.sleep(0.1)
        result = {}
        try:
            with open(script) as file:
                program = compile(file.read(), script, "exec")
            exec(program, {**globals(), "RESULT": result})
        except BaseException:
            result["traceback"] = traceback.format_exc()
        with open(answer + ".part", "w") as file:
            json.dump(result, file)
        os.rename(answer + ".part", answer)
        number += 1
