"""The matting network: learns from rendered hair over photos, and from real photos, where the matte's outline runs.

python -m models.training.matting --data DATA --pieces FOLDER --out RUNS [--steps 2400] [--start FILE.onnx]
                                  [--rate 1.5e-3] [--models models]

pieces: made by pieces.py. The network sees a copy of the photo at the guide's scale and the probability map, and says
for every pixel which linear function of the photo's color the matte is there, which is then applied at full
resolution (Wu et al. 2018, "Fast End-to-End Trainable Guided Filter"; Levin et al. 2008 for the local linear model).
Run again after an interruption, it goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn
from torch.nn import functional as F

from hairmask_core.inference.cards import choose_card
from hairmask_core.inference.session import open_session
from hairmask_core.matting.matting_network import MATTING_FEATURES, MATTING_TILE, NOISE, matting_features
from hairmask_core.matting.upsampling import WORK_LONG_SIDE
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import segment_photo

from .data import find_pairs, read_pair, render_texture
from .export import OPSET, fold_and_round, store_as_float16
from .pieces import GUIDE_SIDE, Piece
from .recipes import RESEARCH_TERMS

NAME = "hair-matting"
CHANNELS = (24, 32, 48, 64)  # at 1/2, 1/4, 1/8 and 1/16 of the guide's scale
MEANS = (0.5, 0.5, 0.5, 0.5, 0.5, 0.2, 0, 0, 0, 0, 0, 0)  # of the features, about
STEEPEST = 4.0  # change of alpha by change of color, at most
BATCH, RATE, SEED = 16, 1.5e-3, 21
MAP_SIDE = 320  # long side of the coarse map
BACKGROUNDS = {"figaro1k": 200, "celebamask": 200, "ccp": 150, "nohair": 200, "things": 80}  # photos of each
REAL = {"figaro1k": 500, "celebamask": 300, "celebahq": 200, "ccp": 150}  # photos whose own masks are learned from
REAL_SHARE = 0.4
SOFT = 8  # pixels of the guide over which a real photo's mask, drawn by hand, is compared near its outline
NEAR = 10  # pixels from it that count as that
SIDE, MARGIN = 3.0, 0.1  # weight of pixels on the wrong side of 1/2 by a real mask, or nearer to it than that
DOUBTS = (1.0, 1.0, 1.0, 0.6, 0.25, 0.1)  # shares of a map's log odds that places keep: real maps are unsure in places
STEEP = 5.0  # weight of the gradient's squared error, which is what Rhemann et al. 2009 measure


class Block(nn.Module):
    """x + two 3x3 convolutions of it (He et al. 2016), the second starting at 0 so that no normalisation is needed."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x):
        return x + self.second(F.relu(self.first(F.relu(x))))


