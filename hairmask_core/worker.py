"""Long-lived process that serves the pipeline to GIMP and keeps models loaded between requests.

See `protocol` for what is said and `exchange` for the files that go with it.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import select
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import __version__
from .errors import Cancelled, HairmaskError, NoHairError, RequestError
from .exchange import (
    check_request,
    exchange_file,
    file_names,
    hash_pixels,
    limit_matte,
    read_pixels,
    to_photo,
    wait_for_files,
    write_mask,
    write_pixels,
)
from .image import Photo, from_float, read_photo, to_float
from .models import choose_card
from .people import People, find_people
from .pipeline import Hair, blend, find_hair, paint_strips, require_hair, shade_of_hair, take_color
from .protocol import PROTOCOL, receive_message, send_message
from .session import Session, open_session
from .shades import Shade
from .strands import root_to_tip

IDLE_SECONDS = 600
HELLO_SECONDS = 10  # a client that says nothing for so long is dropped
SEND_SECONDS = 30  # a client that takes nothing for so long counts as gone
PROGRESS_SECONDS = 0.1
HAZE = 0.05  # probability; where a limit leaves no more than this of a head, it is not meant
MASK_CACHE_BYTES = 512 << 20
STALE_FILE_SECONDS = 24 * 3600


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
        message = (
            f"The hair worker failed ({type(error).__name__}: {error}): please report this together with worker.log."
        )
        send_message(job.connection, {"type": "error", "kind": "internal", "message": message})


def _remove_when_closed(job: Job, directory: Path) -> None:
    with job.connection:
        try:
            job.connection.settimeout(None)
            job.connection.recv(1)
        except OSError:
            pass
    for name in file_names(job.request):
        try:
            exchange_file(directory, name).unlink(missing_ok=True)
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


@dataclass
class Found:
    """The hair of one photo; whose it is, and how far along the strands, by person, once that was asked."""

    hair: Hair
    people: People | None = None
    positions: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        labels = [self.people.labels] if self.people else []
        return sum(array.nbytes for array in (self.hair.matte, *labels, *self.positions.values()))


class Desk:
    """What stays between requests: loaded models, and the hair of the last few photos."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.sessions: dict[tuple[str, str], Session] = {}  # by model and device
        self.found: OrderedDict[tuple, Found] = OrderedDict()
        self.shades: dict[tuple, Shade] = {}  # of the hair in photos, by file and how it is looked for

    def recolor(self, request: dict, report: Callable[[float, str], None]) -> dict:
        """Do one request; its files are read from and written to the private directory. Returns the answer."""
        wish = check_request(request, self.directory)
        wait_for_files(wish, lambda: report(0.0, "Reading the layer"))
        rgba = read_pixels(wish["pixels"], wish["width"], wish["height"], wish["format"])
        session = self._session(wish["engine"], wish["model"], wish["device"])
        found = self._find_hair(
            hash_pixels(rgba),
            lambda: to_photo(rgba),
            session,
            wish,
            lambda done, text: report(0.05 + 0.55 * done, text),
        )
        if not wish["force"]:
            require_hair(found.hair)
        shade, tips = self._find_shade(session, wish, lambda done, text: report(0.6, text)), wish["tips"]
        people = self._write(wish, rgba, found, shade, lambda done, text: report(0.6 + 0.4 * done, text))
        name = f"{shade.name} to {tips.name}" if shade and tips else shade and shade.name
        answer = {"device": session.device, "notices": session.notices, "shade": name, "share": found.hair.share}
        return answer | {"people": people}

    def _write(
        self, wish: dict, rgba: np.ndarray, found: Found, shade: Shade | None, report: Callable[[float, str], None]
    ) -> int:
        """Write the wished masks and pixels; returns of how many people they are."""
        if wish["people"] == "each" and not found.people:
            found.people = find_people(
                to_photo(rgba), found.hair, report=lambda done: report(0.0, "Telling people apart")
            )
            self._forget()
        tips, picture, people = wish["tips"].rgb if wish["tips"] else None, rgba.copy(), 0
        expected = len(found.people.tones) if wish["people"] == "each" else 1

        def part(done: float, text: str = "Recoloring") -> None:
            report(min(1.0, (people + done) / expected), text)

        for number, hair, matte in heads_within(found, wish["people"], wish["limits"]):
            part(0.0)
            write_mask(wish["mask_out"][people], matte, wish["mask_format"])
            if wish["output"] == "layer":
                painted = paint_strips(rgba, hair, shade.rgb, wish["strength"], part, tips)
                write_pixels(wish["layer_out"][people], rgba.nbytes, painted)
            elif shade:
                if tips and number not in found.positions:  # the same for every shade
                    found.positions[number] = root_to_tip(np.ascontiguousarray(rgba[..., :3]), hair.matte, part)
                wanted = (shade.rgb, wish["strength"], part, tips)
                only_color = wish["output"] == "lch picture"
                show(picture, rgba, hair, matte, wanted, found.positions.get(number), only_color)
            people += 1
        if wish["output"] in ("picture", "lch picture"):
            write_pixels(wish["layer_out"][0], picture.nbytes, [picture])
        return people

    def _session(self, engine: str, model: str | None, device: str) -> Session:
        card = choose_card(model, engine=engine)
        if (card.name, device) not in self.sessions:
            self.sessions[card.name, device] = open_session(card, device)
        return self.sessions[card.name, device]

    def _find_shade(self, session: Session, wish: dict, report: Callable[[float, str], None]) -> Shade | None:
        shade = wish["shade"]
        if wish["output"] == "mask":
            return None
        if isinstance(shade, Shade):
            return shade
        try:
            status = shade.stat()
            file = str(shade), status.st_ino, status.st_size, status.st_mtime_ns
        except OSError:
            file = None
        key = (file, *self._how(session, wish))
        if file is None or key not in self.shades:  # a preview asks again and again
            photo = read_photo(shade)
            digest = hash_pixels(*(part for part in (photo.rgb, photo.alpha) if part is not None))
            hair = self._find_hair(digest, lambda: photo, session, wish, report).hair
            self.shades[key] = shade_of_hair(hair, shade)
        return self.shades[key]

    def _how(self, session: Session, wish: dict) -> tuple:
        """All that decides, beside the photo, which hair is found in it."""
        return session.card.sha256, session.device, wish["quality"], wish["step"], wish["refined"]

    def _find_hair(
        self,
        digest: bytes,
        make_photo: Callable[[], Photo],
        session: Session,
        wish: dict,
        report: Callable[[float, str], None],
    ) -> Found:
        """The hair of the photo of that digest, which is only made if its hair is not known."""
        key = (digest, *self._how(session, wish))
        if key in self.found:
            self.found.move_to_end(key)
            return self.found[key]
        hair = find_hair(make_photo(), session, wish["refined"], wish["quality"], wish["step"], report)
        found = self.found[key] = Found(hair)
        self._forget()
        return found

    def _forget(self) -> None:
        while len(self.found) > 1 and sum(found.nbytes for found in self.found.values()) > MASK_CACHE_BYTES:
            self.found.popitem(last=False)


