"""Sealing, binding and tokens under every change that an attacker can make to stored bytes."""

import copy
import hashlib
import hmac
import pickle
import uuid

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.crypto.aead import DecryptError, SubjectKey, new_data_key
from vault.crypto.binding import field_aad, index_key_context, key_context
from vault.crypto.envelope import (
    MAX_PLAINTEXT_BYTES,
    Envelope,
    read_envelope,
    write_envelope,
)
from vault.crypto.index_key import IndexChain, IndexKey
from vault.crypto.tokens import TokenForm, new_token, token_digest, token_form

DATA_KEY, KEY_SALT = bytes(range(32)), bytes(range(100, 132))
KEY = SubjectKey(DATA_KEY, KEY_SALT)
PLACE = {
    "tenant": "demo-shop",
    "subject_id": uuid.UUID(int=7),
    "field_type": "phone",
    "token": "phone_demo_x",
}
AAD = field_aad(**PLACE)

names = st.text(min_size=1, max_size=40)
places = st.fixed_dictionaries(
    {"tenant": names, "subject_id": st.uuids(), "field_type": names, "token": names}
)


@given(st.binary(max_size=300), places)
def test_what_is_sealed_opens(plaintext, place):
    assert plaintext == KEY.open(KEY.seal(plaintext, field_aad(**place)), field_aad(**place))


def test_longest_value_opens_and_a_longer_one_is_refused():
    longest = bytes(MAX_PLAINTEXT_BYTES)
    assert longest == KEY.open(KEY.seal(longest, AAD), AAD)
    with pytest.raises(ValueError):
        KEY.seal(longest + b"\0", AAD)


@given(places, places)
def test_two_places_have_the_same_associated_data_only_if_they_are_one(one, other):
    assert (one == other) == (field_aad(**one) == field_aad(**other))


def test_parts_cannot_lend_each_other_letters():
    one = field_aad(**PLACE | {"field_type": "ab", "token": "c"})
    assert one != field_aad(**PLACE | {"field_type": "a", "token": "bc"})


@given(st.lists(st.tuples(names, st.uuids(), st.integers(1, 2**31 - 1)), min_size=2, max_size=2))
def test_contexts_are_injective_and_of_their_own_kind(pair):
    made = [key_context(tenant=t, subject_id=s, key_version=v) for t, s, v in pair]
    assert (pair[0] == pair[1]) == (made[0] == made[1])
    index = [index_key_context(tenant=t, key_version=v) for t, _, v in pair]
    same = (pair[0][0], pair[0][2]) == (pair[1][0], pair[1][2])
    assert same == (index[0] == index[1])
    assert not {*made} & {*index}


@pytest.mark.parametrize("change", [{"tenant": ""}, {"token": ""}, {"token": "x" * 65_536}])
def test_a_part_that_is_empty_or_too_long_is_refused(change):
    with pytest.raises(ValueError):
        field_aad(**PLACE | change)


@pytest.mark.parametrize("key_version", [0, -1, 2**31])
def test_key_version_out_of_range_is_refused(key_version):
    with pytest.raises(ValueError):
        index_key_context(tenant="demo-shop", key_version=key_version)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "other-shop"},
        {"subject_id": uuid.UUID(int=8)},
        {"field_type": "email"},
        {"token": "phone_demo_y"},
    ],
)
def test_a_ciphertext_moved_elsewhere_does_not_open(change):
    envelope = KEY.seal(b"13800005678", AAD)
    with pytest.raises(DecryptError):
        KEY.open(envelope, field_aad(**PLACE | change))


def test_every_single_bit_flip_is_refused():
    envelope = KEY.seal(b"13800005678", AAD)
    for at in range(len(envelope) * 8):
        flipped = bytearray(envelope)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(DecryptError):
            KEY.open(bytes(flipped), AAD)


def test_every_truncation_and_every_addition_is_refused():
    envelope = KEY.seal(b"13800005678", AAD)
    for cut in range(len(envelope)):
        for part in (envelope[:cut], envelope[len(envelope) - cut :]):
            with pytest.raises(DecryptError):
                KEY.open(part, AAD)
    for more in (envelope + b"\0", b"\0" + envelope, envelope * 2, envelope + bytes(65_536)):
        with pytest.raises(DecryptError):
            KEY.open(more, AAD)


@given(st.binary(max_size=200))
def test_the_reader_accepts_only_what_the_writer_writes(data):
    for candidate in (data, b"\x01" + data):
        try:
            parts = read_envelope(candidate)
        except DecryptError:
            continue
        assert candidate == write_envelope(parts)


def failure(key, envelope, aad):
    with pytest.raises(DecryptError) as caught:
        key.open(envelope, aad)
    error = caught.value
    return (
        type(error),
        str(error),
        repr(error),
        error.args,
        error.__cause__,
        error.__suppress_context__,
    )


