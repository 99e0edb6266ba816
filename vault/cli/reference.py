"""Renders docs/cli.md: `python -m vault.cli.reference > docs/cli.md`."""

import sys
from collections.abc import Sequence

from vault.cli.command import Audience, Command, Option
from vault.cli.commands import COMMANDS

_HEAD = """\
# Commands

<!-- Rendered by `python -m vault.cli.reference > docs/cli.md`; do not edit. -->

`pdvault --help` is the short form of this page. Results go to stdout, progress and errors to
stderr; with `--json`, stdout holds JSON only. Colours appear only on a terminal, and never with
`NO_COLOR`.

| Exit code | Meaning |
|---|---|
| 0 | done |
| 1 | refused or failed; stderr says why |
| 2 | wrong usage |
| 130 | interrupted |

`$PDVAULT_ADDRESS`, `$PDVAULT_CLIENT`, `$PDVAULT_SPANS`, `$PDVAULT_TRACE_STORE` and
`$PDVAULT_TRACE_STORE_CA` stand in for the options of these names.
"""


def reference(commands: Sequence[Command]) -> str:
    """The page, Markdown."""
    parts = [_HEAD]
    for audience in Audience:
        group = [command for command in commands if command.audience is audience]
        if group:
            parts.append(f"## {audience.value}\n")
            parts += [_command(command) for command in group]
    return "\n".join(parts)


def _command(command: Command) -> str:
    lines = [f"### pdvault {command.name}\n"]
    lines.append(f"{command.summary[0].upper()}{command.summary[1:]}.\n")
    if command.details:
        lines.append(command.details + "\n")
    if command.options:
        lines += ["| Argument | Meaning |", "|---|---|"]
        lines += [
            f"| `{_escaped(option.label)}` | {_meaning(option)} |" for option in command.options
        ]
        lines.append("")
    lines.append(f"```sh\n{command.example}\n```\n")
    return "\n".join(lines)


def _meaning(option: Option) -> str:
    text = _escaped(option.help)
    if option.is_required:
        text += " Required."
    if option.default is not None:
        text += f" Default: `{option.default}`."
    return text


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference(COMMANDS))
