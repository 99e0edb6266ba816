"""The plainest way to store the same: COPY of the values in cleartext.

    python -m tests.bench.copy_client

Reads one order as a line of JSON: {"url", "writers", "rows", "seconds", "warm"}; answers with
{"rows", "seconds"}. Each COPY is one transaction of `rows` rows with random keys.
"""

import asyncio
import json
import random
import secrets
import sys
import time

import asyncpg
import uvloop

from tests.bench.dataset import FIELD_TYPES, make_orders

TABLE = """
create table if not exists bench_clear (
    token text not null primary key, subject_ref text not null, field_type text not null,
    value text not null
)
"""


async def _run(order: dict[str, object]) -> dict[str, float]:
    orders = make_orders(2000, seed=5)
    async with asyncpg.create_pool(str(order["url"]), min_size=1, max_size=8) as pool:
        await pool.execute(TABLE)
        done, counting, stopped = 0, False, False

        async def write() -> None:
            nonlocal done
            while not stopped:
                chosen = random.choices(orders, k=int(str(order["rows"])) // len(FIELD_TYPES))
                records = [
                    (secrets.token_hex(16), secrets.token_hex(8), field_type, value)
                    for each in chosen
                    for field_type, value in zip(FIELD_TYPES, each.values, strict=True)
                ]
                await pool.copy_records_to_table("bench_clear", records=records)
                if counting:
                    done += len(records)

        writers = [asyncio.create_task(write()) for _ in range(int(str(order["writers"])))]
        await asyncio.sleep(float(str(order["warm"])))
        counting, began = True, time.perf_counter()
        await asyncio.sleep(float(str(order["seconds"])))
        counting, ended = False, time.perf_counter()
        stopped = True
        await asyncio.gather(*writers)
    return {"rows": done, "seconds": ended - began}


if __name__ == "__main__":
    for _line in sys.stdin:
        print(json.dumps(uvloop.run(_run(json.loads(_line)))), flush=True)
