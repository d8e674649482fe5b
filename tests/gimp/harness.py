"""Runs real GIMPs for the tests: the machine's own GIMP 3, or one in a Debian root for each version.

Everything that a test does with GIMP goes through a `Gimp`: paths are GIMP's own, and `on_host`
tells where they are for the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROOTS = Path(os.environ.get("HAIR_RECOLOR_GIMP_ROOTS", "/var/cache/hair-recolor-gimp"))
SUITES = {"3.0": "trixie", "3.2": "forky"}  # Debian suites that carry these GIMPs
HOME_IN_ROOT = Path("/home/gimp tester")  # the space is meant
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
QUIET = "(show-welcome-dialog no)\n(check-updates no)\n(color-profile-policy keep)\n(save-session-info no)\n"


@dataclass(frozen=True)
class Gimp:
    """One GIMP to test with.

    series: "3.0" or "3.2". root: the Debian root it is in, or None for the machine's own.
    home: the test user's home folder and scratch: a path of GIMP's.
    """

    series: str
    root: Path | None
    home: Path

    def on_host(self, path: str | Path) -> Path:
        """Where a path of this GIMP's is for the test."""
        return Path(path) if self.root is None else self.root / str(path).lstrip("/")

    @property
    def profile(self) -> Path:
        return self.home / ".config/GIMP" / self.series


def own_gimp() -> str | None:
    """The series of the machine's own GIMP if it is a 3.x, else None."""
    for name in ("gimp-console", "gimp"):
        if shutil.which(name):
            said = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            match = re.search(r"\b(3\.\d+)\.\d+", said)
            if match:
                return match[1]
    return None


def wanted_series() -> list[str]:
    """The GIMP series that this machine tests: its own, else all where Debian roots can be made; in CI always some."""
    own = own_gimp()
    if own:
        return [own]
    can_build = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    return list(SUITES) if can_build or os.environ.get("CI") else []


def open_gimp(series: str, scratch: Path) -> Gimp:
    """A GIMP of that series with a fresh home folder; its Debian root is built if it is not there yet."""
    if own_gimp() == series:
        gimp = Gimp(series, None, scratch / "gimp home")
    else:
        gimp = Gimp(series, build_root(series), HOME_IN_ROOT)
    end_all_processes(gimp)
    shutil.rmtree(gimp.on_host(gimp.home), ignore_errors=True)
    gimp.on_host(gimp.home / "run").mkdir(parents=True, mode=0o700)
    gimp.on_host(gimp.profile).mkdir(parents=True)
    version = run(gimp, ["gimp", "--version"]).split()[-1]
    (gimp.on_host(gimp.profile) / "gimprc").write_text(
        QUIET + f'(config-version "{version}")\n'
    )  # else it says welcome
    run(gimp, ["gimp-console", "-idf", "--quit"])  # who wants a plug-in has used GIMP before: it knows its own ones
    return gimp


def build_root(series: str) -> Path:
    """The Debian root with that GIMP; it is built if it is not there yet."""
    root = ROOTS / SUITES[series]
    command = ["bash", REPOSITORY / "tests/gimp/build_root.sh", root, SUITES[series]]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, (
        f"GIMP {series} could not be set up in {root}:\n{built.stdout[-2000:]}{built.stderr[-2000:]}"
    )
    return root


def environment(gimp: Gimp, **more: str) -> dict[str, str]:
    return {
        "HOME": str(gimp.home),
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/games",
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(gimp.home / "run"),
        "NO_AT_BRIDGE": "1",
    } | more


def start(gimp: Gimp, argv: list[str], output, **more: str) -> subprocess.Popen:
    """Start a program beside this GIMP; `more` are environment variables."""
    inside = ["env", "-i", *(f"{k}={v}" for k, v in environment(gimp, **more).items()), *map(str, argv)]
    command = inside if gimp.root is None else ["chroot", str(gimp.root), *inside]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, text=True
    )


