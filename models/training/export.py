"""Trained networks as ONNX models of the product, with their cards.

The weights are rounded to float16 and stored as such, which halves the file; ONNX Runtime turns them into float32
once, when it loads the model, so speed and arithmetic stay those of float32. Every file is checked against PyTorch.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hairmask_core.inference.cards import read_card
from hairmask_core.segmentation.segmenter import open_segmenter

from .measure import MEASURED, format_tables, measure

LARGEST_DIFFERENCE = 1e-4  # ONNX Runtime against PyTorch
SMALLEST_ROUNDED = 256  # elements; smaller tensors (biases, sizes) stay float32
IMAGES = ((256, 320), (384, 288), (32, 64))  # height and width of the noise that networks of images are checked with
OPSET = 17

# What the publishers of the data sets say about their use.
PUBLISHED = {
    "celebamask": "CelebAMask-HQ (non-commercial research purposes only)",
    "celebahq": "CelebA-HQ (non-commercial research purposes only)",
    "celeba_teacher": "a face-parsing network's answers on portraits of CelebAMask-HQ (non-commercial research)",
    "facesynthetics": "FaceSynthetics (C-UDA 1.0: non-commercial research)",
    "figaro1k": "Figaro-1k (published for research)",
    "lfw": "LFW (published for research)",
    "fasseg": "FASSEG (published for research)",
    "nohair": "photos of ImageNet (published for research)",
    "ccp": "Clothing Co-Parsing (Apache-2.0; rights in its photographs are not discussed)",
    "things": "pictures composed of Debian's tuxpaint-stamps and wallpaper packages (GPL-2 and later, CC-BY-SA)",
}


def research_terms(sets: Iterable[str]) -> str:
    """What a card says about the use of weights that learned from these sets, some of which are for research only."""
    named = [PUBLISHED[name] for name in PUBLISHED if name in sets]
    return (
        f"Trained in part on {', '.join(named[:-1])} and {named[-1]}. These weights are for personal, educational and "
        "research use; whoever wants to use them commercially should clear that with the publishers of those "
        "photographs first, or take the network hair-u-lite2-free. The code is GPL-3.0-or-later."
    )


def fold_and_round(network: nn.Module) -> nn.Module:
    """Fold the batch normalisations into their convolutions, then round large weights to float16, in place."""
    for parent in network.modules():
        if isinstance(parent, nn.Sequential):
            for i, (first, second) in enumerate(itertools.pairwise(parent)):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    parent[i], parent[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    for parameter in network.parameters():
        if parameter.numel() >= SMALLEST_ROUNDED:
            parameter.data = parameter.data.half().float()
    return network


def write_onnx(
    model: nn.Module,
    path: Path,
    samples: Sequence[torch.Tensor] | None = None,
    names: tuple[str, str] = ("rgb", "probability"),
    tolerance: float = LARGEST_DIFFERENCE,
) -> None:
    """Export and check the result; raises ValueError if it differs from PyTorch by more than `tolerance`.

    model: its weights rounded by `fold_and_round`. samples: inputs to check it with; noise of IMAGES' sizes in -1…1
    otherwise. names: of input and output. Batch, height and width stay free.
    """
    if samples is None:
        samples = [torch.rand(1, 3, height, width) * 2 - 1 for height, width in IMAGES]
    model.eval()
    free = {0: "batch"} | ({2: "height", 3: "width"} if samples[0].ndim == 4 else {})
    axes = {names[0]: free, names[1]: {axis: name if axis == 0 else f"{name}_out" for axis, name in free.items()}}
    with torch.no_grad():  # without gradients, depthwise.py stays out of the graph
        torch.onnx.export(
            model,
            (samples[0],),
            str(path),
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.save(store_as_float16(onnx.load(path)), path)
    onnx.checker.check_model(onnx.load(path))
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    for x in samples:
        with torch.no_grad():
            expected = model(x).numpy()
        difference = np.abs(session.run(None, {names[0]: x.numpy()})[0] - expected).max()
        print(f"{path.name}, {tuple(x.shape)}: ONNX Runtime differs from PyTorch by {difference:.1e} at most")
        if difference > tolerance:
            raise ValueError(f"the exported model differs from PyTorch by {difference}")


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Large float32 weights kept as float16 with a Cast behind each, which is folded when the model is loaded."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= SMALLEST_ROUNDED:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
            casts.append(helper.make_node("Cast", [f"{name}.float16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def file_entry(path: Path) -> dict[str, str]:
    """What a card says of a file."""
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def write_card(card: dict, folder: Path) -> Path:
    """Write the card beside its files; returns its path. card: see hairmask_core/inference/cards.py."""
    path = folder / f"{card['name']}.json"
    path.write_text(json.dumps(card, indent=2) + "\n")
    return path


def measure_into(card: dict, folder: Path, data: Path, sets: Iterable[str] | None, quality: str = "fast") -> None:
    """Measure the model on the photos kept for reports and write the figures into its card.

    sets: the data sets, all of MEASURED that are there otherwise.
    """
    cv2.setNumThreads(2)
    model = open_segmenter(read_card(folder / f"{card['name']}.json"), "cpu")
    sets = tuple(sets or (name for name in MEASURED if (data / name).is_dir()))
    figures = measure(model, data, quality, sets=sets)
    print(quality, format_tables(figures), sep="\n")
    card["accuracy" if quality == "fast" else f"accuracy_{quality}"] = figures
    write_card(card, folder)


def check_terms(path: Path, sets: Iterable[str]) -> None:
    """Raise ValueError if the card beside a model names training data that is not among `sets`.

    Weights carry the terms of everything that they have learned from, and so do those that start from them.
    """
    card = path.with_suffix(".json")
    if not card.exists():
        raise ValueError(f"{path} has no card beside it that says what it has learned from.")
    others = sorted(set(json.loads(card.read_text())["training_data"]) - set(sets))
    if others:
        raise ValueError(f"{path} has learned from {', '.join(others)}, which the recipe does not name.")
