"""One ONNX Runtime session: which execution provider runs it, and what happens when that one fails."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np

# From version 1.29 on, ONNX Runtime reports its use to its maker unless told otherwise before it is
# loaded. A user's photos and habits are nobody's business.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort  # noqa: E402

from ..errors import ModelError  # noqa: E402
from ..options import Device  # noqa: E402
from .cards import REPAIR, ModelCard, read_weights  # noqa: E402

ort.disable_telemetry_events()  # the same on Windows, where the variable is not read

# Devices in the order in which "auto" tries them.
PROVIDERS = {
    Device.CUDA.value: "CUDAExecutionProvider",
    Device.DIRECTML.value: "DmlExecutionProvider",
    Device.COREML.value: "CoreMLExecutionProvider",
    Device.CPU.value: "CPUExecutionProvider",
}
DEVICES = tuple(device.value for device in Device)  # what users may ask for
PARTS = ("matting", "dense", "coarser", "pixels")  # of a card, each a network of its own


@dataclass
class Session:
    """A loaded model on a device that was seen to run it.

    device: key of PROVIDERS. notices: sentences for the user, one for each device that was passed over.
    matting, dense, coarser, pixels: the other networks of its card, where it names them; they share the notices.
    """

    card: ModelCard
    weights: bytes
    device: str
    runtime: ort.InferenceSession
    notices: list[str] = field(default_factory=list)
    matting: Session | None = None
    dense: Session | None = None
    coarser: Session | None = None
    pixels: Session | None = None

    def run(self, x: np.ndarray) -> np.ndarray:
        """Run the network: (n, 3, h, w) float32, or whatever its card wants -> its first output, float32.

        A device that lacks memory gets the input in two pieces, and those in two again, wherever that gives the same
        numbers (`split_input`). A device that lacks memory still, or fails otherwise (driver reset), is left for the CPU.
        Either leaves a sentence in `notices`. A whole-image network sees a photo as one piece: it goes to the CPU at
        once, where it takes a fraction of a second, rather than see less.

        Raises ModelError if the CPU fails as well, MemoryError if that is for lack of memory.
        """
        try:
            return self.runtime.run(None, {self.runtime.get_inputs()[0].name: x})[0]
        except Exception as error:
            pieces = split_input(x, self.card) if lacks_memory(error) else None
            if pieces:
                self._notice(f"{self.device} ran out of memory, so smaller tiles were used.")
                first, second, axis = pieces
                return np.concatenate([self.run(first), self.run(second)], axis)
            if self.device == "cpu" and lacks_memory(error):
                raise MemoryError(_first_line(error)) from error
            if self.device == "cpu":
                raise ModelError(
                    f"The model {self.card.name} failed to run ({_first_line(error)}): {REPAIR}"
                ) from error
            self._notice(f"{self.device} failed while running ({_first_line(error)}), so the CPU was used.")
            self.runtime, self.device = _start(self.weights, "cpu"), "cpu"
            return self.run(x)

    def _notice(self, sentence: str) -> None:
        if sentence not in self.notices:
            self.notices.append(sentence)


def split_input(x: np.ndarray, card: ModelCard) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Two pieces of a network's input and the axis along which their outputs join to the output of the whole.

    x: (n, …). Several inputs are divided among the pieces. One input of a patch classifier, (1, 3, h, w), which has no
    padding inside, is cut in two along its longer side, so that each window lies in one piece as a whole.
    Returns None if the output would be another, or if there is nothing left to split.
    """
    if len(x) > 1:
        return x[: len(x) // 2], x[len(x) // 2 :], 0
    if card.task != "patch":
        return None
    axis = 2 if x.shape[2] >= x.shape[3] else 3
    middle = (x.shape[axis] - card.window + 1) // 2 // card.stride * card.stride  # the second piece's first window
    if middle == 0:
        return None
    first, second = range(middle + card.window - 1), range(middle, x.shape[axis])
    return x.take(first, axis), x.take(second, axis), axis


def lacks_memory(error: Exception) -> bool:
    """Whether memory is what was missing: numpy says so by type, ONNX Runtime, its devices and OpenCV in words."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in ("memory", "alloc"))


def available_devices() -> list[str]:
    """Devices that this build of ONNX Runtime could use, best first; whether they work, `open_session` finds out."""
    present = ort.get_available_providers()
    return [device for device, provider in PROVIDERS.items() if provider in present]


def open_session(card: ModelCard, device: str = "auto") -> Session:
    """Load a model on the requested device, else on the next that works, and run it once to be sure.

    device: "auto" or a key of PROVIDERS. A named device that is absent or fails leaves a sentence in
    the session's `notices`; with "auto", devices that are absent leave none.

    Raises ModelError for an unknown device, for a missing or altered model file, and if no device runs it.
    """
    if device not in DEVICES:
        raise ModelError(f"There is no device {device!r}: choose one of {', '.join(DEVICES)}.")
    return _open(card, device, [])


def _open(card: ModelCard, device: str, notices: list[str]) -> Session:
    weights = read_weights(card)
    candidates = available_devices()
    if device != "auto":
        if device not in candidates:
            notices.append(f"{device} is not available in this installation of ONNX Runtime, so the CPU was used.")
        candidates = [device] if device in candidates else []
    for candidate in dict.fromkeys([*candidates, "cpu"]):
        try:
            runtime = _start(weights, candidate)
            _warm_up(runtime, card)
            parts = {part: getattr(card, part) for part in PARTS}
            sessions = {part: _open(other, candidate, notices) for part, other in parts.items() if other}
            return Session(card, weights, candidate, runtime, notices, **sessions)
        except Exception as error:
            if candidate == "cpu":
                raise ModelError(
                    f"The model {card.name} does not run on this machine ({_first_line(error)}): {REPAIR}"
                ) from error
            notices.append(f"{candidate} did not start ({_first_line(error)}), so the next device was used.")
    raise AssertionError("the loop ends with the CPU")


def _start(weights: bytes, device: str) -> ort.InferenceSession:
    if device == "cuda" and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds the CUDA and cuDNN libraries that pip installed beside the runtime
    options = ort.SessionOptions()
    # Idle threads that spin keep the cores from OpenCV and from GIMP; without, a photo takes a quarter less.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # failures come as exceptions; the log would say them twice
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    if device == "directml":  # required by that provider
        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    runtime = ort.InferenceSession(weights, options, providers=[PROVIDERS[device]])
    # ONNX Runtime itself falls back without an exception when a provider's library does not load.
    if PROVIDERS[device] not in runtime.get_providers():
        raise RuntimeError("its libraries did not load")
    return runtime


def _warm_up(runtime: ort.InferenceSession, card: ModelCard) -> None:
    wanted, side = runtime.get_inputs()[0], card.smallest_side
    shape = (1, wanted.shape[1]) if card.task == "pixel" else (1, wanted.shape[1], side, side)
    runtime.run(None, {wanted.name: np.zeros(shape, np.float32)})


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
