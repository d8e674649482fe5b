"""What a worker has to survive: kills, strangers, garbage, full disks, clocks that jump, updates. Real processes."""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_worker import REPOSITORY, SETTINGS, ask, make_request, wait_until, with_alpha, worker_client, worker_pid

import hairmask_core
from hairmask_core.color.shades import find_shade
from hairmask_core.inference.cards import models_folder
from hairmask_core.options import PROTOCOL, new_file_name
from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.pipeline import find_hair, recolor_layer

pytestmark = pytest.mark.slow  # all together

COMMAND = [sys.executable, "-I", "-m", "hairmask_core", "worker", "--directory"]
SIDE = 32  # of the smallest pictures here


def directory_made(directory):
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def directory(tmp_path):
    """A private directory of this test's own; a worker that serves it is ended afterwards."""
    directory = directory_made(tmp_path / "w")
    yield directory
    for pid in processes_of(directory):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """The private directory of one worker that takes all that follows."""
    directory = tmp_path_factory.mktemp("busy")
    worker_client.connect(SETTINGS, directory).close()
    yield directory
    worker_client.stop(directory)


@pytest.fixture(scope="module")
def pictures(astronaut):
    """Small pieces of the portrait, some with hair and some without."""
    return [
        np.ascontiguousarray(astronaut[top : top + SIDE, left : left + SIDE])
        for top in range(0, 160, SIDE)
        for left in range(100, 356, SIDE)
    ]


@pytest.fixture(scope="module")
def large(astronaut):
    """A picture that takes a second or more."""
    return with_alpha(np.tile(astronaut, (4, 4, 1)))


@pytest.fixture(scope="module")
def large_answer(large, model):
    return answer_of(np.ascontiguousarray(large[..., :3]), "blue", model)


def answer_of(pixels, shade, model):
    """What the pipeline makes of it: recolored RGBA and mask, as bytes."""
    photo = Photo(pixels)
    hair = find_hair(photo, model)
    recolored = recolor_layer(photo, hair, find_shade(shade).rgb)
    return with_alpha(recolored).tobytes(), from_float(hair.matte, np.uint8).tobytes()


def request_of(directory, picture, **changes):
    """A good request, its file written."""
    return make_request(directory, with_alpha(picture), **{"force": True} | changes)


def assert_serves(directory, pictures, model):
    """A good request is answered rightly."""
    _, layer, mask = ask(directory, request_of(directory, pictures[3], shade="blue"))
    assert (layer, mask) == answer_of(pictures[3], "blue", model)


def exchange_files(directory):
    return sorted(path.name for path in directory.glob("exchange-*"))


def endpoint(directory):
    return json.loads((directory / "endpoint.json").read_text())


def connect(directory):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)  # a test that waits for so long has found a hang
    connection.connect(str(directory / "worker.sock"))
    return connection


def frame(message):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


def hello(directory):
    return {"type": "hello", "protocol": PROTOCOL, "secret": endpoint(directory)["secret"]}


def processes_of(directory):
    """Workers that run for this directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"worker" in words and os.fsencode(directory) in words:
            found.append(int(path.parent.name))
    return found


def resident(pid):
    """Memory in use, kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


CLIENT = """
import hashlib, json, sys
from pathlib import Path
sys.path.insert(0, {plugin!r})
import client
from hairmask_core.options import Request
directory, request = Path({directory!r}), Request.from_dict(json.loads({request!r}))
print("ready", flush=True)
sys.stdin.readline()
def collect(result):
    files = [(directory / names[0]).read_bytes() for names in (request.layer_out, request.mask_out)]
    print(json.dumps([hashlib.sha256(data).hexdigest() for data in files]), flush=True)
client.ask({settings!r}, directory, request, lambda fraction, text: print(fraction, text, flush=True), collect)
"""


def client_process(directory, request, settings=SETTINGS):
    """A plug-in's process of its own, ready to ask as soon as it is sent a line."""
    program = CLIENT.format(
        plugin=str(REPOSITORY / "gimp_plugin" / "hair_recolor"),
        directory=str(directory),
        request=json.dumps({name: value for name, value in request.items() if name != "type"}),
        settings=settings,
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def read_until(process, text):
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"the client ended without saying {text}")


