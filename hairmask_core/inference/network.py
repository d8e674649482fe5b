"""A network that goes on running: which device it is given, and what happens when that one fails.

What a user should hear of it are sentences, `notices`, that belong to one answer: `Network.telling` says to which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import ModelError
from ..options import Device
from .cards import REPAIR, NetworkCard, read_weights
from .session import Session, available_devices, lacks_memory, start_session


@dataclass
class InUse:
    """The session that a network runs in at the moment: another one, on the CPU, after its device has failed."""

    session: Session


@dataclass(frozen=True)
class Network:
    """A network on the best device that still runs it.

    notices: where sentences for the user go: that a device was passed over, or failed. in_use: shared by all that tell
    elsewhere, so that a device that failed once is not tried again.
    """

    weights: bytes
    in_use: InUse
    notices: list[str]

    @property
    def card(self) -> NetworkCard:
        return self.in_use.session.card

    @property
    def device(self) -> str:
        """Where it runs at the moment, a Device's value."""
        return self.in_use.session.device

    def telling(self, notices: list[str]) -> Network:
        """The same network, whose sentences for the user go to another list: that of one answer."""
        return replace(self, notices=notices)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Run the network: (n, 3, h, w) float32, or whatever its card wants -> its first output, float32.

        A device that lacks memory gets the input in two pieces, and those in two again, wherever that gives the same
        numbers (`split_input`). A device that lacks memory still, or fails otherwise (driver reset), is left for the
        CPU for good. Either leaves a sentence in `notices`. A whole-image network sees a photo as one piece: it goes
        to the CPU at once, where it takes a fraction of a second, rather than see less.

        Raises ModelError if the CPU fails as well, MemoryError if that is for lack of memory.
        """
        session = self.in_use.session
        try:
            return session.run(x)
        except Exception as error:
            pieces = split_input(x, self.card) if lacks_memory(error) else None
            if pieces:
                self._tell(f"{session.device} ran out of memory, so smaller tiles were used.")
                first, second, axis = pieces
                return np.concatenate([self.run(first), self.run(second)], axis)
            if session.device == Device.CPU and lacks_memory(error):
                raise MemoryError(_first_line(error)) from error
            if session.device == Device.CPU:
                raise ModelError(
                    f"The model {self.card.model} failed to run ({_first_line(error)}): {REPAIR}"
                ) from error
            self._tell(f"{session.device} failed while running ({_first_line(error)}), so the CPU was used.")
            self.in_use.session = start_session(self.card, self.weights, Device.CPU.value)
            return self.run(x)

    def _tell(self, sentence: str) -> None:
        if sentence not in self.notices:
            self.notices.append(sentence)


def open_network(card: NetworkCard, device: str = Device.AUTO.value, notices: list[str] | None = None) -> Network:
    """Load a network on the requested device, else on the next that works.

    device: a Device or its value. A named device that is absent or fails leaves a sentence in `notices`; with "auto",
    devices that are absent leave none.

    Raises ModelError for an unknown device, for a missing or altered file, and if no device runs it.
    """
    if device not in list(Device):
        names = ", ".join(each.value for each in Device)
        raise ModelError(f"There is no device {device!r}: choose one of {names}.")
    notices = [] if notices is None else notices
    weights, candidates = read_weights(card), available_devices()
    if device != Device.AUTO:
        named = Device(device).value
        if named not in candidates:
            notices.append(f"{named} is not available in this installation of ONNX Runtime, so the CPU was used.")
        candidates = [named] if named in candidates else []
    for candidate in dict.fromkeys([*candidates, Device.CPU.value]):
        try:
            return Network(weights, InUse(start_session(card, weights, candidate)), notices)
        except Exception as error:
            if candidate == Device.CPU:
                raise ModelError(
                    f"The model {card.model} does not run on this machine ({_first_line(error)}): {REPAIR}"
                ) from error
            notices.append(f"{candidate} did not start ({_first_line(error)}), so the next device was used.")
    raise AssertionError("the loop ends with the CPU")


def split_input(x: np.ndarray, card: NetworkCard) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Two pieces of a network's input and the axis along which their outputs join to the output of the whole.

    x: (n, …). Several inputs are divided among the pieces. One input of a network that has windows, (1, 3, h, w), is
    cut in two along its longer side, so that each window lies in one piece as a whole. Returns None if the output
    would be another, or if there is nothing left to split.
    """
    if len(x) > 1:
        return x[: len(x) // 2], x[len(x) // 2 :], 0
    if not card.window:
        return None
    axis = 2 if x.shape[2] >= x.shape[3] else 3
    middle = (x.shape[axis] - card.window + 1) // 2 // card.stride * card.stride  # the second piece's first window
    if middle == 0:
        return None
    first, second = range(middle + card.window - 1), range(middle, x.shape[axis])
    return x.take(first, axis), x.take(second, axis), axis


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
