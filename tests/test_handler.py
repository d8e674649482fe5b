"""The request handler: what it remembers, and in which answer the user hears of a failing device."""

import numpy as np
import onnxruntime as ort
import pytest

from hairmask_core.errors import Cancelled
from hairmask_core.options import Options, PixelFormat, Request
from hairmask_core.server.handler import Handler

NOTICE = "cuda failed while running (CUDA driver was reset), so the CPU was used."


@pytest.fixture
def failing_card(monkeypatch):
    """A graphics card that starts, and then fails; returns how often it was asked for more than that."""
    asked, real = [], ort.InferenceSession

    class Card:
        def __init__(self, weights, options, providers):
            self.is_card = providers == ["CUDAExecutionProvider"]
            self.runtime = real(weights, options, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return ["CUDAExecutionProvider" if self.is_card else "CPUExecutionProvider"]

        def get_inputs(self):
            return self.runtime.get_inputs()

        def run(self, names, inputs):
            if self.is_card and max(x.size for x in inputs.values()) > 3 * 100 * 100:
                asked.append(1)
                raise RuntimeError("CUDA driver was reset")
            return self.runtime.run(names, inputs)

    monkeypatch.setattr(ort, "InferenceSession", Card)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    return asked


def ask(handler, rgb, report=lambda done, text: None, **options):
    """The handler's answer to a request for a layer."""
    options = Options(**{"shade": "blue", "force": True, **options})
    request = Request.of_layer(options, rgb.shape[1::-1], PixelFormat.U8, PixelFormat.U8, alpha=False)
    (handler.directory / request.pixels).write_bytes(rgb.tobytes())
    return handler.recolor(request, report)


def test_a_failing_device_is_told_with_the_hair_that_was_found_meanwhile(failing_card, astronaut, tmp_path):
    handler = Handler(tmp_path)
    preview = ask(handler, astronaut, output="picture")
    assert preview["notices"] == [NOTICE] and preview["device"] == "cpu"
    assert ask(handler, astronaut)["notices"] == [NOTICE]  # the layer itself, of the hair that the preview found
    answer = ask(handler, np.ascontiguousarray(astronaut[:, ::-1]))  # the device is not tried again, nor spoken of
    assert answer["notices"] == [] and answer["device"] == "cpu" and len(failing_card) == 1


def test_a_request_that_was_cancelled_leaves_the_sentence_to_the_next(failing_card, astronaut, tmp_path):
    handler = Handler(tmp_path)

    def stop(done, text):
        if text == "Refining the outline":
            raise Cancelled

    with pytest.raises(Cancelled):
        ask(handler, astronaut, stop)
    assert ask(handler, np.ascontiguousarray(astronaut[:, ::-1]))["notices"] == [NOTICE]


def test_hair_is_looked_for_once_for_each_way_of_looking(astronaut, tmp_path):
    handler, said = Handler(tmp_path), []

    def looked(**options) -> bool:
        said.clear()
        ask(handler, astronaut, lambda done, text: said.append(text), device="cpu", **options)
        return "Looking for hair" in said

    assert looked() and not looked() and not looked(shade="red", strength=0.5) and not looked(step=5)
    assert looked(refine=False) and looked(quality="best") and looked(engine="texture", step=34)
    assert not looked(engine="texture", step=34, quality="best") and looked(engine="texture", step=35) and not looked()