def digests(process):
    """Of its layer and mask, after it has ended."""
    lines = process.communicate(timeout=100)[0].splitlines()
    assert process.returncode == 0
    return json.loads(lines[-1])


def digests_of(answer):
    return [hashlib.sha256(data).hexdigest() for data in answer]


# Killed, hung, alone or together


def test_killed_in_the_middle_of_a_request(directory, large, large_answer):
    """The client asks again, a new worker gives the right answer, and nothing stays behind."""
    killed = []

    def kill(fraction, text):
        if fraction > 0.2 and not killed:
            killed.append(worker_pid(directory))
            os.kill(killed[0], signal.SIGKILL)

    _, layer, mask = ask(directory, make_request(directory, large, force=True, shade="blue"), kill)
    assert (layer, mask) == large_answer
    assert killed and worker_pid(directory) != killed[0]
    wait_until(lambda: not exchange_files(directory))


def test_killed_at_every_attempt(directory, large, pictures, model):
    """A request that always takes the worker with it ends in a sentence, and the next one is answered."""
    killed = []

    def kill(fraction, text):
        if fraction > 0 and worker_pid(directory) not in killed:
            killed.append(worker_pid(directory))
            os.kill(killed[-1], signal.SIGKILL)

    with pytest.raises(worker_client.WorkerError, match="ended unexpectedly .* close other programs and try again"):
        ask(directory, make_request(directory, large, force=True), kill)
    assert len(killed) == 2
    assert_serves(directory, pictures, model)


def test_killed_between_requests_leaves_a_stale_socket(directory, pictures, model):
    assert_serves(directory, pictures, model)
    first = worker_pid(directory)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: worker_client.try_connect(directory) == (None, None))
    assert (directory / "worker.sock").is_socket() and (directory / "endpoint.json").exists()
    assert_serves(directory, pictures, model)
    assert worker_pid(directory) != first and processes_of(directory) == [worker_pid(directory)]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"path": 5, "secret": "x"}',
        b'{"path": "\\u0000", "secret": "x"}',
        b'{"path": "\\ud800", "secret": "x"}',
        b'{"path": "' + 500 * b"a" + b'", "secret": "x"}',
        b'{"path": "/nowhere"}',
        b'{"port": "x", "secret": "x"}',
        b'{"port": 99999999, "secret": "x"}',
        b'{"port": -1, "secret": "x"}',
    ],
)
def test_a_damaged_endpoint_file_is_nobody(directory, said):
    (directory / "endpoint.json").write_bytes(said)
    assert worker_client.try_connect(directory) == (None, None)


