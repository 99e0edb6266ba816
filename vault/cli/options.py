"""Options that several commands share."""

from pathlib import Path

from vault.cli import values
from vault.cli.command import Option

JSON = Option(flags=("--json",), help="Write JSON, one object a line, for machines.")
_ADDRESS = Option(
    flags=("--address",),
    value="HOST:PORT",
    help="Where the vault listens. Without it: $PDVAULT_ADDRESS.",
)
_CLIENT = Option(
    flags=("--client",),
    value="DIR",
    read=Path,
    help="Who is calling: a folder with tls.crt, tls.key and ca.crt. Without it: $PDVAULT_CLIENT.",
)
_TIMEOUT = Option(
    flags=("--timeout",),
    value="SECONDS",
    read=values.seconds,
    default=10,
    help="For each call, with its retries.",
)
REMOTE = (_ADDRESS, _CLIENT, _TIMEOUT, JSON)
SUBJECT_REF = Option(
    flags=("--subject-ref",),
    value="REF",
    help=(
        "The consumer, by the shop's own reference. It stays in the shell's history; "
        "--subject-ref-file does not."
    ),
)
SUBJECT_REF_FILE = Option(
    flags=("--subject-ref-file",),
    value="FILE",
    help="A file whose one line is the reference; - reads it from standard input.",
)
SUBJECT_ID = Option(
    flags=("--subject-id",), value="HEX", help="The vault's own id of the consumer."
)
CASE = Option(
    flags=("--case",),
    value="KIND:ID",
    help="About this case, as callers name it: order:A-2026-000123.",
)
CASE_ID = Option(
    flags=("--case-id",), value="HEX", help="About this case, by the vault's own id of it."
)
SINCE = Option(
    flags=("--since",),
    value="TIME",
    read=values.moment,
    help="Not before: 2026-11-21T08:30:00Z, 2026-11-21, or 2h for two hours ago.",
)
UNTIL = Option(flags=("--until",), value="TIME", read=values.moment, help="Before.")
WITNESSES = (
    Option(
        flags=("--witness-key",),
        value="FILE|VKEY",
        help=(
            "Keys of outside witnesses, as you were given them: a verifier key, or a file with "
            "one a line. Needs --key."
        ),
    ),
    Option(
        flags=("--witness-quorum",),
        value="N",
        read=values.count,
        help="How many of them must have cosigned. Without it: all.",
    ),
)
