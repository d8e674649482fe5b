"""The exact versions that install.py installs, compared with the ranges that pyproject.toml allows; what the package says."""

import re
from importlib.metadata import distribution, requires
from pathlib import Path

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


def test_the_package_says_that_the_weights_have_other_terms_than_the_code():
    hairmask = distribution("hairmask")
    assert hairmask.metadata["License-Expression"] == "GPL-3.0-or-later AND LicenseRef-Hair-Recolor-Weights"
    assert hairmask.metadata.get_all("License-File") == ["LICENSE", "models/LICENSE-WEIGHTS.md"]
    terms = [file.read_text() for file in hairmask.files or () if file.name == "LICENSE-WEIGHTS.md"]
    assert terms == [(Path(__file__).resolve().parent.parent / "models/LICENSE-WEIGHTS.md").read_text()]


def test_no_user_needs_what_only_training_draws_with():
    assert not any("matplotlib" in name for name in requires("hairmask") if "extra" not in name)
