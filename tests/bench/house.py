"""Everything that is measured, started in one folder: embedded parts, this service, the rivals.

Guarantees: nothing is left running, whatever happens; each server is our own child and holds its
port. Leaves what is measured to `scenarios`.
"""

import asyncio
import contextlib
import json
import time
import tomllib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import grpc

import vault.embedded.openbao
from tests.bench.children import Child, ChildError
from tests.bench.dataset import Order, tokenize_request, transit_inputs
from tests.bench.floor_server import TABLES, seal
from vault.embedded import EmbeddedInstance
from vault.embedded.bao_api import BaoApi
from vault.embedded.files import make_folder, write_file
from vault.embedded.ports import free_port
from vault.embedded.postgres import OWNER
from vault.store.migrate import migrate
from vault.v1 import tokens_pb2, tokens_pb2_grpc, types_pb2

POLICIES = Path(__file__).parents[2] / "policies"
RIVAL_KEY = "pdv-bench"
"""A Transit key without derivation: the cheapest to use. The service's policy covers the name."""
_SUBJECTS_A_CALL = 100
_ATTEMPTS = 3
_TRANSIT_BATCH = 200
_OPTIONS = (("grpc.max_receive_message_length", -1),)


class House:
    """The servers of one run. A context manager."""

    def __init__(self, folder: Path, *, say: Callable[[str], None]) -> None:
        self.folder = make_folder(folder)
        self.pools = make_folder(folder / "pools")
        self.say = say
        self.instance = EmbeddedInstance(folder / "state")
        self.client: Child
        self.servers: dict[str, tuple[Child, int]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.say("starting PostgreSQL and OpenBao")
        with _rival_key():
            self.instance.start()
        self._stack.callback(self.instance.stop)
        self.settings = self.instance.settings()
        asyncio.run(migrate(self.instance.postgres.url(OWNER)))
        self.client = self._stack.enter_context(
            Child("client", ("tests.bench.client",), self.folder)
        )

    # --- Servers ------------------------------------------------------------------------

    def config(
        self, name: str, changes: Mapping[str, Mapping[str, Any]], database: str | None = None
    ) -> Path:
        """A configuration of the service: that of the embedded instance with these changes;
        None takes a key away.
        """
        state = self.settings.state
        document = tomllib.loads(self.instance.write_config(policies=POLICIES).read_text())
        document["server"]["port"] = free_port()
        document["telemetry"]["span_file"] = str(self.span_file(name))
        if database is not None:
            own = make_folder(self.folder / name)
            for key in [key for key in document["database"] if key.endswith("url_file")]:
                url = (state / document["database"][key]).read_text().rpartition("/")[0]
                document["database"][key] = str(own / f"{key}.url")
                write_file(own / f"{key}.url", f"{url}/{database}")
            # What the service keeps outside its database goes with the database.
            for section, key in (("audit", "witness_file"), ("custody", "ledger_file")):
                if key in document.get(section, {}):
                    place = make_folder(own / section) / key
                    document[section][key] = str(place)
        for section, keys in changes.items():
            merged = document.get(section, {}) | keys
            document[section] = {key: value for key, value in merged.items() if value is not None}
        path = state / f"bench-{name}.toml"
        write_file(path, _toml(document))
        return path

    @contextlib.contextmanager
    def vault(
        self,
        name: str,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        mode: str = "whole",
        database: str | None = None,
    ) -> Any:
        """A service of its own, while the block runs; gives its name back."""
        child, port = self._start_service(name, changes or {}, mode, database)
        with child:
            self.servers[name] = (child, port)
            try:
                yield name
            finally:
                self.forget(name)

    def _start_service(
        self,
        name: str,
        changes: Mapping[str, Mapping[str, Any]],
        mode: str,
        database: str | None,
    ) -> tuple[Child, int]:
        """A service and the port that it holds: another one if somebody else was faster."""
        for _ in range(_ATTEMPTS):
            path = self.config(name, changes, database)
            child = Child(name, ("tests.bench.vault_server", str(path), mode), self.folder)
            try:
                return child, child.hear_port()
            except ChildError as error:
                child.stop()
                last = error
        raise last

    def start_vault(self, name: str, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """The same, for the rest of the run."""
        self.say(f"starting the service ({name})")
        self._stack.enter_context(self.vault(name, changes))

    def start_floor(self) -> None:
        self.say("starting the naive floor")
        child = self._stack.enter_context(
            Child("floor", ("tests.bench.floor_server",), self.folder)
        )
        child.tell(self.instance.postgres.url(OWNER))
        self.servers["floor"] = (child, child.hear_port())

    def forget(self, name: str) -> None:
        """Closes the client's connections to a server, before it ends."""
        _, port = self.servers.pop(name)
        if self.client.is_running:
            self.client.ask({"close": port}, 10)

    def port(self, name: str) -> int:
        if name == "transit":
            return int(self.instance.openbao.port or 0)
        return self.servers[name][1]

    def pids(self, name: str) -> list[int]:
        if name == "transit":
            return []
        return [self.servers[name][0].pid]

    def watched(self, name: str) -> dict[str, list[int]]:
        """The processes that a slice against this server concerns, by part."""
        postgres, openbao = self.instance.postgres.pid, self.instance.openbao.pid
        return {
            "server": self.pids(name),
            "postgres": [postgres] if postgres else [],
            "openbao": [openbao] if openbao else [],
        }

    def span_file(self, name: str) -> Path:
        return self.folder / f"{name}-spans.jsonl"

    # --- Data ---------------------------------------------------------------------------

    def store(self, orders: Sequence[Order], name: str = "vault") -> list[Order]:
        """Has the service tokenise them; the orders with their tokens."""
        stored = []
        with self.channel("order", name) as channel:
            stub = tokens_pb2_grpc.TokenServiceStub(channel)
            for at in range(0, len(orders), _SUBJECTS_A_CALL):
                part = orders[at : at + _SUBJECTS_A_CALL]
                request = tokenize_request(part)
                request.idempotency_key = uuid.uuid4().hex
                answer: tokens_pb2.TokenizeResponse = stub.Tokenize(request, timeout=60)
                for order, subject in zip(part, answer.subjects, strict=True):
                    verdicts = {result.verdict for result in subject.fields}
                    assert {types_pb2.VERDICT_ALLOWED} == verdicts
                    tokens = tuple(result.token for result in subject.fields)
                    stored.append(replace(order, tokens=tokens))
        return stored

    def channel(self, client: str, name: str = "vault") -> grpc.Channel:
        """To the service, with a client's certificate; a context manager."""
        folder = self.settings.clients_folder / client
        credentials = grpc.ssl_channel_credentials(
            (folder / "ca.crt").read_bytes(),
            (folder / "tls.key").read_bytes(),
            (folder / "tls.crt").read_bytes(),
        )
        return grpc.secure_channel(f"127.0.0.1:{self.port(name)}", credentials, _OPTIONS)

    def fill_floor(self, orders: Sequence[Order]) -> None:
        """The same tokens and values, sealed the floor's way, in its own tables."""

        async def fill() -> None:
            connection = await asyncpg.connect(self.instance.postgres.url(OWNER))
            await connection.execute(TABLES)
            await connection.copy_records_to_table(
                "bench_floor_tokens",
                records=[
                    (token, "phone", seal(token, value))
                    for order in orders
                    for token, value in zip(order.tokens, order.values, strict=True)
                ],
            )
            await connection.execute("analyze bench_floor_tokens")
            await connection.close()

        asyncio.run(fill())

    def sql(self, query: str, *arguments: object, database: str | None = None) -> Any:
        """One value, asked as the owner."""
        url = self.instance.postgres.url(OWNER, *((database,) if database else ()))

        async def ask() -> Any:
            connection = await asyncpg.connect(url)
            try:
                return await connection.fetchval(query, *arguments)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def transit_api(self) -> BaoApi:
        """OpenBao, with a token of the service's role."""
        api = self.instance.openbao.api()
        api.log_in(
            self.settings.transit_role_id_file.read_text().strip(),
            self.settings.transit_secret_id_file.read_text().strip(),
        )
        return api

    def transit_token(self) -> str:
        """A token of the service's role for the rival's requests."""
        body = {
            "role_id": self.settings.transit_role_id_file.read_text().strip(),
            "secret_id": self.settings.transit_secret_id_file.read_text().strip(),
        }
        auth: Any = self.instance.openbao.api().call("POST", "auth/approle/login", body)["auth"]
        return str(auth["client_token"])

    def seal_in_transit(self, values: Sequence[str]) -> list[tuple[str, str]]:
        """Ciphertext and value, under the rival's key."""
        api = self.transit_api()
        sealed: list[tuple[str, str]] = []
        for at in range(0, len(values), _TRANSIT_BATCH):
            part = values[at : at + _TRANSIT_BATCH]
            answer: Any = api.call(
                "POST", f"transit/encrypt/{RIVAL_KEY}", {"batch_input": transit_inputs(part)}
            )
            ciphertexts = [each["ciphertext"] for each in answer["data"]["batch_results"]]
            sealed += zip(ciphertexts, part, strict=True)
        return sealed


@contextlib.contextmanager
def _rival_key() -> Any:
    """Has the set-up of a new OpenBao make one more key, while the root token is there."""
    original = vault.embedded.openbao.set_up

    class OneMoreKey:
        def __init__(self, api: BaoApi) -> None:
            self._api = api

        def call(self, method: str, path: str, body: Any = None) -> Any:
            if path == "auth/token/revoke-self":
                key = {"type": "aes256-gcm96", "derived": False, "exportable": False}
                self._api.call("POST", f"transit/keys/{RIVAL_KEY}", key)
            return self._api.call(method, path, body)

    def set_up(api: BaoApi, folder: Path) -> None:
        original(OneMoreKey(api), folder)  # type: ignore[arg-type]

    vault.embedded.openbao.set_up = set_up
    try:
        yield
    finally:
        vault.embedded.openbao.set_up = original


def _toml(document: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for section, keys in document.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def start_seconds(command: Callable[[], Child], answers: Callable[[], bool]) -> float:
    """How long a server takes from its start to its first open door."""
    began = time.monotonic()
    with command() as child:
        while not answers():
            assert child.is_running, child.log.read_text()
            assert time.monotonic() - began < 60
            time.sleep(0.005)
        return time.monotonic() - began
