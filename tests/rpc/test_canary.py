"""Canaries of every field type through every text of every RPC: none is found anywhere.

Good, refused and malformed calls carry them, in messages and in metadata. Then everything that
the vault and its servers wrote is searched: logs, spans, metrics, errors, reprs, PostgreSQL's
files with its write-ahead log, OpenBao's files with its audit log.
"""

import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stdnum import luhn
from stdnum.cn import ric

from tests.support import calls
from tests.support.calls import RPCS, Answer
from tests.support.leaks import digit_spellings, needles, search, search_files
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.service import StartService, VaultService, new_key
from vault.client import Subject, VaultClient, Wanted
from vault.service.call import FieldInput, Issued, Revealed, SubjectInput, WantedToken

WORD = "qzkanarienvogel7x"
HAN = "龘靐齉爩"
PHONE = "13987602468"
_CARD = "621700381002689"
CARD = _CARD + luhn.calc_check_digit(_CARD)
_ID = "11010119310719247"
ID = _ID + ric.calc_check_digit(_ID + "0")
DATE = "1931-07-19"

VALUES = {
    "person_name": f"{HAN}{WORD}",
    "phone": PHONE,
    "postal_address": f"江苏省苏州市虎丘区{HAN}路{WORD}号",
    "resident_id": ID,
    "bank_card": CARD,
    "email": f"{WORD}@{WORD}.example.net",
    "birth_date": DATE,
    "free_text": f"Call {PHONE}, card {CARD}: {WORD} {HAN}",
}
WANTED = needles(
    {
        "word": [WORD],
        "han": [HAN],
        "phone": digit_spellings(PHONE, 3, 4, 4),
        "card": digit_spellings(CARD, 4, 4, 4, 4),
        "id": digit_spellings(ID, 6, 8, 4),
        "date": digit_spellings(DATE.replace("-", ""), 4, 2, 2),
    }
)
_METADATA = (
    ("traceparent", f"00-{WORD}-{WORD}-01"),
    ("tracestate", f"{WORD}={PHONE}"),
    ("baggage", f"name={WORD},card={CARD}"),
    ("x-custom", f"{WORD} {PHONE} {ID}"),
    ("x-custom-bin", HAN.encode()),
    ("cookie", f"session={WORD}"),
    ("x-forwarded-for", WORD),
)


@dataclass(slots=True)
class Played:
    """What the story left: everything outside of files, as named bytes, and the folders."""

    service: VaultService
    shown: dict[str, bytes] = field(default_factory=dict)

    def show(self, name: str, *things: object) -> None:
        text = "\n".join(part for thing in things for part in (repr(thing), str(thing)))
        self.shown[f"{len(self.shown)} {name}"] = text.encode()

    def send(
        self, rpc: str, data: bytes | dict[str, Any], *, caller: str, code: str | None = None
    ) -> Answer:
        """A call with canaries in its metadata; an error's every part is kept."""
        answer = self.service.call(rpc, data, caller=caller, metadata=_METADATA)
        assert code is None or code == answer.code, (rpc, answer.text)
        self.show(f"{rpc} {answer.code}", answer.text, answer.status, answer.trailers)
        return answer


def _write(values: dict[str, str], **more: object) -> dict[str, Any]:
    return {
        "idempotency_key": f"{WORD}-{new_key()}",
        "subjects": [
            {
                "subject_ref": f"{WORD}-{PHONE}-{HAN}-{new_key()}",
                "fields": [{"field_type": name, "value": v} for name, v in values.items()],
            }
        ],
        **more,
    }


def _good(played: Played) -> None:
    request = _write(VALUES)
    answer = played.send("Tokenize", request, caller="order", code="OK")
    tokens = [result.token for result in answer.read("Tokenize").subjects[0].fields]
    assert all(tokens)
    played.send("Tokenize", request, caller="order", code="OK")
    other = {**_write(VALUES), "idempotency_key": request["idempotency_key"]}
    played.send("Tokenize", other, caller="order", code="INVALID_ARGUMENT")
    for caller, purpose in (
        ("shipping", "delivery"),
        ("shipping", "customs_clearance"),
        ("support", "after_sales"),
        ("order", "refund"),
        ("order", "fraud_review"),
        ("marketing", "marketing"),
        ("marketing", "delivery"),
    ):
        for view in range(5):
            items = [{"token": token, "view": view} for token in tokens]
            request = {"purpose": purpose, "items": items}
            played.send("Detokenize", request, caller=caller, code="OK")
            played.send("Detokenize", {**request, "all_or_nothing": True}, caller=caller)
    ref = {"subject_ref": f"{WORD}-{PHONE}"}
    played.send("ListEntries", ref, caller="auditor", code="OK")
    played.send("ListEntries", {"caller": f"spiffe://{WORD}/a"}, caller="auditor", code="OK")
    person = {"caller": f"person:https://{WORD}/#{PHONE}"}
    played.send("ListEntries", person, caller="auditor", code="OK")
    played.send("ListEntries", {"purpose": WORD}, caller="auditor", code="OK")


