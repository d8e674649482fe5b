"""What every way of finding hair has in common, and which there are.

A new model is a card. A new kind of model is a file here with one class as this protocol describes, a line in
SEGMENTERS, and what its card says in `inference.cards`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..inference.cards import ModelCard, choose_card
from ..inference.network import Network
from ..options import DEFAULT_STEP, Device, Engine, Quality
from ..photo.pixels import Photo
from .patch import PatchSegmenter
from .regions import Crop
from .whole_image import WholeImageSegmenter


class Segmenter(Protocol):
    """A loaded model that says where in a photo hair is.

    It owns the sessions of its networks; where a device fails, the networks see to it that the work goes on. Photos are
    given to it one after the other.
    """

    @property
    def card(self) -> ModelCard:
        """The model's card."""

    @property
    def device(self) -> str:
        """Where it runs at the moment: the value of a Device, not "auto"."""

    @property
    def settings(self) -> dict[str, str | int]:
        """What beside photo, model and device decides what it finds, by the names of `Options`."""

    @property
    def refiner(self) -> Network | None:
        """The network that follows the outline strand by strand, where the model and the settings want that."""

    @property
    def notices(self) -> list[str]:
        """Sentences for the user that no answer has told yet: of devices that did not start, at first."""

    def adjusted(self, quality: str | None = None, step: int | None = None) -> Segmenter:
        """The same loaded networks with other settings: of these, those that it has, and that are not None.

        Raises ValueError for a value that cannot be.
        """

    def predict(
        self,
        photo: Photo,
        report: Callable[[float], None] = lambda fraction: None,
        notices: list[str] | None = None,
    ) -> list[Crop]:
        """Probability maps of the regions of the photo that may hold hair; elsewhere there is none. One map at least.

        report: called with the fraction done, 0…1; may raise to stop the work. notices: where sentences for the user
        are added, if a device fails; its own without. Raises ModelError if the model cannot run, MemoryError if memory
        is short.
        """


# The segmenters by the tasks of models, see `ModelCard`.
SEGMENTERS: dict[str, Any] = {
    "whole-image": WholeImageSegmenter,
    "patch": PatchSegmenter,
}


def open_segmenter(
    card: ModelCard, device: str = Device.AUTO.value, quality: str | None = None, step: int | None = None
) -> Segmenter:
    """Load the networks of a card as its task's segmenter.

    device: a Device or its value. quality, step: see `Segmenter.adjusted`. Raises ModelError if a file is missing or
    altered or no device runs it, ValueError for a quality or a step that cannot be.
    """
    return SEGMENTERS[card.task].open(card, device).adjusted(quality, step)


def open_model(
    name: str | None = None,
    *,
    engine: str = Engine.WHOLE.value,
    quality: str = Quality.FAST.value,
    step: int = DEFAULT_STEP,
    device: str = Device.AUTO.value,
    folder: Path | None = None,
) -> Segmenter:
    """Load a model that finds hair.

    Parameters
    ----------
    name : str, optional
        The model; ``hairmask info`` lists them. By default the engine's most accurate one.
    engine : {"whole", "texture"}
        "whole" sees people as a whole. "texture" judges windows of 35 x 35 pixels one by one, for wigs, close-ups and
        strands without a head.
    quality : {"fast", "best"}
        Of the engine "whole": how closely it looks. "best" also follows the outline strand by strand.
    step : int
        Of the engine "texture": pixels between windows, 1 to 35.
    device : {"auto", "cuda", "directml", "coreml", "cpu"}
        Where its networks run. A device that is absent or fails is left for the next one, which `Hair.notices` tells.
    folder : pathlib.Path, optional
        Where the model's card and files are, if not where they were installed.

    Returns
    -------
    Segmenter
        For `find_hair`. Loading takes a tenth of a second or more, so keep it for the next photo.

    Raises
    ------
    ModelError
        If there is no such model, engine or device, or the model's files are missing or altered.
    ValueError
        For a quality or a step that cannot be.

    Examples
    --------
    >>> model = open_model(quality="best", device="cpu")
    >>> model.card.name, model.device, model.settings
    ('hair-u-lite2', 'cpu', {'quality': 'best'})
    """
    return open_segmenter(choose_card(name, folder, engine), device, quality, step)
