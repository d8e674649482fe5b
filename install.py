#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Hair Recolor for GIMP: one command, no administrator rights, nothing outside your home folder.

python3 install.py                install or repair
python3 install.py --demo [PHOTO] install, then recolor a photo and say where the picture is
python3 install.py --test         run all tests (in an environment of their own, beside this file)
python3 install.py --uninstall    remove everything that was installed
"""

import argparse
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
PLUGIN = "hair_recolor"
OLDEST_PYTHON = (3, 10)
FLATPAK_GIMP = "org.gimp.GIMP"


class InstallError(Exception):
    """The installation cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Profile:
    """One GIMP's settings folder. flatpak: that GIMP runs in Flatpak's sandbox and needs its own Python."""

    folder: Path
    flatpak: bool = False

    @property
    def plugin(self):
        return self.folder / "plug-ins" / PLUGIN


def main():
    """Returns the exit status: 0 all well, 1 something failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--demo", nargs="?", const="", metavar="PHOTO", help="recolor a photo (default: a portrait of an astronaut)"
    )
    what.add_argument("--test", action="store_true", help="run all tests")
    what.add_argument("--uninstall", action="store_true", help="remove everything that was installed")
    args, rest = parser.parse_known_args()
    if rest and not args.test:  # what follows --test goes to pytest
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise InstallError(
                f"This is Python {sys.version.split()[0]}; 3.10 or newer is needed: install it and run this with it."
            )
        if args.uninstall:
            return uninstall()
        if args.test:
            return run_tests(rest)
        install()
        return demo(args.demo) if args.demo is not None else 0
    except InstallError as error:
        print(f"\nNot finished: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nNot finished: {error}. Check permissions and free disk space, then run this again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run this again to go on, or with --uninstall to remove what is there.", file=sys.stderr)
        return 130


# Installing


def install():
    """Make the environment, put the plug-in into every GIMP 3 profile, and check that it works."""
    record = Record(data_folder())
    version = product_version()
    print(f"Hair Recolor {version}")
    runtime = choose_runtime()
    python = make_environment(record, data_folder() / "venv", [runtime])
    profiles = find_profiles()
    for profile in profiles:
        profile_python = python
        if profile.flatpak:
            profile_python = make_environment(record, data_folder() / "venv-flatpak", ["cpu"], flatpak=True)
        put_plugin(record, profile, profile_python, version)
        print(f"Plug-in: {profile.plugin}")
    private = load_client().private_path()
    record.make_folder(private.parent)
    record.note_tree(private)
    stop_worker()  # one from before this installation would serve the old code
    print("Checking …", flush=True)
    device = self_check(python, version)
    print(f"It works: the network runs on {device}.\n")
    hairmask = python.parent / ("hairmask.exe" if os.name == "nt" else "hairmask")
    if profiles:
        print("Next: start GIMP (restart it if it is running), open a photo, choose Filters > Hair > Recolor…")
    else:
        print("No GIMP 3 was found, so the command line is all there is for now. After installing GIMP 3")
        print("and starting it once, run this command again to get Filters > Hair > Recolor… into its menu.")
    print(f"Command line: {quote([str(hairmask)])} --help")


class Record:
    """What was made, written down before it is made, so that uninstalling finds it whatever happened."""

    def __init__(self, folder):
        self.path = folder / "installed.json"
        self.made = {"folders": [], "trees": []}
        if self.path.exists():
            try:
                self.made.update(json.loads(self.path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise InstallError(f"{self.path} is damaged: delete {folder} and run this again.") from error
        self.make_folder(folder)

    def make_folder(self, folder):
        """Make a folder and those above it, noting each that was not there."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir()
            self._note("folders", folder)

    def note_tree(self, folder):
        """Note a folder whose whole content is ours."""
        self._note("trees", folder)

    def _note(self, kind, path):
        if str(path) not in self.made[kind]:
            self.made[kind].append(str(path))
        if self.path.parent.exists():
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.made, indent=1), encoding="utf-8")
            part.replace(self.path)


