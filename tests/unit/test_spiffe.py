"""The rules of the SPIFFE ID standard, sections 2.1 to 2.4, as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.authn.spiffe import SpiffeId, SpiffeIdError, check_trust_domain, parse_spiffe_id


@pytest.mark.parametrize(
    ("text", "trust_domain", "path"),
    [
        ("spiffe://pdvault.example/shop/order", "pdvault.example", "/shop/order"),
        ("spiffe://example.org", "example.org", ""),
        ("spiffe://a/b", "a", "/b"),
        ("spiffe://a-b_c.9/A-Z_a.z/0", "a-b_c.9", "/A-Z_a.z/0"),
        ("spiffe://10.0.0.1/x", "10.0.0.1", "/x"),
        ("spiffe://td/...", "td", "/..."),
        ("spiffe://td/.hidden/a..b", "td", "/.hidden/a..b"),
        (f"spiffe://{'d' * 255}/x", "d" * 255, "/x"),
        ("spiffe://td/" + "p" * (2048 - 12), "td", "/" + "p" * (2048 - 12)),
    ],
)
def test_valid_id_parts_and_comes_back(text, trust_domain, path):
    spiffe_id = parse_spiffe_id(text)
    assert SpiffeId(trust_domain, path) == spiffe_id
    assert text == str(spiffe_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe:",
        "spiffe:/td/x",
        "spiffe://",
        "spiffe:///x",
        "SPIFFE://td/x",
        "Spiffe://td/x",
        " spiffe://td/x",
        "http://td/x",
        "https://td/x",
        "td/x",
        "spiffe://TD/x",
        "spiffe://td:443/x",
        "spiffe://user@td/x",
        "spiffe://user:pw@td/x",
        "spiffe://td%20/x",
        "spiffe://t d/x",
        "spiffe://td\n/x",
        "spiffe://[::1]/x",
        "spiffe://t\u0430d/x",  # a Cyrillic letter
        "spiffe://td\u0660/x",  # a digit that is not ASCII
        f"spiffe://{'d' * 256}/x",
        "spiffe://td/",
        "spiffe://td//x",
        "spiffe://td/x/",
        "spiffe://td/x//y",
        "spiffe://td/.",
        "spiffe://td/..",
        "spiffe://td/./x",
        "spiffe://td/x/../y",
        "spiffe://td/x/..",
        "spiffe://td/%2e%2e/x",
        "spiffe://td/x%2Fy",
        "spiffe://td/x?y=z",
        "spiffe://td?y",
        "spiffe://td/x#y",
        "spiffe://td#y",
        "spiffe://td/x y",
        "spiffe://td/x\x00",
        "spiffe://td/x\n",
        "spiffe://td/é",
        "spiffe://td/*",
        "spiffe://td/a:b",
        "spiffe://td/a\\b",
        "spiffe://td/\ud800",
        "spiffe://td/" + "p" * (2049 - 12),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(SpiffeIdError):
        parse_spiffe_id(text)


@given(st.text() | st.text(alphabet="spiffe:/td.-_%?#@A").map(lambda tail: "spiffe://" + tail))
def test_whatever_is_accepted_is_canonical(text):
    try:
        spiffe_id = parse_spiffe_id(text)
    except SpiffeIdError:
        return
    assert text == str(spiffe_id)
    assert spiffe_id == parse_spiffe_id(str(spiffe_id))


@pytest.mark.parametrize("name", ["", "A", "a/b", "a:1", "spiffe://a", "a" * 256, "a\n"])
def test_not_a_trust_domain(name):
    with pytest.raises(SpiffeIdError):
        check_trust_domain(name)


def test_error_text_holds_nothing_of_the_input():
    with pytest.raises(SpiffeIdError) as caught:
        parse_spiffe_id("spiffe://td/canary canary")
    assert "canary" not in str(caught.value)
