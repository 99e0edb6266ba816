"""Public keys and checkpoints from the command line."""

from collections.abc import Sequence
from pathlib import Path

from vault.audit.checkpoint import SignedCheckpoint, open_checkpoint
from vault.audit.note import MAX_NOTE, KeyFormatError, NoteError, VerifierKey
from vault.cli.output import USAGE, CommandError


def read_keys(given: str) -> list[VerifierKey]:
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
            f"--key: neither a file of verifier keys nor a verifier key ({reason})",
            hint="pdvault up writes one to state/audit.vkey; ask for it by another way than this",
            code=USAGE,
        )
    return keys


def trusted_keys(given: str | None, told: str) -> list[VerifierKey]:
    """The keys that were given; without, the one that the vault told.

    Raises:
        CommandError: no key.
    """
    if given is not None:
        return read_keys(given)
    try:
        return [VerifierKey.parse(told)]
    except KeyFormatError as error:
        raise CommandError(f"the vault names no key of its log: {error}") from error


def check_note(note: str, keys: Sequence[VerifierKey]) -> SignedCheckpoint:
    """Opens a checkpoint from the vault.

    Raises:
        CommandError: not signed by these keys, or no checkpoint.
    """
    try:
        return open_checkpoint(note.encode(), keys, origin=keys[0].name)
    except (NoteError, ValueError) as error:
        raise CommandError(
            f"the checkpoint is not to be trusted: {error}", hint="is it the right --key?"
        ) from error


def read_checkpoint(path: Path, keys: Sequence[VerifierKey]) -> SignedCheckpoint:
    """Opens a checkpoint from a file.

    Raises:
        CommandError: the file is no checkpoint that these keys signed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_NOTE + 1)
        return open_checkpoint(data, keys, origin=keys[0].name)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", code=USAGE) from error
    except ValueError as error:
        raise CommandError(f"{path}: {error}", code=USAGE) from error