def test_every_cause_of_failure_looks_the_same():
    envelope = KEY.seal(b"13800005678", AAD)
    other = SubjectKey(bytes(32), KEY_SALT)
    parts = read_envelope(envelope)
    seen = {
        failure(other, envelope, AAD)[:4],
        failure(KEY, envelope, AAD + b"x")[:4],
        failure(KEY, envelope, b"")[:4],
        failure(KEY, envelope[:-1] + bytes((envelope[-1] ^ 1,)), AAD)[:4],
        failure(KEY, write_envelope(Envelope(bytes(32), parts.nonce, parts.sealed)), AAD)[:4],
        failure(KEY, b"", AAD)[:4],
        failure(KEY, b"\x02" + envelope[1:], AAD)[:4],
    }
    assert len(seen) == 1
    assert failure(KEY, envelope, AAD + b"x")[4:] == (None, True)


def test_ten_thousand_nonces_differ():
    nonces = {read_envelope(KEY.seal(b"same", AAD)).nonce for _ in range(10_000)}
    assert len(nonces) == 10_000


def test_associated_data_is_required():
    with pytest.raises(ValueError):
        KEY.seal(b"x", b"")


@pytest.mark.parametrize(
    ("data_key", "key_salt", "commitment"),
    [
        (bytes(32), KEY_SALT, KEY.commitment),
        (DATA_KEY, bytes(32), KEY.commitment),
        (DATA_KEY, KEY_SALT, bytes(32)),
        (DATA_KEY, KEY_SALT, KEY.commitment[:31]),
        (DATA_KEY, KEY_SALT, b""),
        (DATA_KEY[:16], KEY_SALT, KEY.commitment),
        (DATA_KEY, b"", KEY.commitment),
    ],
)
def test_a_key_that_its_row_does_not_commit_to_is_refused(data_key, key_salt, commitment):
    with pytest.raises(DecryptError):
        SubjectKey.check(data_key, key_salt=key_salt, commitment=commitment)


def test_the_right_key_passes_and_new_keys_differ():
    key = SubjectKey.check(DATA_KEY, key_salt=KEY_SALT, commitment=KEY.commitment)
    assert key.open(KEY.seal(b"x", AAD), AAD) == b"x"
    assert len({part for _ in range(100) for part in new_data_key()}) == 200


@pytest.mark.parametrize("key", [KEY, IndexKey(bytes(range(32)), version=3)])
def test_keys_show_nothing_and_cannot_be_copied(key):
    for hidden in (DATA_KEY, bytes(range(32))):
        assert hidden.hex() not in repr(key)
        assert repr(hidden)[2:-1] not in repr(key)
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            take(key)


# A ciphertext that plain AES-GCM opens under two keys ("invisible salamander").


def multiply(one, other):
    """In GF(2^128) with GCM's bit order (SP 800-38D, 6.3)."""
    product = 0
    for at in range(127, -1, -1):
        if one >> at & 1:
            product ^= other
        other = other >> 1 ^ (0xE1 << 120 if other & 1 else 0)
    return product


def invert(number):
    """The power 2^128 - 2 of a number, its inverse in a field of 2^128 elements."""
    result, power = 1 << 127, number
    for _ in range(127):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


def hash_key_and_mask(raw, nonce):
    """H = AES(0) and AES(nonce | 1), from what GCM's tags of known messages give away."""
    # Tag of (no message, no data) is the mask: GHASH of one all-zero length block is 0.
    mask = int.from_bytes(AESGCM(raw).encrypt(nonce, b"", None))
    # Of (no message, 16 zero bytes of data) it is the mask plus the length block times H.
    one = int.from_bytes(AESGCM(raw).encrypt(nonce, b"", bytes(16))) ^ mask
    lengths = 128 << 64
    return multiply(one, invert(lengths)), mask


def encryption_key(data_key, key_salt):
    prk = hmac.digest(key_salt, data_key, "sha512")
    return hmac.digest(prk, b"\x04\x78DERIVEKEY\x01", "sha512")[:32]


def two_key_ciphertext(raws, nonce, aad):
    """Ciphertext and tag of two blocks that open under both raw keys."""
    (h1, m1), (h2, m2) = (hash_key_and_mask(raw, nonce) for raw in raws)
    padded = aad + bytes(-len(aad) % 16)
    first = int.from_bytes(b"attack at dawn!!")
    blocks = [int.from_bytes(padded[at : at + 16]) for at in range(0, len(padded), 16)]
    lengths = (len(aad) * 8) << 64 | 256

    def ghash(h, last):
        y = 0
        for block in [*blocks, first, last, lengths]:
            y = multiply(y ^ block, h)
        return y

    # GHASH is linear in the last block: it enters times H^2.
    squares = multiply(h1, h1) ^ multiply(h2, h2)
    last = multiply(ghash(h1, 0) ^ m1 ^ ghash(h2, 0) ^ m2, invert(squares))
    tag = ghash(h1, last) ^ m1
    return b"".join(part.to_bytes(16) for part in (first, last, tag))


