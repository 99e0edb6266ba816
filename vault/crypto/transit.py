"""Wrapping and unwrapping keys, and signing, in Transit: the only door to hvac.

Guarantees: the event loop never waits for a socket (hvac is synchronous: its calls run in
a bounded pool of threads, each with a time limit, and whoever waits may give up
earlier); every item gets its own answer; a failing Transit is known as such after one
call (`TransitHealth`) and found working again by a probe; a token is renewed at half its
life, an expired one replaced once and told from a withdrawn right; nothing that Transit
or the network says reaches an error's text.

Leaves to others: merging callers into batches (the stage), checking that an unwrapped key
is the right one (`SubjectKey.check`), dropping opened keys when told (`on_lost`).
"""

import asyncio
import contextvars
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import requests
from hvac.adapters import RawAdapter

from vault.clock import Clock, SystemClock
from vault.crypto.transit_batch import (
    MAX_UNWRAPS,
    MAX_WRAPS,
    Result,
    Unopenable,
    UnwrapItem,
    Unwrapped,
    WrapItem,
    Wrapped,
    read_unwrapped,
    read_wrapped,
)
from vault.crypto.transit_errors import key_store_error
from vault.crypto.transit_health import DECRYPT, Down, TransitHealth
from vault.crypto.transit_session import TransitSession
from vault.crypto.transit_settings import AppRole, TokenFile, TransitSettings
from vault.crypto.transit_signing import Signed
from vault.errors import Reason, VaultError

__all__ = [
    "AppRole",
    "Down",
    "Signed",
    "TokenFile",
    "Transit",
    "TransitSettings",
    "Unopenable",
    "UnwrapItem",
    "Unwrapped",
    "WrapItem",
    "Wrapped",
]

_log = logging.getLogger(__name__)

_ENCRYPT = "encrypt"
_SIGN = "sign"
_READ = "read"
Item = WrapItem | UnwrapItem
_T = TypeVar("_T")


class _Http:
    """hvac's adapter over one pool of connections."""

    def __init__(self, settings: TransitSettings, traceparent: Callable[[], str | None]) -> None:
        self._traceparent = traceparent
        pool = requests.adapters.HTTPAdapter(pool_maxsize=settings.threads + 1)
        http = requests.Session()
        http.trust_env = False  # neither proxies nor .netrc nor another CA bundle
        http.verify = str(settings.ca_file) if settings.ca_file else True
        http.mount("https://", pool)
        http.mount("http://", pool)
        self._adapter = RawAdapter(
            base_uri=settings.address,
            session=http,
            timeout=(settings.connect_seconds, settings.read_seconds),
            namespace=settings.namespace,
            allow_redirects=False,  # a redirect would carry token and keys elsewhere
        )

    def close(self) -> None:
        self._adapter.close()

    def send(
        self, method: str, path: str, body: dict[str, object] | None, token: str | None
    ) -> tuple[int, dict[str, object]]:
        """Status and JSON document of one request; a dropped connection is tried once more."""
        headers = {"X-Vault-Token": token} if token else {}
        if (traceparent := self._traceparent()) is not None:
            headers["traceparent"] = traceparent
        for _ in range(2):
            try:
                response: requests.Response = self._adapter.request(
                    method, f"/v1/{path}", headers=dict(headers), json=body, raise_exception=False
                )
                document = response.json() if response.content else {}
            except requests.exceptions.JSONDecodeError:
                return response.status_code, {}
            except requests.exceptions.Timeout:
                break
            except requests.exceptions.RequestException:
                continue
            return response.status_code, document if isinstance(document, dict) else {}
        # Outside the handler, without a cause: a requests error carries the request, and
        # with it token and keys.
        raise key_store_error(Reason.KEY_STORE_UNAVAILABLE)