def _bad(played: Played) -> None:
    for name in VALUES:
        for value in (f"{WORD}\0", f"{WORD}{HAN}" * 400, f"{WORD}{PHONE}@@{ID}", f"{CARD}{WORD}"):
            for whole in (False, True):
                request = _write({name: value}, all_or_nothing=whole)
                played.send("Tokenize", request, caller="order")
    for caller in ("shipping", "stranger", "unlisted", "custodian-1"):
        for whole in (False, True):
            played.send("Tokenize", _write(VALUES, all_or_nothing=whole), caller=caller)
    played.send("Tokenize", _write({WORD: PHONE}), caller="order", code="INVALID_ARGUMENT")
    played.send("Tokenize", _write({f"{WORD} {HAN}": PHONE}), caller="order")
    for key in (WORD, f"{WORD} {PHONE} {ID}", HAN):
        played.send("Tokenize", {**_write(VALUES), "idempotency_key": key}, caller="order")
    for token in (WORD, PHONE, f"pho_demo_{WORD}", f"{HAN}\n{CARD}"):
        request = {"purpose": "delivery", "items": [{"token": token}]}
        played.send("Detokenize", request, caller="shipping", code="INVALID_ARGUMENT")
    for purpose in (WORD, f"{WORD} {HAN}", PHONE):
        request = {"purpose": purpose, "items": [{"token": WORD}]}
        played.send("Detokenize", request, caller="shipping", code="INVALID_ARGUMENT")
    for name in ("subject_id", "caller", "purpose", "trace_id", "page_token", "subject_ref"):
        for value in (f"{WORD} {PHONE}\0", f"{WORD}-{CARD}", HAN * 3000):
            played.send("ListEntries", {name: value}, caller="auditor")


def _malformed(played: Played) -> None:
    text = f"{WORD}{HAN}{PHONE}{CARD}{ID}".encode()
    unknown = b"\xfa\x06" + bytes([len(text)]) + text  # field 111
    for rpc, caller in (
        ("Tokenize", "order"),
        ("Detokenize", "shipping"),
        ("ListEntries", "auditor"),
        ("GetBundle", "policy-owner"),
        ("ReloadBundle", "policy-owner"),
    ):
        for data in (
            text,
            unknown,
            b"\x0a\x7f" + text,
            b"\x0a" + bytes([len(text) + 2]) + text + b"\xc3(",
            text * 30_000,
        ):
            played.send(rpc, data, caller=caller)
        path = f"{RPCS[rpc].path}{WORD}"
        answer = calls.call(played.service.channel(caller), path, text, metadata=_METADATA)
        played.show("unknown method", answer.code)
    for caller in ("order", "console"):
        for bearer in (f"Bearer {WORD}.{WORD}.{WORD}", f"Basic {WORD}", f"{WORD}", CARD):
            answer = played.service.call(
                "Tokenize", _write(VALUES), caller=caller, metadata=(("authorization", bearer),)
            )
            played.show("bearer", answer.text, answer.status, answer.trailers)
    agent = (("grpc.primary_user_agent", f"{WORD}/{PHONE}"),)
    issued = played.service.certificate("spiffe://pdvault.example/shop/order")
    with played.service.open_channel(issued, options=agent) as channel:
        answer = calls.call(
            channel, RPCS["Tokenize"].path, calls.message("Tokenize", _write(VALUES))
        )
        assert "OK" == answer.code


