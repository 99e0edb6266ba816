"""Files that only their owner may read, replaced as a whole or not at all."""

import os
import secrets
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_file(path: Path, content: bytes | str, *, mode: int = PRIVATE) -> None:
    """Replace `path` atomically and durably.

    A reader sees the old content or the new one, also after a power cut; `mode` holds
    before the first byte is written.

    Raises:
        OSError: as the file system says. Nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # the umask may have taken bits away
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path, *, mode: int = 0o700) -> Path:
    """Make `path` where it is missing, and give it exactly the permission bits of `mode`."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


def sync_folder(path: Path) -> None:
    """Make renames within `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
