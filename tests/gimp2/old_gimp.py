"""What the entry for GIMP 2.10 is tested with, from the Debian mirror that apt is configured with; installs nothing.

Debian has no GIMP 2.10 with Python-Fu any more, but its parts: Python 2.7 (bullseye), GIMP 2.10.34 without Python-Fu
(bookworm), whose own list of procedures is taken, and gimpfu.py in GIMP's source package.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CACHE = Path(os.environ.get("HAIR_RECOLOR_GIMP_ROOTS", "/var/cache/hair-recolor-gimp")) / "gimp-2.10"


def can_fetch() -> bool:
    """Whether this machine can get the parts: Debian, as root; in CI it must."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return bool(os.environ.get("CI")) or (is_root and shutil.which("apt-get") is not None)


def python27() -> list[str]:
    """The command that runs Debian's last Python 2.7; it runs beside the machine's own libraries."""
    folder = CACHE / "python2.7"
    if not folder.exists():
        with tempfile.TemporaryDirectory() as scratch:
            apt = Apt(Path(scratch), "bullseye")
            apt.run("download", "python2.7-minimal", "libpython2.7-minimal", "libpython2.7-stdlib")
            unpack(Path(scratch).glob("*.deb"), Path(scratch) / "root")
            keep(Path(scratch) / "root", folder)
    return ["env", f"PYTHONHOME={folder}/usr", "PYTHONDONTWRITEBYTECODE=1", f"{folder}/usr/bin/python2.7"]


def procedures() -> Path:
    """A JSON file of all procedures that GIMP 2.10 says it has: {name: {"arguments": [...], "values": [...]}}.

    Arguments and values are [name, type, description].
    """
    path = CACHE / "procedures.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as scratch:
            apt, root = Apt(Path(scratch), "bookworm"), Path(scratch) / "root"
            apt.run("install", "--yes", "--download-only", "gimp")
            unpack(apt.archives.glob("*.deb"), root)
            (root / "tmp").mkdir(exist_ok=True)
            batch = ["-b", '(gimp-procedural-db-dump "/tmp/procedures.scm")', "-b", "(gimp-quit 0)"]
            command = ["chroot", str(root), "gimp-console-2.10", "-i", "-d", "-f", "--no-shm", *batch]
            environment = {"HOME": "/tmp", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            dump = root / "tmp/procedures.scm"
            assert dump.exists(), done.stdout + done.stderr
            found = Path(scratch) / "procedures.json"
            found.write_text(json.dumps(parse(dump.read_text(encoding="utf-8"))))
            keep(found, path)
    return path


def gimpfu() -> Path:
    """The folder that holds GIMP 2.10's own gimpfu.py, from its source package."""
    folder = CACHE / "gimpfu"
    if not folder.exists():
        with tempfile.TemporaryDirectory() as scratch:
            Apt(Path(scratch), "bookworm", "deb-src").run("source", "--download-only", "gimp")
            (Path(scratch) / "gimpfu").mkdir()
            with tarfile.open(next(Path(scratch).glob("gimp_*.orig.tar.*"))) as archive:
                member = next(member for member in archive if member.name.endswith("/pygimp/gimpfu.py"))
                (Path(scratch) / "gimpfu/gimpfu.py").write_bytes(archive.extractfile(member).read())
            keep(Path(scratch) / "gimpfu", folder)
    return folder


class Apt:
    """apt-get with lists, settings and packages of its own in a folder, as on a machine on which nothing is installed."""

    def __init__(self, folder: Path, suite: str, kind: str = "deb"):
        self.folder, self.archives = folder, folder / "cache/archives"
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(f"{kind} {mirror()} {suite} main\n")
        self.run("update")

    def run(self, *command: str) -> None:
        settings = {
            "Dir::Etc::SourceList": self.folder / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::State::Lists": self.folder / "lists",
            "Dir::State::Status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
        }
        options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        done = subprocess.run(["apt-get", "-q", *options, *command], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"apt-get {' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def mirror() -> str:
    """The Debian mirror of this machine's own apt."""
    found = []
    for path in sorted(Path("/etc/apt/sources.list.d").glob("debian.sources")):
        found += re.findall(r"^URIs: *(\S+)", path.read_text(), re.MULTILINE)
    if Path("/etc/apt/sources.list").exists():
        lines = Path("/etc/apt/sources.list").read_text()
        found += re.findall(r"^deb(?: +\[.*?\])? +(\S+)", lines, re.MULTILINE)
    assert found, "apt has no Debian mirror configured"
    return found[0]


def unpack(packages, root: Path) -> None:
    """Put the files of packages into a folder; their scripts are not run."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda package: subprocess.run(["dpkg-deb", "-x", package, root], check=True), packages))


def keep(made: Path, target: Path) -> None:
    """Move what was made into the cache, in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.unlink(missing_ok=True)
    shutil.move(made, part)
    part.rename(target)


def parse(dump: str) -> dict:
    """GIMP's dump of its procedures, which is Scheme, as a dict."""
    tokens = re.findall(r'\(|\)|"(?:[^"\\]|\\.)*"|[^\s()"]+', dump)
    lists = [[]]
    for token in tokens:
        if token == "(":
            lists.append([])
        elif token == ")":
            lists[-2].append(lists.pop())
        else:
            lists[-1].append(re.sub(r"\\(.)", r"\1", token[1:-1]) if token[0] == '"' else token)
    return {p[1]: {"arguments": p[-2], "values": p[-1]} for p in lists[0] if p[0] == "register-procedure"}
