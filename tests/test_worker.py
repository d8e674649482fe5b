"""The worker as the plug-in meets it: real processes, real sockets, the plug-in's own client."""

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hairmask_core import __version__
from hairmask_core.color.blend import blend, take_color
from hairmask_core.color.shades import find_shade
from hairmask_core.hair.instances import find_instances
from hairmask_core.options import Coloring, Options, OptionsError, Request, new_file_name
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair, recolor_layer, shade_of_hair

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "gimp_plugin" / "hair_recolor"))
import client as worker_client  # noqa: E402

GOOD = {"shade": "copper", "device": "cpu"}  # options of most requests here
SETTINGS = {"python": sys.executable, "version": __version__, "repair": "python3 '/my folder/install.py'"}


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A private directory of this test's own; a worker that serves it is ended afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    directory = worker_client.private_directory()
    yield directory
    worker_client.stop(directory)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A directory whose worker many tests ask one after the other; a worker takes two seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("w")))
        directory = worker_client.private_directory()
    yield directory
    worker_client.stop(directory)


def make_request(directory, rgba, **changes):
    """A request for these pixels, which are written, as it is sent; its options and fields changed, rightly or wrongly."""
    kind = {np.dtype(np.uint8): "u8", np.dtype(np.uint16): "u16", np.dtype(np.float32): "float"}[rgba.dtype]
    names = {each.name for each in fields(Options)}
    chosen = GOOD | {name: changes.pop(name) for name in names & set(changes)}
    size = rgba.shape[1], rgba.shape[0]
    try:
        request = Request.of_layer(Options(**chosen), size, kind, "u8")
    except OptionsError:  # as is meant
        request = Request.of_layer(Options(**GOOD), size, kind, "u8")
    (directory / request.pixels).write_bytes(rgba.tobytes())
    said = request.to_dict() | changes
    if said["options"]:
        said["options"] |= chosen
    return Said({"type": "recolor"} | said)


class Said(dict):
    """A request as it is sent, right or wrong; for the client, in place of an options.Request."""

    pixels, limits = (property(lambda self, name=name: self[name]) for name in ("pixels", "limits"))

    def to_dict(self):
        return self


def ask(directory, request, on_progress=lambda fraction, text: None, settings=SETTINGS):
    """The worker's result, its recolored pixels and its mask; of the first person where there are several."""

    def collect(result):
        return result, *(read_first(directory, request[name]) for name in ("layer_out", "mask_out"))

    return worker_client.ask(settings, directory, request, on_progress, collect)


def read_first(directory, names):
    return (directory / names[0]).read_bytes() if names else None


def with_alpha(rgb):
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def worker_pid(directory):
    connection, hello = worker_client.try_connect(directory)
    connection.close()
    return hello["pid"]


def exchange_files(directory):
    return list(directory.glob("exchange-*"))


def test_answer_equals_the_pipeline(served, astronaut, model):
    result, layer, mask = ask(served, make_request(served, with_alpha(astronaut), shade="blue"))
    photo = Photo(astronaut)
    hair = find_hair(photo, model)
    expected = recolor_layer(photo, hair, find_shade("blue").rgb)
    layer = np.frombuffer(layer, np.uint8).reshape(512, 512, 4)
    np.testing.assert_array_equal(layer[..., :3], expected)
    assert (layer[..., 3] == 255).all()
    np.testing.assert_array_equal(np.frombuffer(mask, np.uint8).reshape(512, 512), np.rint(hair.matte * 255))
    assert result["device"] == "cpu" and result["shade"] == "blue" and result["notices"] == []


