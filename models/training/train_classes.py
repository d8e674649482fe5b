"""Train a network of classes: python -m models.training.train_classes NAME --data DATA --out RUNS [--start FILE.onnx]

It goes on from the last checkpoint in RUNS/NAME, to the very sample: sample i is made from the seed and i alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import hard_cases as hard
from .labels_by_class import ANY, CLASSES, CLOTHES, HEADWEAR, REST, SKIN, find_samples, label_alpha, read_sample, share_of
from .network import HairNet
from .rendered import render_person, render_surface
from .train import plot, update_average
from .views import change_look, random_view

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CACHE_LONG_SIDE = 640  # photos are kept in memory at this size
CHECKPOINT_SECONDS = 240
CHOOSE_EVERY = 1000  # steps; figures on the photos by which choices are made
AVERAGING = 0.9995  # of the weights, from step to step
WARM_UP_STEPS = 200
WORKERS = 1 if DEVICE == "cpu" else 14  # that make samples
PROGRAMS = {"rendered": (render_person, 800), "surface": (render_surface, 300)}
ALIGNED = ("celebamask", "celebahq")  # portraits aligned by their faces: hats fit from one to another
HAT_SHARE = 0.01  # of the pixels, from which a photo counts as one of headwear

# How often things are done to a sample.
PUT_ON_HAT, NEW_CLOTHES, NEW_HAT_CLOTH, NEW_BACKGROUND, CROWD, COLLAGE = 0.12, 0.14, 0.35, 0.14, 0.06, 0.08


@dataclass(frozen=True)
class Phase:
    """A stretch of training. size: side of the square samples, pixels."""

    size: int
    batch: int
    steps: int


@dataclass(frozen=True)
class Recipe:
    """sets: how often each is drawn. "hats" and "hairless" are the photos of ALIGNED and facesynthetics that show
    headwear, and those without hair. cooling: the share of the steps at the end in which the rate falls to nothing, linearly;
    before that it is constant, so that a run can be made longer (Hu et al. 2024, "MiniCPM", section 4).
    """

    name: str
    sets: dict[str, float]
    phases: tuple[Phase, ...]
    encoder: str = "lite2"
    decoder: str = "unet"
    rate: float = 4e-4
    encoder_rate: float = 0.5
    cooling: float = 0.3
    seed: int = 16
    long_side: int = 320

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


RESEARCH = Recipe(
    name="hair-u-lite2",
    sets={
        "figaro1k": 0.27, "celebamask": 0.10, "celebahq": 0.09, "celeba_teacher": 0.02, "hats": 0.08, "hairless": 0.03,
        "ccp": 0.11, "facesynthetics": 0.03, "fasseg": 0.03, "lfw": 0.02, "lfw_more": 0.03, "nohair": 0.08,
        "things": 0.05, "surface": 0.03, "rendered": 0.03,
    },
    phases=(Phase(256, 8, 16000), Phase(352, 8, 10000)),
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in (RESEARCH,)}


def read_sets(recipe: Recipe, data: Path) -> dict[str, list]:
    """The training photos of each set with their labels, in memory; programs draw theirs."""
    photos = {}
    for name in recipe.sets:
        if name in PROGRAMS:
            draw, count = PROGRAMS[name]
            others = REST if name == "surface" else ANY
            made = (draw(384, np.random.default_rng((recipe.seed, i))) for i in range(count))
            photos[name] = [(image, label_alpha(mask, others)) for image, mask in made]
        elif name not in ("hats", "hairless"):
            samples = [sample for sample in find_samples(data, name) if sample.part == "training"]
            photos[name] = [read_sample(sample, CACHE_LONG_SIDE) for sample in samples]
    portraits = [photo for name in (*ALIGNED, "facesynthetics") if name in photos for photo in photos[name]]
    if "hats" in recipe.sets:
        photos["hats"] = [photo for photo in portraits if share_of(photo[1], HEADWEAR) >= HAT_SHARE]
    if "hairless" in recipe.sets:
        photos["hairless"] = [photo for photo in portraits if (photo[1][..., 0] > 127).mean() < 0.002]
    return photos


class Stream(torch.utils.data.Dataset):
    """Sample number i, made from the seed and i alone: (3, size, size) float32 in -1…1, labels (2, size, size) uint8."""

    def __init__(self, photos: dict[str, list], shares: dict[str, float], size: int, seed: int, length: int):
        self.photos, self.size, self.seed, self.length = photos, size, seed, length
        self.names = list(shares)
        self.chances = np.array(list(shares.values())) / sum(shares.values())
        self.hats = [photo for photo in photos.get("hats", []) if photo[1].shape[0] == photo[1].shape[1]]
        self.alphas = {}  # of persons cut out before

    def __len__(self):
        return self.length

    def __getitem__(self, i: int):
        rng = np.random.default_rng((self.seed, i))
        image, labels = self.draw(rng)
        if rng.random() < COLLAGE:
            image, labels = hard.collage((image, labels), self.draw(rng), rng)
        image = change_look(image, labels, rng)
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels).permute(2, 0, 1)

    def draw(self, rng):
        if rng.random() < CROWD:
            people = [self.person(rng) for _ in range(rng.integers(2, 7))]
            return random_view(*hard.crowd(people, *self.background(rng), CACHE_LONG_SIDE, rng), self.size, rng)
        name, which = self.choose(rng)
        image, labels = self.photos[name][which]
        if name in ALIGNED and self.hats and rng.random() < PUT_ON_HAT:
            image, labels = hard.put_on_hat(image, labels, *self.hats[rng.integers(len(self.hats))], rng)
        for bit, chance in ((CLOTHES, NEW_CLOTHES), (HEADWEAR, NEW_HAT_CLOTH)):
            if rng.random() < chance and (labels[..., 1] == bit).any():
                image, labels = hard.retexture(image, labels, bit, self.texture(rng), rng)
        if rng.random() < NEW_BACKGROUND and (labels[..., 0] > 127).sum() > 200:
            alpha = self.alpha(name, which, rng) if labels is self.photos[name][which][1] else hard.person_of(image, labels)
            image, labels = hard.before_background(image, labels, alpha, *self.background(rng), rng)
        return random_view(image, labels, self.size, rng)

    def choose(self, rng) -> tuple[str, int]:
        name = self.names[rng.choice(len(self.names), p=self.chances)]
        return name, int(rng.integers(len(self.photos[name])))

    def person(self, rng):
        while True:
            name, which = self.choose(rng)
            image, labels = self.photos[name][which]
            if (labels[..., 0] > 127).sum() > 200:
                return image, labels, self.alpha(name, which, rng)

    def alpha(self, name, which, rng):
        if (name, which) not in self.alphas:
            cv2.setRNGSeed(which)  # GrabCut's clusters begin at random
            self.alphas[name, which] = (hard.person_of(*self.photos[name][which]) * 255).astype(np.uint8)
        return self.alphas[name, which].astype(np.float32) / 255

    def background(self, rng):
        empty = [name for name in ("nohair", "things") if name in self.photos]
        if empty and rng.random() < 0.7:
            among = self.photos[empty[rng.integers(len(empty))]]
            return among[rng.integers(len(among))]
        return hard.surface(rng)

    def texture(self, rng):
        return self.background(rng)[0] if rng.random() < 0.5 else hard.draw_material(rng)


BITS = torch.tensor([HEADWEAR, SKIN, CLOTHES, REST], dtype=torch.uint8)


def class_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with labels that name a set of classes, plus soft Dice of the hair (Milletari et al. 2016).

    logits: (N, 5, H, W). labels: (N, 2, H, W) uint8, as in labels_by_class.py. The probability of "one of these" is the sum of
    theirs (Jin, Ghahramani 2002, "Learning with multiple labels").
    """
    hair, others = labels[:, 0].float() / 255, labels[:, 1]
    known = ((others != 0)).float()
    allowed = (others[:, None] & BITS.to(others.device).view(1, 4, 1, 1)) != 0
    log_p = F.log_softmax(logits, dim=1)
    not_hair = torch.logsumexp(log_p[:, 1:].masked_fill(~allowed, -1e4), dim=1)
    entropy = -(hair * log_p[:, 0] + (1 - hair) * torch.where(hair < 1, not_hair, torch.zeros_like(not_hair))) * known
    p, truth = log_p[:, 0].exp() * known, hair * known
    smooth = 1e-3 * truth[0].numel()  # keeps photos without hair from demanding an exact zero
    dice = 1 - (2 * (p * truth).sum((1, 2)) + smooth) / (p.sum((1, 2)) + truth.sum((1, 2)) + smooth)
    return entropy.sum() / known.sum().clamp(min=1) + dice.mean()