@pytest.mark.parametrize("says", [None, b"HTTP/1.0 400 Bad Request\r\n\r\n", frame([]), frame({}), b"\0\0\0\5"])
def test_another_program_at_the_old_port_is_nobody(directory, says, monkeypatch):
    monkeypatch.setattr(worker_client, "HELLO_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        (directory / "endpoint.json").write_text(json.dumps({"port": stranger.getsockname()[1], "secret": "x"}))

        def answer():
            connection, _ = stranger.accept()
            with connection:
                connection.sendall(says or b"")
                connection.recv(1000)
                if says is None:  # says nothing at all, and stays
                    connection.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        assert worker_client.try_connect(directory) == (None, None)
        thread.join()


class Cancel(Exception):
    pass


def test_cancel_works_while_the_worker_hangs(directory, large, pictures, model):
    """At work, and before it has said hello. Set going again, it notices, tidies up and serves on."""
    assert_serves(directory, pictures, model)
    pid, seen = worker_pid(directory), []

    def hang(fraction, text):
        if fraction > 0:
            os.kill(pid, signal.SIGSTOP)
            seen.append((fraction, text))
        if seen[-3:] == [(fraction, text)] * 3:  # nothing new came, and still we are called
            raise Cancel

    def cancel(fraction, text):
        assert text == "Waiting for the hair worker"
        raise Cancel

    try:
        with pytest.raises(Cancel):
            ask(directory, make_request(directory, large, force=True), hang)
        with pytest.raises(Cancel):
            ask(directory, request_of(directory, pictures[0]), cancel)
    finally:
        os.kill(pid, signal.SIGCONT)
    for path in directory.glob("exchange-*"):  # as the plug-in does
        path.unlink(missing_ok=True)
    assert_serves(directory, pictures, model)
    assert worker_pid(directory) == pid
    wait_until(lambda: not exchange_files(directory))


def test_a_worker_that_never_answers_gets_a_sentence_of_its_own(directory, pictures, model, monkeypatch):
    assert_serves(directory, pictures, model)
    pid = worker_pid(directory)
    monkeypatch.setattr(worker_client, "HELLO_SECONDS", 0.1)
    monkeypatch.setattr(worker_client, "START_SECONDS", 3)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(worker_client.WorkerError, match="does not answer: .* restart the computer"):
            ask(directory, request_of(directory, pictures[0]))
    finally:
        os.kill(pid, signal.SIGKILL)


def test_gimps_that_start_at_once_share_one_worker(directory, pictures, model):
    """Processes of their own, released together, with no worker there."""
    shades = ["blue", "copper", "black", "red"]
    clients = [client_process(directory, request_of(directory, pictures[i], shade=s)) for i, s in enumerate(shades)]
    for client in clients:
        go(client)
    for i, (client, shade) in enumerate(zip(clients, shades)):
        assert digests(client) == digests_of(answer_of(pictures[i], shade, model))
    wait_until(lambda: processes_of(directory) == [worker_pid(directory)])
    wait_until(lambda: not exchange_files(directory))


def test_fifty_requests_from_eight_clients(busy, pictures, model):
    shades = ["red", "blue", "black", "platinum", "copper"]
    questions = [(i % len(pictures), shades[i % len(shades)]) for i in range(50)]
    expected = {(number, shade): answer_of(pictures[number], shade, model) for number, shade in questions}
    found, todo = [], list(enumerate(questions))

    def client():
        while todo:
            try:
                number, (picture, shade) = todo.pop()
            except IndexError:
                return
            _, *answer = ask(busy, request_of(busy, pictures[picture], shade=shade))
            found.append((number, tuple(answer) == expected[picture, shade]))

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(number, True) for number in range(50)]


def test_clients_killed_at_work_and_in_the_queue(directory, large, pictures, model):
    """The work stops, and the files of both are removed."""
    at_work = client_process(directory, make_request(directory, large, engine="texture", step=1))  # minutes of work
    go(at_work)
    read_until(at_work, "Looking")
    waiting = client_process(directory, make_request(directory, large, force=True))
    go(waiting)
    read_until(waiting, "Waiting")
    assert len(exchange_files(directory)) >= 2
    for client in (waiting, at_work):
        client.kill()
        client.communicate()
    wait_until(lambda: (directory / "worker.log").read_text().count("client gone") == 2)
    wait_until(lambda: not exchange_files(directory))
    assert_serves(directory, pictures, model)


# Strangers


INTRUDER = """
import json, os, socket, struct, sys
user, address, message = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()
if user != os.getuid():
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(20)
try:
    connection.connect(address)
except OSError as error:
    sys.exit(type(error).__name__)
try:
    connection.sendall(struct.pack(">I", len(message)) + message)
    print(connection.recv(1000)[4:].decode())
except ConnectionError:
    print()
"""


def intrude(user, directory):
    command = [sys.executable, "-c", INTRUDER, str(user), str(directory / "worker.sock"), json.dumps(hello(directory))]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_another_user_cannot_connect():
    """The modes keep others out; with the modes opened and the secret told, the system's word on who connects does."""
    directory = Path(tempfile.mkdtemp()) / "w"  # pytest's own folders are closed to others
    try:
        worker_client.connect(SETTINGS, directory_made(directory)).close()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert modes["worker.sock"] == modes["endpoint.json"] == 0o600
        assert json.loads(intrude(os.getuid(), directory).stdout)["type"] == "hello"
        if os.getuid() == 0:
            nobody = 65534
            for folder in (directory.parent, directory):
                assert intrude(nobody, directory).stderr.strip() == "PermissionError"
                folder.chmod(0o755)
            assert intrude(nobody, directory).stderr.strip() == "PermissionError"  # the socket's own mode
            (directory / "worker.sock").chmod(0o777)
            refused = intrude(nobody, directory)
            assert (refused.returncode, refused.stdout, refused.stderr) == (0, "\n", "")
            assert "refused a connection of another user" in (directory / "worker.log").read_text()
            assert json.loads(intrude(0, directory).stdout)["type"] == "hello"
    finally:
        worker_client.stop(directory)
        shutil.rmtree(directory.parent)


