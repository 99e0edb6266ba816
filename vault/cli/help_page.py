"""The page that `pdvault --help` shows."""

from collections.abc import Sequence

from vault.cli.command import Audience, Command

_HEAD = """\
usage: pdvault COMMAND [OPTION...]

pdvault keeps consumers' personal data encrypted. Shops hand values in and keep tokens; a value
comes back only for a purpose that policy allows, in the form that it allows, and only after
the access is written to the audit log.
"""

_TAIL = """\
Examples:
  pdvault up                                       a vault of your own; stays in the foreground
  pdvault tokenize --client state/certs/order --subject-ref m-1 phone=13812345678
  pdvault audit list --client state/certs/auditor --since 1h

Every command has --help with an example, and --json where a machine may want the answer.
$PDVAULT_ADDRESS, $PDVAULT_CLIENT and $PDVAULT_SPANS stand in for --address, --client and --spans.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 130 interrupted.
Results go to stdout, progress and errors to stderr. NO_COLOR turns colours off.
"""


def help_page(commands: Sequence[Command]) -> str:
    """Commands grouped by who uses them."""
    width = max(len(command.name) for command in commands)
    groups = []
    for audience in Audience:
        lines = [
            f"  {command.name:<{width}}  {command.summary}"
            for command in commands
            if command.audience is audience
        ]
        if lines:
            groups.append("\n".join([f"{audience.value}:", *lines]) + "\n")
    return "\n".join([_HEAD, *groups, _TAIL])
