"""A client of the vault from a command line or the environment."""

import argparse
import os
import sys
from pathlib import Path

from vault.cli.output import USAGE, CommandError
from vault.client import VaultClient

_MAX_REF_BYTES = 1024


def connect(args: argparse.Namespace) -> VaultClient:
    """The client that `--address` and `--client` ask for.

    Raises:
        CommandError: one is missing.
        CredentialFilesError: a file of the client's folder can't be used.
    """
    address = args.address or os.environ.get("PDVAULT_ADDRESS")
    folder = args.client or os.environ.get("PDVAULT_CLIENT")
    if not address:
        raise CommandError(
            "no address: give --address HOST:PORT or set PDVAULT_ADDRESS",
            hint="pdvault up prints it",
            code=USAGE,
        )
    if not folder:
        raise CommandError(
            "no client certificate: give --client DIR or set PDVAULT_CLIENT",
            hint="pdvault up prints where the folders lie",
            code=USAGE,
        )
    return VaultClient.from_directory(Path(folder), address, timeout=args.timeout)


def subject_ref(args: argparse.Namespace) -> str | None:
    """The consumer's reference from the command line, a file or standard input; None: not given.

    Raises:
        CommandError: the file is not one line of text.
    """
    if args.subject_ref_file is None:
        ref: str | None = args.subject_ref
        return ref
    try:
        if args.subject_ref_file == "-":
            data = sys.stdin.buffer.read(_MAX_REF_BYTES + 1)
        else:
            with Path(args.subject_ref_file).open("rb") as file:
                data = file.read(_MAX_REF_BYTES + 1)
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = ""
    if not text or "\n" in text:
        raise CommandError("--subject-ref-file: one line of text belongs there", code=USAGE)
    return text
