"""What the demo and its actors say to each other: JSON over pipes, named here once.

Nothing of it stands in a command line, where every user of the machine could read it.
"""

from typing import TypedDict


class Request(TypedDict, total=False):
    """What an actor is asked to do; each act takes its own part of it."""

    orders: str
    idempotency_key: str
    purpose: str
    tokens: list[str]
    traceparent: str
    subject_ref: str
    trace_id: str


class BadCell(TypedDict):
    """A cell of the order file that the vault refused; without its value."""

    line: int
    column: str
    reason: str
    detail: str


class Tokenized(TypedDict):
    """What the order service has in hand afterwards.

    `tokens`: order number to field type to token. `seconds`: of the calls alone.
    """

    orders: int
    consumers: int
    calls: int
    seconds: float
    tokens: dict[str, dict[str, str]]
    bad: list[BadCell]


class Item(TypedDict):
    """One token's answer: a view and a value, or a reason."""

    view: str
    value: str
    reason: str


class Detokenized(TypedDict):
    """The answers in the order of the tokens, and the time of the call."""

    items: list[Item]
    seconds: float


class Failure(TypedDict):
    """A call that ended without an answer."""

    reason: str
    status: str


class EntryItem(TypedDict):
    field_type: str
    view: str
    verdict: str
    reason: str
    policies: list[str]


class Entry(TypedDict):
    """One audit entry, as far as the demo shows it."""

    time: str
    rpc: str
    caller: str
    roles: list[str]
    purpose: str
    verdict: str
    items: list[EntryItem]
    bundle_digest: str
    trace_id: str


class Answer(TypedDict, total=False):
    """What an actor prints: one of these."""

    tokenized: Tokenized
    detokenized: Detokenized
    entries: list[Entry]
    failure: Failure


class Loot(TypedDict):
    """What somebody sees who has the database and the disk.

    One value as it lies there, and how often values in plain text were found.
    """

    token: str
    envelope_hex: str
    wrapped_key: str
    tables: int
    values: int
    in_tables: int
    files: int
    in_files: int
    token_in_tables: int
    token_in_files: int
