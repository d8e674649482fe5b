"""install.py in Debian roots with GIMPs. It runs while other tests do, before those of test_gimp.py need it."""

import harness
import pytest

OTHERS_GIMPS = [series for series in harness.wanted_series() if series != harness.own_gimp()]


@pytest.mark.install
@pytest.mark.parametrize(
    "series", [pytest.param(series, marks=pytest.mark.xdist_group(f"GIMP {series}")) for series in OTHERS_GIMPS]
)
def test_a_gimp_is_set_up_and_gets_the_product(series):
    harness.prepare(series)
