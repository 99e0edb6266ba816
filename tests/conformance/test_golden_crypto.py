"""The byte formats of docs/formats.md, against bytes made without the product's code."""

import json
import uuid
from pathlib import Path

from vault.crypto.aead import SubjectKey
from vault.crypto.binding import field_aad, index_key_context, key_context
from vault.crypto.envelope import read_envelope, write_envelope
from vault.crypto.index_key import DigestKind, IndexChain, IndexKey
from vault.crypto.tokens import TokenForm, new_token, token_digest, token_form

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "vectors" / "crypto.json").read_text(encoding="utf-8")
)


def golden_key():
    golden = GOLDEN["key_commitment"]
    return SubjectKey(bytes.fromhex(golden["data_key"]), bytes.fromhex(golden["key_salt"]))


def test_golden_file_is_what_its_script_makes():
    from tests.vectors.make_crypto import make  # noqa: PLC0415

    assert make() == GOLDEN


def test_key_commitment():
    assert golden_key().commitment.hex() == GOLDEN["key_commitment"]["commitment"]


def test_field_aad():
    golden = GOLDEN["field_aad"]
    aad = field_aad(
        tenant=golden["tenant"],
        subject_id=uuid.UUID(golden["subject_id"]),
        field_type=golden["field_type"],
        token=golden["token"],
    )
    assert aad.hex() == golden["aad"]


def test_envelopes_open_and_are_written_alike():
    aad = bytes.fromhex(GOLDEN["field_aad"]["aad"])
    for golden in GOLDEN["envelopes"]:
        envelope = bytes.fromhex(golden["envelope"])
        assert golden_key().open(envelope, aad).decode() == golden["plaintext"]
        assert write_envelope(read_envelope(envelope)) == envelope
        assert read_envelope(envelope).nonce.hex() == golden["nonce"]


def test_transit_contexts():
    golden = GOLDEN["contexts"]
    tenant, key_version = golden["tenant"], golden["key_version"]
    subject_id = uuid.UUID(golden["subject_id"])
    context = key_context(tenant=tenant, subject_id=subject_id, key_version=key_version)
    assert context.hex() == golden["key_context"]
    context = index_key_context(tenant=tenant, key_version=key_version)
    assert context.hex() == golden["index_key_context"]


def test_tokens():
    for golden in GOLDEN["tokens"]:
        random = bytes.fromhex(golden["random"])
        token = new_token(golden["prefix"], golden["environment"], random=lambda _, r=random: r)
        assert token == golden["token"]
        assert token_form(token, golden["environment"]) is TokenForm.GOOD
        assert token_digest(token).hex() == golden["digest"]


def test_index_key_digests():
    golden = GOLDEN["index_key"]
    key = IndexKey(bytes.fromhex(golden["secret"]), version=1)
    assert key.commitment.hex() == golden["commitment"]
    chain = IndexChain([key], [1])
    assert chain_digests(chain, golden) == {
        "subject-ref": (golden["subject_ref"]["digest"],),
        "case-ref": (golden["case_ref"]["digest"],),
        "idempotency": (golden["idempotency"]["digest"],),
        "request": (golden["request"]["digest"],),
    }


def test_index_key_layers():
    """Under the second version, from the first one's digest alone or from the thing itself."""
    golden = GOLDEN["index_key"]
    first = IndexKey(bytes.fromhex(golden["secret"]), version=1)
    second = IndexKey(bytes.fromhex(golden["second_secret"]), version=2)
    both = chain_digests(IndexChain([first, second], [1, 2]), golden)
    assert {kind: digests[1] for kind, digests in both.items()} == golden["second_digests"]
    newest = chain_digests(IndexChain([first, second], [2]), golden)
    assert newest == {kind: (digest,) for kind, digest in golden["second_digests"].items()}
    for kind, (before, after) in both.items():
        assert second.layer(DigestKind(kind), bytes.fromhex(before)).hex() == after


def chain_digests(chain, golden):
    idempotency = golden["idempotency"]
    found = {
        "subject-ref": chain.subject_ref(golden["subject_ref"]["ref"]),
        "case-ref": chain.case_ref(golden["case_ref"]["kind"], golden["case_ref"]["id"]),
        "idempotency": chain.idempotency(idempotency["caller"], idempotency["key"]),
        "request": chain.request(bytes.fromhex(golden["request"]["bytes"])),
    }
    return {kind: tuple(digest.hex() for digest in digests) for kind, digests in found.items()}
