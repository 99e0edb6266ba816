"""The shipped bundle, and beside its callers some that only tests need.

A console that may carry people and three people, an auditor and a console of the second tenant,
a caller that is on no service's list, and one of the first tenant whose certificate ends soon.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.bearer_tokens import AUDIENCE, ISSUER, jwk, staff_key
from tests.support.policies import POLICIES

DOMAIN = "spiffe://pdvault.example"
CONSOLE = f"{DOMAIN}/shop/console"
UNLISTED = f"{DOMAIN}/shop/unlisted"
OTHER_AUDITOR = f"{DOMAIN}/other/auditor"
OTHER_CONSOLE = f"{DOMAIN}/other/console"
BRIEF = f"{DOMAIN}/shop/brief"

EXTRA_CLIENTS = {
    "console": CONSOLE,
    "unlisted": UNLISTED,
    "other-auditor": OTHER_AUDITOR,
    "other-console": OTHER_CONSOLE,
    "stranger": f"{DOMAIN}/shop/stranger",
}
"""Clients with good certificates, by the name that tests call them; the stranger is in no list."""

_TOKEN, _AUDIT, _POLICY = (
    "vault.v1.TokenService",
    "vault.v1.AuditService",
    "vault.v1.PolicyService",
)


def person(name: str) -> str:
    return f"person:{ISSUER}#{name}"


def write_bundle(folder: Path) -> Path:
    """Copies the shipped bundle to `folder` and adds the test's callers and issuer."""
    shutil.copytree(POLICIES, folder)
    add_callers(folder)
    (folder / "issuers").mkdir(exist_ok=True)
    keys = {"keys": [jwk(staff_key(), kid="k1")]}
    (folder / "issuers" / "staff.jwks.json").write_text(json.dumps(keys) + "\n")
    entry = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ["ES256"],
        "jwks": "issuers/staff.jwks.json",
        "leeway_seconds": 5,
        "max_lifetime_seconds": 3600,
    }
    (folder / "issuers.yaml").write_text(yaml.safe_dump({"issuers": [entry]}))
    return folder


def add_callers(folder: Path) -> None:
    path = folder / "callers.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    demo, other = "demo-shop", "other-shop"
    document["callers"] |= {
        CONSOLE: {"tenant": demo, "roles": [], "may_carry_people": True},
        OTHER_CONSOLE: {"tenant": other, "roles": [], "may_carry_people": True},
        UNLISTED: {"tenant": demo, "roles": ["order"]},
        BRIEF: {"tenant": demo, "roles": ["order"]},
        OTHER_AUDITOR: {"tenant": other, "roles": ["auditor"]},
        person("alice"): {"tenant": demo, "roles": ["support"]},
        person("bob"): {"tenant": demo, "roles": ["order"]},
        person("carol"): {"tenant": demo, "roles": ["support"]},
    }
    services = document["services"]
    services[_TOKEN] += [CONSOLE, OTHER_CONSOLE, BRIEF, person("alice"), person("bob")]
    services[_AUDIT] += [OTHER_AUDITOR, f"{DOMAIN}/vault/policy-owner", CONSOLE]
    services[_POLICY] += [OTHER_AUDITOR]
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
