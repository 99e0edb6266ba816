"""A service with servers of its own, as root keys are turned, and custody's calls."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import yaml

from tests.support.calls import Answer
from tests.support.embedded import DatabaseUrls, fresh_database
from tests.support.service import VaultService, new_key, wait_until
from tests.support.service_bundle import DOMAIN
from vault.app.parts import custody_transit_settings
from vault.config import load_config
from vault.crypto.transit_admin import TransitAdmin
from vault.crypto.transit_keys import RootKey
from vault.embedded import EmbeddedInstance
from vault.store.migrate import migrate
from vault.v1 import keys_pb2

KEY_SERVICE = "vault.v1.KeyService"
TENANT = "demo-shop"
QUICK = """
[database]
connect_timeout_seconds = 1.0
statement_timeout_seconds = 2.0

[transit]
read_seconds = 1.0
"""
"""A rotation waits until calls that began before it have ended: for as long as these say."""
MORE = {
    "custodian-3": (f"{DOMAIN}/vault/custodian-3", TENANT),
    "other-custodian-1": (f"{DOMAIN}/other/custodian-1", "other-shop"),
    "other-custodian-2": (f"{DOMAIN}/other/custodian-2", "other-shop"),
}
"""Custodians that the shipped bundle lacks: name -> id, tenant."""


class CustodyService(VaultService):
    """As `VaultService`, and its custodians."""

    def __init__(
        self, instance: EmbeddedInstance, urls: DatabaseUrls, folder: Path, extra: str = QUICK
    ) -> None:
        super().__init__(instance, urls, folder, extra)
        with self.callers() as document:
            for uri, tenant in MORE.values():
                document["callers"][uri] = {"tenant": tenant, "roles": ["custodian"]}
                document["services"][KEY_SERVICE].append(uri)

    @contextlib.contextmanager
    def callers(self) -> Iterator[dict[str, Any]]:
        """`callers.yaml`, to be changed in the block."""
        path = self.policies / "callers.yaml"
        document: dict[str, Any] = yaml.safe_load(path.read_text())
        yield document
        path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))

    def channel(self, caller: str) -> grpc.Channel:
        if caller not in MORE:
            return super().channel(caller)
        if caller not in self._channels:
            self._channels[caller] = self.open_channel(self.certificate(MORE[caller][0]))
        return self._channels[caller]

    def id_of(self, caller: str) -> str:
        return MORE[caller][0] if caller in MORE else f"{DOMAIN}/vault/{caller}"

    def act(self, rpc: str, caller: str, **request: Any) -> Answer:
        return self.call(rpc, request, caller=caller)

    def ask(
        self,
        act: Mapping[str, Any],
        caller: str = "custodian-1",
        *,
        cause: str = "rotation",
        key: str = "",
    ) -> Any:
        """A request that is granted: the `ActRequest`."""
        answer = self.act(
            "RequestAct", caller, act=dict(act), cause=cause, idempotency_key=key or new_key()
        )
        return answer.read("RequestAct").request

    def approve(self, request: Any, caller: str = "custodian-2", *, digest: str = "") -> Answer:
        return self.act(
            "ApproveAct",
            caller,
            request_id=request.request_id,
            request_digest=digest or request.digest,
        )

    def approved(self, act: Mapping[str, Any], **more: Any) -> Any:
        """A request that a second custodian has approved."""
        return self.approve(self.ask(act, **more)).read("ApproveAct").request

    def carry_out(
        self, request: Any, caller: str = "custodian-1", *, dry_run: bool = False
    ) -> Answer:
        return self.act("CarryOutAct", caller, request_id=request.request_id, dry_run=dry_run)

    def row(self, request: Any) -> Any:
        [row] = self.database.fetch(
            "select * from custody_requests where request_id = $1", _uuid(request)
        )
        return row

    def edit(self, request: Any, change: str, *arguments: object) -> None:
        """What somebody with rights on the table could do."""
        self.database.execute(
            f"update custody_requests set {change} where request_id = $1",  # noqa: S608 a test's own
            _uuid(request),
            *arguments,
        )

    def admin(self, work: Any) -> Any:
        """Runs work(TransitAdmin) with custody's own login."""

        async def run() -> Any:
            config = load_config(self.folder / "pdvault.toml")
            admin = TransitAdmin(custody_transit_settings(config))
            await admin.open([TENANT])
            try:
                return await work(admin)
            finally:
                await admin.close()

        return asyncio.run(run())

    def root_key(self, tenant: str = TENANT) -> RootKey:
        key: RootKey = self.admin(lambda admin: admin.read_key(admin.root_key(tenant)))
        return key

    def rotate(self) -> int:
        """A new version of the root key, and every row moved onto it; the version."""
        request = {"kind": "KEY_KIND_ROOT", "cause": "scheduled"}
        version = self.call("RotateKey", request, caller="custodian-1").read("RotateKey").version

        def is_done() -> bool:
            time.sleep(0.5)
            jobs = self.call("ListJobs", {}, caller="custodian-1").read("ListJobs").jobs
            return {keys_pb2.JOB_STATE_DONE} == {job.state for job in jobs}

        wait_until(is_done, seconds=90, text="the rotation did not end")
        return int(version)


def _uuid(request: Any) -> uuid.UUID:
    return uuid.UUID(hex=request.request_id)


@contextlib.contextmanager
def custody_service(folder: Path, extra: str = QUICK) -> Iterator[CustodyService]:
    """PostgreSQL, OpenBao and the service, none shared with other tests."""
    with EmbeddedInstance(folder / "state") as instance, fresh_database(instance) as urls:
        asyncio.run(migrate(urls.owner))
        own = folder / "service"
        own.mkdir(mode=0o700)
        service = CustodyService(instance, urls, own, extra)
        try:
            service.start()
            yield service
        finally:
            service.stop()
            service.database.close()


@contextlib.contextmanager
def second_process(
    first: CustodyService, folder: Path, extra: str = QUICK
) -> Iterator[CustodyService]:
    """Another process on the same database, bundle and servers."""
    folder.mkdir(mode=0o700)
    service = CustodyService(first.instance, first.urls, folder, extra)
    service.policies = first.policies
    try:
        service.start()
        yield service
    finally:
        service.stop()
        service.database.close()
