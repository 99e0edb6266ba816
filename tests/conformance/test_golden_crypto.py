"""The byte formats of docs/formats.md, against bytes made without the product's code."""

import json
import uuid
from pathlib import Path

from vault.crypto.aead import SubjectKey
from vault.crypto.binding import field_aad, index_key_context, key_context
from vault.crypto.envelope import read_envelope, write_envelope
from vault.crypto.index_key import IndexKey
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
    ref = golden["subject_ref"]
    assert key.subject_ref_digest(ref["ref"]).hex() == ref["digest"]
    idempotency = golden["idempotency"]
    digest = key.idempotency_digest(idempotency["caller"], idempotency["key"])
    assert digest.hex() == idempotency["digest"]
    request = golden["request"]
    assert key.request_digest(bytes.fromhex(request["bytes"])).hex() == request["digest"]
