"""Acts 1 to 3: those who hand values in, and those who get some of them back.

Each act plays, compares what came with what was told, and shows it.
"""

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text

from vault.clock import SystemClock
from vault.demo.cast import Cast, read, values
from vault.demo.house import expect
from vault.demo.messages import Item
from vault.demo.orders import FIELD_TYPES, Order, read_orders
from vault.demo.show import Page, cut, no, scene, show, table, yes
from vault.embedded.certificates import BACKDATED, Issued, issue, make_authority
from vault.embedded.files import PUBLIC, make_folder, write_file
from vault.embedded.pki import TRUST_DOMAIN, Pki

ORDERS = Path(__file__).with_name("orders.csv")
PARCEL = "202603000024"
"""The order that is followed: its consumer has just this one, and every field is good."""
SHIPPING_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
"""The trace that shipping's own system began (the example of the W3C standard)."""
_TRACEPARENT = f"00-{SHIPPING_TRACE}-00f067aa0ba902b7-01"
_SHOWN = ("person_name", "phone", "resident_id", "bank_card")
_ASKED = ("person_name", "phone", "postal_address", "resident_id")
_BAD_CELLS = {
    (20, "person_name", "FIELD_MISSING"),
    (132, "resident_id", "VALUE_INVALID"),
    (186, "phone", "VALUE_INVALID"),
    (258, "resident_id", "VALUE_INVALID"),
    (292, "bank_card", "VALUE_INVALID"),
    (298, "phone", "VALUE_INVALID"),
}


@dataclass(frozen=True, slots=True)
class Shop:
    """What the story's callers have in hand after act 1.

    Attributes:
        order: the one that is followed, values and all: only the demo itself still has them.
        tokens: its tokens by field type, which is all that the shop keeps.
        all_values: of all orders.
    """

    order: Order
    tokens: dict[str, str]
    all_values: list[str]

    def value(self, field_type: str) -> str:
        return next(each.value for each in self.order.fields if each.field_type == field_type)


def tokens_in(console: Page, cast: Cast) -> Shop:
    """Act 1."""
    scene(
        console,
        1,
        "Tokens in",
        "The order service hands over a CSV of orders and keeps random tokens in their place.",
    )
    orders = read_orders(ORDERS)
    key = uuid.uuid4().hex
    first = cast.tokenize(ORDERS, key)
    again = cast.tokenize(ORDERS, key)
    shop = Shop(
        order=next(order for order in orders if order.number == PARCEL),
        tokens=first["tokens"][PARCEL],
        all_values=[each.value for order in orders for each in order.fields if each.value],
    )
    count = sum(map(len, first["tokens"].values()))
    expect("not every good value got a token", count == len(shop.all_values) - len(_BAD_CELLS) + 1)
    expect("two values have the same token", count == len(_distinct(first["tokens"])))
    expect("the retry got other tokens", again["tokens"] == first["tokens"])
    bad = {(cell["line"], FIELD_TYPES[cell["column"]], cell["reason"]) for cell in first["bad"]}
    expect("other cells than the six bad ones were refused", bad == _BAD_CELLS)

    rows = [(name, shop.value(name), cut(shop.tokens[name], "cyan")) for name in _SHOWN]
    show(console, table((f"order {PARCEL}", "hands over", "keeps"), rows))
    console.print()
    show(
        console,
        f"[green]✓[/] {first['orders']} orders of {first['consumers']} consumers: {count:,} tokens "
        f"in {first['seconds']:.2f} s. A retry gets the same tokens.\n"
        f"[green]✓[/] {len(first['bad'])} bad cells are named and hold nothing else up:",
    )
    cells = [(f"{each['line']}", each["column"], each["detail"]) for each in first["bad"]]
    pairs = [(*left, *right) for left, right in zip(cells[::2], cells[1::2], strict=True)]
    show(console, table(("line", "column", "what is wrong") * 2, pairs))
    return shop


def delivery(console: Page, cast: Cast, shop: Shop) -> None:
    """Act 2."""
    scene(
        console,
        2,
        "One parcel",
        "Shipping may see where the parcel goes and whom to call. It asks for the ID card too.",
    )
    answer = cast.detokenize(
        "shipping",
        {
            "purpose": "delivery",
            "tokens": [shop.tokens[name] for name in _ASKED],
            "traceparent": _TRACEPARENT,
        },
    )
    items = dict(zip(_ASKED, answer["items"], strict=True))
    for name in _ASKED[:3]:
        got = (items[name]["view"], items[name]["value"])
        expect(f"shipping did not get {name} as it was", got == ("full", shop.value(name)))
    _expect_refused("shipping", items["resident_id"], "FIELD_NOT_IN_PURPOSE")
    rows = [(name, _answer(item, item["view"])) for name, item in items.items()]
    show(console, table(("shipping, for delivery", "gets"), rows))


