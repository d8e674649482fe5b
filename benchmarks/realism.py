"""Can one tell recolored hair from real hair? A small network tries to.

python -m benchmarks.realism --data DATA [--photos 240] [--dyed FOLDER]

DATA holds sets of photos (images/ and masks/ in each). Needs PyTorch (models/training/README.md). Real light hair
(blond, gray, red) is one class; the other is dark hair that was given the colors of just those photos, one each, from the
same sets of photos. Crops of the hair's inside, at one scale and one JPEG quality, go to the network; it learns on some
people's photos and is asked about others'. The area under its ROC curve would be 0.5 if nobody could tell and is 1 where all
can. Three rows: what ships; a bad result by hand, with a third of the contrast; and real hair against other real hair, which
says what the network finds where there is nothing to find. --dyed: a fourth row for recolored photos that another
program has written, FOLDER/SET-STEM.png; --wanted FILE writes which photo wants which color.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from hairmask_core.color.recolor import recolor
from hairmask_core.evaluation.evaluate import find_pairs
from hairmask_core.hair.tone import measure_tone, tone_color
from hairmask_core.photo.oklab import oklab_to_rgb, rgb_to_oklab

SETS = ("figaro1k", "celebahq", "celebamask")
SIDE, CROP, CROPS = 512, 64, 8  # long side of a photo, side of a crop, pixels; crops of a photo at most
DARK, LIGHT, RED = (
    0.3,
    0.55,
    0.09,
)  # lightness of dark hair at most, of light hair at least; chroma of red hair at least
INSIDE = 0.98  # of a crop's mask
JPEG = 90
STEPS, BATCH, SEEDS = 400, 64, (0, 1, 2)


def read(pair: tuple[Path, Path]):
    """A photo, (h, w, 3) uint8, at SIDE pixels, its hair, (h, w) float32, and the hair's tone."""
    rgb, mask = cv2.imread(str(pair[0])), cv2.imread(str(pair[1]), cv2.IMREAD_GRAYSCALE)
    size = [max(1, round(side * min(1.0, SIDE / max(rgb.shape[:2])))) for side in rgb.shape[1::-1]]
    rgb, mask = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (rgb, mask))
    rgb, mask = np.ascontiguousarray(rgb[..., ::-1]), mask.astype(np.float32) / 255
    return rgb, mask, measure_tone(rgb.astype(np.float32) / 255, mask)


def corners(mask: np.ndarray, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Where crops of the hair's inside begin, hardly overlapping: CROPS at most."""
    inside = cv2.boxFilter(mask, -1, (CROP, CROP), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    inside = inside[:-CROP, :-CROP]  # what does not end within the picture
    found: list[tuple[int, int]] = []
    for y, x in rng.permutation(np.argwhere(inside >= INSIDE)):
        if all(max(abs(y - top), abs(x - left)) > CROP // 2 for top, left in found):
            found.append((int(y), int(x)))
        if len(found) == CROPS:
            break
    return found


def crops(rgb: np.ndarray, places: list[tuple[int, int]]) -> np.ndarray:
    """Those of one photo, after JPEG compression: (n, CROP, CROP, 3) uint8."""
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG])
    rgb = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return np.array([rgb[y : y + CROP, x : x + CROP] for y, x in places])


def flatten(dyed: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A third of the contrast of lightness that the hair has."""
    lab = rgb_to_oklab(dyed)
    middle = np.median(lab[mask > 0.9][:, 0])
    lab[..., 0] = middle + (lab[..., 0] - middle) / 3
    return np.round(255 * oklab_to_rgb(lab)).astype(np.uint8)


def network() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(96, 1))


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve: how often one of the class scores higher than one of the other (Mann, Whitney 1947)."""
    ranks = np.argsort(np.argsort(scores)) + 1
    positive = int(truth.sum())
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * (len(truth) - positive)))


