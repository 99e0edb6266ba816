"""The exposure report from a running vault and from its verified export say the same."""

import json
import time

import pytest

from tests.support.pdvault_up import run, up

VALUES = {"person_name": "张伟", "phone": "13812345678", "bank_card": "4111111111111111"}
SHIPPING = "spiffe://pdvault.example/shop/shipping"


@pytest.fixture(scope="module")
def leak(tmp_path_factory):
    """Shipping sees two fields of two consumers and is refused a third; support sees two."""
    with up(tmp_path_factory.mktemp("leak") / "state") as started:
        with started.client("order") as order, started.client("shipping") as shipping:
            tokens = [
                order.tokenize([(ref, VALUES)]).subjects[0].tokens for ref in ("m-1", "m-2", "m-3")
            ]
            for each in tokens[:2]:
                shipping.detokenize("delivery", each.values())
        with started.client("support") as support:
            support.detokenize("after_sales", tokens[2].values())
        with started.client("auditor") as auditor:
            newest = next(auditor.list_entries(page_size=1)).entry_id
            deadline = time.monotonic() + 20
            while not auditor.prove_inclusion([newest]).proofs[0].is_included:
                assert time.monotonic() < deadline, "nothing was published"
                time.sleep(0.1)
        yield started, tokens


def _done(*argv):
    done = run(*argv)
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.fixture
def auditor(leak):
    facts = leak[0].facts
    return "--address", facts["address"], "--client", f"{facts['certs']}/auditor"


def test_service_and_export_agree(leak, auditor, tmp_path):
    export = str(tmp_path / "log.jsonl")
    key = ("--key", leak[0].facts["audit_key"])
    _done("audit", "export", export, *auditor, *key)
    html = tmp_path / "report.html"
    asked = ("audit", "exposure", "--caller", SHIPPING, "--json")
    live = json.loads(_done(*asked, *auditor, "--html", str(html)))
    kept = json.loads(_done(*asked, "--export", export, *key))
    assert (4, 2, 4) == tuple(live["revealed"][part] for part in ("items", "consumers", "data"))
    (refused,) = live["refused"]["items"]
    assert ("bank_card", "FIELD_NOT_IN_PURPOSE", 2) == (
        refused["field_type"],
        refused["reason"],
        refused["items"],
    )
    for part in ("revealed", "by_view", "by_field", "by_purpose", "refused", "consumers"):
        assert live[part] == kept[part]
    for text in (html.read_text(), json.dumps(live)):
        assert not any(value in text for value in VALUES.values())


def test_a_token_list_finds_every_caller(leak, auditor, tmp_path):
    path = tmp_path / "tokens"
    path.write_text("".join(f"{each['phone']}\n" for each in leak[1]))
    found = json.loads(_done("audit", "exposure", "--tokens", str(path), *auditor, "--json"))
    assert (3, 3, 3) == tuple(
        found["revealed"][part] for part in ("items", "consumers", "listed_tokens")
    )
    assert {"full": 2, "masked": 1} == {each["view"]: each["items"] for each in found["by_view"]}
    assert 2 == len(found["by_caller"])


def test_no_span_of_a_call_is_missing(leak, auditor):
    started, _ = leak
    with started.client("auditor") as client:
        entry = next(client.list_entries(caller=SHIPPING))
    deadline = time.monotonic() + 10
    while True:
        done = run("audit", "show", entry.trace_id, *auditor, "--spans", started.facts["spans"])
        if "where the time went" in done.stdout and "missing" not in done.stderr:
            break
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)
    assert "postgres.load" in done.stdout
