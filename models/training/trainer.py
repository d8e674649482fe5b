"""The one loop in which every network here learns: steps, rates, averaged weights, checkpoints, curves.

A run may be stopped at any moment and started again by the same command. It then goes on from its last checkpoint to
the very sample, and ends with the same weights, to the bit on the same machine: sample number i is made from the seed
and i alone, whichever process makes it, and everything else that a step depends on is in the checkpoint.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Half precision where the hardware computes in it; a processor that only imitates it takes six times as long.
BFLOAT16 = (
    torch.cuda.is_bf16_supported(including_emulation=False)
    if DEVICE == "cuda"
    else torch.ops.mkldnn._is_mkldnn_bf16_supported()
)
WORKERS = 14 if DEVICE == "cuda" else 1  # processes that make samples
CHECKPOINT_SECONDS = 240
SAY_EVERY = 50  # steps

Make = Callable[[int, np.random.Generator], tuple]  # number of a sample and its own generator -> tensors


@dataclass(frozen=True)
class Phase:
    """A stretch of training. size: side of the square samples, pixels. batch: samples a step."""

    size: int
    batch: int
    steps: int


@dataclass(frozen=True)
class Plan:
    """How long and how fast a network learns.

    rate: of learning, at its peak. slower: beginnings of parameters' names, and the factor of the rate of those.
    warm_up: steps in which the rate rises to its peak. cooling: the share of all steps, at the end, in which it falls
    to nothing linearly, being constant before, so that a run can be made longer (Hu et al. 2024, "MiniCPM", section 4);
    None: it falls along a cosine from the first step on (Loshchilov, Hutter 2017, "SGDR").
    averaging: of the weights, from step to step. log_every: steps from one entry of the log to the next.
    """

    phases: tuple[Phase, ...]
    rate: float
    seed: int
    slower: tuple[tuple[str, float], ...] = ()
    warm_up: int = 200
    cooling: float | None = None
    averaging: float = 0.999
    weight_decay: float = 0.01
    log_every: int = 1000

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


class Samples(torch.utils.data.Dataset):
    """What `make` makes of each number, with a generator that depends on the seed and that number only."""

    def __init__(self, make: Make, seed: int):
        self.make, self.seed = make, seed

    def __getitem__(self, number: int) -> tuple:
        return self.make(number, np.random.default_rng((self.seed, number)))


def checkpoint_path(out: Path) -> Path:
    return out / "checkpoint.pt"


def train(
    plan: Plan,
    network: nn.Module,
    make_of: Callable[[Phase], Make],
    loss_of: Callable[..., torch.Tensor],
    out: Path,
    figures_of: Callable[[nn.Module], dict] = lambda network: {},
) -> Path:
    """Train a network, or go on from the last checkpoint in `out`; returns the checkpoint's path.

    network: as training begins; its values are of no account where there is a checkpoint.
    make_of: for each phase what makes its samples. Each is a tuple of tensors; the network gets the first.
    loss_of: (output, float32, and the other tensors of the batch) -> scalar.
    figures_of: network with averaged weights -> figures for the log, numbers or dictionaries of numbers.
    The checkpoint holds "network", "average", "optimizer", "step", "elapsed" (seconds), "log" and "losses" (since the
    log's last entry).
    """
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    out.mkdir(parents=True, exist_ok=True)
    network = network.to(DEVICE, memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(parameter_groups(network, plan), lr=plan.rate, weight_decay=plan.weight_decay)
    parts = {"network": network, "average": average, "optimizer": optimizer}
    path, log, losses = checkpoint_path(out), [], []
    step, elapsed = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True, map_location=DEVICE)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step, elapsed, log, losses = state["step"], state["elapsed"], state["log"], state.get("losses", [])
        print(f"going on from step {step}", flush=True)
    else:
        note(log, {"step": 0, "minutes": 0, "loss": None} | figures_of(average))
    began, saved = time.time() - elapsed, time.time()

    end = first = 0  # the phase's last step and the number of its first sample
    for phase in plan.phases:
        begin, end = end, end + phase.steps
        numbers = range(first + max(0, step - begin) * phase.batch, first + phase.steps * phase.batch)
        first = numbers.stop
        if step >= end:
            continue
        for x, *truth in load(Samples(make_of(phase), plan.seed), phase.batch, numbers):
            set_rates(optimizer, plan, step)
            losses.append(take_step(network, optimizer, loss_of, x, truth))
            step += 1
            update_average(average, network, min(plan.averaging, (1 + step) / (10 + step)))
            minutes = (time.time() - began) / 60
            if step % SAY_EVERY == 0:
                print(f"step {step}  loss {np.mean(losses[-SAY_EVERY:]):.4f}  {minutes:.1f} min", flush=True)
            noted = step % plan.log_every == 0 or step == plan.steps
            if noted:
                note(log, {"step": step, "minutes": minutes, "loss": float(np.mean(losses))} | figures_of(average))
                losses = []
                plot(log, out.name, out / "curves.png")
            if noted or time.time() - saved > CHECKPOINT_SECONDS:
                state = {name: part.state_dict() for name, part in parts.items()}
                save(path, state | {"step": step, "elapsed": time.time() - began, "log": log, "losses": losses})
                saved = time.time()
    return path


def load(samples: Samples, batch: int, numbers: range) -> torch.utils.data.DataLoader:
    """Batches of the samples with these numbers, in order."""
    ahead = {"prefetch_factor": 6} if WORKERS else {}
    return torch.utils.data.DataLoader(
        samples, batch, sampler=numbers, num_workers=WORKERS, pin_memory=DEVICE == "cuda", **ahead
    )


def to_device(x: torch.Tensor) -> torch.Tensor:
    """The tensor where the network is; images (N, C, H, W) in the layout that convolutions are quick with."""
    layout = torch.channels_last if x.ndim == 4 else torch.preserve_format
    return x.to(DEVICE, memory_format=layout, non_blocking=True)


def parameter_groups(network: nn.Module, plan: Plan) -> list[dict]:
    """The optimizer's groups with their peak rates: first what is named by none of `plan.slower`, then one for each.

    Parameters that are frozen (`requires_grad` is False) are in none.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    prefixes = tuple(prefix for prefix, _ in plan.slower)
    groups = [{"params": [p for name, p in named if not name.startswith(prefixes)], "peak": plan.rate}]
    for prefix, factor in plan.slower:
        groups.append({"params": [p for name, p in named if name.startswith(prefix)], "peak": plan.rate * factor})
    return [group for group in groups if group["params"]]


def set_rates(optimizer: torch.optim.Optimizer, plan: Plan, step: int) -> None:
    """The rates of the step that comes after `step` others."""
    left = (plan.steps - step) / plan.steps
    factor = min(1.0, (step + 1) / plan.warm_up)
    if plan.cooling is None:
        factor *= 0.5 * (1 - math.cos(math.pi * left))
    else:
        factor = min(factor, left / plan.cooling)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def take_step(network: nn.Module, optimizer, loss_of: Callable, x: torch.Tensor, truth: list[torch.Tensor]) -> float:
    """One step on inputs x; returns loss_of(output, *truth)."""
    network.train()
    with torch.autocast(DEVICE, torch.bfloat16, enabled=BFLOAT16):
        output = network(to_device(x))
    loss = loss_of(output.float(), *(part.to(DEVICE, non_blocking=True) for part in truth))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return loss.item()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of all weights and statistics (Polyak averaging), in place."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)


def save(path: Path, state: dict) -> None:
    """Write the checkpoint beside the old one, then swap, so that an interrupted write loses nothing."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def read_average(network: nn.Module, checkpoint: Path) -> nn.Module:
    """The network filled with the averaged weights of a checkpoint, on the CPU and ready for use."""
    network.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu")["average"])
    return network.eval()


def note(log: list[dict], entry: dict) -> None:
    log.append(entry)
    print(json.dumps(entry), flush=True)


def plot(log: list[dict], title: str, path: Path) -> None:
    """Loss on the training samples and figures on the photos that choices are made by, over the steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    loss = figure.add_subplot()
    loss.set(xlabel="step", ylabel="training loss (gray)", title=title)
    learned = [entry for entry in log if entry["loss"] is not None]
    loss.plot([entry["step"] for entry in learned], [entry["loss"] for entry in learned], color="0.6")
    curves: dict[str, list[tuple[int, float]]] = {}
    for entry in log:
        for name, value in entry.items():
            if name not in ("step", "minutes", "loss"):
                for kind, number in (value if isinstance(value, dict) else {"": value}).items():
                    curves.setdefault(f"{name} {kind}".strip(), []).append((entry["step"], number))
    if curves:
        shares = loss.twinx()
        shares.set(ylabel="figures", ylim=(0, 1))
        for name, points in curves.items():
            shares.plot(*zip(*points, strict=True), label=name, linewidth=1)
        shares.legend(fontsize=5, loc="center left")
    figure.savefig(path)
