"""Makes audit_log.json anew: `python tests/vectors/make_audit_log.py`.

Nothing of `vault` is used here: hashes, tree, note and export lines are put together from
docs/formats.md with the standard library, and Ed25519 of pyca/cryptography. The
leaves are the golden entries of audit_entry.json, over and over.
"""

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = Path(__file__).parent
ORIGIN = "pdvault.example/audit"
WITNESS = "witness.example/w1"
TIME = 1_700_000_000
HIDDEN = {"3": "tenant", "4": "archive", "259": "tenant"}
SIZE = 260
OLDER = 5


def b64(data):
    return base64.b64encode(data).decode()


def sha256(data):
    return hashlib.sha256(data).digest()


def tree(leaves):
    """RFC 9162, section 2.1.1."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + tree(leaves[:k]) + tree(leaves[k:]))


def key(seed, name, kind):
    """The private key, its id and its verifier key."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    public = bytes([kind]) + private.public_key().public_bytes_raw()
    key_id = sha256(name.encode() + b"\n" + public)[:4]
    return private, key_id, f"{name}+{key_id.hex()}+{b64(public)}"


def note(leaves):
    body = f"{ORIGIN}\n{len(leaves)}\n{b64(tree(leaves))}\n"
    log, log_id, _ = key(1, ORIGIN, 1)
    witness, witness_id, _ = key(2, WITNESS, 4)
    cosigned = witness.sign(f"cosignature/v1\ntime {TIME}\n{body}".encode())
    return (
        f"{body}\n\u2014 {ORIGIN} {b64(log_id + log.sign(body.encode()))}\n"
        f"\u2014 {WITNESS} {b64(witness_id + TIME.to_bytes(8) + cosigned)}\n"
    )


def export(entries, leaves, version, hidden=()):
    manifest = {
        "format": f"pdvault-audit-export/{version}",
        "origin": ORIGIN,
        "from": 0,
        "until": SIZE,
        "checkpoint": note(leaves),
        "edge": [b64(b"".join(leaves[256:])), b64(tree(leaves[:256]))],
    }
    lines = [json.dumps(manifest, ensure_ascii=False, separators=(",", ":"))]
    lines.append(f'{{"t":[0,0],"h":"{b64(b"".join(leaves[:256]))}"}}')
    for index, entry in enumerate(entries):
        content = f'"e":"{b64(entry)}"'
        if index in hidden:
            content = f'"h":"{b64(leaves[index])}"'
            content += f',"why":"{hidden[index]}"' if version > 1 else ""
        lines.append(f'{{"i":{index},{content}}}')
    body = "".join(f"{line}\n" for line in lines).encode()
    return body + f'{{"end":{SIZE},"sha256":"{sha256(body).hex()}"}}\n'.encode()


def _numbered(hidden):
    return {int(index): why for index, why in hidden.items()}


def make():
    golden = json.loads((HERE / "audit_entry.json").read_text(encoding="utf-8"))
    known = [bytes.fromhex(golden[name]["entry"]) for name in sorted(golden)]
    entries = [known[index % len(known)] for index in range(SIZE)]
    leaves = [sha256(b"\x00" + entry) for entry in entries]
    first, second = export(entries, leaves, 1), export(entries, leaves, 2)
    return {
        "log_key": key(1, ORIGIN, 1)[2],
        "witness_key": key(2, WITNESS, 4)[2],
        "size": SIZE,
        "older_size": OLDER,
        "older_checkpoint": note(leaves[:OLDER]),
        "checkpoint": note(leaves),
        "root": tree(leaves).hex(),
        "tile_0_000_sha256": sha256(b"".join(leaves[:256])).hex(),
        "tile_0_001_p_4": b"".join(leaves[256:]).hex(),
        "tile_1_000_p_1": tree(leaves[:256]).hex(),
        "bundle_000_sha256": sha256(
            b"".join(len(entry).to_bytes(2) + entry for entry in entries[:256])
        ).hex(),
        "export_manifest": first.partition(b"\n")[0].decode(),
        "export_sha256": sha256(first).hex(),
        "export_2_manifest": second.partition(b"\n")[0].decode(),
        "export_2_sha256": sha256(second).hex(),
        "hidden": HIDDEN,
        "export_1_hidden_sha256": sha256(export(entries, leaves, 1, _numbered(HIDDEN))).hex(),
        "export_2_hidden_sha256": sha256(export(entries, leaves, 2, _numbered(HIDDEN))).hex(),
    }


if __name__ == "__main__":
    text = json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
    (HERE / "audit_log.json").write_text(text, encoding="utf-8")
