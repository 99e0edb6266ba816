"""Rotates the key that signs the audit log, and tells how old its versions are.

Guarantees: before the new version signs a checkpoint, the old one has vouched for it, and that is
stored (`vault.audit.signer`); where this process ends in between, whoever signs next completes
it. Leaves to others: who may ask for it, the audit entry, and that one process at a time does it.
"""

from typing import Protocol


class RotatedKey(Protocol):
    """What `Turner.rotate` gives."""

    @property
    def latest(self) -> int: ...


class Turner(Protocol):
    """Custody's login to Transit (`vault.crypto.transit_admin.TransitAdmin`)."""

    async def rotate(self, name: str) -> RotatedKey: ...


class ChainKeeper(Protocol):
    """`vault.audit.signer.CheckpointSigner`."""

    async def complete_chain(self) -> int: ...


async def rotate_signing_key(name: str, *, admin: Turner, signer: ChainKeeper) -> int:
    """Makes a new version and has the old one vouch for it.

    Args:
        name: of the key in Transit, `audit.signing_key`.
        admin: rotates; can't sign with this key.
        signer: signs; can't rotate it.

    Returns:
        The new version.

    Raises:
        VaultError: KEY_STORE_*, DATABASE_UNAVAILABLE: with a new version or without. Where there
            is one, the next checkpoint or the next rotation completes the chain.
    """
    await signer.complete_chain()  # of a rotation that did not come to its end
    await admin.rotate(name)
    return await signer.complete_chain()