def _with_the_client(played: Played, folder: Path) -> None:
    """The project's own client: what its objects, errors and log lines say."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            played.show("client log", record.getMessage(), record.__dict__)

    handler = Kept()
    logging.getLogger("vault.client").addHandler(handler)
    subject = Subject(f"{WORD}-{new_key()}", VALUES)
    with VaultClient.from_directory(folder / "order", played.service.address) as client:
        outcome = client.tokenize([subject])
        played.show(
            "outcome", subject, outcome, outcome.subjects, outcome.subjects[0].items, client
        )
        tokens = list(outcome.subjects[0].tokens.values())
        for bad in (
            lambda: client.tokenize([Subject(WORD, {WORD: PHONE})]),
            lambda: client.tokenize([subject], idempotency_key=f"{WORD} {PHONE}"),
            lambda: client.tokenize([Subject(f"{WORD}\0", VALUES)]),
            lambda: client.detokenize(WORD, [PHONE]),
            lambda: client.detokenize("delivery", [Wanted(CARD)]),
        ):
            with pytest.raises(Exception) as caught:
                bad()
            error: BaseException | None = caught.value
            while error is not None:
                played.show("client error", error, error.args)
                error = error.__cause__ or error.__context__
    with VaultClient.from_directory(folder / "shipping", played.service.address) as client:
        revealed = client.detokenize("delivery", [Wanted(token) for token in tokens])
        played.show("revealed", revealed, revealed.items, *revealed.items)
    logging.getLogger("vault.client").removeHandler(handler)


def _objects(played: Played) -> None:
    """The service's own values, as a careless log line would print them."""
    field_input = FieldInput("subjects[0].fields[0].value", "phone", PHONE)
    played.show(
        "objects",
        field_input,
        SubjectInput(f"{WORD}", [field_input]),
        Revealed(PHONE, 1, "phone"),  # type: ignore[arg-type]
        Issued(WORD),
        WantedToken(WORD, 0, True),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def played(start_service: StartService) -> Iterator[Played]:
    with OtlpReceiver() as receiver, start_service(_telemetry(receiver)) as service:
        story = Played(service)
        _good(story)
        _bad(story)
        _malformed(story)
        _with_the_client(story, service.instance.settings().clients_folder)
        _objects(story)
        service.stop()  # so that every span and metric is out
        service.instance.postgres.execute("checkpoint")
        assert 500 <= len(receiver.await_spans(500))
        assert "pdvault.item.verdicts" in receiver.metrics()
        story.shown["telemetry"] = json.dumps(receiver.seen, ensure_ascii=False).encode()
        yield story


def _telemetry(receiver: OtlpReceiver) -> str:
    return f'\n[telemetry]\notlp_endpoint = "{receiver.endpoint}"\n'


def test_the_search_finds_every_spelling(tmp_path: Path) -> None:
    """The control: each needle where it was put, between neighbours that shift base64."""
    for number, needle in enumerate(WANTED):
        (tmp_path / str(number)).write_bytes(b"\x00some " + needle + b"\xffmore")
    hits, total = search_files(tmp_path, WANTED)
    assert set(WANTED.values()) == {hit.partition(": ")[2] for hit in hits}
    assert total > 0
    for shift in range(6):
        data = base64.b64encode(b"." * shift + WORD.encode() + b"...")
        assert search(data, WANTED), shift


def test_nothing_outside_of_files(played: Played) -> None:
    hits = {name: found for name, data in played.shown.items() if (found := search(data, WANTED))}
    assert {} == hits


def test_nothing_in_the_service_folder(played: Played) -> None:
    hits, total = search_files(played.service.folder, WANTED)
    assert [] == hits
    assert 100_000 < total
    assert "vault.v1.TokenService/Tokenize" in played.service.spans_file.read_text()


def test_nothing_in_the_state_folder(played: Played) -> None:
    """PostgreSQL's data, write-ahead log and server log; OpenBao's storage, audit and log."""
    state = played.service.instance.settings().state
    audit = (state / "openbao" / "audit.log").read_text()
    assert "transit/" in audit
    assert any((state / "postgres").rglob("pg_wal/0*"))
    hits, total = search_files(state, WANTED)
    assert [] == hits
    assert 20_000_000 < total


def test_the_search_sees_into_the_database(played: Played) -> None:
    """The control: a value that does stand in a table is found, in a table and in the WAL."""
    database = played.service.database
    database.execute("create table control (text text)")
    database.execute("insert into control values ($1)", WORD)
    played.service.instance.postgres.execute("checkpoint")
    wanted = {WORD.encode(): "word"}
    postgres = played.service.instance.settings().state / "postgres"
    hits, _ = search_files(postgres, wanted)
    # Gone before another service's canaries are looked for: the table, not the log of it.
    database.execute("drop table control")
    assert any("/base/" in hit for hit in hits)
    assert any("/pg_wal/" in hit for hit in hits)


def test_the_database_holds_no_key_and_no_reference(played: Played) -> None:
    """Column by column, as the owner sees them."""
    tables = played.service.database.fetch(
        "select table_name from information_schema.tables where table_schema = 'public'"
    )
    assert 7 <= len(tables)
    for row in tables:
        rows = played.service.database.fetch(f"select * from {row['table_name']}")  # noqa: S608
        text = "\n".join(
            value.hex() + value.decode("utf-8", "replace")
            if isinstance(value, bytes)
            else str(value)
            for each in rows
            for value in each.values()
        )
        assert [] == search(text.encode(), WANTED), row["table_name"]
