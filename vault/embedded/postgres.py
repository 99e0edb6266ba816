"""A private PostgreSQL: one server, one database, five logins.

Guarantees: listens on 127.0.0.1 only, every login by password (SCRAM), data checksums,
durable commits, and a server log that never holds a statement, a parameter or the
detail of an error, as these hold values. Leaves tables and rights to the migrations.
"""

import re
import secrets
import shutil
import signal
import time
from pathlib import Path

from vault.embedded.files import make_folder, write_file
from vault.embedded.ports import HOST, free_port
from vault.embedded.postgres_programs import ensure_system_user, programs
from vault.embedded.process import Launch, ServerProcess, run_once
from vault.embedded.state import EmbeddedError

DATABASE = "pdvault"
SUPERUSER = "postgres"
OWNER, SERVICE = "pdvault_owner", "pdvault_service"
AUDIT_READER, SEQUENCER = "pdvault_audit_reader", "pdvault_sequencer"
CUSTODIAN = "pdvault_custodian"
LOGINS = (OWNER, SERVICE, AUDIT_READER, SEQUENCER, CUSTODIAN)

_START_TIMEOUT_S = 60.0
_START_ATTEMPTS = 5
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path must be short; state folders' may be long
    "max_connections": "60",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",  # short statements only
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    # Nothing that a client sent may reach the log. The first line of an error may quote a
    # value as well, so that errors of statements are not logged at all: callers get them.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_duration": "off",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_lock_waits": "off",
    "log_temp_files": "-1",
    "log_checkpoints": "off",
}


