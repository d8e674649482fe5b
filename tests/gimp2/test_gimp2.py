"""The entry for GIMP 2.10, as far as it can be tested where there is no GIMP 2.10 with Python-Fu.

Real are Python 2.7, GIMP's own gimpfu.py, the command line, and the list of procedures that GIMP 2.10.34 says it has. Only the
module `gimp`, which is part of the GIMP program itself, is a stand-in (standin/gimp.py) that keeps images in memory.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import old_gimp
import pytest
from PIL import Image

from hairmask_core import __version__
from hairmask_core.color.shades import find_shade, named_shades
from hairmask_core.inference.cards import choose_card
from hairmask_core.options import DEFAULT_STEP, LARGEST_STEP, Coloring, Device, Engine, Quality
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair, recolor_layer

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
SOURCE = REPOSITORY / "gimp_plugin/gimp2/hair_recolor_gimp2.py"
NAMES = [shade.name for shade in named_shades()]
CUSTOM, FOREGROUND, PHOTO = len(NAMES), len(NAMES) + 1, len(NAMES) + 2
COLOR = [255, 128, 0, 255]
SETTINGS = {"python": sys.executable, "version": __version__, "repair": "python3 '/my folder/install.py'"}

needs_parts = pytest.mark.skipif(not old_gimp.can_fetch(), reason="needs Debian and root, to fetch parts of old GIMPs")


# Names


def declared():
    """What gimpfu.pyi declares: names of the module, and of each class its methods."""
    tree = ast.parse(SOURCE.with_name("gimpfu.pyi").read_text(encoding="utf-8"))
    names, classes = set(), {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            classes[node.name] = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    return names, classes


def used():
    """What the entry takes from gimpfu, and its calls of gimp and pdb: (name, number of arguments)."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "gimpfu" for a in n.names}
    calls = {"gimp": set(), "pdb": set()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.keywords:
            if isinstance(node.func.value, ast.Name) and node.func.value.id in calls:
                calls[node.func.value.id].add((node.func.attr, len(node.args)))
    touched = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    for module in calls:  # nothing but such calls
        assert sum(n.value.id == module for n in touched) == sum(
            isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and getattr(n.func.value, "id", "") == module
            for n in ast.walk(tree)
        )
    return names, calls


def test_every_name_that_is_used_is_declared_and_the_other_way_round():
    names, classes = declared()
    taken, calls = used()
    assert taken <= names and {name for name in names if name.isupper() and name != "PDB"} <= taken
    assert {name for name, _ in calls["gimp"]} == set(classes["Gimp"])
    assert {name for name, _ in calls["pdb"]} == set(classes["PDB"])


def test_its_choices_are_those_of_the_options():
    """It can import nothing of them, so it says them again."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    said = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    for table, kind in (("METHODS", Engine), ("QUALITIES", Quality), ("DEVICES", Device)):
        assert {name for name, _ in ast.literal_eval(said[table])} == {member.value for member in kind}
    parameters = {ast.literal_eval(each.elts[1]): each.elts[3:] for each in said["PARAMETERS"].elts}
    assert [ast.literal_eval(value) for value in parameters["step"]] == [DEFAULT_STEP, (1, LARGEST_STEP, 1)]


def arguments_of(procedure):
    """Names of what a plug-in gives; pygimp itself gives the run mode."""
    names = [argument[0].replace("-", "_") for argument in procedure["arguments"]]
    return [name for name in names if name != "run_mode"]


@needs_parts
def test_gimp_has_every_procedure_that_is_called_with_those_arguments():
    known = json.loads(old_gimp.procedures().read_text())
    assert len(known) > 1000
    for name, count in used()[1]["pdb"]:
        assert len(arguments_of(known[name.replace("_", "-")])) == count, name
    for name, method in declared()[1]["PDB"].items():
        procedure = known[name.replace("_", "-")]
        assert [argument.arg for argument in method.args.args[1:]] == arguments_of(procedure), name
        returns = ast.unparse(method.returns)
        assert len(procedure["values"]) == {"None": 0, "Tuple[int, int]": 2}.get(returns, 1), name
    said = json.dumps(known)
    for name in declared()[0]:
        if name.isupper() and name != "PDB" and not name.startswith("PF_"):  # those are gimpfu's
            assert re.search(rf"[ {{]{name.replace('_', '-')} \(\d+\)", said), name


# Calls


def case(**changes):
    choices = {"shade": "blue", "color": COLOR, "photo": "", "tips": 0, "strength": 1.0, "method": 0, "step": 2}
    choices |= {"quality": 0, "model": 0, "device": 1, "force": 0}
    choices |= {name: changes.pop(name) for name in choices if name in changes}
    choices["shade"] = NAMES.index(choices["shade"]) if choices["shade"] in NAMES else choices["shade"]
    usual = {"width": 512, "height": 512, "bpp": 3, "pixels": "rgb.raw", "settings": SETTINGS}
    return usual | changes | {"choices": [*choices.values()]}


@pytest.fixture(scope="module")
def scene():
    """Inputs of the calls: alpha, a selection of an image of 400x300 pixels, and a mask of the layer."""
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[300:, :100] = np.arange(100)
    selection = np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1))
    mask = np.full((512, 512), 255, np.uint8)
    mask[:60] = 100
    return alpha, selection, mask


@pytest.fixture(scope="module")
def home(tmp_path_factory, scene):
    """A user's folder: the plug-in, a folder for inputs and outputs of the calls, and one for temporary files."""
    import skimage.data

    astronaut = skimage.data.astronaut()
    home = tmp_path_factory.mktemp("old") / "Jürgen"
    plugin, folder = home / "plug-ins/hair_recolor_gimp2", home / "folder"
    for path in (plugin, folder, home / "scratch"):
        path.mkdir(parents=True)
    shutil.copy(SOURCE, plugin)  # as install.py puts it there
    shutil.copy(REPOSITORY / "hairmask_core/color/shades.json", plugin)
    models = [{"name": choose_card().name, "label": "Best", "description": ""}]
    (plugin / "models.json").write_text(json.dumps(models))
    broken = plugin / "python"
    broken.write_text("#!/bin/sh\necho 1\necho No module x >&2\nexit 1\n")
    broken.chmod(0o755)

    alpha, selection, mask = scene
    content = {"rgb": astronaut, "rgba": np.dstack([astronaut, alpha]), "selection": selection, "mask": mask}
    content["black"] = np.zeros_like(astronaut)
    for name, pixels in content.items():
        (folder / f"{name}.raw").write_bytes(pixels.tobytes())
    (folder / "other.png").write_bytes(b"no photo")
    Image.fromarray(content["black"]).save(folder / "black.png")
    return home


@pytest.fixture(scope="module")
def called(home):
    """The answers to all calls, and the folder with the layers that came of them."""
    folder = home / "folder"
    gone, broken = (
        SETTINGS | {"python": str(home / path)} for path in ("nobody", "plug-ins/hair_recolor_gimp2/python")
    )
    cases = {
        "plain": case(),
        "alpha": case(
            bpp=4, pixels="rgba.raw", offsets=[-40, 25], group=True, opacity=60.0, tips=1 + NAMES.index("red")
        ),
        "selection": case(width=400, height=300, offsets=[-40, 25], selection="selection.raw"),
        "own mask": case(mask="mask.raw", **{"mask active": True}),
        "custom": case(shade=CUSTOM, strength=0.5, tips=len(NAMES) + 1),
        "foreground": case(shade=FOREGROUND, strength=0.0),
        "texture": case(method=1, step=8, force=1),
        "deep": case(precision=250),
        "gray": case(base_type=1),
        "locked": case(locked=1),
        "no photo": case(shade=PHOTO),
        "other photo": case(shade=PHOTO, photo=str(folder / "other.png")),
        "black photo": case(shade=PHOTO, photo=str(folder / "black.png")),
        "no choice": case(quality=7),
        "no hair": case(pixels="black.raw"),
        "forced": case(pixels="black.raw", force=1),
        "no Python": case(settings=gone),
        "no product": case(settings=broken),
        "no settings": case(settings={}),
    }
    done = drive(home, cases)
    assert done.wait(300) == 0, done.stdout.read()
    answer = json.loads((folder / "answer.json").read_text())
    answer["left"] = [path.name for path in (home / "scratch").iterdir()]
    return answer, folder


def drive(home, cases):
    """Python 2.7 that calls the entry, case by case."""
    (home / "folder/cases.json").write_text(json.dumps(cases))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home / "scratch"),
        "DECODER": sys.executable,
        "GIMP_PROCEDURES": str(old_gimp.procedures()),
        "PYTHONPATH": os.pathsep.join(map(str, (HERE / "standin", old_gimp.gimpfu()))),
    }
    plugin = home / "plug-ins/hair_recolor_gimp2"
    command = [*old_gimp.python27(), HERE / "drive.py", plugin / SOURCE.name, home / "folder"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read(called, name):
    """The new layer and its mask of a case."""
    layer, mask = (np.fromfile(called[1] / f"{name}-{part}.raw", np.uint8) for part in ("layer", "mask"))
    return layer.reshape(512, 512, -1), mask.reshape(512, 512)


@pytest.fixture(scope="module")
def hair(model):
    import skimage.data

    return find_hair(Photo(skimage.data.astronaut()), model)


@needs_parts
def test_it_is_registered_in_the_menu_under_python_27(called):
    answer, _ = called
    assert answer["python"].startswith("2.7.")
    (procedure,) = answer["installed"]
    assert procedure[0] == "python_fu_hair_recolor" and procedure[6:8] == ["Recolor...", "*"]
    assert [parameter[1] for parameter in procedure[9]][:4] == ["run-mode", "image", "drawable", "shade"]
    assert answer["menus"] == [["python_fu_hair_recolor", "<Image>/Filters/Hair"]]


@needs_parts
def test_one_call_adds_one_masked_layer_in_one_step(called, astronaut, hair):
    said = called[0]["cases"]["plain"]
    assert said["error"] is None and said["messages"] == []
    assert said["new"] == 1 and said["steps"] == 1 and said["place"] == [0, 1] and said["active"]
    assert said["name"] == "Hair recolor (blue)" and said["space"] == 2 and said["bpp"] == 3
    assert said["pulses"] > 0 and said["progress"] == sorted(said["progress"]) and said["progress"][-1] == 1
    layer, mask = read(called, "plain")
    np.testing.assert_array_equal(layer, recolor_layer(Photo(astronaut), hair, find_shade("blue").rgb))
    np.testing.assert_array_equal(mask, np.rint(hair.matte * 255))


@needs_parts
def test_place_alpha_and_opacity_are_the_sources(called, scene):
    said = called[0]["cases"]["alpha"]
    assert said["place"] == [1, 2] and said["offsets"] == [-40, 25] and said["opacity"] == 60 and said["bpp"] == 4
    assert said["name"] == "Hair recolor (blue to red)"
    np.testing.assert_array_equal(read(called, "alpha")[0][..., 3], scene[0])


@needs_parts
def test_selection_and_own_mask_limit_the_mask(called, scene, hair):
    _, selection, own = scene
    limit = np.zeros((512, 512))
    limit[:275, 40:440] = selection[25:]  # of a layer that lies at -40, 25
    # The matte is rounded to 8 bits, and so is the product.
    np.testing.assert_allclose(read(called, "selection")[1], hair.matte * limit, atol=1.01)
    np.testing.assert_allclose(read(called, "own mask")[1], hair.matte * own, atol=1.01)
    assert called[0]["cases"]["own mask"]["place"] == [0, 1]


@needs_parts
def test_colors_and_strength(called, astronaut, hair):
    shades = [np.array(color) / 255 for color in (COLOR[:3], (255, 255, 0))]
    expected = recolor_layer(Photo(astronaut), hair, Coloring(tuple(shades[0]), strength=0.5, tips=tuple(shades[1])))
    np.testing.assert_array_equal(read(called, "custom")[0], expected)
    np.testing.assert_array_equal(read(called, "foreground")[0], astronaut)  # of strength 0
    assert called[0]["cases"]["custom"]["name"] == "Hair recolor (#ff8000 to #ffff00)"
    assert called[0]["cases"]["foreground"]["name"] == "Hair recolor (#0066ff)"
    assert called[0]["cases"]["texture"]["new"] == 1 and called[0]["cases"]["forced"]["new"] == 1


@needs_parts
def test_deep_images_are_told_what_is_lost(called):
    (message,) = called[0]["cases"]["deep"]["messages"]
    assert "8 bits" in message and "GIMP 3" in message and called[0]["cases"]["deep"]["new"] == 1


@needs_parts
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gray", "choose Image → Mode → RGB first"),
        ("locked", "The layer “Photo” is locked: unlock"),
        ("no photo", "choose its file as well"),
        ("other photo", "is not an image that can be read"),
        ("black photo", "black.png, whose color was to be taken: choose a photo that shows the hair from nearer"),
        ("no choice", "give one from 0 to 1"),
        ("no hair", "No hair was found in this photo: crop closer to the head, or force the result"),
        (
            "no Python",
            "nobody: No such file or directory): repair the installation with  python3 '/my folder/install.py'",
        ),
        ("no product", "(No module x): repair the installation with  python3 '/my folder/install.py'"),
        ("no settings", "settings.json is missing or damaged): run python3 install.py in the folder"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(called, name, says):
    said = called[0]["cases"][name]
    assert says in said["error"] and said["messages"] == [said["error"]]
    assert said["new"] == 0 and said["steps"] == 0


@needs_parts
def test_no_file_is_left(called):
    assert called[0]["left"] == []


def processes_in(folder):
    """Those that were started for a file in that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


@needs_parts
def test_cancel_stops_the_work_and_leaves_nothing(home, called):
    """GIMP 2.10 cancels by killing the plug-in, which then can tidy up nothing itself."""
    scratch = home / "scratch"
    for wanted in ("words", "photo.png"):  # while the product is loaded, and at work
        plugin = drive(home, {"long": case(method=1, step=1)})
        wait_until(lambda: list(scratch.glob(f"*/{wanted}")) and processes_in(scratch))
        plugin.kill()
        plugin.communicate()
        wait_until(lambda: not processes_in(scratch) and not list(scratch.iterdir()))


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