def make_environment(record, folder, extras, flatpak=False):
    """A virtual environment with the product and its dependencies; returns its Python. Repairs what is there.

    flatpak: made with the Python of GIMP's sandbox, and every command for it runs in there.
    """
    record.make_folder(folder.parent)
    record.note_tree(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not works(python, flatpak):
        shutil.rmtree(folder, ignore_errors=True)
        print(f"Making the environment in {folder} …", flush=True)
        base = "python3" if flatpak else sys.executable
        made = run_quietly([*program(base, flatpak), "-m", "venv", folder])
        if made.returncode != 0:
            missing = "ensurepip" in made.stdout
            hint = "install the package python3-venv" if missing else "check permissions and free disk space"
            raise InstallError(
                f"Python could not make an environment in {folder}: {hint}, then run this again.\n{tail(made.stdout)}"
            )
    print(f"Installing ONNX Runtime ({extras[0]} build) and what else is needed …", flush=True)
    installed = pip_install(python, flatpak, f"{SOURCE}[{','.join(extras)}]")
    if installed.returncode != 0 and "cuda" in extras:
        print("The GPU build could not be installed; the CPU build takes its place.")
        extras = ["cpu" if extra == "cuda" else extra for extra in extras]
        installed = pip_install(python, flatpak, f"{SOURCE}[{','.join(extras)}]")
    if installed.returncode != 0:
        raise InstallError(
            "The packages could not be installed: check the network connection (behind a proxy, set HTTPS_PROXY) "
            f"and free disk space, then run this again.\n{tail(installed.stdout)}"
        )
    # The version number does not tell one state of the source from another, so the product itself is put in anew.
    renewed = pip_install(python, flatpak, "--force-reinstall", "--no-deps", str(SOURCE))
    if renewed.returncode != 0:
        raise InstallError(
            f"The product could not be installed from {SOURCE}: download it again.\n{tail(renewed.stdout)}"
        )
    return python


def program(name, flatpak):
    """The command that starts a program, in GIMP's sandbox or outside."""
    return ["flatpak", "run", f"--command={name}", FLATPAK_GIMP] if flatpak else [str(name)]


def works(python, flatpak):
    return run_quietly([*program(python, flatpak), "-I", "-c", "import pip"]).returncode == 0


def pip_install(python, flatpak, *what):
    pip = ["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    return run_quietly([*program(python, flatpak), *pip, *what])


def choose_runtime():
    """The extra of pyproject.toml that fits this machine: "cuda" where an NVIDIA driver answers, else "cpu"."""
    if shutil.which("nvidia-smi") and run_quietly(["nvidia-smi", "-L"]).returncode == 0:
        print("An NVIDIA GPU answers, so the GPU build of ONNX Runtime is used (a large download).")
        return "cuda"
    return "cpu"


def find_profiles():
    """Every GIMP 3 profile of this user, and those that an installed GIMP 3 will make at its first start."""
    home = Path.home()
    if sys.platform == "win32":
        native = Path(os.environ.get("APPDATA") or home / "AppData/Roaming") / "GIMP"
    elif sys.platform == "darwin":
        native = home / "Library/Application Support/GIMP"
    else:
        native = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "GIMP"
    found = {folder for folder in native.glob("3.*") if folder.is_dir()}
    version = installed_gimp()
    if version and version[0] == 3:
        found.add(native / f"{version[0]}.{version[1]}")
    sandboxed = (home / ".var/app" / FLATPAK_GIMP / "config/GIMP").glob("3.*") if shutil.which("flatpak") else ()
    return [Profile(folder) for folder in sorted(found)] + [
        Profile(folder, flatpak=True) for folder in sorted(sandboxed)
    ]


def installed_gimp():
    """(major, minor) of the GIMP on the PATH, or None. Unstable minor versions share the next stable one's profile."""
    for name in ("gimp-console", "gimp", "gimp-3.0", "gimp-3.2"):
        if shutil.which(name):
            match = re.search(r"(\d+)\.(\d+)\.\d+", run_quietly([name, "--version"]).stdout)
            if match:
                return int(match[1]), int(match[2]) + int(match[2]) % 2
    return None


def put_plugin(record, profile, python, version):
    """Copy the plug-in into one profile, with the settings that lead it to its environment."""
    record.make_folder(profile.plugin.parent)
    record.note_tree(profile.plugin)
    profile.plugin.mkdir(exist_ok=True)
    for path in (SOURCE / "gimp_plugin" / PLUGIN).glob("*.py"):
        shutil.copyfile(path, profile.plugin / path.name)
    shutil.copyfile(SOURCE / "hairmask_core" / "shades.json", profile.plugin / "shades.json")
    (profile.plugin / "models.json").write_text(json.dumps(read_models(), indent=1), encoding="utf-8")
    (profile.plugin / f"{PLUGIN}.py").chmod(0o755)  # GIMP passes over files that are not executable
    write_settings(profile.plugin, python, version)


def read_models():
    """What the dialog says of each whole-image network, the default one first."""
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((SOURCE / "models").glob("*.json"))]
    cards = [card for card in cards if card["task"] == "whole-image"]
    cards.sort(key=lambda card: not card["default"])
    return [{"name": card["name"], "label": card["label"], "description": card["terms"]} for card in cards]


def write_settings(folder, python, version):
    repair = quote([sys.executable, str(SOURCE / "install.py")])
    settings = {"python": str(python), "version": version, "repair": repair}
    (folder / "settings.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")


def self_check(python, version):
    """Recolor a small picture through the plug-in's own client and worker; returns the device that did it."""
    client = load_client()
    with tempfile.TemporaryDirectory() as folder:
        write_settings(Path(folder), python, version)
        settings = client.load_settings(folder)
    directory = client.private_directory()
    side = 64
    files = pixels, layer, mask = [client.exchange_path(directory) for _ in range(3)]
    pixels.write_bytes(bytes((x * 4, y * 4, 96, 255)[c] for y in range(side) for x in range(side) for c in range(4)))
    request = {"type": "recolor", "width": side, "height": side, "format": "u8", "mask_format": "u8", "limits": []}
    request.update({"shade": "copper", "tips": None, "strength": 1.0, "force": True})
    request.update({"engine": "whole", "model": None, "quality": "fast", "step": 2, "device": "auto"})
    request.update({"refined": True, "people": "together", "output": "layer"})
    request.update({"pixels": pixels.name, "layer_out": [layer.name], "mask_out": [mask.name]})

    def on_result(result):
        sizes = (layer.stat().st_size, mask.stat().st_size)
        if sizes != (4 * side * side, side * side):
            raise InstallError(f"The worker answered with files of {sizes} bytes: run this again, then report it.")
        for notice in result["notices"]:
            print(notice)
        return result["device"]

    try:
        return client.ask(settings, directory, request, lambda fraction, text: None, on_result)
    except client.WorkerError as error:
        raise InstallError(f"The check failed: {error}") from error
    finally:
        for path in files:
            path.unlink(missing_ok=True)
        stop_worker()


# Demonstration and tests


def demo(photo):
    """Recolor a photo and say where the before/after picture is."""
    folder = Path.cwd() / "hair-recolor-demo"
    folder.mkdir(exist_ok=True)
    python = environment_python()
    photo = Path(photo) if photo else fetch_astronaut(python, folder)
    picture = folder / f"{photo.stem}-before-after.png"
    made = subprocess.run([str(python), "-I", "-m", "hairmask_core.demo", str(photo), str(picture)])
    if made.returncode != 0:
        return 1
    print(f"\nBefore and after: {picture}")
    return 0


def fetch_astronaut(python, folder):
    """scikit-image's portrait of an astronaut (NASA, public domain), taken out of that package's own archive."""
    target = folder / "astronaut.png"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            python,
            "-I",
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
        ]
        fetched = run_quietly([*command, "--dest", scratch, "scikit-image"])
        archives = list(Path(scratch).glob("*.whl"))
        if fetched.returncode != 0 or not archives:
            raise InstallError(
                "The astronaut's portrait could not be fetched: check the network connection, "
                f"or name a photo of yours: {quote([sys.executable, str(SOURCE / 'install.py')])} --demo PHOTO\n{tail(fetched.stdout)}"
            )
        with zipfile.ZipFile(archives[0]) as archive:
            target.write_bytes(archive.read("skimage/data/astronaut.png"))
    return target


