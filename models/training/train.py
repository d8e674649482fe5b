"""Train a network by its recipe: samples, loss, schedule, weight averaging, checkpoints, curves."""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .data import augment, change_background, collage, crowd, cut_out, find_pairs, read_pair, render_texture
from .network import HairNet
from .recipes import Recipe
from .rendered import render_person, render_surface

CACHE_LONG_SIDE = 640  # photos are kept in memory at this size
COLLAGE_SHARE = 0.1  # of the samples
CUT_OUT_SHARE = 0.12
CROWD_SHARE = 0.08
FEWEST_HAIR_PIXELS = 200  # of a photo that a person is cut out of
WARM_UP_STEPS = 200
AVERAGING = 0.999  # of the weights, from step to step
VALIDATE_EVERY = 500  # steps; a checkpoint goes with it
PROGRAMS = {"rendered": (render_person, 1500), "surface": (render_surface, 400)}  # sets that are drawn, not read
RENDERED_SIDE = 384


class Samples(torch.utils.data.IterableDataset):
    """An endless stream of augmented samples, reproducible from the recipe's seed."""

    def __init__(self, photos: dict[str, list], shares: dict[str, float], size: int, seed):
        self.photos, self.size, self.seed = photos, size, seed
        self.names = list(shares)
        self.chances = np.array(list(shares.values())) / sum(shares.values())
        self.alphas = {}  # of photos that were cut out before

    def draw(self, rng: np.random.Generator):
        name = self.names[rng.choice(len(self.names), p=self.chances)]
        if rng.random() < CROWD_SHARE:
            people = [self.person(rng) for _ in range(rng.integers(2, 7))]
            return augment(*crowd(people, self.background(rng), CACHE_LONG_SIDE, rng), self.size, rng)
        if rng.random() < CUT_OUT_SHARE:
            return augment(*change_background(*self.person(rng), self.background(rng), rng), self.size, rng)
        return augment(*self.photos[name][rng.integers(len(self.photos[name]))], self.size, rng)

    def person(self, rng: np.random.Generator):
        """A photo with hair, its mask, and the person's alpha (computed once for each photo)."""
        while True:
            name = self.names[rng.choice(len(self.names), p=self.chances)]
            which = int(rng.integers(len(self.photos[name])))
            image, mask = self.photos[name][which]
            if (mask > 127).sum() > FEWEST_HAIR_PIXELS:
                break
        if (name, which) not in self.alphas:
            self.alphas[name, which] = (cut_out(image, mask) * 255).astype(np.uint8)
        return image, mask, self.alphas[name, which].astype(np.float32) / 255

    def background(self, rng: np.random.Generator) -> np.ndarray:
        empty = [name for name in ("nohair", "things") if name in self.photos]
        if empty and rng.random() < 0.7:
            among = self.photos[empty[rng.integers(len(empty))]]
            return among[rng.integers(len(among))][0]
        return render_texture(256, rng)

    def __iter__(self):
        cv2.setNumThreads(0)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((*self.seed, worker.id if worker else 0))
        while True:
            image, mask = self.draw(rng)
            if rng.random() < COLLAGE_SHARE:
                image, mask = collage((image, mask), self.draw(rng), rng)
            yield torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)[None]


def render_set(name: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw one of PROGRAMS' sets: images (h, w, 3) uint8 and masks (h, w) uint8, the same for the same seed."""
    draw, count = PROGRAMS[name]
    return [draw(RENDERED_SIDE, np.random.default_rng((seed, i))) for i in range(count)]


def bce_dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus soft Dice (Milletari et al. 2016) per photo; logits, target: (N, 1, H, W)."""
    bce = F.binary_cross_entropy_with_logits(logits, target)
    p = torch.sigmoid(logits)
    overlap = (p * target).sum((1, 2, 3))
    total = p.sum((1, 2, 3)) + target.sum((1, 2, 3))
    # The constant keeps photos without hair from demanding an exact zero.
    smooth = 1e-3 * target[0].numel()
    return bce + (1 - (2 * overlap + smooth) / (total + smooth)).mean()


@torch.no_grad()
def validate(network: HairNet, photos, long_side: int) -> float:
    """Mean IoU at p >= 0.5 over the photos that have hair, at the photos' (cached) resolution."""
    network.eval()
    scores = []
    for image, mask in photos:
        truth = mask > 127
        if not truth.any():
            continue
        height, width = mask.shape
        scale = long_side / max(height, width)
        size = [max(32, round(side * scale / 32) * 32) for side in (width, height)]
        proxy = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        x = torch.from_numpy(proxy).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x.contiguous(memory_format=torch.channels_last))
        p = torch.sigmoid(logits.float())[0, 0].numpy()
        found = cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
        scores.append((found & truth).sum() / max((found | truth).sum(), 1))
    return float(np.mean(scores))