@torch.no_grad()
def choose_figures(network: nn.Module, photos: dict[str, list], long_side: int) -> dict:
    """One pass over each photo at the working scale: IoU of each set, and what is taken for hair that is another class."""
    network.eval()
    figures, taken, seen = {}, np.zeros(4), np.zeros(4)
    for name, pairs in photos.items():
        scores, false = [], []
        for image, labels in pairs:
            height, width = labels.shape[:2]
            scale = long_side / max(height, width)
            size = [max(32, round(side * scale / 32) * 32) for side in (width, height)]
            proxy = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            x = torch.from_numpy(proxy).permute(2, 0, 1)[None].float() / 127.5 - 1
            p = torch.softmax(network(x.to(DEVICE, memory_format=torch.channels_last)), dim=1)[0, 0].cpu().numpy()
            found = cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
            truth = labels[..., 0] > 127
            (scores if truth.any() else false).append(
                (found & truth).sum() / max((found | truth).sum(), 1) if truth.any() else found.mean()
            )
            for k, bit in enumerate((HEADWEAR, SKIN, CLOTHES, REST)):
                where = (labels[..., 1] == bit) & ~truth
                taken[k] += found[where].sum()
                seen[k] += where.sum()
        if scores:
            figures[name] = {"iou": float(np.mean(scores)), "under_0.7": float(np.mean(np.array(scores) < 0.7))}
        if false:
            figures[f"{name} without hair"] = float(np.mean(false))
    names = ("headwear", "skin", "clothes", "rest")
    return figures | {f"{name} taken for hair": float(t / max(s, 1)) for name, t, s in zip(names, taken, seen)}


