"""Write a checkpoint as an ONNX model with its card: python -m models.training.export --checkpoint FILE --name NAME

The ONNX file is checked against PyTorch, then measured on the validation photos with the very code
that users run, and the figures go into the card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

from hairmask_core.evaluate import evaluate
from hairmask_core.models import read_card
from hairmask_core.pipeline import find_hair
from hairmask_core.session import open_session

from .data import SET_WEIGHTS, find_pairs
from .network import HairNet

LARGEST_DIFFERENCE = 1e-4  # in probability, ONNX Runtime against PyTorch

TERMS = (
    "Trained in part on CelebAMask-HQ and CelebA-HQ (non-commercial research purposes only) and on Figaro-1k and LFW "
    "(published for research). These weights are for personal, educational and research use; whoever wants to use "
    "them commercially should clear that with the publishers of those photographs first. The code is GPL-3.0-or-later."
)


class Probability(nn.Module):
    def __init__(self, network: HairNet):
        super().__init__()
        self.network = network

    def forward(self, rgb):
        return torch.sigmoid(self.network(rgb))


def write_onnx(network: HairNet, path: Path) -> None:
    """Export with free height and width, and check the result; raises ValueError if it differs from PyTorch."""
    model = Probability(network).eval()
    sample = torch.randn(1, 3, 256, 320).clamp(-1, 1)
    axes = {"rgb": {2: "height", 3: "width"}, "probability": {2: "height", 3: "width"}}
    torch.onnx.export(
        model,
        (sample,),
        str(path),
        input_names=["rgb"],
        output_names=["probability"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(path))
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    for height, width in ((256, 320), (384, 288), (32, 64)):
        x = torch.rand(1, 3, height, width) * 2 - 1
        with torch.no_grad():
            expected = model(x).numpy()
        difference = np.abs(session.run(None, {"rgb": x.numpy()})[0] - expected).max()
        print(f"{height}x{width}: ONNX Runtime differs from PyTorch by {difference:.1e} at most")
        if difference > LARGEST_DIFFERENCE:
            raise ValueError(f"the exported model differs from PyTorch by {difference}")


def measure(card_path: Path, data: Path, refined: bool, limit: int | None = None) -> dict:
    """Mean figures on each data set's validation photos."""
    session = open_session(read_card(card_path), "cpu")
    figures = {}
    for dataset in SET_WEIGHTS:
        pairs = [(p.image, p.mask) for p in find_pairs(data, (dataset,)) if p.is_validation][:limit]
        result = evaluate(pairs, lambda photo: find_hair(photo, session, refined).matte)
        kept = {"photos": result["photos_with_hair"], "empty_photos": result["empty_photos"]}
        if result["photos_with_hair"]:
            kept |= {key: round(result["mean"][key], 4) for key in ("iou", "f1", "pixel_accuracy", "boundary_f_score")}
        if result["empty_photos"]:
            kept["false_share"] = round(result["mean_false_share"], 5)
        figures[dataset] = kept
        print(dataset, json.dumps(kept), flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--long-side", type=int, required=True, help="working scale in pixels that goes into the card")
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets, for the figures")
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--training", default="", help="how it was trained, in words, for the card")
    args = parser.parse_args()

    cv2.setNumThreads(2)
    state = torch.load(args.checkpoint, weights_only=True, map_location="cpu")
    network = HairNet()
    network.load_state_dict(state["average"])
    parameters = sum(p.numel() for p in network.parameters())
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{args.name}.onnx"
        write_onnx(network, path)
        data = path.read_bytes()
    (args.out / f"{args.name}.onnx").write_bytes(data)
    card = {
        "name": args.name,
        "description": "whole-image hair segmentation, MobileNetV2 encoder with a U-shaped decoder",
        "task": "whole-image",
        "default": True,
        "file": f"{args.name}.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "megabytes": round(len(data) / 1e6, 2),
        "parameters": parameters,
        "input": {
            "layout": "NCHW",
            "dtype": "float32",
            "color": "RGB, sRGB-encoded, 0 to 1",
            "long_side": args.long_side,
            "multiple": 32,
            "mean": 0.5,
            "scale": 2.0,
        },
        "output": "hair probability, NCHW, float32, 0 to 1, the size of the input",
        "training": args.training,
        "training_data": sorted(SET_WEIGHTS),
        "licence": TERMS,
    }
    card_path = args.out / f"{args.name}.json"
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    card["accuracy"] = measure(card_path, args.data, refined=True)
    card_path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
