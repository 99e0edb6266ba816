"""Everything that the service needs to run on one machine: PKI, PostgreSQL, OpenBao.

Guarantees: one user per state folder, servers started side by side and stopped in reverse
order, nothing left running. Leaves running the service itself to its caller, between
`start` and `stop` (see `settings` for what it is to be given).
"""

import base64
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from vault.audit.note import KeyType, VerifierKey
from vault.embedded import pki
from vault.embedded.bao_setup import KEY_PREFIX, SIGNING_KEY, TRANSIT_MOUNT
from vault.embedded.config_file import ORIGIN, Settings, config_text, last_port
from vault.embedded.files import make_folder, write_file
from vault.embedded.openbao import OpenBao
from vault.embedded.pki import Pki
from vault.embedded.ports import free_port
from vault.embedded.postgres import AUDIT_READER, CUSTODIAN, OWNER, SEQUENCER, SERVICE, Postgres
from vault.embedded.state import EmbeddedError, StateFolder

_Part = TypeVar("_Part")
Progress = Callable[[str], None]
"""Called with the name of each phase as it begins, from several threads."""


class EmbeddedInstance:
    """The private servers of one state folder."""

    def __init__(
        self,
        state_dir: Path,
        *,
        progress: Progress = lambda _phase: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state_dir = state_dir
        self.timings: dict[str, float] = {}
        """Seconds per phase of the last start and stop."""
        self._progress = progress
        self._monotonic = monotonic
        self._state: StateFolder | None = None
        self._postgres: Postgres | None = None
        self._openbao: OpenBao | None = None
        self._pki: Pki | None = None

    @property
    def postgres(self) -> Postgres:
        return _started(self._postgres)

    @property
    def openbao(self) -> OpenBao:
        return _started(self._openbao)

    @property
    def pki(self) -> Pki:
        return _started(self._pki)

    def start(self) -> None:
        """Lock the folder, issue certificates, start both servers at the same time.

        Raises:
            EmbeddedError: it can't; nothing is left running, and the folder is free again.
        """
        state = StateFolder.open(self.state_dir)
        self._state = state
        pool = ThreadPoolExecutor(2, thread_name_prefix="embedded")
        try:
            root = state.root
            self._pki = Pki(root / "certs")
            self._postgres = Postgres(root / "postgres", lock_fd=state.lock_fd)
            self._openbao = OpenBao(
                root / "openbao",
                certificate=self._pki.files(pki.OPENBAO).folder,
                lock_fd=state.lock_fd,
            )
            self._check_nothing_lost(state)
            with self._phase("certificates"):
                self._pki.ensure()
            starts = [
                pool.submit(self._run, "PostgreSQL", self._postgres.start),
                pool.submit(self._run, "OpenBao", self._openbao.start),
            ]
            for start in starts:
                start.result()
            if not state.is_complete:
                state.set_complete()
        except BaseException:
            # Also on Ctrl-C: a start under way has to end before what it started can be stopped.
            pool.shutdown()
            self.stop()
            raise
        pool.shutdown()

    def stop(self) -> None:
        """Stop the servers and free the folder. Harmless when nothing runs."""
        with suppress(EmbeddedError), self._phase("stop"):
            if self._openbao is not None:
                self._openbao.stop()
            if self._postgres is not None:
                self._postgres.stop()
        if self._state is not None:
            self._state.close()
            self._state = None

    def dead_servers(self) -> tuple[str, ...]:
        """The names of servers that have ended though they should run."""
        running = {"PostgreSQL": self.postgres.is_running, "OpenBao": self.openbao.is_running}
        return tuple(name for name, is_running in running.items() if not is_running)

    def settings(self) -> Settings:
        """What the service, its migrations and its clients are to be given."""
        root = _started(self._state).root
        return Settings(
            state=root,
            owner_url_file=self.postgres.url_file(OWNER),
            service_url_file=self.postgres.url_file(SERVICE),
            audit_reader_url_file=self.postgres.url_file(AUDIT_READER),
            sequencer_url_file=self.postgres.url_file(SEQUENCER),
            custodian_url_file=self.postgres.url_file(CUSTODIAN),
            transit_address=self.openbao.address,
            transit_mount=TRANSIT_MOUNT,
            transit_role_id_file=self.openbao.role_id_file,
            transit_secret_id_file=self.openbao.secret_id_file,
            custodian_role_id_file=self.openbao.custodian_role_id_file,
            custodian_secret_id_file=self.openbao.custodian_secret_id_file,
            transit_key_prefix=KEY_PREFIX,
            signing_key=SIGNING_KEY,
            server_certificate_folder=self.pki.files(pki.SERVICE).folder,
            clients_folder=self.pki.folder,
            authority_file=self.pki.authority_file,
            trust_domain=pki.TRUST_DOMAIN,
            witness_file=root / "witness" / "checkpoint",
            ledger_file=root / "ledger" / "erasures.jsonl",
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _check_nothing_lost(self, state: StateFolder) -> None:
        """Never make a part anew beside an old one: new keys don't open old rows."""
        parts = {
            "postgres": self.postgres.is_set_up,
            "openbao": self.openbao.is_set_up,
            "certs": self.pki.authority_file.exists(),
        }
        lost = [name for name, is_there in parts.items() if not is_there]
        if state.is_complete and lost:
            raise EmbeddedError(
                f"{', '.join(lost)} of {state.root} is gone; restore it or choose another folder"
            )

    def _run(self, phase: str, start: Callable[[], None]) -> None:
        with self._phase(phase):
            start()

    def write_config(self, *, policies: Path, port: int | None = None) -> Path:
        """Write `pdvault.toml`, for `pdvault serve` or for a service within this process.

        Args:
            policies: folder of the bundle.
            port: of the service; none: that of the last time if free, or any free one.
        """
        path = _started(self._state).root / "pdvault.toml"
        port = free_port(last_port(path)) if port is None else port
        settings = self.settings()
        make_folder(settings.witness_file.parent)
        make_folder(settings.ledger_file.parent)
        self._write_verifier_keys(settings)
        write_file(path, config_text(settings, policies=policies, port=port))
        return path

    def _write_verifier_keys(self, settings: Settings) -> None:
        """`audit.vkey`: what an auditor needs to verify the log, one line for each key version."""
        api = self.openbao.api()
        api.log_in(
            settings.transit_role_id_file.read_text().strip(),
            settings.transit_secret_id_file.read_text().strip(),
        )
        data = api.call("GET", f"{settings.transit_mount}/keys/{settings.signing_key}")["data"]
        api.close()
        if not isinstance(data, dict):
            raise EmbeddedError("OpenBao: an answer of an unknown form")
        keys = [
            VerifierKey(ORIGIN, KeyType.ED25519, base64.b64decode(version["public_key"]))
            for _, version in sorted(data["keys"].items(), key=lambda item: int(item[0]))
        ]
        text = "".join(f"{key}\n" for key in keys)
        write_file(settings.state / "audit.vkey", text)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._progress(name)
        began = self._monotonic()
        try:
            yield
        finally:
            self.timings[name] = self._monotonic() - began


def _started(part: _Part | None) -> _Part:
    if part is None:
        raise EmbeddedError("the embedded instance was not started")
    return part
