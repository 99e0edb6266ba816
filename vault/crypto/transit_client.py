"""What every login to Transit has: threads, time limits, a token that is kept, health.

Guarantees: the event loop never waits for a socket (hvac is synchronous: its calls run in
a bounded pool of threads, each with a time limit, and whoever waits may give up
earlier); every item gets its own answer; a failing Transit is known as such after one
call (`TransitHealth`) and found working again by a probe; a token is renewed at half its
life, an expired one replaced once and told from a withdrawn right; nothing that Transit
or the network says reaches an error's text.

Leaves to `Transit` and `TransitAdmin` what is asked.
"""

import asyncio
import contextvars
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vault.clock import Clock, SystemClock
from vault.crypto.transit_batch import Item, Result
from vault.crypto.transit_errors import key_store_error
from vault.crypto.transit_health import Down, TransitHealth
from vault.crypto.transit_http import Http
from vault.crypto.transit_session import TransitSession
from vault.crypto.transit_settings import TransitSettings
from vault.crypto.transit_signing import Signed
from vault.errors import Reason, VaultError

_log = logging.getLogger(__name__)

_SIGN = "sign"
_SIGN_OLDER = "sign-older"
"""Of its own: where an older version may not sign, the newest still may."""
_READ = "read"
_T = TypeVar("_T")


class TransitClient:
    """One login to Transit. See the module's docstring."""

    def __init__(
        self,
        settings: TransitSettings,
        *,
        clock: Clock | None = None,
        traceparent: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Build, without calling anybody.

        Args:
            settings: where and who.
            clock: the time.
            traceparent: the W3C header of the trip that is made; asked in the context of
                the caller. None: no header.
        """
        clock = clock or SystemClock()
        self._settings = settings
        self._http = Http(settings, traceparent)
        self._session = TransitSession(settings, clock=clock, send=self._http.send)
        self._health = TransitHealth(
            clock=clock,
            pause_seconds=settings.probe_seconds,
            grace_seconds=settings.grace_seconds,
        )
        self._workers = ThreadPoolExecutor(settings.threads, thread_name_prefix="transit")
        # Probes have their own thread, so that hanging calls do not delay recovery.
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="transit-probe")
        self._watcher: asyncio.Task[None] | None = None

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
        """What is wrong for everybody; None if Transit works."""
        return self._health.state()

    async def check_root_key(self, tenant: str) -> None:
        """Refuse a tenant whose root key is unfit.

        Raises:
            VaultError: KEY_STORE_*; KEY_STORE_FAULT for a key that is missing, not derived, or
                may be exported or backed up in plain text.
            ValueError: the tenant's id cannot name a key.
        """
        await self._in_prober(lambda: self._session.check_root_key(tenant))

    async def sign(self, key: str, data: bytes, *, version: int | None = None) -> Signed:
        """Sign `data` with a key that `public_keys` found fit.

        Args:
            key: its name.
            data: what is signed.
            version: which of its versions; None: the newest.

        Raises:
            VaultError: KEY_STORE_*: no signature.
        """
        verb = _SIGN if version is None else _SIGN_OLDER
        return await self._on_key(verb, key, lambda: self._session.sign(key, data, version))

    async def public_keys(self, key: str) -> dict[int, bytes]:
        """The public keys (32 bytes) of a signing key, by version.

        Raises:
            VaultError: KEY_STORE_*; KEY_STORE_FAULT also for a key that is not ed25519 or
                may be exported or backed up in plain text.
        """
        return await self._on_key(_READ, key, lambda: self._session.public_keys(key))

    async def probe(self) -> None:
        """Find out now whether Transit works, and remember it in `state`.

        Raises:
            VaultError: it does not.
        """
        await self._in_prober(self._probe)

    async def _log_in(self) -> None:
        await self._in_prober(self._session.log_in)

    def _begin_to_watch(self) -> None:
        self._watcher = asyncio.create_task(self._watch(), name="transit-watch")

    async def _on_key(self, verb: str, key: str, call: Callable[[], _T]) -> _T:
        """One call about a key, in a worker, within the time limit."""
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

    async def _run(
        self, verb: str, items: Sequence[Item], read: Callable[[Result], _T], *, most: int
    ) -> list[_T | VaultError]:
        """Group by tenant, cut into batches of `most`, call, and put the answers back in order."""
        groups: dict[str, list[int]] = {}
        for at, item in enumerate(items):
            groups.setdefault(item.tenant, []).append(at)
        size = min(self._settings.max_batch, most)
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
        """In the prober: keep the token, and look it up."""
        try:
            self._session.keep_token()
            self._session.look_up_token()
        except VaultError as error:
            self._health.server_failed(error.reason)
            raise
        self._health.succeeded()

    def _lost(self) -> None:
        """Opening keys has been impossible for longer than the grace; in the event loop."""

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
                self._lost()

    async def _in_prober(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._prober, work)


def _failures(reason: Reason, items: Sequence[Item]) -> list[VaultError]:
    """An error of its own for each item: raising adds to an error's traceback."""
    return [key_store_error(reason) for _ in items]