class Transit:
    """Wraps and unwraps keys for many tenants. See the module's docstring."""

    def __init__(
        self,
        settings: TransitSettings,
        *,
        clock: Clock | None = None,
        on_lost: Callable[[], None] = lambda: None,
        traceparent: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Build, without calling anybody.

        Args:
            settings: where and who.
            clock: the time.
            on_lost: called in the event loop when unwrapping has been impossible for longer
                than `settings.grace_seconds`, once per loss; the keyring's `clear`.
            traceparent: the W3C header of the trip that is made; asked in the context of
                whoever wraps or unwraps. None: no header.
        """
        clock = clock or SystemClock()
        self._settings = settings
        self._on_lost = on_lost
        self._http = _Http(settings, traceparent)
        self._session = TransitSession(settings, clock=clock, send=self._http.send)
        self._health = TransitHealth(
            clock=clock,
            pause_seconds=settings.probe_seconds,
            grace_seconds=settings.grace_seconds,
        )
        self._workers = ThreadPoolExecutor(settings.threads, thread_name_prefix="transit")
        # Probes have their own thread, so that hanging calls do not delay recovery.
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="transit-probe")
        self._watched: dict[str, UnwrapItem] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def open(self, tenants: Sequence[str]) -> None:
        """Log in, check the tenants' root keys and begin to probe.

        Raises:
            VaultError: Transit is sealed, unreachable or refuses us (KEY_STORE_SEALED,
                KEY_STORE_UNAVAILABLE, KEY_STORE_DENIED); the token is a root token
                (KEY_STORE_DENIED); a root key is missing, not derived, or may be
                exported or backed up in plain text (KEY_STORE_FAULT).
            ValueError: a tenant's id cannot name a key.
        """
        await self._in_prober(self._session.log_in)
        for tenant in tenants:
            await self.check_root_key(tenant)
        self._watcher = asyncio.create_task(self._watch(), name="transit-watch")

    async def close(self) -> None:
        """Stop probing and calling. A call under way ends with its own time limit."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._prober.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    @property
    def state(self) -> Down | None:
        """What is wrong for every tenant; None if Transit works."""
        if (down := self._health.state()) or not self._watched:
            return down
        downs = [self._health.state(tenant) for tenant in self._watched]
        return next(iter(downs)) if all(downs) else None

    def state_of(self, tenant: str) -> Down | None:
        """What is wrong for unwrapping one tenant's keys; None if nothing is."""
        return self._health.state(tenant)

    async def check_root_key(self, tenant: str) -> None:
        """Refuse a tenant whose root key is unfit. Raises as `open`."""
        await self._in_prober(lambda: self._session.check_root_key(tenant))

    def watch(self, item: UnwrapItem) -> None:
        """Let probes unwrap this item: the tenant's index key, of which nobody has less."""
        self._watched[item.tenant] = item

    async def wrap(self, items: Sequence[WrapItem]) -> list[Wrapped | VaultError]:
        """Wrap keys under their tenants' root keys; one answer per item, in order."""
        return await self._run(_ENCRYPT, items, read_wrapped)

    async def unwrap(
        self, items: Sequence[UnwrapItem]
    ) -> list[Unwrapped | Unopenable | VaultError]:
        """Open wrapped keys; one answer per item, in order.

        `Unopenable` concerns the item; a VaultError (KEY_STORE_*) mostly its whole batch.
        """
        return await self._run(DECRYPT, items, read_unwrapped)

    async def sign(self, key: str, data: bytes) -> Signed:
        """Sign `data` with the newest version of a key that `public_keys` found fit.

        Raises:
            VaultError: KEY_STORE_*: no signature.
        """
        return await self._on_key(_SIGN, key, lambda: self._session.sign(key, data))

    async def public_keys(self, key: str) -> dict[int, bytes]:
        """The public keys (32 bytes) of a signing key, by version.

        Raises:
            VaultError: KEY_STORE_*; KEY_STORE_FAULT also for a key that is not ed25519 or
                may be exported or backed up in plain text.
        """
        return await self._on_key(_READ, key, lambda: self._session.public_keys(key))

    async def _on_key(self, verb: str, key: str, call: Callable[[], _T]) -> _T:
        """One call about a signing key, in a worker, within the time limit."""
        reason = self._health.refusal(verb, key)
        if reason is not None:
            raise key_store_error(reason)

        def noted() -> _T:
            try:
                result = call()
            except VaultError as error:
                self._health.failed(error.reason, verb, key)
                raise
            self._health.succeeded(verb, key)
            return result

        try:
            async with asyncio.timeout(self._settings.call_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._workers, noted)
        except TimeoutError as error:
            self._health.failed(Reason.KEY_STORE_UNAVAILABLE, verb, key)
            raise key_store_error(Reason.KEY_STORE_UNAVAILABLE) from error

    async def probe(self) -> None:
        """Find out now whether Transit works, and remember it in `state`.

        Raises:
            VaultError: it does not.
        """
        await self._in_prober(self._probe)

    async def _run(
        self, verb: str, items: Sequence[Item], read: Callable[[Result], _T]
    ) -> list[_T | VaultError]:
        """Group by tenant, cut into batches, call, and put the answers back in order."""
        groups: dict[str, list[int]] = {}
        for at, item in enumerate(items):
            groups.setdefault(item.tenant, []).append(at)
        size = min(self._settings.max_batch, MAX_WRAPS if verb == _ENCRYPT else MAX_UNWRAPS)
        batches = [
            (tenant, places[start : start + size])
            for tenant, places in groups.items()
            for start in range(0, len(places), size)
        ]
        calls: list[Awaitable[Sequence[_T | VaultError]]] = [
            self._one_batch(verb, tenant, [items[at] for at in places], read)
            for tenant, places in batches
        ]
        found: dict[int, _T | VaultError] = {}
        for (_, places), answers in zip(batches, await asyncio.gather(*calls), strict=True):
            found.update(zip(places, answers, strict=True))
        return [found[at] for at in range(len(items))]

    async def _one_batch(
        self, verb: str, tenant: str, items: Sequence[Item], read: Callable[[Result], _T]
    ) -> Sequence[_T | VaultError]:
        reason = self._health.refusal(verb, tenant)
        if reason is not None:
            return _failures(reason, items)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.call_seconds):
                call = contextvars.copy_context().run  # the worker's request names our trip
                results = await loop.run_in_executor(
                    self._workers, call, self._call, verb, tenant, items
                )
        except TimeoutError:
            self._health.failed(Reason.KEY_STORE_UNAVAILABLE, verb, tenant)
            return _failures(Reason.KEY_STORE_UNAVAILABLE, items)
        except VaultError as error:
            return _failures(error.reason, items)
        return [read(result) for result in results]

    def _call(self, verb: str, tenant: str, items: Sequence[Item]) -> list[Result]:
        """In a worker: health learns the outcome even if nobody waits for it any more."""
        try:
            results = self._session.batch(verb, tenant, items)
        except VaultError as error:
            self._health.failed(error.reason, verb, tenant)
            raise
        self._health.succeeded(verb, tenant)
        return results

    def _probe(self) -> None:
        """In the prober: keep the token, then unwrap each watched key."""
        try:
            self._session.keep_token()
            if not self._watched:
                self._session.look_up_token()
                self._health.succeeded()
        except VaultError as error:
            self._health.server_failed(error.reason)
            raise
        first: VaultError | None = None
        for tenant, item in list(self._watched.items()):
            try:
                [result] = self._call(DECRYPT, tenant, [item])
                if not isinstance(read_unwrapped(result), Unwrapped):
                    self._health.failed(Reason.KEY_STORE_FAULT, DECRYPT, tenant)
                    raise key_store_error(Reason.KEY_STORE_FAULT)
            except VaultError as error:
                first = first or error
                if self._health.state() is not None:
                    break  # nobody gets an answer: each further tenant would only wait as long
        if first is not None:
            raise first

    async def _watch(self) -> None:
        """Probe until cancelled; nothing that happens here may end it."""
        while True:
            pause = self._settings.probe_seconds * random.uniform(0.8, 1.2)
            due = self._session.seconds_to_renewal()
            await asyncio.sleep(min(pause, due) if due is not None and due > 0 else pause)
            try:
                await self.probe()
            except VaultError:
                pass  # health has it
            except Exception as error:  # noqa: BLE001 the probe must outlive any surprise
                _log.error("transit probe: %s", type(error).__name__)
            if self._health.newly_lost():
                _log.error("transit has been lost for longer than the grace: opened keys go")
                self._on_lost()

    async def _in_prober(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._prober, work)


def _failures(reason: Reason, items: Sequence[Item]) -> list[VaultError]:
    """An error of its own for each item: raising adds to an error's traceback."""
    return [key_store_error(reason) for _ in items]
