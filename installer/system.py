"""What the installer's parts share: its error, running programs, and why the system refused something."""

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

# The folder that Hair Recolor came in: a clone, or the package `hairmask_core` in an environment, which has all of it, too.
SOURCE = Path(__file__).resolve().parent.parent
IN_PACKAGE = not (SOURCE / "install.py").exists()
CORE, MODELS = (SOURCE, SOURCE / "weights") if IN_PACKAGE else (SOURCE / "hairmask_core", SOURCE / "models")


class InstallError(Exception):
    """The installation cannot go on; the message says why and what to do."""


def run_quietly(command, environment=None, seconds=None, folder=None):
    """Run a command to its end; what it prints, errors included, is in the result's `stdout`.

    environment: variables in addition to ours. seconds: after this time the program and everything that it started are
    ended, and the exit status is 124. folder: where to run it. A program that cannot be started counts as failed: its
    exit status is 127 if it was not found, 126 otherwise.
    """
    command = [str(part) for part in command]
    if not shutil.which(command[0]):
        return subprocess.CompletedProcess(command, 127, f"{command[0]} was not found")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=os.environ | (environment or {}),
            cwd=folder,
            start_new_session=seconds is not None,
        )
    except OSError as error:  # there, but nothing that this system can run
        return subprocess.CompletedProcess(command, 126, str(error))
    try:
        said, _ = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(command, process.returncode, said)
    except subprocess.TimeoutExpired:
        _end(process)
        return subprocess.CompletedProcess(command, 124, f"no answer within {seconds} seconds")
    except BaseException:  # interrupted: no program of ours may go on in the background
        process.kill()
        process.wait()
        raise


def _end(process):
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
    process.wait()


def explain_refusal(error):
    """An OSError as one sentence that ends in what to do."""
    where = error.filename2 or error.filename or "your home folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The disk is full ({where}): free at least 1 GB, then run this again."
    if error.errno == errno.EROFS:
        return f"{where} is on a disk that is read-only: make it writable, then run this again."
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where} cannot be changed: give yourself write permission (or close what uses it), then run this again."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"A file is where a folder is needed ({where}): move it away, then run this again."
    return f"{error}. Check permissions and free disk space, then run this again."


def tail(text, lines=6):
    return "\n".join("  " + line for line in text.strip().splitlines()[-lines:])


def quote(command):
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


def installer_command(*arguments, action="install"):
    """How the user calls this installer. action: "install" or "uninstall". arguments: further ones of install.py."""
    if IN_PACKAGE:
        return quote([sys.executable, "-m", CORE.name, "gimp", action])
    return quote(
        [sys.executable, str(SOURCE / "install.py"), *(["--uninstall"] if action == "uninstall" else []), *arguments]
    )
