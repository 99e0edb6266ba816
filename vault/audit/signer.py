"""Signs checkpoints of one log, and tells which ones it signed.

Guarantees: a signature is verified under the key's public half before anybody gets it. A
version of the key signs only once the chain of successions (`vault.audit.succession`) leads to it:
where a rotation left it short, the version before vouches for it first. For 30 days versions that
were replaced sign as well, so that witnesses and auditors who know no other have time to learn.
Leaves to `vault.audit.sequencer` what is signed, and when.
"""

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from vault.audit.checkpoint import Checkpoint, open_checkpoint
from vault.audit.note import (
    KeyType,
    Note,
    NoteError,
    SignatureLine,
    VerifierKey,
    signature_line,
    signed_bytes,
)
from vault.audit.succession import Succession, open_chain, open_succession, signing_key
from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.rows import CheckpointRow, SuccessionRow
from vault.telemetry.logs import Log

_log = Log("vault.audit")

OVERLAP = dt.timedelta(days=30)
"""How long a replaced version signs as well: a month to hand the new key to all witnesses."""
_MOST_OLDER = 3
"""Replaced versions that sign as well, at most: each is one more trip for each checkpoint."""
_ATTEMPTS = 3
"""To complete the chain, where others do so too."""
_PASSING = frozenset({Reason.KEY_STORE_SEALED, Reason.KEY_STORE_UNAVAILABLE})


class Signature(Protocol):
    """What `SigningKeys.sign` gives."""

    @property
    def key_version(self) -> int: ...
    @property
    def signature(self) -> bytes: ...


class SigningKeys(Protocol):
    """Where the key lies (`vault.crypto.transit.Transit`). Raises VaultError (KEY_STORE_*)."""

    async def sign(self, key: str, data: bytes, *, version: int | None = None) -> Signature: ...
    async def public_keys(self, key: str) -> dict[int, bytes]: ...