def start_from_onnx(network: HairNet, path: Path, samples) -> None:
    """Fill encoder and decoder with an exported network's weights; the head for hair is kept, the others begin at it.

    Exported batch normalisations are folded. They are unfolded so that the network gives what the file gives: mean and
    spread of each layer are measured on `samples`, images (N, 3, H, W), one layer after the other.
    """
    import onnx
    from onnx import numpy_helper

    tensors = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in onnx.load(path).graph.initializer}
    arrays = {name.removesuffix(".float16").removeprefix("network."): value for name, value in tensors.items()}
    network.eval()

    def fill(module, name):
        module.weight.data.copy_(torch.from_numpy(arrays[f"{name}.weight"]))
        if module.bias is not None:
            module.bias.data.copy_(torch.from_numpy(arrays[f"{name}.bias"]))

    hooks = []
    names = {module: name for name, module in network.named_modules()}
    for parent in network.modules():
        if isinstance(parent, nn.Sequential):
            for first, second in zip(parent, list(parent)[1:]):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    fill(first, names[first])
                    bias = torch.from_numpy(arrays[f"{names[first]}.bias"])

                    def unfold(norm, inputs, bias=bias):
                        mean, var = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
                        norm.running_mean.copy_(mean)
                        norm.running_var.copy_(var)
                        norm.weight.data.copy_(torch.sqrt(var + norm.eps))
                        norm.bias.data.copy_(bias + mean)

                    hooks.append(second.register_forward_pre_hook(unfold))
    for name, module in network.encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            fill(module, f"encoder.{name}")
    # Log odds of hair become the difference between hair and all others, each of which begins with a quarter of their share.
    weight, bias = (torch.from_numpy(arrays[f"head.{part}"]) for part in ("weight", "bias"))
    network.head.weight.data.normal_(0, 1e-3)[0] += weight[0]
    network.head.bias.data.fill_(-float(np.log(4)))[0] = bias[0]
    with torch.no_grad():
        network(samples)
    for hook in hooks:
        hook.remove()


