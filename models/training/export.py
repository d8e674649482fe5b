"""Write a trained network as an ONNX model of the product, with its card.

The weights are rounded to float16 and stored as such, which halves the file; ONNX Runtime turns them into float32
once, when it loads the model, so speed and arithmetic stay those of float32. The file is checked against PyTorch.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hairmask_core.inference.cards import choose_card
from hairmask_core.inference.session import open_session
from hairmask_core.segmentation.whole_image import QUALITIES

from .data import DATASETS
from .measure import format_tables, measure
from .network import ENCODERS, HairNet
from .recipes import Recipe

LARGEST_DIFFERENCE = 1e-4  # in probability, ONNX Runtime against PyTorch
SMALLEST_ROUNDED = 256  # elements; smaller tensors (biases, sizes) stay float32
SIZES = ((256, 320), (384, 288), (32, 64))
OPSET = 17


class Probability(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, rgb):
        return torch.sigmoid(self.network(rgb))


def read_checkpoint(recipe: Recipe, checkpoint: Path) -> HairNet:
    """The averaged network of a checkpoint, ready for use."""
    network = HairNet(recipe.encoder, recipe.decoder)
    network.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu")["average"])
    return network.eval()


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


def write_onnx(network: nn.Module, path: Path, sizes=SIZES) -> None:
    """Export with free batch, height and width, and check the result; raises ValueError if it differs from PyTorch.

    network: as `fold_and_round` returns it. sizes: (height, width) of the squares of noise that it is checked with.
    """
    model = Probability(network).eval()
    sample = torch.randn(1, 3, *sizes[0]).clamp(-1, 1)
    axes = {"rgb": {0: "batch", 2: "height", 3: "width"}, "probability": {0: "batch", 2: "rows", 3: "columns"}}
    with torch.no_grad():  # without gradients, depthwise.py stays out of the graph
        torch.onnx.export(
            model,
            (sample,),
            str(path),
            input_names=["rgb"],
            output_names=["probability"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.save(store_as_float16(onnx.load(path)), path)
    onnx.checker.check_model(onnx.load(path))
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    for height, width in sizes:
        x = torch.rand(1, 3, height, width) * 2 - 1
        with torch.no_grad():
            expected = model(x).numpy()
        difference = np.abs(session.run(None, {"rgb": x.numpy()})[0] - expected).max()
        print(f"{height}x{width}: ONNX Runtime differs from PyTorch by {difference:.1e} at most")
        if difference > LARGEST_DIFFERENCE:
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


def export(recipe: Recipe, checkpoint: Path, data: Path, out: Path, datasets=DATASETS) -> None:
    """Write `out/NAME.onnx` and `out/NAME.json`; the figures in the card come from the validation photos."""
    cv2.setNumThreads(2)
    network = read_checkpoint(recipe, checkpoint)
    parameters = sum(p.numel() for p in network.parameters())
    path, card_path = out / f"{recipe.name}.onnx", out / f"{recipe.name}.json"
    write_onnx(fold_and_round(network), path)
    card = {
        "name": recipe.name,
        "label": recipe.label,
        "description": f"{recipe.description} ({ENCODERS[recipe.encoder].title} encoder, {recipe.decoder} decoder)",
        "task": "whole-image",
        "default": recipe.default,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "parameters": parameters,
        "input": {
            "layout": "NCHW",
            "dtype": "float32",
            "color": "RGB, sRGB-encoded, 0 to 1",
            "long_side": recipe.long_side,
            "multiple": 32,
            "mean": 0.5,
            "scale": 2.0,
        },
        "output": "hair probability, NCHW, float32, 0 to 1, the size of the input",
        "training": f"python -m models.training {recipe.name}: "
        + ", then ".join(f"{p.steps} steps of {p.batch} samples at {p.size} px" for p in recipe.phases),
        "training_data": sorted(recipe.sets),
        "terms": recipe.terms,
    }
    if recipe.matting and (out / f"{recipe.matting}.json").exists():
        card["matting"] = recipe.matting
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    session = open_session(choose_card(recipe.name, out), "cpu")
    for quality in QUALITIES:
        figures = measure(session, data, quality, datasets=datasets)
        print(quality, format_tables(figures), sep="\n")
        card["accuracy" if quality == "fast" else f"accuracy_{quality}"] = figures
    card_path.write_text(json.dumps(card, indent=2) + "\n")
