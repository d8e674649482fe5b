# -*- coding: utf-8 -*-
"""Finds or starts the worker, sends it one request, relays progress. Standard library only.

The protocol is described in hairmask_core/server/protocol.py. Runs inside whatever Python GIMP has: 3.9 or newer in
GIMP 3, 2.7 in GIMP 2.10; so paths are put together by os.path and given back as Path, which is str in 2.7, and
EnvironmentError stands for OSError, which has not all of a socket's and a file's errors in 2.7.
"""

import errno
import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing

try:
    from pathlib import Path
except ImportError:
    Path = str

from texts import _

PROTOCOL = 6
MOST_PEOPLE = 8  # that the worker tells apart
START_SECONDS = 120  # a cold start from a slow disk, virus scanner included
HELLO_SECONDS = 10
POLL_SECONDS = 0.5  # so often the caller may give up while the worker is silent
LARGEST_MESSAGE = 1 << 20
LONGEST_SOCKET_PATH = 100  # the system's limit is 104 or 108 bytes
FILE_NAMES = "mbcs" if sys.platform == "win32" else "utf-8"  # their encoding in Python 2, whose str is bytes
monotonic = getattr(time, "monotonic", time.time)


class WorkerError(Exception):
    """Something that the user must know; the message says what to do. kind: "no-hair", "start", "internal" …"""

    def __init__(self, message, kind="start"):
        super(WorkerError, self).__init__(message)
        self.kind = kind


def native(value, encoding="utf-8"):
    """A value of JSON's as a str, which Python 2 has in bytes."""
    return value.encode(encoding) if str is bytes and isinstance(value, type(b"".decode())) else str(value)


def load_settings(folder):
    """What install.py left beside the plug-in: {"python", "version", "repair"}. Raises WorkerError if it is not there."""
    path = os.path.join(folder, "settings.json")
    try:
        with io.open(path, encoding="utf-8") as file:
            settings = json.load(file)
        return {key: native(settings[key], FILE_NAMES) for key in ("python", "version", "repair")}
    except (EnvironmentError, ValueError, KeyError, TypeError):
        raise WorkerError(
            _(
                "Hair Recolor is not completely installed ({path} is missing or damaged): "
                "run python3 install.py in the folder that Hair Recolor came in."
            ).format(path=path)
        )


def private_path():
    """Where the user's own folder for socket and pixels is; nothing is made."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(os.path.expanduser("~"), "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    directory = os.path.join(base, "hair-recolor", "worker")
    path = os.path.join(directory, "worker.sock")
    if len(path if isinstance(path, bytes) else os.fsencode(path)) > LONGEST_SOCKET_PATH:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        directory = os.path.join(tempfile.gettempdir(), "hair-recolor-{}".format(user))
    return Path(directory)


def private_directory():
    """The user's own folder for socket and pixels, mode 0700; made if it is not there."""
    directory = private_path()
    try:
        try:
            os.makedirs(directory, 0o700)
        except EnvironmentError:
            if not os.path.isdir(directory):
                raise
        if hasattr(os, "getuid") and (os.path.islink(directory) or os.stat(directory).st_uid != os.getuid()):
            raise WorkerError(
                _("{folder} belongs to another user: remove it, then run the filter again.").format(folder=directory)
            )
        os.chmod(directory, 0o700)
    except EnvironmentError as error:
        raise WorkerError(
            _("{folder} cannot be used ({reason}): check its permissions and the free disk space.").format(
                folder=directory, reason=error.strerror
            )
        )
    return directory


def exchange_path(directory):
    """A new name for a file that carries pixels to or from the worker."""
    return Path(os.path.join(directory, "exchange-" + uuid.uuid4().hex))


