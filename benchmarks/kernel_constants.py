"""Where the constants of the compiled roots come from, and how large the roots' errors are.

    python benchmarks/kernel_constants.py [--json FILE]

`hairmask_core/color/kernels.py` takes x^(-1/3) and x^(-1/5) without division or table: a first guess y is a constant
less a third, or a fifth, of the bits of x (after Lomont 2003, "Fast inverse square root"); with h = 1 - x yᵏ, a
polynomial in h makes up for the rest. Printed for both:

start        (1 + 1/k) 127 2^23, which is exact for powers of two, less the multiple of 100000 that makes the largest
             |h| smallest. That gives the kernels' constants to the digit.
series       The polynomial that is nearest to (1 - h)^p over the h that occur, by least squares at Chebyshev nodes,
             with its constant term free, which then is set to 1; the range of h is taken 1 % wider. That gives the
             kernels' coefficients to within the relative differences that are printed, not to the digit: the program
             that they were first fitted by was not kept. Its errors are printed beside the compiled ones'.
error        The largest relative error of the series itself, and of the compiled function in float32 against float64.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numba
import numpy as np

from hairmask_core.color import kernels

SAMPLES = 1 << 20
NODES = 1000
WIDER = 1.01  # the range that is fitted, by the one that occurs
STEP = 100_000  # of what is taken off the start
STEPS = range(15)

# Root, exponent of what the series stands for, start and series as compiled.
ROOTS = (
    (3, -1 / 3, kernels.CUBE_ROOT_START, kernels.CUBE_ROOT_SERIES),
    (5, -3 / 5, kernels.FIFTH_ROOT_START, kernels.FIFTH_ROOT_SERIES),
)


def deviations(root: int, start: int, count: int = SAMPLES) -> np.ndarray:
    """h = 1 - x yᵏ of the first guesses y for x over 2ᵏ, after which h repeats: (count,) float64."""
    x = np.exp2(np.linspace(0, root, count, endpoint=False)).astype(np.float32)
    part = (x.view(np.int32).astype(np.float32) * np.float32(1 / root)).astype(np.int32)
    y = (np.int32(start) - part).view(np.float32).astype(np.float64)
    return 1 - x * y**root


def derive_start(root: int) -> int:
    """The constant that the first guess starts from."""
    exact = int((1 + 1 / root) * 127 * 2**23)
    return min((exact - STEP * n for n in STEPS), key=lambda start: np.abs(deviations(root, start, 1 << 14)).max())


def fit_series(h: np.ndarray, exponent: float, degree: int) -> np.ndarray:
    """Coefficients of h, h², … of (1 - h)^exponent over the range of h: (degree,) float64."""
    low, high = WIDER * h.min(), WIDER * h.max()
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    powers = np.vander(nodes, degree + 1, increasing=True)
    return np.linalg.lstsq(powers, (1 - nodes) ** exponent, rcond=None)[0][1:]


def series_error(h: np.ndarray, exponent: float, series) -> float:
    """Largest relative error of 1 + c₁h + c₂h² + … as (1 - h)^exponent."""
    value = 1 + h * np.polyval(np.asarray(series, np.float64)[::-1], h)
    return float(np.abs(value * (1 - h) ** -exponent - 1).max())


@numba.njit
def cube_roots(values, out):
    for i in range(values.size):
        out[i] = kernels.cube_root(values[i])


@numba.njit
def decoded(values, out):
    for i in range(values.size):
        out[i] = kernels.linear_from_encoded(values[i])


def compiled_error(function, low: float, high: float, truth) -> float:
    """Largest relative error of a compiled function over values from low to high, evenly spaced in their logarithm.

    Values lie a few of float32's steps apart, so that it can be a few per cent larger between them.
    """
    values = np.exp(np.linspace(np.log(low), np.log(high), SAMPLES)).astype(np.float32)
    out = np.empty_like(values)
    function(values, out)
    expected = truth(values.astype(np.float64))
    return float(np.abs(out / expected - 1).max())


def measure() -> dict:
    """Derived constants, how far the compiled ones are from them, and all errors."""
    found = {}
    for root, exponent, start, series in ROOTS:
        h = deviations(root, start)
        fitted, compiled = fit_series(h, exponent, len(series)), np.asarray(series, np.float64)
        found[f"root {root}"] = {
            "start": start,
            "derived_start": derive_start(root),
            "h": [float(h.min()), float(h.max())],
            "series": compiled.round(8).tolist(),
            "derived_series": fitted.round(8).tolist(),
            "relative_differences": np.abs(fitted / compiled - 1).tolist(),
            "series_error": series_error(h, exponent, compiled),
            "derived_series_error": series_error(h, exponent, fitted),
        }
    # Below the end of the linear piece the curve is never used.
    found["cube_root"] = compiled_error(cube_roots, kernels.TINY, 1e6, np.cbrt)
    found["linear_from_encoded"] = compiled_error(decoded, 0.0405, 1e3, lambda x: ((x + 0.055) / 1.055) ** 2.4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = measure()
    for root, exponent, _, _ in ROOTS:
        of = found[f"root {root}"]
        low, high = of["h"]
        print(f"x^(-1/{root}): start {of['start']}, derived {of['derived_start']}; h from {low:.5f} to {high:.5f}")
        print(f"  (1 - h)^({exponent:.3f})" + "".join(f"{'h^' + str(i + 1):>14}" for i in range(len(of["series"]))))
        for name, key in (("compiled", "series"), ("derived", "derived_series")):
            print(
                f"  {name:<14}" + "".join(f"{value:14.8f}" for value in of[key]) + f"   error {of[key + '_error']:.2e}"
            )
        print("  difference    " + "".join(f"{value:14.1e}" for value in of["relative_differences"]))
    for name in ("cube_root", "linear_from_encoded"):
        print(f"{name}, float32: largest relative error {found[name]:.2e}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
