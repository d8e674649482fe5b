"""Train the whole-image network: python -m models.training.train --data DIR --out DIR

Restartable: run it again with the same --out and it goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from .data import SET_WEIGHTS, augment, collage, find_pairs, read_pair, render_texture
from .network import HairNet

CACHE_LONG_SIDE = 640  # photos are kept in memory at this size
COLLAGE_SHARE = 0.15  # of the samples
TEXTURE_SHARE = 0.05


class Samples(torch.utils.data.IterableDataset):
    """An endless stream of augmented samples, photos drawn by their set's weight."""

    def __init__(self, photos, weights, size: int, seed: int):
        self.photos, self.size, self.seed = photos, size, seed
        self.chances = np.array(weights) / np.sum(weights)

    def draw(self, rng: np.random.Generator):
        if rng.random() < TEXTURE_SHARE:
            texture = render_texture(self.size, rng)
            return augment(texture, np.zeros(texture.shape[:2], np.uint8), self.size, rng)
        return augment(*self.photos[rng.choice(len(self.photos), p=self.chances)], self.size, rng)

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            image, mask = self.draw(rng)
            if rng.random() < COLLAGE_SHARE:
                image, mask = collage((image, mask), self.draw(rng), rng)
            yield torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)[None]


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
        p = torch.sigmoid(network(x.contiguous(memory_format=torch.channels_last)))[0, 0].numpy()
        found = cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
        scores.append((found & truth).sum() / max((found | truth).sum(), 1))
    return float(np.mean(scores))


def train(args) -> None:
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    pairs = find_pairs(args.data)
    training = [p for p in pairs if not p.is_validation]
    validation = [p for p in pairs if p.is_validation and p.dataset == "figaro1k"]
    photos = [read_pair(p, CACHE_LONG_SIDE) for p in training]
    held_out = [read_pair(p, CACHE_LONG_SIDE) for p in validation]
    weights = [SET_WEIGHTS[p.dataset] for p in training]
    print(f"{len(photos)} photos to train on, {len(held_out)} of figaro1k held out", flush=True)

    network = HairNet()
    network.encoder.load_imagenet(args.backbone)
    network = network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    encoder = list(network.encoder.parameters())
    decoder = [p for name, p in network.named_parameters() if not name.startswith("encoder")]
    groups = [{"params": encoder, "lr": args.lr * 0.3}, {"params": decoder, "lr": args.lr}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]

    step, elapsed, log = 0, 0.0, []
    checkpoint = args.out / "checkpoint.pt"
    start_from = checkpoint if checkpoint.exists() else args.resume_from
    if start_from:
        state = torch.load(start_from, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        if start_from == checkpoint:
            optimizer.load_state_dict(state["optimizer"])
            step, elapsed, log = state["step"], state["elapsed"], state["log"]
        print(f"going on from {start_from}, step {step}", flush=True)

    samples = Samples(photos, weights, args.size, args.seed + step)
    loader = torch.utils.data.DataLoader(samples, args.batch, num_workers=1, prefetch_factor=4)
    began, seen_at, losses = time.time() - elapsed, time.time(), []
    for x, y in loader:
        # The schedule is in seconds: the machine at hand decides how many steps that is.
        progress = (time.time() - began) / (args.minutes * 60)
        if progress >= 1:
            break
        warm = min(1.0, (step + 1) / 200)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x.contiguous(memory_format=torch.channels_last))
        loss = bce_dice_loss(logits.float(), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for a, b in zip(average.state_dict().values(), network.state_dict().values()):
                a.lerp_(b, 1 - decay) if a.is_floating_point() else a.copy_(b)
        losses.append(loss.item())
        if step % args.every == 0:
            iou = validate(average, held_out, round(args.size * 1.25))
            log.append(
                {"step": step, "minutes": (time.time() - began) / 60, "loss": float(np.mean(losses)), "iou": iou}
            )
            print(json.dumps(log[-1]), f"{(time.time() - seen_at) / args.every:.2f} s/step", flush=True)
            seen_at, losses = time.time(), []
            save(checkpoint, network, average, optimizer, step, time.time() - began, log)
    save(checkpoint, network, average, optimizer, step, time.time() - began, log)
    print("done", flush=True)


def save(path: Path, network, average, optimizer, step, elapsed, log) -> None:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see data.py)")
    parser.add_argument("--backbone", type=Path, required=True, help="MobileNetV2 ImageNet archive (.npz)")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go")
    parser.add_argument("--resume-from", type=Path, help="start a new schedule from this checkpoint's weights")
    parser.add_argument("--size", type=int, default=256, help="training crop, pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1.5e-3, help="peak of the decoder; the encoder gets 0.3 of it")
    parser.add_argument("--minutes", type=float, default=45, help="length of the schedule")
    parser.add_argument("--every", type=int, default=200, help="steps between validations and checkpoints")
    parser.add_argument("--seed", type=int, default=7)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
