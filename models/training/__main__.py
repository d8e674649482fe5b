"""Train a network and write it as a model of the product: python -m models.training NAME --data DATA --out RUNS

Started again after an interruption, it goes on from the last checkpoint in RUNS.
"""

import argparse
from pathlib import Path

import cv2

from . import matting, patch_classifiers, whole_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*whole_image.RECIPES, patch_classifiers.NAME, matting.NAME])
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see datasets.py)")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go, one folder a network")
    parser.add_argument("--models", type=Path, help="where model and card go; beside the checkpoint otherwise")
    parser.add_argument("--start", type=Path, metavar="FILE.onnx", help="an exported network to begin with")
    parser.add_argument("--samples", type=Path, help=f"rendered hair for {matting.NAME} (see matting_samples.py)")
    args = parser.parse_args()
    if args.start and args.name == patch_classifiers.NAME:
        parser.error(f"{args.name} cannot start from an exported network.")
    if (args.name == matting.NAME) != bool(args.samples):
        parser.error(f"{matting.NAME}, and it alone, needs --samples.")
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    out = args.out / args.name
    models = args.models or out
    if args.name == matting.NAME:
        matting.make(args.data, args.samples, out, models, args.start)
    elif args.name == patch_classifiers.NAME:
        patch_classifiers.make(args.data, args.out, models)
    else:
        whole_image.make(whole_image.RECIPES[args.name], args.data, out, models, args.start)


if __name__ == "__main__":
    main()
