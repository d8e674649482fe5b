"""install.py on made-up home folders, with a real environment, worker and model."""

import ast
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from environments import take_compiled
from folders import changed, tree
from pins import read_pins

from hairmask_core import __version__
from hairmask_core.photo.files import read_photo

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
import install as entry  # noqa: E402
from installer import doctor, environment, gimp, locations, main, plugin, record, system, testing  # noqa: E402

DATA = ".local/share/hair-recolor"
# Stands in for gimp-console where no real one is needed: it has the filter if it is led to an executable plug-in.
GIMP = """#!/bin/sh
if [ "$1" = --version ]; then echo "GNU Image Manipulation Program version 3.0.4"; exit; fi
for answer; do :; done
plugins=$(sed -n 's/^(plug-in-path "\\([^:]*\\):.*/\\1/p' "$GIMP3_DIRECTORY/gimprc")
if [ -x "$plugins/hair_recolor/hair_recolor.py" ]; then echo "(#t #t)"; else echo "(#t #f)"; fi > answer.txt
"""


def surroundings(home, **more):
    """Environment variables for an installer whose user has that home folder."""
    # Where CI is set, ONNX Runtime keeps no traces in the home folder of itself.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "HAIRMASK_")) and k != "CI"}
    # pip keeps a cache, and asks a Rust compiler, if there is one, for its version: both outside the home folder here.
    own = {"HOME": str(home), "PIP_CACHE_DIR": f"{home.parent}/pip", "RUSTUP_HOME": f"{home.parent}/rust"}
    return clean | own | more


def run_installer(home, *arguments, limit=None, **more):
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "install.py"), *map(str, arguments)],
        env=surroundings(home, **more),
        cwd=home,
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )


def one_problem(done):
    """What the installer complained about: one sentence, perhaps with quoted output below, and no traceback."""
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return re.fullmatch(r"\nNot finished: (.*?)\n(  .*\n)*", done.stderr)[1]


def link_where_missing(source, target):
    """For `shutil.copytree`: hard links, which cost neither time nor space; pip replaces files and never writes into one."""
    if not os.path.exists(target):
        os.link(source, target)


def program(folder, name, text):
    """An executable file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Where the made-up home folders are; they share what pip has downloaded."""
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="module")
def untouched(people):
    """A home folder with a space and an umlaut in its name and three GIMP profiles in it, and what was in it at first."""
    home = people / "Jürgen Müller"
    for version in ("2.10", "3.0", "3.2"):
        (home / ".config/GIMP" / version / "plug-ins").mkdir(parents=True)
    (home / ".config/GIMP/3.0/plug-in-settings").mkdir()
    (home / ".config/GIMP/3.0/plug-ins/other").mkdir()
    (home / ".config/GIMP/3.0/plug-ins/other/other.py").write_text("somebody else's")
    (home / "letter.txt").write_text("Dear …")
    return home, tree(home)


