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
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path

from hairmask_core.checks import MARK  # what is in that file: the extras that are installed, the runtime first

from .locations import inside, python_in
from .record import remove
from .system import IN_PACKAGE, SOURCE, InstallError, explain_refusal, installer_command, run_quietly, tail

# pip's constraints: the exact versions that were tried together.
PINS = Path(__file__).with_name("pins.txt")
# The disk space that an environment takes with its downloads, which are removed once it is complete.
NEEDED_MB = {"cpu": 1000, "cuda": 7000}
# Imports ONNX Runtime as the product does: on its own it would report to its maker, and leave a number of the user in the
# home folder.
CHECK_RUNTIME = "import hairmask_core.inference.session, onnxruntime"
# These modules import everything that the product needs.
CHECK_IMPORTS = f"{CHECK_RUNTIME}, hairmask_core.cli.main, hairmask_core.color.kernels"
# Compiles the color formulas now, so that the user need not wait for it at the first start.
COMPILE = "from hairmask_core.pipeline import STORED_TYPES, warm_up; warm_up(STORED_TYPES)"
# pip in an environment: isolated from the user's own packages, and it never asks. It leaves it to Python to compile what
# is imported: to compile all that is in the packages takes three times as long as to unpack them.
PIP = ["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-compile"]


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
        _fill(python_in(folder), extras, sandbox, variables, pack_product(work) if IN_PACKAGE else SOURCE)
        (folder / MARK).write_text(",".join(extras), encoding="utf-8")
    remove(aside)
    remove(work)
    return python_in(folder)


def is_complete(folder, sandbox=""):
    """Whether the environment was completed and its Python runs and finds its packages."""
    if not (folder / MARK).exists():
        return False
    return run_quietly(inside(sandbox, [python_in(folder), "-I", "-c", f"import pip; {CHECK_IMPORTS}"])).returncode == 0


def is_usable(python):
    """Whether GIMP can use an environment that somebody else has made: all that the product needs is in it."""
    return run_quietly([python, "-I", "-c", CHECK_IMPORTS]).returncode == 0


def complete_given(python):
    """Make usable the environment that this runs in, pipx's for example: it may lack ONNX Runtime, or have the CPU build
    where a GPU answers.

    Raises InstallError if that is not possible.
    """
    if run_quietly([python, "-I", "-c", "import hairmask_core"]).returncode != 0:
        raise InstallError(
            f"GIMP cannot start hairmask where it is installed ({sys.prefix}): install it with pipx, then run this again."
        )
    extra = choose_runtime()
    if extra == "cuda" and _has(python, "onnxruntime") and not _has(python, "onnxruntime-gpu"):
        run_quietly([python, "-I", "-m", "pip", "uninstall", "--yes", "onnxruntime"])  # the builds exclude each other
    if run_quietly([python, "-I", "-c", CHECK_RUNTIME]).returncode != 0:
        try:
            _add_runtime(python, extra)
        except InstallError as error:
            if extra == "cpu":
                raise
            print(f"The GPU build could not be installed, so the CPU build takes its place. {error}")
            _add_runtime(python, "cpu")
    _compile(python, "")


def _has(python, package):
    asked = f"import importlib.metadata; importlib.metadata.version({package!r})"
    return run_quietly([python, "-I", "-c", asked]).returncode == 0


def _add_runtime(python, extra):
    print(f"Installing ONNX Runtime ({extra} build) …", flush=True)
    wanted = [line.partition(";")[0] for line in metadata.requires("hairmask") or () if f"extra == '{extra}'" in line]
    installed = run_quietly([python, *PIP, "--constraint", PINS, *wanted])
    if "No module named pip" in installed.stdout:
        raise InstallError(
            f"ONNX Runtime is missing in {sys.prefix}, and there is no pip to install it: do so with what made this "
            "environment, for example  uv tool install --with onnxruntime  and the wheel, then run this again."
        )
    if installed.returncode != 0:
        raise InstallError(f"{explain_pip(installed.stdout)}\n{tail(installed.stdout)}")


def pack_product(folder):
    """Make a wheel of the product's installed files, from which it can be installed into a sandbox; returns its path."""
    product = metadata.distribution("hairmask")
    kept = [
        file
        for file in product.files or ()
        if not {"..", "__pycache__"} & set(file.parts)
        and file.name not in ("INSTALLER", "REQUESTED", "direct_url.json")
    ]
    wheel = folder / f"hairmask-{product.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for file in kept:
            if file.name == "RECORD":
                names = {other.as_posix() for other in kept}
                lines = [line for line in file.read_text().splitlines() if line.split(",")[0] in names]
                archive.writestr(file.as_posix(), "\n".join([*lines, ""]))
            else:
                archive.write(file.locate(), file.as_posix())
    return wheel


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


def _fill(python, extras, sandbox, variables, product):
    """Install the pinned packages and the product; with --no-build-isolation its build uses pinned ones as well.

    product: the folder that it came in, or a wheel of it.
    """

    def install(*what):
        command = inside(sandbox, [python, *PIP, "--constraint", PINS, *what], variables)
        return run_quietly(command, variables)

    print(f"Installing ONNX Runtime ({extras[0]} build) and what else is needed …", flush=True)
    if "test" in extras:  # so many packages that an old pip takes twice as long to choose their versions
        install("pip>=25")
    installed = install("pip" if IN_PACKAGE else "hatchling")
    if installed.returncode == 0:
        installed = install("--no-build-isolation", f"{product}[{','.join(extras)}]")
        if installed.returncode != 0 and extras[0] == "cuda":
            print(
                f"The GPU build could not be installed, so the CPU build takes its place.\n{tail(installed.stdout, 2)}"
            )
            installed = install("--no-build-isolation", f"{product}[{','.join(['cpu', *extras[1:]])}]")
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


def _proxy_refuses(said):
    """Whether what pip could not connect to is the proxy, which newer pips name like any other host."""
    refused = re.search(r"host='([^']+)', port=(\d+)\): Failed to establish", said)
    return refused and any(f"{refused[1]}:{refused[2]}" in proxy for proxy in urllib.request.getproxies().values())


def explain_pip(said):
    """Why pip failed, in one sentence that ends in what to do."""
    refusal = _refusal(said)
    if refusal:
        return f"The packages could not be installed: {refusal}, then run this again."
    if "ProxyError" in said or "Cannot connect to proxy" in said or _proxy_refuses(said):
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