def make_request(directory, size, transport, wish, limits):
    """A whole request, and the paths of its files: pixels, limits, masks, layers; none of these exist yet.

    size: width and height of the layer. transport: {"type", "mask_type"}, how pixels and masks travel. wish: the rest
    of the request, see hairmask_core/options.py. limits: how many masks limit the hair.
    """
    masks = MOST_PEOPLE if wish["people"] == "each" else 1
    counts = {"limits": limits, "mask_out": masks, "layer_out": {"layer": masks, "mask": 0}.get(wish["output"], 1)}
    files = {key: [exchange_path(directory) for _number in range(count)] for key, count in counts.items()}
    names = {key: [os.path.basename(str(path)) for path in paths] for key, paths in files.items()}
    pixels = exchange_path(directory)
    request = dict(names, pixels=os.path.basename(str(pixels)), type="recolor", width=size[0], height=size[1])
    request.update(options=wish, format=transport["type"], mask_format=transport["mask_type"])
    return request, [pixels] + files["limits"] + files["mask_out"] + files["layer_out"]


def ask(settings, directory, request, on_progress, on_result, write_files=None):
    """Send one request to the worker, starting or replacing it where needed. Returns what on_result returns.

    write_files: called once the worker knows which files to remove if this process is killed, to write them; called
    again if the worker ended and another one takes the request. It must not raise OSError. None: they are there.
    on_progress: called with 0…1 and a text, at least every POLL_SECONDS, with what it was called with before while
    the worker is silent or starting; what it raises ends the request, and the worker stops.
    on_result: called with the worker's result, a dict, while the files of the request still exist;
    the worker removes them afterwards.
    Raises WorkerError with the worker's own sentence, or with the command that repairs the installation.
    """
    try:
        connection, result = _request(settings, directory, request, on_progress, write_files)
    except EnvironmentError:
        try:  # the worker ended under us (idle exit, killed): once more with a new one
            connection, result = _request(settings, directory, request, on_progress, write_files)
        except EnvironmentError as error:
            raise WorkerError(
                _(
                    "The hair worker ended unexpectedly ({reason}; its last words: {words}), perhaps for lack of memory: "
                    "close other programs and try again."
                ).format(reason=error, words=_last_words(directory))
            )
    with closing(connection):
        return on_result(result)


def _request(settings, directory, request, on_progress, write_files):
    state = [0.0, _("Waiting for the hair worker")]

    def on_silence():
        on_progress(*state)

    connection = connect(settings, directory, on_silence)
    try:
        if write_files:
            _send(connection, {"type": "files", "pixels": request["pixels"], "limits": request["limits"]})
            write_files()
        _send(connection, request)
        while True:
            answer = _receive(connection, on_silence)
            if answer["type"] == "progress":
                state = [float(answer["fraction"]), _(native(answer["text"]))]
                on_progress(*state)
            elif answer["type"] == "result":
                return connection, answer
            else:
                raise WorkerError(_(native(answer.get("message"))), native(answer.get("kind", "internal")))
    except BaseException:
        connection.close()
        raise


def connect(settings, directory, on_silence=lambda: None):
    """A connection to a worker of the right version that has said hello. Raises WorkerError if none can be had.

    on_silence: called while there is none yet; what it raises ends the waiting. An older worker at work is waited for.
    """
    process, told, held = None, None, False
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline:
        connection, hello = _try_connect(directory, on_silence)
        if connection:
            if hello.get("protocol") == PROTOCOL and hello.get("version") == settings["version"]:
                return connection
            with closing(connection):  # left from before an update: it finishes what it does, then makes room
                if hello.get("pid") != told:
                    _send_stop(connection)
            process, told = None, hello.get("pid")
            deadline = monotonic() + START_SECONDS
        elif process is None:
            process = _start(settings, directory)
        elif process.poll() == 0:  # another worker holds the directory: it answers soon, or it is just ending
            process, held = None, True
            time.sleep(0.2)
        elif process.poll() is not None:
            raise WorkerError(_cannot_start(settings, _last_words(directory)))
        on_silence()
        time.sleep(0.05)
    if held:
        raise WorkerError(
            _(
                "The hair worker runs but does not answer: run the filter again in a minute; "
                "if that does not help, restart the computer."
            )
        )
    late = _("it did not answer within {seconds} seconds").format(seconds=START_SECONDS)
    raise WorkerError(_cannot_start(settings, late))


def stop(directory, seconds=30):
    """Ask a running worker to end, and wait until it has. Does nothing if none runs."""
    connection, _hello = _try_connect(directory)
    if connection:
        with closing(connection):
            _send_stop(connection)
        deadline = monotonic() + seconds
        while os.path.exists(os.path.join(directory, "endpoint.json")) and monotonic() < deadline:
            time.sleep(0.05)