@pytest.fixture(scope="module")
def home(untouched):
    """It with the product installed, after a first try that was killed on the way.

    Half of an environment, also where it says that it is complete and its Python is broken, is made anew.
    """
    home, venv = untouched[0], untouched[0] / DATA / "venv"
    assert interrupt(home, signal.SIGKILL, "numpy*") == -signal.SIGKILL
    assert not environment.is_complete(venv)
    (venv / environment.MARK).write_text("cpu")
    (venv / "bin/python").unlink()
    program(venv, "bin/python", "#!/bin/sh\nexit 1\n")
    assert not environment.is_complete(venv)
    done = run_installer(home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert environment.is_complete(venv) and not (home / DATA / "work").exists()
    (home.parent / "said.txt").write_text(done.stdout)
    return home


def test_it_says_what_it_did_and_what_to_do_next(home):
    said = (home.parent / "said.txt").read_text()
    assert f"Hair Recolor {__version__}" in said and "It works: the network runs on" in said
    assert "Filters > Hair > Recolor…" in said and said.count("Plug-in: ") == 3


@pytest.mark.parametrize("version", ["3.0", "3.2"])
def test_plug_in_is_complete_and_executable(home, version):
    folder = home / ".config/GIMP" / version / "plug-ins/hair_recolor"
    sources = {path.name for path in (REPOSITORY / "gimp_plugin/hair_recolor").glob("*.py")}
    catalogs = {f"locale/{language}/LC_MESSAGES/hair-recolor.mo" for language in ("de", "ko")}
    installed = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert installed == sources | catalogs | {"options.py", "shades.json", "models.json", "settings.json"}
    assert os.access(folder / "hair_recolor.py", os.X_OK)
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["version"] == __version__ and Path(settings["python"]).exists()
    assert str(REPOSITORY / "install.py") in settings["repair"]


def test_gimp_2_gets_its_own_plug_in(home):
    folder = home / ".config/GIMP/2.10/plug-ins/hair_recolor_gimp2"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    expected = {"hair_recolor_gimp2.py", "shades.json", "models.json", "settings.json"}
    assert {path.name for path in folder.iterdir()} == expected
    assert os.access(folder / "hair_recolor_gimp2.py", os.X_OK)
    assert Path(json.loads((folder / "settings.json").read_text())["python"]).exists()


def test_other_plug_ins_are_left_alone(home):
    assert (home / ".config/GIMP/3.0/plug-ins/other/other.py").read_text() == "somebody else's"


def test_installed_command_line_works(home, portrait, tmp_path):
    hairmask = home / DATA / "venv/bin/hairmask"
    done = subprocess.run([hairmask, "mask", portrait, "-o", tmp_path / "m.png"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_photo(tmp_path / "m.png").rgb[60, 230, 0] > 240


def test_what_is_installed_is_what_is_pinned(home):
    pip = [home / DATA / "venv/bin/python", "-I", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    said = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    installed = {p["name"].lower().replace("_", "-"): p["version"] for p in json.loads(said)}
    pinned = dict(read_pins(f"{sys.version_info[0]}.{sys.version_info[1]}", sys.platform, os.uname().machine))
    for name in ("pip", "setuptools", "hairmask"):
        installed.pop(name, None)
    assert len(installed) > 10 and installed.items() <= pinned.items()


def test_demo_of_a_file_that_is_no_photo(home, tmp_path, monkeypatch, capfd):
    (tmp_path / "words.jpg").write_text("words")
    monkeypatch.chdir(tmp_path)
    assert main.demo(locations.System("linux", home, {}), tmp_path / "words.jpg") == 1
    assert "is not an image" in capfd.readouterr().err


# Again, and from an older version


def test_running_it_twice_is_harmless_needs_no_network_and_draws_a_demo(home, portrait):
    before = {path for path in tree(home) if "__pycache__" not in path.parts}
    done = run_installer(home, "--demo", portrait, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert done.returncode == 0, done.stderr
    picture = Path(done.stdout.strip().splitlines()[-1].removeprefix("Before and after: "))
    assert read_photo(picture).width > 1000
    shutil.rmtree(picture.parent)  # it is the user's: uninstalling would leave it
    assert {path for path in tree(home) if "__pycache__" not in path.parts} == before


def test_an_older_version_becomes_this_one_and_its_worker_ends(home, tmp_path):
    """The doctor sees what is old or damaged; installing again mends it."""
    programs = program(tmp_path / "bin", "gimp-console", GIMP).parent
    path = f"{programs}:{os.environ['PATH']}"
    folder = home / ".config/GIMP/3.0/plug-ins/hair_recolor"
    (folder / "part_of_the_old_version.py").write_text("import nothing")
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"version": "0.1.0"}))
    weights = next((home / DATA / "venv").glob("lib/python*/site-packages/hairmask_core/weights/hair-u-lite2.onnx"))
    old = shutil.copytree(weights.parent.parent, tmp_path / "old/hairmask_core")
    (old / "__init__.py").write_text('__version__ = "0.1.0"')
    serve = f"import sys; sys.path.insert(0, {str(old.parent)!r}); from hairmask_core.cli.main import main; main(sys.argv[1:])"
    directory = home / ".cache/hair-recolor/worker"
    command = [settings["python"], "-I", "-c", serve, "worker", "--directory", directory]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (directory / "endpoint.json").exists())
        weights.write_bytes(weights.read_bytes()[:-1])
        done = run_installer(home, "--doctor", PATH=path)
        said = " ".join(done.stdout.split())  # lines break where the paths' lengths have it
        assert done.returncode == 1 and "it is version 0.1.0" in said, done.stdout + done.stderr
        assert "was altered or damaged" in said and f"-> Run {sys.executable}" in said
        assert worker.poll() is None
        done = run_installer(home, PATH=path)
        assert done.returncode == 0 and "GIMP says that it has the procedure" in done.stdout, done.stdout + done.stderr
        assert worker.wait(60) == 0
    finally:
        worker.kill()
    assert not (folder / "part_of_the_old_version.py").exists()
    before = tree(home)
    done = run_installer(home, "--doctor", PATH=path)
    assert (done.returncode, done.stderr) == (0, "") and "All is well." in done.stdout, done.stdout + done.stderr
    assert changed(before, tree(home)) == []


def test_doctor_before_anything_is_installed(people):
    home = people / "nobody"
    home.mkdir()
    done = run_installer(home, "--doctor")
    assert done.returncode == 1 and "is not installed here" in done.stdout and "-> Run " in done.stdout
    assert not tree(home)


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Interrupted and uninstalled


def interrupt(home, by, once):
    """Start installing, and send the signal to all its processes once pip has made that; returns the exit status."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "install.py")],
        env=surroundings(home),
        cwd=home,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        wait_for(
            lambda: list((home / DATA / "venv").glob(f"lib/python*/site-packages/{once}")) or process.poll() is not None
        )
        os.killpg(process.pid, by)
        return process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_interrupted_by_the_user_and_uninstalled(people):
    home = people / "interrupted"
    home.mkdir()
    assert interrupt(home, signal.SIGINT, "hatchling*") == 130
    assert run_installer(home, "--uninstall").returncode == 0
    assert not tree(home)


def test_what_cannot_be_removed_is_said_and_kept_in_mind(tmp_path, monkeypatch):
    kept = record.Record(tmp_path / "data")
    for name in ("busy", "free"):
        (tmp_path / name).mkdir()
        kept.note_tree(tmp_path / name)

    def refuse(path):
        if path.name == "busy":
            raise PermissionError(errno.EACCES, "in use", str(path))
        shutil.rmtree(path)
        return True

    monkeypatch.setattr(record, "remove", refuse)
    assert [sentence.split()[0] for sentence in record.remove_all(tmp_path / "data")] == [str(tmp_path / "busy")]
    monkeypatch.undo()
    assert record.remove_all(tmp_path / "data") == [] and list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_said(tmp_path):
    (tmp_path / "installed.json").write_text('["not", "ours"]')
    with pytest.raises(system.InstallError, match="is damaged: delete"):
        record.Record(tmp_path)


# Networks, proxies, disks


class Proxy(BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *arguments):
        pass


def without_network(**more):
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_RETRIES": "0"} | more


def test_without_gimp_and_without_network(people):
    home = people / "offline"
    home.mkdir()
    done = run_installer(home, **without_network(PIP_INDEX_URL="http://127.0.0.1:9/simple", no_proxy="127.0.0.1"))
    assert "check the network connection" in one_problem(done)
    assert not (home / DATA / "venv").exists()
    assert run_installer(home, "--uninstall").returncode == 0
    assert not tree(home)


def test_everything_goes_through_the_proxy(people):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = people / "behind a proxy"
    home.mkdir()
    index = without_network(PIP_INDEX_URL="http://index.invalid/simple", PIP_TRUSTED_HOST="index.invalid", no_proxy="")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        index[name] = f"http://127.0.0.1:{server.server_port}"
    try:
        done = run_installer(home, **index)
    finally:
        server.shutdown()
        server.server_close()
    assert Proxy.asked == ["http://index.invalid/simple/hatchling/"]
    assert "set HTTPS_PROXY" in one_problem(done)


PIP_SAID = {
    "the proxy does not answer: check HTTPS_PROXY": "WARNING: Retrying (Retry(total=0)) after connection broken by "
    "'ProxyError('Cannot connect to proxy.', ConnectionRefusedError(111, 'Connection refused'))'",
    "set PIP_CERT": "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))",
    "There is no numpy==9 for Python 3.": "ERROR: Could not find a version that satisfies the requirement numpy==9 "
    "(from versions: 1.0, 2.0)\nERROR: No matching distribution found for numpy==9",
    "the disk is full (/home/x): free": "ERROR: Could not install packages due to an OSError: "
    "[Errno 28] No space left on device: '/home/x'\n",
    "/home/x cannot be changed": "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: "
    "'/home/x'\nConsider using the `--user` option or check the permissions.",
    "is on a disk that is read-only": "OSError: [Errno 30] Read-only file system: '/home/x'",
    "check the network connection": "ERROR: Could not find a version that satisfies the requirement hatchling "
    "(from versions: none)\nERROR: No matching distribution found for hatchling",
}


@pytest.mark.parametrize(("sentence", "said"), PIP_SAID.items())
def test_what_pip_says_becomes_one_sentence(sentence, said):
    """What real pips printed, shortened."""
    explained = environment.explain_pip(said)
    assert sentence in explained and "\n" not in explained and re.search("run this (again|with)", explained)


def test_a_dead_proxy_is_named(monkeypatch):
    """A real pip, through a proxy that is not there."""
    more = without_network(PIP_INDEX_URL="https://index.invalid/simple", no_proxy="", PIP_RETRIES="1")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    command = [sys.executable, "-I", "-m", "pip", "download", "--no-deps", "hatchling"]
    said = system.run_quietly(command, more).stdout
    assert "the proxy does not answer" in environment.explain_pip(said)


def limit_files(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_disk_that_fills_up_while_pip_works(people):
    """No file can grow above 5 MB, which is what a full disk looks like to pip; numpy has larger ones."""
    home = people / "full"
    home.mkdir()
    done = run_installer(home, limit=limit_files(5 << 20))
    assert "he disk is full" in one_problem(done)
    assert not (home / DATA / "venv").exists()  # a half-made one would keep the disk full
    assert run_installer(home, "--uninstall").returncode == 0
    assert not tree(home)


def test_a_disk_that_is_full_from_the_beginning(people):
    home = people / "no space"
    home.mkdir()
    done = run_installer(home, limit=limit_files(0))
    assert "The disk is full" in one_problem(done)
    assert not tree(home)


def test_space_is_looked_at_before_anything_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setitem(environment.NEEDED_MB, "cpu", 1 << 40)
    kept = record.Record(tmp_path / "data")
    with pytest.raises(system.InstallError, match=r"only \d+ MB free at .* free some space"):
        environment.make_environment(kept, tmp_path / "data/venv", ["cpu"])
    assert not (tmp_path / "data/venv").exists()


def test_where_nothing_can_be_written(people):
    """A file in the way, and a file system of the kernel's own, where not even root makes folders."""
    home = people / "refused"
    home.mkdir()
    (home / ".local").write_text("a file")
    for more in ({}, {"XDG_DATA_HOME": "/sys/kernel"}):
        problem = one_problem(run_installer(home, **more))
        assert problem.endswith("then run this again."), problem
        assert set(tree(home)) == {Path(".local")}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "write permission"),
        (errno.EDQUOT, "disk is full"),
        (errno.EIO, "Check"),
    ],
)
def test_what_the_system_refuses_is_explained(number, words):
    sentence = system.explain_refusal(OSError(number, os.strerror(number), "/home/x"))
    assert words in sentence and "/home/x" in sentence and sentence.endswith("run this again.")