def run(gimp: Gimp, argv: list[str], seconds: float = 180, **more: str) -> str:
    """Run a program to its end; returns what it printed. Fails the test if it takes longer or exits with an error."""
    with tempfile.TemporaryFile("w+") as output:
        process = start(gimp, argv, output, **more)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = f"still running after {seconds} seconds"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        said = output.read()
    assert status == 0, f"{argv[0]}: {status}\n{said}"
    return said


def run_script(gimp: Gimp, script: str, seconds: float = 240, fonts: bool = False) -> dict:
    """Run a Python script in gimp-console. It puts what it finds into the dict RESULT, which is returned.

    The script finds Gimp, Gegl, Gio imported, and HOME as the path of its scratch folder.
    """
    answer = gimp.on_host(gimp.home / "answer.json")
    answer.unlink(missing_ok=True)
    frame = f"""
import json, traceback
import gi
gi.require_version("Gimp", "3.0"); gi.require_version("Gegl", "0.4")
from gi.repository import Gimp, Gegl, Gio
HOME, RESULT = {str(gimp.home)!r}, {{}}
try:
    exec(compile(open(HOME + "/script.py").read(), "script.py", "exec"), globals())
except BaseException:
    RESULT["traceback"] = traceback.format_exc()
json.dump(RESULT, open(HOME + "/answer.json", "w"))
"""
    (gimp.on_host(gimp.home) / "frame.py").write_text(frame)
    (gimp.on_host(gimp.home) / "script.py").write_text(script)
    load = f"exec(open({str(gimp.home / 'frame.py')!r}).read())"
    said = run(
        gimp,
        ["gimp-console", "-id" if fonts else "-idf", "--batch-interpreter=python-fu-eval", "-b", load, "--quit"],
        seconds,
    )
    assert answer.exists(), said
    result = json.loads(answer.read_text())
    assert "traceback" not in result, result["traceback"] + said
    return result


def source_files() -> list[str]:
    """The files of the working tree that a clone would have, and those that are not ignored."""
    command = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.split("\0") if name and (REPOSITORY / name).is_file())


