"""One ONNX Runtime session: one network on one device."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

# From version 1.29 on, ONNX Runtime reports its use to its maker unless told otherwise before it is
# loaded. A user's photos and habits are nobody's business.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
try:
    import onnxruntime as ort
except ModuleNotFoundError:  # its builds exclude each other, so the package comes without one
    ort = None
from ..errors import ModelError  # noqa: E402
from ..options import Device  # noqa: E402
from .cards import NetworkCard  # noqa: E402

if ort:
    ort.disable_telemetry_events()  # the same on Windows, where the variable is not read

NO_RUNTIME = "ONNX Runtime, which runs the networks, is missing: run  hairmask gimp install  or install onnxruntime."
# Execution providers by device, in the order in which "auto" tries them.
PROVIDERS = {
    Device.CUDA: "CUDAExecutionProvider",
    Device.DIRECTML: "DmlExecutionProvider",
    Device.COREML: "CoreMLExecutionProvider",
    Device.CPU: "CPUExecutionProvider",
}


@dataclass(frozen=True)
class Session:
    """One network on one device that was seen to run it. device: a Device's value, not "auto"."""

    card: NetworkCard
    device: str
    runtime: ort.InferenceSession

    def run(self, x: np.ndarray) -> np.ndarray:
        """The network's first output, float32, of what its card wants: (n, 3, h, w) float32, mostly.

        Raises whatever ONNX Runtime and the device's driver raise: `Network.run` knows what to do then.
        """
        return self.runtime.run(None, {self.runtime.get_inputs()[0].name: x})[0]


def available_devices() -> list[str]:
    """Devices that this build of ONNX Runtime could use, best first; whether they work, `start_session` finds out.

    Raises ModelError if there is no ONNX Runtime.
    """
    if ort is None:
        raise ModelError(NO_RUNTIME)
    present = ort.get_available_providers()
    return [device.value for device, provider in PROVIDERS.items() if provider in present]


def start_session(card: NetworkCard, weights: bytes, device: str) -> Session:
    """Load a network on a device, and run it once to be sure.

    weights: the bytes of its ONNX file. device: one of `available_devices`. Raises whatever ONNX Runtime raises, and
    RuntimeError if it took another device.
    """
    if device == Device.CUDA and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds the CUDA and cuDNN libraries that pip installed beside the runtime
    options = ort.SessionOptions()
    # Idle threads that spin keep the cores from OpenCV and from GIMP; without, a photo takes a quarter less.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # failures come as exceptions; the log would say them twice
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    if device == Device.DIRECTML:  # required by that provider
        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    provider = PROVIDERS[Device(device)]
    runtime = ort.InferenceSession(weights, options, providers=[provider])
    # ONNX Runtime itself falls back without an exception when a provider's library does not load.
    if provider not in runtime.get_providers():
        raise RuntimeError("its libraries did not load")
    session = Session(card, device, runtime)
    wanted = runtime.get_inputs()[0].shape  # (n, channels, height, width), or (n, features); names stand for free sizes
    session.run(np.zeros((1, wanted[1], *[card.smallest_side] * len(wanted[2:])), np.float32))
    return session


def lacks_memory(error: Exception) -> bool:
    """Whether memory is what was missing: numpy says so by type, ONNX Runtime, its devices and OpenCV in words."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in ("memory", "alloc"))