def test_colors_towards_the_tips_and_the_hair_of_another_photo(served, astronaut, model, tmp_path):
    photo, other = Photo(astronaut), tmp_path / "other photo.png"
    hair = find_hair(photo, model)
    Image.fromarray(blend(astronaut, recolor_layer(photo, hair, find_shade("blue").rgb), hair.matte)).save(other)
    request = make_request(served, with_alpha(astronaut), shade={"photo": str(other)}, tips=[1, 0.5, 0])
    result, layer, _ = ask(served, request)
    assert result["shade"] == "hair of other photo.png to #ff8000"
    shade = shade_of_hair(find_hair(read_photo(other), model), other)
    expected = recolor_layer(photo, hair, Coloring(shade.rgb, tips=(1, 0.5, 0)))
    np.testing.assert_array_equal(np.frombuffer(layer, np.uint8).reshape(512, 512, 4)[..., :3], expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_layers_keep_alpha_and_precision(served, astronaut, dtype):
    full = 65535 if dtype is np.uint16 else 1
    rgba = with_alpha(astronaut).astype(dtype) / 255 * full
    rgba = rgba.astype(dtype)
    rgba[:100, :50, 3] = full // 3 if dtype is np.uint16 else 0.3
    result, layer, mask = ask(served, make_request(served, rgba, mask_format="float"))
    layer, mask = np.frombuffer(layer, dtype).reshape(512, 512, 4), np.frombuffer(mask, np.float32).reshape(512, 512)
    np.testing.assert_array_equal(layer[..., 3], rgba[..., 3])
    assert 0 <= mask.min() and mask.max() <= 1 and mask[60, 230] > 0.9
    same = ask(served, make_request(served, rgba, strength=0.0))[1]
    np.testing.assert_array_equal(np.frombuffer(same, dtype).reshape(512, 512, 4), rgba)


def test_limits_multiply_the_mask(served, astronaut):
    _, _, whole = ask(served, make_request(served, with_alpha(astronaut), mask_format="float"))
    limit = np.linspace(0, 1, 512, dtype=np.float32)[None].repeat(512, 0)
    path = served / new_file_name()
    path.write_bytes(np.ascontiguousarray(limit).tobytes())
    _, _, limited = ask(served, make_request(served, with_alpha(astronaut), mask_format="float", limits=[path.name]))
    np.testing.assert_allclose(
        np.frombuffer(limited, np.float32), np.frombuffer(whole, np.float32) * limit.ravel(), atol=1e-6
    )


def test_one_worker_stays_and_its_files_are_private_and_removed(directory, astronaut):
    request = make_request(directory, with_alpha(astronaut))
    ask(directory, request)
    first = worker_pid(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "worker.sock").stat().st_mode) == 0o600
    ask(directory, make_request(directory, with_alpha(astronaut), shade="blue"))
    assert worker_pid(directory) == first
    wait_until(lambda: not exchange_files(directory))


@pytest.mark.slow
def test_progress_rises_to_the_end(served, astronaut):
    large = with_alpha(np.tile(astronaut, (6, 6, 1)))
    seen = []
    ask(served, make_request(served, large, force=True), lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert len(seen) > 5 and fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] <= 1
    assert {"Refining the outline", "Recoloring"} <= {text for _, text in seen}


def test_a_second_shade_uses_the_mask_found_before(served, astronaut):
    large = with_alpha(np.tile(astronaut, (4, 4, 1)))
    texts = [[], []]
    for shade, seen in zip(("copper", "blue"), texts):
        ask(
            served,
            make_request(served, large, shade=shade, force=True),
            lambda _, text, seen=seen: seen.append(text),
        )
    assert "Refining the outline" in texts[0] and "Refining the outline" not in texts[1]


@pytest.mark.slow
def test_a_client_that_leaves_stops_the_work(directory, astronaut):
    large = with_alpha(np.tile(astronaut, (12, 12, 1)))

    class Leave(Exception):
        pass

    def leave(fraction, text):
        if text == "Recoloring":
            raise Leave

    with pytest.raises(Leave):
        ask(directory, make_request(directory, large, force=True), leave)
    left = time.monotonic()
    wait_until(lambda: not exchange_files(directory))
    wait_until(lambda: "client gone" in (directory / "worker.log").read_text())
    ask(directory, make_request(directory, with_alpha(astronaut)))  # and it serves on
    assert time.monotonic() - left < 20