def build(recipe: Recipe, start: Path | None) -> HairNet:
    """The recipe's network as training finds it; start: see `train`."""
    torch.manual_seed(recipe.seed)
    network = HairNet(recipe.encoder, recipe.decoder)
    if recipe.start == "imagenet":
        network.encoder.load_imagenet(start)
    elif recipe.start != "random":
        weights = torch.load(start, weights_only=True, map_location="cpu")["average"]
        prefix = "encoder."
        network.encoder.load_state_dict(
            {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        )
    if recipe.frozen:
        network.encoder.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def train(recipe: Recipe, data: Path, start: Path | None, out: Path) -> Path:
    """Train, or go on from the last checkpoint in `out`; returns the checkpoint's path.

    data: folder of data sets (see data.py). start: what the encoder starts from, a file of ImageNet weights or the
    checkpoint of the recipe named by `recipe.start`. out: for checkpoint, log and curves.
    Raises FileNotFoundError for missing photos, ValueError for another encoder's ImageNet weights.
    """
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    out.mkdir(parents=True, exist_ok=True)
    pairs = find_pairs(data, [name for name in recipe.sets if name not in PROGRAMS])
    photos = {name: [] for name in recipe.sets if name not in PROGRAMS}
    for pair in pairs:
        if not pair.is_validation:
            photos[pair.dataset].append(read_pair(pair, CACHE_LONG_SIDE))
    watched = "figaro1k" if "figaro1k" in photos else next(iter(photos))
    for name in PROGRAMS.keys() & recipe.sets.keys():
        photos[name] = render_set(name, recipe.seed)
    held_out = [read_pair(p, CACHE_LONG_SIDE) for p in pairs if p.is_validation and p.dataset == watched]
    print({name: len(of) for name, of in photos.items()}, f"and {len(held_out)} of {watched} held out", flush=True)

    network = build(recipe, start)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    encoder = [p for p in network.encoder.parameters() if p.requires_grad]
    decoder = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    groups = [{"params": decoder, "peak": recipe.lr}]
    if encoder:
        groups.append({"params": encoder, "peak": recipe.lr * (recipe.encoder_lr if recipe.start != "random" else 1)})
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=0.01)

    checkpoint = out / "checkpoint.pt"
    step, elapsed, log = go_on(checkpoint, network, average, optimizer)

    began, losses = time.time() - elapsed, []
    for phase, first in zip(recipe.phases, np.cumsum([0] + [phase.steps for phase in recipe.phases])):
        last = int(first) + phase.steps
        if step >= last:
            continue
        samples = Samples(photos, recipe.sets, phase.size, (recipe.seed, step))
        loader = iter(torch.utils.data.DataLoader(samples, phase.batch, num_workers=1, prefetch_factor=6))
        while step < last:
            progress = step / recipe.steps
            warm = min(1.0, (step + 1) / WARM_UP_STEPS)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
            losses.append(take_step(network, optimizer, bce_dice_loss, *next(loader)))
            step += 1
            update_average(average, network, min(AVERAGING, (1 + step) / (10 + step)))
            if step % VALIDATE_EVERY == 0 or step == recipe.steps:
                minutes = (time.time() - began) / 60
                iou = validate(average, held_out, round(phase.size * 1.17))
                log.append({"step": step, "minutes": minutes, "loss": float(np.mean(losses)), "iou": iou})
                print(json.dumps(log[-1]), flush=True)
                losses = []
                save(checkpoint, network, average, optimizer, step, time.time() - began, log)
                plot(log, recipe, out / "curves.png")
        del loader
    return checkpoint


def take_step(network: nn.Module, optimizer, loss_of, x: torch.Tensor, y: torch.Tensor) -> float:
    """One step on samples x and truth y, in bfloat16 where that is safe; returns loss_of(logits, y)."""
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(x.contiguous(memory_format=torch.channels_last))
    loss = loss_of(logits.float(), y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return loss.item()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of all weights and statistics (Polyak averaging)."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values()):
        kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)


def go_on(path: Path, network, average, optimizer) -> tuple[int, float, list[dict]]:
    """Fill all three from the checkpoint, if there is one; returns its step, seconds and log, else 0, 0 and none."""
    if not path.exists():
        return 0, 0.0, []
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    print(f"going on from step {state['step']}", flush=True)
    return state["step"], state["elapsed"], state["log"]


def save(path: Path, network, average, optimizer, step: int, elapsed: float, log: list[dict]) -> None:
    """Write the checkpoint beside the old one, then swap, so that an interrupted write loses nothing."""
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "elapsed": elapsed,
        "log": log,
    }
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def plot(log: list[dict], recipe: Recipe, path: Path) -> None:
    """Loss on the training samples and IoU on the held-out photos, over the steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    loss, iou = figure.add_subplot(), None
    iou = loss.twinx()
    steps = [entry["step"] for entry in log]
    loss.plot(steps, [entry["loss"] for entry in log], color="tab:gray")
    iou.plot(steps, [entry["iou"] for entry in log], color="tab:orange")
    loss.set(xlabel="step", ylabel="training loss (gray)", title=recipe.name)
    iou.set(ylabel="held-out IoU (orange)")
    figure.savefig(path)