@pytest.mark.parametrize("key", ["pixels", "layer_out", "mask_out", "limits"])
@pytest.mark.parametrize("link", [False, True])
def test_files_outside_the_directory_are_refused(busy, pictures, model, key, link):
    """By path, whatever it looks like, and by a link that leads there."""
    outside = busy.parent / f"outside-{key}"
    outside.write_bytes(bytes(SIDE * SIDE * 4))
    if link:
        names = [new_file_name()]
        (busy / names[0]).symlink_to(outside)
    else:
        names = [str(outside), f"../{outside.name}", f"exchange-1/../../{outside.name}", "exchange-..", "exchange-", ""]
        names += ["exchange-a/b", "exchange-a\\b", "exchange-a\0", "exchange-a\n", "exchange-ä", "exchange-" + 65 * "a"]
        names += [
            ".",
            "..",
            "worker.sock",
            "endpoint.json",
            "EXCHANGE-a",
            "exchange-a:b",
            "~",
            "file://" + str(outside),
        ]
    for name in names:
        with pytest.raises(
            worker_client.WorkerError, match="run the filter again|update the plug-in|free space"
        ) as error:
            ask(busy, request_of(busy, pictures[0], **{key: name if key == "pixels" else [name]}))
        assert error.value.kind == "bad-input"
    assert outside.read_bytes() == bytes(SIDE * SIDE * 4)
    assert_serves(busy, pictures, model)


@pytest.mark.parametrize("size", [(524288, 524288), (500000, 3), (1, 524288)])
def test_absurd_sizes_are_refused_before_memory_is_taken(busy, pictures, size):
    before = resident(worker_pid(busy))
    with pytest.raises(worker_client.WorkerError, match="has 4096 bytes where .* were announced"):
        ask(busy, request_of(busy, pictures[0], width=size[0], height=size[1]))
    assert resident(worker_pid(busy)) < before * 1.05


@pytest.mark.parametrize("photo", ["/dev/zero", "pipe", "\0", "\ud800", "a" * 5000, "."])
def test_photos_that_are_none(busy, pictures, photo, tmp_path):
    """Reading some of them would never end."""
    if photo == "pipe":
        photo = str(tmp_path / "pipe")
        os.mkfifo(photo)
    with pytest.raises(worker_client.WorkerError) as error:
        ask(busy, request_of(busy, pictures[0], shade={"photo": photo}))
    assert error.value.kind == "bad-input"


def test_silent_clients_do_not_block_others(busy, pictures, model):
    """More of them than may wait, and each is dropped in the end; the worker keeps no more open than it allows."""
    connections = []
    for number in range(300):
        connections.append(connect(busy))
        connections[-1].sendall(frame(hello(busy))[: number % 3 * 10])  # nothing, or the beginning of a hello
    assert_serves(busy, pictures, model)
    descriptors = len(list(Path(f"/proc/{worker_pid(busy)}/fd").iterdir()))
    assert descriptors < 120
    assert last_message(connections[0]) is None  # the oldest is closed
    for connection in connections:
        connection.close()
    wait_until(lambda: len(list(Path(f"/proc/{worker_pid(busy)}/fd").iterdir())) < 40)


def test_too_many_open_files(directory, pictures, model):
    """Clients by the hundred in a worker that may open few files: it hangs up on the silent ones and goes on."""
    worker = subprocess.Popen(
        [*COMMAND, directory], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    )
    wait_until((directory / "endpoint.json").exists)
    connections = []
    for _ in range(150):
        connections.append(connect(directory))
    for connection in connections:
        connection.close()
    assert_serves(directory, pictures, model)
    assert worker.poll() is None
    worker_client.stop(directory)
    assert worker.wait(30) == 0


def test_a_queue_has_an_end(directory, pictures, large, model):
    """Requests beyond those that may wait are refused with a sentence; those that wait are answered in the end."""
    endless = client_process(directory, make_request(directory, large, engine="texture", step=1))
    go(endless)
    read_until(endless, "Looking")
    connections, messages = [], []
    nothing = request_of(directory, pictures[0])
    (directory / nothing["pixels"]).unlink()
    for _ in range(70):
        connection = connect(directory)
        connection.sendall(frame(hello(directory)))
        assert worker_client.receive(connection)["type"] == "hello"
        connection.sendall(frame(nothing))
        connections.append(connection)
    assert "Too many layers are waiting" in last_message(connections[-1])["message"]
    endless.kill()
    endless.communicate()
    for connection in connections[:-1]:
        messages.append(last_message(connection)["message"])
        connection.close()
    assert sum("Too many layers" in message for message in messages) <= 5
    assert sum("cannot be read (No such file" in message for message in messages) >= 64
    assert_serves(directory, pictures, model)


