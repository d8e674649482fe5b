"""Milliseconds for the hair probability of one photo, proxies and resizing included, against a single pass.

    python benchmarks/segment.py [--quick] [--model NAME] [--device cpu] [--json FILE]

The photos are made from scikit-image's portrait of an astronaut: as it is, enlarged to 2 and 24 megapixels, small
in a full-body picture, and five times in a group. Each is measured in turn with the model's "fast" and "best"
quality and, as a baseline, by one pass of the same network over the whole photo at its working scale; the map comes
back at the photo's size, unrefined. Medians over the runs; `ms_per_photo` is the mean of the photos' medians.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from hairmask_core.inference.network import Network
from hairmask_core.matting.upsampling import enlarge_map
from hairmask_core.photo.pixels import Photo
from hairmask_core.photo.proxy import make_proxy, proxy_size
from hairmask_core.pipeline import find_hair
from hairmask_core.segmentation.segmenter import open_model
from hairmask_core.segmentation.whole_image import QUALITIES, segment

BASELINE = "one pass"


def photos() -> dict[str, Photo]:
    """Photos of several kinds, by name."""
    portrait = skimage.data.astronaut()
    wall = cv2.resize(skimage.data.brick(), (1250, 1875), interpolation=cv2.INTER_CUBIC)[..., None].repeat(3, 2)
    full_body, group = wall.copy(), np.ascontiguousarray(wall.swapaxes(0, 1))
    head = cv2.resize(portrait, (200, 200), interpolation=cv2.INTER_AREA)
    full_body[150:350, 500:700] = head
    for i in range(5):
        group[300 + 90 * i : 500 + 90 * i, 100 + 340 * i : 300 + 340 * i] = head
    pictures = {
        "portrait, 0.26 MP": portrait,
        "portrait, 2 MP": cv2.resize(portrait, (1448, 1448), interpolation=cv2.INTER_CUBIC),
        "full body, 2.3 MP": full_body,
        "group of five, 2.3 MP": group,
        "portrait, 24 MP": cv2.resize(portrait, (4900, 4900), interpolation=cv2.INTER_CUBIC),
    }
    return {name: Photo(np.ascontiguousarray(rgb)) for name, rgb in pictures.items()}


def one_pass(photo: Photo, network: Network) -> np.ndarray:
    """The whole photo at the model's working scale, once: what the network costs by itself."""
    card = network.card
    proxy = make_proxy(photo, proxy_size(photo.width, photo.height, card.long_side, card.multiple))
    return enlarge_map(segment(proxy, network), photo.width, photo.height)


def milliseconds(methods: dict[str, Callable[[Photo], object]], photo: Photo, runs: int) -> dict[str, float]:
    """Median time of each method, measured in turns so that a busy moment falls on all of them."""
    found = {name: [] for name in methods}
    for run in range(runs + 1):
        for name, method in methods.items():
            began = time.perf_counter()
            method(photo)
            if run:  # the first is for warming up
                found[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs; under 50 seconds on 2 cores")
    parser.add_argument("--model", help="a model's name; the default one otherwise")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    model = open_model(args.model, device=args.device)
    for notice in model.notices:
        print(notice)
    methods = {
        quality: functools.partial(lambda adjusted, photo: find_hair(photo, adjusted, False), model.adjusted(quality))
        for quality in QUALITIES
    }
    methods[BASELINE] = lambda photo: one_pass(photo, model.network)
    table = {name: milliseconds(methods, photo, 5 if args.quick else 25) for name, photo in photos().items()}
    mean = {method: statistics.mean(row[method] for row in table.values()) for method in methods}

    print(f"{model.card.name} on {model.device}, milliseconds")
    print(f"  {'':<24}" + "".join(f"{method:>14}" for method in methods))
    for name, row in (table | {"mean": mean}).items():
        print(f"  {name:<24}" + "".join(f"{row[method]:14.1f}" for method in methods))
    result = {
        "model": model.card.name,
        "device": model.device,
        "ms_per_photo": mean["fast"],
        "ms_per_photo_best": mean["best"],
        "ms_per_photo_one_pass": mean[BASELINE],
        "ratio_to_one_pass": mean["fast"] / mean[BASELINE],
        "model_mb": model.card.network.path.stat().st_size / 1e6,
        "photos": table,
    }
    print(f"  fast takes {result['ratio_to_one_pass']:.2f} times as long as {BASELINE}")
    print(f"  {result['model_mb']:.1f} MB on disk")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
