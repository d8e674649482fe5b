"""Can one tell recolored hair from real hair? A small network tries to.

python -m benchmarks.realism --data DATA [--photos 240] [--choose] [--dyed FOLDER]

DATA holds sets of photos (images/ and masks/ in each). Needs PyTorch and scikit-learn (models/training/README.md). Real light hair
(blond, gray, red) is one class; the other is dark hair that was given the colors of just those photos, one each, from the
same sets of photos. Crops of the hair's inside, at one scale and one JPEG quality, go to the network; it learns on some
people's photos and is asked about others'. The area under its ROC curve would be 0.5 if nobody could tell and is 1 where all
can. Three rows: what ships; a bad result by hand, with a third of the contrast; and real hair against other real hair, which
says what the network finds where there is nothing to find. --dyed: a fourth row for recolored photos that another
program has written, FOLDER/SET-STEM.png; --wanted FILE writes which photo wants which color.

What gives recolored hair away: of each FEATURES of a crop the medians of real and of recolored crops, and the AUC of it
alone; and of all of them together, by logistic regression, of four parts of the photos each asked about after learning from
the other three. That takes seconds and finds more than the network, which has few crops to learn from.

The photos by which the recoloring was chosen are left out. --choose: those alone, and what gives them away alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from hairmask_core.color.recolor import recolor
from hairmask_core.evaluation.evaluate import find_pairs
from hairmask_core.hair.tone import measure_tone, tone_color
from hairmask_core.photo.base import find_base
from hairmask_core.photo.oklab import oklab_to_rgb, perceived, rgb_to_oklab

SETS = ("figaro1k", "celebahq", "celebamask")
CHOSEN_BY = (1, 2, 3, 4)  # remainders of stems, see models/training/README.md
BLURS = (0.8, 1.6, 3.2, 6.4)  # pixels, standard deviations: between two of them is a band
SIDE, CROP, CROPS = 512, 64, 8  # long side of a photo, side of a crop, pixels; crops of a photo at most
DARK, LIGHT, RED = (
    0.3,
    0.55,
    0.09,
)  # lightness of dark hair at most, of light hair at least; chroma of red hair at least
INSIDE = 0.98  # of a crop's mask
JPEG = 90
TELLING = 10  # features that are printed
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


def features(crop: np.ndarray) -> dict[str, float]:
    """What may give a crop away, of its perceived lightness L and OKLab a and b. crop: (h, w, 3) uint8."""
    lab = rgb_to_oklab(crop)
    L = perceived(np.clip(lab[..., 0], 0, 1))
    found = {}
    for name, channel in (("L", L), ("a", lab[..., 1]), ("b", lab[..., 2])):
        found |= {f"{name}, mean": channel.mean(), f"{name}, deviation": channel.std()}
        smoother = [channel] + [cv2.GaussianBlur(channel, (0, 0), blur) for blur in BLURS]
        for i, (fine, coarse) in enumerate(itertools.pairwise(smoother)):
            found[f"{name}, band {i + 1} (log deviation)"] = np.log((fine - coarse).std() + 1e-4)
    detail, chroma = L - cv2.GaussianBlur(L, (0, 0), 3), np.hypot(lab[..., 1], lab[..., 2])
    for name, values in (("L", L), ("detail of L", detail)):
        found |= {f"{name}, skewness": moment(values, 3), f"{name}, kurtosis": moment(values, 4)}
    low, high = np.quantile(L, (0.02, 0.98))
    found |= {"L, darkest": low, "L, lightest": high, "chroma, mean": chroma.mean(), "chroma, deviation": chroma.std()}
    for name, values in (("a", lab[..., 1]), ("b", lab[..., 2]), ("chroma", chroma)):
        found[f"L with {name}"] = correlation(L, values)
        found[f"detail of L with {name}'s"] = correlation(detail, values - cv2.GaussianBlur(values, (0, 0), 3))
    found["size of the detail with L"] = correlation(np.abs(detail), L - detail)
    return found


def moment(values: np.ndarray, power: int) -> float:
    """The standardized moment."""
    return float(((values - values.mean()) ** power).mean() / max(values.std(), 1e-6) ** power)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two maps; 0 where one is even."""
    return float(((one - one.mean()) * (other - other.mean())).mean() / max(one.std() * other.std(), 1e-12))


def print_what_tells(real: list[np.ndarray], dyed: list[np.ndarray]) -> None:
    """See above; crops by photo."""
    names = list(features(real[0][0]))
    real, dyed = (
        [np.array([list(features(crop).values()) for crop in photo]) for photo in side] for side in (real, dyed)
    )
    part, scores, truth = np.random.default_rng(0).permutation(len(real)) % 4, [], []
    for asked in range(4):
        known, new = (
            [np.concatenate([side[i] for i in np.flatnonzero(chosen)]) for side in (real, dyed)]
            for chosen in (part != asked, part == asked)
        )
        judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        judge.fit(np.concatenate(known), np.repeat([False, True], [len(side) for side in known]))
        scores.append(judge.decision_function(np.concatenate(new)))
        truth.append(np.repeat([False, True], [len(side) for side in new]))
    together = np.mean([auc(*one) for one in zip(scores, truth, strict=True)])
    print(f"\n| feature | real | recolored | AUC |\n|---|---|---|---|\n| all together | | | {together:.2f} |")
    real_crops, dyed_crops = np.concatenate(real), np.concatenate(dyed)
    truth = np.repeat([False, True], [len(real_crops), len(dyed_crops)])
    alone = [auc(np.concatenate([real_crops[:, i], dyed_crops[:, i]]), truth) for i in range(len(names))]
    for i in sorted(range(len(names)), key=lambda i: -abs(alone[i] - 0.5))[:TELLING]:
        print(
            f"| {names[i]} | {np.median(real_crops[:, i]):.3f} | {np.median(dyed_crops[:, i]):.3f} | {alone[i]:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=240, help="of each class, at most")
    parser.add_argument("--choose", action="store_true", help="the photos by which the recoloring was chosen")
    parser.add_argument("--dyed", type=Path, metavar="FOLDER")
    parser.add_argument("--wanted", type=Path, metavar="FILE")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    real, dark = [], []
    for name in SETS:
        pairs = find_pairs(args.data / name / "images", args.data / name / "masks")
        pairs = [pair for pair in pairs if (zlib.crc32(pair[0].stem.encode()) % 10 in CHOSEN_BY) == args.choose]
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
    shipped = [
        recolor(rgb, tone, color, base=find_base(rgb, matte=mask))
        for (_, _, rgb, mask, tone, _), color in zip(dark, colors)
    ]
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
    print_what_tells(genuine, [crops(rgb, photo[5]) for rgb, photo in zip(shipped, dark)])
    if args.choose:
        return
    print("\n| recolored hair | AUC, mean of three networks | each |\n|---|---|---|")
    for name, pictures in rows.items():
        found = [
            tell_apart(genuine, [crops(rgb, photo[5]) for rgb, photo in zip(pictures, dark)], seed) for seed in SEEDS
        ]
        print(f"| {name} | {np.mean(found):.2f} | {', '.join(f'{one:.2f}' for one in found)} |", flush=True)
    found = [tell_apart(genuine[::2], genuine[1::2], seed) for seed in SEEDS]
    print(f"| none: real against real | {np.mean(found):.2f} | {', '.join(f'{one:.2f}' for one in found)} |")


if __name__ == "__main__":
    main()