class Chain(Protocol):
    """Where the chain lies (`vault.store.successions`). Raises VaultError."""

    async def read(self, origin: str) -> tuple[Sequence[SuccessionRow], str | None]: ...
    async def add(self, origin: str, version: int, predecessor: int, note: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _End:
    """Where the chain ends.

    Attributes:
        version: that signs.
        older: versions that were replaced, and when; the newest first.
    """

    version: int
    older: tuple[tuple[int, dt.datetime], ...] = ()


class CheckpointSigner:
    """The signer of one log.

    Args:
        origin: the log's name; also the name of its key.
        key: the name of the key in Transit.
        keys: Transit.
        chain: the stored successions.
        clock: the time.
    """

    def __init__(
        self, *, origin: str, key: str, keys: SigningKeys, chain: Chain, clock: Clock
    ) -> None:
        self.origin = origin
        self._key = key
        self._keys = keys
        self._chain = chain
        self._clock = clock
        self._known: dict[int, VerifierKey] = {}
        self._end: _End | None = None

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

    def key_of(self, row: CheckpointRow) -> VerifierKey:
        """The key that signed a stored checkpoint, by its id; of two the newer.

        Another process may have met a rotated key first: the chain in the row names it.
        """
        try:
            steps = open_chain(row.successions, origin=self.origin)
            keys = [*(step.new for step in reversed(steps)), *self.verifier_keys]
            return signing_key(row.note.encode(), keys) or self.verifier_keys[0]
        except NoteError:  # for the reader to find out
            return self.verifier_keys[0]

    async def sign(self, size: int, root: bytes) -> str:
        """A signed note for a tree.

        Raises:
            VaultError: KEY_STORE_*: there is no good signature, or no chain leads to the key that
                made it; as `Chain`.
        """
        text = Checkpoint(self.origin, size, root).body()
        signed = await self._keys.sign(self._key, signed_bytes(text))
        if self._end is None or self._end.version != signed.key_version:
            await self._reach(signed.key_version)
        lines = (
            signature_line(self._known[signed.key_version], signed.signature),
            *await self._sign_older(text),
        )
        note = bytes(Note(text, lines))
        try:
            self.check(note)
        except NoteError as error:
            raise VaultError(Reason.KEY_STORE_FAULT, "the key store signed wrongly") from error
        return note.decode()

    async def complete_chain(self) -> int:
        """Sees to it that the chain leads to the newest version; that version.

        Raises:
            VaultError: as `sign`.
        """
        await self.open()
        newest = max(self._known)
        await self._reach(newest)
        return newest

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

    async def check_chain(self) -> None:
        """Reads the stored chain.

        Raises:
            NoteError: it is damaged.
            VaultError: KEY_STORE_*; as `Chain`.
        """
        rows, _ = await self._chain.read(self.origin)
        if rows and rows[-1].version not in self._known:
            await self.open()  # another process may have met a rotated key first
        self._open_chain(rows)

    def _open_chain(self, rows: Sequence[SuccessionRow]) -> tuple[Succession, ...]:
        steps = open_chain([row.note for row in rows], origin=self.origin)
        for row, step, before in zip(rows, steps, [None, *rows], strict=False):
            named = ((row.version, step.new), (row.predecessor, step.old))
            is_other = any(self._known.get(version, key) != key for version, key in named)
            is_other |= row.version > max(self._known)
            if is_other or (before is not None and row.predecessor != before.version):
                raise NoteError("a key succession is not of the versions that it is stored for")
        return steps

    async def _reach(self, version: int) -> None:
        """Makes `version` the chain's end, or finds that it is."""
        for _ in range(_ATTEMPTS):
            end = await self._read_end()
            if version == end.version:
                self._end = end
                return
            if version < end.version or not {version, end.version} <= set(self._known):
                break
            await self._vouch(end.version, version)
        raise VaultError(
            Reason.KEY_STORE_FAULT, "no succession leads to the key that would sign the log"
        )

    async def _read_end(self) -> _End:
        rows, newest = await self._chain.read(self.origin)
        await self.open()  # after it, so that whatever stands in the chain is known
        try:
            self._open_chain(rows)
            if rows:
                last = rows[-1]
                if last.version in self._known:
                    older = ((row.predecessor, row.made_at) for row in reversed(rows))
                    return _End(last.version, tuple(older)[:_MOST_OLDER])
                raise NoteError("the chain's last key is not in the key store")
            if newest is None or self.origin != newest.partition("\n")[0]:
                return _End(min(self._known))
            signer = signing_key(newest.encode(), self.verifier_keys)
            if signer is None:
                raise NoteError("the newest checkpoint is of another key")
            return _End(next(v for v, key in self._known.items() if key == signer))
        except NoteError as error:
            raise VaultError(
                Reason.KEY_STORE_FAULT, "the chain of the log's keys does not hold"
            ) from error

    async def _vouch(self, old: int, new: int) -> None:
        """Has one version vouch for another, and keeps that."""
        step = Succession(self._known[old], self._known[new])
        signed = await self._keys.sign(self._key, signed_bytes(step.text()), version=old)
        note = bytes(Note(step.text(), (signature_line(step.old, signed.signature),)))
        try:
            open_succession(note)
        except NoteError as error:
            raise VaultError(Reason.KEY_STORE_FAULT, "the key store signed wrongly") from error
        await self._chain.add(self.origin, new, old, note.decode())
        _log.warning("checkpoint.key_succeeded", version=str(new))

    async def _sign_older(self, text: str) -> tuple[SignatureLine, ...]:
        """The signatures of replaced versions, as long as they are asked for and can be had."""
        if self._end is None:
            return ()
        begin = dt.datetime.fromtimestamp(self._clock.unix_ns() / 1e9, dt.UTC) - OVERLAP
        versions = [
            version
            for version, replaced in self._end.older
            if replaced >= begin and version in self._known
        ]
        lines = await asyncio.gather(*(self._sign_as(version, text) for version in versions))
        return tuple(line for line in lines if line is not None)

    async def _sign_as(self, version: int, text: str) -> SignatureLine | None:
        key = self._known[version]
        try:
            signed = await self._keys.sign(self._key, signed_bytes(text), version=version)
        except VaultError as error:
            # A courtesy: the checkpoint is good without it.
            if error.reason not in _PASSING and self._end is not None:
                older = tuple(one for one in self._end.older if one[0] != version)
                self._end = replace(self._end, older=older)
            return None
        return signature_line(key, signed.signature)