class MattingNet(nn.Module):
    """A small U-Net (Ronneberger et al. 2015): (N, MATTING_FEATURES, h, w), h and w multiples of 16 -> (N, 4, h, w): slopes for
    R, G, B and the constant of the matte as a linear function of the color.

    It starts from two guesses, p and the alpha by the colors nearby: it says how far to trust the second, and what to
    change.
    """

    def __init__(self, channels=CHANNELS):
        super().__init__()
        self.stem = nn.Conv2d(4 * MATTING_FEATURES, channels[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(channels, channels[1:]))
        self.before = nn.ModuleList(Block(c) for c in channels)
        self.middle = Block(channels[-1])
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(channels, channels[1:]))
        self.after = nn.ModuleList(Block(c) for c in channels[:-1])
        self.head = nn.Conv2d(channels[0], 4 * 5, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        y = self.stem(F.pixel_unshuffle(2 * (x - x.new_tensor(MEANS).view(1, -1, 1, 1)), 2))
        kept = []
        for i, block in enumerate(self.before):
            y = block(y if i == 0 else self.down[i - 1](F.relu(y)))
            kept.append(y)
        y = self.middle(y)
        for i in reversed(range(len(self.after))):
            y = self.after[i](kept[i] + F.interpolate(self.up[i](y), scale_factor=2.0, mode="bilinear"))
        trust, change, *slopes = F.pixel_shuffle(self.head(F.relu(y)), 2).float().split((1, 1, 3), 1)
        rgb, p, by_color, length = x[:, :3], x[:, 3:4], x[:, 4:5], x[:, 5:6]
        line = (x[:, 9:] - x[:, 6:9]) / (length + NOISE)
        trust = torch.sigmoid(trust)
        guess = (p + trust * (by_color - p)).clamp(0.01, 0.99)
        alpha = torch.sigmoid(torch.log(guess / (1 - guess)) + 4 * change)
        slopes = trust * line + STEEPEST * torch.tanh(slopes[0])
        return torch.cat([slopes, alpha - (slopes * rgb).sum(1, keepdim=True)], 1)


def apply_linear(coefficients: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    """(N, 4, h, w) at the guide's scale and (N, 3, H, W) -> the matte (N, 1, H, W), not yet clipped."""
    c = F.interpolate(coefficients, size=rgb.shape[2:], mode="bilinear")
    return (c[:, :3] * rgb).sum(1, keepdim=True) + c[:, 3:]


# Samples


def degrade(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole picture's alpha as a segmentation network might give it: (h, w) float32, long side about MAP_SIDE."""
    scale = MAP_SIDE * rng.choice([0.7, 1, 1, 1.4]) / max(alpha.shape)
    size = (round(alpha.shape[1] * scale), round(alpha.shape[0] * scale))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.5, 2.5))
    cells = int(rng.integers(8, 28))
    push = rng.normal(0, rng.uniform(0.2, 2.0), (cells, cells, 2)).astype(np.float32)
    push = cv2.resize(push, size, interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    small = cv2.remap(small, x + push[..., 0], y + push[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    odds = rng.uniform(5, 14) * (small - rng.uniform(0.35, 0.55))
    if rng.random() < 0.6:
        cells = int(rng.integers(4, 14))
        doubt = cv2.resize(rng.choice(DOUBTS, (cells, cells)), size, interpolation=cv2.INTER_CUBIC)
        lean = cv2.resize(rng.normal(0, 1, (cells, cells)), size, interpolation=cv2.INTER_CUBIC)
        odds = np.clip(doubt, 0.05, 1) * odds + (1 - np.clip(doubt, 0.05, 1)) * lean
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def cut_map(coarse: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
    """The piece of a map of the whole picture at `place` (see pieces.Piece), (side, side) float32, bilinear."""
    height, width = coarse.shape
    step = place[2] * width / side
    origin = place[1] * width - 0.5 + step / 2, place[0] * height - 0.5 + step / 2
    shift = np.float32([[step, 0, origin[0]], [0, step, origin[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(coarse.astype(np.float32), shift, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def compose(piece: Piece, background: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """A sample: photo (s, s, 3), guide (GUIDE_SIDE, GUIDE_SIDE, 3), p and alpha (s, s), all float32, 0…1."""
    side = len(piece.alpha)
    alpha = piece.alpha.astype(np.float32) / 255
    tint = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.12, 3)).astype(np.float32)
    color = np.minimum(piece.color.astype(np.float32) / 255 * tint, alpha[..., None])
    behind = cut_background(background, side, rng)
    if rng.random() < 0.25:  # behind of much the hair's own color, where matting is hardest
        solid = color[alpha > 0.9]
        if len(solid):
            behind = np.clip(behind + rng.uniform(0.3, 0.9) * (solid.mean(0) - behind.mean((0, 1))), 0, 1)
    rgb = color + (1 - alpha[..., None]) * behind
    coarse = degrade(piece.small, rng)
    p = cut_map(coarse, piece.place, GUIDE_SIDE)
    soft = rng.choice([0, 0, rng.uniform(0.3, 1.2)])
    if soft:
        rgb, alpha = cv2.GaussianBlur(rgb, (0, 0), soft), cv2.GaussianBlur(alpha, (0, 0), soft)
    return finish(rgb, p, alpha, rng)


def cut_background(photo: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square of a photo without hair, (side, side, 3) float32, 0…1; sometimes a rendered surface; often blurred."""
    if rng.random() < 0.15:
        photo = render_texture(256, rng)
    length = int(min(photo.shape[:2]) * rng.uniform(0.4, 1))
    top, left = (int(rng.integers(0, n - length + 1)) for n in photo.shape[:2])
    cut = photo[top : top + length, left : left + length].astype(np.float32) / 255
    cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if length > side else cv2.INTER_CUBIC)
    blur = rng.choice([0, rng.uniform(0.5, 3), rng.uniform(3, 15)])
    return np.clip(cv2.GaussianBlur(cut, (0, 0), blur) if blur else cut, 0, 1)


def finish(rgb: np.ndarray, p: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Exposure, contrast, noise, JPEG; turned and mirrored; and the guide."""
    rgb = np.clip(rgb, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.2))) * np.float32(np.exp(rng.normal(0, 0.15)))
    rgb = rgb + rng.normal(0, rng.choice([0.003, 0.01, 0.02]), rgb.shape).astype(np.float32)
    levels = np.clip(np.round(rgb * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 98))]
        levels = cv2.imdecode(cv2.imencode(".jpg", levels, quality)[1], cv2.IMREAD_COLOR)
    turns, mirror = int(rng.integers(4)), rng.random() < 0.5
    levels, p, alpha = (np.rot90(a[:, ::-1] if mirror else a, turns) for a in (levels, p, alpha))
    rgb = np.ascontiguousarray(levels).astype(np.float32) / 255
    guide = rgb if len(rgb) == GUIDE_SIDE else cv2.resize(rgb, (GUIDE_SIDE,) * 2, interpolation=cv2.INTER_AREA)
    return rgb, guide, np.ascontiguousarray(p), np.ascontiguousarray(alpha)


def read_backgrounds(data: Path) -> list[np.ndarray]:
    """Squares without any hair of the training photos, uint8."""
    rng, found = np.random.default_rng(SEED), []
    for name, count in BACKGROUNDS.items():
        pairs = [pair for pair in find_pairs(data, (name,)) if not pair.is_validation]
        for pair in pairs[:: max(1, len(pairs) // count)][:count]:
            image, mask = read_pair(pair, 900)
            for _ in range(6):
                length = int(min(mask.shape) * rng.uniform(0.25, 0.9))
                top, left = (int(rng.integers(0, n - length + 1)) for n in mask.shape)
                square = np.s_[top : top + length, left : left + length]
                if length >= 64 and not mask[square].any():
                    found.append(image[square].copy())
                    break
    return found


def read_real(data: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Training photos, uint8, the maps that the whole-image network makes of them, float32, and their masks, uint8."""
    session, found = open_session(choose_card(), "cpu"), []
    for name, count in REAL.items():
        pairs = [pair for pair in find_pairs(data, (name,)) if not pair.is_validation]
        for pair in pairs[:: max(1, len(pairs) // count)][:count]:
            image, mask = read_pair(pair, WORK_LONG_SIDE)
            look = segment_photo(Photo(image), session)[0]
            if min(look.region.height, look.region.width) >= GUIDE_SIDE:
                found.append((image[look.region.slices].copy(), look.coarse, mask[look.region.slices].copy()))
    return found


def cut_real(real: tuple, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """A sample like `compose`'s around the outline of a real photo's map."""
    image, coarse, mask = real
    height, width = mask.shape
    y, x = np.nonzero((coarse > 0.05) & (coarse < 0.95))
    chosen = rng.integers(len(y)) if len(y) else 0
    y, x = (y[chosen] / len(coarse), x[chosen] / coarse.shape[1]) if len(y) else (0.5, 0.5)
    top = int(np.clip(y * height - rng.uniform(0.2, 0.8) * GUIDE_SIDE, 0, height - GUIDE_SIDE))
    left = int(np.clip(x * width - rng.uniform(0.2, 0.8) * GUIDE_SIDE, 0, width - GUIDE_SIDE))
    square = np.s_[top : top + GUIDE_SIDE, left : left + GUIDE_SIDE]
    p = cut_map(coarse, np.array([top / height, left / width, GUIDE_SIDE / width]), GUIDE_SIDE)
    return finish(image[square].astype(np.float32) / 255, p, mask[square].astype(np.float32) / 255, rng)


class Batches(torch.utils.data.IterableDataset):
    """(rgb, features, alpha, whether real), each of BATCH pieces of one size."""

    def __init__(self, pieces: list[Piece], backgrounds: list, real: list, start: int):
        self.pieces, self.backgrounds, self.real, self.start = pieces, backgrounds, real, start

    def __iter__(self):
        sizes = np.array([len(piece.alpha) for piece in self.pieces])
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((SEED, self.start, info.id if info else 0))
        while True:
            is_real = bool(self.real) and rng.random() < REAL_SHARE
            if is_real:
                samples = [cut_real(self.real[rng.integers(len(self.real))], rng) for _ in range(BATCH)]
            else:
                alike = np.flatnonzero(sizes == rng.choice(sizes))
                samples = [
                    compose(self.pieces[i], self.backgrounds[rng.integers(len(self.backgrounds))], rng)
                    for i in rng.choice(alike, BATCH)
                ]
            x = torch.from_numpy(np.stack([matting_features(guide, p) for _, guide, p, _ in samples])).permute(
                0, 3, 1, 2
            )
            rgb, alpha = (torch.from_numpy(np.stack([sample[i] for sample in samples])) for i in (0, 3))
            yield rgb.permute(0, 3, 1, 2).contiguous(), x.contiguous(), alpha[:, None], is_real


def loss_of(matte: torch.Tensor, alpha: torch.Tensor, is_real: bool) -> torch.Tensor:
    """Mean absolute and squared error, of the alpha and of its gradient, at full resolution and at half and quarter.

    Real photos' masks are drawn by hand: near their outline they only count as averages over SOFT pixels, and as to on
    which side of 1/2 the matte is.
    """
    matte = matte.clamp(0, 1) + 0.1 * (matte - matte.clamp(0, 1))  # what is clipped later hardly counts
    if is_real:
        soft = (F.avg_pool2d(matte, SOFT) - F.avg_pool2d(alpha, SOFT)).abs().mean()
        side = 2 * NEAR + 1
        highest, lowest = F.max_pool2d(alpha, side, 1, NEAR), -F.max_pool2d(-alpha, side, 1, NEAR)
        away = (highest - lowest < 0.1).float()
        wrong = F.relu(MARGIN - (2 * alpha - 1) * (matte - 0.5)).mean()
        return 3 * soft + 2 * ((matte - alpha).abs() * away).mean() + SIDE * wrong
    total = matte.new_zeros(())
    for _ in range(3):
        difference = matte - alpha
        total = total + difference.abs().mean() + 2 * difference.square().mean()
        for dim in (2, 3):
            step = difference.diff(dim=dim)
            total = total + 0.5 * step.abs().mean() + STEEP * step.square().mean()
        matte, alpha = F.avg_pool2d(matte, 2), F.avg_pool2d(alpha, 2)
    return total


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a file that `write_model` wrote."""
    stored = {
        array.name.removesuffix(".float16"): onnx.numpy_helper.to_array(array)
        for array in onnx.load(path).graph.initializer
    }
    return {name: torch.from_numpy(stored[name].astype(np.float32)) for name in MattingNet().state_dict()}


def train(
    data: Path, pieces: list[Piece], out: Path, steps: int, rate: float = RATE, start_from: Path | None = None
) -> Path:
    """Learn for so many steps, with a checkpoint every 200; returns its path.

    rate: of learning, at its highest. start_from: a file of `write_model` whose weights to go on from.
    """
    torch.manual_seed(SEED)
    bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # processors without take six times as long with it
    path = out / "checkpoint.pt"
    network = MattingNet().to(memory_format=torch.channels_last)
    if start_from:
        network.load_state_dict(read_weights(start_from))
    average = MattingNet()
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-4)
    start = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        network.load_state_dict(saved["network"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    if start >= steps:
        return path
    out.mkdir(parents=True, exist_ok=True)
    stream = Batches(pieces, read_backgrounds(data), read_real(data), start)
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4))
    began, losses = time.perf_counter(), {False: [], True: []}
    for step in range(start, steps):
        rgb, x, alpha, is_real = next(loader)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            coefficients = network(x.to(memory_format=torch.channels_last))
        loss = loss_of(apply_linear(coefficients.float(), rgb), alpha, is_real)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        decay = min(0.995, (step + 1) / (step + 10))
        with torch.no_grad():
            for a, b in zip(average.parameters(), network.parameters()):
                a.lerp_(b, 1 - decay)
        losses[is_real].append(loss.item())
        if (step + 1) % 50 == 0:
            said = {"step": step + 1, "minutes": (time.perf_counter() - began) / 60}
            said |= {
                name: float(np.mean(losses[key][-100:]))
                for key, name in ((False, "rendered"), (True, "real"))
                if losses[key]
            }
            print(json.dumps(said), flush=True)
        if (step + 1) % 200 == 0 or step + 1 == steps:
            part = path.with_suffix(".part")
            torch.save(
                {
                    "network": network.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
                part,
            )
            part.replace(path)
    return path


def write_model(network: MattingNet, steps: int, pieces: int, out: Path) -> None:
    """Write `out/NAME.onnx`, weights in float16, checked against PyTorch, and its card; ValueError if they differ."""
    path = out / f"{NAME}.onnx"
    network = fold_and_round(network.eval())
    axes = {name: {0: "batch", 2: "height", 3: "width"} for name in ("x", "coefficients")}
    names = {"input_names": ["x"], "output_names": ["coefficients"], "dynamic_axes": axes}
    sample = torch.rand(1, MATTING_FEATURES, MATTING_TILE, MATTING_TILE)
    torch.onnx.export(network, (sample,), str(path), **names, opset_version=OPSET, dynamo=False)
    onnx.save(store_as_float16(onnx.load(path)), path)
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        difference = np.abs(session.run(None, {"x": sample.numpy()})[0] - network(sample).numpy()).max()
    print(f"ONNX Runtime differs from PyTorch by {difference:.1e} at most")
    if difference > 1e-3:
        raise ValueError(f"the exported model differs from PyTorch by {difference}")
    card = {
        "name": NAME,
        "label": "Matting",
        "description": "refines the outline of a hair probability map, strand by strand",
        "task": "matting",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "parameters": sum(p.numel() for p in network.parameters()),
        "input": {
            "layout": "NCHW",
            "dtype": "float32",
            "color": "RGB, sRGB-encoded, 0 to 1, and the probability",
            "long_side": WORK_LONG_SIDE,
            "multiple": 2 ** len(CHANNELS),
            "mean": 0.0,
            "scale": 1.0,
        },
        "output": "slopes for R, G, B and constant of the matte as a linear function of the color, NCHW, float32",
        "training": f"python -m models.training.matting: {steps} steps of {BATCH} samples, {pieces} rendered pieces",
        "training_data": sorted({*REAL, *BACKGROUNDS, "rendered strands"}),
        "terms": RESEARCH_TERMS,
    }
    (out / f"{NAME}.json").write_text(json.dumps(card, indent=2) + "\n")


def read_pieces(folder: Path) -> list[Piece]:
    return [Piece(**np.load(path)) for path in sorted(folder.glob("?????.npz"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see data.py)")
    parser.add_argument("--pieces", type=Path, required=True, help="folder of rendered pieces (see pieces.py)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--start", type=Path, help="go on from the weights of this file, a hair-matting.onnx")
    parser.add_argument("--models", type=Path, help="where model and card go; beside the checkpoint otherwise")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    pieces = read_pieces(args.pieces)
    path = train(args.data, pieces, args.out, args.steps, args.rate, args.start)
    network = MattingNet()
    network.load_state_dict(torch.load(path, weights_only=True)["average"])
    write_model(network, args.steps, len(pieces), args.models or args.out)


if __name__ == "__main__":
    main()
