"""The state folder: who owns it, what lies in it, and that only one process uses it.

Layout (folders 0700, files 0600 unless noted):

    pdvault-state          marker: format number, and whether set-up was completed
    lock                   held by flock while in use; holds the pid of the user
    pdvault.toml           configuration of the service on this instance
    audit.vkey             verifier key of the audit log, one line a version
    witness/checkpoint     newest checkpoint of the audit log
    certs/ca/              ca.crt, ca.key
    certs/NAME/            tls.crt, tls.key, ca.crt
    postgres/              LOGIN.password, LOGIN.url, server.log, ready
    postgres/server/       data/ and the superuser's password; belongs to the system
                           user that PostgreSQL runs as when pdvault runs as root
    openbao/               server.json, seal.key, recovery.key, NAME.role_id,
                           NAME.secret_id, audit.log, server.log, raft/, ready

Leaves to `instance` what is put into it.
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vault.embedded.files import make_folder, write_file

FORMAT = 1
MARKER = "pdvault-state"
LOCK = "lock"
LEFTOVER_WAIT_S = 15.0
"""How long a start waits for the servers of a killed run to end."""


class EmbeddedError(Exception):
    """The embedded instance can't do what was asked; the text is meant for a person."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What the marker file says.

    Attributes:
        format: of the layout above.
        is_complete: the first start came to its end, so nothing may be made anew silently.
    """

    format: int
    is_complete: bool


class StateFolder:
    """An opened state folder. Holds the lock until `close`."""

    def __init__(self, root: Path, lock_fd: int, marker: Marker) -> None:
        self.root = root
        self.lock_fd = lock_fd
        self._marker = marker

    @classmethod
    def open(cls, path: Path, *, leftover_wait_s: float = LEFTOVER_WAIT_S) -> "StateFolder":
        """Make or open the folder, and lock it.

        The servers inherit the lock, so it is free only when they too have ended.

        Raises:
            EmbeddedError: in use, not ours, made by a newer pdvault, or not private.
        """
        root = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  keeps symlinks as given
        try:
            _check_is_ours_or_empty(root)
            make_folder(root)
            _check_is_private(root)
            lock_fd = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(f"can't use the state folder {root}: {error.strerror}") from error
        try:
            _lock(root, lock_fd, leftover_wait_s)
            marker = _read_marker(root)
            if marker is None:
                marker = Marker(FORMAT, is_complete=False)
                _write_marker(root, marker)
        except BaseException:
            os.close(lock_fd)
            raise
        return cls(root, lock_fd, marker)

    @property
    def is_complete(self) -> bool:
        """Whether a first start came to its end in this folder."""
        return self._marker.is_complete

    def set_complete(self) -> None:
        self._marker = Marker(FORMAT, is_complete=True)
        _write_marker(self.root, self._marker)

    def close(self) -> None:
        """Give up the lock. The servers must have ended before."""
        if self.lock_fd >= 0:
            with suppress(OSError):
                os.truncate(self.lock_fd, 0)
            os.close(self.lock_fd)
            self.lock_fd = -1


def _check_is_ours_or_empty(root: Path) -> None:
    if not root.exists():
        return
    if not root.is_dir():
        raise EmbeddedError(f"{root} is not a folder")
    if root.stat().st_uid != os.geteuid():
        raise EmbeddedError(f"the state folder {root} belongs to another user")
    names = {entry.name for entry in root.iterdir()}
    # A start that was killed early may have left the lock and a draft of the marker.
    strangers = {name for name in names if name != LOCK and not name.endswith(".new")}
    if MARKER not in names and strangers:
        raise EmbeddedError(f"{root} is not empty and is not a state folder of pdvault")


def _check_is_private(root: Path) -> None:
    if root.stat().st_mode & 0o077:
        raise EmbeddedError(f"the file system of {root} does not keep permission bits")


def _lock(root: Path, lock_fd: int, leftover_wait_s: float) -> None:
    deadline = time.monotonic() + leftover_wait_s
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            pid = _read_pid(lock_fd)
            if pid is not None and _is_alive(pid):
                raise EmbeddedError(
                    f"the state folder {root} is in use by process {pid}"
                ) from error
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"the state folder {root} is still held by servers of a run that was killed"
                ) from error
            time.sleep(0.1)
    os.truncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)


def _read_pid(lock_fd: int) -> int | None:
    text = os.pread(lock_fd, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read_marker(root: Path) -> Marker | None:
    path = root / MARKER
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text())
        marker = Marker(int(document["format"]), is_complete=bool(document["complete"]))
    except (ValueError, KeyError, TypeError) as error:
        raise EmbeddedError(f"{path} is damaged: restore it or choose another folder") from error
    if marker.format != FORMAT:
        raise EmbeddedError(
            f"{root} has layout {marker.format}, this pdvault knows layout {FORMAT} only"
        )
    return marker


def _write_marker(root: Path, marker: Marker) -> None:
    text = json.dumps({"format": marker.format, "complete": marker.is_complete})
    write_file(root / MARKER, text + "\n")