def test_a_complete_environment_survives_a_failed_update(tmp_path, monkeypatch):
    """What is missing on the way to a new one must not cost the old one."""
    kept, folder = record.Record(tmp_path), tmp_path / "venv"
    python = program(folder, "bin/python", "#!/bin/sh\ncase $3 in pip) echo no; exit 1;; esac\n")
    (folder / environment.MARK).write_text("cpu")
    for extras in (["cpu"], ["cuda"]):  # updated in place; and made anew beside it
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(system.InstallError):
            environment.make_environment(kept, folder, extras)
        assert environment.is_complete(folder) and python.exists()
        assert not folder.with_name("venv.old").exists()


def test_what_an_environment_has_stays_when_less_is_asked_for(tmp_path, monkeypatch):
    """The quick tests' extras, after those of all tests."""
    kept, folder = record.Record(tmp_path), tmp_path / "venv"
    program(folder, "bin/python", "#!/bin/sh\n")
    (folder / environment.MARK).write_text("cpu,test,training")
    filled = []
    monkeypatch.setattr(environment, "_fill", lambda python, extras, *others: filled.append(extras))
    environment.make_environment(kept, folder, ["cpu", "test"])
    environment.make_environment(kept, folder, ["cpu", "more"])
    assert filled == [["cpu", "test", "training"], ["cpu", "more", "test", "training"]]
    assert (folder / environment.MARK).read_text() == "cpu,more,test,training"