def others(console: Page, cast: Cast, shop: Shop, scratch: Path, certs: Path) -> None:
    """Act 3."""
    scene(
        console,
        3,
        "Others",
        "Support sees as much as its purpose needs, marketing nothing, and an impostor no vault.",
    )
    phone, address = shop.tokens["phone"], shop.tokens["postal_address"]
    foreign = _stranger(scratch / "foreign", certs, is_self_signed=False)
    self_signed = _stranger(scratch / "self-signed", certs, is_self_signed=True)
    support = cast.start(
        "support", "detokenize", {"purpose": "after_sales", "tokens": [phone, address]}
    )
    overreach = cast.start("support", "detokenize", {"purpose": "delivery", "tokens": [phone]})
    marketing = cast.start("marketing", "detokenize", {"purpose": "marketing", "tokens": [phone]})
    strangers = [
        cast.start("stranger", "detokenize", {"purpose": "delivery", "tokens": [phone]}, certs=each)
        for each in (foreign, self_signed)
    ]

    masked, city = values(support)["items"]
    digits = shop.value("phone")
    expect(
        "support did not get the masked phone",
        (masked["view"], masked["value"]) == ("masked", f"{digits[:3]}****{digits[-4:]}"),
    )
    expect("support did not get just the city", city["view"] == "coarse")
    expect("support got the street", 0 < len(city["value"]) < len(shop.value("postal_address")) / 2)
    [reached] = values(overreach)["items"]
    _expect_refused("support", reached, "PURPOSE_NOT_PERMITTED")
    [unasked] = values(marketing)["items"]
    _expect_refused("marketing", unasked, "CONSENT_MISSING")
    for each in strangers:
        failure = read(each.answer()).get("failure")
        expect(
            "a stranger got an answer from the vault itself",
            failure is not None and (failure["reason"], failure["status"]) == _NO_TLS,
        )

    rows: list[tuple[str | Text, ...]] = [
        ("support", "phone", "after_sales", _answer(masked, masked["view"])),
        ("support", "postal_address", "after_sales", _answer(city, city["view"])),
        ("support", "phone", "delivery", _answer(reached)),
        ("marketing", "phone", "marketing", _answer(unasked)),
        ("impostor as shipping", "phone", "delivery", no("refused in TLS", "a foreign CA")),
        ("impostor as shipping", "phone", "delivery", no("refused in TLS", "self-signed")),
    ]
    show(console, table(("caller", "asks for", "purpose", "gets"), rows))


_NO_TLS = ("NONE", "UNAVAILABLE")
_MEANINGS = {
    "FIELD_NOT_IN_PURPOSE": "a delivery does not need it",
    "PURPOSE_NOT_PERMITTED": "not support's job",
    "CONSENT_MISSING": "the consumer gave none",
}


def _answer(item: Item, more: str = "") -> Text:
    if item["reason"]:
        return no(item["reason"], _MEANINGS.get(item["reason"], ""))
    return yes(item["value"], more)


def _stranger(folder: Path, certs: Path, *, is_self_signed: bool) -> Path:
    """A certificate that claims to be shipping's, by anybody but the vault's authority."""
    made_by: Issued | None = None
    if not is_self_signed:
        now = dt.datetime.now(tz=dt.UTC)
        made_by = make_authority(
            TRUST_DOMAIN, not_before=now - BACKDATED, not_after=now + dt.timedelta(hours=1)
        )
    leaf = replace(Pki(certs, clock=SystemClock()).leaf("shipping"), common_name="stranger")
    issued = issue(leaf, made_by)
    make_folder(folder)
    write_file(folder / "tls.key", issued.key_pem)
    write_file(folder / "tls.crt", issued.certificate_pem, mode=PUBLIC)
    write_file(folder / "ca.crt", (certs / "shipping" / "ca.crt").read_bytes(), mode=PUBLIC)
    return folder


def _distinct(tokens: dict[str, dict[str, str]]) -> set[str]:
    return {token for fields in tokens.values() for token in fields.values()}


def _expect_refused(who: str, item: Item, reason: str) -> None:
    got = item["reason"] or "a value"
    expect(f"{who} got {got} in place of {reason}", got == reason)
