"""The sliding window against the dense map of the same patch classifier: seconds, exactness, memory.

    python benchmarks/dense.py [--quick] [--model NAME] [--device cpu] [--json FILE]
    python benchmarks/dense.py --growth growth.png

One photo (scikit-image's portrait of an astronaut, 512x512; with --quick its middle, 160x160), one run, one device.
Naive: every window cut out and classified, in batches of the size that proved quickest. Dense: `dense_map`. Both
medians of three runs, the naive one of one run where it takes long. `peak_mb` is the process's memory at its highest
while the dense map is made, before anything naive ran. The windows are exact at every step; "between" says how far
the pixels between them, which are interpolated, are from their own windows' probability (mean difference from step 1).

--growth: seconds of the dense map at step 1 for 0.25 to 24 megapixels, and the plot.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from hairmask_core.segmentation.segmenter import open_model
from hairmask_core.segmentation.sliding_window import (
    WindowClassifier,
    cheapest_way,
    dense_map,
    interpolate_map,
    slide_window,
)

STEPS = (35, 16, 8, 4, 2, 1)
BATCHES = (16, 64, 256)
PATIENCE = 2.0  # seconds; what takes longer is measured once
MEGAPIXELS = (0.25, 0.5, 1, 2, 4, 8, 16, 24)


def portrait(side: int) -> np.ndarray:
    """The middle of the astronaut's portrait, (side, side, 3) float32, 0…1; beyond 512 pixels, enlarged."""
    photo = skimage.data.astronaut()
    if side > 512:
        photo = cv2.resize(photo, (side, side), interpolation=cv2.INTER_CUBIC)
    start = (photo.shape[0] - side) // 4, (photo.shape[1] - side) // 2
    return photo[start[0] : start[0] + side, start[1] : start[1] + side].astype(np.float32) / 255


def seconds(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Median time of three runs, of one if it takes long; and the result."""
    times = []
    while not times or (len(times) < 3 and sum(times) < PATIENCE):
        began = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - began)
    return statistics.median(times), result


def forget_peak() -> None:
    """Let the kernel count the process's highest memory from now on."""
    with contextlib.suppress(OSError):  # not Linux: the peak is then since the start
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
    """Highest resident memory since `forget_peak`."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def best_batch(photo: np.ndarray, classifier: WindowClassifier) -> int:
    """The batch size at which windows are classified quickest."""
    times = {}
    for batch in BATCHES:
        slide_window(photo, classifier, 8, batch)
        times[batch] = seconds(lambda size=batch: slide_window(photo, classifier, 4, size))[0]
    return min(times, key=times.get)


def compare_steps(photo: np.ndarray, classifier: WindowClassifier) -> tuple[list[dict], int]:
    """One record a step, and the batch size of the naive windows."""
    for step in (8, 1):  # both graphs, once without the clock
        dense_map(photo, classifier, step)
    dense, records = {}, []
    for step in STEPS:
        forget_peak()
        taken, result = seconds(lambda s=step: dense_map(photo, classifier, s))
        dense[step] = taken, result, peak_megabytes()
    batch = best_batch(photo[:128, :128], classifier)
    for step in STEPS:
        taken, expected = seconds(lambda s=step: slide_window(photo, classifier, s, batch))
        seconds_dense, result, peak = dense[step]
        records.append(
            {
                "step": step,
                "seconds_naive": taken,
                "seconds_dense": seconds_dense,
                "speedup": taken / seconds_dense,
                "max_abs_diff": float(np.abs(result - expected).max()),
                "peak_mb": peak,
                "interpolation_error": float(
                    np.abs(interpolate_map(result, step, *photo.shape[:2]) - dense[1][1]).mean()
                ),
                "windows": result.size,
                "way": cheapest_way(classifier, step),
            }
        )
    return records, batch


def growth(classifier: WindowClassifier, path: Path) -> list[dict]:
    """Seconds at step 1 by photo size, drawn to `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    records = []
    for megapixels in MEGAPIXELS:
        photo = portrait(round((megapixels * 1e6) ** 0.5))
        forget_peak()
        taken, _ = seconds(lambda p=photo: dense_map(p, classifier))
        records.append({"megapixels": megapixels, "seconds": taken, "peak_mb": peak_megabytes()})
        print(
            f"{megapixels:6} MP {taken:8.2f} s {taken / megapixels:6.2f} s/MP {records[-1]['peak_mb']:8.0f} MB",
            flush=True,
        )
    figure = Figure(figsize=(6, 4), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([r["megapixels"] for r in records], [r["seconds"] for r in records], "o-")
    axes.set(
        xlabel="megapixels",
        ylabel="seconds, step 1",
        xlim=0,
        ylim=0,
        title=f"{classifier.card.model}, {classifier.strided.device}",
    )
    figure.savefig(path)
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller photo; under 50 seconds on 2 cores")
    parser.add_argument("--model", help="a patch classifier's name; the default one otherwise")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--growth", type=Path, metavar="PNG", help="measure how the time grows with the photo instead")
    args = parser.parse_args()
    model = open_model(args.model, engine="texture", device=args.device)
    classifier = model.fine
    for notice in model.notices:
        print(notice)
    result = {"model": model.card.name, "device": model.device}
    if args.growth:
        result["growth"] = growth(classifier, args.growth)
    else:
        photo, cost = portrait(160 if args.quick else 512), classifier.multiplications
        records, batch = compare_steps(photo, classifier)
        ratio = cost["window"] / cost["dilated"]
        result |= {"steps": records, "batch": batch, "multiplications": cost, "ratio_of_operations": ratio}
        print(f"{model.card.name} on {model.device}, {photo.shape[1]}x{photo.shape[0]}, naive in batches of {batch}")
        print("  step  windows    naive s    dense s  windows/s  speed-up  max. difference  between   peak MB  way")
        for r in records:
            print(
                f"  {r['step']:4} {r['windows']:8} {r['seconds_naive']:10.3f} {r['seconds_dense']:10.4f} "
                f"{r['windows'] / r['seconds_dense']:10.0f} {r['speedup']:9.1f} {r['max_abs_diff']:16.1e} "
                f"{r['interpolation_error']:8.3f} {r['peak_mb']:9.0f}  {r['way']}"
            )
        print(
            f"  multiplications: {cost['window'] / 1e6:.1f} M a window, {cost['dilated'] / 1e6:.3f} M a pixel of a dense "
            f"map, ratio {ratio:.0f}; speed-up at step 1 is {records[-1]['speedup'] / ratio:.0%} of that"
        )
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
