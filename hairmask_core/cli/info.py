"""hairmask info: whether this installation works: runtime, devices, models, worker, disk and GPU memory.

What concerns GIMP is looked at by install.py --doctor, which asks this module for the rest.
"""

from __future__ import annotations

import json
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL

from .. import __version__
from ..checks import FAILED, INSTALL_COMMAND, NOTE, OK, REPAIR_COMMAND, Check, all_well, format_checks
from ..color.transform import STORED_TYPES
from ..errors import ModelError, RequestError
from ..inference.cards import ModelCard, choose_card, find_cards, models_folder, read_weights
from ..inference.session import NO_RUNTIME, available_devices, ort
from ..options import PROTOCOL
from ..pipeline import warm_up
from ..segmentation.segmenter import Segmenter, open_model, open_segmenter
from ..server.protocol import receive_message, send_message
from .common import EXIT_FAILED, add_network, make_parser

REPAIR_REMEDY = f"Repair the installation: {REPAIR_COMMAND}"  # where nothing else helps
LEAST_DISK = 1 << 30  # bytes; a layer of 30 megapixels goes through the disk at 16 bytes a pixel, in and out
LEAST_GPU_MEMORY = 1 << 30  # bytes that a network needs
WORKER_SECONDS = 120  # for its start, from a slow disk

# What to do where a device does not run the network.
REMEDIES = {
    "cuda": "Update the NVIDIA driver (the GPU build for Python 3.11 and newer needs one for CUDA 13, that for Python "
    f"3.10 one for CUDA 12), restart, then run {INSTALL_COMMAND} again. Until then the CPU does the work.",
    "directml": f"Update the graphics driver, restart, then run {INSTALL_COMMAND} again. Until then the CPU does the work.",
    "coreml": f"Update macOS, then run {INSTALL_COMMAND} again. Until then the CPU does the work.",
    "cpu": REPAIR_REMEDY,
}


def check_all() -> list[Check]:
    """Look at everything; takes some seconds, because every device runs a network and a worker is started."""
    return [
        Check(OK, "Version", f"hairmask {__version__}"),
        Check(OK, "Python", f"{platform.python_version()} on {platform.platform()} ({sys.executable})"),
        check_runtime(),
        check_colors(),
        *check_devices(),
        *check_models(),
        check_worker(),
        check_disk(Path.home()),
        *check_gpu(),
    ]


def check_runtime() -> Check:
    """Which libraries are loaded, and what this build of ONNX Runtime offers."""
    if ort is None:
        finding, _, remedy = NO_RUNTIME.partition(": ")
        return Check(FAILED, "Runtime", finding, remedy[0].upper() + remedy[1:])
    versions = f"ONNX Runtime {ort.__version__}, OpenCV {cv2.__version__}, numpy {np.__version__}"
    providers = ", ".join(ort.get_available_providers())
    return Check(OK, "Runtime", f"{versions}, Pillow {PIL.__version__}. Execution providers in this build: {providers}")


def check_colors() -> Check:
    """Recolor a pixel of each type, for which the formulas are compiled if they were not yet."""
    try:
        import numba

        warm_up(STORED_TYPES)
    except Exception as error:  # whatever Numba and LLVM may raise
        return Check(
            FAILED, "Colors", f"the formulas could not be compiled ({type(error).__name__}: {error})", REPAIR_REMEDY
        )
    return Check(OK, "Colors", f"the formulas are compiled for this processor, by Numba {numba.__version__}")


def check_devices() -> Iterator[Check]:
    """Run the default network on every device that this build offers, and say which did the work."""
    for device in available_devices() if ort else ():
        name = f"Device {device}"
        try:
            model = open_model(device=device)
        except ModelError as error:
            yield Check(FAILED, name, str(error), REPAIR_REMEDY)
            continue
        if model.device == device:
            yield Check(OK, name, f"{model.card.name} ran on it")
        else:
            yield Check(FAILED, name, " ".join(model.notices), REMEDIES[device])


def check_models() -> Iterator[Check]:
    """Compare every network's file with the checksum in its card."""
    try:
        cards = find_cards()
    except ModelError as error:
        yield Check(FAILED, "Models", str(error), REPAIR_REMEDY)
        return
    for card in cards:
        name = f"Model {card.name}"
        try:
            count = len([read_weights(network) for network in card.networks])
            files = "1 file" if count == 1 else f"{count} files"
            yield Check(OK, name, f"{files}, SHA-256 as in the card")
        except ModelError as error:
            yield Check(FAILED, name, str(error), REPAIR_REMEDY)


