"""Model cards: what a model wants, what it gives, and whether its file is the one that was measured.

A card is a JSON file beside the ONNX file. The code knows no model by name; it reads cards.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ModelError
from ..options import Engine

ENGINES = {Engine.WHOLE.value: "whole-image", Engine.TEXTURE.value: "patch"}  # the task of each
WAYS = ("window", "strided", "dilated")  # of running a patch classifier
REPAIR = "reinstall with: python3 install.py"  # what to do where a model cannot be used
PACKAGE = Path(__file__).parent.parent  # the folder of hairmask_core


@dataclass(frozen=True)
class ModelCard:
    """What is known of one model.

    name: how the user calls it. task: "whole-image" (proxy photo in, probability map out) or "patch" (window in,
    probability of its center pixel out; see `segmentation.sliding_window`) or "matting" (see `matting.matting_network`).
    path: the ONNX file. sha256: of that file, lower-case hex. default: used when none is named.
    long_side: working scale, pixels. multiple: input sides are multiples of this.
    mean, scale: the network sees (rgb - mean) * scale, rgb in 0…1, layout NCHW, float32.
    details: the whole card as written, for people (training data, licence, accuracy …).
    matting: the card of the network that refines the map's outline (`refine_outline`), if this one names one.
    For "patch" only: window: its side, pixels; stride: pixels between the windows that the network sees in a larger
    piece; multiplications: needed for one window ("window"), and for one pixel of a large piece as it is ("strided")
    and with dilations ("dilated"); dense: the card of the same network with dilations in place of strides; coarser:
    the card of the same kind of network for a smaller copy of the photo, if there is one, and fusion: how the log
    odds of both are added up (this one's weight, the coarser one's, and a constant); pixels: the card of the
    classifier that decides uncertain pixels again, task "pixel" (`reclassify`), if there is one.
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
    matting: ModelCard | None = None
    window: int = 1
    stride: int = 1
    multiplications: dict[str, float] | None = None
    dense: ModelCard | None = None
    coarser: ModelCard | None = None
    fusion: tuple[float, float, float] = (1.0, 0.0, 0.0)
    pixels: ModelCard | None = None

    @property
    def smallest_side(self) -> int:
        """Of what the network takes, pixels."""
        return max(2 * self.multiple, self.window)


def models_folder() -> Path:
    """Where cards and ONNX files are: $HAIRMASK_MODELS, else the installed copy, else the source tree's."""
    named = os.environ.get("HAIRMASK_MODELS")
    if named:
        return Path(named)
    installed = PACKAGE / "weights"
    return installed if installed.is_dir() else PACKAGE.parent / "models"


def read_card(path: Path) -> ModelCard:
    """Read one card. Raises ModelError if the file is no valid card."""
    try:
        details = json.loads(path.read_text(encoding="utf-8"))
        wants = details["input"]
        card = ModelCard(
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
            matting=read_card(path.parent / f"{details['matting']}.json") if "matting" in details else None,
        )
        if card.task != "patch":
            return card
        return _read_parts(card, details, path.parent)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The model card {path} cannot be used ({error}): {REPAIR}") from error


def _read_parts(card: ModelCard, details: dict, folder: Path) -> ModelCard:
    """What only a patch classifier's card has."""

    def part(said: dict, **changes) -> ModelCard:
        return replace(card, matting=None, path=folder / str(said["file"]), sha256=str(said["sha256"]), **changes)

    card = replace(
        card,
        window=int(details["input"]["window"]),
        stride=int(details["input"]["stride"]),
        multiplications={way: float(details["multiplications"][way]) for way in WAYS},
    )
    parts = {"dense": part(details["dense"])}
    if "coarser" in details:
        said = details["coarser"]
        parts["coarser"] = part(said, long_side=int(said["long_side"]), dense=part(said["dense"]))
        parts["fusion"] = tuple(float(details["fusion"][key]) for key in ("fine", "coarse", "constant"))
    if "pixels" in details:
        parts["pixels"] = part(details["pixels"], task="pixel")
    return replace(card, **parts)


def find_cards(folder: Path | None = None) -> list[ModelCard]:
    """All cards in the models folder, the default first. Raises ModelError if there is none."""
    folder = folder or models_folder()
    cards = [read_card(path) for path in sorted(folder.glob("*.json"))]
    if not cards:
        raise ModelError(f"No model card in {folder}: {REPAIR}")
    return sorted(cards, key=lambda card: not card.default)


def choose_card(name: str | None = None, folder: Path | None = None, engine: str = "whole") -> ModelCard:
    """The card of that name, or the default one of the engine.

    engine: key of ENGINES. Raises ModelError if there is no such card, or if the named one is another engine's.
    """
    if engine not in ENGINES:
        raise ModelError(f"There is no engine {engine!r}: choose one of {', '.join(ENGINES)}.")
    cards = [card for card in find_cards(folder) if card.task == ENGINES[engine]]
    if not cards:
        raise ModelError(f"No model for the engine {engine} in {folder or models_folder()}: {REPAIR}")
    if name is None:
        return cards[0]
    for card in cards:
        if card.name == name:
            return card
    raise ModelError(
        f"The engine {engine} has no model {name!r}: choose one of {', '.join(card.name for card in cards)}."
    )


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