# Garbage


def broken_greetings(random, secret):
    """What may come before a hello is accepted, without end."""
    good = {"type": "hello", "protocol": PROTOCOL, "secret": secret}
    odd = [None, True, 0, -1, 1e308, float("nan"), "", "\ud800", "x" * 3000, [], [[]], {}, {"type": "hello"}, 10**4000]
    other = [{"type": "stop"}, {"type": "recolor", "width": 1}, {"type": "hello"}, {}, {"secret": secret}]
    while True:
        kind = random.randrange(7)
        if kind == 0:
            yield random.randbytes(random.randrange(200))
        elif kind == 1:  # cut off
            whole = frame(good)
            yield whole[: random.randrange(len(whole))]
        elif kind == 2:  # a length that is none of the body's
            length = random.choice([0, 1, 2**31, 2**32 - 1, 2**20 + 1, 2**20, random.randrange(2**32)])
            yield struct.pack(">I", length) + random.randbytes(random.randrange(100))
        elif kind == 3:  # JSON, but how
            depth = random.choice([1, 10, 1000, 100000])
            yield frame(random.choice([b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth, b"\xef\xbb\xbf{}"]))
        elif kind == 4:  # no object, or another one
            yield frame(random.choice(odd + other))
        elif kind == 5:  # a hello with one field wrong; the protocol's number is for the client to judge
            key = random.choice(["type", "secret"])
            yield frame({**good, key: random.choice(odd)})
        else:  # bits flipped in the part that counts
            body = bytearray(json.dumps(good).encode())
            body[random.randrange(20)] ^= 1 << random.randrange(8)
            yield frame(bytes(body))


def broken_requests(random, request):
    """Good requests with something wrong, without end: (messages after the hello, whether they end there)."""
    odd = [
        None,
        True,
        False,
        0,
        -1,
        2**31,
        2**63,
        10**30,
        1e308,
        -0.5,
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "x",
    ]
    odd += ["\ud800", "\0", "é" * 1000, "../x", "/etc/passwd", [], [None], [[[]]], [1, 2, 3, 4], [float("nan")] * 3, {}]
    odd += [{"photo": None}, {"photo": "/"}, {"photo": "/dev/zero"}, {"photo": []}, {"a": {"b": []}}, ["x"] * 1000]

    def part_of(request):
        """A copy of the request, and the part that is to be changed: the request itself or its options."""
        whole = {**request, "options": {**request["options"]}}
        return random.choice([whole, whole["options"]]), whole

    while True:
        kind = random.randrange(10)
        if kind < 5:
            part, whole = part_of(request)
            part[random.choice([*part])] = random.choice(odd)
            yield frame(whole), False
        elif kind == 5:
            fewer = dict(request)
            del fewer[random.choice([*request])]
            yield frame(fewer), False
        elif kind == 6:  # fields exchanged
            part, whole = part_of(request)
            one, other = random.sample([*part], 2)
            part[one], part[other] = part[other], part[one]
            yield frame(whole), False
        elif kind == 7:  # cut off
            whole = frame(request)
            yield whole[: random.randrange(len(whole))], True
        elif kind == 8:  # out of order, or more than was asked for
            second = random.choice(
                [hello_of(request), {"type": "result"}, {"type": "progress"}, {"type": ["stop"]}, {}]
            )
            yield random.choice([frame(second), frame(second) + frame(request), frame(request) + frame(second)]), False
        else:
            yield frame(random.randbytes(random.randrange(100))), False


def hello_of(request):
    return {"type": "hello", "protocol": PROTOCOL, "secret": request["pixels"]}


def last_message(connection):
    """What the worker says in the end, or None if it just closes."""
    try:
        message = worker_client.receive(connection)
        while message["type"] in ("hello", "progress"):
            message = worker_client.receive(connection)
        return message
    except ConnectionError:
        return None


