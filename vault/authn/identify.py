"""Who calls, and may it use this service at all.

Guarantees that a `Principal` is an authenticated caller of the bundle, permitted
for the service that it calls; a missing entry anywhere is a refusal. What it may
do there is for policy.
"""

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from vault.authn.issuers import Issuers
from vault.authn.jwt import verify_bearer
from vault.authn.mtls import PeerCertificates
from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.model import Authentication, Principal, TenantId

# RFC 6750, section 2.1, with the scheme in any case (RFC 9110, section 11.1).
_BEARER = re.compile(r"(?i:bearer) ([A-Za-z0-9._~+/=-]+)", re.ASCII)


class CallerEntry(Protocol):
    """What the bundle knows of one caller."""

    @property
    def tenant(self) -> TenantId: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def may_carry_people(self) -> bool: ...


class Callers(Protocol):
    """The part of a policy bundle that says who may call what."""

    def caller(self, principal_id: str) -> CallerEntry | None:
        """The entry of a service or person, or None."""
        ...

    def permits_service(self, principal_id: str, service: str) -> bool:
        """True if the caller is on the gRPC service's list."""
        ...


class Identifier:
    """Turns what came with a call into its `Principal`."""

    def __init__(self, *, certificates: PeerCertificates, clock: Clock) -> None:
        self._certificates = certificates
        self._clock = clock

    def identify(
        self,
        pem: bytes,
        authorization: Sequence[str | bytes],
        *,
        bundle: Callers,
        issuers: Issuers,
        service: str,
        meet: Callable[[Principal], None] = lambda _: None,
    ) -> Principal:
        """Authenticate one call.

        With a bearer token the person is the principal, and the service that carries it must
        itself be permitted: neither lends the other a right.

        Args:
            pem: the peer certificate that TLS verified.
            authorization: every value of the `authorization` metadata key, often none.
            bundle: the bundle that the whole call is decided by.
            issuers: of the same bundle.
            service: full name of the gRPC service, such as `vault.v1.TokenService`.
            meet: told of each identity as soon as it is proved, whether or not it may call: first
                the service, then the person. A refusal's entry names whom it was told of last.

        Raises:
            VaultError: CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CALLER_UNKNOWN,
                SERVICE_NOT_PERMITTED, BEARER_INVALID or BEARER_EXPIRED.
        """
        # 1. The service at the other end of the channel.
        certificate = self._certificates.identify(pem)
        carrier_id = certificate.principal_id
        proved = _proved(bundle, carrier_id, Authentication.MTLS, TenantId(""))
        meet(proved)
        carrier = _known(bundle, carrier_id, service)
        if not authorization:
            return proved
        # 2. The person for whom it calls. A header that can't be used is never ignored.
        if not carrier.may_carry_people:
            raise VaultError(Reason.BEARER_INVALID, "this service may not call on behalf of people")
        person_id = verify_bearer(
            _token(authorization),
            issuers=issuers,
            now_ns=self._clock.unix_ns(),
            certificate_sha256=certificate.sha256,
        )
        meet(_proved(bundle, person_id, Authentication.JWT, carrier.tenant))
        person = _known(bundle, person_id, service)
        # The carrier reads the answer, so it must belong to the tenant whose data it is.
        if person.tenant != carrier.tenant:
            raise _unknown()
        return Principal(person_id, Authentication.JWT, person.tenant, person.roles)


def _proved(
    bundle: Callers, principal_id: str, authentication: Authentication, tenant: TenantId
) -> Principal:
    """An identity that was proved; of the given tenant where the bundle does not know it."""
    entry = bundle.caller(principal_id)
    if entry is None:
        return Principal(principal_id, authentication, tenant, ())
    return Principal(principal_id, authentication, entry.tenant, entry.roles)


def _known(bundle: Callers, principal_id: str, service: str) -> CallerEntry:
    entry = bundle.caller(principal_id)
    if entry is None:
        raise _unknown()
    if not bundle.permits_service(principal_id, service):
        raise VaultError(
            Reason.SERVICE_NOT_PERMITTED, "the caller is not on this service's list of callers"
        )
    return entry


def _token(authorization: Sequence[str | bytes]) -> str:
    value = authorization[0]
    if (
        len(authorization) != 1
        or not isinstance(value, str)
        or not (form := _BEARER.fullmatch(value))
    ):
        raise VaultError(
            Reason.BEARER_INVALID, "the authorization metadata is not one `Bearer TOKEN`"
        )
    return form[1]


def _unknown() -> VaultError:
    return VaultError(Reason.CALLER_UNKNOWN, "the caller is not in the list of callers")
