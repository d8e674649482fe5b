"""Finds or starts the worker, sends it one request, relays progress. Standard library only, for GIMP's own Python.

How things are said is described in hairmask_core/server/protocol.py, what can be asked for in options.py.
"""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

from i18n import _

try:
    from options import PROTOCOL  # beside this file, where it is installed
except ImportError:
    from hairmask_core.options import PROTOCOL

START_SECONDS = 120  # a cold start from a slow disk, virus scanner included
HELLO_SECONDS = 10
POLL_SECONDS = 0.5  # so often the caller may give up while the worker is silent
LARGEST_MESSAGE = 1 << 20  # bytes
LONGEST_SOCKET_PATH = 100  # the system's limit is 104 or 108 bytes
# What GIMP, or what it is packed in (AppImage, Snap), sets for itself: with its Python and its libraries the worker's would
# not start. -I ignores the rest.
OF_GIMP = ("PYTHON", "GI_", "GEGL_", "BABL_", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_")
NO_WINDOW = 0x08000008  # Windows: DETACHED_PROCESS and CREATE_NO_WINDOW


class WorkerError(Exception):
    """Something that the user must know; the message says what to do. kind: "no-hair", "start", "internal" …"""

    def __init__(self, message, kind="start"):
        super().__init__(message)
        self.kind = kind


def load_settings(folder):
    """What install.py left beside the plug-in: {"python", "version", "repair"}. Raises WorkerError if it is not there."""
    path = Path(folder) / "settings.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return {key: str(settings[key]) for key in ("python", "version", "repair")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkerError(
            _(
                "Hair Recolor is not completely installed ({path} is missing or damaged): "
                "run python3 install.py in the folder that Hair Recolor came in."
            ).format(path=path)
        ) from error


def private_path():
    """Where the user's own folder for socket and pixels is; nothing is made."""
    variable, usual = {"win32": ("LOCALAPPDATA", "~/AppData/Local"), "darwin": ("", "~/Library/Caches")}.get(
        sys.platform, ("XDG_CACHE_HOME", "~/.cache")
    )
    base = Path(os.environ.get(variable, ""))
    if not base.is_absolute():  # which the specification of XDG_CACHE_HOME says to ignore
        base = Path(usual).expanduser()
    directory = base / "hair-recolor" / "worker"
    if len(os.fsencode(directory / "worker.sock")) > LONGEST_SOCKET_PATH:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        directory = Path(tempfile.gettempdir()) / f"hair-recolor-{user}"
    return directory


def private_directory():
    """The user's own folder for socket and pixels, mode 0700; made if it is not there. Raises WorkerError."""
    directory = private_path()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and (directory.is_symlink() or directory.stat().st_uid != os.getuid()):
            raise WorkerError(
                _("{folder} belongs to another user: remove it, then run the filter again.").format(folder=directory)
            )
        directory.chmod(0o700)
    except OSError as error:
        raise WorkerError(
            _("{folder} cannot be used ({reason}): check its permissions and the free disk space.").format(
                folder=directory, reason=error.strerror
            )
        ) from error
    return directory


