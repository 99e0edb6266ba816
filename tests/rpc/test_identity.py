"""Who gets past TLS, who past identification, and what the log says of the others."""

import datetime as dt
import hashlib
import hmac
import json
import time
from collections.abc import Sequence

import grpc
import pytest

from tests.support import bearer_tokens, calls
from tests.support.bearer_tokens import claims, header
from tests.support.calls import RPCS, Answer
from tests.support.rpc_cases import Seeds, seed
from tests.support.service import VaultService, client_leaf, spiffe_id
from tests.support.service_bundle import BRIEF, person
from vault.audit.entry import Entry
from vault.embedded.certificates import SERVER, Issued, issue, make_authority
from vault.model import Authentication, Verdict

_NOW = dt.datetime.now(dt.UTC)
_HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def seeds(service: VaultService) -> Seeds:
    return seed(service)


def _call(
    service: VaultService, issued: Issued | None, token: str
) -> tuple[Answer, Sequence[Entry]]:
    request = {"purpose": "delivery", "items": [{"token": token}]}
    data = calls.message("Detokenize", request)
    with service.recording() as entries, service.open_channel(issued) as channel:
        answer = calls.call(channel, RPCS["Detokenize"].path, data, timeout=5)
    return answer, entries


def _foreign() -> Issued:
    authority = make_authority(
        "pdvault.example", not_before=_NOW - _HOUR, not_after=_NOW + 24 * _HOUR
    )
    return issue(client_leaf(spiffe_id("shipping")), authority)


@pytest.mark.parametrize(
    "kind", ["none", "foreign authority", "self-signed", "expired", "not yet valid", "a server's"]
)
def test_refused_in_tls(service: VaultService, seeds: Seeds, kind: str) -> None:
    """No call comes about, so there is nothing to record."""
    uri = spiffe_id("shipping")
    issued = {
        "none": lambda: None,
        "foreign authority": _foreign,
        "self-signed": lambda: issue(client_leaf(uri), None),
        "expired": lambda: service.certificate(
            uri, not_before=_NOW - 2 * _HOUR, not_after=_NOW - _HOUR
        ),
        "not yet valid": lambda: service.certificate(
            uri, not_before=_NOW + _HOUR, not_after=_NOW + 2 * _HOUR
        ),
        "a server's": lambda: service.certificate(uri, usages=(SERVER,)),
    }[kind]()
    answer, entries = _call(service, issued, seeds.tokens["demo"]["phone"])
    assert ("UNAVAILABLE", "") == (answer.code, answer.reason)
    assert [] == entries


def test_plain_text_is_refused(service: VaultService) -> None:
    with grpc.insecure_channel(service.address) as channel:
        answer = calls.call(channel, RPCS["GetBundle"].path, b"", timeout=3)
    assert "UNAVAILABLE" == answer.code


@pytest.mark.parametrize(
    "bend",
    [
        {"uris": (spiffe_id("shipping"), spiffe_id("order"))},
        {"uris": (spiffe_id("shipping"), "https://pdvault.example/")},
        {"uris": (), "dns_names": ("shipping.pdvault.example",)},
        {"uris": ()},
        {"uris": ("spiffe://evil.example/shop/shipping",)},
        {"uris": ("spiffe://PDVAULT.example/shop/shipping",)},
        {"uris": ("spiffe://pdvault.example/shop//shipping",)},
        {"uris": ("spiffe://pdvault.example/shop/../shop/shipping",)},
        {"uris": ("spiffe://pdvault.example/shop/shipping/",)},
        {"uris": ("spiffe://pdvault.example/shop/shipping?a=b",)},
        {"uris": ("spiffe://pdvault.example/shop/%73hipping",)},
        {"uris": ("spiffe://pdvault.example",)},
        {"uris": ("https://pdvault.example/shop/shipping",)},
        {"key_usage": False},
    ],
    ids=lambda bend: " ".join(str(part) for part in bend.values()),
)
def test_certificates_that_are_no_svid(
    service: VaultService, seeds: Seeds, bend: dict[str, object]
) -> None:
    issued = service.certificate(spiffe_id("shipping"), **bend)
    answer, entries = _call(service, issued, seeds.tokens["demo"]["phone"])
    assert ("UNAUTHENTICATED", "CERTIFICATE_INVALID") == (answer.code, answer.reason)
    (entry,) = entries
    assert (Authentication.NONE, "", "") == (entry.authentication, entry.caller, entry.tenant)
    assert (Verdict.REFUSED, "CERTIFICATE_INVALID") == (entry.verdict, entry.reason.name)


