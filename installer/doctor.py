"""Looks at everything that has to be right for the filter to work, from GIMP's side and from the environment's."""

import contextlib
import json
import platform
import sys
import tempfile
from pathlib import Path

from hairmask_core import __version__
from hairmask_core.checks import FAILED, NOTE, OK, Check, all_well, format_checks

from .environment import core_checks, is_complete, is_usable, versions_clash
from .gimp import ask_gimp, why_invisible
from .locations import data_folder, find_gimps, kinds
from .plugin import load_client
from .record import NAME
from .system import installer_command

# The remedy for most of what can be wrong.
INSTALL = f"Run {installer_command()}"


def doctor(system):
    """Print the table; returns 0 if all is well, else 1."""
    checks = [
        Check(OK, "Installer", f"Hair Recolor {__version__}, Python {platform.python_version()} ({sys.executable})")
    ]
    if (data_folder(system) / NAME).exists():
        gimps = find_gimps(system)
        checks += check_gimps(gimps)
        for kind in environments(system, gimps):
            checks += check_environment(kind)
    else:
        checks.append(Check(FAILED, "Installation", "Hair Recolor is not installed here.", INSTALL))
    print(format_checks(checks))
    well = all_well(checks)
    print("\nAll is well." if well else "\nNot all is well: do what stands behind the arrows, then look again.")
    return 0 if well else 1


def environments(system, gimps):
    """The kinds that need an environment of their own: that of the command line, and one for each kind of sandbox."""
    first, *others = kinds(system)
    used = {gimp.kind for gimp in gimps}
    return [first, *(kind for kind in others if kind in used and kind.environment != first.environment)]


def check_gimps(gimps):
    """The GIMPs that were found, and in each whether the plug-in is complete and GIMP has it."""
    if not any(gimp.program for gimp in gimps):
        remedy = "Install GIMP 3, start it once, then run the installer again. Until then there is the command line."
        yield Check(FAILED, "GIMP", "no GIMP 3 that can be started was found", remedy)
    for gimp in gimps:
        if gimp.is_old:
            yield Check(NOTE, str(gimp), "it shows the filter only where it has Python-Fu, and cannot be asked here")
            yield check_files(gimp)
        elif not gimp.program:
            yield Check(
                NOTE, str(gimp), f"no program for the settings in {gimp.settings}: a GIMP that is gone, or an AppImage"
            )
            yield check_files(gimp)
        else:
            yield Check(OK, str(gimp), f"{gimp.program}, settings in {gimp.settings}")
            files = check_files(gimp)
            yield files
            if files.state == OK:
                yield check_visible(gimp)


def check_files(gimp):
    """Whether the plug-in's files are those of this version and lead to a Python that is there."""
    name = f"Plug-in for {gimp}"
    client = load_client()
    try:
        if not gimp.entry.exists():
            return Check(FAILED, name, f"it is not in {gimp.plugin.parent}", INSTALL)
        settings = client.load_settings(gimp.plugin)
    except client.WorkerError as error:
        return Check(FAILED, name, str(error), INSTALL)
    if settings["version"] != __version__:
        return Check(FAILED, name, f"it is version {settings['version']}, this is {__version__}", INSTALL)
    if settings["python"] != str(gimp.kind.python):
        return Check(FAILED, name, f"it looks for its Python in {settings['python']}", INSTALL)
    return Check(OK, name, f"version {__version__} in {gimp.plugin}")


def check_visible(gimp):
    """Whether GIMP itself, asked from its own side, has the filter."""
    name = f"Menu of {gimp}"
    with work_folder(gimp.kind) as work:
        answer = ask_gimp(gimp, work)
    if answer.visible:
        return Check(OK, name, "GIMP says that it has the procedure of Filters > Hair > Recolor…")
    return Check(FAILED, name, *why_invisible(gimp, answer))


@contextlib.contextmanager
def work_folder(kind):
    """A folder for temporary files that GIMP's sandbox sees. The record has its name, so uninstalling would remove it."""
    folder = Path(tempfile.gettempdir()) if kind.is_given else kind.environment.with_name("work")
    there = folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        if not there:
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_environment(kind):
    """Whether the environment is whole, and what the product in it says of itself."""
    name = f"Environment{kind.name and f' ({kind.name})'}"
    if not (is_usable(kind.python) if kind.is_given else is_complete(kind.environment, kind.sandbox)):
        yield Check(FAILED, name, f"{kind.environment} is not there, not finished or does not run", INSTALL)
        return
    clash = versions_clash(kind.python, kind.sandbox)
    if clash:
        yield Check(FAILED, name, f"its packages do not go together ({clash.splitlines()[0]})", INSTALL)
    else:
        yield Check(OK, name, f"complete, and its packages go together: {kind.environment}")
    said, errors = core_checks(kind.python, kind.sandbox)
    try:
        answer = json.loads(said)
        yield from (Check(**check) for check in answer["checks"])
    except (ValueError, KeyError, TypeError):
        last = (errors.strip().splitlines() or ["it says nothing"])[-1]
        yield Check(FAILED, "Product", f"it does not run ({last})", INSTALL)
        return
    if answer["version"] != __version__:
        yield Check(FAILED, "Product", f"version {answer['version']} is installed, this is {__version__}", INSTALL)
