"""Train a network and write it as a model of the product: python -m models.training NAME --data DATA --out RUNS"""

import argparse
from pathlib import Path

from .export import export
from .network import imagenet_file
from .recipes import RECIPES, Recipe
from .train import train


def run(recipe: Recipe, data: Path, out: Path, imagenet: Path | None) -> Path:
    """Train by the recipe, and before that by the one whose encoder it starts from; returns the checkpoint."""
    if recipe.start in RECIPES:
        start = run(RECIPES[recipe.start], data, out, imagenet)
    else:
        start = imagenet or (imagenet_file(recipe.encoder) if recipe.start == "imagenet" else None)
    return train(recipe, data, start, out / recipe.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see data.py)")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go, one folder a network")
    parser.add_argument("--models", type=Path, help="where model and card go; beside the checkpoint otherwise")
    parser.add_argument(
        "--imagenet", type=Path, help="MobileNetV2's weights; EfficientNet-Lite's are found by themselves"
    )
    args = parser.parse_args()
    recipe = RECIPES[args.name]
    checkpoint = run(recipe, args.data, args.out, args.imagenet)
    export(recipe, checkpoint, args.data, args.models or args.out / recipe.name)


if __name__ == "__main__":
    main()
