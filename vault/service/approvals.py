"""Approvals: made by Transit's key, and checked with its public half at every use."""

from typing import Protocol

from vault.crypto.signature import is_signed
from vault.crypto.transit_signing import Signed
from vault.errors import Reason, VaultError
from vault.keys.acts import Act, Approval, StoredAct
from vault.policy.bundle import Bundle
from vault.service.act_checks import check_approval, check_intact, check_open, check_requester


class ApprovalSigner(Protocol):
    """Custody's Transit."""

    async def sign(self, key: str, data: bytes) -> Signed: ...

    async def public_keys(self, key: str) -> dict[int, bytes]: ...


class Approvals:
    """Signs and verifies. The public keys are asked for anew each time: a key that was taken away
    in Transit vouches for nothing.
    """

    def __init__(self, *, signer: ApprovalSigner, key: str) -> None:
        self._signer = signer
        self._key = key

    async def make(self, stored: StoredAct, approver: str) -> Approval:
        """An approval of exactly this request, now.

        Raises:
            VaultError: KEY_STORE_*.
        """
        statement = stored.statement(approver, stored.now_us)
        signed = await self._signer.sign(self._key, statement)
        public = (await self._signer.public_keys(self._key)).get(signed.key_version)
        if public is None or not is_signed(public, signed.signature, statement):
            raise VaultError(Reason.KEY_STORE_FAULT, "the key store signed wrongly")
        return Approval(approver, stored.now_us, signed.key_version, signed.signature)

    async def check(self, bundle: Bundle, stored: StoredAct) -> Act:
        """What may be carried out now by this request.

        Raises:
            VaultError: ACT_CLOSED, APPROVAL_*: it may not; KEY_STORE_*: nobody knows.
        """
        act = check_intact(stored)
        check_open(stored)
        check_requester(bundle, stored, act)
        check_approval(bundle, stored, await self._signer.public_keys(self._key))
        return act