def run_tests(arguments):
    """All tests, in an environment of their own beside this file; the user's GIMP is not touched."""
    python = make_environment(
        Record(SOURCE / ".venv-test"), SOURCE / ".venv-test" / "venv", [choose_runtime(), "test", "training"]
    )
    # Not "python -m pytest", which would put the source before the installed product.
    pytest = python.parent / ("pytest.exe" if os.name == "nt" else "pytest")
    return subprocess.run([str(pytest), *arguments], cwd=SOURCE).returncode


# Uninstalling


def uninstall():
    """Remove exactly what was installed."""
    folder = data_folder()
    if not (folder / "installed.json").exists():
        print("Nothing to remove: Hair Recolor is not installed here.")
        return 0
    stop_worker()
    made = Record(folder).made
    for tree in map(Path, made["trees"]):
        if tree.exists():
            shutil.rmtree(tree)
            print(f"Removed {tree}")
    (folder / "installed.json").unlink()
    for made_folder in sorted((Path(f) for f in made["folders"]), key=lambda f: len(f.parts), reverse=True):
        try:
            made_folder.rmdir()
        except OSError:
            pass  # somebody else keeps something in it by now
    print("Hair Recolor is removed.")
    return 0


# Small things


def data_folder():
    """Where the environment and the record of the installation are."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local")
    elif sys.platform == "darwin":
        base = home / "Library/Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return base / "hair-recolor"


def environment_python():
    return data_folder() / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def product_version():
    return re.search(r'__version__ = "(.+)"', (SOURCE / "hairmask_core/__init__.py").read_text(encoding="utf-8"))[1]


def load_client():
    """The plug-in's own worker client, from the source tree."""
    folder = SOURCE / "gimp_plugin" / PLUGIN
    spec = importlib.util.spec_from_file_location("worker_client", folder / "worker_client.py")
    client = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the download folder may be read-only
    sys.path.insert(0, str(folder))  # for what it imports from beside it
    try:
        spec.loader.exec_module(client)
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(folder))
    return client


def stop_worker():
    client = load_client()
    client.stop(client.private_path())


def run_quietly(command):
    """Run a command to its end; what it says, errors included, is in `stdout`. A program that is not there has failed."""
    if not shutil.which(str(command[0])):
        return subprocess.CompletedProcess(command, 127, f"{command[0]} was not found")
    return subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def tail(text, lines=6):
    return "\n".join("  " + line for line in text.strip().splitlines()[-lines:])


def quote(command):
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


if __name__ == "__main__":
    sys.exit(main())