def install_product(gimp: Gimp) -> str:
    """Install the product for this GIMP as its user would, by install.py; returns what that said."""
    source = gimp.home / "hair recolor"
    for name in source_files():
        target = gimp.on_host(source / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, target)
    more = {}
    if gimp.root is not None:  # the root does not have this machine's pip settings, so it gets the packages themselves
        version = run(gimp, ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
        wheels = gimp.on_host("/srv/wheels")
        shutil.rmtree(wheels, ignore_errors=True)
        shutil.copytree(download_wheels(version), wheels)
        more = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/wheels"}
    return run(gimp, ["python3", source / "install.py"], 600, **more)


def download_wheels(version: str) -> Path:
    """The product's dependencies as wheels for that Python ("3.13"), kept for the next run."""
    folder = ROOTS / f"pinned-{version}"
    wanted = [
        r.split(";")[0].strip() for r in requires("hairmask") if "extra" not in r or re.search("extra == .cpu.", r)
    ]
    wanted = sorted([*wanted, "hatchling"])
    pins = REPOSITORY / "installer/pins.txt"
    note = folder / "complete.json"
    complete = json.dumps([wanted, pins.read_text()])
    if note.exists() and note.read_text() == complete:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    tag, machine = "cp" + version.replace(".", ""), os.uname().machine
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", version]
    command += ["--implementation", "cp", "--abi", tag, "--abi", "abi3", "--abi", "none", "--platform", "any"]
    command += [f"--platform={platform}_{machine}" for platform in PLATFORMS]
    done = subprocess.run([*command, "--constraint", pins, "--dest", folder, *wanted], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    note.write_text(complete)
    return folder


def processes(gimp: Gimp, words: str) -> list[int]:
    """The numbers of this GIMP's processes whose command line has these words in it."""
    mark, found = f"HOME={gimp.home}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inside = gimp.root is None or os.readlink(folder / "root") == str(gimp.root)
            ours = inside and mark in (folder / "environ").read_bytes().split(b"\0")
            if ours and words.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            pass  # it ended meanwhile
    return found


def reads(process: int, words: str) -> bool:
    """Whether the process has a file open whose name has these words in it."""
    try:
        return any(words in os.readlink(file) for file in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False  # it ended meanwhile, or closed one


def end_all_processes(gimp: Gimp) -> None:
    """End whatever still runs in the root (workers outlive GIMP); on the machine's own GIMP, in the test's home."""
    for number in processes(gimp, ""):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(number, signal.SIGKILL)


class Window:
    """GIMP in a window on a virtual screen."""

    def __init__(self, gimp: Gimp, display: str):
        self.gimp, self.display = gimp, display

    def wait_for_output(self, argv: list[str], words: str, seconds: float = 30) -> None:
        """Wait until a program ends well and prints these words."""
        deadline = time.monotonic() + seconds
        while True:
            with tempfile.TemporaryFile("w+") as output:
                status = start(self.gimp, argv, output, DISPLAY=self.display).wait()
                output.seek(0)
                if status == 0 and words in output.read():
                    return
            assert time.monotonic() < deadline, f"{argv} did not print {words!r}"
            time.sleep(0.1)

    def xdo(self, *arguments: str) -> str:
        """Run xdotool on this screen and return what it printed."""
        return run(self.gimp, ["xdotool", *arguments], 60, DISPLAY=self.display)

    def key(self, *keys: str) -> None:
        for key in keys:
            self.xdo("key", key)
            time.sleep(0.3)

    def find(self, title: str) -> str:
        """The number of the visible window whose title matches; empty if there is none."""
        # A window may vanish while xdotool looks at it, which is then an error of its: look again later.
        search = f"xdotool search --onlyvisible --name '{title}' 2>/dev/null || true"
        return (run(self.gimp, ["sh", "-c", search], 60, DISPLAY=self.display).split() or [""])[-1]

    def wait_for(self, title: str, seconds: float = 180) -> str:
        """Wait until a window whose title matches is there to stay; returns its number."""
        deadline, before = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            found = self.find(title)
            if found and found == before:
                return found
            before = found
            time.sleep(0.5)
        self.screenshot(Path(tempfile.gettempdir()) / "gimp-window-missing.png")
        raise AssertionError(f"No window named {title!r} after {seconds} seconds")

    def wait_until_gone(self, title: str, seconds: float = 180) -> None:
        """Wait until no window of that title is visible any more."""
        deadline = time.monotonic() + seconds
        while self.find(title):
            assert time.monotonic() < deadline, f"The window {title!r} is still there after {seconds} seconds"
            time.sleep(0.3)

    def screenshot(self, target: Path) -> None:
        """Save the whole screen as a PNG at a path of the test's."""
        shot = self.gimp.home / "shot.png"
        run(self.gimp, ["import", "-window", "root", shot], 60, DISPLAY=self.display)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.gimp.on_host(shot), target)


@contextmanager
def open_window(gimp: Gimp, arguments: list[str], language: str = "C.UTF-8"):
    """GIMP with a window on a virtual screen of its own; everything ends when the block does."""
    display = f":{90 + int(gimp.series.replace('.', ''))}"
    processes = []
    with open(gimp.on_host(gimp.home) / "window.log", "w") as log:
        try:
            for left in (f"/tmp/.X11-unix/X{display[1:]}", f"/tmp/.X{display[1:]}-lock"):  # by a screen that was killed
                gimp.on_host(left).unlink(missing_ok=True)
            processes.append(start(gimp, ["Xvfb", display, "-screen", "0", "1400x900x24", "-noreset"], log))
            window = Window(gimp, display)
            window.wait_for_output(["xprop", "-root", "-len", "4"], "")
            processes.append(start(gimp, ["openbox"], log, DISPLAY=display))
            window.wait_for_output(["xprop", "-root", "_NET_SUPPORTING_WM_CHECK"], "window id")
            command = ["dbus-run-session", "--", "gimp", "--no-splash", *arguments]
            processes.append(start(gimp, command, log, DISPLAY=display, LANG=language))
            yield window
        finally:
            for process in reversed(processes):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            end_all_processes(gimp)