def test_garbage_instead_of_a_greeting(busy, pictures, model):
    """7000 connections: each ends in an error or is closed, and none disturbs."""
    generator = random.Random(7)
    inputs = broken_greetings(generator, endpoint(busy)["secret"])
    pid, said = worker_pid(busy), set()
    for number in range(7000):
        with connect(busy) as connection:
            try:
                connection.sendall(next(inputs))
                connection.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass  # refused before all was sent
            message = last_message(connection)
        assert message is None or (message["type"], message["kind"]) == ("error", "bad-input"), number
        said.add(message and message["message"])
        if number % 1000 == 0:
            assert_serves(busy, pictures, model)
    assert len(said) > 4  # it was not the same thing again and again
    assert_serves(busy, pictures, model)
    assert worker_pid(busy) == pid


def test_garbage_instead_of_a_request(busy, pictures, model):
    """3500 requests: each ends in an error, is closed, or was a good one after all."""
    generator = random.Random(8)
    pid, ends, greeting = worker_pid(busy), {}, frame(hello(busy))
    log = len((busy / "worker.log").read_bytes())
    before = exchange_files(busy)
    request = request_of(busy, pictures[0], strength=0.0)
    inputs = broken_requests(generator, request)
    for number in range(3500):
        (busy / request["pixels"]).write_bytes(with_alpha(pictures[0]))  # the worker removes it after each
        data, ends_there = next(inputs)
        with connect(busy) as connection:
            connection.sendall(greeting + data)
            if ends_there:
                connection.shutdown(socket.SHUT_WR)
            message = last_message(connection)
            end = "closed" if message is None else message.get("kind", message["type"])
            ends[end] = ends.get(end, 0) + 1
            assert end in ("closed", "result", "bad-input", "no-hair"), (number, data, message)
        if number % 500 == 0:
            assert_serves(busy, pictures, model)
    assert ends["bad-input"] > 2000 and ends["closed"] > 200 and ends["result"] < 500, ends
    assert_serves(busy, pictures, model)
    assert worker_pid(busy) == pid and b"Traceback" not in (busy / "worker.log").read_bytes()[log:]
    # The pixels of a request that did not name them are the client's own to remove.
    wait_until(lambda: {*exchange_files(busy)} <= {*before, request["pixels"]})


def test_memory_stays_over_hundreds_of_requests(busy, pictures, model):
    """Pictures that differ, more of them than are remembered, so that each is looked at anew."""
    pid = worker_pid(busy)

    def some(count):
        for number in range(count):
            ask(busy, request_of(busy, pictures[number % len(pictures)], shade=["red", "blue", "black"][number % 3]))

    some(len(pictures))
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    before = resident(pid)
    some(400)
    assert worker_pid(busy) == pid
    assert resident(pid) <= 1.05 * before
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) <= threads + 2


# The machine


@pytest.fixture
def small_disk(tmp_path):
    """A private directory on a file system of 8 MB, where this machine lets us make one; else on an ordinary one."""
    directory = directory_made(tmp_path / "small")
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(directory)]
    mounted = os.getuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    yield directory
    worker_client.stop(directory)
    if mounted:
        wait_until(lambda: not processes_of(directory))
        subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(directory, leave):
    """Write a file until only so many bytes are free. False where the disk is too large for that."""
    room = shutil.disk_usage(directory).free - leave
    if room > 100 << 20:
        return False
    (directory / "ballast").write_bytes(bytes(room))
    return True


def test_full_disk(small_disk, astronaut, pictures, model):
    """No room for the result, then for nothing at all: sentences that say so; no half file; and the worker lives on."""
    assert_serves(small_disk, pictures, model)
    pid = worker_pid(small_disk)
    requests = [make_request(small_disk, with_alpha(astronaut), force=True, shade="blue") for _ in range(2)]
    if not fill(small_disk, 600 << 10):  # the mask has room in it, the layer has not
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (600 << 10, -1))
    with pytest.raises(
        worker_client.WorkerError, match=r"\((No space left on device|File too large)\): .*free"
    ) as error:
        ask(small_disk, requests[0])
    assert str(small_disk) in str(error.value)
    wait_until(lambda: len(exchange_files(small_disk)) == 1)  # what the second brought, and no half file
    if (small_disk / "ballast").exists():
        with (  # noqa: PT012  # sooner or later
            open(small_disk / "ballast", "ab", buffering=0) as file,
            pytest.raises(OSError, match="No space left"),
        ):
            while True:
                file.write(bytes(4096))
    connection = connect(small_disk)  # a client that leaves is a line in the log, for which there is no room either
    connection.sendall(frame(hello(small_disk)))
    assert worker_client.receive(connection)["type"] == "hello"
    connection.sendall(frame(requests[1]))
    connection.close()
    wait_until(lambda: not exchange_files(small_disk))
    (small_disk / "ballast").unlink(missing_ok=True)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (-1, -1))
    _, *answer = ask(small_disk, make_request(small_disk, with_alpha(astronaut), shade="blue"))
    assert tuple(answer) == answer_of(astronaut, "blue", model)
    assert worker_pid(small_disk) == pid