def ask(settings, directory, request, on_progress, on_result, write_files=None):
    """Send one options.Request to the worker, starting or replacing it where needed. Returns what on_result returns.

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
    except OSError:
        try:  # the worker ended under us (idle exit, killed): once more with a new one
            connection, result = _request(settings, directory, request, on_progress, write_files)
        except OSError as error:
            raise WorkerError(
                _(
                    "The hair worker ended unexpectedly ({reason}; its last words: {words}), perhaps for lack of memory: "
                    "close other programs and try again."
                ).format(reason=error, words=_last_words(directory))
            ) from error
    with closing(connection):
        return on_result(result)


def _request(settings, directory, request, on_progress, write_files):
    state = [0.0, _("Waiting for the hair worker")]

    def on_silence():
        on_progress(*state)

    connection = connect(settings, directory, on_silence)
    try:
        if write_files:
            send(connection, {"type": "files", "pixels": request.pixels, "limits": list(request.limits)})
            write_files()
        send(connection, {"type": "recolor", **request.to_dict()})
        while True:
            answer = receive(connection, on_silence)
            if answer["type"] == "progress":
                state = [float(answer["fraction"]), _(str(answer["text"]))]
                on_progress(*state)
            elif answer["type"] == "result":
                return connection, answer
            else:
                raise WorkerError(_(str(answer.get("message"))), str(answer.get("kind", "internal")))
    except BaseException:
        connection.close()
        raise


def connect(settings, directory, on_silence=lambda: None):
    """A connection to a worker of the right version that has said hello. Raises WorkerError if none can be had.

    on_silence: called while there is none yet; what it raises ends the waiting. An older worker at work is waited for.
    """
    process, told, held = None, None, False
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        connection, hello = try_connect(directory, on_silence)
        if connection:
            if hello.get("protocol") == PROTOCOL and hello.get("version") == settings["version"]:
                return connection
            with closing(connection):  # left from before an update: it finishes what it does, then makes room
                if hello.get("pid") != told:
                    _send_stop(connection)
            process, told = None, hello.get("pid")
            deadline = time.monotonic() + START_SECONDS
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
    connection, _hello = try_connect(directory)
    if connection:
        with closing(connection):
            _send_stop(connection)
        deadline = time.monotonic() + seconds
        while (Path(directory) / "endpoint.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


def _cannot_start(settings, reason):
    sentence = _("The hair worker could not be started ({reason}): repair the installation with  {command}")
    return sentence.format(reason=reason, command=settings["repair"])


def try_connect(directory, on_silence=lambda: None):
    """A connection that has said hello, and the worker's hello; None and None if nobody answers in HELLO_SECONDS."""
    deadline = time.monotonic() + HELLO_SECONDS

    def wait():
        on_silence()
        if time.monotonic() > deadline:
            raise TimeoutError("no hello")

    connection = None
    address: str | tuple[str, int]
    try:
        endpoint = json.loads((Path(directory) / "endpoint.json").read_text(encoding="utf-8"))
        if "path" in endpoint:
            connection, address = socket.socket(socket.AF_UNIX), str(endpoint["path"])
        else:
            connection, address = socket.socket(socket.AF_INET), ("127.0.0.1", endpoint["port"])
        connection.settimeout(POLL_SECONDS)
        connection.connect(address)
        send(connection, {"type": "hello", "protocol": PROTOCOL, "secret": endpoint["secret"]})
        hello = receive(connection, wait)
        if hello["type"] == "hello":
            return connection, hello
    # Nobody listens any more, another program's port by now, or a damaged endpoint file.
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
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
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_GIMP)}
    command = [settings["python"], "-I", "-m", "hairmask_core", "worker", "--directory", str(directory)]
    apart = {"creationflags": NO_WINDOW} if sys.platform == "win32" else {"start_new_session": True}
    try:
        with open(Path(directory) / "worker.log", "wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=directory, **apart
            )
    except OSError as error:
        raise WorkerError(_cannot_start(settings, f"{settings['python']}: {error.strerror}")) from error


def _last_words(directory):
    try:
        lines = (Path(directory) / "worker.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    # After its error many a library explains itself at length; NumPy begins to do so on the error's own line.
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception): *\S", line)]
    return re.sub(r"\s+", " ", (errors or lines)[-1])[:300] if lines else _("it left no message")


def send(connection, message):
    """Send one message. Raises OSError if the other side has gone."""
    body = json.dumps(message).encode("ascii")
    connection.sendall(struct.pack(">I", len(body)) + body)


def _send_stop(connection):
    with suppress(OSError):  # it ended by itself meanwhile
        send(connection, {"type": "stop"})


def receive(connection, on_silence=lambda: None):
    """The next message. on_silence: called every POLL_SECONDS without one; what it raises ends the waiting.

    Raises ConnectionResetError if what arrives is not a message, and if the other side is gone.
    """
    (length,) = struct.unpack(">I", _receive_exactly(connection, 4, on_silence))
    if length > LARGEST_MESSAGE:
        raise ConnectionResetError(f"not a message: {length} bytes")
    try:
        message = json.loads(_receive_exactly(connection, length, on_silence))
        message["type"]
        return message
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionResetError(f"not a message: {error!r}") from error


def _receive_exactly(connection, count, on_silence):
    data = bytearray()
    while len(data) < count:
        try:
            part = connection.recv(min(count - len(data), 65536))
        except socket.timeout:  # TimeoutError from Python 3.10 on
            on_silence()
            continue
        if not part:
            raise ConnectionResetError("the connection was closed")
        data += part
    return bytes(data)
