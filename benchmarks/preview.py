"""Milliseconds from a change in the dialog to the preview that shows it, in real GIMPs: python benchmarks/preview.py PHOTO

Uses the GIMPs of tests/gimp (see there) and installs the product in them as a user would. The dialog is the plug-in's
own, in a window; a change is one of its settings, as the user's hand would make it. Each is made `--runs` times.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "gimp"))
import harness  # noqa: E402

SCRIPT = """
import json, sys, time
plugin = {plugin!r}
sys.path.insert(0, plugin)
import gi
gi.require_version("GimpUi", "3.0")
from gi.repository import GimpUi, GLib
import choices, client, dialog

image = load({home!r} + "/photo")
layer = image.get_layers()[0]
GimpUi.init("preview")
procedure = Gimp.get_pdb().lookup_procedure("python-fu-hair-recolor")
config = procedure.create_config()
window, preview = dialog.make_dialog(procedure, config, True, image, layer, layer, client.load_settings(plugin))
window.show()

def shown():
    wanted, began = choices.preview_options(config), time.perf_counter()
    while preview.answered != wanted or GLib.MainContext.default().pending():
        GLib.MainContext.default().iteration(False)
        time.sleep(0.0005)
        assert time.perf_counter() < began + 120, preview.words.get_text()

def milliseconds(setting, values):
    found = []
    for value in values:
        began = time.perf_counter()
        config.set_property(setting, value)
        shown()
        found.append(1000 * (time.perf_counter() - began))
    return found

began = time.perf_counter()
shown()
found = {{"the worker starts, hair is found, and once more in the finer copy": [1000 * (time.perf_counter() - began)]}}
shades = [shade["name"] for shade in choices.read_shades()]
found["another shade"] = milliseconds("shade", [shades[i % len(shades)] for i in range({runs})])
found["another strength"] = milliseconds("strength", [i / {runs} for i in range({runs})])
config.set_property("shade", "custom")
config.set_property("strength", 1.0)
shown()
found["another color"] = milliseconds("color", [Gegl.Color.new("#%02x4080" % i) for i in range({runs})])
config.set_property("tips", "platinum")
shown()
found["another shade, with other tips"] = milliseconds("shade", [shades[i % len(shades)] for i in range({runs})])
config.set_property("tips", "same")
config.set_property("people", "each")
shown()
found["another shade, one layer for each person"] = milliseconds("shade", [shades[i % len(shades)] for i in range({runs})])
found["other hair (refined or not, the first time)"] = milliseconds("refine", [False])
json.dump([preview.copy.size, found], open({home!r} + "/milliseconds.json", "w"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    shared = (Path(harness.__file__).parent / "scripts.py").read_text()
    with tempfile.TemporaryDirectory() as scratch:
        for series in harness.wanted_series():
            gimp = harness.open_gimp(series, Path(scratch))
            harness.install_product(gimp)
            shutil.copy(args.photo, gimp.on_host(gimp.home / "photo"))
            plugin = str(gimp.profile / "plug-ins/hair_recolor")
            script = shared + SCRIPT.format(plugin=plugin, home=str(gimp.home), runs=args.runs)
            measure(gimp, "import gi\n" + IMPORTS + script)


IMPORTS = """
gi.require_version("Gimp", "3.0"); gi.require_version("Gegl", "0.4")
from gi.repository import Gimp, Gegl, Gio
"""


def measure(gimp: harness.Gimp, script: str) -> None:
    import json
    import time

    (gimp.on_host(gimp.home) / "script.py").write_text(script)
    load = f"exec(open({str(gimp.home / 'script.py')!r}).read())"
    answer = gimp.on_host(gimp.home / "milliseconds.json")
    with harness.open_window(gimp, ["--batch-interpreter=python-fu-eval", "-b", load]):
        deadline = time.monotonic() + 300
        while not answer.exists() or not answer.stat().st_size:
            if time.monotonic() > deadline:
                sys.exit("GIMP did not answer:\n" + gimp.on_host(gimp.home / "window.log").read_text()[-3000:])
            time.sleep(0.2)
        time.sleep(0.5)
        size, found = json.loads(answer.read_text())
    print(f"GIMP {gimp.series}, preview of {size[0]}x{size[1]} pixels, milliseconds: median (largest)")
    for name, times in found.items():
        print(f"  {name:<62}{statistics.median(times):7.0f} ({max(times):.0f})")


if __name__ == "__main__":
    main()
