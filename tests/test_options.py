"""The one description of a request: what it takes, what it refuses, and with which sentence."""

import ast
import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hairmask_core import options
from hairmask_core.cli.main import build_parser
from hairmask_core.inference.cards import ENGINES
from hairmask_core.inference.session import PROVIDERS
from hairmask_core.options import (
    LARGEST_STEP,
    MOST_PEOPLE,
    Device,
    Engine,
    Options,
    OptionsError,
    Output,
    People,
    PhotoShade,
    PixelFormat,
    Quality,
    Request,
    result_files,
)
from hairmask_core.segmentation.whole_image import QUALITIES
from hairmask_core.server.pixel_files import PIXEL_TYPES, pixel_file

LAYER = (40, 30), "u16", "float"  # size, pixel format and mask format of a layer

names = st.text(max_size=20)
colors = st.tuples(*3 * [st.floats(0, 1)])
good_options = st.builds(
    Options,
    engine=st.sampled_from(Engine),
    model=st.none() | names,
    device=st.sampled_from(Device),
    quality=st.sampled_from(Quality),
    step=st.integers(1, LARGEST_STEP),
    refine=st.booleans(),
    people=st.sampled_from(People),
    output=st.sampled_from(Output),
    shade=names | colors | st.builds(PhotoShade, names),
    tips=st.none() | names | colors,
    strength=st.floats(0, 1),
    force=st.booleans(),
)


@given(good_options, st.sampled_from(PixelFormat), st.integers(0, 3), st.booleans())
def test_what_was_said_is_what_is_heard(chosen, pixel_format, limits, alpha):
    request = Request.of_layer(chosen, (40, 30), pixel_format, "float", limits, alpha)
    assert Options.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    assert {each.name for each in dataclasses.fields(Options)} == set(chosen.to_dict())


def test_what_is_not_said_has_its_default():
    assert Options.from_dict({}) == Options() == Options.from_dict(Options().to_dict())
    chosen = Options.from_dict({"engine": "texture", "strength": 1, "tips": [2, -1, 0.5]})
    assert chosen.engine is Engine.TEXTURE and chosen.quality is Quality.FAST
    assert chosen.tips == (1.0, 0.0, 0.5) and isinstance(chosen.strength, float)
    assert chosen == Options(engine="texture", strength=1, tips=(2, -1, 0.5))  # also where it was no JSON


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("engine", ["steam", None, 1, [], {}, "WHOLE"], "There is no engine {}: choose one of whole, texture."),
        ("model", [1, True, [], {}], "There is no model {}: give a name, or null for the default."),
        ("device", ["abacus", None], "There is no device {}: choose one of auto, cuda, directml, coreml, cpu."),
        ("quality", ["perfect", math.nan], "There is no quality {}: choose one of fast, best."),
        (
            "step",
            [0, 36, -1, 2.0, True, None, "2", math.nan, 10**99],
            "A step of {} is not possible: give a whole number from 1 to 35.",
        ),
        ("refine", [0, 1, "yes", None], "The option refine is {}: give true or false."),
        ("people", ["nobody", None], "There is no option for people {}: choose one of together, each."),
        ("output", ["song", None], "There is no output {}: choose one of layer, mask, picture, lch picture."),
        (
            "shade",
            [1, True, [1, 0.5], [1, 1, 1, 1], [0, 0, math.nan], ["1", "0", "0"], [None] * 3, [True, 0, 0]],
            "There is no shade {}: give a name, #rrggbb, or three numbers from 0 to 1.",
        ),
        (
            "shade",
            [{}, {"photo": None}, {"photo": "a", "x": 1}],
            'The shade {} names no photo: give {{"photo": path}}.',
        ),
        (
            "tips",
            [1, [1, 0.5], {"photo": "a"}],
            "There is no shade {}: give a name, #rrggbb, or three numbers from 0 to 1.",
        ),
        (
            "strength",
            [-0.1, 1.01, math.nan, math.inf, True, None, "1", 10**99],
            "A strength of {} is not possible: give a number from 0 to 1.",
        ),
        (
            "highlights",
            [1, [1, 0.5], {"photo": "a"}],
            "There is no shade {}: give a name, #rrggbb, or three numbers from 0 to 1.",
        ),
        (
            "highlights_share",
            [-0.1, 1.01, math.nan, True, None, "1"],
            "A share of highlights of {} is not possible: give a number from 0 to 1.",
        ),
        ("roots", [-0.1, 1.01, math.nan, True], "A length of roots of {} is not possible: give a number from 0 to 1."),
        ("depth", [-4.1, 5, math.nan, True, None], "A depth of {} is not possible: give a number from -4 to 4."),
        ("shine", [-1.1, 1.01, math.nan, None], "A shine of {} is not possible: give a number from -1 to 1."),
        ("light", ["dark", None], "There is no light {}: choose one of auto, neutral."),
        ("force", [0, "no", None], "The option force is {}: give true or false."),
    ],
)
def test_each_option_has_a_sentence_of_its_own(name, values, says):
    for value in values:
        for make in (Options.from_dict, lambda said: Options(**said)):
            with pytest.raises(OptionsError) as error:
                make({name: value})
            assert str(error.value) == says.format(options.shown(value))