def test_an_environment_that_was_put_aside_when_the_light_went_out_is_taken_back(tmp_path):
    kept, aside = record.Record(tmp_path), tmp_path / "venv.old"
    program(aside, "bin/python", "#!/bin/sh\n")
    (aside / environment.MARK).write_text("cpu")
    (tmp_path / "venv/bin").mkdir(parents=True)
    assert environment.make_environment(kept, tmp_path / "venv", ["cpu"]) == tmp_path / "venv/bin/python"
    assert environment.is_complete(tmp_path / "venv") and not aside.exists()


# Pythons


def test_every_python_can_read_the_first_file():
    source = (REPOSITORY / "install.py").read_text()
    ast.parse(source, feature_version=(3, 4))
    assert not any(
        isinstance(node, (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr)) for node in ast.walk(ast.parse(source))
    )
    assert "from installer" not in source.split("def main")[0]


@pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 15)])
def test_a_python_that_is_too_old_or_too_new_says_so(version, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    assert entry.main() == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"Not finished: this is Python {version[0]}.{version[1]}, and one from 3.10 to 3.14 is needed"
    )
    assert "instead" in said or "install one" in said


def test_older_pythons_that_are_here_say_so():
    """Really with each that there is, if any: those of the machine and those of pyenv."""
    pyenv = sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    for python in [*filter(None, map(shutil.which, ("python2", "python3.8", "python3.9"))), *map(str, pyenv)]:
        shown = subprocess.run([python, "-c", "import sys; print(sys.version_info[:2] < (3, 10))"], capture_output=True)
        if shown.stdout.strip() == b"True":
            done = subprocess.run([python, REPOSITORY / "install.py"], capture_output=True, text=True)
            assert done.returncode == 1 and done.stderr.startswith("Not finished: this is Python"), python
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sys.platform", "win32", "Microsoft Store"),
        ("struct.calcsize", lambda kind: 4, "32-bit"),
        ("sysconfig.get_platform", lambda: "mingw_x86_64", "came with GIMP"),
        ("sysconfig.get_config_var", lambda name: 1, "free-threaded"),
    ],
)
def test_pythons_without_packages_are_named(name, value, words, monkeypatch):
    environment.check_python()
    monkeypatch.setattr(sys, "base_prefix", "C:/Program Files/WindowsApps/Python")
    monkeypatch.setattr(f"installer.environment.{name}", value)
    with pytest.raises(system.InstallError, match=f"{words}.*python.org"):
        environment.check_python()


# Where GIMPs are: on made-up file trees


