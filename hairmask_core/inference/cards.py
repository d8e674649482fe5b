"""Model cards: what a model wants, what it gives, and whether its files are the ones that were measured.

A card is a JSON file beside the ONNX files. The code knows no model by name; it reads cards.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..checks import REPAIR_COMMAND
from ..errors import ModelError, NoSuchModelError
from ..options import Engine

ENGINES = {Engine.WHOLE: "whole-image", Engine.TEXTURE: "patch"}  # which task of models each engine needs
WAYS = ("window", "strided", "dilated")  # of running a patch classifier
REPAIR = f"reinstall with: {REPAIR_COMMAND}"  # what to do where a model cannot be used
PACKAGE = Path(__file__).parent.parent  # the folder of hairmask_core


@dataclass(frozen=True)
class NetworkCard:
    """One network: an ONNX file, and what has to be known to run it.

    model: the name of the model it belongs to. path: the ONNX file. sha256: of that file, lower-case hex. long_side:
    working scale, pixels. multiple: input sides are multiples of this. mean, scale: the network sees (rgb - mean) *
    scale, rgb in 0…1, layout NCHW, float32. window: side in pixels of the window that each of its outputs has seen,
    for networks without padding, whose input can be cut into pieces that overlap by window - 1; 0 for all others.
    stride: pixels between those windows.
    """

    model: str
    path: Path
    sha256: str
    long_side: int
    multiple: int
    mean: float
    scale: float
    window: int = 0
    stride: int = 1

    @property
    def smallest_side(self) -> int:
        """Of an image that the network takes, pixels."""
        return max(2 * self.multiple, self.window)


@dataclass(frozen=True)
class WindowCard:
    """A patch classifier at one working scale, as two networks of the same weights.

    strided: as it was trained. dilated: with dilations in place of strides, for every pixel of a large piece.
    multiplications: needed for one window ("window"), and for one pixel of a large piece by either network.
    """

    strided: NetworkCard
    dilated: NetworkCard
    multiplications: dict[str, float]


@dataclass(frozen=True)
class ModelCard:
    """What is known of one model, whatever its task.

    name: how the user calls it. task: "whole-image" (proxy photo in, probability map out), "patch" (window in,
    probability of its center pixel out), "matting" (see `matting.matting_network`), or one that this version does not
    know. default: used when none is named. network: the first of its networks.
    details: the whole card as written, for people (training data, licence, accuracy …).
    """

    name: str
    task: str
    default: bool
    details: dict
    network: NetworkCard

    @property
    def networks(self) -> tuple[NetworkCard, ...]:
        """All networks that belong to the model."""
        return (self.network,)


@dataclass(frozen=True)
class WholeImageCard(ModelCard):
    """A network that sees people as a whole. matting: the model that refines its map's outline, if it names one."""

    matting: ModelCard | None = None

    @property
    def networks(self) -> tuple[NetworkCard, ...]:
        return (self.network, *(self.matting.networks if self.matting else ()))


@dataclass(frozen=True)
class PatchCard(ModelCard):
    """A classifier of small windows.

    fine: at the model's own working scale. coarser: for a smaller copy of the photo, if there is one. fusion: how the
    log odds of both are added up (the fine one's weight, the coarser one's, and a constant).
    pixels: the classifier that decides uncertain pixels again (`reclassify`), if there is one.
    """

    fine: WindowCard
    coarser: WindowCard | None = None
    fusion: tuple[float, float, float] = (1.0, 0.0, 0.0)
    pixels: NetworkCard | None = None

    @property
    def networks(self) -> tuple[NetworkCard, ...]:
        scales = [scale for scale in (self.fine, self.coarser) if scale]
        return (*(n for s in scales for n in (s.strided, s.dilated)), *([self.pixels] if self.pixels else []))


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
        network = NetworkCard(
            model=str(details["name"]),
            path=path.parent / str(details["file"]),
            sha256=str(details["sha256"]),
            long_side=int(wants["long_side"]),
            multiple=int(wants["multiple"]),
            mean=float(wants["mean"]),
            scale=float(wants["scale"]),
        )
        task = str(details["task"])
        card = ModelCard(network.model, task, bool(details.get("default", False)), details, network)
        return CARD_READERS[task](card, path.parent) if task in CARD_READERS else card
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The model card {path} cannot be used ({error}): {REPAIR}") from error


def _read_whole_image_card(card: ModelCard, folder: Path) -> WholeImageCard:
    named = card.details.get("matting")
    return WholeImageCard(**vars(card), matting=None if named is None else read_card(folder / f"{named}.json"))


def _read_patch_card(card: ModelCard, folder: Path) -> PatchCard:
    details = card.details
    network = replace(card.network, window=int(details["input"]["window"]), stride=int(details["input"]["stride"]))
    multiplications = {way: float(details["multiplications"][way]) for way in WAYS}

    def named(said: dict, like: NetworkCard) -> NetworkCard:
        return replace(like, path=folder / str(said["file"]), sha256=str(said["sha256"]))

    fine = WindowCard(network, named(details["dense"], network), multiplications)
    coarser, fusion = None, (1.0, 0.0, 0.0)
    if "coarser" in details:
        said, weights = details["coarser"], details["fusion"]
        strided = replace(named(said, network), long_side=int(said["long_side"]))
        coarser = WindowCard(strided, named(said["dense"], strided), multiplications)
        fusion = float(weights["fine"]), float(weights["coarse"]), float(weights["constant"])
    pixels = named(details["pixels"], card.network) if "pixels" in details else None
    return PatchCard(card.name, card.task, card.default, details, network, fine, coarser, fusion, pixels)


# What is read of a card beside what all have, by task.
CARD_READERS: dict[str, Callable[[ModelCard, Path], ModelCard]] = {
    "whole-image": _read_whole_image_card,
    "patch": _read_patch_card,
}


def find_cards(folder: Path | None = None) -> list[ModelCard]:
    """All cards in the models folder, the default first. Raises ModelError if there is none."""
    folder = folder or models_folder()
    cards = [read_card(path) for path in sorted(folder.glob("*.json"))]
    if not cards:
        raise ModelError(f"No model card in {folder}: {REPAIR}")
    return sorted(cards, key=lambda card: not card.default)


def choose_card(name: str | None = None, folder: Path | None = None, engine: str = Engine.WHOLE.value) -> ModelCard:
    """The card of that name, or the default one of the engine.

    engine: an Engine or its value. Raises ModelError if there is no such engine or no card for it, NoSuchModelError if
    it has none of that name.
    """
    if engine not in ENGINES:
        raise ModelError(f"There is no engine {engine!r}: choose one of {', '.join(each.value for each in ENGINES)}.")
    engine = Engine(engine)
    cards = [card for card in find_cards(folder) if card.task == ENGINES[engine]]
    if not cards:
        raise ModelError(f"No model for the engine {engine.value} in {folder or models_folder()}: {REPAIR}")
    if name is None:
        return cards[0]
    for card in cards:
        if card.name == name:
            return card
    names = ", ".join(card.name for card in cards)
    raise NoSuchModelError(f"The engine {engine.value} has no model {name!r}: choose one of {names}.")


def read_weights(card: NetworkCard) -> bytes:
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
