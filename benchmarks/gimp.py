"""Seconds for one call of the filter in real GIMPs, cold and warm: python benchmarks/gimp.py PHOTO [PHOTO …]

Uses the GIMPs of tests/gimp (see there) and installs the product in them as a user would.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "gimp"))
import harness  # noqa: E402

SCRIPT = """
import time
image = load(HOME + "/photo")
source = image.get_layers()[0]
RESULT["size"] = [source.get_width(), source.get_height()]
def seconds(shade):
    began = time.perf_counter()
    assert recolor(image, [source], shade=shade)[0] == "success"
    return time.perf_counter() - began
RESULT["cold"] = seconds("copper")
RESULT["warm"] = sorted(seconds(shade) for shade in ("blue", "black", "red", "silver", "teal"))[2]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    args = parser.parse_args()
    shared = (Path(harness.__file__).parent / "scripts.py").read_text()
    with tempfile.TemporaryDirectory() as scratch:
        for series in harness.wanted_series():
            gimp = harness.open_gimp(series, Path(scratch))
            harness.install_product(gimp)
            for photo in args.photos:
                shutil.copy(photo, gimp.on_host(gimp.home / "photo"))
                found = harness.run_script(gimp, shared + SCRIPT)
                harness.end_all_processes(gimp)
                size, cold, warm = "x".join(map(str, found["size"])), found["cold"], found["warm"]
                print(
                    f"GIMP {series}, {photo.name}, {size}: cold {cold:.2f} s, warm {warm:.2f} s (median of 5)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
