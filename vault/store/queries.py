"""Named SQL. Every statement of the service lives in `sql/queries/*.sql`, by name.

No statement is ever built from data: a query is found by its name, and its text
is the file's (`vault.store.log` repeats the row of one, for several entries).
"""

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def _load() -> dict[str, str]:
    queries: dict[str, str] = {}
    for file in sorted((files("vault.store") / "sql" / "queries").iterdir(), key=lambda f: f.name):
        head, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        if head.strip() or not parts:
            raise ValueError(f"{file.name}: a statement without a name")
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in queries:
                raise ValueError(f"{file.name}: {name} is there twice")
            queries[name] = text.strip()
    return queries


QUERIES = _load()
"""Statement by name."""
