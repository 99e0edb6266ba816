"""One client of the vault in a process of its own. Run as a script by the demo:

    python -m vault.demo.actor ACT CERTIFICATES ADDRESS

It has a certificate folder, an address and `vault.client`, nothing else. The request comes as
JSON on stdin, the answer goes as JSON to stdout.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from vault.client import Entry as ClientEntry
from vault.client import (
    InvalidRequestError,
    Reason,
    Refused,
    RetryPolicy,
    Revealed,
    VaultCallError,
    VaultClient,
)
from vault.demo.messages import Answer, BadCell, Entry, Item, Request
from vault.demo.orders import FIELD_TYPES, Order, read_orders

_WATCH_INTERVAL_S = 0.1
_WATCH_S = 120.0
_COLUMNS = {field_type: column for column, field_type in FIELD_TYPES.items()}


def tokenize(vault: VaultClient, request: Request) -> Answer:
    """The order service: values in, tokens out; what was refused, by line and column."""
    orders = read_orders(Path(request["orders"]))
    subjects = [
        (order.subject_ref, {field.field_type: field.value for field in order.fields})
        for order in orders
    ]
    bad: list[BadCell] = []
    while True:
        # Another content is another write, so it takes another key.
        key = f"{request['idempotency_key']}.{len(bad)}"
        began = time.perf_counter()
        try:
            outcome = vault.tokenize(subjects, idempotency_key=key)
        except InvalidRequestError as error:
            # A request with a hole in it stores nothing; the vault names the hole.
            at, field_type = _hole(error, subjects)
            del subjects[at][1][field_type]
            bad.append(_bad_cell(orders[at], field_type, error.reason, "empty"))
        else:
            break
    seconds = time.perf_counter() - began
    for order, subject in zip(orders, outcome.subjects, strict=True):
        for field_type, refused in subject.refused.items():
            bad.append(_bad_cell(order, field_type, refused.reason, refused.detail))
    return {
        "tokenized": {
            "orders": len(orders),
            "consumers": len({order.subject_ref for order in orders}),
            "calls": len(outcome.call_ids),
            "seconds": seconds,
            "tokens": {
                order.number: subject.tokens
                for order, subject in zip(orders, outcome.subjects, strict=True)
            },
            "bad": bad,
        }
    }


def detokenize(vault: VaultClient, request: Request) -> Answer:
    """Shipping, support, marketing: values for tokens, as far as policy allows."""
    began = time.perf_counter()
    outcome = vault.detokenize(
        request["purpose"], request["tokens"], traceparent=request.get("traceparent")
    )
    seconds = time.perf_counter() - began
    return {"detokenized": {"items": [_item(item) for item in outcome.items], "seconds": seconds}}


def list_entries(vault: VaultClient, request: Request) -> Answer:
    """The auditor: what is on record about one consumer, oldest first."""
    entries = list(vault.list_entries(subject_ref=request["subject_ref"]))
    return {"entries": [_entry(entry) for entry in reversed(entries)]}


def watch(vault: VaultClient, request: Request) -> Iterator[Answer]:
    """Asks again and again, and answers when what came back is another thing than before."""
    last = None
    end = time.monotonic() + _WATCH_S
    while time.monotonic() < end:
        answer = _try(detokenize, vault, request)
        now = answer.get("failure", {}).get("reason") or answer["detokenized"]["items"][0]["reason"]
        if now != last:
            yield answer
        last = now
        time.sleep(_WATCH_INTERVAL_S)


def main(act: str, certificates: str, address: str) -> None:
    """Plays one act."""
    request: Request = json.load(sys.stdin)
    # Whoever watches wants to know how it is now, not how it is after a retry.
    policy = RetryPolicy(attempts=1) if act == "watch" else RetryPolicy()
    with VaultClient.from_directory(Path(certificates), address, retry=policy) as vault:
        if act == "watch":
            for answer in watch(vault, request):
                print(json.dumps(answer), flush=True)  # noqa: T201  its output
        else:
            print(json.dumps(_try(_ACTS[act], vault, request)))  # noqa: T201  its output


_Act = Callable[[VaultClient, Request], Answer]
_ACTS: dict[str, _Act] = {
    "tokenize": tokenize,
    "detokenize": detokenize,
    "list_entries": list_entries,
}


def _try(act: _Act, vault: VaultClient, request: Request) -> Answer:
    try:
        return act(vault, request)
    except VaultCallError as error:
        return {"failure": {"reason": error.reason.name, "status": error.status.name}}


def _hole(
    error: InvalidRequestError, subjects: Sequence[tuple[str, Mapping[str, str]]]
) -> tuple[int, str]:
    """Which subject and which field type the vault misses; anything else goes on as it came."""
    path = error.violations[0].field if error.violations else ""
    found = re.fullmatch(r"subjects\[(\d+)\]\.fields\[(\d+)\]\.value", path)
    if error.reason is not Reason.FIELD_MISSING or found is None:
        raise error
    at = int(found[1])
    return at, list(subjects[at][1])[int(found[2])]


def _bad_cell(order: Order, field_type: str, reason: Reason, detail: str) -> BadCell:
    return {
        "line": order.line,
        "column": _COLUMNS[field_type],
        "reason": reason.name,
        "detail": detail,
    }


def _item(item: Revealed | Refused) -> Item:
    match item:
        case Revealed():
            return {"view": item.view.name.lower(), "value": item.value, "reason": ""}
        case Refused():
            return {"view": "", "value": "", "reason": item.reason.name}


def _entry(entry: ClientEntry) -> Entry:
    return {
        "time": entry.time.isoformat(),
        "rpc": entry.rpc,
        "caller": entry.caller,
        "roles": list(entry.roles),
        "purpose": entry.purpose,
        "verdict": entry.verdict.name,
        "items": [
            {
                "field_type": item.field_type,
                "view": item.view.name.lower(),
                "verdict": item.verdict.name,
                "reason": item.reason.name,
                "policies": list(item.policies),
            }
            for item in entry.items
        ],
        "bundle_digest": entry.bundle_digest,
        "trace_id": entry.trace_id,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
