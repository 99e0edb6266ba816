"""`pdvault audit verify`: an export, checked offline."""

import argparse
from pathlib import Path

from vault.audit.checkpoint import SignedCheckpoint
from vault.audit.damage import Damage, Finding
from vault.audit.export_format import ExportFormatError, bounded_lines, parse_manifest
from vault.audit.note import NoteError, VerifierKey
from vault.audit.succession import follow
from vault.audit.verify import Report, verify_export
from vault.cli.log_keys import read_checkpoint, read_keys, read_quorum
from vault.cli.output import DONE, FAILED, USAGE, CommandError, emit, emit_json, printable
from vault.cli.progress import Progress

_WORDS = {
    Damage.BAD_SIGNATURE: "the checkpoint is not signed as it must be",
    Damage.ROLLED_BACK: "rolled back: the log is smaller than it was when it was signed before",
    Damage.FORKED: "forked: this is another log than the one that was signed before",
    Damage.DROPPED: "dropped: an entry is missing, others follow",
    Damage.INSERTED: "inserted: a line stands where none belongs",
    Damage.EDITED: "edited: an entry is not what was signed",
    Damage.REORDERED: "reordered: an entry stands at another place than its own",
    Damage.CUT_TAIL: "cut: the end is missing",
    Damage.MALFORMED: "malformed: not what an export looks like",
}


def verify(args: argparse.Namespace) -> int:
    """Raises CommandError."""
    keys = read_keys(args.key)
    quorum = read_quorum(args)
    origin = args.origin or keys[0].name
    if any(key.name != keys[0].name for key in keys):
        raise CommandError("--key: the keys are of different logs", code=USAGE)
    older: list[SignedCheckpoint] = []
    if args.since_checkpoint:
        older = [read_checkpoint(args.since_checkpoint, _keys_of(args.file, keys))]
        if older[0].checkpoint.origin != origin:
            raise CommandError("--since-checkpoint: is another log's", code=USAGE)
    progress = Progress("verified")
    try:
        with args.file.open("rb") as file:
            report = verify_export(
                bounded_lines(file.readline),
                keys,
                origin=origin,
                older=[each.checkpoint for each in older],
                witnesses=quorum.keys,
                quorum=quorum.count,
                part=args.part,
                progress=progress,
            )
    except OSError as error:
        raise CommandError(f"{args.file}: {error.strerror}", code=USAGE) from error
    progress.end()
    if args.json:
        emit_json(_as_json(report))
    else:
        _show(report)
    return DONE if report.is_sound else FAILED


def _keys_of(path: Path, keys: list[VerifierKey]) -> list[VerifierKey]:
    """The keys that are trusted, and those that the export shows them to vouch for."""
    try:
        with path.open("rb") as file:
            manifest = parse_manifest(next(bounded_lines(file.readline), b""))
        return follow(keys, manifest.successions)
    except (OSError, ExportFormatError, NoteError):
        return keys  # what is wrong with the export is told when it is verified


def _show(report: Report) -> None:
    if report.is_sound and report.checkpoint is not None:
        tree = report.checkpoint.checkpoint
        hidden = f", {report.hidden:,} of them as hashes only" if report.hidden else ""
        hidden += f" ({report.archived:,} archived)" if report.archived else ""
        emit(
            f"sound: {report.checked:,} leaves from index {report.begin}{hidden}; "
            f"log {tree.origin}, {tree.size:,} leaves, root {tree.root.hex()}"
        )
        return
    for finding in report.findings:
        emit(printable(f"DAMAGED{_where(finding)}: {_WORDS[finding.damage]} ({finding.detail})"))


def _where(finding: Finding) -> str:
    if finding.first_index is None:
        return ""
    if finding.last_index in (None, finding.first_index):
        return f" at index {finding.first_index}"
    return f" within index {finding.first_index} to {finding.last_index}"


def _as_json(report: Report) -> dict[str, object]:
    tree = report.checkpoint.checkpoint if report.checkpoint else None
    return {
        "sound": report.is_sound,
        "damage": report.damage,
        "first_index": report.first_index,
        "findings": [
            {
                "damage": each.damage,
                "first_index": each.first_index,
                "last_index": each.last_index,
                "detail": each.detail,
            }
            for each in report.findings
        ],
        "origin": tree.origin if tree else None,
        "size": tree.size if tree else None,
        "root": tree.root.hex() if tree else None,
        "from": report.begin,
        "until": report.end,
        "checked": report.checked,
        "hidden": report.hidden,
        "archived": report.archived,
    }
