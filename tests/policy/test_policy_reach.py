"""What a bundle lets happen: kept, compared, and named where it became more."""

import json
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.policies import POLICIES
from tests.support.service_bundle import write_bundle
from vault.policy import Bundle, load_bundle
from vault.policy.reach import (
    MAX_SHOWN,
    Reach,
    ReachFormatError,
    decode_reach,
    encode_reach,
    reach_of,
    widened,
)

Edit = Callable[[str, str, str], None]
_SHOP = "spiffe://pdvault.example/shop"
_NEW_CALLER = """callers:
  spiffe://pdvault.example/shop/second-support:
    tenant: demo-shop
    roles: [support]
"""


@pytest.fixture(scope="module")
def before(shipped: Bundle) -> Reach:
    return reach_of(shipped)


def gains(before: Reach, folder: Path) -> list[tuple[str, str]]:
    return [(each.field, each.text) for each in widened(before, reach_of(load_bundle(folder)))]


def test_a_reach_is_kept_as_bytes_and_comes_back_the_same(before: Reach) -> None:
    kept = encode_reach(before)
    assert before == decode_reach(kept)
    assert kept == encode_reach(decode_reach(kept))
    assert () == widened(before, decode_reach(kept))


@pytest.mark.parametrize(
    "data", [b"", b"x", zlib.compress(b"{}"), zlib.compress(b"[]"), zlib.compress(b'{"reach":1}')]
)
def test_other_bytes_are_no_reach(data: bytes) -> None:
    with pytest.raises(ReachFormatError):
        decode_reach(data)


def test_a_profile_out_of_range_is_no_reach(before: Reach) -> None:
    document = json.loads(zlib.decompress(encode_reach(before)))
    next(iter(document["callers"].values()))[1] = -1000
    with pytest.raises(ReachFormatError):
        decode_reach(zlib.compress(json.dumps(document).encode()))


def test_words_alone_widen_nothing(before: Reach, folder: Path, edit: Edit) -> None:
    edit("purposes.yaml", "owner: Customer care", "owner: Consumer care")
    edit("purposes.yaml", "owner: Accounting", "owner: Bookkeeping")
    assert [] == gains(before, folder)


_NARROWER = {
    "a view": ("purposes.yaml", "      email: masked\n    retention_days: 365", None),
    "a service": ("callers.yaml", "    - spiffe://pdvault.example/shop/privacy\n", None),
    "consent": (
        "purposes.yaml",
        "legal_basis: legitimate_interest\n    needs_consent: false",
        "legal_basis: legitimate_interest\n    needs_consent: true",
    ),
}


@pytest.mark.parametrize("what", _NARROWER)
def test_less_is_not_wider_and_back_again_is(
    before: Reach, folder: Path, edit: Edit, what: str
) -> None:
    name, old, new = _NARROWER[what]
    if what == "a service":
        old = f"  vault.v1.SubjectService:\n{old}"
        new = "  vault.v1.SubjectService: []\n"
    edit(name, old, "    retention_days: 365" if new is None else new)
    narrower = reach_of(load_bundle(folder))
    assert () == widened(before, narrower)
    assert () != widened(narrower, before)


_NAMED = """
@id("more")
permit (
  principal == Caller::"spiffe://pdvault.example/shop/support",
  action == Action::"reveal_full",
  resource
)
when { context.purpose == Purpose::"after_sales" };
"""
_WIDER = {
    "a higher view": (
        "purposes.yaml",
        "      email: masked\n    retention_days: 365",
        "      email: full\n    retention_days: 365",
        [("purposes.yaml", f"{_SHOP}/support may see email full for after_sales")],
    ),
    "another field type": (
        "purposes.yaml",
        "      email: masked\n    retention_days: 365",
        "      email: masked\n      birth_date: coarse\n    retention_days: 365",
        [("purposes.yaml", f"{_SHOP}/support may see birth_date coarse for after_sales")],
    ),
    "another role of a purpose": (
        "purposes.yaml",
        "roles: [support]\n    reveals:\n      person_name: masked\n",
        "roles: [marketing, support]\n    reveals:\n      person_name: masked\n",
        None,
    ),
    "no consent needed": (
        "purposes.yaml",
        "    legal_basis: consent\n    needs_consent: true",
        "    legal_basis: contract\n    needs_consent: false",
        None,
    ),
    "a new caller": ("callers.yaml", "\ncallers:\n", "\n" + _NEW_CALLER, None),
    "another service": (
        "callers.yaml",
        "  vault.v1.AuditService:\n",
        "  vault.v1.AuditService:\n    - spiffe://pdvault.example/shop/order\n",
        [("callers.yaml", f"{_SHOP}/order may call vault.v1.AuditService")],
    ),
    "carrying people": (
        "callers.yaml",
        "    roles: [marketing]\n",
        "    roles: [marketing]\n    may_carry_people: true\n",
        [("callers.yaml", f"{_SHOP}/marketing may carry people")],
    ),
    "an act": (
        "acts.cedar",
        '[Action::"read_keys", Action::"control_job"],',
        '[Action::"read_keys", Action::"control_job", Action::"get_bundle"],',
        [("acts.cedar", "spiffe://pdvault.example/vault/operator may get_bundle")],
    ),
    "a field type to hand in": (
        "purposes.yaml",
        "    roles: [support]\n    reveals:\n      person_name: masked\n",
        "    roles: [support]\n    collects: [email]\n    reveals:\n      person_name: masked\n",
        [("acts.cedar", f"{_SHOP}/support may tokenize:email")],
    ),
    "a guardrail less": (
        "guardrails.cedar",
        'unless { context.purpose == Purpose::"refund" };',
        'unless { context.purpose in [Purpose::"refund", Purpose::"fraud_review"] };',
        [],  # fraud_review reveals no whole card, so nothing follows
    ),
    "a view drawn with more": (
        "field_types.yaml",
        "masked: {masked: {keep_first: 1, keep_last: 1, mask: '*'}}",
        "masked: {masked: {keep_first: 3, keep_last: 1, mask: '*'}}",
        [("field_types.yaml", "resident_id/masked is drawn in another way")],
    ),
    "a permit for one caller by name": (
        "reveal.cedar",
        "",
        _NAMED,
        None,
    ),
}