@pytest.mark.slow
def test_a_killed_worker_is_replaced(directory, astronaut):
    ask(directory, make_request(directory, with_alpha(astronaut)))
    first = worker_pid(directory)
    os.kill(first, signal.SIGKILL)
    ask(directory, make_request(directory, with_alpha(astronaut)))
    assert worker_pid(directory) != first


@pytest.mark.slow
def test_an_endpoint_with_an_old_secret_is_waited_out(directory, astronaut):
    """A new worker listens at the old one's address for a moment before it replaces the endpoint file."""
    ask(directory, make_request(directory, with_alpha(astronaut)))
    endpoint = directory / "endpoint.json"
    current = endpoint.read_text()
    endpoint.write_text(json.dumps(json.loads(current) | {"secret": "of a dead worker"}))
    assert worker_client.try_connect(directory) == (None, None)
    threading.Timer(1, endpoint.write_text, [current]).start()
    ask(directory, make_request(directory, with_alpha(astronaut)))


@pytest.mark.slow
def test_a_worker_killed_at_work_is_replaced(directory, astronaut):
    killed = []

    def kill(fraction, text):
        if fraction > 0 and not killed:  # before, the worker may only be starting
            killed.append(worker_pid_of(directory))
            os.kill(killed[0], signal.SIGKILL)

    def worker_pid_of(directory):
        return int((directory / "worker.log").read_text().split()[-1])

    large = with_alpha(np.tile(astronaut, (4, 4, 1)))
    _, layer, _ = ask(directory, make_request(directory, large, force=True), kill)
    assert killed and len(layer) == large.nbytes


def launcher(tmp_path, directory, first):
    """A stand-in for the environment's Python that runs `first` before the worker."""
    script = tmp_path / "launcher"
    script.write_text(
        f'#!/bin/sh\nexec {sys.executable} -I -c "{first}; import sys; from hairmask_core.cli.main import main; '
        f"sys.exit(main(['worker', '--directory', '{directory}']))\"\n"
    )
    script.chmod(0o755)
    return str(script)


@pytest.mark.slow
def test_a_worker_of_another_version_is_replaced(directory, astronaut, tmp_path):
    """After an update, the new plug-in asks for its own version while the old worker still runs."""
    ask(directory, make_request(directory, with_alpha(astronaut)))
    old = worker_pid(directory)
    newer = launcher(tmp_path, directory, "import hairmask_core.server.server as w; w.__version__ = '9.9.9'")
    ask(
        directory,
        make_request(directory, with_alpha(astronaut)),
        settings=SETTINGS | {"python": newer, "version": "9.9.9"},
    )
    connection, hello = worker_client.try_connect(directory)
    connection.close()
    assert hello["version"] == "9.9.9" and hello["pid"] != old


def test_loopback_with_a_secret_where_there_are_no_unix_sockets(directory, astronaut, tmp_path):
    """As on Windows: a port of this machine alone, and a secret that only this user can read."""
    tcp = launcher(tmp_path, directory, "import socket; del socket.AF_UNIX")
    ask(directory, make_request(directory, with_alpha(astronaut)), settings=SETTINGS | {"python": tcp})
    endpoint = json.loads((directory / "endpoint.json").read_text())
    assert set(endpoint) == {"port", "secret"} and not (directory / "worker.sock").exists()
    assert stat.S_IMODE((directory / "endpoint.json").stat().st_mode) == 0o600
    stranger = socket.create_connection(("127.0.0.1", endpoint["port"]))
    worker_client.send(stranger, {"type": "hello", "protocol": 1, "secret": "guess"})
    assert worker_client.receive(stranger)["type"] == "error"
    stranger.close()


@pytest.mark.slow
def test_many_clients_get_their_own_answers(served, astronaut):
    ask(served, make_request(served, with_alpha(astronaut)))
    expected, found = {}, {}
    shades = ["red", "blue", "green", "black", "platinum", "copper"]
    for shade in shades:
        expected[shade] = ask(served, make_request(served, with_alpha(astronaut), shade=shade))[1]

    def client(shade):
        found[shade] = ask(served, make_request(served, with_alpha(astronaut), shade=shade))[1]

    threads = [threading.Thread(target=client, args=(shade,)) for shade in shades]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_two_clients_start_one_worker(directory, astronaut):
    pids = []

    def client():
        ask(directory, make_request(directory, with_alpha(astronaut)))
        pids.append(worker_pid(directory))

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 3 and len(set(pids)) == 1


