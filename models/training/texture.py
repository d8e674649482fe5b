"""The texture engine's model: two patch classifiers, how their maps are added up, and the classifier of pixels.

python -m models.training.texture --data DATA --out RUNS [--models models]

Run again after an interruption, it goes on from the last checkpoint. With the classifiers trained, their maps of
training photos tell how to add them up (logistic regression), and the sum's uncertain pixels teach the classifier of
pixels (see uncertain.py).
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

from hairmask_core.evaluation.evaluate import read_mask
from hairmask_core.inference.cards import choose_card
from hairmask_core.inference.session import Session, open_session
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.proxy import make_proxy, proxy_size
from hairmask_core.options import DEFAULT_STEP
from hairmask_core.segmentation.patch import context_map, log_odds
from hairmask_core.segmentation.sliding_window import dense_map, interpolate_map

from . import uncertain
from .data import DATASETS
from .measure import format_tables, measure
from .patch_export import describe_files, write_card, write_graphs
from .patches import SETS, PatchRecipe, cut_windows, read_checkpoint, read_photos, train
from .recipes import RESEARCH_TERMS

NAME = "hair-texture"
FAMILY = "mobilenetv2"  # see MODELS.md: the most accurate of the five
FINE = PatchRecipe(NAME, FAMILY, SETS, steps=2400)
COARSER = PatchRecipe(f"{NAME}-coarser", FAMILY, SETS, steps=1900, long_side=160, seed=12)
PHOTOS = {**uncertain.SETS, "nohair": 60}  # what comes after the classifiers learns from half of so many
PER_PHOTO = 300  # pixels that the sum is fitted on


def sample_odds(pairs: list, session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Log odds of both classifiers at random pixels of the photos (n, 2) and what they are (n,) bool."""
    rng, odds, hair = np.random.default_rng(7), [], []
    for pair in pairs:
        photo, truth = read_photo(pair.image), read_mask(pair.mask)
        size = proxy_size(photo.width, photo.height, session.card.long_side, 1)
        fine = interpolate_map(
            dense_map(make_proxy(photo, size), session, DEFAULT_STEP), DEFAULT_STEP, size[1], size[0]
        )
        coarse = context_map(photo, session.coarser, 1, size)
        chosen = rng.integers(fine.size, size=PER_PHOTO)
        odds.append(np.stack([log_odds(p.reshape(-1)[chosen]) for p in (fine, coarse)], axis=1))
        truth = cv2.resize(truth.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        hair.append(truth.reshape(-1)[chosen] > 0.5)
    return np.concatenate(odds), np.concatenate(hair)


def fit_fusion(odds: np.ndarray, hair: np.ndarray) -> dict[str, float]:
    """Weights of the two log odds (n, 2) and the constant that tell hair (n,) best, as the card wants them.

    The constant also takes the classifiers from the balanced windows that they learned from to photos as they are.
    """
    model = LogisticRegression(C=np.inf).fit(odds, hair)
    fine, coarse = (round(float(weight), 4) for weight in model.coef_[0])
    return {"fine": fine, "coarse": coarse, "constant": round(float(model.intercept_[0]), 4)}


def build(data: Path, checkpoints: tuple[Path, Path], out: Path, datasets=DATASETS) -> None:
    """Write the graphs and the card, `out/NAME*`, with the figures of the validation photos."""
    cv2.setNumThreads(2)
    networks = [read_checkpoint(recipe, path) for recipe, path in zip((FINE, COARSER), checkpoints)]
    fine, coarser = (write_graphs(n, out, recipe.name) for n, recipe in zip(networks, (FINE, COARSER)))
    details = {
        "label": "Texture",
        "description": "35x35 windows judged one by one, at two scales "
        f"({FAMILY}, {sum(p.numel() for n in networks for p in n.parameters())} parameters in all)",
        "default": False,
        "training": f"python -m models.training.texture: {FINE.steps} and {COARSER.steps} steps of {FINE.batch} pieces",
        "training_data": sorted(SETS),
        "terms": RESEARCH_TERMS,
        "coarser": {**describe_files(coarser), "long_side": COARSER.long_side},
        "fusion": {"fine": 1.0, "coarse": 0.0, "constant": 0.0},
    }

    def session(**more) -> Session:
        details.update(more)
        write_card(networks[0], fine, FINE.long_side, details)
        return open_session(choose_card(NAME, out, "texture"), "cpu")

    photos = uncertain.choose_photos(data, PHOTOS)[::2]
    odds, hair = sample_odds(photos[::2], session())
    with_sum = session(fusion=fit_fusion(odds, hair))
    print(details["fusion"], flush=True)
    features, _, truth = uncertain.read_pixels(photos, with_sum)
    pixels = out / f"{NAME}-pixels.onnx"
    network = uncertain.train(features, truth)
    print(f"bias of the second classifier {uncertain.tune(network, photos[::2], with_sum)}", flush=True)
    uncertain.write_onnx(network, pixels)
    whole = session(pixels={"file": pixels.name, "sha256": hashlib.sha256(pixels.read_bytes()).hexdigest()})
    figures = measure(whole, data, datasets=datasets)
    print(format_tables(figures))
    size = sum(path.stat().st_size for path in (*fine, *coarser, pixels))
    session(accuracy=figures, megabytes=round(size / 1e6, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see data.py)")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go, one folder a network")
    parser.add_argument("--models", type=Path, help="where models and card go; beside the checkpoint otherwise")
    args = parser.parse_args()
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    training, held_out = read_photos(args.data, SETS)
    checkpoints = []
    for recipe in (COARSER, FINE):
        windows, labels = cut_windows(held_out, recipe.long_side)
        checkpoints.insert(0, train(recipe, training, windows, labels, args.out / recipe.name))
    del training, held_out  # several gigabytes
    build(args.data, tuple(checkpoints), args.models or args.out / NAME)


if __name__ == "__main__":
    main()
