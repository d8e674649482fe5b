"""Photographs and one loaded model, shared by all tests."""

import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from hairmask_core.models import choose_card, read_card
from hairmask_core.session import open_session

sys.path.append(str(Path(__file__).resolve().parent.parent))  # models/training, behind the installed product


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
def session():
    return open_session(choose_card(), "cpu")


@pytest.fixture(scope="session")
def classifier(tmp_path_factory, astronaut):
    """A patch classifier of random weights, its outputs spread over 0…1 on the astronaut's portrait."""
    import torch

    from models.training.patch_network import PatchNet
    from models.training.patches import write_card, write_graphs

    torch.manual_seed(4)
    network = PatchNet("vgg")
    x = torch.from_numpy(astronaut[:256, 128:384] / np.float32(127.5) - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        for _ in range(40):
            network(x)  # the normalisations learn what there is
        logits = network.eval()(x)
        network.head[-1].weight *= 2 / logits.std()
        network.head[-1].bias.copy_((network.head[-1].bias - logits.mean()) * 2 / logits.std())
    folder = tmp_path_factory.mktemp("classifier")
    return open_session(read_card(write_card(network, write_graphs(network, folder, "random"), "random", {})), "cpu")
