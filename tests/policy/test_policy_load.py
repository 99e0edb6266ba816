"""Loading: what makes a bundle broken, and where the fault is said to be."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vault.policy import BundleError, load_bundle
from vault.policy.files import MAX_FILE_BYTES, MAX_FILES, bundle_digest

SHIPPING_ROLE = """    roles: [shipping]
    reveals:
      person_name: full
      phone: full
      postal_address: full
    retention_days: 90"""
Edit = Callable[[str, str, str], None]


def faults_of(folder: Path) -> dict[str, str]:
    """Place -> all that is wrong there."""
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    found: dict[str, str] = {}
    for fault in caught.value.faults:
        found[fault.field] = f"{found.get(fault.field, '')} {fault.text}".strip()
    assert found
    return found


def line_of(folder: Path, name: str, text: str) -> int:
    """The line of the first occurrence."""
    content = (folder / name).read_text()
    return content.count("\n", 0, content.index(text)) + 1


def test_the_shipped_bundle_loads(folder: Path) -> None:
    bundle = load_bundle(folder)
    counts = bundle.counts
    assert (18, len(bundle.field_types), 7, 12) == (
        counts.policies,
        counts.field_types,
        counts.purposes,
        counts.callers,
    )
    assert len(bundle.digest) == 32


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    found = faults_of(tmp_path)
    assert "the file is missing" in found["guardrails.cedar:1"]
    assert len(found) == 5
    assert "can't be read" in faults_of(tmp_path / "nowhere")[".:1"]


@pytest.mark.parametrize(
    "name",
    [
        "vault.cedarschema",
        "reveal.cedar",
        "guardrails.cedar",
        "purposes.yaml",
        "callers.yaml",
        "field_types.yaml",
        "issuers.yaml",
    ],
)
class TestEveryFile:
    def test_empty(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes(b"")
        assert "empty" in faults_of(folder)[f"{name}:1"]

    def test_blank(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes(b" \n\t\n")
        assert "empty" in faults_of(folder)[f"{name}:1"]

    def test_not_utf8(self, folder: Path, name: str) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes() + b"# \xff\n")
        line = path.read_bytes().count(b"\n")
        assert {f"{name}:{line}": "not UTF-8"} == faults_of(folder)

    def test_control_character(self, folder: Path, name: str) -> None:
        path = folder / name
        path.write_bytes(b"\n# \x00\n" + path.read_bytes())
        assert "control character" in faults_of(folder)[f"{name}:2"]

    def test_too_long(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes(b"#" * (MAX_FILE_BYTES + 1))
        assert "longer than" in faults_of(folder)[f"{name}:1"]

    def test_not_a_file(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert "not a regular file" in faults_of(folder)[f"{name}:1"]

    def test_a_link_out_of_the_folder(self, folder: Path, name: str, tmp_path: Path) -> None:
        (folder / name).rename(tmp_path / "elsewhere")
        (folder / name).symlink_to(tmp_path / "elsewhere")
        assert "leads out" in faults_of(folder)[f"{name}:1"]

    def test_a_link_within_the_folder_is_taken(self, folder: Path, name: str) -> None:
        """Mounted configuration volumes look like this."""
        (folder / "..data").mkdir()
        (folder / name).rename(folder / "..data" / name)
        (folder / name).symlink_to(Path("..data") / name)
        assert load_bundle(folder).digest

    def test_a_changed_byte_changes_the_digest(self, folder: Path, name: str) -> None:
        before = load_bundle(folder).digest
        path = folder / name
        path.write_bytes(path.read_bytes() + b"\n")
        assert before != load_bundle(folder).digest


@pytest.mark.parametrize("name", ["guardrails.cedar", "vault.cedarschema", "callers.yaml"])
def test_a_file_cut_short_anywhere_is_refused(folder: Path, name: str) -> None:
    """These three fail for every cut that takes more than blank lines away."""
    whole = (folder / name).read_bytes().rstrip()
    # The allow-list of the last service may end early; then it takes fewer callers, never more.
    last = len(whole) - (250 if name == "callers.yaml" else 1)
    for length in range(0, last, 97):
        (folder / name).write_bytes(whole[:length])
        faults_of(folder)


@pytest.mark.parametrize("name", ["reveal.cedar", "acts.cedar", "purposes.yaml"])
def test_a_file_cut_short_never_gives_more(folder: Path, name: str) -> None:
    """Cut between two permits or two purposes, the rest is sound, and gives less."""
    whole = (folder / name).read_bytes()
    full = load_bundle(folder).counts
    for length in range(0, len(whole) - 1, 97):
        (folder / name).write_bytes(whole[:length])
        try:
            counts = load_bundle(folder).counts
        except BundleError:
            continue
        assert counts.policies < full.policies or counts.purposes < full.purposes


def test_unknown_files_are_refused_and_dotted_ones_left_out(folder: Path) -> None:
    (folder / ".guardrails.cedar.swp").write_bytes(b"\x00")
    before = load_bundle(folder).digest
    (folder / "guardrails.ceder").write_text("x\n")
    (folder / "more").mkdir()
    assert {"guardrails.ceder:1", "more:1"} == set(faults_of(folder))
    assert len(before) == 32


def test_too_many_files(folder: Path) -> None:
    for i in range(MAX_FILES):
        (folder / f"p{i}.cedar").write_text("\n")
    assert "at most" in faults_of(folder)[".:1"]


def test_key_sets_are_files_of_the_bundle(folder: Path) -> None:
    before = load_bundle(folder).digest
    (folder / "issuers").mkdir()
    (folder / "issuers" / "staff.jwks.json").write_text("{}\n")
    bundle = load_bundle(folder)
    assert before != bundle.digest
    assert b"{}\n" == bundle.read_file("issuers/staff.jwks.json")
    assert {"issuers": []} == bundle.issuers_document
    with pytest.raises(FileNotFoundError):
        bundle.read_file("issuers/../callers.yaml")
    (folder / "issuers" / "private.key").write_text("x\n")
    assert {"issuers/private.key:1"} == set(faults_of(folder))


def test_decision_tables_are_not_in_the_digest(folder: Path) -> None:
    before = load_bundle(folder).digest
    (folder / "tests" / "shipping.yaml").unlink()
    assert before == load_bundle(folder).digest


class TestDigest:
    def test_golden(self) -> None:
        """Computed with printf and sha256sum from the description in the docstring."""
        assert (
            "c5affa432113a001a6d59adf851cc1271b8e9b6f733449b63a1a749d17f8defe"
            == bundle_digest({"b": b"", "a": b"x\n"}).hex()
        )

    def test_names_and_contents_do_not_run_together(self) -> None:
        assert bundle_digest({"ab": b"c"}) != bundle_digest({"a": b"bc"})
        assert bundle_digest({"a": b"", "b": b""}) != bundle_digest({"a": b"b"})

    def test_the_order_of_the_files_does_not_matter(self) -> None:
        assert bundle_digest({"a": b"1", "b": b"2"}) == bundle_digest({"b": b"2", "a": b"1"})


class TestCedar:
    def test_syntax_error(self, folder: Path, edit: Edit) -> None:
        edit("reveal.cedar", "context.purpose.coarse.contains", "context purpose")
        line = line_of(folder, "reveal.cedar", "context purpose")
        assert "unexpected token" in faults_of(folder)[f"reveal.cedar:{line}"]

    def test_unfinished_policy(self, folder: Path, edit: Edit) -> None:
        edit("acts.cedar", "", '@id("late")\nforbid (principal,\n')
        assert any("not a policy" in text for text in faults_of(folder).values())

    def test_unknown_attribute(self, folder: Path, edit: Edit) -> None:
        edit("reveal.cedar", "context.purpose.coarse", "context.purpose.course")
        line = line_of(folder, "reveal.cedar", '@id("reveal-coarse")')
        assert "course" in faults_of(folder)[f"reveal.cedar:{line}"]

    @pytest.mark.parametrize(
        ("policy", "said"),
        [
            (
                '@id("x") permit (principal, action == Action::"reveal_all", resource);',
                "reveal_all",
            ),
            ('@id("x") permit (principal is Robot, action, resource);', "Robot"),
            ('@id("x") forbid (principal, action, resource) when { 1 + "a" == 2 };', "type"),
            ('@id("x") permit (principal in Role::"shiping", action, resource);', "shiping"),
            (
                '@id("x") forbid (principal, action, resource) when { [Role::"ordre"] == [] };',
                "ordre",
            ),
            ("permit (principal, action, resource);", "@id"),
            ('@id("") permit (principal, action, resource);', "@id"),
            ('@id("A b") permit (principal, action, resource);', "@id"),
            ('@id("x") @reason("NICE") forbid (principal, action, resource);', "@reason"),
            (
                '@id("x") @reason("CONSENT_MISSING") permit (principal, action, resource);',
                "@reason",
            ),
            ('@id("x") @note("y") forbid (principal, action, resource);', "@note"),
            ('@id("x") permit (principal == ?principal, action, resource);', "template"),
            ('@id("x") permit (principal, action, resource) when {' + "(" * 20_000, "deeper"),
            (
                '@id("x") permit (principal, action, resource) when { context' + ".a" * 3000,
                "operators",
            ),
            ("if " * 9000 + ";", "longer"),
        ],
    )
    def test_refused(self, folder: Path, edit: Edit, policy: str, said: str) -> None:
        edit("acts.cedar", "", policy + "\n")
        line = line_of(folder, "acts.cedar", policy)
        assert said in faults_of(folder)[f"acts.cedar:{line}"]

    def test_duplicate_id(self, folder: Path, edit: Edit) -> None:
        edit("acts.cedar", "", '@id("reveal-full")\nforbid (principal, action, resource);\n')
        line = line_of(folder, "reveal.cedar", '@id("reveal-full")')
        assert "acts.cedar" in faults_of(folder)[f"reveal.cedar:{line}"]

    def test_guardrails_only_forbid(self, folder: Path, edit: Edit) -> None:
        edit("guardrails.cedar", "", '@id("x")\npermit (principal, action, resource);\n')
        line = line_of(folder, "guardrails.cedar", '@id("x")')
        assert "only forbid" in faults_of(folder)[f"guardrails.cedar:{line}"]

    @pytest.mark.parametrize("name", ["forbid-other-tenant", "forbid-without-consent"])
    def test_required_guardrails(self, folder: Path, edit: Edit, name: str) -> None:
        edit("guardrails.cedar", f'@id("{name}")', '@id("renamed")')
        assert name in faults_of(folder)["guardrails.cedar:1"]

    def test_a_file_without_policies(self, folder: Path) -> None:
        (folder / "more.cedar").write_text("// nothing yet\n")
        assert {"more.cedar:1": "the file holds no policy"} == faults_of(folder)


class TestSchema:
    def test_syntax_error(self, folder: Path, edit: Edit) -> None:
        edit("vault.cedarschema", "entity Role;", "entitee Role;")
        line = line_of(folder, "vault.cedarschema", "entitee")
        assert "entitee" in faults_of(folder)[f"vault.cedarschema:{line}"]

    def test_unknown_type(self, folder: Path, edit: Edit) -> None:
        edit("vault.cedarschema", "  field_type: FieldType,", "  field_type: FieldKind,")
        assert any("FieldKind" in text for text in faults_of(folder).values())

    def test_it_must_take_the_requests_of_the_vault(self, folder: Path, edit: Edit) -> None:
        edit("vault.cedarschema", "get_bundle, reload_bundle, read_keys", "get_bundle, read_keys")
        edit(
            "acts.cedar",
            'action in [Action::"get_bundle", Action::"reload_bundle"]',
            'action == Action::"get_bundle"',
        )
        assert "reload_bundle" in faults_of(folder)["vault.cedarschema:1"]

    def test_it_must_take_the_entities_of_the_vault(self, folder: Path, edit: Edit) -> None:
        edit("vault.cedarschema", "  sensitive: Bool,", "  sensitive: Bool,\n  colour: String,")
        assert "entities don't fit" in faults_of(folder)["vault.cedarschema:1"]

    def test_deep_nesting(self, folder: Path, edit: Edit) -> None:
        edit("vault.cedarschema", "", "entity Deep = { a: " + "Set<" * 20_000 + "\n")
        assert "deeper" in faults_of(folder)["vault.cedarschema:1"]


class TestData:
    @pytest.mark.parametrize(
        ("name", "old", "new", "said"),
        [
            ("purposes.yaml", "  delivery:\n", "  marketing:\n", "stands twice"),
            ("purposes.yaml", "  delivery:\n", "  Delivery:\n", "well-formed"),
            (
                "purposes.yaml",
                SHIPPING_ROLE,
                SHIPPING_ROLE.replace("shipping", "shiping"),
                "no role 'shiping'",
            ),
            (
                "purposes.yaml",
                "      postal_address: full\n    retention_days: 90",
                "      adress: full\n    retention_days: 90",
                "no field type 'adress'",
            ),
            (
                "purposes.yaml",
                "      postal_address: full\n    retention_days: 90",
                "      postal_address: masked\n    retention_days: 90",
                "no such view",
            ),
            (
                "purposes.yaml",
                "      postal_address: full\n    retention_days: 90",
                "      postal_address: everything\n    retention_days: 90",
                "view",
            ),
            ("purposes.yaml", "      - free_text\n", "      - fre_text\n", "no field type"),
            (
                "purposes.yaml",
                "    retention_days: 90\n",
                "    retention_days: 0\n",
                "whole number",
            ),
            (
                "purposes.yaml",
                "    retention_days: 90\n",
                "    retention_days: yes\n",
                "whole number",
            ),
            (
                "purposes.yaml",
                "    retention_days: 90\n",
                "    retention_dayz: 90\n",
                "unknown key",
            ),
            ("purposes.yaml", "    retention_days: 90\n", "    retention_days: &a 90\n", "anchors"),
            ("purposes.yaml", "    retention_days: 90\n", "    retention_days: !!int 90\n", "tags"),
            (
                "purposes.yaml",
                "    retention_days: 90\n",
                "    retention_days: 9e1\n",
                "whole number",
            ),
            ("purposes.yaml", "    retention_days: 90\n", "    retention_days:\n", "missing"),
            ("purposes.yaml", "    retention_days: 90\n", "    ? [a]\n    : 90\n", "text"),
            (
                "purposes.yaml",
                "    retention_days: 90\n",
                "    retention_days: 2024-02-31\n",
                "exists",
            ),
            (
                "purposes.yaml",
                "    retention_days: 90\n",
                "    retention_days: " + "[" * 5000 + "\n",
                "deeper",
            ),
            (
                "purposes.yaml",
                "    legal_basis: legal_duty\n",
                "    legal_basis: because\n",
                "legal basis",
            ),
            (
                "purposes.yaml",
                "    needs_consent: true\n",
                "    needs_consent: false\n",
                "legal basis is consent",
            ),
            (
                "purposes.yaml",
                "    needs_consent: true\n",
                "    needs_consent: 'true'\n",
                "true or false",
            ),
            (
                "callers.yaml",
                "tenants: [demo-shop, other-shop]",
                "tenants: [demo-shop]",
                "no tenant",
            ),
            (
                "callers.yaml",
                "tenants: [demo-shop, other-shop]",
                "tenants: [demo-shop, other-shop, Shop]",
                "tenant name",
            ),
            (
                "callers.yaml",
                "    roles: [marketing]",
                "    roles: [marketing, marketing]",
                "stands twice",
            ),
            ("callers.yaml", "    roles: [marketing]", "    roles: [sales]", "no role 'sales'"),
            ("callers.yaml", "    roles: [marketing]", "    roles: marketing", "list"),
            (
                "callers.yaml",
                "  vault.v1.AuditService:",
                "  vault.v1.AuditServices:",
                "well-formed service",
            ),
            (
                "callers.yaml",
                "    - spiffe://pdvault.example/shop/privacy\n",
                "    - spiffe://pdvault.example/shop/privcy\n",
                "no caller",
            ),
        ],
    )
    def test_refused(self, folder: Path, name: str, old: str, new: str, said: str) -> None:
        path = folder / name
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))
        found = faults_of(folder)
        assert any(said in text and place.startswith(name) for place, text in found.items()), found

    @pytest.mark.parametrize(
        "bad",
        [
            "spiffe://pdvault.example",
            "spiffe://pdvault.example/",
            "spiffe://pdvault.example/shop/x/",
            "spiffe://pdvault.example//x",
            "spiffe://pdvault.example/a/../b",
            "spiffe://pdvault.example/.",
            "spiffe://PDVAULT.example/x",
            "SPIFFE://pdvault.example/x",
            "spiffe://pdvault.example/%2e",
            "spiffe://pdvault.example/x?y",
            "spiffe://pdvault.example/x#y",
            "spiffe://pdvault.example:8443/x",
            "spiffe://pdvault.example/é",
            "spiffe://pdvault.example/" + "a" * 2048,
            "https://pdvault.example/x",
            "person:only-an-issuer",
            "person:https://login.example#two words",
            "",
        ],
    )
    def test_malformed_ids(self, folder: Path, edit: Edit, bad: str) -> None:
        new = f"\ncallers:\n  '{bad}':\n    tenant: demo-shop\n    roles: [order]\n"
        edit("callers.yaml", "\ncallers:\n", new)
        line = line_of(folder, "callers.yaml", new) + 2
        assert f"callers.yaml:{line}" in faults_of(folder)

    def test_a_person_can_be_a_caller_but_carry_nobody(self, folder: Path, edit: Edit) -> None:
        person = "\ncallers:\n  'person:https://login.example/#li.na@shop':\n"
        person += "    tenant: demo-shop\n    roles: [support]\n"
        edit("callers.yaml", "\ncallers:\n", person)
        entry = load_bundle(folder).caller("person:https://login.example/#li.na@shop")
        assert entry is not None
        assert entry.is_person
        edit("callers.yaml", person, person + "    may_carry_people: true\n")
        assert any("can't carry" in text for text in faults_of(folder).values())

    def test_all_faults_at_once(self, folder: Path, edit: Edit) -> None:
        edit("callers.yaml", "    roles: [marketing]", "    roles: [sales]")
        edit("purposes.yaml", "    legal_basis: legal_duty\n", "    legal_basis: because\n")
        edit("reveal.cedar", "context.purpose.coarse.contains", "context purpose")
        edit("acts.cedar", "", "permit (principal, action, resource);\n")
        edit("field_types.yaml", "token_prefix: pho", "token_prefix: PHO")
        files = {place.split(":")[0] for place in faults_of(folder)}
        assert {
            "callers.yaml",
            "purposes.yaml",
            "reveal.cedar",
            "acts.cedar",
            "field_types.yaml",
        } == files

    def test_field_type_faults_have_their_line(self, folder: Path, edit: Edit) -> None:
        edit("field_types.yaml", "    token_prefix: pho\n", "    token_prefix: PHO\n")
        line = line_of(folder, "field_types.yaml", "token_prefix: PHO")
        assert f"field_types.yaml:{line}" in faults_of(folder)
