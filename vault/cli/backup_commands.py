"""`pdvault backup` and `pdvault restore`, as data."""

import argparse
from pathlib import Path

from vault.cli import values
from vault.cli.command import Audience, Command, Option
from vault.cli.options import JSON


def days(text: str) -> int:
    """Whole days, up to ten years."""
    number = values.count(text)
    if number > 3660:  # noqa: PLR2004 - ten years
        raise argparse.ArgumentTypeError("at most 3660 days")
    return number


_CONFIG = Option(
    flags=("--config",),
    value="FILE",
    read=Path,
    is_required=True,
    help="The service's configuration, with section [custody].",
)
_OWNER = Option(
    flags=("--owner-url-file",),
    value="FILE",
    read=Path,
    is_required=True,
    help="A file (mode 600) with the URL of the owner's login: not the service's.",
)
_NEXT_LOG = Option(
    flags=("--next-log",),
    value="ORIGIN",
    help="Name of the log that follows, such as shop.example/audit/2.",
)

BACKUP_COMMANDS = (
    Command(
        words=("backup", "make"),
        is_default=True,
        audience=Audience.OPERATOR,
        summary="everything at one moment, sealed into one file, while the vault serves",
        details=(
            "Database, policies and audit log, in one consistent snapshot; keys only as Transit "
            "wrapped them. The file is encrypted under a key that Transit wraps, is there whole or "
            "not at all, and is never written over. What was cut off is begun anew.\n\n"
            "--keep-days is a promise: after so many days the file is deleted everywhere. "
            "Root keys that it needs can't be retired before, and certificates of erasures count "
            "on it. Back up Transit itself as well, after this: docs/backup.md."
        ),
        options=(
            _CONFIG,
            _OWNER,
            Option(
                flags=("--out",),
                value="FILE",
                read=Path,
                is_required=True,
                help="The file to make.",
            ),
            Option(
                flags=("--keep-days",),
                value="N",
                read=days,
                is_required=True,
                help="How long it is kept, at most.",
            ),
            JSON,
        ),
        example=(
            "pdvault backup make --config pdvault.toml --owner-url-file owner.url \\\n"
            "  --keep-days 35 --out /backup/pdvault-$(date +%F).pdb"
        ),
        run="vault.cli.backup:make",
    ),
    Command(
        words=("backup", "list"),
        audience=Audience.OPERATOR,
        summary="backups on record, until when they are kept and which root keys they need",
        options=(_OWNER, JSON),
        example="pdvault backup list --owner-url-file owner.url",
        run="vault.cli.backup:list_all",
    ),
    Command(
        words=("backup", "declare"),
        audience=Audience.OPERATOR,
        summary="put a backup on record that other tools made, or that is gone",
        details=(
            "For pg_basebackup, pgBackRest, volume snapshots and the like: what the vault does "
            "not know of, it can't wait for when root keys are retired and erasures are certified. "
            "Declare each when it is begun.\n\n"
            "With --archive it is a base backup together with the write-ahead log that follows, "
            "from which any later moment can be restored. --gone takes one off that was deleted "
            "everywhere before its time, or that was never finished."
        ),
        options=(
            _CONFIG,
            _OWNER,
            Option(
                flags=("--until",),
                value="DATE",
                read=values.moment,
                help="When it will be deleted everywhere.",
            ),
            Option(
                flags=("--begun",),
                value="TIME",
                read=values.moment,
                help="When making it was begun. Without it: now.",
            ),
            Option(flags=("--archive",), help="With the write-ahead log that follows it."),
            Option(flags=("--label",), value="TEXT", default="", help="What people know it by."),
            Option(flags=("--gone",), value="ID", help="This one is deleted everywhere."),
            JSON,
        ),
        one_of=(("--until", "--gone"),),
        example=(
            "pdvault backup declare --config pdvault.toml --owner-url-file owner.url "
            "--archive --until 2027-01-01 --label base-42"
        ),
        run="vault.cli.backup:declare",
    ),
    Command(
        words=("backup", "adopt"),
        audience=Audience.OPERATOR,
        summary="settle the log of a database that other tools restored",
        details=(
            "After point-in-time recovery and the like, with no process serving: records in the "
            "log that it was restored, and ends a log that its newest checkpoint has outrun, under "
            "--next-log, as pdvault restore does. Open requests of custodians end. The erasures "
            "are replayed afterwards as ever."
        ),
        options=(_CONFIG, _OWNER, _NEXT_LOG, JSON),
        example=(
            "pdvault backup adopt --config pdvault.toml --owner-url-file owner.url "
            "--next-log shop.example/audit/2"
        ),
        run="vault.cli.restore:adopt_restored",
    ),
    Command(
        words=("restore",),
        audience=Audience.OPERATOR,
        summary="a backup into an empty database; with --drill a rehearsal, with a report",
        details=(
            "All of it or nothing: rows are committed once the last byte was found good. The "
            "restored database serves nobody before pdvault erasures replay has erased again who "
            "was erased since.\n\n"
            "The backup is older than the log's newest checkpoint, so the log can't go on under "
            "its name, unless nothing is missing. --next-log names the one that follows; its "
            "first entry says which log ended where (docs/backup.md).\n\n"
            "--drill restores into a PostgreSQL of its own, which goes afterwards, and touches "
            "nothing else: replays the erasures, makes sure that nothing is left of the erased, "
            "opens a sample of values through Transit, verifies the audit log, and reports. Exit "
            "code 1 if anything failed."
        ),
        options=(
            Option(flags=("backup",), read=Path, help="The file."),
            _CONFIG,
            Option(
                flags=("--into-url-file",),
                value="FILE",
                read=Path,
                help="A file (mode 600) with the URL of the owner's login to an empty database.",
            ),
            _NEXT_LOG,
            Option(
                flags=("--files-to",),
                value="DIR",
                read=Path,
                help="Also write policies, Transit policies and manifest into this new folder.",
            ),
            Option(flags=("--dry-run",), help="Read and verify all of it, restore nothing."),
            Option(flags=("--drill",), help="Rehearse, and report."),
            Option(
                flags=("--sample",),
                value="N",
                read=values.count,
                default=500,
                help="With --drill: how many subjects' values to open.",
            ),
            Option(
                flags=("--html",),
                value="FILE",
                read=Path,
                help="With --drill: also write the report as a page for assessors.",
            ),
            Option(
                flags=("--key",),
                value="FILE|VKEY",
                help=(
                    "With --drill: verify the log with this public key, in place of the one that "
                    "Transit names."
                ),
            ),
            JSON,
        ),
        one_of=(("--into-url-file", "--dry-run", "--drill"),),
        example=(
            "pdvault restore --drill /backup/pdvault-2026-11-21.pdb --config pdvault.toml "
            "--html drill.html"
        ),
        run="vault.cli.restore:run",
    ),
)
