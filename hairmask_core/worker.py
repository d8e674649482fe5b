"""Long-lived process that serves the pipeline to GIMP and keeps models loaded between requests.

Protocol 1. A connection carries one request. Every message is a 4-byte big-endian length and that
many bytes of UTF-8 JSON, an object with a "type". Client and worker say hello; then the client asks:

    {"type": "recolor", "width": W, "height": H, "format": "u8" | "u16" | "float",
     "pixels": FILE, "limits": [FILE, ...], "mask_format": "u8" | "float",
     "shade": NAME or "#rrggbb" or [r, g, b], "strength": 0…1, "device": "auto" | "cpu" | …, "force": bool,
     "layer_out": FILE, "mask_out": FILE}
    {"type": "stop"}

and the worker answers with any number of {"type": "progress", "fraction", "text"} and then one
{"type": "result", "device", "notices", "shade", "share"} or {"type": "error", "kind", "message"}.
FILEs are names in the private directory that also holds the socket: raw RGBA pixels in (`format`),
raw masks of float32 that limit the matte, raw RGBA pixels and the raw mask out. A client keeps its
connection open until it has read the results; closing it earlier cancels the request. Once it is
closed, whatever way the client ended, the worker removes the request's files.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import secrets
import select
import socket
import struct
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import __version__
from .errors import Cancelled, HairmaskError, NoHairError, RequestError
from .image import Photo, from_float, strips
from .models import choose_card
from .pipeline import Hair, find_hair, recolor_photo, require_hair
from .session import DEVICES, Session, open_session
from .shades import find_shade

PROTOCOL = 1
IDLE_SECONDS = 600
LARGEST_MESSAGE = 1 << 20
HELLO_SECONDS = 10  # a client that says nothing for so long is dropped
SEND_SECONDS = 30  # a client that takes nothing for so long counts as gone
PROGRESS_SECONDS = 0.1
MASK_CACHE_BYTES = 512 << 20
STALE_FILE_SECONDS = 24 * 3600
PIXEL_TYPES = {"u8": np.uint8, "u16": np.uint16, "float": np.float32}
LARGEST_SIDE = 524288  # GIMP's own limit


@dataclass
class Job:
    """One accepted request and the connection that waits for its answer."""

    connection: socket.socket
    request: dict


def serve(directory: Path, idle_seconds: float = IDLE_SECONDS) -> int:
    """Serve requests until nobody asked for `idle_seconds`, or until told to stop.

    directory: private to the user; made with mode 0700 if it does not exist. Returns the exit status:
    0 also when another worker serves that directory already.

    Raises RequestError if the directory belongs to somebody else.
    """
    make_private(directory)
    lock = _take_lock(directory / "worker.lock")
    if lock is None:
        print("another worker serves this directory", flush=True)
        return 0
    _remove_stale_files(directory)
    listener, endpoint = _listen(directory)
    jobs: queue.Queue[Job | None] = queue.Queue()
    threading.Thread(target=_accept, args=(listener, endpoint["secret"], jobs), daemon=True).start()
    _write_private(directory / "endpoint.json", json.dumps(endpoint))
    print(f"hairmask {__version__} serves {directory} as process {os.getpid()}", flush=True)
    try:
        work(jobs, Desk(directory), idle_seconds)
    finally:
        (directory / "endpoint.json").unlink(missing_ok=True)
        listener.close()
        (directory / "worker.sock").unlink(missing_ok=True)
        lock.close()
    print("done", flush=True)
    return 0


def work(jobs: queue.Queue, desk: Desk, idle_seconds: float) -> None:
    """Answer jobs in the order in which they came, one at a time."""
    while True:
        try:
            job = jobs.get(timeout=idle_seconds)
        except queue.Empty:
            return
        if job is None:
            return
        try:
            _answer(job, desk)
        except (OSError, Cancelled):
            print("client gone", flush=True)
            job.connection.close()
        threading.Thread(target=_remove_when_closed, args=(job, desk.directory), daemon=True).start()


def _answer(job: Job, desk: Desk) -> None:
    try:
        send_message(job.connection, {"type": "result", **desk.recolor(job.request, Relay(job.connection))})
    except HairmaskError as error:
        kind = "no-hair" if isinstance(error, NoHairError) else "bad-input"
        send_message(job.connection, {"type": "error", "kind": kind, "message": str(error)})
    except MemoryError:
        message = "There is not enough memory for this layer: close other programs or scale the layer down."
        send_message(job.connection, {"type": "error", "kind": "memory", "message": message})
    except (OSError, Cancelled):
        raise
    except Exception as error:
        import traceback

        traceback.print_exc()
        message = f"The hair worker failed ({type(error).__name__}: {error}): please report this together with worker.log."
        send_message(job.connection, {"type": "error", "kind": "internal", "message": message})


def _remove_when_closed(job: Job, directory: Path) -> None:
    with job.connection:
        try:
            job.connection.settimeout(None)
            job.connection.recv(1)
        except OSError:
            pass
    names = [job.request.get(key) for key in ("pixels", "layer_out", "mask_out")]
    limits = job.request.get("limits")
    for name in names + (limits if isinstance(limits, list) else []):
        try:
            _exchange_file(directory, name).unlink(missing_ok=True)
        except (RequestError, OSError):
            pass


class Relay:
    """Passes progress on to the client, and stops the work when the client has gone."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.last_sent = 0.0

    def __call__(self, fraction: float, text: str) -> None:
        # A client only reads once it has asked; whatever arrives, the end of the stream included, means stop.
        if select.select([self.connection], [], [], 0)[0]:
            raise Cancelled
        now = time.monotonic()
        if now - self.last_sent >= PROGRESS_SECONDS:
            self.last_sent = now
            send_message(self.connection, {"type": "progress", "fraction": round(fraction, 4), "text": text})


