"""A record of everything that is made. It is written first, so that uninstalling finds it all, whatever happened."""

import contextlib
import json
import os
import shutil
from pathlib import Path

from .system import InstallError

# The record's file, in the data folder.
NAME = "installed.json"


class Record:
    """A file in the data folder that names every folder and tree of ours.

    folders: those that were made because ours had to go into them. They are removed if they are empty by then.
    trees: files, and folders with everything that is in them.
    """

    def __init__(self, folder):
        self.path = folder / NAME
        self.made: dict[str, list[str]] = {"folders": [], "trees": []}
        if self.path.exists():
            try:
                read = json.loads(self.path.read_text(encoding="utf-8"))
                self.made = {kind: [str(path) for path in read[kind]] for kind in self.made}
            except (ValueError, KeyError, TypeError) as error:
                raise InstallError(f"{self.path} is damaged: delete {folder} and run this again.") from error
        self._open(folder)

    def _open(self, folder):
        """Make the data folder. If no record can be written there, nothing is left behind."""
        missing = _missing(folder)
        self.made["folders"] += [str(path) for path in missing]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError:
            for path in reversed(missing):
                if path.is_dir():
                    path.rmdir()
            raise

    def make_folder(self, folder):
        """Make a folder and those above it, noting each that was not there."""
        for path in _missing(folder):
            self._note("folders", path)
            path.mkdir()

    def note_tree(self, path):
        """Note a file, or a folder whose whole content is ours."""
        self._note("trees", path)

    def _note(self, kind, path):
        if str(path) not in self.made[kind]:
            self.made[kind].append(str(path))
            self._write()

    def _write(self):
        part = self.path.with_suffix(".part")
        try:
            part.write_text(json.dumps(self.made, indent=1), encoding="utf-8")
            part.replace(self.path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def _missing(folder):
    """The folders that have to be made for this one to be there, from the top."""
    missing: list[Path] = []
    while not folder.exists():
        missing.insert(0, folder)
        folder = folder.parent
    return missing


def remove_all(folder):
    """Remove what the record in this folder names, and the record. Returns sentences about what could not be removed."""
    record = Record(folder)
    left = []
    for tree in map(Path, record.made["trees"]):
        try:
            if remove(tree):
                print(f"Removed {tree}")
        except OSError as error:
            left.append(f"{tree} could not be removed ({error.strerror}): close what uses it, then run this again.")
    if left:
        return left  # the record stays, to go on with
    record.path.unlink()
    for made in sorted(map(Path, record.made["folders"]), key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # others may keep something in it by now
            made.rmdir()
    return []


def remove(path):
    """Remove a file, a link, or a folder with all that is in it; False if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    else:
        return False
    return True
