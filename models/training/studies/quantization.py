"""A model in float16 and in int8, and what that loses.

python -m models.training.studies.quantization --data DATA --out DIR

float16 computes in half precision throughout, for GPUs. int8 quantizes weights and activations (symmetric, one scale
a channel for weights; ranges from training photos), for processors with integer dot products. Printed for each: size,
milliseconds of one 448x448 pass on this CPU, mean IoU on Figaro-1k's photos that choices are made by (one unrefined
pass), and the mean difference in probability from the shipped file.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quant_pre_process, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from hairmask_core.evaluation.metrics import iou
from hairmask_core.inference.cards import NetworkCard, choose_card
from hairmask_core.inference.network import open_network
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo
from hairmask_core.photo.proxy import make_proxy, proxy_size
from hairmask_core.segmentation.whole_image import segment

from ..datasets import find_samples, read_sample, some
from .architectures import milliseconds

CALIBRATION_PHOTOS = 64


class Calibration(CalibrationDataReader):
    """Training photos as the network sees them, one at a time."""

    def __init__(self, card: NetworkCard, data: Path):
        samples = [s for name in ("figaro1k", "celebamask", "ccp") for s in find_samples(data, name, "training")]
        chosen = some(samples, CALIBRATION_PHOTOS)
        self.inputs = iter([{"rgb": network_input(card, read_photo(sample.image))} for sample in chosen])

    def get_next(self):
        return next(self.inputs, None)


def network_input(card: NetworkCard, photo: Photo) -> np.ndarray:
    proxy = make_proxy(photo, proxy_size(photo.width, photo.height, card.long_side, card.multiple))
    return ((proxy - card.mean) * card.scale).astype(np.float32).transpose(2, 0, 1)[None]


def make_float16(card: NetworkCard, path: Path) -> None:
    model = convert_float_to_float16(onnx.load(card.path), keep_io_types=True)
    onnx.save(model, path)


def make_int8(card: NetworkCard, path: Path, data: Path) -> None:
    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(str(card.path), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(path),
        Calibration(card, data),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
    )
    prepared.unlink()


def with_file(card: NetworkCard, path: Path) -> NetworkCard:
    """The card as it would be with another file."""
    return dataclasses.replace(card, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def maps(card: NetworkCard, photos: list[np.ndarray]) -> list[np.ndarray]:
    """One pass over each whole photo, at the photo's size."""
    network = open_network(card, "cpu")
    found = []
    for rgb in photos:
        size = proxy_size(rgb.shape[1], rgb.shape[0], card.long_side, card.multiple)
        found.append(cv2.resize(segment(make_proxy(Photo(rgb), size), network), rgb.shape[1::-1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="where the files go")
    parser.add_argument("--model", help="a model's name; the default one otherwise")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    card = choose_card(args.model).network
    paths = {"shipped": card.path}
    for kind in ("float16", "int8"):
        paths[kind] = args.out / f"{card.model}-{kind}.onnx"
    make_float16(card, paths["float16"])
    make_int8(card, paths["int8"], args.data)
    pairs = [read_sample(sample) for sample in find_samples(args.data, "figaro1k", "choice")]
    photos, truths = [image for image, _ in pairs], [labels[..., 0] > 127 for _, labels in pairs]
    reference = None
    print("| numbers | MB | ms | IoU | mean difference |\n|---|---|---|---|---|")
    for kind, path in paths.items():
        found = maps(with_file(card, path), photos)
        reference = reference or found
        score = np.mean([iou(p >= 0.5, truth) for p, truth in zip(found, truths, strict=True)])
        difference = np.mean([np.abs(p - q).mean() for p, q in zip(found, reference, strict=True)])
        print(
            f"| {kind} | {path.stat().st_size / 1e6:.1f} | {milliseconds(path):.0f} | {score:.4f} | {difference:.5f} |"
        )


if __name__ == "__main__":
    main()
