"""Invented orders, and the requests about them, made before anything is measured.

An order has five fields: name, two phone numbers, address and ID-card number, as customs
clearance may see all of them in full. Numbers are well formed and belong to nobody.
"""

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stdnum.iso7064 import mod_11_2

from tests.bench.client import write_pool
from vault.v1 import tokens_pb2

PURPOSE = "customs_clearance"
MIXED_PURPOSE = "delivery"
"""Does not reveal ID-card numbers: one field of five is refused."""
FIELD_TYPES = ("person_name", "phone", "phone", "postal_address", "resident_id")
DETOKENIZE = "/vault.v1.TokenService/Detokenize"
TOKENIZE = "/vault.v1.TokenService/Tokenize"
_GIVEN = "安宁远舟禾岚溪言知行若初念一星辰景明书白"
_POOL = 1500
"""Most requests in a pool: enough that no answer is warm in a buffer by luck."""
_REF_CHARS = 16


@dataclass(frozen=True, slots=True)
class Order:
    """One consumer's order; tokens in the order of the values, once it is stored."""

    ref: str
    values: tuple[str, ...]
    tokens: tuple[str, ...] = field(default=())


def make_orders(count: int, seed: int = 1) -> list[Order]:
    """As many orders of as many consumers."""
    rng = random.Random(seed)
    orders = []
    for number in range(count):
        identity = (
            f"110000{rng.randrange(1960, 2005)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
            f"{rng.randrange(1, 1000):03}"
        )
        orders.append(
            Order(
                ref=f"{seed:06x}{number:010x}",
                values=(
                    "王" + "".join(rng.choices(_GIVEN, k=2)),
                    f"138{rng.randrange(10**8):08}",
                    f"139{rng.randrange(10**8):08}",
                    (
                        f"江苏省苏州市姑苏区春江路{rng.randrange(1, 900)}号{rng.randrange(1, 20)}幢"
                        f"{rng.randrange(101, 2808)}室"
                    ),
                    identity + mod_11_2.calc_check_digit(identity),
                ),
            )
        )
    return orders


def tokenize_request(orders: Sequence[Order]) -> tokens_pb2.TokenizeRequest:
    """Without idempotency key."""
    request = tokens_pb2.TokenizeRequest()
    for order in orders:
        subject = request.subjects.add(subject_ref=order.ref)
        for field_type, value in zip(FIELD_TYPES, order.values, strict=True):
            subject.fields.add(field_type=field_type, value=value)
    return request


def detokenize_request(tokens: Sequence[str], purpose: str = PURPOSE) -> bytes:
    items = [tokens_pb2.DetokenizeItem(token=token) for token in tokens]
    return tokens_pb2.DetokenizeRequest(purpose=purpose, items=items).SerializeToString()


class Pools:
    """Writes pools of requests into a folder; each has a file of its own."""

    def __init__(self, folder: Path, seed: int = 7) -> None:
        self._folder = folder
        self._rng = random.Random(seed)

    def detokenize(
        self, name: str, orders: Sequence[Order], per_call: int, *, mixed: bool = False
    ) -> Path:
        """`per_call` 1: one field; 5: an order; more: whole orders of as many consumers."""
        requests: list[tuple[list[bytes], object]] = []
        for _ in range(min(_POOL, max(50, len(orders) * 5 // per_call))):
            if per_call == 1:
                order, at = self._rng.choice(orders), self._rng.randrange(len(FIELD_TYPES))
                tokens, values = [order.tokens[at]], [order.values[at]]
            else:
                chosen = self._rng.choices(orders, k=per_call // len(FIELD_TYPES))
                tokens = [token for order in chosen for token in order.tokens]
                values = [value for order in chosen for value in order.values]
            if mixed:
                values = ["" if len(value) == 18 else value for value in values]
            purpose = MIXED_PURPOSE if mixed else PURPOSE
            requests.append(([detokenize_request(tokens, purpose)], values))
        return write_pool(self._folder / f"{name}.json", requests, per_call)

    def detokenize_subjects(self, name: str, orders: Sequence[Order], per_call: int) -> Path:
        """One phone number each of many consumers."""
        requests: list[tuple[list[bytes], object]] = []
        for _ in range(200):
            chosen = self._rng.sample(orders, min(per_call, len(orders)))
            tokens = [order.tokens[1] for order in chosen]
            values = [order.values[1] for order in chosen]
            requests.append(([detokenize_request(tokens)], values))
        return write_pool(self._folder / f"{name}.json", requests, per_call)

    def touch(self, orders: Sequence[Order]) -> Path:
        """Every consumer once, 100 to a call: brings their keys into a service's memory."""
        requests: list[tuple[list[bytes], object]] = []
        for at in range(0, len(orders), 100):
            part = orders[at : at + 100]
            tokens = [order.tokens[1] for order in part]
            requests.append(([detokenize_request(tokens)], [order.values[1] for order in part]))
        return write_pool(self._folder / "touch.json", requests, 100)

    def tokenize(self, name: str, orders: Sequence[Order], *, subjects: int, new: bool) -> Path:
        """Orders of `subjects` consumers, known ones or (with fresh references) new ones."""
        requests: list[tuple[list[bytes], object]] = []
        for _ in range(min(_POOL, max(4, 3000 // subjects))):
            chosen = self._rng.choices(orders, k=subjects)
            body = tokenize_request(chosen).SerializeToString()
            parts = [b"\x0a\x10", body]  # an idempotency key of 16 characters goes between
            if new:
                parts = [b"\x0a\x10", *_cut(body, [order.ref for order in chosen])]
            requests.append((parts, subjects * len(FIELD_TYPES)))
        return write_pool(self._folder / f"{name}.json", requests, subjects * len(FIELD_TYPES))

    def transit(
        self, name: str, sealed: Sequence[tuple[str, str]], per_call: int, path: str, headers: str
    ) -> Path:
        """Decrypt requests, whole; `sealed` holds ciphertext and value."""
        requests: list[tuple[list[bytes], object]] = []
        for _ in range(_POOL):
            chosen = self._rng.choices(sealed, k=per_call)
            inputs = [{"ciphertext": ciphertext} for ciphertext, _ in chosen]
            document = inputs[0] if per_call == 1 else {"batch_input": inputs}
            body = json.dumps(document, separators=(",", ":")).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            values = [value for _, value in chosen]
            requests.append(([head.encode() + body], values))
        return write_pool(self._folder / f"{name}.json", requests, per_call)


def transit_inputs(values: Sequence[str]) -> list[dict[str, str]]:
    """The values as Transit's `batch_input` for encryption."""
    return [{"plaintext": base64.b64encode(value.encode()).decode()} for value in values]


def _cut(body: bytes, refs: Sequence[str]) -> list[bytes]:
    """Cuts every reference out; they all have the length of what fills the hole."""
    parts, at = [], 0
    for ref in refs:
        found = body.index(ref.encode(), at)
        parts.append(body[at:found])
        at = found + _REF_CHARS
    return [*parts, body[at:]]
