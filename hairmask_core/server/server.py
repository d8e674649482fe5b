"""Long-lived process that serves the pipeline to GIMP and keeps models loaded between requests.

See `protocol` for what is said and `pixel_files` for the files that go with it. Whatever a client does or leaves undone
(falls silent, talks nonsense, dies), the others are served: each greets in a thread of its own, their number is bounded,
and requests wait in a queue, where one at a time is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import select
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..errors import Cancelled, HairmaskError, NoHairError, RequestError
from ..inference.session import lacks_memory
from ..options import PROTOCOL, OptionsError, Request, shown
from ..pipeline import warm_up
from .handler import Handler
from .pixel_files import file_names, pixel_file
from .protocol import receive_message, send_message

IDLE_SECONDS = 600  # without a request, after which the server ends
HELLO_SECONDS = 10  # a client that says nothing for so long is dropped
SEND_SECONDS = 30  # a client that takes nothing for so long counts as gone
LEAVE_SECONDS = 5  # so long, told to stop, the worker waits for clients that still read results, to remove their files
PROGRESS_SECONDS = 0.1  # between two messages of progress, at least
MOST_GREETINGS = 64  # connections that have not asked yet; one more, and the oldest is dropped
MOST_WAITING = 64  # requests in the queue


@dataclass
class Job:
    """One accepted request and the connection that waits for its answer."""

    connection: socket.socket
    request: Request


def serve(directory: Path, idle_seconds: float = IDLE_SECONDS) -> int:
    """Serve requests until nobody asked for `idle_seconds`, or until told to stop.

    directory: private to the user; made with mode 0700 if it does not exist. Returns the exit status:
    0 also when another worker serves that directory already.

    Raises RequestError if the directory belongs to somebody else.
    """
    make_private(directory)
    lock = _take_lock(directory / "worker.lock")
    if lock is None:
        say("another worker serves this directory")
        return 0
    listener, endpoint = _listen(directory)
    jobs: queue.Queue[Job | None] = queue.Queue()
    threading.Thread(target=_accept, args=(listener, endpoint["secret"], jobs, directory), daemon=True).start()
    _write_private(directory / "endpoint.json", json.dumps(endpoint))
    threading.Thread(target=warm_up).start()
    say(f"hairmask {__version__} serves {directory} as process {os.getpid()}")
    try:
        work(jobs, Handler(directory), idle_seconds)
    finally:
        (directory / "endpoint.json").unlink(missing_ok=True)
        listener.close()
        (directory / "worker.sock").unlink(missing_ok=True)
        lock.close()
    say("done")
    return 0


def say(line: str) -> None:
    """A line for worker.log. That a full disk takes none, or the log's encoding not this one, is no reason to end."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def work(jobs: queue.Queue, handler: Handler, idle_seconds: float) -> None:
    """Answer jobs in the order in which they came, one at a time; in the end, remove what dead clients left."""
    attached: list[threading.Thread] = []  # of clients that still read their results
    while True:
        before = _pixel_files(handler.directory)
        try:
            job = jobs.get(timeout=idle_seconds)
        except queue.Empty:
            attached = [thread for thread in attached if thread.is_alive()]
            if attached:
                continue
            _remove_untouched(handler.directory, before)
            return
        if job is None:
            deadline = time.monotonic() + LEAVE_SECONDS
            for thread in attached:
                thread.join(max(0, deadline - time.monotonic()))
            return
        try:
            _answer(job, handler)
        except (OSError, Cancelled):
            say("client gone")
            job.connection.close()
        attached = [thread for thread in attached if thread.is_alive()]
        attached.append(threading.Thread(target=_remove_when_closed, args=(job, handler.directory), daemon=True))
        attached[-1].start()


