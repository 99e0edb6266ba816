"""The proofs of transparency-dev/merkle (Apache-2.0): every verdict as they state it.

Needs the vectors beside the repository.
"""

import base64
import json
from pathlib import Path

import pytest

from vault.audit.merkle import ProofError, verify_consistency, verify_inclusion

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "merkle"

pytestmark = pytest.mark.skipif(not VECTORS.exists(), reason="no third-party vectors here")


def files(kind):
    return sorted(VECTORS.joinpath(kind).rglob("*.json"))


def raw(text):
    return base64.b64decode(text or "", validate=True)


def accepted(case):
    proof = [raw(one) for one in case["proof"] or []]
    try:
        if "leafIdx" in case:
            verify_inclusion(
                raw(case["leafHash"]), case["leafIdx"], case["treeSize"], proof, raw(case["root"])
            )
        else:
            verify_consistency(
                case["size1"], raw(case["root1"]), case["size2"], raw(case["root2"]), proof
            )
    except ProofError:
        return False
    return True


@pytest.mark.parametrize(("kind", "good"), [("inclusion", 6), ("consistency", 6)])
def test_every_verdict_is_the_vectors(kind, good):
    """98 cases each, of which 92 must be refused."""
    cases = {path: json.loads(path.read_text(encoding="utf-8")) for path in files(kind)}
    wrong = [str(path) for path, case in cases.items() if accepted(case) == case["wantErr"]]
    assert [] == wrong
    assert 98 == len(cases)
    assert good == sum(not case["wantErr"] for case in cases.values())