def python_that_runs(tmp_path, program, **environment):
    """A stand-in for the environment's Python that runs a program of ours in the worker's place."""
    (tmp_path / "program.py").write_text(program)
    launcher = tmp_path / "python"
    settings = " ".join(f"{key}='{value}'" for key, value in environment.items())
    launcher.write_text(f'#!/bin/sh\nshift 3\nexec env {settings} {sys.executable} -I "{tmp_path}/program.py" "$@"\n')
    launcher.chmod(0o755)
    return str(launcher)


NO_RESERVATION = """
import os, sys
from hairmask_core.cli.main import main
del os.posix_fallocate
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_that_fills_up_while_pixels_are_written(directory, astronaut, model, tmp_path):
    """By a limit on file size, and the signal that comes with it, where room cannot be reserved beforehand."""
    settings = SETTINGS | {"python": python_that_runs(tmp_path, NO_RESERVATION)}
    worker_client.connect(settings, directory).close()
    pid = worker_pid(directory)
    request = make_request(directory, with_alpha(astronaut), force=True)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (600 << 10, -1))
    with pytest.raises(worker_client.WorkerError, match=r"\(File too large\): free some space") as error:
        ask(directory, request)
    assert error.value.kind == "disk"
    wait_until(lambda: not exchange_files(directory))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (-1, -1))
    _, *answer = ask(directory, make_request(directory, with_alpha(astronaut), shade="blue"))
    assert tuple(answer) == answer_of(astronaut, "blue", model) and worker_pid(directory) == pid


JUMPING_CLOCK = """
import sys, time
from hairmask_core.cli.main import main
real, calls = time.time, [0]
def jump():
    calls[0] += 1
    return real() + (-1) ** calls[0] * 10 * 86400
