"""The command lines of install.py and of `hairmask gimp`: install, demonstrate, test, look, uninstall."""

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from hairmask_core import __version__

from .doctor import check_visible, doctor, environments
from .environment import check_python, choose_runtime, complete_given, make_environment
from .locations import System, data_folder, find_gimps, kinds
from .plugin import LAST_VALUES, put_plugin, self_check, stop_workers, worker_folders
from .record import NAME, Record, remove, remove_all
from .system import InstallError, explain_refusal, installer_command, quote, run_quietly, tail
from .testing import run_tests


def main(description):
    """Run one command; returns the exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console may lack letters that a path has
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--demo", nargs="?", const="", metavar="PHOTO", help="recolor a photo (default: a portrait of an astronaut)"
    )
    what.add_argument("--doctor", action="store_true", help="look whether everything works")
    what.add_argument("--test", action="store_true", help="run all tests; further arguments go to pytest")
    what.add_argument("--uninstall", action="store_true", help="remove everything that was installed")
    parser.add_argument("--quick", action="store_true", help="with --test: only what takes minutes, without GIMP")
    args, rest = parser.parse_known_args()
    if args.quick and not args.test:
        parser.error("--quick goes with --test")
    if rest and not args.test:
        parser.error(f"unknown arguments: {' '.join(rest)}")

    def work(system):
        if args.uninstall:
            return uninstall(system)
        if args.doctor:
            return doctor(system)
        if args.test:
            check_python()
            return run_tests(rest, args.quick)
        install(system)
        return demo(system, args.demo) if args.demo is not None else 0

    return carry_out(work)


def run_action(action):
    """`hairmask gimp ACTION`, "install", "doctor" or "uninstall": the same with the environment that it runs in."""
    return carry_out({"install": install, "doctor": doctor, "uninstall": uninstall}[action])


def carry_out(work):
    """Do it for this system; returns the exit status, and says what was in the way."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return work(System.here()) or 0
    except InstallError as error:
        print(f"\nNot finished: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nNot finished: {explain_refusal(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        remove_all_of_it = installer_command(action="uninstall")
        print(f"\nInterrupted. Run this again to go on; to remove what is there: {remove_all_of_it}", file=sys.stderr)
        return 130


# Installing


def install(system):
    """Make the environments, put the plug-in into every GIMP 3, and check that it works, from GIMP's side as well."""
    check_python()
    refuse_sudo(system.environ)
    record = Record(data_folder(system))
    print(f"Hair Recolor {__version__}")
    gimps = find_gimps(system)
    for kind in environments(system, gimps):
        if kind.is_given:
            complete_given(kind.python)
        else:
            extra = "cpu" if kind.sandbox else choose_runtime()
            make_environment(record, kind.environment, [extra], kind.sandbox)
    stop_workers(kinds(system))  # one from before this installation would serve the old code
    note_worker_folders(record, system)
    missing = put_plugins(record, gimps)
    print("Checking …", flush=True)
    python = kinds(system)[0].python
    print(f"It works: the network runs on {self_check(python)}.")
    missing += look_from_gimp(gimp for gimp in gimps if gimp.plugin.is_dir() and not gimp.is_old)
    if missing:
        raise InstallError("\n".join(missing))
    hairmask = python.parent / ("hairmask.exe" if os.name == "nt" else "hairmask")
    if gimps:
        print("\nNext: start GIMP (restart it if it is running), open a photo, choose Filters > Hair > Recolor…")
    else:
        print("\nNo GIMP 3 was found, so the command line is all there is for now. After installing GIMP 3")
        print("and starting it once, run this command again to get Filters > Hair > Recolor… into its menu.")
    print(f"Command line: {quote([str(hairmask)])} --help")


def refuse_sudo(environ):
    """Raise InstallError if this runs under sudo: it would install for root, or leave files that the user cannot change."""
    if environ.get("SUDO_USER") and hasattr(os, "geteuid") and os.geteuid() == 0:
        raise InstallError(f"This needs no administrator rights: run it as {environ['SUDO_USER']}, without sudo.")


def note_worker_folders(record, system):
    outside, *inside = worker_folders(kinds(system))
    record.make_folder(outside.parent)
    record.note_tree(outside)
    for folder in inside:
        record.note_tree(folder.parent)


def put_plugins(record, gimps):
    """Put the plug-in into every GIMP's folder; one that refuses does not stop the others. Returns what is missing."""
    missing = []
    for gimp in gimps:
        try:
            put_plugin(record, gimp, gimp.kind.python)
            print(f"Plug-in: {gimp.plugin}")
        except OSError as error:
            missing.append(f"{gimp} does not have the plug-in. {explain_refusal(error)}")
    return missing


def look_from_gimp(gimps):
    """Start each GIMP and ask for the filter. Returns what is missing."""
    missing = []
    for gimp in gimps:
        if not gimp.program:
            print(f"{gimp}: its program was not found, so it could not be asked; its settings are in {gimp.settings}")
            continue
        check = check_visible(gimp)
        print(f"{gimp}: {check.finding}")
        if check.remedy:
            missing.append(f"{gimp} does not show the filter. {check.remedy}")
    return missing


# Demonstration


def demo(system, photo):
    """Recolor a photo and say where the before/after picture is."""
    folder = Path.cwd() / "hair-recolor-demo"
    folder.mkdir(exist_ok=True)
    python = kinds(system)[0].python
    photo = Path(photo) if photo else fetch_astronaut(python, folder)
    picture = folder / f"{photo.stem}-before-after.png"
    made = subprocess.run([str(python), "-I", "-m", "hairmask_core.cli.demo", str(photo), str(picture)])
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
        options = ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", scratch]
        fetched = run_quietly([python, "-I", "-m", "pip", "download", *options, "scikit-image"])
        archives = list(Path(scratch).glob("*.whl"))
        if fetched.returncode != 0 or not archives:
            raise InstallError(
                "The astronaut's portrait could not be fetched: check the network connection, "
                f"or name a photo of yours: {installer_command()} --demo PHOTO\n{tail(fetched.stdout)}"
            )
        with zipfile.ZipFile(archives[0]) as archive:
            target.write_bytes(archive.read("skimage/data/astronaut.png"))
    return target


# Uninstalling


def uninstall(system):
    """Remove exactly what was installed, and what GIMP keeps of the filter's last values."""
    folder = data_folder(system)
    if not (folder / NAME).exists():
        print("Nothing to remove: Hair Recolor is not installed here.")
        return 0
    stop_workers(kinds(system))
    for kind in kinds(system):
        for pattern in LAST_VALUES:
            for path in kind.settings.glob(pattern):
                remove(path)
    left = remove_all(folder)
    if left:
        raise InstallError("\n".join(left))
    if system.given and system.given.exists():
        print(
            "Hair Recolor is removed from GIMP. The command line stays: to remove it, too, run  pipx uninstall hairmask"
        )
    else:
        print("Hair Recolor is removed.")
    return 0
