"""Signs checkpoints of one log, and tells which ones it signed.

Guarantees: a signature is verified under the key's public half before anybody gets it.
Leaves to `vault.audit.sequencer` what is signed, and when.
"""

from typing import Protocol

from vault.audit.checkpoint import Checkpoint, open_checkpoint
from vault.audit.note import KeyType, Note, NoteError, VerifierKey, signature_line, signed_bytes
from vault.errors import Reason, VaultError


class Signature(Protocol):
    """What `SigningKeys.sign` gives."""

    @property
    def key_version(self) -> int: ...
    @property
    def signature(self) -> bytes: ...


class SigningKeys(Protocol):
    """Where the key lies (`vault.crypto.transit.Transit`). Raises VaultError (KEY_STORE_*)."""

    async def sign(self, key: str, data: bytes) -> Signature: ...
    async def public_keys(self, key: str) -> dict[int, bytes]: ...


class CheckpointSigner:
    """The signer of one log.

    Args:
        origin: the log's name; also the name of its key.
        key: the name of the key in Transit.
        keys: Transit.
    """

    def __init__(self, *, origin: str, key: str, keys: SigningKeys) -> None:
        self.origin = origin
        self._key = key
        self._keys = keys
        self._known: dict[int, VerifierKey] = {}

    async def open(self) -> None:
        """Learns the public keys.

        Raises:
            VaultError: KEY_STORE_*; KEY_STORE_FAULT also for a key that is unfit.
        """
        self._known = {
            version: VerifierKey(self.origin, KeyType.ED25519, public)
            for version, public in (await self._keys.public_keys(self._key)).items()
        }

    @property
    def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """The public keys, the newest first."""
        return tuple(self._known[version] for version in sorted(self._known, reverse=True))

    async def sign(self, size: int, root: bytes) -> str:
        """A signed note for a tree.

        Raises:
            VaultError: KEY_STORE_*: there is no good signature.
        """
        text = Checkpoint(self.origin, size, root).body()
        signed = await self._keys.sign(self._key, signed_bytes(text))
        if signed.key_version not in self._known:
            await self.open()  # the key was rotated
        key = self._known.get(signed.key_version)
        if key is None:
            raise VaultError(Reason.KEY_STORE_FAULT, "the key store signed with an unknown key")
        note = bytes(Note(text, (signature_line(key, signed.signature),)))
        try:
            self.check(note)
        except NoteError as error:
            raise VaultError(Reason.KEY_STORE_FAULT, "the key store signed wrongly") from error
        return note.decode()

    async def verify(self, note: bytes) -> Checkpoint:
        """As `check`, but a note that does not verify is checked against today's keys: another
        process may have met a rotated key first.

        Raises:
            NoteError: it is none, or not signed by the log's key.
            VaultError: KEY_STORE_*: the keys can't be learnt, so that nobody knows.
        """
        try:
            return self.check(note)
        except NoteError:
            await self.open()
            return self.check(note)

    def check(self, note: bytes) -> Checkpoint:
        """What a note of this log says.

        Raises:
            NoteError: it is none, or not signed by the log's key.
        """
        return open_checkpoint(note, self.verifier_keys, origin=self.origin).checkpoint
