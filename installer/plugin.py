"""The plug-in's files in GIMP's folders, and a check that goes the way that the plug-in goes."""

import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

from hairmask_core import __version__
from hairmask_core.options import Options, Request

from .locations import OLD_PLUGIN, PLUGIN
from .record import remove
from .system import CORE, MODELS, SOURCE, InstallError, installer_command

# Where the plug-ins' files come from: that for GIMP 3, and that for GIMP 2.10.
PLUGIN_SOURCE = SOURCE / "gimp_plugin" / PLUGIN
OLD_PLUGIN_SOURCE = SOURCE / "gimp_plugin" / "gimp2"
# Files in GIMP's settings in which it keeps the last values and the presets of our filters.
LAST_VALUES = tuple(f"3.*/plug-in-settings/*python-fu-{name}*" for name in ("hair-recolor", "select-hair"))
# The check after an installation recolors a picture with sides of this many pixels, with these options.
CHECK_SIDE = 64
CHECK_OPTIONS = Options(shade="copper", force=True)


def put_plugin(record, gimp, python):
    """Put the plug-in into one GIMP's folder, with the settings that lead it to its environment; an older one goes."""
    record.make_folder(gimp.plugin.parent)
    record.note_tree(gimp.plugin)
    if gimp.plugin.is_symlink():
        gimp.plugin.unlink()
    gimp.plugin.mkdir(exist_ok=True)
    sources = [OLD_PLUGIN_SOURCE / f"{OLD_PLUGIN}.py"] if gimp.is_old else list(PLUGIN_SOURCE.glob("*.py"))
    files = {path.name: path.read_bytes() for path in sources}
    if not gimp.is_old:
        for path in PLUGIN_SOURCE.glob("locale/*/LC_MESSAGES/*.mo"):
            files[path.relative_to(PLUGIN_SOURCE).as_posix()] = path.read_bytes()
        files["options.py"] = (CORE / "options.py").read_bytes()
    files["shades.json"] = (CORE / "color" / "shades.json").read_bytes()
    files["models.json"] = json.dumps(read_models(), indent=1).encode()
    files["settings.json"] = make_settings(python)
    for name, content in files.items():
        replace_file(gimp.plugin / name, content, executable=name == gimp.entry.name)
    for path in sorted(gimp.plugin.rglob("*"), reverse=True):  # a folder's contents before the folder
        name = path.relative_to(gimp.plugin).as_posix()
        if not any(file == name or file.startswith(f"{name}/") for file in files):
            remove(path)


def replace_file(path, content, executable):
    """Write a file so that it is either the old or the new one, whatever happens on the way."""
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.write_bytes(content)
        part.chmod(0o755 if executable else 0o644)  # GIMP passes over plug-ins that are not executable
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def read_models():
    """What the dialog says of each whole-image network, the default one first."""
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(MODELS.glob("*.json"))]
    cards = [card for card in cards if card["task"] == "whole-image"]
    cards.sort(key=lambda card: not card["default"])
    return [{"name": card["name"], "label": card["label"], "description": card["terms"]} for card in cards]


def make_settings(python):
    """What settings.json holds: where the environment's Python is, its version, and the command that repairs it."""
    settings = {"python": str(python), "version": __version__, "repair": installer_command()}
    return json.dumps(settings, indent=1).encode()


def self_check(python):
    """Recolor a small picture through the plug-in's own client and worker; returns the device that did it."""
    client = load_client()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "settings.json").write_bytes(make_settings(python))
        settings = client.load_settings(folder)
    directory = client.private_directory()
    request = Request.of_layer(CHECK_OPTIONS, (CHECK_SIDE, CHECK_SIDE), "u8", "u8")

    def on_result(result):
        sizes = tuple((directory / names[0]).stat().st_size for names in (request.layer_out, request.mask_out))
        if sizes != (4 * CHECK_SIDE**2, CHECK_SIDE**2):
            raise InstallError(f"The worker answered with files of {sizes} bytes: run this again, then report it.")
        for notice in result["notices"]:
            print(notice)
        return result["device"]

    try:
        (directory / request.pixels).write_bytes(
            bytes((x * 4, y * 4, 96, 255)[c] for y in range(CHECK_SIDE) for x in range(CHECK_SIDE) for c in range(4))
        )
        return client.ask(settings, directory, request, lambda fraction, text: None, on_result)
    except client.WorkerError as error:
        raise InstallError(f"The check failed: {error}") from error
    finally:
        for name in request.files:
            (directory / name).unlink(missing_ok=True)
        client.stop(directory)


def load_client():
    """The plug-in's own client, from the source tree."""
    spec = importlib.util.spec_from_file_location("client", PLUGIN_SOURCE / "client.py")
    assert spec and spec.loader, "a file of Python source has both"
    client = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the download folder may be read-only
    sys.path.insert(0, str(PLUGIN_SOURCE))  # for what it imports from beside it
    try:
        spec.loader.exec_module(client)
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(PLUGIN_SOURCE))
    return client


def worker_folders(kinds):
    """Where workers keep their sockets, outside sandboxes and inside."""
    return [load_client().private_path(), *(folder / "worker" for kind in kinds for folder in kind.worker)]


def stop_workers(kinds):
    """Stop workers of any version: one from before an installation would serve the old code."""
    client = load_client()
    for folder in worker_folders(kinds):
        client.stop(folder)


def is_executable(path):
    return os.name == "nt" or os.access(path, os.X_OK)
