"""Acts 4 to 6: a thief, the auditor, and the keeper of the keys."""

import datetime as dt
import time
from collections.abc import Iterable
from pathlib import Path

from rich.text import Text

from vault.config import load_config
from vault.demo.callers import SHIPPING_TRACE, Shop
from vault.demo.cast import Cast, Playing, read
from vault.demo.house import Addresses, DemoError, House, expect
from vault.demo.messages import Entry
from vault.demo.orders import FIELD_TYPES
from vault.demo.show import YES, Page, cut, faint, no, scene, show, table, waterfall, yes
from vault.telemetry.span_file import SpanNode, read_spans, span_tree

_SPANS_S = 10.0
_CHANGE_S = 30.0
_MARGIN_S = 5.0
_TOLD = {
    ("order", "", "ALLOWED"),
    ("shipping", "delivery", "ALLOWED"),
    ("support", "after_sales", "ALLOWED"),
    ("support", "delivery", "REFUSED"),
    ("marketing", "marketing", "REFUSED"),
}
"""Who has to be on record: role, purpose, verdict. The strangers are not: they never got in."""


def theft(console: Page, cast: Cast, shop: Shop, house: House) -> None:
    """Act 4."""
    scene(
        console,
        4,
        "What a thief finds",
        "Somebody took the database: its owner's login, each file and log. Not the key service.",
    )
    token = shop.tokens["phone"]
    loot = cast.steal(
        house.state,
        {
            "token": token,
            "values": [field.value for field in shop.order.fields],
            "all_values": shop.all_values,
        },
    )
    expect("the search does not even find a token", loot["token_in_tables"] > 0)
    expect("the search does not even find a token in the files", loot["token_in_files"] > 0)
    expect("a value lies in a table in plain text", loot["in_tables"] == 0)
    expect("a value lies in a file in plain text", loot["in_files"] == 0)
    expect("the key is not wrapped by Transit", loot["wrapped_key"].startswith("vault:v1:"))
    expect("the envelope has another format", loot["envelope_hex"].startswith("01"))

    lying = [
        ("token", cut(loot["token"], "cyan")),
        ("sealed value", cut(f"{loot['envelope_hex'][:64]}…")),
        ("its wrapped key", cut(f"{loot['wrapped_key'][:64]}…")),
    ]
    show(console, table(("the phone", "as it lies in the database"), lying))
    console.print()
    never = yes("found 0 times")
    times = f"found {loot['token_in_tables'] + loot['token_in_files']} times"
    found = [
        (f"all {loot['values']:,} values", f"{loot['tables']} tables", never),
        ("this consumer's 7 values", f"{loot['files']:,} files of the state folder", never),
        ("the token above", "both, to prove that the search works", faint(times)),
    ]
    show(console, table(("searched for", "in", ""), found))


def audit(console: Page, cast: Cast, shop: Shop, at: Addresses) -> None:
    """Act 5."""
    scene(
        console,
        5,
        "Who saw it?",
        "The auditor asks who wanted this consumer's data. No answer left before its entry was on "
        "disk.",
    )
    entries = cast.list_entries(shop.order.subject_ref)
    seen = {(entry["roles"][0], entry["purpose"], entry["verdict"]) for entry in entries}
    expect("the log does not say who asked for what", seen == _TOLD)
    expect("entries of different policies", len({each["bundle_digest"] for each in entries}) == 1)
    traces = [entry["trace_id"] for entry in entries if entry["roles"] == ["shipping"]]
    expect("the one call of shipping is not on record by its trace", traces == [SHIPPING_TRACE])

    heads = ("time UTC", "caller, role", "purpose", "trace", "fields, view or reason, policy")
    show(console, table(heads, [row for entry in entries for row in _entry_rows(entry)]))
    console.print()
    roots = _spans(at.spans, SHIPPING_TRACE)
    names = {node.span.name for root in roots for node in _nodes(root)}
    expect("the trace lacks a step", names >= {"identify", "policy", "open", "audit", "reply"})
    show(
        console,
        f"Shipping's call, in the trace that shipping began: [bright_black]{SHIPPING_TRACE}[/]",
    )
    show(console, waterfall(roots))


def seal(console: Page, cast: Cast, shop: Shop, house: House, at: Addresses) -> None:
    """Act 6."""
    grace = load_config(at.config).cache.grace_seconds
    scene(
        console,
        6,
        "Pull the plug",
        f"OpenBao is sealed while shipping keeps asking. Opened keys serve {grace:g} s more, "
        "then none does.",
    )
    shipping = cast.start(
        "shipping", "watch", {"purpose": "delivery", "tokens": [shop.tokens["phone"]]}
    )
    shipping.begin()
    expect("shipping had no value before the seal", _next(shipping) == "")

    house.seal()
    sealed_at = time.monotonic()
    reason = _next(shipping)
    stopped = time.monotonic() - sealed_at
    expect(f"{reason or 'a value'} in place of KEY_STORE_SEALED", reason == "KEY_STORE_SEALED")
    expect(f"values went on for {stopped:.0f} s", stopped < grace + _MARGIN_S)

    house.unseal()
    unsealed_at = time.monotonic()
    reason = _next(shipping)
    back = time.monotonic() - unsealed_at
    expect(f"{reason} after the unseal", reason == "")
    expect(f"values came back after {back:.0f} s only", back < 2 * _MARGIN_S)
    shipping.end()

    show(
        console,
        table(
            ("the keeper", "after", "shipping gets"),
            [
                (
                    "seals OpenBao",
                    f"{stopped:.1f} s",
                    no("KEY_STORE_SEALED", "no key opens any more"),
                ),
                ("unseals OpenBao", f"{back:.1f} s", yes(shop.value("phone"))),
            ],
        ),
    )


def _entry_rows(entry: Entry) -> Iterable[tuple[str | Text, ...]]:
    """A row for each group of fields that were treated alike; who asked stands in the first."""
    path = entry["caller"].partition("://")[2].partition("/")[2]
    role = faint(f"as {', '.join(entry['roles'])}")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for item in entry["items"]:
        key = (item["view"], item["reason"], " ".join(item["policies"]))
        groups.setdefault(key, []).append(item["field_type"])
    call: tuple[str | Text, ...] = (
        dt.datetime.fromisoformat(entry["time"]).strftime("%H:%M:%S"),
        Text.assemble(path, "\n", role) if len(groups) == 1 else path,
        entry["purpose"] or faint("tokenize"),
        faint(entry["trace_id"][:5] + "…"),
    )
    for (view, reason, policy), fields in groups.items():
        names = ", ".join(fields) if len(fields) < len(FIELD_TYPES) else f"all {len(fields)} fields"
        done = "tokenized" if view == "unspecified" else view
        verdict = no(reason) if reason != "NONE" else Text(done, YES)
        by = faint(f" by {policy or 'default'}")
        yield (*call, Text.assemble(names, " ", verdict, by))
        call = ("", role, "", "")


def _spans(path: Path, trace_id: str) -> tuple[SpanNode, ...]:
    """They are written a moment after the answer."""
    deadline = time.monotonic() + _SPANS_S
    while not (spans := read_spans(path, trace_id)):
        if time.monotonic() > deadline:
            raise DemoError("the spans of the call were not written")
        time.sleep(0.1)
    return span_tree(spans, trace_id)


def _nodes(node: SpanNode) -> Iterable[SpanNode]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _next(watcher: Playing) -> str:
    """The next change that the watcher sees: a reason, or "" for a value."""
    answer = read(watcher.line(_CHANGE_S))
    if "detokenized" in answer:
        return answer["detokenized"]["items"][0]["reason"]
    return answer["failure"]["reason"]
