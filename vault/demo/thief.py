"""Somebody who got hold of the whole database and the disk. Run as a script by the demo:

    python -m vault.demo.thief STATE URL_FILE

Reads every table with the owner's login, every file of the state folder, and counts where
values lie in plain text. The values to look for come as JSON on stdin, the counts go to stdout.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TypedDict

from vault.demo.messages import Loot
from vault.store.database import Database, PoolSettings

_STATEMENT_S = 30.0


class Wanted(TypedDict):
    """What to look for.

    token: the value to show as it lies there, and the proof that the search finds things.
    values: of that consumer, looked for in the files.
    all_values: of everybody, looked for in the tables.
    """

    token: str
    values: list[str]
    all_values: list[str]


@dataclass(frozen=True, slots=True)
class _Row:
    token: str
    envelope: bytes
    wrapped_key: str


def search(state: Path, url_file: Path, wanted: Wanted) -> Loot:
    """Looks at everything that is stored."""
    row, tables = asyncio.run(_read_tables(url_file.read_text().strip(), wanted["token"]))
    contents = [path.read_bytes() for path in sorted(state.rglob("*")) if path.is_file()]
    return {
        "token": row.token,
        "envelope_hex": row.envelope.hex(),
        "wrapped_key": row.wrapped_key,
        "tables": len(tables),
        "values": len(set(wanted["all_values"])),
        "in_tables": count(wanted["all_values"], tables.values()),
        "files": len(contents),
        "in_files": count(wanted["values"], contents),
        "token_in_tables": count([wanted["token"]], tables.values()),
        "token_in_files": count([wanted["token"]], contents),
    }


async def _read_tables(url: str, token: str) -> tuple[_Row, dict[str, bytes]]:
    """The token's row; and all tables, in binary, so that text and bytes come as they are."""
    queries = _queries()
    settings = PoolSettings(
        url=url, max_connections=1, connect_timeout=5.0, statement_timeout=_STATEMENT_S
    )
    database = Database(settings)
    await database.open()
    try:
        async with database.connection() as connection:
            found = await connection.fetchrow(queries["one_value"], token)
            tables: dict[str, bytes] = {}
            for (name,) in await connection.fetch(queries["tables"]):
                content = BytesIO()
                await connection.copy_from_table(name, output=content, format="binary")
                tables[name] = content.getvalue()
    finally:
        await database.close()
    if found is None:
        raise ValueError("the token is not in the database")
    return _Row(found["token"], found["envelope"], found["wrapped"]), tables


def count(needles: Iterable[str], contents: Iterable[bytes]) -> int:
    """How often the needles are there, all together, as UTF-8 text or its hex digits."""
    raw = {needle.encode() for needle in needles}
    patterns = raw | {each.hex().encode() for each in raw}
    return sum(content.count(pattern) for content in contents for pattern in patterns)


def _queries() -> dict[str, str]:
    text = (files("vault.demo") / "thief.sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


if __name__ == "__main__":
    state_argument, url_file_argument = map(Path, sys.argv[1:])
    loot = search(state_argument, url_file_argument, json.load(sys.stdin))
    print(json.dumps(loot))  # noqa: T201  its output