@pytest.mark.slow
def test_idle_worker_ends_and_leaves_nothing(tmp_path):
    directory = tmp_path / "w"
    command = [sys.executable, "-I", "-m", "hairmask_core", "worker", "--directory", directory, "--idle-seconds", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "done" in done.stdout
    assert {path.name for path in directory.iterdir()} == {"worker.lock"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shade": "coper"}, "nearest is 'copper'"),
        ({"shade": [1, 0.5]}, "There is no shade [1, 0.5]: give a name, #rrggbb, or three numbers from 0 to 1"),
        ({"shade": {"photo": "/no/such photo.jpg"}}, "/no/such photo.jpg does not exist"),
        ({"tips": "coper"}, "nearest is 'copper'"),
        ({"device": "abacus"}, "There is no device 'abacus'"),
        ({"engine": "steam"}, "There is no engine 'steam': choose one of whole, texture"),
        ({"step": 36}, "A step of 36 is not possible: give a whole number from 1 to 35"),
        ({"quality": "perfect"}, "There is no quality 'perfect': choose one of fast, best"),
        ({"model": "oracle"}, "The engine whole has no model 'oracle': choose one of hair-"),
        ({"strength": 2}, "A strength of 2 is not possible: give a number from 0 to 1"),
        ({"width": 0}, "A width of 0 is not possible: give a whole number from 1 to 524288"),
        ({"width": 511}, "bytes where"),
        ({"pixels": "../../etc/passwd"}, "not one of the exchange directory"),
        ({"layer_out": ["/etc/passwd"]}, "not one of the exchange directory"),
        ({"mask_out": []}, "goes to 1 mask and 1 layer files, not to 0 and 1"),
        ({"people": "each", "layer_out": ["exchange-0"]}, "goes to 8 mask and 8 layer files, not to 8 and 1"),
        ({"people": "nobody"}, "There is no option for people 'nobody': choose one of together, each"),
        ({"output": "song"}, "There is no output 'song': choose one of layer, mask, picture, lch picture"),
        ({"shade": None}, "A shade is missing: name one"),
        ({"limits": None}, "The file names None are malformed: update the plug-in"),
        ({"format": "u32"}, "There is no pixel format 'u32': choose one of u8, u16, float"),
        ({"options": None}, "The request's options are malformed: update the plug-in"),
        ({"turbo": 1}, "There is no option 'turbo': leave it out, or update Hair Recolor"),
        ({"type": "dance"}, "does not know the request 'dance'"),
    ],
)
def test_bad_requests_get_a_sentence(served, astronaut, changes, says):
    with pytest.raises(worker_client.WorkerError) as error:
        ask(served, make_request(served, with_alpha(astronaut), **changes))
    assert says in str(error.value)


def test_no_hair_is_said_unless_forced(served):
    empty = np.full((200, 300, 4), 128, np.uint8)
    empty[..., 3] = 255
    with pytest.raises(worker_client.WorkerError, match="No hair was found") as error:
        ask(served, make_request(served, empty))
    assert error.value.kind == "no-hair"
    _, layer, mask = ask(served, make_request(served, empty, force=True))
    assert len(layer) == empty.nbytes and max(mask) < 128


def test_empty_layer_is_said_even_if_forced(served):
    with pytest.raises(worker_client.WorkerError, match="empty .fully transparent"):
        ask(served, make_request(served, np.zeros((64, 64, 4), np.uint8), force=True))