time.time = jump
sys.exit(main(sys.argv[1:]))
"""


def test_the_clock_may_jump(directory, tmp_path, pictures, model):
    """Ten days to and fro in the worker, and files from the past and the future: living clients lose nothing."""
    settings = SETTINGS | {"python": python_that_runs(tmp_path, JUMPING_CLOCK)}
    for days in (-1000, -2, 0, 2, 1000):
        request = request_of(directory, pictures[3], shade="blue")
        then = time.time() + days * 86400
        os.utime(directory / request["pixels"], (then, then))
        _, *answer = ask(directory, request, settings=settings)
        assert tuple(answer) == answer_of(pictures[3], "blue", model)
        if days == -2:  # also those of a client that waits for the next worker
            worker_client.stop(directory)


def test_idle_exit_frees_everything(directory, pictures, model):
    """The process, its socket, endpoint and lock, and what dead clients left, whatever date it bears."""
    for days in (-1000, 0, 1000):
        left = directory / new_file_name()
        left.write_bytes(b"of a client that died")
        os.utime(left, (time.time() + days * 86400,) * 2)
    worker = subprocess.Popen([*COMMAND, directory, "--idle-seconds", "2"], stdout=subprocess.PIPE, text=True)
    wait_until((directory / "endpoint.json").exists)
    assert_serves(directory, pictures, model)
    assert len(exchange_files(directory)) >= 3
    reading = connect(directory)  # a client that still reads its result is no reason to end
    request = request_of(directory, pictures[0])
    reading.sendall(frame(hello(directory)) + frame(request))
    assert last_message(reading)["type"] == "result"
    time.sleep(3)
    assert worker.poll() is None and (directory / request["layer_out"][0]).exists()
    reading.close()
    growing = directory / new_file_name()  # of a client that is just writing
    while worker.poll() is None:
        with open(growing, "ab") as file:
            file.write(b"pixels")
        time.sleep(0.05)
    assert worker.returncode == 0 and worker.stdout.read().endswith("done\n")
    growing.unlink()
    assert {path.name for path in directory.iterdir()} == {"worker.lock"}
    again = subprocess.run([*COMMAND, directory, "--idle-seconds", "0.1"], capture_output=True, text=True, timeout=60)
    assert "serves" in again.stdout  # the lock was free


def test_upgrade_while_the_old_worker_is_busy(directory, tmp_path, large, large_answer, pictures, model):
    """The old worker finishes for its client, then makes room; the new client waits, may give up, and gets a new one."""
    package = tmp_path / "old" / "hairmask_core"
    shutil.copytree(Path(hairmask_core.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    source = (package / "__init__.py").read_text()
    (package / "__init__.py").write_text(source.replace(hairmask_core.__version__, "0.0.1"))
    program = f"import sys\nsys.path.insert(0, {str(package.parent)!r})\nfrom hairmask_core.cli.main import main\n"
    python = python_that_runs(tmp_path, program + "sys.exit(main(sys.argv[1:]))\n", HAIRMASK_MODELS=models_folder())
    request = make_request(directory, large, force=True, shade="blue")
    old = client_process(directory, request, SETTINGS | {"version": "0.0.1", "python": python})
    go(old)
    read_until(old, "Refining")
    assert "hairmask 0.0.1 serves" in (directory / "worker.log").read_text()

    def cancel(fraction, text):
        raise Cancel

    with pytest.raises(Cancel):
        ask(directory, request_of(directory, pictures[0]), cancel)
    seen = []
    _, *answer = ask(
        directory,
        request_of(directory, pictures[3], shade="blue"),
        lambda fraction, text: seen.append((fraction, text)),
    )
    assert tuple(answer) == answer_of(pictures[3], "blue", model)
    assert seen[0] == (0.0, "Waiting for the hair worker")
    lines = old.communicate(timeout=100)[0].splitlines()
    assert json.loads(lines[-1]) == digests_of(large_answer)
    assert all("Reading" not in line and "hair worker" not in line for line in lines)  # it did not have to ask again
    connection, said = worker_client.try_connect(directory)
    connection.close()
    assert said["version"] == hairmask_core.__version__ and processes_of(directory) == [said["pid"]]


FAILING_DEVICE = """
import sys
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException
from hairmask_core.cli.main import main
real = ort.InferenceSession
class Card:
    def __init__(self, weights, options, providers):
        self.card = providers == ["CUDAExecutionProvider"]
        self.runtime = real(weights, options, providers=["CPUExecutionProvider"])
    def get_providers(self):
        return ["CUDAExecutionProvider"] if self.card else ["CPUExecutionProvider"]
    def get_inputs(self):
        return self.runtime.get_inputs()
    def run(self, names, inputs):
        if self.card and any(x.size > 3 * {limit} for x in inputs.values()):
            raise RuntimeException("Failed to allocate memory for requested buffer of size 4294967296")
        return self.runtime.run(names, inputs)
ort.InferenceSession = Card
ort.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("engine", "limit", "notices"),
    [
        (
            "whole",
            100 * 100,
            [
                "cuda failed while running (Failed to allocate memory",
            ],
        ),
        ("texture", 100 * 100, ["cuda ran out of memory, so smaller tiles were used."]),
    ],
)
def test_a_card_without_enough_memory(directory, tmp_path, astronaut, engine, limit, notices):
    """The numbers are the same, and the user hears of it."""
    pixels = np.ascontiguousarray(astronaut[:160, 150:310])
    wish = {"engine": engine, "step": 16, "device": "auto"}
    _, *expected = ask(directory, request_of(directory, pixels, **wish))
    worker_client.stop(directory)
    python = python_that_runs(tmp_path, FAILING_DEVICE.replace("{limit}", str(limit)))
    result, *answer = ask(directory, request_of(directory, pixels, **wish), settings=SETTINGS | {"python": python})
    assert answer == expected
    assert len(result["notices"]) == len(notices)
    assert all(notice.startswith(start) for notice, start in zip(result["notices"], notices))
    assert result["device"] == ("cpu" if engine == "whole" else "cuda")
