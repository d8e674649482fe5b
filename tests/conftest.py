"""Photographs and one loaded model, shared by all tests."""

import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from hairmask_core.segmentation.segmenter import open_model

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.append(str(REPOSITORY))  # models/training, behind the installed product
sys.path.append(str(REPOSITORY / "gimp_plugin"))  # catalogs.py


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
