"""Runs the tests in an environment of their own beside install.py; the user's GIMPs are not touched."""

import os
import subprocess
import tempfile
from pathlib import Path

from .environment import choose_runtime, make_environment
from .locations import python_in
from .record import Record
from .system import SOURCE

# How tests run beside each other: those of a file together, the longest first, in as many processes as tests/conftest.py
# says.
BESIDE = ["--numprocesses=auto", "--dist=loadgroup", "--no-loadscope-reorder"]
# What a developer runs before every commit: no GIMP, no installation, no training, nothing that takes long. The markers
# are in pyproject.toml.
QUICK = ["-m", "not gimp and not install and not training and not slow"]


def run_tests(arguments, quick=False):
    """Run all tests, or the quick ones; returns pytest's exit status.

    arguments: go to pytest; for example a test file, or "-k" and a word.
    """
    folder = SOURCE / ".venv-test" / "venv"
    extras = [choose_runtime(), "test"] if quick else [choose_runtime(), "test", "training"]
    make_environment(Record(folder.parent), folder, extras, keep_cache=True)
    # Not "python -m pytest", which would put the source before the installed product.
    pytest = python_in(folder).with_name("pytest.exe" if os.name == "nt" else "pytest")
    # pytest's own folders have long names, and those of each process a longer one; a socket's path must be a short one.
    with tempfile.TemporaryDirectory(prefix="h-", ignore_cleanup_errors=True) as scratch:
        command = [str(pytest), f"--basetemp={Path(scratch, 't')}", *BESIDE, *(QUICK if quick else []), *arguments]
        return subprocess.run(command, cwd=SOURCE).returncode
