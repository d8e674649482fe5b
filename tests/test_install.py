"""install.py on made-up home folders, with a real environment, worker and model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hairmask_core import __version__
from hairmask_core.image import read_photo

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
import install  # noqa: E402


def run_installer(home, *arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "HAIRMASK_"))}
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "install.py"), *map(str, arguments)],
        # pip keeps a cache, and asks a Rust compiler, if there is one, for its version: both outside the home folder here.
        env=clean
        | {"HOME": str(home), "PIP_CACHE_DIR": f"{home.parent}/pip", "RUSTUP_HOME": f"{home.parent}/rust"}
        | environment,
        cwd=home,
        capture_output=True,
        text=True,
    )


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder with a space and an umlaut in its name and two GIMP profiles in it, and the product installed."""
    home = tmp_path_factory.mktemp("people") / "Jürgen Müller"
    for version in ("2.10", "3.0", "3.2"):
        (home / ".config/GIMP" / version / "plug-ins").mkdir(parents=True)
    (home / ".config/GIMP/3.0/plug-ins/other").mkdir()
    (home / ".config/GIMP/3.0/plug-ins/other/other.py").write_text("somebody else's")
    done = run_installer(home)
    assert done.returncode == 0, done.stdout + done.stderr
    (home / "said.txt").write_text(done.stdout)
    return home


def test_it_says_what_it_did_and_what_to_do_next(home):
    said = (home / "said.txt").read_text()
    assert f"Hair Recolor {__version__}" in said and "It works: the network runs on" in said
    assert "Filters > Hair > Recolor…" in said and said.count("Plug-in: ") == 2


@pytest.mark.parametrize("version", ["3.0", "3.2"])
def test_plug_in_is_complete_and_executable(home, version):
    plugin = home / ".config/GIMP" / version / "plug-ins/hair_recolor"
    assert {p.name for p in plugin.iterdir()} == {
        "hair_recolor.py",
        "dialog.py",
        "layers.py",
        "texts.py",
        "wishes.py",
        "worker_client.py",
        "shades.json",
        "models.json",
        "settings.json",
    }
    assert os.access(plugin / "hair_recolor.py", os.X_OK)
    settings = json.loads((plugin / "settings.json").read_text())
    assert settings["version"] == __version__ and Path(settings["python"]).exists()
    assert str(REPOSITORY / "install.py") in settings["repair"]


def test_gimp_2_and_other_plug_ins_are_left_alone(home):
    assert not list((home / ".config/GIMP/2.10/plug-ins").iterdir())
    assert (home / ".config/GIMP/3.0/plug-ins/other/other.py").read_text() == "somebody else's"


def test_installed_command_line_works(home, portrait, tmp_path):
    hairmask = home / ".local/share/hair-recolor/venv/bin/hairmask"
    done = subprocess.run([hairmask, "mask", portrait, "-o", tmp_path / "m.png"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_photo(tmp_path / "m.png").rgb[60, 230, 0] > 240


def test_running_it_twice_is_harmless(home):
    before = {path for path in tree(home) if "__pycache__" not in path.parts}
    done = run_installer(home)
    assert done.returncode == 0, done.stderr
    assert {path for path in tree(home) if "__pycache__" not in path.parts} == before


def test_demo_draws_before_and_after(home, portrait):
    done = run_installer(home, "--demo", portrait)
    assert done.returncode == 0, done.stderr
    picture = Path(done.stdout.strip().splitlines()[-1].removeprefix("Before and after: "))
    assert read_photo(picture).width > 1000


def test_a_broken_environment_is_made_anew(home):
    python = home / ".local/share/hair-recolor/venv/bin/python"
    python.unlink()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    done = run_installer(home)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([python, "-I", "-m", "hairmask_core", "info"], capture_output=True).returncode == 0


def test_uninstalling_leaves_what_was_there_before(tmp_path):
    home = tmp_path / "home"
    (home / ".config/GIMP/3.0").mkdir(parents=True)
    (home / "letter.txt").write_text("Dear …")
    before = tree(home)
    assert run_installer(home).returncode == 0
    assert tree(home) != before
    done = run_installer(home, "--uninstall")
    assert done.returncode == 0 and "is removed" in done.stdout
    assert tree(home) == before
    assert "Nothing to remove" in run_installer(home, "--uninstall").stdout


def test_without_gimp_and_without_network(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_EXTRA_INDEX_URL": ""}
    done = run_installer(home, **offline)
    assert done.returncode == 1 and "check the network connection" in done.stderr
    assert run_installer(home, "--uninstall").returncode == 0
    assert not tree(home)


def test_without_gimp_the_command_line_is_all_there_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(install, "installed_gimp", lambda: None)
    assert install.find_profiles() == []


def test_profiles_of_every_kind_are_found(tmp_path, monkeypatch):
    home, programs = tmp_path / "home", tmp_path / "bin"
    for folder in (".config/GIMP/3.0", ".config/GIMP/2.10", ".var/app/org.gimp.GIMP/config/GIMP/3.2"):
        (home / folder).mkdir(parents=True)
    programs.mkdir()
    for name, text in {"flatpak": "", "gimp-console": "echo 'GNU Image Manipulation Program version 3.1.4'"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert install.find_profiles() == [
        install.Profile(home / ".config/GIMP/3.0"),
        install.Profile(home / ".config/GIMP/3.2"),  # of the installed GIMP, not started yet
        install.Profile(home / ".var/app/org.gimp.GIMP/config/GIMP/3.2", flatpak=True),
    ]


def test_flatpak_gets_an_environment_of_its_own(tmp_path):
    """With a stand-in for Flatpak that runs programs outside; what the real sandbox shows is not tried here."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    plugins = home / ".var/app/org.gimp.GIMP/config/GIMP/3.0/plug-ins"
    plugins.mkdir(parents=True)
    programs.mkdir()
    stand_in = '[ "$1" = run ] && [ "$3" = org.gimp.GIMP ] || exit 9\nname=${2#--command=}; shift 3\n'
    stand_in += f'[ "$name" = python3 ] && name="{sys.executable}"\nexec "$name" "$@"'
    (programs / "flatpak").write_text(f"#!/bin/sh\n{stand_in}\n")
    (programs / "flatpak").chmod(0o755)
    done = run_installer(home, PATH=f"{programs}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stdout + done.stderr
    settings = json.loads((plugins / "hair_recolor/settings.json").read_text())
    assert settings["python"] == str(home / ".local/share/hair-recolor/venv-flatpak/bin/python")
    assert (
        subprocess.run([settings["python"], "-I", "-m", "hairmask_core", "info"], capture_output=True).returncode == 0
    )


@pytest.mark.parametrize(("answer", "runtime"), [("exit 0", "cuda"), ("exit 9", "cpu")])
def test_gpu_build_only_where_a_driver_answers(tmp_path, monkeypatch, answer, runtime):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert install.choose_runtime() == runtime


def test_demo_of_a_file_that_is_no_photo(home, tmp_path):
    (tmp_path / "words.jpg").write_text("words")
    done = run_installer(home, "--demo", tmp_path / "words.jpg")
    assert done.returncode == 1 and "is not an image" in done.stderr