def test_every_option_is_tested():
    said = {case[0] for case in test_each_option_has_a_sentence_of_its_own.pytestmark[0].args[1]}
    assert said == {each.name for each in dataclasses.fields(Options)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"options": None}, "The request's options are malformed: update the plug-in."),
        (
            {"options": {"shade": "copper", "turbo": 1}},
            "There is no option 'turbo': leave it out, or update Hair Recolor.",
        ),
        ({"options": {}}, "A shade is missing: name one, or ask for the mask only."),
        ({"width": 0}, "A width of 0 is not possible: give a whole number from 1 to 524288."),
        ({"height": 524289}, "A height of 524289 is not possible: give a whole number from 1 to 524288."),
        ({"format": "u32"}, "There is no pixel format 'u32': choose one of u8, u16, float."),
        ({"mask_format": None}, "There is no mask format None: choose one of u8, u16, float."),
        ({"alpha": None}, "The option alpha is None: give true or false."),
        ({"pixels": 5}, "The file name 5 is malformed: update the plug-in."),
        ({"limits": "a"}, "The file names 'a' are malformed: update the plug-in."),
        ({"limits": [None]}, "The file name None is malformed: update the plug-in."),
        ({"layer_out": None}, "The file names None are malformed: update the plug-in."),
        (
            {"mask_out": []},
            "The output layer, people together, goes to 1 mask and 1 layer files, not to 0 and 1: update the plug-in.",
        ),
        ({"\0": 1}, "There is no option '\\x00': leave it out, or update Hair Recolor."),
    ],
)
def test_each_field_of_a_request_has_a_sentence_of_its_own(changes, says):
    with pytest.raises(OptionsError) as error:
        Request.from_dict(Request.of_layer(Options(shade="copper"), *LAYER).to_dict() | changes)
    assert str(error.value) == says


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(Request)])
def test_a_request_says_everything(name):
    said = Request.of_layer(Options(shade="copper"), *LAYER).to_dict()
    del said[name]
    with pytest.raises(OptionsError, match=rf"The request is incomplete \({name} is missing\): update the plug-in."):
        Request.from_dict(said)


@given(good_options)
def test_files_are_as_many_as_the_results_and_have_names_of_their_own(chosen):
    request, other = (Request.of_layer(chosen, *LAYER, limits=2) for _ in range(2))
    masks, layers = result_files(chosen)
    assert masks == (MOST_PEOPLE if chosen.people is People.EACH else 1)
    assert layers == {Output.LAYER: masks, Output.MASK: 0}.get(chosen.output, 1)
    assert len(request.files) == 1 + 2 + masks + layers == len(set(request.files))
    assert not set(request.files) & set(other.files)
    for name in request.files:
        assert pixel_file(Path("/x"), name) == Path("/x") / name


def test_an_error_quotes_no_more_than_can_be_read():
    with pytest.raises(OptionsError) as error:
        Options(engine="x" * 100_000)
    assert len(str(error.value)) < 300


def test_options_that_were_made_stay():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().step = 3
    assert dataclasses.replace(Options(), step=3) == Options(step=3)
    with pytest.raises(OptionsError):
        dataclasses.replace(Options(), step=36)


def test_what_can_be_chosen_is_what_there_is():
    """Each device has an execution provider, each engine a task, and so on."""
    assert {device.value for device in Device} == {"auto", *PROVIDERS}
    assert {engine.value for engine in Engine} == set(ENGINES)
    assert {quality.value for quality in Quality} == set(QUALITIES)
    assert set(PIXEL_TYPES) == set(PixelFormat)
    assert all(PIXEL_TYPES[kind]().nbytes == kind.size for kind in PixelFormat)


def test_it_needs_the_standard_library_alone():
    """The plug-in's copy stands by itself, in a Python without numpy."""
    program = f"import runpy; runpy.run_path({options.__file__!r})['Options']()"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", program]).returncode == 0


def test_every_option_can_be_chosen_in_gimp():
    """It is an argument of Recolor, of the same name but for those that choices.py knows."""
    plugin = Path(__file__).resolve().parent.parent / "gimp_plugin/hair_recolor"
    source = (plugin / "hair_recolor.py").read_text(encoding="utf-8")
    arguments = set(re.findall(r'add_(?:\w+_argument\(|(?:choice|number)\(\s*procedure,)\s*"([a-z-]+)"', source))
    renamed = ast.literal_eval(re.search(r"^ARGUMENTS = (\{.*?\})", (plugin / "choices.py").read_text(), re.M)[1])
    names = {renamed.get(each.name, each.name).replace("_", "-") for each in dataclasses.fields(Options)}
    assert names <= arguments and arguments - names == {"color", "photo", "limit-to-selection"}


def test_the_command_line_has_the_same_defaults():
    said = vars(build_parser().parse_args(["recolor", "a.jpg", "--shade", "copper"]))
    names = {each.name for each in dataclasses.fields(Options)} & set(said)
    assert {"engine", "model", "device", "quality", "step", "shade", "strength", "force"} <= names
    chosen = Options.from_dict({name: said[name] for name in names - {"output"}})
    assert chosen == Options(shade="copper")
