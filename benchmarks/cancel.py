"""How long the work goes on after it was cancelled: the longest time between two reports, at which it can stop.

    python benchmarks/cancel.py PHOTO [--runs 5] [--json FILE]

For each engine and quality, mask and recolor of one photo with a model that is loaded; the median of the runs'
longest waits, and where the longest of all was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from hairmask_core.options import Quality
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair, recolor_layer
from hairmask_core.segmentation.segmenter import Segmenter, open_model

COPPER = (0.71, 0.35, 0.16)


def longest_wait(photo: Photo, model: Segmenter) -> tuple[float, float, str]:
    """Seconds of the longest wait between two reports, seconds in all, and what was being done then."""
    said = [(time.perf_counter(), "start")]

    def report(done: float, text: str) -> None:
        said.append((time.perf_counter(), f"{text}, {done:.0%}"))

    hair = find_hair(photo, model, report=report)
    recolor_layer(photo, hair, COPPER, report=report)
    waits = [(later[0] - sooner[0], later[1]) for sooner, later in zip(said, said[1:])]
    return max(waits)[0], said[-1][0] - said[0][0], max(waits)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    photo, records = read_photo(args.photo), []
    ways = [("whole", {"quality": quality.value}) for quality in Quality]
    ways += [("texture", {"step": step}) for step in (1, 2, 8)]
    for engine, options in ways:
        model = open_model(engine=engine, device="cpu", **options)
        longest_wait(photo, model)
        runs = [longest_wait(photo, model) for _ in range(args.runs)]
        wait, whole = (statistics.median(run[i] for run in runs) for i in (0, 1))
        records.append({"engine": engine, **options, "longest_wait": wait, "seconds": whole, "at": max(runs)[2]})
    print(f"{photo.width}x{photo.height}, longest wait between two reports, median of {args.runs} runs")
    for r in records:
        option = r.get("quality") or f"step {r['step']}"
        print(f"  {r['engine']:8} {option:8} {r['longest_wait']:.3f} s of {r['seconds']:.2f} s, before: {r['at']}")
    if args.json:
        args.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
