"""Runs the tests in an environment of their own beside install.py; the user's GIMPs are not touched."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from .environment import choose_runtime, make_environment
from .locations import python_in
from .record import Record
from .system import SOURCE

# How tests run beside each other: on each core one after the other, those of a file together, the longest first.
BESIDE = ["--numprocesses=auto", "--dist=loadgroup", "--no-loadscope-reorder"]
# The tests run in stages, one after the other, by pytest's expressions of markers. The markers are in
# pyproject.toml. Tests that drive a GIMP wait for its windows, so nothing runs beside them but those of another GIMP.
STAGES = ["not gimp", "gimp"]
# What a developer runs before every commit: no GIMP, no installation, no training, nothing that takes long.
QUICK_STAGES = ["not gimp and not install and not training and not slow"]
# pytest's exit status where no test was chosen.
NO_TESTS = 5


def run_tests(arguments, quick=False):
    """Run all tests, or the quick ones; returns the exit status.

    arguments: go to pytest, in every stage; for example a test file, or "-k" and a word.
    """
    folder = SOURCE / ".venv-test" / "venv"
    extras = [choose_runtime(), "test"] if quick else [choose_runtime(), "test", "training"]
    make_environment(Record(folder.parent), folder, extras, keep_cache=True)
    # Not "python -m pytest", which would put the source before the installed product.
    pytest = python_in(folder).with_name("pytest.exe" if os.name == "nt" else "pytest")
    stages = QUICK_STAGES if quick else STAGES
    statuses = []
    # pytest's own folders have long names, and those of each process a longer one; a socket's path must be a short one.
    with tempfile.TemporaryDirectory(prefix="h-", ignore_cleanup_errors=True) as scratch:
        for number, markers in enumerate(stages):
            command = [str(pytest), "-m", markers, f"--basetemp={Path(scratch, str(number))}", *BESIDE, *arguments]
            began = time.monotonic()
            statuses.append(subprocess.run(command, cwd=SOURCE).returncode)
            print(f'The tests "{markers}" took {time.monotonic() - began:.0f} seconds.', flush=True)
    ran = [status for status in statuses if status != NO_TESTS]
    return next((status for status in ran if status != 0), 0) if ran else NO_TESTS
