"""Callers: which identities exist, with tenant and roles, and which service takes whom.

Read from `callers.yaml`. Proving an identity is left to authentication.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vault.model import TenantId
from vault.policy.document import Document
from vault.policy.faults import Faults, quoted
from vault.policy.reader import NAME, SENTENCE, TENANT, Reader

SERVICES = (
    "vault.v1.TokenService",
    "vault.v1.AuditService",
    "vault.v1.PolicyService",
    "vault.v1.KeyService",
    "vault.v1.SubjectService",
)
PERSON_PREFIX = "person:"
MAX_ID_BYTES = 2048
"""SPIFFE-ID section 2.3: implementations must support ids of up to 2,048 bytes."""

# SPIFFE-ID sections 2.1 and 2.2: lower-case trust domain, no empty or dot segments, no
# trailing slash, no percent-encoding, no query, no fragment.
_SPIFFE = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._-]+)+",
)
_PERSON = re.compile(r"person:[!-\"$-~]{1,512}#[!-~]{1,512}")
_ID = re.compile(f"(?:{_SPIFFE.pattern})|(?:{_PERSON.pattern})")


@dataclass(frozen=True, slots=True)
class CallerEntry:
    """What the bundle says about one identity.

    Attributes:
        id: `spiffe://DOMAIN/PATH` or `person:ISSUER#SUBJECT`.
        tenant: whose data it may ask for.
        roles: sorted, without duplicates.
        may_carry_people: a console that may pass on a person's bearer token.
    """

    id: str
    tenant: TenantId
    roles: tuple[str, ...]
    may_carry_people: bool

    @property
    def is_person(self) -> bool:
        return self.id.startswith(PERSON_PREFIX)


@dataclass(frozen=True, slots=True)
class Directory:
    """All of `callers.yaml`.

    Attributes:
        tenants: sorted.
        roles: name -> description.
        callers: id -> entry.
        services: gRPC service -> the ids that it takes.
    """

    tenants: tuple[str, ...]
    roles: Mapping[str, str]
    callers: Mapping[str, CallerEntry]
    services: Mapping[str, frozenset[str]]


def read_callers(document: Document, faults: Faults) -> Directory:
    """Reads `callers.yaml` and checks that the names in it exist."""
    reader = Reader(document, faults)
    reader.keys((), ("tenants", "roles", "callers", "services"))
    tenants = reader.texts(("tenants",), TENANT, "tenant name")
    roles = {
        name: reader.text(("roles", name), SENTENCE, "sentence")
        for name in reader.names(("roles",), NAME, "role name")
    }
    callers = {}
    for principal_id in reader.names(("callers",), _ID, "SPIFFE id or person id"):
        entry = _read_caller(reader, principal_id)
        callers[principal_id] = entry
        here = ("callers", principal_id)
        if entry.tenant and entry.tenant not in tenants:
            reader.fault((*here, "tenant"), f"no tenant {quoted(entry.tenant)}")
        for role in entry.roles:
            if role not in roles:
                reader.fault((*here, "roles"), f"no role {quoted(role)}")
    return Directory(tenants, roles, callers, _read_services(reader, callers))


def _read_caller(reader: Reader, principal_id: str) -> CallerEntry:
    here = ("callers", principal_id)
    reader.keys(here, ("tenant", "roles"), ("may_carry_people",))
    entry = CallerEntry(
        id=principal_id,
        tenant=TenantId(reader.text((*here, "tenant"), TENANT, "tenant name")),
        roles=reader.texts((*here, "roles"), NAME, "role name"),
        may_carry_people=reader.flag((*here, "may_carry_people")),
    )
    if len(principal_id.encode()) > MAX_ID_BYTES:
        reader.fault(here, f"an id has at most {MAX_ID_BYTES} bytes")
    if entry.is_person and entry.may_carry_people:
        reader.fault((*here, "may_carry_people"), "a person can't carry people")
    return entry


def _read_services(reader: Reader, callers: Mapping[str, CallerEntry]) -> dict[str, frozenset[str]]:
    services = {}
    service_name = re.compile("|".join(map(re.escape, SERVICES)))
    for service in reader.names(("services",), service_name, "service: " + ", ".join(SERVICES)):
        ids = reader.texts(("services", service), _ID, "SPIFFE id or person id")
        for principal_id in ids:
            if principal_id not in callers:
                reader.fault(("services", service), f"no caller {quoted(principal_id)}")
        services[service] = frozenset(ids)
    return services