def check_worker() -> Check:
    """Start a worker in a folder of its own, say hello to it, and stop it."""
    with tempfile.TemporaryDirectory(prefix="hairmask-", ignore_cleanup_errors=True) as folder:
        directory, log = Path(folder, "worker"), Path(folder, "log")
        command = [sys.executable, "-I", "-m", "hairmask_core", "worker", "--directory", str(directory)]
        with open(log, "wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder)
        try:
            hello = _say_hello(directory, process)
            process.wait(30)
            return Check(
                OK, "Worker", f"it starts and answers (version {hello['version']}, protocol {hello['protocol']})"
            )
        except (OSError, ValueError, KeyError, RequestError, subprocess.TimeoutExpired) as error:
            words = log.read_text(errors="replace").strip().splitlines()[-1:] or [str(error)]
            return Check(FAILED, "Worker", f"it does not start or does not answer ({words[0]})", REPAIR_REMEDY)
        finally:
            process.kill()
            process.wait()


def _say_hello(directory: Path, process: subprocess.Popen) -> dict:
    place, deadline = directory / "endpoint.json", time.monotonic() + WORKER_SECONDS
    while not place.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError("it opened no connection")
        time.sleep(0.05)
    endpoint = json.loads(place.read_text())
    path = endpoint.get("path")
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as connection:
        connection.settimeout(30)
        connection.connect(path or ("127.0.0.1", endpoint["port"]))
        send_message(connection, {"type": "hello", "protocol": PROTOCOL, "secret": endpoint["secret"]})
        hello = receive_message(connection)
        send_message(connection, {"type": "stop"})
    return hello


def check_disk(folder: Path) -> Check:
    """Layers go through files on the way to the worker."""
    free = shutil.disk_usage(folder).free
    finding = f"{free / 1e9:.1f} GB free at {folder}"
    if free < LEAST_DISK:
        return Check(FAILED, "Disk", finding, "Free at least 1 GB: large layers are handed over in files.")
    return Check(OK, "Disk", finding)


def check_gpu() -> Iterator[Check]:
    """What NVIDIA's driver says of its GPUs; nothing where there is no such driver."""
    if not shutil.which("nvidia-smi"):
        return
    fields = "name,driver_version,memory.total,memory.free"
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Check(NOTE, "NVIDIA GPU", f"nvidia-smi gives no answer ({error}), so the CPU does the work")
        return
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[:1] or ["it does not say why"]
        yield Check(NOTE, "NVIDIA GPU", f"its driver does not answer ({said[0]}), so the CPU does the work")
        return
    for line in done.stdout.strip().splitlines():
        yield check_gpu_line(line, "cuda" in available_devices())


def check_gpu_line(line: str, cuda: bool) -> Check:
    """One line of nvidia-smi: name, driver, total and free memory in MiB. cuda: this build of ONNX Runtime can use it."""
    name, driver, total, free = (part.strip() for part in line.rsplit(",", 3))
    finding = f"{name}, driver {driver}"
    if total.isdigit() and free.isdigit():  # some GPUs share the computer's memory and say [N/A]
        finding += f", {int(free) / 1024:.1f} of {int(total) / 1024:.1f} GiB memory free"
        if int(free) << 20 < LEAST_GPU_MEMORY:
            remedy = "Close other programs that use the GPU, or choose the CPU as device."
            return Check(FAILED, "NVIDIA GPU", finding, remedy)
    if not cuda:
        finding += "; it is not used, because this build of ONNX Runtime is for the CPU only"
        return Check(FAILED, "NVIDIA GPU", finding, f"To get the GPU build, run {INSTALL_COMMAND} again.")
    return Check(OK, "NVIDIA GPU", finding)


def describe_models() -> str:
    """What the cards say, for people."""
    lines = [f"Models in {models_folder()}:"]
    for card in find_cards():
        lines.append(
            f"  {card.name}{' (default)' if card.default else ''}: {card.details.get('description', card.task)}"
        )
        figures = card.details.get("accuracy", {})
        ious = ", ".join(f"{name} {figures[name]['iou']:.3f}" for name in figures if "iou" in figures[name])
        lines.append(
            f"    file: {card.network.path.name}, {card.details.get('megabytes')} MB, "
            f"{card.details.get('parameters')} parameters"
        )
        if ious:
            lines.append(f"    mean IoU on validation photos: {ious}")
        lines.append(f"    training data: {', '.join(card.details.get('training_data', []))}")
        lines.append(f"    terms: {card.details.get('terms')}")
    return "\n".join(lines)


def describe_device(card: ModelCard, requested: str) -> str:
    """Which device a request for one leads to, and why that one."""
    model = open_segmenter(card, requested)
    return f"Device: {model.device}. {_reason_for_device(model, requested)}"


def _reason_for_device(model: Segmenter, requested: str) -> str:
    if model.notices:
        return " ".join(model.notices)
    if requested != "auto":
        return f"It was asked for, and {model.card.name} ran on it."
    others = [device for device in available_devices() if device != model.device]
    if model.device == "cpu":
        return (
            "This build of ONNX Runtime has no provider for a GPU; a network of this size is quick without. "
            f"For an NVIDIA GPU, run {INSTALL_COMMAND} again once its driver is installed."
        )
    return f"It is the first of the available devices that ran {model.card.name}; also there: {', '.join(others)}."


def run(args) -> int:
    """Print what was checked, and which device is used. Returns the exit status."""
    checks = check_all()
    if args.json:
        print(json.dumps({"version": __version__, "checks": [vars(check) for check in checks]}))
    else:
        print(format_checks(checks))
        # What is wrong with the models stands in the table; a request that cannot be met is the user's own to hear.
        if args.model or all_well(checks):
            print(f"\n{describe_models()}")
            print(f"\n{describe_device(choose_card(args.model, engine=args.engine), args.device)}")
    return 0 if all_well(checks) else EXIT_FAILED


def add_parser(commands) -> None:
    """Add the command to the subparsers of `hairmask`."""
    parser = make_parser(
        commands.add_parser,
        "Look whether everything works: versions, devices, models, worker, disk; and which device is used and why.",
        """
        hairmask info
        hairmask info --device cuda
        hairmask info --json
        """,
        name="info",
    )
    parser.add_argument("--json", action="store_true", help="the same table for programs")
    add_network(parser)
    parser.set_defaults(command=run)
