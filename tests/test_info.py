"""hairmask info: what it finds on this machine, and what it says of an installation with faults."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from hairmask_core.checks import FAILED, NOTE, OK, Check, format_checks
from hairmask_core.cli import info
from hairmask_core.cli.main import main
from hairmask_core.inference import session
from hairmask_core.inference.cards import find_cards, models_folder


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A copy of the models that the test may damage."""
    folder = shutil.copytree(models_folder(), tmp_path / "models", ignore=shutil.ignore_patterns("training"))
    monkeypatch.setenv("HAIRMASK_MODELS", str(folder))
    return folder


def run_json(capsys):
    status = main(["info", "--json"])
    answer = json.loads(capsys.readouterr().out)
    return status, {check["name"]: check for check in answer["checks"]}


def test_all_is_well_here(capsys):
    status, checks = run_json(capsys)
    assert status == 0 and {check["state"] for check in checks.values()} <= {OK, NOTE}
    for name in (
        "Version",
        "Python",
        "Runtime",
        "Colors",
        "Device cpu",
        "Worker",
        "Disk",
        *(f"Model {c.name}" for c in find_cards()),
    ):
        assert checks[name]["state"] == OK and checks[name]["finding"]


def test_a_damaged_model_is_named_with_its_remedy(models, capsys):
    (models / "hair-texture-dense.onnx").write_bytes(b"not what was measured")
    status, checks = run_json(capsys)
    assert status == 1
    assert [name for name in checks if checks[name]["state"] == FAILED] == ["Model hair-texture"]
    assert "hair-texture-dense.onnx was altered" in checks["Model hair-texture"]["finding"]
    assert "python3 install.py" in checks["Model hair-texture"]["remedy"]


def test_without_models_the_table_still_comes(models, capsys):
    for path in models.iterdir():
        path.unlink()
    assert main(["info"]) == 1
    said = capsys.readouterr().out
    assert "FAILED  Models" in said and "FAILED  Device cpu" in said and "-> Repair the installation" in said


def test_a_worker_that_does_not_start(monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho ModuleNotFoundError: no numpy >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    check = info.check_worker()
    assert check.state == FAILED and "ModuleNotFoundError: no numpy" in check.finding and check.remedy


def test_formulas_that_cannot_be_compiled_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)  # what Python takes for "cannot be imported"
    check = info.check_colors()
    assert check.state == FAILED and "numba" in check.finding and check.remedy == info.REPAIR_REMEDY


def test_a_device_that_does_not_run_the_network(monkeypatch):
    """Core ML is in no build for this system, so ONNX Runtime itself passes on to the CPU."""
    monkeypatch.setattr(
        session.ort, "get_available_providers", lambda: ["CoreMLExecutionProvider", "CPUExecutionProvider"]
    )
    first, second = info.check_devices()
    assert first.name == "Device coreml" and first.state == FAILED and "did not start" in first.finding
    assert "the CPU does the work" in first.remedy
    assert second == Check(OK, "Device cpu", "hair-u-lite2 ran on it")


def test_disk(tmp_path, monkeypatch):
    assert info.check_disk(tmp_path).state == OK
    monkeypatch.setattr(info, "LEAST_DISK", 1 << 60)
    assert info.check_disk(tmp_path).state == FAILED and "Free at least" in info.check_disk(tmp_path).remedy


@pytest.mark.parametrize(
    ("line", "cuda", "state", "words"),
    [
        ("NVIDIA H200, 570.86, 143771, 143000", True, OK, "139.6 of 140.4 GiB memory free"),
        ("NVIDIA H200, 570.86, 143771, 143000", False, FAILED, "run python3 install.py again"),
        ("NVIDIA GeForce MX150, 535.2, 2048, 100", True, FAILED, "Close other programs"),
        ("Orin, 540.4, [N/A], [N/A]", True, OK, "Orin, driver 540.4"),
    ],
)
def test_gpu_lines(line, cuda, state, words):
    check = info.check_gpu_line(line, cuda)
    assert check.state == state and words in f"{check.finding} {check.remedy}"


@pytest.mark.parametrize(
    ("script", "states"),
    [
        ("echo 'NVIDIA A, 1.0, 8192, 8000'; echo 'NVIDIA B, 1.0, 8192, 8000'", [FAILED, FAILED]),  # a build for the CPU
        ("echo NVIDIA-SMI has failed; exit 9", [NOTE]),
    ],
)
def test_nvidia_smi_is_asked(tmp_path, monkeypatch, script, states):
    Path(tmp_path, "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    Path(tmp_path, "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(info, "available_devices", lambda: ["cpu"])
    assert [check.state for check in info.check_gpu()] == states


def test_without_nvidia_smi_there_is_no_row(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(info.check_gpu()) == []


def test_the_table_keeps_words_whole_and_puts_remedies_below():
    checks = [
        Check(OK, "Disk", "much"),
        Check(FAILED, "Worker", "it does not start", "run /a/very/long/path/install.py"),
    ]
    assert format_checks(checks, 60).splitlines() == [
        "ok      Disk    much",
        "FAILED  Worker  it does not start",
        "                -> run /a/very/long/path/install.py",
    ]