def test_an_authority_as_a_client(service: VaultService, seeds: Seeds) -> None:
    issued = service.certificate(spiffe_id("shipping"), is_authority=True)
    answer, entries = _call(service, issued, seeds.tokens["demo"]["phone"])
    assert answer.code in ("UNAUTHENTICATED", "UNAVAILABLE")
    if answer.code == "UNAUTHENTICATED":
        assert "CERTIFICATE_INVALID" == answer.reason
        assert 1 == len(entries)


def test_other_names_beside_the_one_uri_are_allowed(service: VaultService, seeds: Seeds) -> None:
    """X509-SVID, section 2: exactly one URI, any number of DNS names."""
    issued = service.certificate(spiffe_id("shipping"), dns_names=("a.example", "b.example"))
    answer, _ = _call(service, issued, seeds.tokens["demo"]["phone"])
    assert "OK" == answer.code


def test_a_caller_in_no_list_is_named_in_the_log(service: VaultService, seeds: Seeds) -> None:
    uri = "spiffe://pdvault.example/shop/Shipping"  # ids are told apart by case
    answer, entries = _call(service, service.certificate(uri), seeds.tokens["demo"]["phone"])
    assert ("PERMISSION_DENIED", "CALLER_UNKNOWN") == (answer.code, answer.reason)
    (entry,) = entries
    assert (uri, Authentication.MTLS, ()) == (entry.caller, entry.authentication, entry.roles)


def test_a_certificate_that_ends_while_the_connection_is_open(service: VaultService) -> None:
    end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
    issued = service.certificate(BRIEF, not_after=end)
    data = calls.message("Detokenize", {"purpose": "refund", "items": []})
    with service.open_channel(issued) as channel:
        first = calls.call(channel, RPCS["Detokenize"].path, data)
        assert "FIELD_MISSING" == first.reason
        time.sleep(max(0.0, (end - dt.datetime.now(dt.UTC)).total_seconds()) + 1.1)
        with service.recording() as entries:
            late = calls.call(channel, RPCS["Detokenize"].path, data)
    assert ("UNAUTHENTICATED", "CERTIFICATE_EXPIRED") == (late.code, late.reason)
    assert ["CERTIFICATE_EXPIRED"] == [entry.reason.name for entry in entries]


# --- People ---------------------------------------------------------------------------------


def _now_claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    return claims(**({"iat": now - 5, "exp": now + 300} | changes))


def _bearer(**changes: object) -> str:
    return f"Bearer {bearer_tokens.token(body=_now_claims(**changes))}"


def _as_person(
    service: VaultService, authorization: object, token: str, *, caller: str = "console"
) -> tuple[Answer, Sequence[Entry]]:
    request = {"purpose": "after_sales", "items": [{"token": token}]}
    values = authorization if isinstance(authorization, list) else [authorization]
    metadata = [("authorization", value) for value in values]
    with service.recording() as entries:
        answer = service.call("Detokenize", request, caller=caller, metadata=metadata)
    return answer, entries


def test_a_person_sees_what_the_persons_role_may(service: VaultService, seeds: Seeds) -> None:
    answer, (entry,) = _as_person(service, _bearer(), seeds.tokens["demo"]["phone"])
    (item,) = answer.read("Detokenize").items
    assert "138****5678" == item.value
    assert (person("alice"), Authentication.JWT) == (entry.caller, entry.authentication)
    assert ("support",) == entry.roles
    assert "demo-shop" == entry.tenant


def test_sensitive_values_go_whole_to_services_only(service: VaultService, seeds: Seeds) -> None:
    request = {
        "purpose": "refund",
        "items": [{"token": seeds.tokens["demo"]["bank_card"], "view": "VIEW_FULL"}],
    }
    metadata = [("authorization", _bearer(sub="bob"))]
    answer = service.call("Detokenize", request, caller="console", metadata=metadata)
    (item,) = answer.read("Detokenize").items
    assert (2, 41, "") == (item.verdict, item.reason, item.value)  # REFUSED, POLICY_FORBIDDEN
    assert "OK" == service.call("Detokenize", request, caller="order").code


def _unsigned(alg: str) -> str:
    return bearer_tokens.token(header(alg=alg), _now_claims(), sign=lambda _: b"")


