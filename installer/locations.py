"""Install locations: where GIMPs, their settings and our own data are on each system. A `System` goes in, paths come out."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .system import IN_PACKAGE, run_quietly

# The product's name in data, cache and sandbox folders. It is the same in every version, so that an installation of
# any version is found and upgraded.
FOLDER = "hair-recolor"
# The plug-in's folder and file. GIMP wants the same name for both, and Python wants one that it can import.
PLUGIN = "hair_recolor"
# GIMP 2.10 keeps its settings in a folder of this name, and has a plug-in of its own.
OLD_SERIES, OLD_PLUGIN = "2.10", "hair_recolor_gimp2"
# GIMP's name on Flathub.
FLATPAK_GIMP = "org.gimp.GIMP"
# Programs that can be GIMP, of this and of later releases: gimp, gimp-3.0, gimp-console-3.2, gimp-console-4.exe.
CONSOLE_NAME = re.compile(r"gimp(-console)?(-\d+(\.\d+)?)?(\.exe)?")
# How long `gimp --version` may take; the first start from a slow disk takes several seconds.
VERSION_SECONDS = 60


@dataclass(frozen=True)
class System:
    """What the locations depend on.

    root: "/" except for a made-up file tree. given: the environment that this runs in, where it came with the package.
    """

    platform: str
    home: Path
    environ: Mapping[str, str]
    root: Path = Path("/")
    given: Path | None = None

    @classmethod
    def here(cls):
        return cls(sys.platform, Path.home(), os.environ, given=Path(sys.prefix) if IN_PACKAGE else None)

    def variable(self, name, otherwise):
        """A folder that an environment variable names, or the usual one, below the home folder.

        A relative path counts as none, as the specification of XDG's variables has it.
        """
        named = Path(self.environ.get(name, ""))
        return named if named.is_absolute() else self.home / otherwise

    def which(self, name):
        return shutil.which(name, path=self.environ.get("PATH", ""))


@dataclass(frozen=True)
class Kind:
    """A way in which GIMP gets onto a computer.

    settings: holds a folder for each series, "3.0" and so on. environment: the Python environment for its plug-in.
    programs: commands that may start it without a window. sandbox: "flatpak" or "snap" if it runs in one, and with
    it our environment: it sees neither the system's Python nor all of the home folder.
    worker: where the worker keeps its things, if that is elsewhere than outside the sandbox.
    is_given: the environment is that which this runs in: whoever made it keeps it and removes it.
    """

    name: str
    settings: Path
    environment: Path
    programs: tuple[str, ...] = ()
    sandbox: str = ""
    worker: tuple[Path, ...] = ()
    is_given: bool = False

    @property
    def python(self):
        return python_in(self.environment)


@dataclass(frozen=True)
class Gimp:
    """One GIMP, or the settings folder of one whose program was not found or, for GIMP 2.10, not looked for.

    settings: its folder, which GIMP makes at its first start. program: starts it without a window; "" if not found.
    version: "3.2.6"; "" if the program was not found.
    """

    kind: Kind
    settings: Path
    program: str = ""
    version: str = ""

    @property
    def is_old(self):
        return self.settings.name == OLD_SERIES

    @property
    def entry(self):
        """The plug-in's own file, which GIMP starts; the folder around it has its name."""
        name = OLD_PLUGIN if self.is_old else PLUGIN
        return self.settings / "plug-ins" / name / f"{name}.py"

    @property
    def plugin(self):
        return self.entry.parent

    def __str__(self):
        return f"GIMP {self.version or self.settings.name}{self.kind.name and f' ({self.kind.name})'}"


def data_folder(system):
    """Where the environments and the record of the installation are."""
    if system.platform == "win32":
        base = system.variable("LOCALAPPDATA", "AppData/Local")
    elif system.platform == "darwin":
        base = system.home / "Library/Application Support"
    else:
        base = system.variable("XDG_DATA_HOME", ".local/share")
    return base / FOLDER


def python_in(environment):
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def kinds(system):
    """Every kind of GIMP that this system can have."""
    return [replace(kind, is_given=kind.environment == system.given) for kind in _kinds(system)]