def tell_apart(real: list[np.ndarray], other: list[np.ndarray], seed: int) -> float:
    """How well a network that learned on three quarters of the photos tells the crops of the rest apart: AUC."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)

    def part(photos: list[np.ndarray], test: bool) -> np.ndarray:
        order = np.random.default_rng(seed).permutation(len(photos))
        chosen = order[: len(order) // 4] if test else order[len(order) // 4 :]
        return np.concatenate([photos[i] for i in chosen])

    def tensor(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1

    train = part(real, False), part(other, False)
    model, steps = network(), STEPS
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        batch = np.concatenate([pixels[rng.integers(0, len(pixels), BATCH // 2)] for pixels in train])
        batch = batch[:, :, ::-1] if rng.random() < 0.5 else batch
        batch = batch[:, ::-1] if rng.random() < 0.5 else batch
        target = torch.arange(BATCH) >= BATCH // 2
        loss = nn.functional.binary_cross_entropy_with_logits(model(tensor(batch))[:, 0], target.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    test = [part(real, True), part(other, True)]
    with torch.no_grad():
        scores = np.concatenate([model(tensor(pixels))[:, 0].numpy() for pixels in test])
    return auc(scores, np.concatenate([np.zeros(len(test[0]), bool), np.ones(len(test[1]), bool)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=240, help="of each class, at most")
    parser.add_argument("--dyed", type=Path, metavar="FOLDER")
    parser.add_argument("--wanted", type=Path, metavar="FILE")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    real, dark = [], []
    for name in SETS:
        pairs = find_pairs(args.data / name / "images", args.data / name / "masks")
        pairs = [pair for pair in pairs if zlib.crc32(pair[0].stem.encode()) % 10 != 1]  # by which the tone was chosen
        light_here, dark_here = [], []
        for i in rng.permutation(len(pairs)):
            rgb, mask, tone = read(pairs[i])
            places = corners(mask, rng)
            if len(places) < 3:
                continue
            lit, a, b = tone.lit
            if lit > LIGHT or (np.hypot(a, b) > RED and b < 1.3 * a):
                light_here.append((name, pairs[i][0].stem, rgb, mask, tone, places))
            elif lit < DARK:
                dark_here.append((name, pairs[i][0].stem, rgb, mask, tone, places))
            if min(len(light_here), len(dark_here)) >= args.photos // len(SETS):
                break
        count = min(len(light_here), len(dark_here), args.photos // len(SETS))
        real, dark = real + light_here[:count], dark + dark_here[:count]
    print(
        f"{len(real)} photos of each class, {sum(len(photo[5]) for photo in real)} and {sum(len(photo[5]) for photo in dark)} crops"
    )
    colors = [tone_color(photo[4]) for photo in real]
    if args.wanted:
        args.wanted.write_text(json.dumps({f"{photo[0]}-{photo[1]}": color for photo, color in zip(dark, colors)}))
    shipped = [recolor(rgb, tone, color) for (_, _, rgb, _, tone, _), color in zip(dark, colors)]
    rows = {
        "what ships": shipped,
        "a third of its contrast": [flatten(one, photo[3]) for one, photo in zip(shipped, dark)],
    }
    if args.dyed:
        rows["of the folder"] = [
            cv2.resize(
                cv2.imread(str(args.dyed / f"{photo[0]}-{photo[1]}.png")),
                photo[2].shape[1::-1],
                interpolation=cv2.INTER_AREA,
            )[..., ::-1]
            for photo in dark
        ]
    genuine = [crops(photo[2], photo[5]) for photo in real]
    print("| recolored hair | AUC, mean of three networks | each |\n|---|---|---|")
    for name, pictures in rows.items():
        found = [
            tell_apart(genuine, [crops(rgb, photo[5]) for rgb, photo in zip(pictures, dark)], seed) for seed in SEEDS
        ]
        print(f"| {name} | {np.mean(found):.2f} | {', '.join(f'{one:.2f}' for one in found)} |", flush=True)
    found = [tell_apart(genuine[::2], genuine[1::2], seed) for seed in SEEDS]
    print(f"| none: real against real | {np.mean(found):.2f} | {', '.join(f'{one:.2f}' for one in found)} |")


if __name__ == "__main__":
    main()
