"""The files of a bundle: read once, within limits, and digested.

Guarantees: every file is UTF-8 text, lies inside the folder, has a known name and
looks complete. What the text means is left to others.

A file is taken for half-written, and refused, when it is empty or when its last line
has no line end (a Cedar file may also end with the `;` of its last policy).
"""

import hashlib
import re
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from vault.policy.faults import Faults, quoted

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 100

SCHEMA = "vault.cedarschema"
GUARDRAILS = "guardrails.cedar"
FIELD_TYPES = "field_types.yaml"
PURPOSES = "purposes.yaml"
CALLERS = "callers.yaml"
ISSUERS = "issuers.yaml"
REQUIRED = (SCHEMA, GUARDRAILS, FIELD_TYPES, PURPOSES, CALLERS)
KEYS_FOLDER = "issuers"
"""The issuers' public key sets, `issuers/NAME.jwks.json`; files of the bundle like the others."""
TABLES_FOLDER = "tests"
"""Decision tables lie here. They test the rules and are no part of them, nor of the digest."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f]")
_DIGEST_LABEL = b"pdvault bundle v1"


def bundle_digest(files: Mapping[str, bytes]) -> bytes:
    """The digest that names a bundle.

    SHA-256 over: the 17 bytes `pdvault bundle v1`; the number of files; then for each file,
    sorted by the bytes of its name: length of the name, name (UTF-8), length of the
    content, content. Numbers are 8 bytes, big-endian.

    Args:
        files: name within the folder -> content. No decision tables.

    Returns:
        32 bytes.
    """
    digest = hashlib.sha256(_DIGEST_LABEL)
    digest.update(len(files).to_bytes(8, "big"))
    for name, content in sorted((name.encode(), content) for name, content in files.items()):
        digest.update(len(name).to_bytes(8, "big") + name)
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()


def read_bundle_files(directory: Path, faults: Faults) -> dict[str, bytes]:
    """Every rule file of the folder: `vault.cedarschema`, `*.cedar` and the known YAML files.

    Names that begin with a dot are left out (editors and mounted volumes make them);
    any other unknown name is a fault, because a rule file with a typing error in its name
    would otherwise be missing without a word.
    """
    skip = (KEYS_FOLDER, TABLES_FOLDER)
    found = read_folder(directory, faults, is_known=_is_rule_file, skip=skip)
    found |= _read_subfolder(directory, KEYS_FOLDER, ".jwks.json", faults)
    for name in REQUIRED:
        if name not in found and not faults.names(name) and not faults.names("."):
            faults.add(name, 1, "the file is missing")
    return found


def read_tables(directory: Path, faults: Faults) -> dict[str, bytes]:
    """The decision tables of a bundle's folder, by name (`tests/delivery.yaml`); may be none."""
    return _read_subfolder(directory, TABLES_FOLDER, ".yaml", faults)


def _read_subfolder(directory: Path, name: str, suffix: str, faults: Faults) -> dict[str, bytes]:
    if not (directory / name).exists():
        return {}
    found = read_folder(
        directory / name, faults, is_known=lambda file: file.endswith(suffix), prefix=f"{name}/"
    )
    return {f"{name}/{file}": content for file, content in found.items()}


def read_folder(
    directory: Path,
    faults: Faults,
    *,
    is_known: Callable[[str], bool],
    skip: Collection[str] = (),
    prefix: str = "",
) -> dict[str, bytes]:
    """The files directly in a folder; a fault for each that may not be there."""
    try:
        home = directory.resolve(strict=True)
        paths = sorted(path for path in home.iterdir() if not path.name.startswith("."))
    except OSError as error:
        faults.add(".", 1, f"the folder can't be read: {error.strerror}")
        return {}
    paths = [path for path in paths if path.name not in skip]
    if len(paths) > MAX_FILES:
        faults.add(".", 1, f"{len(paths)} files; at most {MAX_FILES}")
        return {}
    found: dict[str, bytes] = {}
    for path in paths:
        if not is_known(path.name):
            faults.add(prefix + path.name, 1, "not a file of a bundle")
            continue
        content = _read(path, home, prefix + path.name, faults)
        if content is not None:
            found[path.name] = content
    return found


def _is_rule_file(name: str) -> bool:
    known = (SCHEMA, FIELD_TYPES, PURPOSES, CALLERS, ISSUERS)
    return name in known or (name.endswith(".cedar") and name.isascii())


def _read(path: Path, home: Path, name: str, faults: Faults) -> bytes | None:
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(home):
            faults.add(name, 1, "a link that leads out of the folder")
            return None
        if not stat.S_ISREG(target.stat().st_mode):
            faults.add(name, 1, "not a regular file")
            return None
        with target.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        faults.add(name, 1, f"can't be read: {error.strerror}")
        return None
    problem, line = _content_problem(name, content)
    if problem:
        faults.add(name, line, problem)
        return None
    return content


def _content_problem(name: str, content: bytes) -> tuple[str, int]:
    """What is wrong with a file's bytes, and on which line."""
    if len(content) > MAX_FILE_BYTES:
        return f"longer than {MAX_FILE_BYTES} bytes", 1
    if not content.strip():
        return "the file is empty", 1
    last_line = content.count(b"\n") + 1
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return "not UTF-8", content.count(b"\n", 0, error.start) + 1
    for line, row in enumerate(text.split("\n"), start=1):
        if _CONTROL.search(row):
            return f"a control character in {quoted(row.strip())}", line
    ends_whole = text.endswith("\n") or (".cedar" in name and text.endswith((";", "}")))
    if not ends_whole:
        return "the last line has no end; the file looks half-written", last_line
    return "", 1
