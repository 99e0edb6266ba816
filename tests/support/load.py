"""Load from a process of its own: writers and readers that keep a diary of every attempt.

    python -m tests.support.load SETTINGS

SETTINGS is a JSON object (see `Load` in tests/support/faults.py). It runs until its input ends.
One JSON line for each attempt goes to the diary; each attempt is one call, with no retry by the
client, and a write is tried again with the same idempotency key until it is acknowledged.
"""

import asyncio
import json
import random
import sys
import time
import uuid
from pathlib import Path
from typing import Any, TextIO

from vault.client import AsyncVaultClient, RetryPolicy, Revealed, VaultCallError

_PAUSE_S = 0.05
"""After a failure: a client that hammers a vault in trouble is no load, only noise."""


class Diarist:
    """Calls, and writes down what came of each."""

    def __init__(self, settings: dict[str, Any], diary: TextIO) -> None:
        self._settings = settings
        self._diary = diary
        self._tokens: list[list[str]] = list(settings.get("tokens", []))
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        workers = [self._work(self._write) for _ in range(self._settings["writers"])]
        workers += [self._work(self._read) for _ in range(self._settings["readers"])]
        tasks = [asyncio.create_task(each) for each in workers]
        await asyncio.to_thread(sys.stdin.read)
        self._stopped.set()
        await asyncio.gather(*tasks)

    def _client(self, name: str) -> AsyncVaultClient:
        return AsyncVaultClient.from_directory(
            Path(self._settings["clients"]) / name,
            self._settings["address"],
            timeout=self._settings["timeout"],
            retry=RetryPolicy(attempts=1),
        )

    async def _work(self, step: Any) -> None:
        name = "order" if step == self._write else "shipping"
        async with self._client(name) as client:
            while not self._stopped.is_set():
                await step(client)
                await asyncio.sleep(self._settings["pause"])

    async def _write(self, client: AsyncVaultClient) -> None:
        key = uuid.uuid4().hex
        subjects = [
            (
                f"ref-{random.randrange(10**9)}",
                {"phone": f"138{random.randrange(10**8):08d}", "person_name": "张三"},
            )
            for _ in range(self._settings["subjects"])
        ]
        while not self._stopped.is_set():
            began = time.time()
            try:
                outcome = await client.tokenize(subjects, idempotency_key=key)
            except VaultCallError as error:
                self._note("write", began, error, key=key)
                await asyncio.sleep(_PAUSE_S)
                continue
            tokens = [each.tokens for each in outcome.subjects]
            self._tokens.append([each["phone"] for each in tokens])
            self._note(
                "write",
                began,
                None,
                key=key,
                call_id=outcome.call_ids[0],
                tokens=tokens,
                values=[fields for _, fields in subjects],
            )
            return

    async def _read(self, client: AsyncVaultClient) -> None:
        if not self._tokens:
            await asyncio.sleep(_PAUSE_S)
            return
        tokens = random.choice(self._tokens)
        began = time.time()
        try:
            outcome = await client.detokenize("delivery", tokens)
        except VaultCallError as error:
            self._note("read", began, error)
            await asyncio.sleep(_PAUSE_S)
            return
        self._note(
            "read",
            began,
            None,
            call_id=outcome.call_ids[0],
            tokens=tokens,
            values=[each.value if isinstance(each, Revealed) else None for each in outcome.items],
            reasons=[
                None if isinstance(each, Revealed) else each.reason.name for each in outcome.items
            ],
        )

    def _note(self, kind: str, began: float, error: VaultCallError | None, **more: object) -> None:
        line = {"kind": kind, "began": began, "ended": time.time(), "ok": error is None, **more}
        if error is not None:
            line |= {
                "status": error.status.name,
                "reason": error.reason.name,
                "call_id": error.call_id,
            }
        self._diary.write(json.dumps(line) + "\n")
        self._diary.flush()


if __name__ == "__main__":
    _settings = json.loads(sys.argv[1])
    with Path(_settings["diary"]).open("a", encoding="utf-8") as _diary:
        asyncio.run(Diarist(_settings, _diary).run())
