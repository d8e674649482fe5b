"""Hair segmentation and recoloring without GIMP and without a display.

    from hairmask_core import find_hair, open_model, read_photo, recolor, write_photo

    photo = read_photo("portrait.jpg")
    hair = find_hair(photo, open_model())
    write_photo("copper.png", recolor(photo, hair, "copper"))

A photo goes through `photo` (decode) -> `segmentation` (where hair is, and how probable) -> `matting` (full-resolution
matte) -> `hair` (its tone, whose it is, how its strands run) -> `color` (recolor, blend). `pipeline` puts these
together; `server` serves it to GIMP, `cli` to the shell, `evaluation` measures it. The networks run in `inference`.

Imports go downwards only: server, cli, evaluation -> pipeline -> segmentation, matting, hair, color -> inference, photo
-> options, errors; the four stages know nothing of each other.
"""

__version__ = "0.3.0"

# The public names and the modules that they come from, which are imported when a name is first used: `info` and the
# installer's check import this package where numpy may be missing. For editors and type checkers they stand in
# __init__.pyi.
_MODULES = {
    "read_photo": "photo.files",
    "write_photo": "photo.files",
    "Photo": "photo.pixels",
    "open_model": "segmentation.segmenter",
    "Segmenter": "segmentation.segmenter",
    "find_hair": "pipeline",
    "recolor": "pipeline",
    "recolor_layer": "pipeline",
    "tell_people_apart": "pipeline",
    "Hair": "hair.tone",
    "named_shades": "color.shades",
    "Coloring": "options",
    "Options": "options",
    "HairmaskError": "errors",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