def train(recipe: Recipe, data: Path, out: Path, start: Path | None) -> Path:
    """Train, or go on from the last checkpoint in `out`; returns the checkpoint's path."""
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    out.mkdir(parents=True, exist_ok=True)
    photos = read_sets(recipe, data)
    chosen_by = {
        name: [read_sample(sample, CACHE_LONG_SIDE) for sample in find_samples(data, name) if sample.part == "choice"]
        for name in ("figaro1k", "celebamask", "celebahq", "ccp", "facesynthetics", "nohair")
        if name in recipe.sets
    }
    print({name: len(of) for name, of in (photos | {f"choice {n}": p for n, p in chosen_by.items()}).items()}, flush=True)
    torch.manual_seed(recipe.seed)
    network = HairNet(recipe.encoder, recipe.decoder, classes=len(CLASSES))
    checkpoint = out / "checkpoint.pt"
    if start and not checkpoint.exists():
        stream = Stream(photos, recipe.sets, 256, recipe.seed + 1, 10**9)
        start_from_onnx(network, start, torch.stack([stream[i][0] for i in range(48)]))
    network = network.to(DEVICE, memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    encoder = list(network.encoder.parameters())
    decoder = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    groups = [{"params": decoder, "peak": recipe.rate}, {"params": encoder, "peak": recipe.rate * recipe.encoder_rate}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=0.01)
    step, elapsed, log = 0, 0.0, []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=DEVICE)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, elapsed, log = state["step"], state["elapsed"], state["log"]
        print(f"going on from step {step}", flush=True)
    else:
        log.append({"step": 0, "minutes": 0, "loss": None} | choose_figures(average, chosen_by, recipe.long_side))
        print(json.dumps(log[-1]), flush=True)

    began, saved, losses = time.time() - elapsed, time.time(), []

    def save():
        state = {"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state | {"step": step, "elapsed": time.time() - began, "log": log}, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)

    first = 0  # number of the phase's first sample
    end = 0
    for phase in recipe.phases:
        begin, end = end, end + phase.steps
        if step >= end:
            first += phase.steps * phase.batch
            continue
        numbers = range(first + (step - begin) * phase.batch, first + phase.steps * phase.batch)
        stream = Stream(photos, recipe.sets, phase.size, recipe.seed, numbers.stop)
        loader = torch.utils.data.DataLoader(stream, phase.batch, sampler=numbers, num_workers=WORKERS, prefetch_factor=6)
        for x, labels in loader:
            left = (recipe.steps - step) / recipe.steps
            factor = min(1.0, (step + 1) / WARM_UP_STEPS, left / recipe.cooling)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            network.train()
            loss = class_loss(network(x.to(DEVICE, memory_format=torch.channels_last)), labels.to(DEVICE))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            step += 1
            update_average(average, network, min(AVERAGING, (1 + step) / (10 + step)))
            if step % 50 == 0:
                print(f"step {step}  loss {np.mean(losses[-50:]):.4f}  {(time.time() - began) / 60:.1f} min", flush=True)
            if step % CHOOSE_EVERY == 0 or step == recipe.steps:
                entry = {"step": step, "minutes": (time.time() - began) / 60, "loss": float(np.mean(losses))}
                log.append(entry | choose_figures(average, chosen_by, recipe.long_side))
                print(json.dumps(log[-1]), flush=True)
                losses = []
                save()
            elif time.time() - saved > CHECKPOINT_SECONDS:
                save()
                saved = time.time()
        first += phase.steps * phase.batch
    return checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go, one folder a network")
    parser.add_argument("--start", type=Path, help="an exported network to go on from")
    args = parser.parse_args()
    train(RECIPES[args.name], args.data, args.out / args.name, args.start)


if __name__ == "__main__":
    main()
