"""The constants of the compiled roots, derived again."""

import numpy as np
import pytest

from benchmarks.kernel_constants import ROOTS, derive_start, deviations, fit_series, series_error


@pytest.mark.parametrize(("root", "exponent", "start", "series"), ROOTS)
def test_the_roots_constants_can_be_derived(root, exponent, start, series):
    assert derive_start(root) == start
    h = deviations(root, start, 1 << 16)
    derived, compiled = fit_series(h, exponent, len(series)), np.asarray(series, np.float64)
    np.testing.assert_allclose(derived, compiled, rtol=2e-3)
    np.testing.assert_allclose(derived[:2], compiled[:2], rtol=3e-6)
    assert series_error(h, exponent, compiled) < min(4e-7, 1.05 * series_error(h, exponent, derived))
