"""Roles that exclude each other: a bundle in which somebody has both is refused, with the line."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from vault.policy import BundleError, load_bundle
from vault.policy.exclusion import KEEPERS

Edit = Callable[[str, str, str], None]
_NEW = """callers:
  spiffe://pdvault.example/vault/both:
    tenant: demo-shop
    roles: [{}]
"""


def faults(folder: Path) -> list[tuple[str, str]]:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    return [(fault.field, fault.text) for fault in caught.value.faults]


def line_of(folder: Path, name: str, text: str) -> str:
    content = (folder / name).read_text()
    return f"{name}:{content.count(chr(10), 0, content.index(text)) + 1}"


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(KEEPERS, 2)))
def test_nobody_has_two_keepers_roles(folder: Path, edit: Edit, one: str, other: str) -> None:
    edit("callers.yaml", "\ncallers:\n", "\n" + _NEW.format(f"{other}, {one}"))
    where = line_of(folder, "callers.yaml", f"roles: [{other}, {one}]")
    assert [(where, f"{one} and {other} exclude each other")] == faults(folder)


@pytest.mark.parametrize("keeper", KEEPERS)
def test_no_keeper_serves_a_purpose(folder: Path, edit: Edit, keeper: str) -> None:
    edit("callers.yaml", "\ncallers:\n", "\n" + _NEW.format(f"{keeper}, support"))
    where = line_of(folder, "callers.yaml", f"roles: [{keeper}, support]")
    assert [(where, f"{keeper} excludes support, which serves a purpose")] == faults(folder)


@pytest.mark.parametrize("keeper", KEEPERS)
def test_no_keeper_erases(folder: Path, edit: Edit, keeper: str) -> None:
    edit("callers.yaml", "\ncallers:\n", "\n" + _NEW.format(f"{keeper}, privacy"))
    where = line_of(folder, "callers.yaml", f"roles: [{keeper}, privacy]")
    assert [(where, f"{keeper} excludes a role that erases")] == faults(folder)


def test_a_keepers_role_that_may_erase_by_another_rule_is_found(folder: Path, edit: Edit) -> None:
    more = '@id("x-erases")\npermit (\n  principal in Role::"custodian",\n'
    edit("acts.cedar", "", f'{more}  action == Action::"erase_subject",\n  resource\n);\n')
    text = "custodian excludes a role that erases"
    assert [text, text] == [each for _, each in faults(folder)]


def test_no_purpose_is_served_by_a_keeper(folder: Path, edit: Edit) -> None:
    edit("purposes.yaml", "roles: [marketing]", "roles: [auditor, marketing]")
    where = line_of(folder, "purposes.yaml", "roles: [auditor, marketing]")
    assert [(where, "auditor is a keeper's role: it serves no purpose")] == faults(folder)


def test_roles_that_do_not_exclude_each_other_go_together(folder: Path, edit: Edit) -> None:
    edit("callers.yaml", "\ncallers:\n", "\n" + _NEW.format("order, privacy, support"))
    assert load_bundle(folder).caller("spiffe://pdvault.example/vault/both") is not None
