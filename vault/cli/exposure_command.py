"""`pdvault audit exposure`, as data."""

from pathlib import Path

from vault.cli.command import Audience, Command, Option
from vault.cli.options import REMOTE, SINCE, UNTIL

EXPOSURE = Command(
    words=("audit", "exposure"),
    audience=Audience.AUDITOR,
    summary="what a leak really revealed: a report for an authority, HTML and JSON",
    details=(
        "Say what has leaked: an identity (--caller; a certificate's is its SPIFFE id), a list of "
        "tokens, a time, or several of these; all that is given must hold. Counted are values "
        "that the log says were revealed, by field type and view, for each consumer by the "
        "vault's own handle; and what was refused meanwhile.\n\n"
        "Entries come from a running vault, or with --export from an export of the log, which is "
        "verified on the way. Exit code 0 means that the report is made, also when it says that "
        "nothing was revealed; 1, that there is no report.\n\n"
        "--html writes the report for PIPL article 57 and GDPR article 33, one file that prints "
        "well; what only people know is left blank in it. docs/exposure.md describes the JSON."
    ),
    options=(
        Option(
            flags=("--caller",),
            value="ID",
            repeats="+",
            help="The leaked identity, whole: spiffe://… or person:…",
        ),
        Option(
            flags=("--tokens",),
            value="FILE",
            read=Path,
            help="The leaked tokens, one a line; - reads standard input.",
        ),
        SINCE,
        UNTIL,
        Option(
            flags=("--export",),
            value="FILE",
            read=Path,
            help="Read this export of the log (JSON Lines) in place of a running vault.",
        ),
        Option(
            flags=("--key",),
            value="FILE|VKEY",
            help="The log's public key, with --export: a verifier key or a file with one a line.",
        ),
        Option(flags=("--part",), help="With --export: one of a part of the log will do."),
        Option(
            flags=("--policies",),
            value="DIR",
            read=Path,
            help="A policy bundle that says which field types are sensitive.",
        ),
        Option(flags=("--html",), value="FILE", read=Path, help="Write the report there."),
        *REMOTE,
    ),
    example=(
        "pdvault audit exposure --client state/certs/auditor --since 2d "
        "--caller spiffe://pdvault.example/shop/support --html report.html\n"
        "pdvault audit exposure --export log.jsonl --key state/audit.vkey --tokens leaked --json"
    ),
    run="vault.cli.exposure:exposure",
)
