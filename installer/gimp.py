"""Asks a GIMP, started without a window, whether it has the plug-in's procedure.

GIMP runs with a settings folder of its own for this, thrown away afterwards, that only leads it to the user's plug-ins:
nothing of the user's changes, and nothing that GIMP remembers of them stands in for a look at them. What it remembers of its
own plug-ins, more than a hundred, it may keep: to ask each of them takes up to a quarter of a minute.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .locations import inside
from .plugin import is_executable
from .system import installer_command, run_quietly

# The procedure that GIMP has if it has taken the plug-in.
PROCEDURE = "python-fu-hair-recolor"
# How long GIMP may take to answer; the first start after a reboot, from a slow disk, takes a minute or two.
SECONDS = 180
# gimprc of the settings folder that GIMP is started with.
SETTINGS = '(plug-in-path "{}")\n(check-updates no)\n(show-welcome-dialog no)\n'
# Script-Fu makes a function of every procedure that GIMP has; it is part of GIMP itself, so it answers without Python.
QUESTION = """(let ((port (open-output-file "answer.txt")))
  (write (list (defined? 'python-fu-eval) (defined? '{})) port) (close-output-port port))"""


@dataclass(frozen=True)
class Answer:
    """What GIMP said.

    visible: whether it has the procedure; python: whether it runs plug-ins in Python; both None if there was no answer.
    said: everything that it printed.
    """

    visible: bool | None
    python: bool | None
    said: str


def ask_gimp(gimp, work):
    """Start a GIMP and ask it; returns an Answer.

    work: a folder for temporary files, which GIMP's sandbox sees if it is in one; it is left as it was.
    """
    with tempfile.TemporaryDirectory(dir=work, prefix="gimp-") as folder:
        settings, answer = Path(folder, "settings"), Path(folder, "answer.txt")
        settings.mkdir()
        own = SETTINGS.format(plug_in_path(gimp.settings)) + remembered_state(gimp.settings)
        (settings / "gimprc").write_text(own, encoding="utf-8")
        known = remembered_plug_ins(gimp.settings)
        if known:
            (settings / "pluginrc").write_bytes(known)
        variables = {"GIMP3_DIRECTORY": str(settings), "PYTHONDONTWRITEBYTECODE": "1"}
        if not gimp.kind.sandbox:  # what GIMP and its libraries keep elsewhere goes here as well
            for name in ("CACHE", "CONFIG", "DATA", "STATE"):
                variables[f"XDG_{name}_HOME"] = str(settings / name.lower())
        command = [gimp.program, "-idf", "--batch-interpreter=plug-in-script-fu-eval", "-b", QUESTION.format(PROCEDURE)]
        done = run_quietly(
            inside(gimp.kind.sandbox, [*command, "--quit"], variables), variables, seconds=SECONDS, folder=folder
        )
        found = re.fullmatch(r"\((#[tf]) (#[tf])\)\s*", answer.read_text()) if answer.exists() else None
        if not found:
            return Answer(None, None, done.stdout)
        return Answer(found[2] == "#t", found[1] == "#t", done.stdout)


def remembered_plug_ins(settings):
    """What this GIMP remembers of its own plug-ins, as pluginrc has it; of those for Python nothing, lest it be so no more."""
    try:
        head, *known = re.split(rb"^(?=\(plug-in-def )", (settings / "pluginrc").read_bytes(), flags=re.M)
    except OSError:
        return b""
    own = re.compile(rb'\(plug-in-def "\$\{gimp_plug_in_dir\}(?!.*python)')
    return head + b"".join(plug_in for plug_in in known if own.match(plug_in))


def remembered_state(settings):
    """The lines of the user's gimprc without which GIMP forgets what it remembers of plug-ins."""
    names = "config-version|prev-language"
    return "".join(f"{line}\n" for line in re.findall(rf'^\((?:{names}) "[^"]*"\)', read_gimprc(settings), re.M))


def plug_in_path(settings):
    """Where this GIMP looks for plug-ins: what the user has set, or the usual folders; as gimprc writes it."""
    usual = os.pathsep.join(["${gimp_dir}/plug-ins", "${gimp_plug_in_dir}/plug-ins"])
    found = re.search(r'^\s*\(plug-in-path\s+"([^"]*)"', read_gimprc(settings), re.M)
    return (found[1] if found else usual).replace("${gimp_dir}", settings.as_posix())


def read_gimprc(settings):
    """What the user has set, as text; empty where nothing is."""
    try:
        return (settings / "gimprc").read_text("utf-8", "replace")
    except OSError:
        return ""


def why_invisible(gimp, answer):
    """What is wrong and what to do about it, as far as can be known: two sentences."""
    entry = gimp.plugin / f"{gimp.plugin.name}.py"
    again = f"run {installer_command()}"
    if answer.visible is None:
        said = answer.said.strip().splitlines()
        return f"{gimp.program} gave no answer ({said[-1] if said else 'it said nothing'}).", (
            "Start GIMP by hand once and look for Filters > Hair; if it does not start, reinstall GIMP."
        )
    if not entry.exists():
        return f"The plug-in is not in {gimp.plugin}.", f"To put it there, {again}"
    if not answer.python:
        return "This GIMP runs no plug-ins in Python.", (
            "Install what it lacks (Debian and Ubuntu: python3-gi and gir1.2-gimp-3.0; Fedora: python3-gobject), "
            "or use GIMP from gimp.org or Flathub."
        )
    if not is_executable(entry):
        return f"{entry} is not executable, so GIMP passes over it.", (
            f"To make it so, {again}  (if that does not help, the disk is mounted with noexec: mount it without)"
        )
    if gimp.plugin.parent.as_posix() not in plug_in_path(gimp.settings):
        return f"GIMP is set not to look into {gimp.plugin.parent}.", (
            "Add that folder in GIMP: Edit > Preferences > Folders > Plug-ins."
        )
    errors = re.findall(r"^\w*(?:Error|Exception)\b.*$", answer.said, re.MULTILINE)
    return f"GIMP looked at the plug-in and did not take it ({errors[-1] if errors else 'it does not say why'}).", (
        f"To renew it, {again}"
    )
