"""Erasing in tests: consumers, the calls, and a look at every table for what is left of one."""

import uuid
from dataclasses import dataclass
from typing import Any

from tests.support.calls import Answer
from tests.support.database import DatabaseEyes
from tests.support.service import VaultService

VALUES = {"phone": "13812345678", "person_name": "张三"}
_COLUMNS = """
select c.relname as table, a.attname as column, format_type(a.atttypid, null) as type
from pg_attribute as a
join pg_class as c on c.oid = a.attrelid
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
    and format_type(a.atttypid, null) in ('bytea', 'text', 'uuid', 'text[]')
"""


@dataclass(frozen=True, slots=True)
class Consumer:
    """One consumer's reference and tokens."""

    ref: str
    tokens: dict[str, str]

    @property
    def token(self) -> str:
        return self.tokens["phone"]


@dataclass(frozen=True, slots=True)
class Traces:
    """What the database held of a consumer before: raw bytes that must be gone."""

    subject: uuid.UUID
    envelopes: list[bytes]
    wrapped: list[str]
    ref_digests: list[bytes]


def consumer(service: VaultService, ref: str | None = None) -> Consumer:
    ref = ref or f"m-{uuid.uuid4()}"
    return Consumer(ref, service.tokenize(VALUES, ref=ref))


def erase(service: VaultService, *, timeout: float = 20.0, **request: Any) -> Answer:
    """By `subject_ref` or `token`."""
    document = {"cause": "consumer_request", **request}
    return service.call("EraseSubject", document, caller="privacy", timeout=timeout)


def erased(service: VaultService, **request: Any) -> Any:
    """The certificate of an erasure that went well."""
    return erase(service, **request).read("EraseSubject").erasure


def reveal(service: VaultService, token: str) -> Any:
    """One item's answer."""
    answer = service.call(
        "Detokenize", {"purpose": "delivery", "items": [{"token": token}]}, caller="shipping"
    )
    return answer.read("Detokenize").items[0]


def reason(service: VaultService, token: str) -> int:
    return int(reveal(service, token).reason)


def traces(database: DatabaseEyes, token: str) -> Traces:
    subject = database.value("select subject_id from tokens where token = $1", token)

    def column(sql: str) -> list[Any]:
        return [row[0] for row in database.fetch(sql, subject)]

    return Traces(
        subject,
        [bytes(e) for e in column("select envelope from tokens where subject_id = $1")],
        column("select wrapped from subject_keys where subject_id = $1"),
        [bytes(d) for d in column("select ref_digest from subject_refs where subject_id = $1")],
    )


def found(database: DatabaseEyes, old: Traces) -> list[str]:
    """Every place in every table that still holds one of these traces."""
    places = []
    for row in database.fetch(_COLUMNS):
        table, column, kind = row["table"], row["column"], row["type"]
        wanted: list[Any] = {
            "bytea": [*old.envelopes, *old.ref_digests, *(w.encode() for w in old.wrapped)],
            "text": old.wrapped,
        }.get(kind, [])
        for each in wanted:
            sql = f'select count(*) from "{table}" where position($1 in "{column}") > 0'  # noqa: S608
            if database.value(sql, each):
                places.append(f"{table}.{column}")
    return places
