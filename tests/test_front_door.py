"""What `from hairmask_core import …` offers: quickly, and as its documentation says."""

import ast
import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hairmask_core
from hairmask_core.photo.files import read_photo

PACKAGE = Path(hairmask_core.__file__).parent
README = Path(__file__).resolve().parent.parent / "README.md"
FUNCTIONS = ["read_photo", "write_photo", "open_model", "find_hair", "recolor", "recolor_layer"]


@pytest.fixture
def portrait_jpg(tmp_path, monkeypatch, astronaut):
    """The portrait under the name that the examples have for it, in the current folder."""
    Image.fromarray(astronaut).save(tmp_path / "portrait.jpg", quality=95)
    monkeypatch.chdir(tmp_path)


def test_importing_it_loads_nothing_but_itself():
    code = "import sys; before = set(sys.modules); import hairmask_core; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hairmask_core"]


def test_every_public_name_is_there():
    assert set(FUNCTIONS) < set(hairmask_core.__all__) <= set(dir(hairmask_core))
    for name in hairmask_core.__all__:
        assert getattr(hairmask_core, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'recolour'"):
        hairmask_core.recolour  # noqa: B018


def test_editors_are_told_the_same_names():
    """__init__.pyi imports each public name from where __init__.py loads it."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    told = {name.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert told == hairmask_core._MODULES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_do_what_they_say(name, portrait_jpg):
    function = getattr(hairmask_core, name)
    public = {name: getattr(hairmask_core, name) for name in hairmask_core.__all__}
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=public)
    assert test.examples and doctest.DocTestRunner(verbose=False).run(test).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_documentation_names_every_parameter_and_what_can_go_wrong(name):
    function = getattr(hairmask_core, name)
    text = inspect.getdoc(function)
    for section in ("Parameters", "Raises", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^(\w+, )*{parameter}(, \w+)*( :|$)", text, re.MULTILINE), parameter


def test_the_lines_of_the_readme(portrait_jpg, astronaut):
    (lines,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(lines, {})
    recolored = read_photo("copper.png").rgb
    change = np.abs(recolored.astype(int) - read_photo("portrait.jpg").rgb).max(axis=2)
    assert change[60, 230] > 20 and change[400:].max() == 0  # hair, suit