class Desk:
    """What stays between requests: loaded models, and the hair of the last few photos."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.sessions: dict[str, Session] = {}
        self.hair: OrderedDict[tuple, Hair] = OrderedDict()

    def recolor(self, request: dict, report: Callable[[float, str], None]) -> dict:
        """Do one request; its files are read from and written to the private directory. Returns the answer."""
        wish = check_request(request, self.directory)
        report(0.0, "Reading the layer")
        photo = read_pixels(wish["pixels"], wish["width"], wish["height"], wish["format"])
        session = self._session(wish["device"])
        hair = self._find_hair(photo, session, lambda done, text: report(0.05 + 0.55 * done, text))
        if not wish["force"]:
            require_hair(hair)
        matte = limit_matte(hair.matte, wish["limits"])
        write_mask(wish["mask_out"], matte, wish["mask_format"])
        recolored = recolor_photo(
            photo, hair, wish["shade"].rgb, wish["strength"], lambda done, text: report(0.6 + 0.35 * done, text)
        )
        write_pixels(wish["layer_out"], recolored, photo.alpha, lambda done: report(0.95 + 0.05 * done, "Recoloring"))
        return {"device": session.device, "notices": session.notices, "shade": wish["shade"].name, "share": hair.share}

    def _session(self, device: str) -> Session:
        if device not in self.sessions:
            self.sessions[device] = open_session(choose_card(), device)
        return self.sessions[device]

    def _find_hair(self, photo: Photo, session: Session, report: Callable[[float, str], None]) -> Hair:
        key = (hash_pixels(photo, report), session.card.sha256, session.device)
        if key in self.hair:
            self.hair.move_to_end(key)
            return self.hair[key]
        hair = find_hair(photo, session, report=report)
        self.hair[key] = hair
        while len(self.hair) > 1 and sum(h.matte.nbytes for h in self.hair.values()) > MASK_CACHE_BYTES:
            self.hair.popitem(last=False)
        return hair


def check_request(request: dict, directory: Path) -> dict:
    """The request with files as paths and the shade found. Raises RequestError or ShadeError for anything amiss."""
    if request.get("type") != "recolor":
        raise RequestError(f"The worker does not know the request {request.get('type')!r}: update the plug-in.")
    try:
        shade = request["shade"]
        if isinstance(shade, list):
            shade = "#%02x%02x%02x" % tuple(round(255 * min(max(float(v), 0.0), 1.0)) for v in shade)
        wish = {
            "width": int(request["width"]),
            "height": int(request["height"]),
            "format": PIXEL_TYPES[request["format"]],
            "mask_format": PIXEL_TYPES[request["mask_format"]],
            "pixels": _exchange_file(directory, request["pixels"]),
            "limits": [_exchange_file(directory, name) for name in request["limits"]],
            "layer_out": _exchange_file(directory, request["layer_out"]),
            "mask_out": _exchange_file(directory, request["mask_out"]),
            "shade": find_shade(str(shade)),
            "strength": float(request["strength"]),
            "device": str(request["device"]),
            "force": bool(request["force"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"The request to the worker is incomplete or malformed ({error!r}): update the plug-in.") from error
    if not (0 < wish["width"] <= LARGEST_SIDE and 0 < wish["height"] <= LARGEST_SIDE):
        raise RequestError(f"A layer of {wish['width']}x{wish['height']} pixels cannot be recoloured: sides must be 1 to {LARGEST_SIDE}.")
    if not 0 <= wish["strength"] <= 1:
        raise RequestError(f"A strength of {wish['strength']} is not possible: give a number from 0 to 1.")
    if wish["device"] not in DEVICES:
        raise RequestError(f"There is no device {wish['device']!r}: choose one of {', '.join(DEVICES)}.")
    return wish


def _exchange_file(directory: Path, name: object) -> Path:
    if not isinstance(name, str) or not re.fullmatch(r"exchange-[A-Za-z0-9_-]{1,64}", name):
        raise RequestError(f"The file name {name!r} is not one of the exchange directory: update the plug-in.")
    return directory / name


def read_pixels(path: Path, width: int, height: int, dtype: type) -> Photo:
    """Raw RGBA pixels, row by row -> Photo. Raises RequestError if the file's size is not what the numbers say."""
    rgba = _map_file(path, (height, width, 4), dtype)
    alpha = np.array(rgba[..., 3])
    opaque = (alpha == alpha.dtype.type(1 if dtype is np.float32 else np.iinfo(dtype).max)).all()
    rgb = np.ascontiguousarray(rgba[..., :3])
    if dtype is np.float32:  # a layer may hold anything; the pipeline needs numbers
        np.nan_to_num(rgb, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        np.nan_to_num(alpha, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return Photo(rgb, None if opaque else alpha)


def limit_matte(matte: np.ndarray, limits: list[Path]) -> np.ndarray:
    """The matte times each limit (raw float32 files of the same size): a feathered selection, the layer's own mask."""
    for path in limits:
        matte = matte * np.clip(_map_file(path, matte.shape, np.float32), 0, 1)
    return matte


def write_mask(path: Path, matte: np.ndarray, dtype: type) -> None:
    """Matte -> raw file of uint8 or float32, row by row."""
    with _create(path) as file:
        for rows in strips(*matte.shape):
            file.write(np.ascontiguousarray(from_float(matte[rows], dtype)).data)


def write_pixels(path: Path, rgb: np.ndarray, alpha: np.ndarray | None, report: Callable[[float], None]) -> None:
    """Recoloured RGB with the photo's own alpha -> raw RGBA file, row by row."""
    height, width = rgb.shape[:2]
    full = rgb.dtype.type(1 if rgb.dtype == np.float32 else np.iinfo(rgb.dtype).max)
    with _create(path) as file:
        for rows in strips(height, width):
            strip = np.empty((rows.stop - rows.start, width, 4), rgb.dtype)
            strip[..., :3] = rgb[rows]
            strip[..., 3] = full if alpha is None else alpha[rows]
            file.write(strip.data)
            report(rows.stop / height)


def hash_pixels(photo: Photo, report: Callable[[float, str], None]) -> bytes:
    """A digest of size, type and pixels: equal photos have equal hair."""
    digest = hashlib.blake2b(repr((photo.rgb.shape, photo.rgb.dtype.str, photo.alpha is None)).encode())
    for rows in strips(photo.height, photo.width):
        report(0.0, "Reading the layer")
        digest.update(photo.rgb[rows].data)
        if photo.alpha is not None:
            digest.update(photo.alpha[rows].data)
    return digest.digest()


def _map_file(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    try:
        size = path.lstat().st_size
        expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if path.is_symlink() or size != expected:
            raise RequestError(f"{path.name} has {size} bytes where {expected} were announced: run the filter again.")
        return np.fromfile(path, dtype).reshape(shape)
    except OSError as error:
        raise RequestError(f"{path.name} cannot be read ({error.strerror}): run the filter again.") from error


def _create(path: Path):
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except OSError as error:
        raise RequestError(f"{path.name} cannot be written ({error.strerror}): check the free space of {path.parent}.") from error


# The connection


def send_message(connection: socket.socket, message: dict) -> None:
    """Send one length-prefixed JSON message. Raises OSError if the other side has gone."""
    body = json.dumps(message).encode()
    connection.sendall(struct.pack(">I", len(body)) + body)


def receive_message(connection: socket.socket) -> dict:
    """Receive one message. Raises RequestError for anything that is none, OSError if the stream ends."""
    (length,) = struct.unpack(">I", _receive_exactly(connection, 4))
    if length > LARGEST_MESSAGE:
        raise RequestError(f"A message of {length} bytes is too long: update the plug-in.")
    try:
        message = json.loads(_receive_exactly(connection, length))
    except (ValueError, RecursionError) as error:
        raise RequestError("A message was not JSON: update the plug-in.") from error
    if not isinstance(message, dict):
        raise RequestError("A message was not a JSON object: update the plug-in.")
    return message


def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(min(count - len(data), 65536))
        if not part:
            raise ConnectionResetError("the other side closed the connection")
        data += part
    return bytes(data)


def _accept(listener: socket.socket, secret: str, jobs: queue.Queue) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed: the worker ends
            return
        threading.Thread(target=_greet, args=(connection, secret, jobs), daemon=True).start()


def _greet(connection: socket.socket, secret: str, jobs: queue.Queue) -> None:
    """Say hello, take one request, put it into the queue."""
    try:
        connection.settimeout(HELLO_SECONDS)
        hello = receive_message(connection)
        if hello.get("type") != "hello" or not secrets.compare_digest(str(hello.get("secret")).encode(), secret.encode()):
            raise RequestError("The connection did not start with the right hello: restart GIMP.")
        send_message(connection, {"type": "hello", "protocol": PROTOCOL, "version": __version__, "pid": os.getpid()})
        request = receive_message(connection)
        connection.settimeout(SEND_SECONDS)
        if request.get("type") == "stop":
            connection.close()
            jobs.put(None)
            return
        if not jobs.empty():
            send_message(connection, {"type": "progress", "fraction": 0.0, "text": "Waiting for another layer"})
        jobs.put(Job(connection, request))
    except RequestError as error:
        try:
            with connection:
                send_message(connection, {"type": "error", "kind": "bad-input", "message": str(error)})
        except OSError:
            pass
    except OSError:
        connection.close()


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
    listener.listen(64)
    return listener, endpoint


# The private directory


def make_private(directory: Path) -> None:
    """Make the directory, readable by its owner only. Raises RequestError if it belongs to somebody else."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid"):
            if directory.is_symlink() or directory.stat().st_uid != os.getuid():
                raise RequestError(f"{directory} belongs to another user: remove it or set XDG_CACHE_HOME to a folder of your own.")
            directory.chmod(0o700)
    except OSError as error:
        raise RequestError(f"{directory} cannot be made ({error.strerror}): check the permissions of the folder above.") from error


def _take_lock(path: Path):
    """An open file that holds the lock until it is closed or the process dies; None if another process holds it."""
    file = open(path, "a+")
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


def _remove_stale_files(directory: Path) -> None:
    """Remove exchange files of clients that died. Young ones may belong to a client that is waiting for this worker."""
    for path in directory.glob("exchange-*"):
        try:
            if time.time() - path.lstat().st_mtime > STALE_FILE_SECONDS:
                path.unlink()
        except OSError:
            pass
