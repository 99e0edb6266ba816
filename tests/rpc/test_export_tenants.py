"""An export shows a tenant its own entries, and of all others nothing but hashes."""

import pytest

from tests.support.service import spiffe_id, wait_until
from tests.support.service_bundle import EXTRA_CLIENTS
from vault.audit.entry import decode, leaf_hash
from vault.audit.export_format import ExportWriter
from vault.audit.verify import verify_export
from vault.cli.export_lines import begin_export, export_lines
from vault.cli.log_keys import trusted_keys
from vault.client import ExportHead, ExportLeaves, VaultClient

TENANTS = {"auditor": "demo-shop", "other-auditor": "other-shop"}


@pytest.fixture
def client(service, tmp_path):
    def client(name):
        issued = service.certificate(spiffe_id(name))
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tls.crt").write_bytes(issued.certificate_pem)
        (folder / "tls.key").write_bytes(issued.key_pem)
        (folder / "ca.crt").write_bytes(service.instance.pki.authority_file.read_bytes())
        return VaultClient.from_directory(folder, service.address)

    return client


def published(vault):
    """The size of a checkpoint that covers what this tenant's auditor sees now."""
    newest = next(vault.list_entries(page_size=1)).entry_id
    found = []

    def is_published():
        found[:] = [vault.prove_inclusion([newest])]
        return found[0].proofs[0].is_included

    wait_until(is_published, seconds=20, text="nothing was published")
    return found[0].checkpoint.size


def test_each_tenant_sees_its_own_entries_and_the_same_tree(service, client):
    assert "other-auditor" in EXTRA_CLIENTS
    service.tokenize({"phone": "13812345678"}, caller="order")
    service.tokenize({"phone": "13812345678"}, caller="other-order")
    clients = {name: client(name) for name in TENANTS}
    sizes = [published(vault) for vault in clients.values()]
    leaves = {}
    for name, tenant in TENANTS.items():
        with clients[name] as vault:
            pieces = list(vault.export_entries(0, 0, max(sizes)))
        head = pieces[0]
        assert isinstance(head, ExportHead)
        leaves[tenant] = [
            leaf for piece in pieces if isinstance(piece, ExportLeaves) for leaf in piece.leaves
        ]
        seen = [leaf for leaf in leaves[tenant] if leaf.entry is not None]
        assert {tenant} == {decode(leaf.entry).tenant for leaf in seen} - {""}
        assert all(leaf_hash(leaf.entry) == leaf.leaf_hash for leaf in seen)
        assert len(seen) < len(leaves[tenant])

        writer: ExportWriter = begin_export(head)
        lines = [line for line, _ in export_lines(writer, pieces)]
        keys = trusted_keys(None, head.checkpoint)
        report = verify_export(iter([writer.manifest_line, *lines]), keys)
        assert ((), len(leaves[tenant]) - len(seen)) == (report.findings, report.hidden)
    own, other = leaves.values()
    assert [leaf.leaf_hash for leaf in own] == [leaf.leaf_hash for leaf in other]
    # What one of them sees, the other does not, but for callers of no tenant.
    for one, two in zip(own, other, strict=True):
        if one.entry is not None and two.entry is not None:
            assert "" == decode(one.entry).tenant
