"""Whether a stored request, and its approval, are to be believed: everything is derived anew.

Guarantees: a request counts only if its row still gives the digest that was noted; an
approval only if Transit's key signed exactly this request, this approver, this time and
this end, if the approver is not who asked, and if both still are custodians (or may ask) by
the bundle in force. So a row that somebody edited, copied or invented is refused, and so is
what a person approved who lost the role since. The database is not trusted with any of it.
"""

from collections.abc import Mapping

from vault.crypto.signature import is_signed
from vault.errors import Reason, VaultError
from vault.keys.acts import Act, ActFormatError, ActState, StoredAct, Widen, decode_act
from vault.model import Authentication, Principal
from vault.policy.bundle import Act as PolicyAct
from vault.policy.bundle import Bundle

_SERVICE = "vault.v1.KeyService"

PublicKeys = Mapping[int, bytes]
"""Version of the approval key -> public key (32 bytes)."""


def check_intact(stored: StoredAct) -> Act:
    """What is asked for, if the row is as it was made.

    Raises:
        VaultError: APPROVAL_MISMATCH.
    """
    try:
        act = decode_act(stored.asked.act)
    except ActFormatError:
        act = None
    if act is None or not stored.is_intact:
        raise VaultError(Reason.APPROVAL_MISMATCH, "the request was changed after it was made")
    return act


def check_open(stored: StoredAct) -> None:
    """Makes sure that a request is neither closed nor too old.

    Raises:
        VaultError: ACT_CLOSED or APPROVAL_EXPIRED.
    """
    match stored.state:
        case ActState.DONE:
            raise VaultError(Reason.ACT_CLOSED, "the request was carried out before")
        case ActState.WITHDRAWN:
            raise VaultError(Reason.ACT_CLOSED, "the request was withdrawn")
        case ActState.EXPIRED:
            raise VaultError(Reason.APPROVAL_EXPIRED, "the request's time is over")


def check_requester(bundle: Bundle, stored: StoredAct, act: Act) -> None:
    """Makes sure that who asked still may.

    Raises:
        VaultError: ACT_CLOSED.
    """
    asked = stored.asked
    if not may_now(bundle, asked.requested_by, asked.tenant, needed_to_ask(act)):
        raise VaultError(Reason.ACT_CLOSED, "whoever asked may not ask any more")


def check_approval(bundle: Bundle, stored: StoredAct, keys: PublicKeys) -> None:
    """Makes sure that somebody else who may has approved exactly this.

    Raises:
        VaultError: APPROVAL_MISSING, APPROVAL_BY_REQUESTER or APPROVAL_MISMATCH.
    """
    approval, asked = stored.approval, stored.asked
    if approval is None:
        raise VaultError(Reason.APPROVAL_MISSING, "it takes the approval of a second custodian")
    if approval.by == asked.requested_by:
        raise VaultError(Reason.APPROVAL_BY_REQUESTER, "whoever asked can't approve")
    try:
        statement = stored.statement(approval.by, approval.at_us)
    except ActFormatError as error:
        raise _mismatch() from error
    public = keys.get(approval.key_version)
    in_time = asked.requested_at_us <= approval.at_us < asked.expires_at_us
    if public is None or not in_time or not is_signed(public, approval.signature, statement):
        raise _mismatch()
    if not may_now(bundle, approval.by, asked.tenant, PolicyAct.APPROVE_ACT):
        raise VaultError(Reason.APPROVAL_MISSING, "whoever approved may not approve any more")


def needed_to_ask(act: Act) -> PolicyAct:
    """What whoever asks for an act must be allowed: custodians alone ask for what touches keys."""
    return PolicyAct.REQUEST_ACT if isinstance(act, Widen) else PolicyAct.APPROVE_ACT


def may_now(bundle: Bundle, principal_id: str, tenant: str, act: PolicyAct) -> bool:
    """Whether the bundle knows somebody, in this tenant, who could call and may do this."""
    entry = bundle.caller(principal_id)
    if entry is None or entry.tenant != tenant:
        return False
    proof = Authentication.JWT if entry.is_person else Authentication.MTLS
    principal = Principal(entry.id, proof, entry.tenant, entry.roles)
    return (
        bundle.permits_service(principal_id, _SERVICE)
        and bundle.decide_act(principal, act).is_allowed
    )


def _mismatch() -> VaultError:
    return VaultError(
        Reason.APPROVAL_MISMATCH, "the approval is not of this request, or was tampered with"
    )
