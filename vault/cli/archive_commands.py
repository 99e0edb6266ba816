"""`pdvault audit archive` and `audit verify-archive`, as data."""

from pathlib import Path

from vault.cli import values
from vault.cli.command import Audience, Command, Option
from vault.cli.options import JSON, WITNESSES

_KEY = Option(
    flags=("--key",),
    value="FILE|VKEY",
    is_required=True,
    help="The log's public key: a verifier key or a file with one a line.",
)

ARCHIVE_COMMANDS = (
    Command(
        words=("audit", "archive"),
        audience=Audience.OPERATOR,
        summary="move old months of the log from the database to files that all can verify",
        details=(
            "Without --execute it says what would be done, and does nothing. With it: writes the "
            "months' entries and the whole tree up to a signed checkpoint into the folder "
            "(C2SP tlog-tiles; files that are there stay as they are), reads everything back and "
            "verifies it, and only then drops the months' partitions, each in one transaction. "
            "What was cut off goes on when it is run again. One folder for all months of a log.\n\n"
            "Refuses months that are not over, hold entries without a place in the log, or are "
            "not covered by a checkpoint. Archived entries can still be proved, and "
            "found where the vault has audit.archive_directory. docs/storage.md explains it."
        ),
        options=(
            Option(
                flags=("--owner-url-file",),
                value="FILE",
                read=Path,
                is_required=True,
                help="A file (mode 600) with the URL of the owner's login: not the service's.",
            ),
            Option(
                flags=("--to",),
                value="DIR",
                read=Path,
                is_required=True,
                help="The archive's folder, made if missing.",
            ),
            Option(
                flags=("--before",),
                value="YYYY-MM",
                read=values.month,
                is_required=True,
                help="Every month before this one.",
            ),
            _KEY,
            Option(flags=("--execute",), help="Do it."),
            Option(flags=("--keep",), help="With --execute: write and verify, but drop nothing."),
            JSON,
        ),
        example=(
            "pdvault audit archive --owner-url-file /etc/pdvault/owner.url --to /srv/audit-archive "
            "--before 2025-01 --key audit.vkey --execute"
        ),
        run="vault.cli.archive:archive",
    ),
    Command(
        words=("audit", "verify-archive"),
        audience=Audience.AUDITOR,
        summary="verify an archive, or any log in the layout of C2SP tlog-tiles, offline",
        details=(
            "Signature, tiles and entries, from the signed root down; every file that is not as it "
            "must be is named. Exit code 0: sound. 1: damaged. 2: could not be verified."
        ),
        options=(
            Option(flags=("folder",), read=Path, help="The folder with checkpoint and tile/."),
            _KEY,
            *WITNESSES,
            Option(
                flags=("--origin",),
                value="NAME",
                help="The log's name. Without it: the name of the key.",
            ),
            Option(
                flags=("--part",),
                help="Bundles of entries may be missing, as in an auditor's export of tiles.",
            ),
            JSON,
        ),
        example="pdvault audit verify-archive /srv/audit-archive --key audit.vkey",
        run="vault.cli.archive:verify",
    ),
)
