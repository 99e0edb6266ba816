"""Rotates the key that signs the audit log.

Guarantees: before the new version signs a checkpoint, the old one has vouched for it, and that is
stored (`vault.audit.signer`); where this process ends in between, whoever signs next completes
it. Leaves to others: who may ask for it, the audit entry, and that one process at a time does it.
"""

from typing import Protocol


class ReadKey(Protocol):
    """What `Turner` gives."""

    @property
    def latest(self) -> int: ...


class Turner(Protocol):
    """Custody's login to Transit (`vault.crypto.transit_admin.TransitAdmin`)."""

    async def read_key(self, name: str) -> ReadKey: ...
    async def rotate(self, name: str) -> ReadKey: ...


class ChainKeeper(Protocol):
    """`vault.audit.signer.CheckpointSigner`."""

    async def complete_chain(self) -> int: ...


class SigningKey:
    """The key of one log."""

    def __init__(self, name: str, *, admin: Turner, signer: ChainKeeper) -> None:
        self._name = name
        self._admin = admin
        self._signer = signer

    async def version(self) -> int:
        """The newest version. Raises VaultError."""
        return (await self._admin.read_key(self._name)).latest

    async def rotate(self) -> int:
        """As `rotate_signing_key`."""
        return await rotate_signing_key(self._name, admin=self._admin, signer=self._signer)


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