def made_up(tmp_path, platform, folders=(), programs=(), **variables):
    """A System below tmp_path with these folders, and programs that say they are GIMP 3.0.4."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    for name in programs:
        program(tmp_path, name, GIMP)
    environ = {"PATH": str(tmp_path / "bin")} | {k: str(tmp_path / v) for k, v in variables.items()}
    return locations.System(platform, home, environ, root=tmp_path)


def found_in(tmp_path, where):
    """(kind, settings folder, program) of every GIMP found, below tmp_path."""
    return [
        (g.kind.name, g.settings.relative_to(tmp_path).as_posix(), g.program.removeprefix(f"{tmp_path}/"))
        for g in locations.find_gimps(where)
    ]


def test_without_gimp_the_command_line_is_all_there_is(tmp_path):
    assert locations.find_gimps(made_up(tmp_path, "linux")) == []


def test_gimps_of_every_kind_on_linux(tmp_path, monkeypatch):
    folders = (".config/GIMP/3.0", ".config/GIMP/2.10", ".var/app/org.gimp.GIMP/config/GIMP/3.2")
    where = made_up(
        tmp_path, "linux", [f"home/{folder}" for folder in (*folders, "snap/gimp/current/.config/GIMP/3.0")]
    )
    program(tmp_path, "bin/gimp-console", GIMP.replace("3.0.4", "3.1.4"))
    program(tmp_path, "bin/gimp-2.10", GIMP.replace("3.0.4", "2.10.34"))
    program(tmp_path, "bin/flatpak", '#!/bin/sh\n[ "$4" = --version ] && echo "version 3.2.6"\n')
    program(tmp_path, "bin/snap", "#!/bin/sh\necho 'error: not connected'; exit 1\n")
    (tmp_path / "bin/gimp").symlink_to("snap")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert found_in(tmp_path, where) == [
        ("", "home/.config/GIMP/3.0", ""),
        ("", "home/.config/GIMP/3.2", "bin/gimp-console"),  # of an unstable version, not started yet
        ("", "home/.config/GIMP/2.10", ""),
        ("Flatpak", "home/.var/app/org.gimp.GIMP/config/GIMP/3.2", "gimp-console"),
        ("Snap", "home/snap/gimp/current/.config/GIMP/3.0", ""),
    ]


def test_two_native_gimps_and_one_of_the_future(tmp_path):
    where = made_up(tmp_path, "linux", programs=["bin/gimp-console-3.0", "bin/gimp-3.0"])
    (tmp_path / "bin/gimp-console").symlink_to("gimp-console-3.0")
    program(tmp_path, "bin/gimp-3.4", GIMP.replace("3.0.4", "3.4.1"))
    assert found_in(tmp_path, where) == [
        ("", "home/.config/GIMP/3.0", "bin/gimp-console"),
        ("", "home/.config/GIMP/3.4", "bin/gimp-3.4"),
    ]


def test_the_environment_of_a_snap_is_where_a_snap_can_see_it(tmp_path):
    where = made_up(tmp_path, "linux", ["home/snap/gimp/current/.config/GIMP/3.0"], ["bin/snap"])
    snap = locations.find_gimps(where)[0].kind
    assert snap.environment == tmp_path / "home/snap/gimp/common/hair-recolor/venv"
    assert not any(part.startswith(".") for part in snap.environment.relative_to(tmp_path).parts)


def test_relative_folders_in_variables_are_ignored(tmp_path):
    where = made_up(tmp_path, "linux", ["home/.config/GIMP/3.0"])
    astray = replace(where, environ=where.environ | {"XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "../data"})
    assert found_in(tmp_path, astray) == found_in(tmp_path, where) != []
    assert locations.data_folder(astray) == locations.data_folder(where)


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        ("Program Files/GIMP 3/bin", {"ProgramFiles": "Program Files"}),
        ("home/AppData/Local/Programs/GIMP 3/bin", {}),
    ],
)
def test_gimp_on_windows(tmp_path, place, variables):
    where = made_up(tmp_path, "win32", programs=[f"{place}/gimp-console-3.exe", f"{place}/gimp-3.exe"], **variables)
    program(tmp_path, f"{place}/gimp-3.exe", "exit 1")
    assert found_in(tmp_path, where) == [("", "home/AppData/Roaming/GIMP/3.0", f"{place}/gimp-console-3.exe")]
    assert locations.data_folder(where) == tmp_path / "home/AppData/Local/hair-recolor"


def test_gimp_of_the_microsoft_store(tmp_path):
    local = "home/AppData/Local"
    where = made_up(
        tmp_path,
        "win32",
        [f"{local}/Packages/GIMP.GIMP_1a2b3c/LocalCache/Roaming/GIMP/3.0", "roaming/GIMP/3.0"],
        [f"{local}/Microsoft/WindowsApps/gimp-console-3.exe"],
        APPDATA="roaming",
    )
    assert found_in(tmp_path, where) == [
        ("", "roaming/GIMP/3.0", ""),
        (
            "Microsoft Store",
            f"{local}/Packages/GIMP.GIMP_1a2b3c/LocalCache/Roaming/GIMP/3.0",
            f"{local}/Microsoft/WindowsApps/gimp-console-3.exe",
        ),
    ]


@pytest.mark.parametrize("base", ["Applications", "home/Applications"])
def test_gimp_on_a_mac(tmp_path, base):
    console = f"{base}/GIMP.app/Contents/MacOS/gimp-console"
    where = made_up(tmp_path, "darwin", programs=[console, f"{base}/GIMP.app/Contents/MacOS/gimp"])
    program(tmp_path, f"{base}/GIMP.app/Contents/MacOS/gimp", "exit 1")
    assert found_in(tmp_path, where) == [("", "home/Library/Application Support/GIMP/3.0", console)]
    assert locations.data_folder(where) == tmp_path / "home/Library/Application Support/hair-recolor"


@pytest.mark.parametrize("kind", ["flatpak", "snap"])
def test_a_sandbox_gets_an_environment_of_its_own(home, people, tmp_path, kind):
    """With stand-ins for Flatpak and Snap that run programs outside; what a real sandbox shows is not tried here."""
    packages = next((home / DATA / "venv").glob("lib/python*/site-packages"))
    settings, venv, skip = {
        "flatpak": (".var/app/org.gimp.GIMP/config/GIMP/3.0", f"{DATA}/venv-flatpak", 'while [ "$1" != end ]'),
        "snap": ("snap/gimp/current/.config/GIMP/3.0", "snap/gimp/common/hair-recolor/venv", ""),
    }[kind]
    home = people / kind
    (home / settings / "plug-ins").mkdir(parents=True)
    stand_in = {
        "flatpak": """[ "$1" = run ] || exit 9
            while shift; do case $1 in --env=*) export "${1#--env=}";; --command=*) name=${1#--command=};; *) break;; esac; done
            [ "$1" = org.gimp.GIMP ] || exit 9
            shift; exec "$name" "$@" """,
        "snap": '[ "$1 $2 $3 $4" = "run --shell gimp -c" ] || exit 9\nshift 3; exec sh "$@"',
    }[kind]
    program(tmp_path, f"bin/{kind}", f"#!/bin/sh\n{stand_in}\n")
    program(tmp_path, "bin/python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program(tmp_path, "bin/gimp-console", GIMP)
    before = tree(home)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    kinds = locations.kinds(locations.System("linux", home, {"PATH": path}))
    used = next(k for k in kinds if k.sandbox == kind)
    kept = record.Record(home / DATA)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in surroundings(home, PATH=path).items():
            patch.setenv(name, value)
        fill = environment._fill

        def fill_from_home(python, *arguments):
            """The packages of the other installation, so that pip only has to look at them and install the product."""
            target = next(python.parent.parent.glob("lib/python*/site-packages"))
            shutil.copytree(packages, target, copy_function=link_where_missing, dirs_exist_ok=True)
            if kind == "flatpak":  # a snap's is filled in the same way, so once is enough
                fill(python, *arguments)

        patch.setattr(environment, "_fill", fill_from_home)
        python = environment.make_environment(kept, used.environment, ["cpu"], used.sandbox)
        found = locations.find_gimps(locations.System("linux", home, os.environ))[-1]
        plugin.put_plugin(kept, found, python)
        checks = list(doctor.check_gimps([found]))
        if kind == "flatpak":
            checks += doctor.check_environment(used)
    assert not [check for check in checks if check.state == "FAILED"], checks
    assert any("GIMP says that it has the procedure" in check.finding for check in checks)
    kept_settings = json.loads((home / settings / "plug-ins/hair_recolor/settings.json").read_text())
    assert kept_settings["python"] == str(home / venv / "bin/python")
    assert record.remove_all(home / DATA) == [] and changed(before, tree(home)) == []


# From a wheel, without a clone


@pytest.fixture(scope="module")
def wheel(home, people):
    """The product as a wheel, built with the pinned tools of the installation."""
    pip = [home / DATA / "venv/bin/python", "-I", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--quiet", "--wheel-dir", people / "wheel", REPOSITORY], check=True)
    return next((people / "wheel").glob("hairmask-*.whl"))


@pytest.fixture(scope="module")
def packaged(home, people, wheel):
    """What pipx makes of the wheel: an environment with its dependencies, thus without ONNX Runtime; and its variables."""
    venv, there = people / "pipx/venvs/hairmask", next((home / DATA / "venv").glob("lib/python*/site-packages"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    own = shutil.ignore_patterns("hairmask*", "onnxruntime*")
    packages = next(venv.glob("lib/python*/site-packages"))
    shutil.copytree(there, packages, copy_function=link_where_missing, dirs_exist_ok=True, ignore=own)
    pip = [venv / "bin/python", "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    take_compiled(there, packages)
    programs = program(people, "bin/gimp-console", GIMP).parent
    nobody = people / "nobody with pipx"
    nobody.mkdir()
    variables = surroundings(nobody, PATH=f"{programs}:{os.environ['PATH']}")
    return venv / "bin/hairmask", {name: value for name, value in variables.items() if name != "PYTHONPATH"}


def test_a_wheel_puts_its_own_plug_in_into_gimp(packaged, portrait, tmp_path):
    """In an empty home: what is missing is said, installed, seen, and removed, as install.py does it."""
    hairmask, variables = packaged
    home = Path(variables["HOME"])

    def run(*arguments):
        return subprocess.run([hairmask, *map(str, arguments)], env=variables, capture_output=True, text=True)

    done = run("mask", portrait, "-o", tmp_path / "m.png")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "run  hairmask gimp install" in done.stderr
    done = run("gimp", "doctor")
    assert done.returncode == 1 and "hairmask_core gimp install" in " ".join(done.stdout.split())
    assert not tree(home)
    done = run("gimp", "install")
    assert done.returncode == 0 and "It works: the network runs on" in done.stdout, done.stdout + done.stderr
    assert "GIMP says that it has the procedure" in done.stdout
    folder = home / ".config/GIMP/3.0/plug-ins/hair_recolor"
    kept = json.loads((folder / "settings.json").read_text())
    assert kept["python"] == str(hairmask.with_name("python")) and kept["repair"].endswith(
        "-m hairmask_core gimp install"
    )
    installed = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    sources = REPOSITORY / "gimp_plugin/hair_recolor"
    for path in [*sources.glob("*.py"), *sources.glob("locale/*/LC_MESSAGES/*.mo")]:
        assert installed.pop(path.relative_to(sources).as_posix()).read_bytes() == path.read_bytes()
    assert set(installed) == {"options.py", "shades.json", "models.json", "settings.json"}
    assert json.loads(installed["models.json"].read_text()) == plugin.read_models()
    done = run("gimp", "doctor")
    assert (done.returncode, done.stderr) == (0, "") and "All is well." in done.stdout, done.stdout + done.stderr
    assert run("mask", portrait, "-o", tmp_path / "m.png").returncode == 0
    remedy = "from hairmask_core.checks import REPAIR_COMMAND; print(REPAIR_COMMAND)"
    said = subprocess.run([kept["python"], "-I", "-c", remedy], capture_output=True, text=True).stdout
    assert said == "pipx reinstall hairmask, then hairmask gimp install\n"
    done = run("gimp", "uninstall")
    assert done.returncode == 0 and "pipx uninstall hairmask" in done.stdout
    assert not tree(home) and hairmask.exists()
    assert "Nothing to remove" in run("gimp", "uninstall").stdout


def test_a_sandbox_gets_the_product_from_the_package(packaged, wheel, tmp_path):
    """A sandbox needs an environment of its own, and there is no clone to install into it."""
    pack = "import sys, pathlib; from hairmask_core.installer.environment import pack_product; pack_product(pathlib.Path(sys.argv[1]))"
    subprocess.run([packaged[0].with_name("python"), "-I", "-c", pack, tmp_path], check=True)
    with zipfile.ZipFile(tmp_path / wheel.name) as packed, zipfile.ZipFile(wheel) as built:
        assert set(packed.namelist()) == set(built.namelist())
        for name in built.namelist():
            if not name.endswith("RECORD"):
                assert packed.read(name) == built.read(name)
    pip = [packaged[0].with_name("python"), "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", tmp_path / "packages", tmp_path / wheel.name], check=True)
    assert (tmp_path / "packages/hairmask_core/gimp_plugin/hair_recolor/hair_recolor.py").exists()


def test_an_environment_without_pip_says_what_to_do(monkeypatch):
    said = subprocess.CompletedProcess([], 1, "python: No module named pip")
    monkeypatch.setattr(environment, "run_quietly", lambda command, *_, **__: said)
    monkeypatch.setattr(environment.metadata, "requires", lambda name: ["onnxruntime>=1.18; extra == 'cpu'"])
    with pytest.raises(system.InstallError, match="there is no pip to install it"):
        environment._add_runtime(Path("python"), "cpu")


@pytest.mark.parametrize(
    ("present", "gpu_works", "ends_with"),
    [
        ({"onnxruntime"}, True, {"onnxruntime-gpu"}),
        ({"onnxruntime"}, False, {"onnxruntime"}),
        ({"onnxruntime-gpu"}, True, {"onnxruntime-gpu"}),
        (set(), True, {"onnxruntime-gpu"}),
    ],
)
def test_a_package_gets_the_gpu_build_where_a_driver_answers(present, gpu_works, ends_with, monkeypatch):
    """With a stand-in for pip: one build, the right one, and the other where that cannot be had."""
    present = set(present)

    def run(command, *_, **__):
        *_, last = command
        failed = False
        if "install" in command and "pip" in command:
            failed = last == "onnxruntime-gpu" and not gpu_works
            present.update(set() if failed else {last})
        elif "uninstall" in command:
            present.discard(last)
        elif "metadata" in last:
            failed = re.search("'(.*)'", last)[1] not in present
        elif last == environment.CHECK_RUNTIME:
            failed = not present
        return subprocess.CompletedProcess(command, int(failed), "")

    monkeypatch.setattr(environment, "run_quietly", run)
    monkeypatch.setattr(environment, "choose_runtime", lambda: "cuda")
    builds = ["onnxruntime; extra == 'cpu'", "onnxruntime-gpu; extra == 'cuda'"]
    monkeypatch.setattr(environment.metadata, "requires", lambda name: builds)
    environment.complete_given(Path("python"))
    assert present == ends_with


def test_from_its_source_it_says_that_install_py_does_this():
    command = [sys.executable, "-m", "hairmask_core", "gimp", "install"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and "run python3 install.py there" in done.stderr


# What GIMP says


@pytest.fixture
def one_gimp(tmp_path):
    """A stand-in for GIMP, with the plug-in's files in its folder."""
    where = made_up(tmp_path, "linux", programs=["bin/gimp-console"])
    one = locations.find_gimps(where)[0]
    plugin.put_plugin(record.Record(tmp_path / "data"), one, one.kind.python)
    one.kind.environment.parent.mkdir(parents=True)
    return one


def look(one):
    return doctor.check_visible(one)


def test_gimp_has_the_filter_and_nothing_of_the_users_changes(one_gimp, tmp_path):
    before = tree(tmp_path)
    assert look(one_gimp).state == "ok"
    assert changed(before, tree(tmp_path)) == []


def test_not_executable(one_gimp):
    (one_gimp.plugin / "hair_recolor.py").chmod(0o644)
    check = look(one_gimp)
    assert check.state == "FAILED" and "is not executable" in check.finding and "install.py" in check.remedy


def test_not_there(one_gimp):
    shutil.rmtree(one_gimp.plugin)
    states = [(check.state, check.finding) for check in doctor.check_gimps([one_gimp])]
    assert states[-1] == ("FAILED", f"it is not in {one_gimp.plugin.parent}")
    assert look(one_gimp).remedy.startswith("To put it there, run ")


def test_gimp_looks_elsewhere(one_gimp):
    (one_gimp.settings / "gimprc").write_text(
        '# mine\n(plug-in-path "${gimp_dir}/mine:${gimp_plug_in_dir}/plug-ins")\n'
    )
    check = look(one_gimp)
    assert check.state == "FAILED" and "is set not to look into" in check.finding
    assert "Edit > Preferences > Folders > Plug-ins" in check.remedy


def test_gimp_without_python(one_gimp):
    program(Path(one_gimp.program).parent, "gimp-console", "#!/bin/sh\necho '(#f #f)' > answer.txt\n")
    check = look(one_gimp)
    assert check.state == "FAILED" and "no plug-ins in Python" in check.finding and "python3-gi" in check.remedy


@pytest.mark.parametrize("said", ["cannot open shared library libgimp", ""])
def test_gimp_that_does_not_answer(one_gimp, said):
    program(Path(one_gimp.program).parent, "gimp-console", f"#!/bin/sh\necho '{said}'; exit 1\n")
    check = look(one_gimp)
    assert check.state == "FAILED" and f"gave no answer ({said or 'it said nothing'})" in check.finding
    assert "Start GIMP by hand" in check.remedy


def test_gimp_that_hangs_is_ended_with_all_that_it_started(one_gimp, tmp_path, monkeypatch):
    text = f"#!/bin/sh\nsleep 600 &\necho $! > '{tmp_path}/pid'\nwait\n"
    program(Path(one_gimp.program).parent, "gimp-console", text)
    monkeypatch.setattr(gimp, "SECONDS", 1)
    assert "no answer within 1 seconds" in look(one_gimp).finding
    status = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    wait_for(lambda: not status.exists() or status.read_text().split()[2] == "Z")


def test_plug_in_files_change_as_a_whole(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")

    def refuse(self, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError):
        plugin.replace_file(tmp_path / "file", b"new", executable=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"old"


def test_an_update_takes_away_what_the_new_version_has_no_more(tmp_path):
    folder, kept = tmp_path / "plug-ins/hair_recolor", record.Record(tmp_path / "data")
    one = SimpleNamespace(plugin=folder, entry=folder / "hair_recolor.py", is_old=False)
    plugin.put_plugin(kept, one, "python")
    fresh = tree(one.plugin)
    for stale in (
        "old.py",
        "locale/tlh/LC_MESSAGES/hair-recolor.mo",
        "locale/de/LC_MESSAGES/old.mo",
        "old/__pycache__/a",
    ):
        (one.plugin / stale).parent.mkdir(parents=True, exist_ok=True)
        (one.plugin / stale).write_bytes(b"")
    plugin.put_plugin(kept, one, "python")
    assert changed(fresh, tree(one.plugin)) == [] and Path("locale/ko/LC_MESSAGES/hair-recolor.mo") in fresh


def test_a_gimp_whose_folder_refuses_does_not_stop_the_others(tmp_path):
    where = made_up(tmp_path, "linux", ["home/.config/GIMP/3.0", "home/.config/GIMP/3.2"])
    (tmp_path / "home/.config/GIMP/3.0/plug-ins").write_text("a file")
    gimps = locations.find_gimps(where)
    (missing,) = main.put_plugins(record.Record(tmp_path / "data"), gimps)
    assert missing.startswith("GIMP 3.0 does not have the plug-in. A file is where a folder is needed")
    assert (gimps[1].plugin / "hair_recolor.py").exists()


def test_not_with_sudo(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    main.refuse_sudo({})
    with pytest.raises(system.InstallError, match="run it as ada, without sudo"):
        main.refuse_sudo({"SUDO_USER": "ada"})


# The tests' own command


def test_what_the_tests_command_runs_and_returns(monkeypatch):
    asked = []

    def run(command, cwd):
        asked.append(command)
        return SimpleNamespace(returncode=5)

    monkeypatch.setattr(testing, "make_environment", lambda record, folder, extras, **more: asked.append(extras))
    monkeypatch.setattr(testing, "Record", lambda folder: None)
    monkeypatch.setattr(testing, "choose_runtime", lambda: "cpu")
    monkeypatch.setattr(testing.subprocess, "run", run)
    assert testing.run_tests(["-k", "words"]) == 5
    extras, command = asked
    assert extras == ["cpu", "test", "training"] and command[-2:] == ["-k", "words"] and "-m" not in command


def test_quick_tests_need_no_training(monkeypatch):
    asked = []
    monkeypatch.setattr(testing, "make_environment", lambda record, folder, extras, **more: asked.append(extras))
    monkeypatch.setattr(testing, "Record", lambda folder: None)
    monkeypatch.setattr(testing, "choose_runtime", lambda: "cpu")
    monkeypatch.setattr(testing.subprocess, "run", lambda command, cwd: SimpleNamespace(returncode=0))
    assert testing.run_tests([], quick=True) == 0 and asked == [["cpu", "test"]]


@pytest.mark.parametrize("arguments", [["--quick"], ["--nonsense"], ["--doctor", "--test"]])
def test_wrong_usage_of_the_installer_is_status_2(arguments):
    done = subprocess.run([sys.executable, REPOSITORY / "install.py", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and "usage:" in done.stderr


# GPUs


@pytest.mark.parametrize(("answer", "runtime"), [("exit 0", "cuda"), ("exit 9", "cpu")])
def test_gpu_build_only_where_a_driver_answers(tmp_path, monkeypatch, answer, runtime):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert environment.choose_runtime() == runtime


# The end


def test_uninstalling_leaves_what_was_there_before(home, untouched):
    """The last test here, for the others need the installation."""
    (home / ".config/GIMP/3.0/plug-in-settings/GimpProcedureConfigRun-python-fu-hair-recolor.last").touch()
    done = run_installer(home, "--uninstall")
    assert done.returncode == 0 and "is removed" in done.stdout
    assert changed(untouched[1], tree(home)) == []
    assert "Nothing to remove" in run_installer(home, "--uninstall").stdout
