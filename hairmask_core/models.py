"""Model cards: what a model wants, what it gives, and whether its file is the one that was measured.

A card is a JSON file beside the ONNX file. The code knows no model by name; it reads cards.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelError

REPAIR = "reinstall with: python3 install.py"


@dataclass(frozen=True)
class ModelCard:
    """What is known of one model.

    name: how the user calls it. task: "whole-image" (proxy photo in, probability map out).
    path: the ONNX file. sha256: of that file, lower-case hex. default: used when none is named.
    long_side: working scale, pixels. multiple: input sides are multiples of this.
    mean, scale: the network sees (rgb - mean) * scale, rgb in 0…1, layout NCHW, float32.
    details: the whole card as written, for people (training data, licence, accuracy …).
    """

    name: str
    task: str
    path: Path
    sha256: str
    default: bool
    long_side: int
    multiple: int
    mean: float
    scale: float
    details: dict


def models_folder() -> Path:
    """Where cards and ONNX files are: $HAIRMASK_MODELS, else the installed copy, else the source tree's."""
    named = os.environ.get("HAIRMASK_MODELS")
    if named:
        return Path(named)
    installed = Path(__file__).parent / "weights"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "models"


def read_card(path: Path) -> ModelCard:
    """Read one card. Raises ModelError if the file is no valid card."""
    try:
        details = json.loads(path.read_text(encoding="utf-8"))
        wants = details["input"]
        return ModelCard(
            name=str(details["name"]),
            task=str(details["task"]),
            path=path.parent / str(details["file"]),
            sha256=str(details["sha256"]),
            default=bool(details.get("default", False)),
            long_side=int(wants["long_side"]),
            multiple=int(wants["multiple"]),
            mean=float(wants["mean"]),
            scale=float(wants["scale"]),
            details=details,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The model card {path} cannot be used ({error}): {REPAIR}") from error


def find_cards(folder: Path | None = None) -> list[ModelCard]:
    """All cards in the models folder, the default first. Raises ModelError if there is none."""
    folder = folder or models_folder()
    cards = [read_card(path) for path in sorted(folder.glob("*.json"))]
    if not cards:
        raise ModelError(f"No model card in {folder}: {REPAIR}")
    return sorted(cards, key=lambda card: not card.default)


def choose_card(name: str | None = None, folder: Path | None = None) -> ModelCard:
    """The card of that name, or the default one. Raises ModelError if it does not exist."""
    cards = find_cards(folder)
    if name is None:
        return cards[0]
    for card in cards:
        if card.name == name:
            return card
    raise ModelError(f"There is no model {name!r}: choose one of {', '.join(card.name for card in cards)}.")


def read_weights(card: ModelCard) -> bytes:
    """The ONNX file's bytes, after checking them against the card.

    Raises ModelError if the file is missing or its SHA-256 is not the card's.
    """
    try:
        data = card.path.read_bytes()
    except OSError as error:
        raise ModelError(f"The model file {card.path} is missing or unreadable: {REPAIR}") from error
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise ModelError(
            f"The model file {card.path} was altered or damaged (its checksum is not the card's): {REPAIR}"
        )
    return data
