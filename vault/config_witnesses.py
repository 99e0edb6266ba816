"""The list of witnesses: a TOML file of its own, one `[[witness]]` for each.

Guarantees: every address and key is well formed, no name and no key is there twice; all
faults are named at once. Whether a witness answers is found out at start.
"""

import datetime as dt
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vault import config_files
from vault.audit.note import KeyFormatError, KeyType, VerifierKey
from vault.config_files import FileError
from vault.errors import Violation
from vault.settings import Setting, read_section

MOST_WITNESSES = 16
"""A note holds 16 cosignatures anywhere (C2SP signed-note)."""
_TABLE = "witness"
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessConfig:
    """One witness (C2SP tlog-witness)."""

    url: Annotated[
        str,
        Setting("Its submission prefix, `https://HOST:PORT/PATH`; `http://` only on this machine."),
    ]
    verifier_key: Annotated[
        str, Setting("Its key, type cosignature/v1: `NAME+ID+KEY`. NAME is the witness's name.")
    ]
    ca_file: Annotated[
        Path | None, Setting("CAs of its certificate, in PEM; none: those of the system.")
    ] = None

    @property
    def key(self) -> VerifierKey:
        """Raises: KeyFormatError."""
        return VerifierKey.parse(self.verifier_key)


def read_witnesses(
    path: Path, *, now: dt.datetime
) -> tuple[tuple[WitnessConfig, ...], list[Violation]]:
    """Reads the list. Relative paths in it start at its folder.

    Returns:
        The witnesses that are well formed, and every fault.

    Raises:
        FileError: it can't be read, or is no list of witnesses.
    """
    try:
        document = tomllib.loads(config_files.read_file(path).decode("utf-8"))
    except FileError:
        raise
    except (ValueError, RecursionError):
        raise FileError("is not TOML in UTF-8") from None
    tables = document.get(_TABLE)
    if set(document) != {_TABLE} or not isinstance(tables, list):
        raise FileError("must hold [[witness]] tables and nothing else")
    if not 0 < len(tables) <= MOST_WITNESSES:
        raise FileError(f"must hold 1 to {MOST_WITNESSES} witnesses")
    found: list[WitnessConfig] = []
    faults: list[Violation] = []
    seen: set[str | bytes] = set()
    for number, table in enumerate(tables, start=1):
        name = f"{_TABLE} {number}"
        one, wrong = read_section(WitnessConfig, table, name=name, folder=path.parent)
        faults += wrong
        if one is not None:
            faults += [Violation(f"{name}.{key}", text) for key, text in _judge(one, seen, now)]
            found.append(one)
    return tuple(found), faults


def _judge(one: WitnessConfig, seen: set[str | bytes], now: dt.datetime) -> list[tuple[str, str]]:
    faults = []
    scheme = None
    try:
        scheme = config_files.check_http_address(one.url, may_have_path=True)
    except FileError as error:
        faults.append(("url", str(error)))
    try:
        key = one.key
    except KeyFormatError as error:
        faults.append(("verifier_key", str(error)))
    else:
        if key.type is not KeyType.COSIGNATURE:
            faults.append(("verifier_key", "is not of the type cosignature"))
        elif len(key.name) > _LONGEST_NAME:
            faults.append(("verifier_key", "has a name that is too long"))
        elif seen & {key.name, key.public_key}:
            faults.append(("verifier_key", "has a name or a key that another witness has"))
        seen |= {key.name, key.public_key}
    if one.ca_file is not None:
        try:
            config_files.check_ca(one.ca_file, now=now)
        except FileError as error:
            faults.append(("ca_file", str(error)))
        if scheme == "http":
            faults.append(("ca_file", "is given, but the address is http://"))
    return faults
