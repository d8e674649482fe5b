"""hair-matting, the network that refines the outline of a map strand by strand: samples, loss, training, export.

It learns from rendered hair over photos (see matting_samples.py), and from real photos, where their own masks tell
where the outline runs. It sees a copy of the photo at the guide's scale and the probability map; what it says of each
pixel is applied at full resolution (see matting_network.py).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torch.nn import functional as F

from hairmask_core.matting.matting_network import MATTING_FEATURES, MATTING_TILE, matting_features
from hairmask_core.matting.upsampling import WORK_LONG_SIDE
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import segment_photo
from hairmask_core.segmentation.segmenter import open_model
from synthetic.surfaces import draw_pattern, draw_texture

from .datasets import find_samples, read_sample, some
from .export import check_terms, file_entry, fold_and_round, research_terms, write_card, write_onnx
from .matting_network import CHANNELS, MattingNet, apply_linear
from .matting_samples import GUIDE_SIDE, MattingSample, read_matting_samples
from .trainer import Phase, Plan, checkpoint_path, read_average, train

NAME = "hair-matting"
PLAN = Plan(
    (Phase(GUIDE_SIDE, 16, 7000),),
    rate=1.5e-3,
    seed=21,
    warm_up=100,
    averaging=0.995,
    weight_decay=1e-4,
    log_every=200,
)
MAP_SIDE = 320  # long side of the coarse map
BACKGROUNDS = {"figaro1k": 200, "celebamask": 200, "ccp": 150, "nohair": 200, "things": 80}  # photos of each
BACKGROUND_LONG_SIDE = 900  # at which they are read
REAL = {"figaro1k": 500, "celebamask": 300, "celebahq": 200, "ccp": 150}  # photos whose own masks are learned from
REAL_SHARE = 0.4  # of the batches
SOFT = 8  # pixels of the guide over which a real photo's mask, drawn by hand, is compared near its outline
NEAR = 10  # pixels from it that count as that
SIDE, MARGIN = 3.0, 0.1  # weight of pixels on the wrong side of 1/2 by a real mask, or nearer to it than that
DOUBTS = (1.0, 1.0, 1.0, 0.6, 0.25, 0.1)  # shares of a map's log odds that places keep: real maps are unsure in places
CURLS = 0.3  # share of the maps that run straight over curls
PATTERNED = 0.2  # of the backgrounds are patterned cloth
DARKENED = 0.25  # of the rendered samples are dark hair in a noisy photo
DARK = (8, 40)  # mean level of that hair
MUCH_NOISE = (0.008, 0.03)  # standard deviation of its noise
NOISES = (0.003, 0.01, 0.02)  # of that of others
DENSITY = (8, 16)  # sides in pixels of squares over which the amount of hair should be right
DENSE = 2.0  # weight of that
STEEP = 5.0  # weight of the gradient's squared error, which is what Rhemann et al. 2009 measure
TRAINING_DATA = sorted({*REAL, *BACKGROUNDS, "rendered strands"})


# Samples


def read_backgrounds(data: Path) -> list[np.ndarray]:
    """Squares without any hair of the training photos, uint8."""
    rng, found = np.random.default_rng(PLAN.seed), []
    for name, count in BACKGROUNDS.items():
        for sample in some(find_samples(data, name, "training"), count):
            image, labels = read_sample(sample, BACKGROUND_LONG_SIDE)
            mask = labels[..., 0]
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
    model, found = open_model(device="cpu"), []
    for name, count in REAL.items():
        for sample in some(find_samples(data, name, "training"), count):
            image, labels = read_sample(sample, WORK_LONG_SIDE)
            crop = segment_photo(Photo(image), model)[0]
            if min(crop.region.height, crop.region.width) >= GUIDE_SIDE:
                here = crop.region.slices
                found.append((image[here].copy(), crop.coarse, labels[here][..., 0].copy()))
    return found


class Compositions:
    """What makes training samples; those of one batch are alike in size, and all real or all rendered."""

    def __init__(self, hair: list[MattingSample], backgrounds: list[np.ndarray], real: list[tuple], batch: int):
        self.hair, self.backgrounds, self.real, self.batch = hair, backgrounds, real, batch
        self.sizes = np.array([len(one.alpha) for one in hair])

    def __call__(self, number: int, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        """Features (n, g, g), photo (3, s, s) and alpha (1, s, s), float32, and whether it is real; see `compose`."""
        of_batch = np.random.default_rng((PLAN.seed, number // self.batch, 1))
        is_real, size = bool(self.real) and of_batch.random() < REAL_SHARE, of_batch.choice(self.sizes)
        if is_real:
            rgb, guide, p, alpha = cut_real(self.real[rng.integers(len(self.real))], rng)
        else:
            hair = self.hair[rng.choice(np.flatnonzero(self.sizes == size))]
            rgb, guide, p, alpha = compose(hair, self.backgrounds[rng.integers(len(self.backgrounds))], rng)
        x = torch.from_numpy(matting_features(guide, p)).permute(2, 0, 1)
        photo = torch.from_numpy(rgb).permute(2, 0, 1).contiguous()
        return x, photo, torch.from_numpy(alpha)[None], torch.tensor(is_real)


def coarse_map(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole picture's alpha as a segmentation network might give it: (h, w) float32, long side about MAP_SIDE."""
    scale = MAP_SIDE * rng.choice([0.7, 1, 1, 1.4]) / max(alpha.shape)
    size = (round(alpha.shape[1] * scale), round(alpha.shape[0] * scale))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(*((2.5, 6) if rng.random() < CURLS else (0.5, 2.5))))
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
    """The part of a map of the whole picture at `place` (see MattingSample), (side, side) float32, bilinear."""
    height, width = coarse.shape
    step = place[2] * width / side
    origin = place[1] * width - 0.5 + step / 2, place[0] * height - 0.5 + step / 2
    shift = np.float32([[step, 0, origin[0]], [0, step, origin[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(coarse.astype(np.float32), shift, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def compose(hair: MattingSample, background: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Rendered hair before a background, float32, 0…1: photo (s, s, 3), guide (g, g, 3), p (g, g) and alpha (s, s).

    g is GUIDE_SIDE, s the hair's side.
    """
    side = len(hair.alpha)
    alpha = hair.alpha.astype(np.float32) / 255
    tint = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.12, 3)).astype(np.float32)
    color = np.minimum(hair.color.astype(np.float32) / 255 * tint, alpha[..., None])
    behind = cut_background(background, side, rng)
    if rng.random() < 0.25:  # behind of much the hair's own color, where matting is hardest
        solid = color[alpha > 0.9]
        if len(solid):
            behind = np.clip(behind + rng.uniform(0.3, 0.9) * (solid.mean(0) - behind.mean((0, 1))), 0, 1)
    noise = rng.choice(NOISES)
    if rng.random() < DARKENED and (alpha > 0.9).any():
        color = color * np.float32(min(1.0, rng.uniform(*DARK) / 255 / max(color[alpha > 0.9].mean(), 1e-3)))
        behind = behind * np.float32(rng.choice([1, rng.uniform(0.15, 1)]))
        noise = rng.uniform(*MUCH_NOISE)
    rgb = color + (1 - alpha[..., None]) * behind
    p = cut_map(coarse_map(hair.small, rng), hair.place, GUIDE_SIDE)
    soft = rng.choice([0, 0, rng.uniform(0.3, 1.2)])
    if soft:
        rgb, alpha = cv2.GaussianBlur(rgb, (0, 0), soft), cv2.GaussianBlur(alpha, (0, 0), soft)
    return finish(rgb, p, alpha, rng, noise)


def cut_background(photo: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square of a photo without hair, (side, side, 3) float32, 0…1, often blurred; sometimes a rendered surface."""
    if rng.random() < PATTERNED:
        return draw_pattern(side, rng) / 255
    if rng.random() < 0.15:
        photo = draw_texture(256, rng)
    length = int(min(photo.shape[:2]) * rng.uniform(0.4, 1))
    top, left = (int(rng.integers(0, n - length + 1)) for n in photo.shape[:2])
    cut = photo[top : top + length, left : left + length].astype(np.float32) / 255
    cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if length > side else cv2.INTER_CUBIC)
    blur = rng.choice([0, 0, rng.uniform(0.5, 3), rng.uniform(3, 15)])
    return np.clip(cv2.GaussianBlur(cut, (0, 0), blur) if blur else cut, 0, 1)


def finish(
    rgb: np.ndarray, p: np.ndarray, alpha: np.ndarray, rng: np.random.Generator, noise: float
) -> tuple[np.ndarray, ...]:
    """Exposure, contrast, noise, JPEG; turned and mirrored; and the guide."""
    rgb = np.clip(rgb, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.2))) * np.float32(np.exp(rng.normal(0, 0.15)))
    rgb = rgb + rng.normal(0, noise, rgb.shape).astype(np.float32)
    levels = np.clip(np.round(rgb * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 98))]
        levels = cv2.imdecode(cv2.imencode(".jpg", levels, quality)[1], cv2.IMREAD_COLOR)
    turns, mirror = int(rng.integers(4)), rng.random() < 0.5
    levels, p, alpha = (np.rot90(a[:, ::-1] if mirror else a, turns) for a in (levels, p, alpha))
    rgb = np.ascontiguousarray(levels).astype(np.float32) / 255
    guide = rgb if len(rgb) == GUIDE_SIDE else cv2.resize(rgb, (GUIDE_SIDE,) * 2, interpolation=cv2.INTER_AREA)
    return rgb, guide, np.ascontiguousarray(p), np.ascontiguousarray(alpha)


def cut_real(real: tuple, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """A square around the outline of a real photo's map, as `compose` gives them. real: one of `read_real`'s."""
    image, coarse, mask = real
    height, width = mask.shape
    y, x = np.nonzero((coarse > 0.05) & (coarse < 0.95))
    chosen = rng.integers(len(y)) if len(y) else 0
    y, x = (y[chosen] / len(coarse), x[chosen] / coarse.shape[1]) if len(y) else (0.5, 0.5)
    top = int(np.clip(y * height - rng.uniform(0.2, 0.8) * GUIDE_SIDE, 0, height - GUIDE_SIDE))
    left = int(np.clip(x * width - rng.uniform(0.2, 0.8) * GUIDE_SIDE, 0, width - GUIDE_SIDE))
    square = np.s_[top : top + GUIDE_SIDE, left : left + GUIDE_SIDE]
    p = cut_map(coarse, np.array([top / height, left / width, GUIDE_SIDE / width]), GUIDE_SIDE)
    rgb, alpha = (part[square].astype(np.float32) / 255 for part in (image, mask))
    return finish(rgb, p, alpha, rng, rng.choice(NOISES))


# Loss


def loss_of(coefficients: torch.Tensor, rgb: torch.Tensor, alpha: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
    """`matte_loss` of what the network's coefficients make of the photo; is_real: (N,) bool, all alike."""
    return matte_loss(apply_linear(coefficients, rgb), alpha, bool(is_real[0]))


def matte_loss(matte: torch.Tensor, alpha: torch.Tensor, is_real: bool) -> torch.Tensor:
    """Mean absolute and squared error, of the alpha and of its gradient, at full resolution and at half and quarter, and
    of the amount of hair.

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
    total = DENSE * sum(F.avg_pool2d(matte - alpha, side).abs().mean() for side in DENSITY)
    for _ in range(3):
        difference = matte - alpha
        total = total + difference.abs().mean() + 2 * difference.square().mean()
        for dim in (2, 3):
            step = difference.diff(dim=dim)
            total = total + 0.5 * step.abs().mean() + STEEP * step.square().mean()
        matte, alpha = F.avg_pool2d(matte, 2), F.avg_pool2d(alpha, 2)
    return total


# From start to model


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a file that `export` wrote."""
    stored = {
        array.name.removesuffix(".float16"): onnx.numpy_helper.to_array(array)
        for array in onnx.load(path).graph.initializer
    }
    return {name: torch.from_numpy(stored[name].astype(np.float32)) for name in MattingNet().state_dict()}


def run(data: Path, hair: list[MattingSample], out: Path, start: Path | None = None, plan: Plan = PLAN) -> Path:
    """Train, or go on from the last checkpoint in `out`; returns the checkpoint's path.

    hair: as matting_samples.py makes it. start: an exported network to begin with.
    """
    torch.manual_seed(plan.seed)
    network = MattingNet()
    if start and not checkpoint_path(out).exists():
        check_terms(start, TRAINING_DATA)
        network.load_state_dict(read_weights(start))
    samples = Compositions(hair, read_backgrounds(data), read_real(data), plan.phases[0].batch)
    return train(plan, network, lambda phase: samples, loss_of, out)


def export(network: MattingNet, count: int, out: Path, plan: Plan = PLAN) -> None:
    """Write `out/NAME.onnx` and its card. count: of the rendered samples that it learned from."""
    path = out / f"{NAME}.onnx"
    network = fold_and_round(network.eval())
    write_onnx(
        network,
        path,
        [torch.rand(1, MATTING_FEATURES, MATTING_TILE, MATTING_TILE)],
        ("x", "coefficients"),
        tolerance=1e-3,
    )
    card = {
        "name": NAME,
        "label": "Matting",
        "description": "refines the outline of a hair probability map, strand by strand",
        "task": "matting",
        **file_entry(path),
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
        "training": f"python -m models.training {NAME}: {plan.steps} steps of {plan.phases[0].batch} samples, {count} "
        "rendered ones",
        "training_data": TRAINING_DATA,
        "terms": research_terms({*REAL, *BACKGROUNDS}),
    }
    write_card(card, out)


def make(data: Path, samples: Path, out: Path, models: Path, start: Path | None = None) -> None:
    """Train and export. samples: the folder that matting_samples.py has filled."""
    hair = read_matting_samples(samples)
    export(read_average(MattingNet(), run(data, hair, out, start)), len(hair), models)