def _hmac_with_the_public_key() -> str:
    public = json.dumps(bearer_tokens.jwk(bearer_tokens.staff_key(), kid="k1")).encode()
    return bearer_tokens.token(
        header(alg="HS256"),
        _now_claims(),
        sign=lambda data: hmac.digest(public, data, hashlib.sha256),
    )


def _with_header(**changes: object) -> str:
    return f"Bearer {bearer_tokens.token(header(**changes), _now_claims())}"


_BAD_BEARERS = {
    "alg none": lambda: f"Bearer {_unsigned('none')}",
    "alg None": lambda: f"Bearer {_unsigned('None')}",
    "no signature": lambda: f"Bearer {_unsigned('ES256')}",
    "the public key as a secret": lambda: f"Bearer {_hmac_with_the_public_key()}",
    "another audience": lambda: _bearer(aud="somebody-else"),
    "another issuer": lambda: _bearer(iss="https://evil.example/"),
    "no audience": lambda: _bearer(aud=None),
    "no expiry": lambda: _bearer(exp=None),
    "a life of a day": lambda: _bearer(exp=int(time.time()) + 86_400),
    "another confirmation": lambda: _bearer(cnf={"x5t#S256": "AAAA"}),
    "an unknown key id": lambda: _with_header(kid="k2"),
    "a key to be fetched": lambda: _with_header(jku="https://evil.example/"),
    "no scheme": lambda: _bearer().removeprefix("Bearer "),
    "another scheme": lambda: "Basic YWxpY2U6cGFzc3dvcmQ=",
    "two headers": lambda: [_bearer(), _bearer()],
    "two tokens": lambda: f"{_bearer()}, {_bearer()}",
    "nothing": lambda: "",
    "blank": lambda: "Bearer ",
    "a changed payload": lambda: ".".join(
        (
            _bearer().split(".")[0],
            bearer_tokens.base64url(json.dumps(_now_claims(sub="bob")).encode()),
            _bearer().split(".")[2],
        )
    ),
    "20 kB": lambda: f"Bearer {'A' * 9000}.{'A' * 3000}.AAAA",
}


@pytest.mark.parametrize("name", _BAD_BEARERS)
def test_bad_bearers(service: VaultService, seeds: Seeds, name: str) -> None:
    """The log names the service that carried it, and nothing of the token."""
    answer, (entry,) = _as_person(service, _BAD_BEARERS[name](), seeds.tokens["demo"]["phone"])
    assert ("UNAUTHENTICATED", "BEARER_INVALID") == (answer.code, answer.reason)
    assert spiffe_id("console") == entry.caller
    assert Authentication.MTLS == entry.authentication
    assert Verdict.REFUSED == entry.verdict


@pytest.mark.parametrize("times", [(-600, -60), (120, 240)], ids=["expired", "early"])
def test_bearers_out_of_their_time(
    service: VaultService, seeds: Seeds, times: tuple[int, int]
) -> None:
    now = int(time.time())
    bearer = _bearer(iat=now + times[0], exp=now + times[1])
    answer, (entry,) = _as_person(service, bearer, seeds.tokens["demo"]["phone"])
    assert ("UNAUTHENTICATED", "BEARER_EXPIRED") == (answer.code, answer.reason)
    assert "BEARER_EXPIRED" == entry.reason.name


@pytest.mark.parametrize(
    ("caller", "sub", "expected"),
    [
        ("shipping", "alice", "BEARER_INVALID"),  # may not carry people
        ("console", "mallory", "CALLER_UNKNOWN"),
        ("console", "carol", "SERVICE_NOT_PERMITTED"),  # listed, but not for this service
        ("other-console", "alice", "CALLER_UNKNOWN"),  # of another tenant than the console
    ],
)
def test_people_over_the_wrong_service(
    service: VaultService, seeds: Seeds, caller: str, sub: str, expected: str
) -> None:
    token = seeds.tokens["demo"]["phone"]
    answer, entries = _as_person(service, _bearer(sub=sub), token, caller=caller)
    assert expected == answer.reason
    assert answer.code in ("UNAUTHENTICATED", "PERMISSION_DENIED")
    assert [expected] == [entry.reason.name for entry in entries]


def test_a_console_alone_has_no_rights(service: VaultService, seeds: Seeds) -> None:
    request = {"purpose": "after_sales", "items": [{"token": seeds.tokens["demo"]["phone"]}]}
    answer = service.call("Detokenize", request, caller="console")
    (item,) = answer.read("Detokenize").items
    assert (2, 43) == (item.verdict, item.reason)  # REFUSED, PURPOSE_NOT_PERMITTED
