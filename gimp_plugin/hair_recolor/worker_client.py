"""Finds or starts the worker, sends it one request, relays progress. Standard library only.

The protocol is described in hairmask_core/protocol.py. Runs inside whatever Python GIMP has.
"""

import json
import os
import re
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROTOCOL = 5
START_SECONDS = 120  # a cold start from a slow disk, virus scanner included
LONGEST_SOCKET_PATH = 100  # the system's limit is 104 or 108 bytes


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
    except (OSError, ValueError, KeyError, TypeError):
        raise WorkerError(
            f"Hair Recolor is not completely installed ({path} is missing or damaged): "
            "run python3 install.py in the folder that Hair Recolor came in."
        ) from None


def private_path():
    """Where the user's own folder for socket and pixels is; nothing is made."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    directory = Path(base) / "hair-recolor" / "worker"
    if len(os.fsencode(directory / "worker.sock")) > LONGEST_SOCKET_PATH:
        directory = Path(tempfile.gettempdir()) / f"hair-recolor-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    return directory


def private_directory():
    """The user's own folder for socket and pixels, mode 0700; made if it is not there."""
    directory = private_path()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and (directory.is_symlink() or directory.stat().st_uid != os.getuid()):
            raise WorkerError(f"{directory} belongs to another user: remove it, then run the filter again.")
        directory.chmod(0o700)
    except OSError as error:
        raise WorkerError(
            f"{directory} cannot be used ({error.strerror}): check its permissions and the free disk space."
        ) from error
    return directory


def exchange_path(directory):
    """A new name for a file that carries pixels to or from the worker."""
    return Path(directory) / f"exchange-{secrets.token_hex(12)}"


def ask(settings, directory, request, on_progress, on_result, write_files=lambda: None):
    """Send one request to the worker, starting or replacing it where needed. Returns what on_result returns.

    write_files: called once the worker has the request, and so knows which files to remove if this process is killed;
    called again if the worker ended and another one took the request. It must not raise OSError.
    on_progress: called with 0…1 and a text; what it raises ends the request, and the worker stops.
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
                f"The hair worker ended unexpectedly ({error}), perhaps for lack of memory: "
                f"close other programs and try again. Its last words: {_last_words(directory)}"
            ) from error
    with connection:
        return on_result(result)


def _request(settings, directory, request, on_progress, write_files):
    connection = connect(settings, directory)
    try:
        _send(connection, request)
        write_files()
        while True:
            answer = _receive(connection)
            if answer["type"] == "progress":
                on_progress(float(answer["fraction"]), str(answer["text"]))
            elif answer["type"] == "result":
                return connection, answer
            else:
                raise WorkerError(str(answer.get("message")), str(answer.get("kind", "internal")))
    except BaseException:
        connection.close()
        raise


def connect(settings, directory):
    """A connection to a worker of the right version that has said hello. Raises WorkerError if none can be had."""
    process = None
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        connection, hello = _try_connect(directory)
        if connection:
            if hello.get("protocol") == PROTOCOL and hello.get("version") == settings["version"]:
                return connection
            with connection:  # left from before an update: it finishes what it does, then makes room
                _send_stop(connection)
            process = None
        elif process is None:
            process = _start(settings, directory)
        elif process.poll() == 0:  # another worker holds the directory: it answers soon, or it is just ending
            process = None
            time.sleep(0.2)
        elif process.poll() is not None:
            raise WorkerError(_cannot_start(settings, _last_words(directory)))
        time.sleep(0.05)
    raise WorkerError(_cannot_start(settings, f"it did not answer within {START_SECONDS} seconds"))


def stop(directory, seconds=30):
    """Ask a running worker to end, and wait until it has. Does nothing if none runs."""
    connection, _ = _try_connect(directory)
    if connection:
        with connection:
            _send_stop(connection)
        deadline = time.monotonic() + seconds
        while (directory / "endpoint.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


def _cannot_start(settings, reason):
    return f"The hair worker could not be started ({reason}): repair the installation with  {settings['repair']}"


def _try_connect(directory):
    try:
        endpoint = json.loads((directory / "endpoint.json").read_text())
        if "path" in endpoint:
            connection = socket.socket(socket.AF_UNIX)
            address = endpoint["path"]
        else:
            connection = socket.socket(socket.AF_INET)
            address = ("127.0.0.1", endpoint["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
    try:
        connection.settimeout(10)
        connection.connect(address)
        _send(connection, {"type": "hello", "protocol": PROTOCOL, "secret": endpoint["secret"]})
        hello = _receive(connection)
        if hello["type"] == "hello":
            connection.settimeout(None)
            return connection, hello
    except (OSError, KeyError):  # nobody listens any more, or another program's port by now
        pass
    # Or a new worker that has not yet replaced the endpoint file of a dead one, so the secret was the old one.
    connection.close()
    return None, None


def _start(settings, directory):
    log = open(directory / "worker.log", "wb")
    # GIMP's own Python settings and library paths must not reach the worker's Python; -I ignores the rest.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GI_", "GEGL_", "BABL_"))}
    command = [settings["python"], "-I", "-m", "hairmask_core", "worker", "--directory", str(directory)]
    options = {"creationflags": 0x08000008} if sys.platform == "win32" else {"start_new_session": True}
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=str(directory), **options
        )
    except OSError as error:
        raise WorkerError(_cannot_start(settings, f"{settings['python']}: {error.strerror}")) from error
    finally:
        log.close()


def _last_words(directory):
    try:
        lines = (directory / "worker.log").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return re.sub(r"\s+", " ", lines[-1])[:300] if lines else "it left no message"


def _send(connection, message):
    body = json.dumps(message).encode()
    connection.sendall(struct.pack(">I", len(body)) + body)


def _send_stop(connection):
    try:
        _send(connection, {"type": "stop"})
    except OSError:
        pass  # it ended by itself meanwhile


def _receive(connection):
    (length,) = struct.unpack(">I", _receive_exactly(connection, 4))
    try:
        message = json.loads(_receive_exactly(connection, length))
        message["type"]
        return message
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionResetError(f"not a message: {error!r}") from error


def _receive_exactly(connection, count):
    data = bytearray()
    while len(data) < count:
        part = connection.recv(min(count - len(data), 65536))
        if not part:
            raise ConnectionResetError("the connection was closed")
        data += part
    return bytes(data)
