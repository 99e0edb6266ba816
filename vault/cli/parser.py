"""From commands as data to a parser. Its errors name flags, never what stood beside them."""

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from vault import __version__
from vault.cli.command import Command, Option
from vault.cli.help_page import help_page
from vault.cli.output import USAGE, CommandError, report

_WIDTH = 96


class Parser(argparse.ArgumentParser):
    """Reports errors as all commands do."""

    page: str = ""

    def error(self, message: str) -> NoReturn:
        report(CommandError(message, hint=f"{self.prog} --help", code=USAGE))
        raise SystemExit(USAGE)

    def format_help(self) -> str:
        return self.page or super().format_help()


def parse(commands: Sequence[Command], argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command; `run` and `words` say which.

    Raises:
        SystemExit: help was asked for (0), or the usage is wrong (2).
    """
    parser = build_parser(commands)
    args, unknown = parser.parse_known_args(_whole(commands, argv))
    if unknown:
        # What is not known may be a value that lost its place, so only flags are repeated.
        flags = [text.partition("=")[0] for text in unknown if text.startswith("--")]
        what = " ".join(flags) if flags else "an argument too many"
        report(
            CommandError(
                f"{args.words}: not understood: {what}",
                hint=f"pdvault {args.words} --help",
                code=USAGE,
            )
        )
        raise SystemExit(USAGE)
    return args


def _whole(commands: Sequence[Command], argv: Sequence[str]) -> Sequence[str]:
    """`backup --out FILE` means `backup make --out FILE`."""
    defaults = {each.words[0]: each.words[1] for each in commands if each.is_default}
    if argv and argv[0] in defaults and argv[1:2] not in (["--help"], ["-h"]):
        follows = argv[1] if len(argv) > 1 else ""
        if follows.startswith("-"):
            return [argv[0], defaults[argv[0]], *argv[1:]]
    return argv


def build_parser(commands: Sequence[Command]) -> Parser:
    top = Parser(prog="pdvault", allow_abbrev=False)
    top.page = help_page(commands)
    top.add_argument("--version", action="version", version=f"pdvault {__version__}")
    children = top.add_subparsers(metavar="COMMAND", required=True)
    families: dict[str, Any] = {}
    for command in commands:
        parent = children
        if len(command.words) > 1:
            family = command.words[0]
            if family not in families:
                families[family] = _family(children, family, commands)
            parent = families[family]
        _add(parent, command)
    return top


def _family(children: Any, name: str, commands: Sequence[Command]) -> Any:
    members = [each for each in commands if each.words[0] == name]
    parser: Parser = children.add_parser(name, allow_abbrev=False)
    width = max(len(each.name) for each in members)
    parser.page = f"usage: pdvault {name} COMMAND [OPTION...]\n\n" + "".join(
        f"  {each.name:<{width}}  {each.summary}\n" for each in members
    )
    return parser.add_subparsers(metavar="COMMAND", required=True)


def _add(parent: Any, command: Command) -> None:
    paragraphs = [f"{command.summary[0].upper()}{command.summary[1:]}."]
    paragraphs += command.details.split("\n\n") if command.details else []
    parser: Parser = parent.add_parser(
        command.words[-1],
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n\n".join(textwrap.fill(each, _WIDTH) for each in paragraphs),
        epilog="example:\n" + textwrap.indent(command.example, "  "),
    )
    parser.set_defaults(run=command.run, words=command.name)
    groups: dict[str, Any] = {}
    for names in command.one_of:
        group = parser.add_mutually_exclusive_group()
        groups |= dict.fromkeys(names, group)
    for option in command.options:
        groups.get(option.flags[0], parser).add_argument(*option.flags, **_arguments(option))


def _arguments(option: Option) -> dict[str, Any]:
    help_text = option.help.replace("%", "%%")
    if option.default is not None:
        help_text += f" Default: {option.default}."
    arguments: dict[str, Any] = {"help": help_text}
    if option.is_flag and not option.value and not option.choices:
        return arguments | {"action": "store_true"}
    arguments |= {"type": option.read, "default": option.default}
    if isinstance(option.default, str):
        arguments["default"] = option.read(option.default)
    if option.choices:
        arguments["choices"] = option.choices
    if option.value:
        arguments["metavar"] = option.value
    elif not option.is_flag:
        arguments["metavar"] = option.flags[0].upper()
    if option.repeats:
        arguments["nargs"] = option.repeats
    if option.is_flag:
        arguments["required"] = option.is_required
    return arguments