def heads_within(found: Found, people: str, limits: list[Path]) -> Iterator[tuple[int, Hair, np.ndarray]]:
    """Everybody's hair, or each one's: the person's number, 0 for everybody, hair, and its matte within the limits.

    People of whom the limits leave nothing over are left out, unless that is so of all.
    """
    nobody = True
    for number in range(1, len(found.people.tones) + 1) if people == "each" else ():
        hair = found.people.hair_of(number, found.hair)
        matte = limit_matte(hair.matte, limits)
        if matte.max() > HAZE:
            nobody = False
            yield number, hair, matte
    if nobody:
        yield 0, found.hair, limit_matte(found.hair.matte, limits)


def show(
    picture: np.ndarray,
    rgba: np.ndarray,
    hair: Hair,
    matte: np.ndarray,
    wanted: tuple,
    position: np.ndarray | None,
    only_color: bool,
) -> None:
    """Recolor one head's hair in a picture, where there is any.

    picture: (H, W, 4), changed in place. rgba: the photo. matte: (H, W) float32, what shows of the hair. wanted: see
    `pipeline.paint_strips`. only_color: the photo's lightness stays.
    """
    rows, columns = (np.flatnonzero(matte.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    photo = np.ascontiguousarray(rgba[box][..., :3])
    part = replace(hair, matte=hair.matte[box])
    # In floating point there is no color table to be made, which would take longer than so few pixels.
    painted = paint_strips(to_float(photo), part, *wanted, None if position is None else position[box])
    painted = from_float(np.concatenate(list(painted)), rgba.dtype)
    above = take_color(photo, painted) if only_color else painted
    picture[box][..., :3] = blend(np.ascontiguousarray(picture[box][..., :3]), above, matte[box])


# The connection


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
        if hello.get("type") != "hello" or not secrets.compare_digest(
            str(hello.get("secret")).encode(), secret.encode()
        ):
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
