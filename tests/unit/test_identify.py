"""Certificate, bearer token and bundle together: who is the principal."""

import hashlib
import ssl
from dataclasses import dataclass, field

import pytest

from tests.support.bearer_tokens import PERSON, base64url, claims, issuers, token
from tests.support.certificates import SPIFFE_ID, certificate_pem
from tests.support.frozen_clock import NOW, FrozenClock
from vault.authn.identify import Identifier
from vault.authn.issuers import NO_ISSUERS
from vault.authn.mtls import PeerCertificates
from vault.errors import Reason, VaultError
from vault.model import Authentication, Principal, TenantId

SHOP = TenantId("demo-shop")
SERVICE = "vault.v1.TokenService"
PEM = certificate_pem(SPIFFE_ID)


@dataclass(frozen=True)
class Entry:
    tenant: TenantId = SHOP
    roles: tuple[str, ...] = ("support",)
    may_carry_people: bool = False


@dataclass
class Book:
    """A bundle's callers: an entry and permitted services for each id."""

    entries: dict[str, Entry] = field(default_factory=dict)
    permitted: set[tuple[str, str]] = field(default_factory=set)

    def add(self, principal_id, *services, **entry):
        self.entries[principal_id] = Entry(**entry)
        self.permitted |= {(principal_id, service) for service in services}
        return self

    def caller(self, principal_id):
        return self.entries.get(principal_id)

    def permits_service(self, principal_id, service):
        return (principal_id, service) in self.permitted


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def identify(clock):
    certificates = PeerCertificates(trust_domain="pdvault.example", clock=clock)
    identifier = Identifier(certificates=certificates, clock=clock)

    def call(book, *authorization, pem=PEM, trusted=None, service=SERVICE):
        return identifier.identify(
            pem,
            authorization,
            bundle=book,
            issuers=trusted or issuers(),
            service=service,
        )

    return call


@pytest.fixture
def carrying():
    """A service that may carry people, and a person; both permitted."""
    return (
        Book()
        .add(SPIFFE_ID, SERVICE, may_carry_people=True, roles=("desk",))
        .add(PERSON, SERVICE, roles=("custodian",))
    )


def reason(identify, *args, **options):
    with pytest.raises(VaultError) as caught:
        identify(*args, **options)
    return caught.value.reason


def test_service_with_tenant_and_roles_of_the_bundle(identify):
    book = Book().add(SPIFFE_ID, SERVICE, roles=("order", "shipping"))
    expected = Principal(SPIFFE_ID, Authentication.MTLS, SHOP, ("order", "shipping"))
    assert identify(book) == expected


def test_service_that_is_in_no_list(identify):
    assert reason(identify, Book()) == Reason.CALLER_UNKNOWN


def test_service_that_is_not_on_this_service_list(identify):
    book = Book().add(SPIFFE_ID, "vault.v1.AuditService")
    assert reason(identify, book) == Reason.SERVICE_NOT_PERMITTED


def test_list_without_entry_gives_nothing(identify):
    book = Book(permitted={(SPIFFE_ID, SERVICE)})
    assert reason(identify, book) == Reason.CALLER_UNKNOWN


def test_foreign_certificate_never_reaches_the_bundle(identify):
    foreign = "spiffe://other.example/shop/order"
    book = Book().add(foreign, SERVICE)
    assert reason(identify, book, pem=certificate_pem(foreign)) == Reason.CERTIFICATE_INVALID


def test_expired_certificate(identify, clock):
    book = Book().add(SPIFFE_ID, SERVICE)
    identify(book)
    clock.advance(3700)
    assert reason(identify, book) == Reason.CERTIFICATE_EXPIRED


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_person_is_the_principal(identify, carrying, scheme):
    expected = Principal(PERSON, Authentication.JWT, SHOP, ("custodian",))
    assert identify(carrying, f"{scheme} {token()}") == expected


def test_token_is_ignored_for_nobody(identify):
    """A service that may not carry people is refused; its token is not dropped in silence."""
    book = Book().add(SPIFFE_ID, SERVICE).add(PERSON, SERVICE)
    assert reason(identify, book, f"Bearer {token()}") == Reason.BEARER_INVALID


@pytest.mark.parametrize(
    "authorization",
    [
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer  x.y.z",),
        ("Bearer\tx.y.z",),
        (" Bearer x.y.z",),
        ("Bearer x.y.z ",),
        ("Bearer x.y.z\n",),
        ("Bearer x.y.z, Bearer x.y.z",),
        ("Basic YTpi",),
        ("DPoP x.y.z",),
        ("x.y.z",),
        ("B\u0435arer x.y.z",),
        (b"Bearer x.y.z",),
        ("Bearer x.y.z",),
    ],
)
def test_malformed_header_is_never_ignored(identify, carrying, authorization):
    assert reason(identify, carrying, *authorization) == Reason.BEARER_INVALID


def test_two_headers(identify, carrying):
    header = f"Bearer {token()}"
    assert reason(identify, carrying, header, header) == Reason.BEARER_INVALID


def test_expired_token(identify, carrying):
    header = f"Bearer {token(body=claims(iat=NOW - 900, exp=NOW - 100))}"
    assert reason(identify, carrying, header) == Reason.BEARER_EXPIRED


def test_no_issuers(identify, carrying):
    header = f"Bearer {token()}"
    assert reason(identify, carrying, header, trusted=NO_ISSUERS) == Reason.BEARER_INVALID


def test_unknown_person(identify):
    book = Book().add(SPIFFE_ID, SERVICE, may_carry_people=True)
    assert reason(identify, book, f"Bearer {token()}") == Reason.CALLER_UNKNOWN


def test_carrier_and_person_must_both_be_permitted(identify):
    header = f"Bearer {token()}"
    only_carrier = Book().add(SPIFFE_ID, SERVICE, may_carry_people=True).add(PERSON)
    only_person = Book().add(SPIFFE_ID, may_carry_people=True).add(PERSON, SERVICE)
    assert reason(identify, only_carrier, header) == Reason.SERVICE_NOT_PERMITTED
    assert reason(identify, only_person, header) == Reason.SERVICE_NOT_PERMITTED


def test_person_of_another_tenant_is_unknown_here(identify, carrying):
    carrying.add(PERSON, SERVICE, tenant=TenantId("other-shop"))
    assert reason(identify, carrying, f"Bearer {token()}") == Reason.CALLER_UNKNOWN


def test_token_that_is_bound_to_the_channel(identify, carrying):
    """Bound to the certificate of one connection, it is refused over another."""
    own = hashlib.sha256(ssl.PEM_cert_to_DER_cert(PEM.decode())).digest()
    header = f"Bearer {token(body=claims(cnf={'x5t#S256': base64url(own)}))}"
    assert identify(carrying, header).id == PERSON
    renewed = certificate_pem(SPIFFE_ID)
    assert reason(identify, carrying, header, pem=renewed) == Reason.BEARER_INVALID


def test_subject_cannot_pass_for_a_service(identify, carrying):
    header = f"Bearer {token(body=claims(sub=SPIFFE_ID))}"
    assert reason(identify, carrying, header) == Reason.BEARER_INVALID
