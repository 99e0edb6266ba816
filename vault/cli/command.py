"""What a command is: data from which parser, help pages and docs/cli.md are all made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Audience(Enum):
    """Who uses a command; the groups of the help page, in its order."""

    EVERYBODY = "To look around"
    SHOP = "Shops (order, shipping, support, marketing)"
    CUSTODIAN = "Key custodians"
    AUDITOR = "Auditors"
    POLICY_OWNER = "Policy owners"
    OPERATOR = "Operators"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An argument of a command.

    Attributes:
        flags: `--name`, or one bare name for an argument without a flag.
        help: one sentence.
        value: its name in the usage; empty for a switch.
        read: makes the value of the text.
        choices: if it is one of a few words.
        default: shown in the help when not None.
        is_required: a flag that must be given.
        repeats: "*" or "+" for an argument that takes several values; "?" for one that may
            be left out.
    """

    flags: tuple[str, ...]
    help: str
    value: str = ""
    read: Callable[[str], object] = str
    choices: tuple[str, ...] = ()
    default: object = None
    is_required: bool = False
    repeats: str = ""

    @property
    def is_flag(self) -> bool:
        return self.flags[0].startswith("-")

    @property
    def label(self) -> str:
        """As help pages and messages name it."""
        if not self.is_flag:
            return self.flags[0].upper()
        value = self.value or ("|".join(self.choices) if self.choices else "")
        return ", ".join(self.flags) + (f" {value}" if value else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        words: what follows `pdvault`.
        audience: where the help page lists it.
        summary: one line.
        details: paragraphs of its own help page.
        options: in the order of the help.
        one_of: groups of flags of which at most one may be given.
        example: lines to copy.
        run: `module:function`, imported only when the command runs.
        is_default: its last word may be left out.
    """

    words: tuple[str, ...]
    audience: Audience
    summary: str
    run: str
    example: str
    details: str = ""
    options: tuple[Option, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = field(default=())
    is_default: bool = False

    @property
    def name(self) -> str:
        return " ".join(self.words)