@pytest.mark.slow
def test_layers_with_numbers_that_are_none(served):
    rgba = np.full((64, 64, 4), 0.5, np.float32)
    rgba[10:20, 10:20, :3], rgba[30, 30, 0], rgba[31, 31, 1] = np.nan, np.inf, -np.inf
    _, layer, _ = ask(served, make_request(served, rgba, force=True))
    assert np.isfinite(np.frombuffer(layer, np.float32)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "greeting", [b"", b"GET / HTTP/1.0\r\n\r\n", struct.pack(">I", 9) + b"not json!", struct.pack(">I", 2) + b"[]"]
)
def test_strangers_do_not_disturb(served, astronaut, greeting):
    ask(served, make_request(served, with_alpha(astronaut)))
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect(str(served / "worker.sock"))
    stranger.sendall(greeting)
    ask(served, make_request(served, with_alpha(astronaut)))
    stranger.close()


def test_wrong_secret_is_refused(served, astronaut):
    ask(served, make_request(served, with_alpha(astronaut)))
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect(str(served / "worker.sock"))
    worker_client.send(stranger, {"type": "hello", "protocol": 1, "secret": "guess"})
    assert worker_client.receive(stranger)["type"] == "error"
    stranger.close()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "No such file"),
        ("exit 1", "it left no message"),
        ("echo 1; echo No module x; exit 1", "No module x"),
        # As NumPy does it.
        (
            "echo ImportError: libx.so: bad; echo 'ImportError: '; echo; echo PLEASE READ; exit 1",
            "(ImportError: libx.so: bad)",
        ),
    ],
)
def test_a_worker_that_cannot_start_names_the_command_that_repairs_it(directory, astronaut, tmp_path, script, says):
    python = tmp_path / "python"
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    with pytest.raises(worker_client.WorkerError) as error:
        ask(directory, make_request(directory, with_alpha(astronaut)), settings=SETTINGS | {"python": str(python)})
    assert says in str(error.value) and str(error.value).endswith("python3 '/my folder/install.py'")


def test_libraries_of_gimps_own_package_do_not_reach_the_worker(directory, astronaut, tmp_path, monkeypatch):
    """An AppImage's or a snap's, which are others than the system's; here they are none at all."""
    for name in ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1"):
        (tmp_path / name).write_text("of another system")
    for variable in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        monkeypatch.setenv(variable, str(tmp_path))
    result, *_files = ask(directory, make_request(directory, with_alpha(astronaut)))
    assert result["shade"] == "copper"


