"""The mean of the weights of networks that one grew from another: often better than any of them.

python -m models.training.average FILE.onnx OTHER.onnx [--share 0.5] --out models

FILE and OTHER: exported networks of one shape. --share: of OTHER. Written: a network of FILE's name, and its card, from
the one beside FILE. Method: Wortsman et al. 2022, "Model soups".
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from .export import file_entry, write_card


def average_weights(one: onnx.ModelProto, other: onnx.ModelProto, share: float) -> onnx.ModelProto:
    """(1 - share) of one network's weights and `share`, 0…1, of the other's, in the one's types; `one` is changed in place.

    Raises ValueError if their weights are not of the same names and shapes.
    """
    others = {tensor.name: numpy_helper.to_array(tensor) for tensor in other.graph.initializer}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in one.graph.initializer}
    if shapes != {name: values.shape for name, values in others.items()}:
        raise ValueError("These networks are not of one shape, so their weights have no mean.")
    for tensor in one.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f":
            mean = (1 - share) * values.astype(np.float64) + share * others[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(mean.astype(values.dtype), tensor.name))
    return one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    card = json.loads(args.file.with_suffix(".json").read_text(encoding="utf-8"))
    path = args.out / args.file.name
    onnx.save(average_weights(onnx.load(args.file), onnx.load(args.other), args.share), path)
    write_card(card | file_entry(path), args.out)


if __name__ == "__main__":
    main()
