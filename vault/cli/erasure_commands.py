"""`pdvault erasures replay`, as data."""

from pathlib import Path

from vault.cli.command import Audience, Command, Option
from vault.cli.options import JSON

ERASURE_COMMANDS = (
    Command(
        words=("erasures", "replay"),
        audience=Audience.OPERATOR,
        summary="bring a restored database up to the ledger of erasures, so that it may serve",
        details=(
            "Carries out again, with the custodians' login, every erasure that the ledger knows "
            "and the database does not, and tells it of backups that were made after it. In "
            "order, each in one transaction: it can be cut off and run again, and changes nothing "
            "where nothing is missing. Refuses a ledger that is damaged, shorter than what was "
            "applied, or another deployment's. docs/erasure.md explains it."
        ),
        options=(
            Option(
                flags=("--config",),
                value="FILE",
                read=Path,
                is_required=True,
                help="The configuration of the service, TOML.",
            ),
            Option(flags=("--dry-run",), help="Count what is missing, and change nothing."),
            JSON,
        ),
        example="pdvault erasures replay --config /etc/pdvault/pdvault.toml",
        run="vault.cli.erasures:replay",
    ),
)
