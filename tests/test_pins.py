"""The exact versions that install.py installs, compared with the ranges that pyproject.toml allows."""

import re
from importlib.metadata import requires

import pins
import pytest
from packaging.requirements import Requirement

WHERE = [(python, system, machine) for python in pins.PYTHONS for system, machine in pins.MACHINES]


@pytest.mark.parametrize("where", WHERE, ids=" ".join)
def test_every_package_has_one_version_within_its_range(where):
    found = pins.read_pins(*where)
    versions = dict(found)
    assert len(versions) == len(found)
    for requirement in map(Requirement, requires("hairmask")):
        extra = re.search(r"extra == .(\w+)", str(requirement.marker))
        if extra is None or extra[1] in ("cpu", "cuda"):
            assert requirement.specifier.contains(versions[requirement.name.lower()]), requirement


def test_all_pythons_are_covered_that_install_py_takes():
    import install

    assert pins.PYTHONS == [f"3.{minor}" for minor in range(install.OLDEST[1], install.NEWEST[1] + 1)]