def _kinds(system):
    environment = system.given or data_folder(system) / "venv"
    if system.platform == "win32":
        return _windows(system, environment)
    if system.platform == "darwin":
        return [Kind("", system.home / "Library/Application Support/GIMP", environment, _mac_programs(system))]
    found = [Kind("", system.variable("XDG_CONFIG_HOME", ".config") / "GIMP", environment, _programs_on_path(system))]
    if system.which("flatpak"):
        own = system.home / ".var/app" / FLATPAK_GIMP
        found.append(
            Kind(
                "Flatpak",
                own / "config/GIMP",
                data_folder(system) / "venv-flatpak",
                ("gimp-console",),
                "flatpak",
                (own / "cache" / FOLDER,),
            )
        )
    if system.which("snap") and (system.home / "snap/gimp").is_dir():
        # A snap sees no hidden folder of the home folder but its own; "common" stays when the snap is updated.
        own = system.home / "snap/gimp"
        caches = own / "current/.cache", own / "common/.cache"
        found.append(
            Kind(
                "Snap",
                own / "current/.config/GIMP",
                own / "common" / FOLDER / "venv",
                ("gimp-console",),
                "snap",
                tuple(cache / FOLDER for cache in caches),
            )
        )
    return found


def _windows(system, environment):
    local = system.variable("LOCALAPPDATA", "AppData/Local")
    folders = [Path(system.environ[name]) for name in ("ProgramFiles", "ProgramW6432") if name in system.environ]
    folders = [folder for base in (*folders, local / "Programs") for folder in sorted(base.glob("GIMP*/bin"))]
    programs = _programs_in(folders) + _programs_on_path(system)
    found = [Kind("", system.variable("APPDATA", "AppData/Roaming") / "GIMP", environment, programs)]
    # An app of the Microsoft Store sees the folder above as well, and one of its own in front of it.
    for package in sorted((local / "Packages").glob("GIMP.GIMP*")):
        settings = package / "LocalCache/Roaming/GIMP"
        if settings.is_dir():
            found.append(
                Kind("Microsoft Store", settings, environment, _programs_in([local / "Microsoft/WindowsApps"]))
            )
    return found


def _mac_programs(system):
    bases = system.root / "Applications", system.home / "Applications"
    return _programs_in([app / "Contents/MacOS" for base in bases for app in sorted(base.glob("GIMP*.app"))]) + (
        _programs_on_path(system)
    )


def _programs_on_path(system):
    return _programs_in(Path(folder) for folder in system.environ.get("PATH", "").split(os.pathsep) if folder)


def _programs_in(folders):
    """What may start GIMP without a window, each program once, gimp-console before gimp."""
    found: dict[Path, str] = {}
    for folder in folders:
        try:
            inside = sorted(path for path in folder.iterdir() if CONSOLE_NAME.fullmatch(path.name))
        except OSError:
            continue
        for path in sorted(inside, key=lambda path: "console" not in path.name):
            target = path.resolve()
            if target.name != "snap":  # the snap has a kind of its own
                found.setdefault(target, str(path))
    return tuple(found.values())


def find_gimps(system):
    """Every GIMP of this user: those that have a settings folder, and GIMP 3 also where it will make one at its first
    start. Not GIMP 2.10 in Debian's packages, which has no Python-Fu: without a settings folder nobody uses it."""
    gimps = []
    for kind in kinds(system):
        found = {folder: Gimp(kind, folder) for folder in kind.settings.glob("3.*") if folder.is_dir()}
        for program in kind.programs:
            version = ask_version(kind, program)
            if version and version.startswith("3."):
                folder = kind.settings / series(version)
                gimp = found.get(folder) or Gimp(kind, folder)
                if not gimp.program:
                    found[folder] = replace(gimp, program=program, version=version)
        gimps += [found[folder] for folder in sorted(found)]
        old = kind.settings / OLD_SERIES
        if old.is_dir() and not kind.sandbox:
            gimps.append(Gimp(kind, old))
    return gimps


def ask_version(kind, program):
    """The version that a program says it has, or None."""
    done = run_quietly(inside(kind.sandbox, [program, "--version"]), seconds=VERSION_SECONDS)
    match = re.search(r"\b\d+\.\d+\.\d+", done.stdout) if done.returncode == 0 else None
    return match and match[0]


def series(version):
    """Unstable minor versions share the next stable one's settings: "3.1.4" -> "3.2"."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f"{major}.{minor + minor % 2}"


def inside(sandbox, command, environment=None):
    """The command as it is run from outside the sandbox, with variables set inside; unchanged where there is none."""
    variables = [f"{key}={value}" for key, value in (environment or {}).items()]
    command = [str(part) for part in command]
    if sandbox == "flatpak":
        return [
            "flatpak",
            "run",
            *(f"--env={v}" for v in variables),
            f"--command={command[0]}",
            FLATPAK_GIMP,
            *command[1:],
        ]
    if sandbox == "snap":
        return ["snap", "run", "--shell", "gimp", "-c", 'exec env "$@"', "sh", *variables, *command]
    return command
