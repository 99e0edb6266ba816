"""A restored database's audit log, derived anew from its entries and held against its signature.

What "sound" means: each entry gives its leaf, leaves are without gaps, stored tiles are what the
leaves give, and the root at the newest checkpoint's size is the one that the log's key signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vault.app.backup_tools import LOG_VERIFIED, Progress
from vault.audit.alarms import TreeDamageError
from vault.audit.checkpoint import open_checkpoint
from vault.audit.growth import Growth, check_tiles
from vault.audit.note import NoteError, VerifierKey
from vault.store.tree import TreeReader

_STEP = 2000


@dataclass(frozen=True, slots=True)
class LogFound:
    """What was found.

    Attributes:
        leaves: derived anew; size: of the signed checkpoint; root: in hex.
        archived: leaves whose entries went to files before.
    """

    is_sound: bool
    text: str
    origin: str
    leaves: int
    size: int = 0
    root: str = ""
    archived: int = 0


async def verify_log(
    tree: TreeReader, keys: Sequence[VerifierKey], origin: str, progress: Progress
) -> LogFound:
    """Derives the whole log.

    Raises:
        VaultError: the database does not answer.
    """
    leaves, row = await tree.size(), await tree.newest_checkpoint()
    if row is None:
        text = "there is no checkpoint" if leaves else "there is no entry yet"
        return LogFound(not leaves, text, origin, leaves)
    try:
        signed = open_checkpoint(row.note.encode(), keys, origin=origin).checkpoint
    except (NoteError, ValueError) as error:
        return LogFound(False, f"the newest checkpoint is not the log's: {error}", origin, leaves)
    if (signed.size, signed.root) != (row.size, row.root) or signed.size > leaves:
        return LogFound(False, "the newest checkpoint covers more than there is", origin, leaves)
    growth, archived, root = Growth(), 0, b""
    try:
        while growth.size < leaves:
            end = signed.size if growth.size < signed.size else leaves
            rows = await tree.leaves(growth.size, min(_STEP, end - growth.size))
            if not rows:
                return LogFound(False, f"leaf {growth.size} is missing", origin, leaves)
            archived += sum(one.is_archived for one in rows)
            await check_tiles(tree, growth.extend(rows))
            if growth.size == signed.size:
                root = growth.root()
            progress(LOG_VERIFIED, growth.size, leaves)
    except TreeDamageError as error:
        return LogFound(False, f"damaged: {error}", origin, leaves)
    if root != signed.root:
        return LogFound(False, "the root is not the one that was signed", origin, leaves)
    behind = leaves - signed.size
    text = (
        f"{leaves:,} entries derived anew; checkpoint of {signed.size:,} signed by {keys[0].name}"
    )
    if behind:
        text += f"; {behind} behind it were not signed yet"
    return LogFound(True, text, origin, leaves, signed.size, root.hex(), archived)