class Postgres:
    """The server of one state folder."""

    def __init__(self, folder: Path, *, lock_fd: int = -1) -> None:
        """Describe the server; `start` starts it.

        Args:
            folder: `postgres/` of the state folder.
            lock_fd: of the state folder, handed on to the server; -1 for none.
        """
        self.folder = folder
        self.port: int | None = None
        self._server_folder = folder / "server"
        self._data = self._server_folder / "data"
        self._ready = folder / "ready"
        self._lock_fd = lock_fd
        self._server: ServerProcess | None = None

    @property
    def is_set_up(self) -> bool:
        return self._ready.exists()

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.is_running

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server is not None and self._server.is_running else None

    def start(self) -> None:
        """Start the server; the first time, make the cluster, the logins and the database.

        A set-up that was cut off is begun anew.

        Raises:
            EmbeddedError: it does not start; the reason is in `server.log`.
        """
        self._user = ensure_system_user()
        self._programs = programs(self._user)
        if not self.is_set_up:
            self._make_cluster()
        self._start_on_free_port()
        if not self.is_set_up:
            try:
                self._make_logins()
            except BaseException:
                self.stop()
                raise
            write_file(self._ready, b"")
        for login in LOGINS:
            self.url_file(login).unlink(missing_ok=True)
            write_file(self.url_file(login), self.url(login))

    def stop(self) -> None:
        """Fast shutdown: sessions end, what was committed is kept; then harder means."""
        if self._server is not None:
            self._server.stop((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start on the same port; `immediate` leaves recovery to the next start."""
        if immediate and self._server is not None:
            self._server.stop((signal.SIGQUIT, 10.0))
        else:
            self.stop()
        self.start()

    def kill9(self) -> None:
        if self._server is not None:
            self._server.kill()

    def password(self, login: str) -> str:
        path = self._server_folder if login == SUPERUSER else self.folder
        return (path / f"{login}.password").read_text().strip()

    def url(self, login: str, database: str = DATABASE) -> str:
        """A `postgresql://` URL with the password in it."""
        if self.port is None:
            raise EmbeddedError("PostgreSQL was not started")
        return f"postgresql://{login}:{self.password(login)}@{HOST}:{self.port}/{database}"

    def url_file(self, login: str) -> Path:
        """The file that holds `url(login)`; written anew at each start."""
        return self.folder / f"{login}.url"

    def execute(self, sql: str, *, database: str = SUPERUSER) -> None:
        """Run statements as the superuser.

        Raises:
            EmbeddedError: one failed.
        """
        run_once(
            Launch("psql", self.folder, self.folder / "server.log", self._lock_fd),
            self._programs / "psql",
            ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"),
            environment={
                "PGHOST": HOST,
                "PGPORT": str(self.port),
                "PGUSER": SUPERUSER,
                "PGDATABASE": database,
                "PGPASSWORD": self.password(SUPERUSER),
                "PGAPPNAME": "pdvault-embedded",
            },
            text=sql,
        )

    def create_database(self, name: str, *, template: str = "template0") -> None:
        """Make a database with the rights of `pdvault`; nobody may be connected to `template`.

        Raises:
            EmbeddedError: it exists, or the template is in use.
        """
        _check_name(name, template)
        self.execute(
            f"create database {name} owner {OWNER} template {template};\n"
            f"revoke all on database {name} from public;\n"
            f"grant connect on database {name} to {', '.join(LOGINS[1:])};\n"
        )

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it; harmless when there is none."""
        _check_name(name)
        self.execute(f"drop database if exists {name} with (force);")

    def _launch(self) -> Launch:
        return Launch(
            name="PostgreSQL",
            folder=self._data,
            log=self.folder / "server.log",
            lock_fd=self._lock_fd,
            user=self._user,
            death_signal=signal.SIGINT,
        )

    def _make_cluster(self) -> None:
        if self._server_folder.exists():
            shutil.rmtree(self._server_folder)
        make_folder(self.folder)
        make_folder(self._data)
        make_folder(self._server_folder)
        password_file = self._server_folder / f"{SUPERUSER}.password"
        write_file(password_file, secrets.token_hex(24))
        if self._user is not None:
            for path in (self._server_folder, self._data, password_file):
                shutil.chown(path, self._user.uid, self._user.gid)
        run_once(
            self._launch(),
            self._programs / "initdb",
            (
                *("-D", _HERE, "-U", SUPERUSER, f"--pwfile=../{password_file.name}"),
                *("--auth=scram-sha-256", "--data-checksums", "--no-instructions"),
                # The same order of strings on every machine.
                *("--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ),
        )

    def _start_on_free_port(self) -> None:
        for _ in range(_START_ATTEMPTS):
            port = free_port(self.port or self._last_port())
            settings = {**_SETTINGS, "port": str(port)}
            server = ServerProcess(
                self._launch(),
                self._programs / "postgres",
                ("-D", _HERE, *(f"--{name}={value}" for name, value in settings.items())),
            )
            self._server = server
            if self._is_ready(server, port):
                self.port = port
                return
            if server.is_running:
                server.kill()
                raise EmbeddedError(f"PostgreSQL did not get ready; see {server.log}")
            self.port = None  # taken in between, or no start at all: the next attempt tells
        raise EmbeddedError(f"PostgreSQL does not start; see {server.log}")

    def _is_ready(self, server: ServerProcess, port: int) -> bool:
        """Wait until the server says so itself; false when it ended or took too long.

        PostgreSQL writes its pid and port to a file, and "ready" only when it holds the port.
        So what answers there is our own child and no stranger.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if server.wait(0.02):
                return False
            lines = self._pid_file_lines()
            if len(lines) > _STATUS_LINE and (
                (lines[0], lines[_PORT_LINE], lines[_STATUS_LINE].strip())
                == (str(server.pid), str(port), "ready")
            ):
                return True
        return False

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _last_port(self) -> int | None:
        """The port of the last run, so that clients' addresses stay good where possible."""
        path = self.url_file(SERVICE)
        if not path.exists():
            return None
        text = path.read_text().rpartition(":")[2].partition("/")[0]
        return int(text) if text.isdigit() else None

    def _make_logins(self) -> None:
        statements = []
        for login in LOGINS:
            password = secrets.token_hex(24)
            write_file(self.folder / f"{login}.password", password)
            statements.append(
                f"create role {login} login nosuperuser nocreatedb nocreaterole noreplication "
                f"nobypassrls password '{password}';"
            )
        statements.append("revoke connect on database postgres, template1 from public;")
        self.execute("\n".join(statements))
        self.create_database(DATABASE)


def _check_name(*names: str) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise EmbeddedError("a database is named by up to 63 of a-z 0-9 _, a letter first")


_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# The working directory, whatever its name. PostgreSQL limits the length of paths, and the user
# that it runs as need not have a way there: the launcher changed to it before.
_HERE = "/proc/self/cwd" if Path("/proc/self/cwd").exists() else "."
_PORT_LINE, _STATUS_LINE = 3, 7  # of postmaster.pid; src/include/utils/pidfile.h