def test_a_two_key_ciphertext_never_opens_under_both():
    data_keys = (DATA_KEY, bytes(32))
    raws = [encryption_key(data_key, KEY_SALT) for data_key in data_keys]
    keys = [SubjectKey(data_key, KEY_SALT) for data_key in data_keys]
    nonce = bytes(range(12))
    sealed = two_key_ciphertext(raws, nonce, AAD)
    for raw in raws:  # plain AES-GCM is fooled
        assert len(AESGCM(raw).decrypt(nonce, sealed, AAD)) == 32
    for commitment in (keys[0].commitment, keys[1].commitment, bytes(32)):
        envelope = write_envelope(Envelope(commitment, nonce, sealed))
        for key in keys:
            if key.commitment == commitment:
                key.open(envelope, AAD)
            else:
                with pytest.raises(DecryptError):
                    key.open(envelope, AAD)


# Tokens


prefixes = st.from_regex(r"[a-z]{2,8}", fullmatch=True)
environments = st.from_regex(r"[a-z][a-z0-9]{1,7}", fullmatch=True)


@given(prefixes, environments, st.binary(min_size=16, max_size=16))
def test_new_tokens_are_good_short_and_url_safe(prefix, environment, random):
    token = new_token(prefix, environment, random=lambda _: random)
    assert token_form(token) is TokenForm.GOOD
    assert token_form(token, environment) is TokenForm.GOOD
    assert token_form(token, environment + "x") is TokenForm.BAD_GRAMMAR
    assert len(token) <= 51
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


@settings(max_examples=300)
@given(st.data())
def test_a_changed_character_never_leaves_a_good_token(data):
    token = new_token("phone", "demo")
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.characters().filter(lambda char: char != token[at]))
    assert token_form(token[:at] + char + token[at + 1 :], "demo") is not TokenForm.GOOD


def test_a_slip_in_the_body_is_told_from_bad_grammar():
    token = new_token("phone", "demo", random=lambda _: bytes(16))
    assert token_form(token[:12] + "1" + token[13:]) is TokenForm.BAD_CHECK


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token[:-1],
        lambda token: token + "0",
        lambda token: token.replace("_", "-"),
        lambda token: token.replace("phone", "phone_x"),
        lambda token: token.replace("demo", "1emo"),
        lambda token: token.replace("phone", "ｐhone"),
        lambda token: token[:11] + "8" + token[12:],  # one of the two zero bits set
        lambda token: token[:-7] + "4" + token[-6:],  # one of the three
        lambda token: token * 1000,
        lambda _: "",
        lambda _: "\0",
    ],
)
def test_only_the_one_spelling_is_a_token(change):
    token = new_token("phone", "demo")
    assert token_form(change(token)) is TokenForm.BAD_GRAMMAR


@pytest.mark.parametrize(
    ("prefix", "environment"),
    [("p", "demo"), ("Phone", "demo"), ("phone", "d"), ("phone", "1demo"), ("phone\n", "demo")],
)
def test_prefix_and_environment_that_do_not_fit_are_refused(prefix, environment):
    with pytest.raises(ValueError):
        new_token(prefix, environment)


def test_token_digest_has_its_own_domain():
    token = new_token("phone", "demo")
    assert token_digest(token) != hashlib.sha256(token.encode()).digest()


# Index keys


@given(names, names, names, names)
def test_digests_tell_caller_and_key_apart(caller, key, other_caller, other_key):
    index = IndexChain([IndexKey(bytes(range(32)), version=1)], [1])
    same = (caller, key) == (other_caller, other_key)
    one = index.idempotency(caller, key)
    assert same == (one == index.idempotency(other_caller, other_key))


def test_digests_of_kinds_keys_and_tenants_have_nothing_in_common():
    digests = set()
    for secret in (bytes(32), bytes(31) + b"\1"):
        keys = [IndexKey(secret, version=1), IndexKey(secret, version=2)]
        chain = IndexChain(keys, [1, 2])
        digests |= {
            *chain.subject_ref("42"),
            *chain.case_ref("42", ""),
            *chain.request(b"42"),
            *chain.idempotency("42", ""),
            keys[0].commitment,
        }
    assert len(digests) == 2 * (4 * 2 + 1)


@pytest.mark.parametrize(
    ("versions", "live"),
    [([], []), ([1], []), ([2], [2]), ([1, 3], [1]), ([1, 2], [3]), ([1, 2], [2, 1])],
)
def test_a_chain_with_a_link_missing_is_refused(versions, live):
    keys = [IndexKey(bytes(range(32)), version=version) for version in versions]
    with pytest.raises(ValueError):
        IndexChain(keys, live)


def test_what_lives_under_the_newest_version_is_found_while_both_are_live():
    keys = [IndexKey(bytes([n]) * 32, version=n) for n in (1, 2, 3)]
    old, both, new = (IndexChain(keys, live) for live in ([2], [2, 3], [3]))
    assert both.subject_ref("42") == (*old.subject_ref("42"), *new.subject_ref("42"))


def test_an_index_key_that_its_row_does_not_commit_to_is_refused():
    index = IndexKey(bytes(range(32)), version=2)
    assert IndexKey.check(bytes(range(32)), version=2, commitment=index.commitment).version == 2
    for secret in (bytes(32), b""):
        with pytest.raises(DecryptError):
            IndexKey.check(secret, version=2, commitment=index.commitment)
