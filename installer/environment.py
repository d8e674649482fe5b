"""The virtual environment that the network runs in: made, completed, repaired, updated.

An environment is trusted only if it has the file that says that it was completed. One without was interrupted, and is
made anew. Versions are those of pins.txt, so that users get what was tested.
"""

import contextlib
import errno
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig

from .locations import inside, python_in
from .record import remove
from .system import SOURCE, InstallError, explain_refusal, installer_command, run_quietly, tail

# pip's constraints: the exact versions that were tried together.
PINS = SOURCE / "installer" / "pins.txt"
# The file in the environment's folder that says that it was completed. It holds the extras that are installed, the
# runtime first.
MARK = "hair-recolor.complete"
# The disk space that an environment takes with its downloads, which are removed once it is complete.
NEEDED_MB = {"cpu": 1000, "cuda": 7000}
# These modules import everything that the product needs.
CHECK_IMPORTS = "import pip, hairmask_core.cli.main, hairmask_core.color.kernels"
# Compiles the color formulas now, so that the user need not wait for it at the first start.
COMPILE = "from hairmask_core.pipeline import STORED_TYPES, warm_up; warm_up(STORED_TYPES)"
# pip in an environment: isolated from the user's own packages, and it never asks.
PIP = ["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]


def check_python():
    """Raise InstallError if this Python is one that no package is built for."""
    what = None
    if sys.implementation.name != "cpython":
        what = f"This is {sys.implementation.name}, not the usual Python"
    elif struct.calcsize("P") < 8:
        what = "This is a 32-bit Python"
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        what = "This is a free-threaded Python"
    elif sysconfig.get_platform().startswith("mingw"):
        what = "This is the Python that came with GIMP or MSYS2"
    elif sys.platform == "win32" and "WindowsApps" in sys.base_prefix:
        what = "This is the Python of the Microsoft Store, whose files GIMP cannot see"
    elif sys.platform == "darwin" and platform.machine() == "x86_64" and sys.version_info >= (3, 14):
        what = "ONNX Runtime is not built for Python 3.14 on Macs with an Intel processor"
    if what:
        raise InstallError(f"{what}: install Python 3.12 from python.org and run this with it.")


def choose_runtime():
    """The extra of pyproject.toml that fits this machine: "cuda" where an NVIDIA driver answers, else "cpu"."""
    if shutil.which("nvidia-smi") and run_quietly(["nvidia-smi", "-L"]).returncode == 0:
        print("An NVIDIA GPU answers, so the GPU build of ONNX Runtime is used (a large download).")
        return "cuda"
    return "cpu"


def make_environment(record, folder, extras, sandbox="", keep_cache=False):
    """A virtual environment with the product and its dependencies; returns its Python. Repairs what is there.

    extras: of pyproject.toml, the runtime first; those that the environment has already stay. sandbox: it is made with
    the Python of GIMP's sandbox, and every command for it runs in there. keep_cache: pip keeps its downloads where it
    always does, for the next environment.

    Raises InstallError if that is not possible; an environment that was complete before is complete then.
    """
    work, aside = folder.with_name("work"), folder.with_name(f"{folder.name}.old")
    record.make_folder(folder.parent)
    for tree in (work, aside, folder):
        record.note_tree(tree)
    if aside.exists() and not is_complete(folder, sandbox):  # interrupted between the two
        remove(folder)
        aside.rename(folder)
    remove(aside)
    remove(work / "tmp")
    (work / "tmp").mkdir(parents=True)
    variables = _pip_variables(work, keep_cache)
    complete = is_complete(folder, sandbox)
    with _kept_or_removed(folder, aside, complete):
        if complete:
            runtime, *others = (folder / MARK).read_text(encoding="utf-8").split(",")
            if runtime != extras[0]:  # the builds of ONNX Runtime exclude each other
                folder.rename(aside)
                complete = False
            else:
                extras = [*extras, *(extra for extra in others if extra not in extras)]
        if not complete:
            remove(folder)
            _check_space(folder.parent, NEEDED_MB[extras[0]])
            _create(folder, sandbox, variables)
        (folder / MARK).unlink(missing_ok=True)
        _fill(python_in(folder), extras, sandbox, variables)
        (folder / MARK).write_text(",".join(extras), encoding="utf-8")
    remove(aside)
    remove(work)
    return python_in(folder)


def is_complete(folder, sandbox=""):
    """Whether the environment was completed and its Python runs and finds its packages."""
    if not (folder / MARK).exists():
        return False
    return run_quietly(inside(sandbox, [python_in(folder), "-I", "-c", CHECK_IMPORTS])).returncode == 0


@contextlib.contextmanager
def _kept_or_removed(folder, aside, complete):
    """If the block fails, restore an environment that was complete before, and remove one that is half made."""
    mark = (folder / MARK).read_text(encoding="utf-8") if complete else None
    try:
        yield
    except (InstallError, OSError):
        if aside.exists():
            remove(folder)
            aside.rename(folder)
        elif complete:
            (folder / MARK).write_text(mark, encoding="utf-8")  # pip undoes what it began
        else:
            remove(folder)
        raise


def _pip_variables(work, keep_cache):
    """Variables that keep pip inside our folders, and the user's own settings out of its way."""
    variables = {"TMPDIR": work / "tmp", "TEMP": work / "tmp", "TMP": work / "tmp", "PIP_USER": "0"}
    variables["PIP_REQUIRE_VIRTUALENV"] = "0"
    if not keep_cache and "PIP_CACHE_DIR" not in os.environ:
        variables["PIP_CACHE_DIR"] = work / "cache"  # stays if we are interrupted, to go on from
    return {key: str(value) for key, value in variables.items()}


def _check_space(folder, megabytes):
    free = shutil.disk_usage(folder).free >> 20
    if free < megabytes:
        raise InstallError(
            f"The disk has only {free} MB free at {folder}, and {megabytes} MB are needed: "
            "free some space, then run this again."
        )


def _create(folder, sandbox, variables):
    print(f"Making the environment in {folder} …", flush=True)
    base = "python3" if sandbox else sys.executable
    made = run_quietly(inside(sandbox, [base, "-I", "-m", "venv", folder], variables), variables)
    if made.returncode != 0:
        if "ensurepip" in made.stdout and not sandbox:
            minor = ".".join(platform.python_version_tuple()[:2])
            what = f"install the package python{minor}-venv (sudo apt install python{minor}-venv)"
        elif "ensurepip" in made.stdout or made.returncode == 127:
            what = "the sandbox of this GIMP has no complete Python: use GIMP from your distribution or gimp.org"
        else:
            what = _refusal(made.stdout) or "check permissions and free disk space"
        raise InstallError(
            f"Python could not make an environment in {folder}: {what}, then run this again.\n{tail(made.stdout)}"
        )


def _fill(python, extras, sandbox, variables):
    """Install the pinned packages and the product; with --no-build-isolation its build uses pinned ones as well."""

    def install(*what):
        command = inside(sandbox, [python, *PIP, "--constraint", PINS, *what], variables)
        return run_quietly(command, variables)

    print(f"Installing ONNX Runtime ({extras[0]} build) and what else is needed …", flush=True)
    installed = install("hatchling")
    if installed.returncode == 0:
        installed = install("--no-build-isolation", f"{SOURCE}[{','.join(extras)}]")
        if installed.returncode != 0 and extras[0] == "cuda":
            print(
                f"The GPU build could not be installed, so the CPU build takes its place.\n{tail(installed.stdout, 2)}"
            )
            installed = install("--no-build-isolation", f"{SOURCE}[{','.join(['cpu', *extras[1:]])}]")
    if installed.returncode != 0:
        raise InstallError(f"{explain_pip(installed.stdout)}\n{tail(installed.stdout)}")
    _compile(python, sandbox)


def _compile(python, sandbox):
    """Have the color formulas compiled for this processor; what comes of it stays in the environment."""
    print("Compiling the color formulas for this processor …", flush=True)
    done = run_quietly(inside(sandbox, [python, "-I", "-c", COMPILE]))
    if done.returncode != 0:
        raise InstallError(
            _refusal(done.stdout)
            or "The color formulas could not be compiled. If a security program forbids programs to make code of their own, "
            f"allow it for {python}, then run this again.\n{tail(done.stdout)}"
        )


def explain_pip(said):
    """Why pip failed, in one sentence that ends in what to do."""
    refusal = _refusal(said)
    if refusal:
        return f"The packages could not be installed: {refusal}, then run this again."
    if "ProxyError" in said or "Cannot connect to proxy" in said:
        return (
            "The packages could not be downloaded, because the proxy does not answer: "
            "check HTTPS_PROXY (or pip's own setting), then run this again."
        )
    if "CERTIFICATE_VERIFY_FAILED" in said or "SSLError" in said:
        return (
            "The packages could not be downloaded, because the other side's certificate is not trusted: in a company "
            "network, set PIP_CERT to the file with its certificate; else check the clock; then run this again."
        )
    missing = re.search(r"No matching distribution found for (\S+)", said)
    versions = re.search(r"\(from versions: (?!none\))", said)
    if missing and versions:
        return (
            f"There is no {missing[1]} for Python {platform.python_version()} on {sysconfig.get_platform()}: "
            "run this with another Python from 3.10 to 3.14."
        )
    return (
        "The packages could not be downloaded: check the network connection (behind a proxy, set HTTPS_PROXY), "
        f"then run this again; it goes on where it stopped: {installer_command()}"
    )


def _refusal(said):
    """What to do if the system refused to write, or None."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM):
        found = re.search(rf"\[Errno {number}\] .*?(?:: '([^']*)')?$", said, re.MULTILINE)
        if found:
            sentence = explain_refusal(OSError(number, os.strerror(number), found[1]))
            return sentence[0].lower() + sentence[1:].removesuffix(", then run this again.")
    return None


def versions_clash(python, sandbox):
    """What pip says of packages that do not go together; "" if all do."""
    done = run_quietly(inside(sandbox, [python, "-I", "-m", "pip", "check"]))
    return "" if done.returncode == 0 else done.stdout.strip()


def core_checks(python, sandbox):
    """What the installed product says of itself: the answer of `hairmask info --json` as text, and whether it came."""
    try:
        done = subprocess.run(
            [str(part) for part in inside(sandbox, [python, "-I", "-m", "hairmask_core", "info", "--json"])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return done.stdout, done.stderr
