"""Public keys and checkpoints from the command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vault.audit.checkpoint import SignedCheckpoint, open_checkpoint
from vault.audit.note import MAX_NOTE, KeyFormatError, KeyType, NoteError, VerifierKey
from vault.audit.succession import follow
from vault.cli.output import USAGE, CommandError
from vault.client import Checkpoint


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many of which witnesses must have cosigned."""

    keys: tuple[VerifierKey, ...] = ()
    count: int = 0


NO_QUORUM = Quorum()


def read_quorum(args: argparse.Namespace) -> Quorum:
    """What --witness-key and --witness-quorum say.

    Raises:
        CommandError: they do not fit together, or with --key.
    """
    if args.witness_key is None:
        if args.witness_quorum is not None:
            raise CommandError("--witness-quorum needs --witness-key", code=USAGE)
        return NO_QUORUM
    if args.key is None:
        raise CommandError("--witness-key needs --key", code=USAGE)
    keys = read_keys(args.witness_key, flag="--witness-key")
    if any(key.type is not KeyType.COSIGNATURE for key in keys):
        raise CommandError("--witness-key: not a key of cosignatures", code=USAGE)
    most = len({key.public_key for key in keys})
    count = most if args.witness_quorum is None else args.witness_quorum
    if count > most:
        raise CommandError(f"--witness-quorum: there are only {most} keys", code=USAGE)
    return Quorum(tuple(keys), count)


def read_keys(given: str, *, flag: str = "--key") -> list[VerifierKey]:
    """A verifier key, or a file with one a line.

    Raises:
        CommandError: neither.
    """
    path = Path(given)
    try:
        text = path.read_text() if path.is_file() else given
        keys = [VerifierKey.parse(line) for line in text.splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError, KeyFormatError) as error:
        keys = []
        reason = str(error) if isinstance(error, KeyFormatError) else "can't be read"
    else:
        reason = "holds no key"
    if not keys:
        raise CommandError(
            f"{flag}: neither a file of verifier keys nor a verifier key ({reason})",
            hint="pdvault up writes one to state/audit.vkey; ask for it by another way than this",
            code=USAGE,
        )
    return keys


def follow_keys(keys: Sequence[VerifierKey], successions: Sequence[str]) -> list[VerifierKey]:
    """The keys that are trusted, and those that they vouch for.

    Raises:
        CommandError: the chain of successions does not hold.
    """
    try:
        return follow(keys, successions)
    except NoteError as error:
        raise CommandError(
            f"the chain of the log's keys is not to be trusted: {error}", hint="is it this log's?"
        ) from error


def trusted_keys(given: str | None, sent: Checkpoint) -> list[VerifierKey]:
    """The keys that were given, and those that they vouch for; without, the one that the vault
    told.

    Raises:
        CommandError: no key, or the vault's chain does not hold.
    """
    if given is not None:
        return follow_keys(read_keys(given), sent.successions)
    try:
        return [VerifierKey.parse(sent.verifier_key)]
    except KeyFormatError as error:
        raise CommandError(f"the vault names no key of its log: {error}") from error


def check_note(
    note: str, keys: Sequence[VerifierKey], quorum: Quorum = NO_QUORUM
) -> SignedCheckpoint:
    """Opens a checkpoint from the vault.

    Raises:
        CommandError: not signed by these keys, by too few witnesses, or no checkpoint.
    """
    try:
        return open_checkpoint(
            note.encode(),
            keys,
            origin=keys[0].name,
            witnesses=quorum.keys,
            quorum=quorum.count,
        )
    except (NoteError, ValueError) as error:
        raise CommandError(
            f"the checkpoint is not to be trusted: {error}", hint="is it the right --key?"
        ) from error


def read_checkpoint(
    path: Path, keys: Sequence[VerifierKey], quorum: Quorum = NO_QUORUM
) -> SignedCheckpoint:
    """Opens a checkpoint from a file.

    Raises:
        CommandError: the file is no checkpoint that these keys, and enough witnesses, signed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_NOTE + 1)
        return open_checkpoint(
            data, keys, origin=keys[0].name, witnesses=quorum.keys, quorum=quorum.count
        )
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", code=USAGE) from error
    except ValueError as error:
        raise CommandError(f"{path}: {error}", code=USAGE) from error