def _cannot_start(settings, reason):
    sentence = _("The hair worker could not be started ({reason}): repair the installation with  {command}")
    return sentence.format(reason=reason, command=settings["repair"])


def _try_connect(directory, on_silence=lambda: None):
    """A connection that has said hello, and the worker's hello; None and None if nobody answers in HELLO_SECONDS."""
    deadline = monotonic() + HELLO_SECONDS

    def wait():
        on_silence()
        if monotonic() > deadline:
            raise socket.timeout("no hello")

    connection = None
    try:
        with io.open(os.path.join(directory, "endpoint.json"), encoding="utf-8") as file:
            endpoint = json.load(file)
        if "path" in endpoint:
            connection = socket.socket(socket.AF_UNIX)
            address = native(endpoint["path"])
        else:
            connection = socket.socket(socket.AF_INET)
            address = ("127.0.0.1", endpoint["port"])
        connection.settimeout(POLL_SECONDS)
        connection.connect(address)
        _send(connection, {"type": "hello", "protocol": PROTOCOL, "secret": endpoint["secret"]})
        hello = _receive(connection, wait)
        if hello["type"] == "hello":
            return connection, hello
    # Nobody listens any more, another program's port by now, or a damaged endpoint file.
    except (EnvironmentError, ValueError, KeyError, TypeError, OverflowError):
        pass
    except BaseException:
        if connection:
            connection.close()
        raise
    # Or a new worker that has not yet replaced the endpoint file of a dead one, so the secret was the old one.
    if connection:
        connection.close()
    return None, None


def _start(settings, directory):
    log = open(os.path.join(directory, "worker.log"), "wb")
    nothing = open(os.devnull, "rb")
    # GIMP's own Python settings and library paths must not reach the worker's Python; -I ignores the rest.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GI_", "GEGL_", "BABL_"))}
    command = [settings["python"], "-I", "-m", "hairmask_core", "worker", "--directory", str(directory)]
    if sys.platform == "win32":
        options = {"creationflags": 0x08000008}
    elif sys.version_info < (3,):
        options = {"preexec_fn": os.setsid, "close_fds": True}  # GIMP's pipes to this process are not the worker's
    else:
        options = {"start_new_session": True}
    try:
        return subprocess.Popen(
            command, stdin=nothing, stdout=log, stderr=log, env=environment, cwd=str(directory), **options
        )
    except EnvironmentError as error:
        raise WorkerError(_cannot_start(settings, "{}: {}".format(settings["python"], error.strerror)))
    finally:
        nothing.close()
        log.close()


def _last_words(directory):
    try:
        with io.open(os.path.join(directory, "worker.log"), encoding="utf-8", errors="replace") as file:
            lines = file.read().strip().splitlines()
    except EnvironmentError:
        lines = []
    return native(re.sub(r"\s+", " ", lines[-1])[:300]) if lines else _("it left no message")


def _send(connection, message):
    body = json.dumps(message).encode("ascii")
    connection.sendall(struct.pack(">I", len(body)) + body)


def _send_stop(connection):
    try:
        _send(connection, {"type": "stop"})
    except EnvironmentError:
        pass  # it ended by itself meanwhile


def _receive(connection, on_silence=lambda: None):
    """The next message. on_silence: called every POLL_SECONDS without one; what it raises ends the waiting."""
    (length,) = struct.unpack(">I", _receive_exactly(connection, 4, on_silence))
    if length > LARGEST_MESSAGE:
        raise socket.error(errno.ECONNRESET, "not a message: {} bytes".format(length))
    try:
        message = json.loads(_receive_exactly(connection, length, on_silence))
        message["type"]
        return message
    except (ValueError, KeyError, TypeError) as error:
        raise socket.error(errno.ECONNRESET, "not a message: {!r}".format(error))


def _receive_exactly(connection, count, on_silence):
    data = bytearray()
    while len(data) < count:
        try:
            part = connection.recv(min(count - len(data), 65536))
        except socket.timeout:
            on_silence()
            continue
        if not part:
            raise socket.error(errno.ECONNRESET, "the connection was closed")
        data += part
    return bytes(data)
