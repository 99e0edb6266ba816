"""What a new private OpenBao holds: root keys, the log's signing key, policies and three AppRoles.

Runs once, with the root token, which it revokes at its end. The recovery key can
make another one.
"""

from pathlib import Path

from vault.embedded.bao_api import BaoApi
from vault.embedded.files import write_file
from vault.embedded.ports import HOST
from vault.embedded.state import EmbeddedError

SERVICE = "pdvault-service"
CUSTODIAN = "pdvault-custodian"
OPERATOR = "pdvault-operator"
TRANSIT_MOUNT = "transit"
KEY_PREFIX = "pdv-"
"""What the name of a tenant's root key begins with, as `service.hcl` has it."""
SIGNING_KEY = "pdv-audit-log"
"""Signs the audit log's checkpoints; its name stands in `service.hcl` as well."""
APPROVAL_KEY = "pdv-custody"
"""Signs custodians' approvals; its name stands in `custodian.hcl` as well."""
BACKUP_KEY = "pdv-backup"
"""Wraps the keys of backups; its name stands in `custodian.hcl` as well."""
TENANTS = ("demo-shop", "other-shop")
_TOKEN_TTL = "1h"  # noqa: S105  a duration
_OPERATOR_POLICY = 'path "sys/seal" { capabilities = ["update", "sudo"] }\n'
_PACKAGE = Path(__file__).parent


def set_up(api: BaoApi, folder: Path) -> None:
    """Fill a new server.

    Args:
        api: with the root token.
        folder: where `NAME.role_id` and `NAME.secret_id` are written.

    Raises:
        EmbeddedError: OpenBao refused.
    """
    api.call("POST", f"sys/mounts/{TRANSIT_MOUNT}", {"type": "transit"})
    for tenant in TENANTS:
        api.call(
            "POST",
            f"{TRANSIT_MOUNT}/keys/{KEY_PREFIX}{tenant}",
            {"type": "aes256-gcm96", "derived": True, "exportable": False},
        )
    for key, kind in (
        (SIGNING_KEY, "ed25519"),
        (APPROVAL_KEY, "ed25519"),
        (BACKUP_KEY, "aes256-gcm96"),
    ):
        api.call(
            "POST",
            f"{TRANSIT_MOUNT}/keys/{key}",
            {"type": kind, "derived": False, "exportable": False},
        )
    api.call("PUT", f"sys/policies/acl/{SERVICE}", {"policy": policy_text("service")})
    api.call("PUT", f"sys/policies/acl/{CUSTODIAN}", {"policy": policy_text("custodian")})
    api.call("PUT", f"sys/policies/acl/{OPERATOR}", {"policy": _OPERATOR_POLICY})
    api.call("POST", "sys/auth/approle", {"type": "approle"})
    for role in (SERVICE, CUSTODIAN, OPERATOR):
        _make_role(api, role, folder)
    api.call("POST", "auth/token/revoke-self")


def policy_text(name: str) -> str:
    """An OpenBao policy, `service` or `custodian`: the same text that production uses.

    Raises:
        EmbeddedError: the file is missing.
    """
    for place in (
        _PACKAGE.parents[1] / "deploy" / "openbao" / f"{name}.hcl",  # a checkout
        _PACKAGE / f"{name}.hcl",  # an installed package: the same file
    ):
        if place.exists():
            return place.read_text()
    raise EmbeddedError(f"{name}.hcl, an OpenBao policy of pdvault, is missing")


def _make_role(api: BaoApi, role: str, folder: Path) -> None:
    path = f"auth/approle/role/{role}"
    api.call(
        "POST",
        path,
        {
            "token_policies": [role],
            "token_no_default_policy": True,
            "token_ttl": _TOKEN_TTL,
            "token_max_ttl": 0,  # renewable up to the server's own maximum
            "token_bound_cidrs": [f"{HOST}/32"],
            "secret_id_bound_cidrs": [f"{HOST}/32"],
            "secret_id_ttl": 0,
            "secret_id_num_uses": 0,
        },
    )
    write_file(folder / f"{role}.role_id", _datum(api, "GET", f"{path}/role-id", "role_id"))
    write_file(folder / f"{role}.secret_id", _datum(api, "POST", f"{path}/secret-id", "secret_id"))


def _datum(api: BaoApi, method: str, path: str, name: str) -> str:
    data = api.call(method, path)["data"]
    if not isinstance(data, dict):
        raise EmbeddedError("OpenBao: an answer of an unknown form")
    return str(data[name])
