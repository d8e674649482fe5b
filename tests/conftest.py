"""Photographs and loaded models that all tests share; which tests need what, and which run beside each other."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from hairmask_core.segmentation.segmenter import open_model

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path.append(str(HERE / "gimp"))
import harness  # noqa: E402

# The marker of all tests in a folder, and of all tests that use a fixture.
MARKER_OF_FOLDER = {"gimp": "gimp", "gimp2": "install"}
MARKER_OF_FIXTURE = {"people": "install"}
# The quick tests' environment has no PyTorch.
HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore = [
    path.name
    for path in HERE.glob("test_*.py")
    if not HAS_TORCH and re.search(r"^import torch", path.read_text(), re.M)
]
sys.path.append(str(REPOSITORY))  # models/training, behind the installed product
sys.path.append(str(REPOSITORY / "gimp_plugin"))  # catalogs.py


def pytest_xdist_auto_num_workers(config):
    """One process for each core, and before them one for each GIMP, which waits for windows and installations."""
    return len(cores()) + len(gimps(config))


def pytest_configure(config):
    """Give each process that computes a core of its own, and with it a share of the threads."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if worker and hasattr(os, "sched_setaffinity"):
        drivers = len(gimps(config))  # xdist gives the first tests, those of GIMPs, to the first processes
        number = int(worker.removeprefix("gw")) - drivers
        mine = cores()[number :: count - drivers] if number >= 0 else []
        if mine:
            os.sched_setaffinity(0, mine)


def cores():
    """The numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def gimps(config):
    """The GIMPs that the chosen tests drive."""
    return [] if "not gimp" in config.option.markexpr else harness.wanted_series()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Mark the tests by folder and fixtures, keep those of a file together, and begin with what takes longest: GIMPs."""
    ranks = {}
    for item in items:
        markers = {MARKER_OF_FOLDER.get(item.path.parent.name)} if not any(item.iter_markers("install")) else set()
        markers |= {MARKER_OF_FIXTURE.get(name) for name in item.fixturenames}
        for marker in markers - {None}:
            item.add_marker(marker)
        if not any(item.iter_markers("xdist_group")):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        has = {marker.name for marker in item.iter_markers()}
        rank = 0 if "gimp" in has else 1 if "install" in has else 2 if has & {"training", "slow"} else 3
        ranks[group_of(item)] = min(rank, ranks.get(group_of(item), rank))
    items.sort(key=lambda item: ranks[group_of(item)])  # stable: otherwise as they were


def group_of(item):
    """The name of the tests that run in one process with this one."""
    return item.get_closest_marker("xdist_group").args[0]


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """NASA's portrait of Eileen Collins, (512, 512, 3) uint8."""
    return skimage.data.astronaut()


@pytest.fixture
def portrait(tmp_path, astronaut) -> Path:
    """The portrait as a file."""
    path = tmp_path / "portrait.png"
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture(scope="session")
def model():
    """The whole-image network that ships."""
    return open_model(device="cpu")


@pytest.fixture(scope="session")
def texture_model():
    """The patch classifier that ships."""
    return open_model(engine="texture", device="cpu")


@pytest.fixture(scope="session")
def classifier(texture_model):
    """Its networks for the finer of two scales."""
    return texture_model.fine
