"""Train a network and write it as a model of the product: python -m models.training NAME --data DATA --out RUNS"""

import argparse
from pathlib import Path

from .export import export
from .network import imagenet_file
from .recipes import RECIPES
from .train import train


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
    imagenet = args.imagenet or (imagenet_file(recipe.encoder) if recipe.start == "imagenet" else None)
    checkpoint = train(recipe, args.data, imagenet, args.out / recipe.name)
    export(recipe, checkpoint, args.data, args.models or args.out / recipe.name)


if __name__ == "__main__":
    main()