@pytest.mark.parametrize("what", _WIDER)
def test_more_is_named(before: Reach, folder: Path, edit: Edit, what: str) -> None:
    name, old, new, expected = _WIDER[what]
    edit(name, old, new)
    found = gains(before, folder)
    if expected is not None:
        assert expected == found
    else:
        assert found
    back = widened(reach_of(load_bundle(folder)), before)
    # The drawing of a view can be told to differ, not to be less.
    assert (what == "a view drawn with more") == bool(back)


def test_two_callers_of_one_role_differ_where_a_policy_names_one(folder: Path, edit: Edit) -> None:
    edit("callers.yaml", "\ncallers:\n", "\n" + _NEW_CALLER)
    before = reach_of(load_bundle(folder))
    _, old, new, _ = _WIDER["a permit for one caller by name"]
    edit("reveal.cedar", old, new)
    texts = [text for _, text in gains(before, folder)]
    assert texts
    assert {True} == {text.startswith(f"{_SHOP}/support may see ") for text in texts}


def test_another_tenant_makes_everything_new(before: Reach, folder: Path, edit: Edit) -> None:
    edit(
        "callers.yaml",
        "shop/marketing:\n    tenant: demo-shop",
        "shop/marketing:\n    tenant: other-shop",
    )
    texts = [text for _, text in gains(before, folder)]
    assert f"{_SHOP}/marketing may see phone masked for marketing with consent" in texts
    assert f"{_SHOP}/marketing may call vault.v1.TokenService" in texts


def test_who_vouches_for_people_counts(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "policies")
    before = reach_of(load_bundle(folder))
    path = folder / "issuers" / "staff.jwks.json"
    keys: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({"keys": [*keys["keys"], keys["keys"][0] | {"kid": "k2"}]}) + "\n")
    [(file, text)] = gains(before, folder)
    assert "issuers.yaml" == file
    assert text.endswith(" is new")
    assert () == widened(reach_of(load_bundle(folder)), before)


def test_many_widenings_are_counted(before: Reach, folder: Path) -> None:
    path = folder / "purposes.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    for purpose in document["purposes"].values():
        purpose["roles"] = ["order", "shipping", "support", "marketing"]
    path.write_text(_dumped(document))
    found = gains(before, folder)
    assert MAX_SHOWN + 1 == len(found)
    assert found[-1][0] == "bundle"
    assert found[-1][1].startswith("and ")


def test_a_big_bundle_is_asked_quickly(tmp_path: Path) -> None:
    """1,000 callers, 50 purposes, 20 field types, 20 roles."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "policies"))
    _make_big(folder)
    bundle = load_bundle(folder)
    assert (1012, 57) == (len(bundle.callers), len(bundle.purposes))
    began = time.process_time()
    reach = reach_of(bundle)
    asked = time.process_time() - began
    kept = encode_reach(reach)
    again = decode_reach(kept)
    assert () == widened(reach, again)
    compared = time.process_time() - began - asked
    print(f"asked {asked:.2f} s, kept and compared {compared:.3f} s, {len(kept)} bytes")
    assert asked < 10
    assert compared < 2
    assert len(kept) < 1_000_000


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 the loader takes none
        return True


def _dumped(document: Any) -> str:
    return str(yaml.dump(document, Dumper=_NoAliases, sort_keys=False))


def _make_big(folder: Path) -> None:
    types: dict[str, Any] = yaml.safe_load((folder / "field_types.yaml").read_text())
    phone = types["field_types"]["phone"]
    for number in range(12):
        prefix = f"p{chr(97 + number)}"
        types["field_types"][f"phone_{number}"] = phone | {"token_prefix": prefix}
    (folder / "field_types.yaml").write_text(_dumped(types))
    purposes: dict[str, Any] = yaml.safe_load((folder / "purposes.yaml").read_text())
    model = purposes["purposes"]["after_sales"]
    views = dict.fromkeys(types["field_types"], "full")
    for number in range(50):
        roles = [f"role_{(number + step) % 20}" for step in range(3)]
        purposes["purposes"][f"purpose_{number}"] = model | {"roles": roles, "reveals": views}
    (folder / "purposes.yaml").write_text(_dumped(purposes))
    callers: dict[str, Any] = yaml.safe_load((folder / "callers.yaml").read_text())
    for number in range(20):
        callers["roles"][f"role_{number}"] = "One of many."
    for number in range(1000):
        name = f"spiffe://pdvault.example/many/{number}"
        callers["callers"][name] = {"tenant": "demo-shop", "roles": [f"role_{number % 20}"]}
        callers["services"]["vault.v1.TokenService"].append(name)
    (folder / "callers.yaml").write_text(_dumped(callers))