def _answer(job: Job, handler: Handler) -> None:
    """Do the job and send the result or the error. Raises Cancelled or OSError if the client has gone."""
    try:
        answer = {"type": "result", **handler.recolor(job.request, Relay(job.connection))}
    except Cancelled:
        raise
    except HairmaskError as error:
        kind = "no-hair" if isinstance(error, NoHairError) else "bad-input"
        answer = {"type": "error", "kind": kind, "message": str(error)}
    except OSError as error:
        message = (
            f"A file in {handler.directory} could not be written or read ({error.strerror or error}): "
            "free some space on that disk, then run the filter again."
        )
        answer = {"type": "error", "kind": "disk", "message": message}
    except Exception as error:
        if lacks_memory(error):
            message = "There is not enough memory for this layer: close other programs or scale the layer down."
            answer = {"type": "error", "kind": "memory", "message": message}
        else:
            answer = {"type": "error", "kind": "internal", "message": _describe_failure(error)}
    send_message(job.connection, answer)


def _describe_failure(error: Exception) -> str:
    """A sentence for the user; the log gets the whole story."""
    import traceback

    say("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    return f"The hair worker failed ({type(error).__name__}: {error}): please report this together with worker.log."


def _remove_when_closed(job: Job, directory: Path) -> None:
    with job.connection:
        try:
            job.connection.settimeout(None)
            job.connection.recv(1)
        except OSError:
            pass
    _remove_files(job.request.files, directory)


def _remove_files(names: list, directory: Path) -> None:
    """Remove files that a client named, as far as they are a client's to name."""
    for name in names:
        with contextlib.suppress(RequestError, OSError):
            pixel_file(directory, name).unlink(missing_ok=True)


class Relay:
    """Passes progress on to the client, and stops the work when the client has gone: raises Cancelled then."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.last_sent, self.last_text = 0.0, ""

    def __call__(self, fraction: float, text: str) -> None:
        # A client only reads once it has asked; whatever arrives, the end of the stream included, means stop.
        if select.select([self.connection], [], [], 0)[0]:
            raise Cancelled
        now = time.monotonic()
        if now - self.last_sent >= PROGRESS_SECONDS or text != self.last_text:  # however short, each stage is named
            self.last_sent, self.last_text = now, text
            try:
                send_message(self.connection, {"type": "progress", "fraction": round(fraction, 4), "text": text})
            except OSError as error:
                raise Cancelled from error


# The connection


def _accept(listener: socket.socket, secret: str, jobs: queue.Queue, directory: Path) -> None:
    """Let every client of this user greet in a thread of its own, so that none waits for a slow or silent one."""
    greeting: list[tuple[threading.Thread, socket.socket]] = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            if listener.fileno() < 0:  # closed: the worker ends
                return
            if greeting:  # most likely too many files are open
                _hang_up(greeting.pop(0)[1])
            time.sleep(0.01)
            continue
        if not is_own(connection):
            say("refused a connection of another user")
            connection.close()
            continue
        greeting = [(thread, other) for thread, other in greeting if thread.is_alive()]
        if len(greeting) >= MOST_GREETINGS:
            _hang_up(greeting.pop(0)[1])
        thread = threading.Thread(target=_greet, args=(connection, secret, jobs, directory), daemon=True)
        greeting.append((thread, connection))
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            greeting.pop()
            connection.close()


def is_own(connection: socket.socket) -> bool:
    """Whether the process at the other end is this user's, as the system says.

    Where it does not, with TCP, the secret alone tells.
    """
    if not hasattr(socket, "AF_UNIX") or connection.family != socket.AF_UNIX:
        return True
    if hasattr(socket, "SO_PEERCRED"):  # Linux: process, user, group
        user = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    elif sys.platform == "darwin":  # SOL_LOCAL, LOCAL_PEERCRED: version, user, groups
        user = struct.unpack_from("II", connection.getsockopt(0, 1, 76))[1]
    else:
        return True
    return user == os.geteuid()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it, which closes it


def _greet(connection: socket.socket, secret: str, jobs: queue.Queue, directory: Path) -> None:
    """Say hello, take one request, put it into the queue; if no good one comes, remove the files that were named for it."""
    named: list = []
    try:
        connection.settimeout(HELLO_SECONDS)
        hello = receive_message(connection)
        if hello.get("type") != "hello" or not secrets.compare_digest(
            str(hello.get("secret")).encode(errors="replace"), secret.encode()
        ):
            raise RequestError("The connection did not start with the right hello: restart GIMP.")
        send_message(connection, {"type": "hello", "protocol": PROTOCOL, "version": __version__, "pid": os.getpid()})
        message = receive_message(connection)
        if message.get("type") == "files":
            named = file_names(message)
            connection.settimeout(None)  # it takes as long as it takes to write them
            message = receive_message(connection)
        connection.settimeout(SEND_SECONDS)
        named += file_names(message)
        if message.get("type") == "stop":
            connection.close()
            jobs.put(None)
            return
        request = read_request(message)
        if jobs.qsize() >= MOST_WAITING:
            raise RequestError("Too many layers are waiting to be recolored: try again when some are done.")
        if not jobs.empty():
            _try_send(connection, {"type": "progress", "fraction": 0.0, "text": "Waiting for another layer"})
        jobs.put(Job(connection, request))  # even if the client has gone by now: its files are to be removed
        named = []
    except (RequestError, OptionsError) as error:
        with connection:
            _try_send(connection, {"type": "error", "kind": "bad-input", "message": str(error)})
    except OSError:
        connection.close()
    finally:
        _remove_files(named, directory)


def read_request(message: dict) -> Request:
    """The request in a message. Raises RequestError or OptionsError if it is none."""
    kind = message.pop("type", None)
    if kind != "recolor":
        raise RequestError(f"The worker does not know the request {shown(kind)}: update the plug-in.")
    return Request.from_dict(message)


def _try_send(connection: socket.socket, message: dict) -> None:
    with contextlib.suppress(OSError):  # the client has gone
        send_message(connection, message)


def _listen(directory: Path) -> tuple[socket.socket, dict]:
    secret = secrets.token_hex(16)
    if hasattr(socket, "AF_UNIX"):
        path = directory / "worker.sock"
        path.unlink(missing_ok=True)  # left by a worker that was killed; the lock says that none runs now
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        os.chmod(path, 0o600)
        endpoint = {"path": str(path), "secret": secret}
    else:
        listener = socket.socket(socket.AF_INET)
        listener.bind(("127.0.0.1", 0))
        endpoint = {"port": listener.getsockname()[1], "secret": secret}
    listener.listen(1024)  # a client that finds no place takes the worker for dead
    return listener, endpoint


# The private directory


def make_private(directory: Path) -> None:
    """Make the directory, readable by its owner only. Raises RequestError if it belongs to somebody else."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid"):
            if directory.is_symlink() or directory.stat().st_uid != os.getuid():
                raise RequestError(
                    f"{directory} belongs to another user: remove it or set XDG_CACHE_HOME to a folder of your own."
                )
            directory.chmod(0o700)
    except OSError as error:
        raise RequestError(
            f"{directory} cannot be made ({error.strerror}): check the permissions of the folder above."
        ) from error


def _take_lock(path: Path):
    """An open file that holds the lock until it is closed or the process dies; None if another process holds it."""
    file = open(path, "a+")  # noqa: SIM115  # it stays open: that is the lock
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _write_private(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    os.replace(part, path)


def _pixel_files(directory: Path) -> dict[Path, tuple]:
    """The files that carry pixels, and what changes when somebody writes to one."""
    found = {}
    for path in directory.glob("exchange-*"):
        try:
            status = path.lstat()
            found[path] = status.st_ino, status.st_size, status.st_mtime_ns
        except OSError:  # removed meanwhile
            pass
    return found


def _remove_untouched(directory: Path, before: dict[Path, tuple]) -> None:
    """Remove pixel files that are as they were `before`, when the worker became idle: their clients died.

    No date is compared with the clock, which may have been set in between.
    """
    for path, status in _pixel_files(directory).items():
        if before.get(path) == status:
            with contextlib.suppress(OSError):
                path.unlink()
