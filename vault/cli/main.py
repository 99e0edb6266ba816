"""The command `pdvault`: finds the command, runs it, and turns what ends it into an exit code.

Guarantees: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted; no traceback for
what can be expected; help without importing what commands need.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

from vault.cli.commands import COMMANDS
from vault.cli.output import DONE, INTERRUPTED, CommandError, report
from vault.cli.parser import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Raises:
        SystemExit: help was asked for, or the usage is wrong.
    """
    args = parse(COMMANDS, sys.argv[1:] if argv is None else argv)
    module, _, name = args.run.partition(":")
    try:
        code: int = _load(module).__dict__[name](args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough, as in `pdvault audit list | head`. The interpreter
        # would complain once more when it flushes at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # noqa: BLE001  the last door: everything becomes an exit code
        failure = _describe(error)
        report(failure)
        return failure.code
    return code


def _load(module: str) -> ModuleType:
    """Imports a command, without looking for garbage, which would take a fifth of the time."""
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.enable()


def _describe(error: Exception) -> CommandError:
    if isinstance(error, CommandError):
        return error
    try:
        describe: Callable[[Exception], CommandError] = import_module("vault.cli.faults").describe
    except ImportError as missing:
        return CommandError(f"the installation is not whole: {missing.name} can't be loaded")
    return describe(error)