@pytest.mark.parametrize("value", ["cache", ".", ""])
def test_a_relative_cache_folder_is_ignored(tmp_path, monkeypatch, value):
    """As the specification of XDG_CACHE_HOME has it: where it would be changes with the folder that one is in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")  # a socket's path must be short; nothing is made
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert worker_client.private_path() == Path("/home/somebody/.cache/hair-recolor/worker")


def test_plug_in_without_settings_says_how_to_install(tmp_path):
    with pytest.raises(worker_client.WorkerError, match="python3 install.py"):
        worker_client.load_settings(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    assert worker_client.load_settings(tmp_path) == SETTINGS


# What else can be asked for


def beside(rgb, other):
    return np.ascontiguousarray(np.hstack([rgb, other]))


def test_the_networks_own_map_where_it_is_not_to_be_refined(served, astronaut, model):
    for refined in (False, True):  # one after the other: the second must not get the first one's
        _, _, mask = ask(served, make_request(served, with_alpha(astronaut), refine=refined))
        expected = find_hair(Photo(astronaut), model, refined).matte
        np.testing.assert_array_equal(np.frombuffer(mask, np.uint8).reshape(512, 512), np.rint(expected * 255))


def test_only_the_mask(served, astronaut, model):
    result, layer, mask = ask(served, make_request(served, with_alpha(astronaut), output="mask", shade=None))
    expected = find_hair(Photo(astronaut), model).matte
    np.testing.assert_array_equal(np.frombuffer(mask, np.uint8).reshape(512, 512), np.rint(expected * 255))
    assert layer is None and result["shade"] is None and result["people"] == 1


@pytest.mark.parametrize("output", ["picture", "lch picture"])
def test_pictures_show_what_gimp_would(served, astronaut, model, output):
    limit = np.zeros((512, 512), np.float32)
    limit[:, 230:] = 0.7
    path = served / new_file_name()
    path.write_bytes(limit.tobytes())
    rgba = with_alpha(astronaut)
    rgba[:, :250, 3] = 99
    _, picture, _ = ask(served, make_request(served, rgba, output=output, shade="blue", limits=[path.name]))
    picture = np.frombuffer(picture, np.uint8).reshape(512, 512, 4)
    photo = Photo(astronaut, np.ascontiguousarray(rgba[..., 3]))
    hair = find_hair(photo, model)
    layer = recolor_layer(photo, hair, find_shade("blue").rgb)
    layer = take_color(astronaut, layer) if output == "lch picture" else layer
    np.testing.assert_array_equal(picture[..., :3], blend(astronaut, layer, hair.matte * limit))
    np.testing.assert_array_equal(picture[..., 3], rgba[..., 3])


def test_each_of_two_people_gets_a_mask_and_is_dyed_from_the_own_color(directory, astronaut, model):
    two = beside(astronaut, astronaut[:, ::-1] // 2)
    request = make_request(directory, with_alpha(two), people="each", shade="blue")

    def collect(result):
        assert result["people"] == 2
        names = [request[key][:2] for key in ("mask_out", "layer_out")]
        masks, layers = ([np.fromfile(directory / name, np.uint8) for name in part] for part in names)
        return [mask.reshape(512, 1024) for mask in masks], [layer.reshape(512, 1024, 4) for layer in layers]

    masks, layers = worker_client.ask(SETTINGS, directory, request, lambda fraction, text: None, collect)
    whole = find_hair(Photo(two), model)
    np.testing.assert_array_equal(masks[0] + masks[1], np.rint(whole.matte * 255))
    assert (masks[0][:, 512:] < 128).all() and (masks[1][:, :512] < 128).all()
    people = find_instances(Photo(two), whole)
    for number, layer in enumerate(layers, 1):
        expected = recolor_layer(Photo(two), people.hair_of(number, whole), find_shade("blue").rgb)
        np.testing.assert_array_equal(layer[..., :3], expected)
    wait_until(lambda: not exchange_files(directory))


def test_who_is_outside_of_the_limits_gets_no_layer(served, astronaut):
    two = beside(astronaut, astronaut[:, ::-1])
    limit = np.zeros((512, 1024), np.float32)
    limit[:, 512:] = 1
    path = served / new_file_name()
    path.write_bytes(limit.tobytes())
    request = make_request(served, with_alpha(two), people="each", limits=[path.name])
    result, _, mask = ask(served, request)
    mask = np.frombuffer(mask, np.uint8).reshape(512, 1024)
    assert result["people"] == 1 and mask[:, :512].max() == 0 and mask[:, 512:].max() > 250


def test_announced_files_go_with_their_client(directory, astronaut):
    """A client writes its files once the worker knows their names; it may be killed before it has written all."""
    rgba = with_alpha(astronaut)
    request = make_request(directory, rgba)
    pixels = directory / request["pixels"]
    pixels.unlink()

    def write_slowly():
        with open(pixels, "wb") as file:
            for rows in np.array_split(rgba, 4):
                file.write(rows.tobytes())
                file.flush()
                time.sleep(0.1)

    def collect(result):
        return read_first(directory, request["layer_out"])

    late = worker_client.ask(SETTINGS, directory, request, lambda fraction, text: None, collect, write_slowly)
    assert late == ask(directory, make_request(directory, rgba))[1]

    class Leave(Exception):
        pass

    request = make_request(directory, rgba)
    pixels = directory / request["pixels"]
    pixels.unlink()

    def leave():
        pixels.write_bytes(rgba.tobytes()[:1000])
        raise Leave

    with pytest.raises(Leave):
        worker_client.ask(SETTINGS, directory, request, lambda fraction, text: None, collect, leave)
    wait_until(lambda: not exchange_files(directory))
