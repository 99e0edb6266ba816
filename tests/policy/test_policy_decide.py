"""Decisions: what the tables can't say. The rest is in policies/tests."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.policies import principal_of
from vault.errors import Reason
from vault.model import Authentication, Decision, Principal, TenantId, View
from vault.policy import Act, Bundle, load_bundle
from vault.policy import bundle as bundle_module
from vault.policy.faults import BundleError

DEMO = TenantId("demo-shop")
DELIVERY = ("delivery", "phone", View.UNSPECIFIED)


def reveal(
    bundle: Bundle,
    principal: Principal,
    purpose: str = "delivery",
    field_type: str = "phone",
    wanted: View = View.UNSPECIFIED,
    *,
    tenant: str = DEMO,
    consented: bool = False,
) -> Decision:
    return bundle.decide_reveal(
        principal, purpose, field_type, wanted, tenant=TenantId(tenant), consented=consented
    )


def refused(reason: Reason, *policies: str) -> Decision:
    return Decision(View.UNSPECIFIED, reason, policies)


class TestPrincipal:
    """Whatever a principal says about itself must be what the bundle says."""

    @pytest.mark.parametrize(
        "change",
        [
            {"id": "spiffe://pdvault.example/shop/nobody"},
            {"id": "spiffe://pdvault.example/shop/Shipping"},
            {"id": "spiffe://pdvault.example/shop/shipping/"},
            {"id": 'spiffe://pdvault.example/shop/shipping"'},
            {"id": 'x" , Caller::"spiffe://pdvault.example/shop/shipping'},
            {"id": "spiffe://pdvault.example/shop/shipping\n"},
            {"id": ""},
            {"tenant": "other-shop"},
            {"tenant": ""},
            {"roles": ()},
            {"roles": ("order",)},
            {"roles": ("shipping", "support")},
            {"authentication": Authentication.NONE},
            {"authentication": Authentication.JWT},
        ],
    )
    def test_denied(self, shipped: Bundle, change: dict[str, object]) -> None:
        principal = replace(principal_of(shipped, "shop/shipping"), **change)
        assert refused(Reason.POLICY_DENIED) == reveal(shipped, principal)
        for act in Act:
            decision = shipped.decide_act(principal, act, field_type="phone")
            assert refused(Reason.POLICY_DENIED) == decision

    def test_a_person_is_not_believed_by_certificate(self, folder: Path) -> None:
        path = folder / "callers.yaml"
        person = "person:https://login.example/#1"
        entry = f"\ncallers:\n  '{person}':\n    tenant: demo-shop\n    roles: [shipping]\n"
        path.write_text(path.read_text().replace("\ncallers:\n", entry, 1))
        bundle = load_bundle(folder)
        good = Principal(person, Authentication.JWT, DEMO, ("shipping",))
        assert reveal(bundle, good).is_allowed
        bad = replace(good, authentication=Authentication.MTLS)
        assert refused(Reason.POLICY_DENIED) == reveal(bundle, bad)


HOSTILE = [
    "",
    " ",
    "delivery ",
    "DELIVERY",
    "delivery\n",
    "delivery\x00",
    'delivery" || true || "',
    'Purpose::"delivery"',
    "delivery::phone",
    "delivery/",
    "../delivery",
    "delivery%00",
    "de\u200blivery",
    "ｄｅｌｉｖｅｒｙ",
    "d\u0435livery",
    "\ud800",
    "*",
    "a" * 100_000,
]


class TestHostileText:
    @pytest.mark.parametrize("text", HOSTILE)
    def test_purpose(self, shipped: Bundle, text: str) -> None:
        decision = reveal(shipped, principal_of(shipped, "shop/shipping"), purpose=text)
        assert refused(Reason.PURPOSE_UNKNOWN) == decision

    @pytest.mark.parametrize("text", HOSTILE)
    def test_field_type(self, shipped: Bundle, text: str) -> None:
        caller = principal_of(shipped, "shop/shipping")
        assert refused(Reason.FIELD_NOT_IN_PURPOSE) == reveal(shipped, caller, field_type=text)
        decision = shipped.decide_act(caller, Act.TOKENIZE, field_type=text)
        assert refused(Reason.FIELD_TYPE_UNKNOWN) == decision

    @pytest.mark.parametrize("text", HOSTILE)
    def test_tenant(self, shipped: Bundle, text: str) -> None:
        decision = reveal(shipped, principal_of(shipped, "shop/shipping"), tenant=text)
        assert refused(Reason.POLICY_DENIED) == decision

    @pytest.mark.parametrize("text", HOSTILE)
    def test_service(self, shipped: Bundle, text: str) -> None:
        assert not shipped.permits_service("spiffe://pdvault.example/shop/order", text)
        assert not shipped.permits_service(text, "vault.v1.TokenService")
        assert shipped.caller(text) is None

    @pytest.mark.parametrize("view", [5, -1, 99, "full"])
    def test_view(self, shipped: Bundle, view: View) -> None:
        decision = reveal(shipped, principal_of(shipped, "shop/shipping"), wanted=view)
        assert refused(Reason.VIEW_UNAVAILABLE) == decision

    @pytest.mark.parametrize("consented", [1, "yes", [True], None])
    def test_only_true_is_consent(self, shipped: Bundle, consented: bool) -> None:
        caller = principal_of(shipped, "shop/marketing")
        assert reveal(shipped, caller, "marketing", consented=True).is_allowed
        decision = reveal(shipped, caller, "marketing", consented=consented)
        assert Reason.CONSENT_MISSING is decision.reason


SERVICES = {
    "vault.v1.TokenService": {
        "shop/order",
        "shop/shipping",
        "shop/support",
        "shop/marketing",
        "other/order",
        "other/shipping",
    },
    "vault.v1.AuditService": {"vault/auditor"},
    "vault.v1.PolicyService": {"vault/auditor", "vault/policy-owner"},
    "vault.v1.KeyService": {
        "vault/custodian-1",
        "vault/custodian-2",
        "vault/policy-owner",
        "vault/operator",
    },
    "vault.v1.SubjectService": {"shop/privacy"},
    "vault.v1.OtherService": set(),
}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_takes_those_on_its_list(shipped: Bundle, service: str) -> None:
    taken = {name for name in shipped.callers if shipped.permits_service(name, service)}
    assert {f"spiffe://pdvault.example/{name}" for name in SERVICES[service]} == taken


def append(folder: Path, name: str, text: str) -> Bundle:
    path = folder / name
    path.write_text(path.read_text() + text)
    return load_bundle(folder)


class TestCedarHasTheLastWord:
    def test_a_forbid_that_errs_denies(self, folder: Path) -> None:
        """Cedar skips a policy that errs; that must not open what it was to close."""
        overflow = '@id("broken") forbid (principal, action, resource) when'
        overflow += " { 9223372036854775807 + 1 == 0 };\n"
        bundle = append(folder, "acts.cedar", overflow)
        decision = reveal(bundle, principal_of(bundle, "shop/shipping"))
        assert refused(Reason.POLICY_ERROR, "broken", "reveal-full") == decision
        decision = bundle.decide_act(
            principal_of(bundle, "shop/order"), Act.TOKENIZE, field_type="phone"
        )
        assert refused(Reason.POLICY_ERROR, "broken", "tokenize-collected") == decision

    def test_an_error_for_one_view_does_not_fall_to_a_lower_one(self, folder: Path) -> None:
        overflow = '@id("broken") forbid (principal, action == Action::"reveal_full", resource)'
        overflow += " when { 9223372036854775807 + 1 == 0 };\n"
        bundle = append(folder, "acts.cedar", overflow)
        caller = principal_of(bundle, "shop/shipping")
        assert Reason.POLICY_ERROR is reveal(bundle, caller).reason
        assert reveal(bundle, caller, wanted=View.MASKED).is_allowed

    def test_without_permits_everything_is_denied(self, folder: Path) -> None:
        (folder / "reveal.cedar").unlink()
        (folder / "acts.cedar").unlink()
        bundle = load_bundle(folder)
        for name in bundle.callers:
            caller = principal_of(bundle, name.removeprefix("spiffe://pdvault.example/"))
            for purpose in bundle.purposes:
                for field_type in bundle.field_types:
                    decision = reveal(bundle, caller, purpose, field_type, consented=True)
                    assert not decision.is_allowed
            for act in Act:
                assert not bundle.decide_act(caller, act, field_type="phone").is_allowed

    def test_a_permit_can_not_go_beyond_the_purposes(self, folder: Path) -> None:
        everything = '@id("everything") permit (principal, action, resource)'
        everything += ' unless { action == Action::"erase_subject" };\n'
        bundle = append(folder, "acts.cedar", everything)
        shipping = principal_of(bundle, "shop/shipping")
        support = principal_of(bundle, "shop/support")
        assert Reason.PURPOSE_UNKNOWN is reveal(bundle, shipping, "anything").reason
        assert Reason.PURPOSE_NOT_PERMITTED is reveal(bundle, support).reason
        assert Reason.FIELD_NOT_IN_PURPOSE is reveal(bundle, shipping, field_type="email").reason
        decision = reveal(bundle, shipping, wanted=View.COARSE)
        assert Reason.VIEW_UNAVAILABLE is decision.reason
        decision = reveal(bundle, shipping, tenant="other-shop")
        assert refused(Reason.POLICY_FORBIDDEN, "forbid-other-tenant") == decision

    def test_keepers_see_nothing_whatever_is_permitted(self, folder: Path) -> None:
        everything = '@id("everything") permit (principal, action, resource)'
        everything += ' unless { action == Action::"erase_subject" };\n'
        bundle = append(folder, "acts.cedar", everything)
        for name in ("custodian-1", "auditor", "policy-owner"):
            caller = principal_of(bundle, f"vault/{name}")
            for purpose in bundle.purposes:
                assert not reveal(bundle, caller, purpose).is_allowed

    def test_a_purpose_that_a_keeper_serves_is_refused(self, folder: Path) -> None:
        path = folder / "purposes.yaml"
        path.write_text(
            path.read_text().replace("roles: [shipping]", "roles: [custodian, shipping]")
        )
        with pytest.raises(BundleError, match="custodian is a keeper's role"):
            load_bundle(folder)

    def test_a_shops_own_forbid_narrows_the_most(self, folder: Path) -> None:
        forbid = (
            '@id("no-full-phones") forbid (principal, action == Action::"reveal_full", resource)'
        )
        forbid += ' when { resource.field_type == FieldType::"phone" };\n'
        bundle = append(folder, "acts.cedar", forbid)
        caller = principal_of(bundle, "shop/shipping")
        assert Decision(View.MASKED, Reason.NONE, ("reveal-masked",)) == reveal(bundle, caller)
        decision = reveal(bundle, caller, wanted=View.FULL)
        assert refused(Reason.POLICY_FORBIDDEN, "no-full-phones") == decision

    def test_a_lower_view_can_be_denied_by_taking_its_permit(self, folder: Path) -> None:
        """Neither forbidden nor above what the purpose allows: plainly denied."""
        path = folder / "reveal.cedar"
        text = path.read_text()
        path.write_text(text[: text.index('@id("reveal-last4")')])
        bundle = load_bundle(folder)
        decision = reveal(bundle, principal_of(bundle, "shop/shipping"), wanted=View.LAST4)
        assert refused(Reason.POLICY_DENIED) == decision


class TestMemo:
    def test_the_same_question_gets_the_same_answer(self, folder: Path) -> None:
        bundle = load_bundle(folder)
        caller = principal_of(bundle, "shop/marketing")
        before = len(bundle._memo)
        for _ in range(2):
            assert Reason.CONSENT_MISSING is reveal(bundle, caller, "marketing").reason
            assert reveal(bundle, caller, "marketing", consented=True).is_allowed
            decision = reveal(bundle, caller, "marketing", tenant="other-shop", consented=True)
            assert Reason.POLICY_FORBIDDEN is decision.reason
        assert 3 == len(bundle._memo) - before

    def test_what_callers_make_up_is_not_kept(self, folder: Path) -> None:
        bundle = load_bundle(folder)
        caller = principal_of(bundle, "shop/shipping")
        before = len(bundle._memo)
        for i in range(100):
            reveal(bundle, caller, f"purpose_{i}")
            reveal(bundle, caller, field_type=f"type_{i}")
            reveal(bundle, caller, tenant=f"tenant-{i}")
            reveal(bundle, replace(caller, id=f"spiffe://x/{i}"))
            bundle.decide_act(caller, Act.TOKENIZE, field_type=f"type_{i}")
        assert before == len(bundle._memo)

    def test_it_is_bounded(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bundle_module, "MEMO_ENTRIES", 3)
        bundle = load_bundle(folder)
        caller = principal_of(bundle, "shop/shipping")
        for field_type in ("phone", "person_name", "postal_address") * 2:
            for wanted in View:
                reveal(bundle, caller, field_type=field_type, wanted=wanted)
                assert len(bundle._memo) <= 3


def test_overdue_purposes_are_named(shipped: Bundle) -> None:
    day = shipped.purposes["marketing"].review_by
    assert () == shipped.overdue(day)
    assert ("fraud_review", "marketing") == shipped.overdue(
        day.replace(year=day.year, month=4, day=1)
    )


def test_adding_a_purpose_and_a_field_type_takes_no_cedar(
    folder: Path, edit: Callable[[str, str, str], None]
) -> None:
    edit(
        "field_types.yaml",
        "  email:\n    token_prefix: eml",
        "  pickup_code:\n    token_prefix: pick\n    max_chars: 20\n    sensitive: false\n"
        "    retention_days: 30\n    normalise:\n      - text\n    validate:\n"
        "      - length: {min: 4, max: 20}\n    views:\n      full: full\n\n"
        "  email:\n    token_prefix: eml",
    )
    edit(
        "purposes.yaml",
        "\npurposes:\n",
        "\npurposes:\n  pickup:\n    description: Hand a parcel over at a pick-up point.\n"
        "    legal_basis: contract\n    needs_consent: false\n    roles: [shipping]\n"
        "    reveals: {pickup_code: full, phone: last4}\n    retention_days: 30\n"
        "    owner: Logistics\n    review_by: 2027-06-30\n",
    )
    bundle = load_bundle(folder)
    caller = principal_of(bundle, "shop/shipping")
    assert View.FULL is reveal(bundle, caller, "pickup", "pickup_code").view
    assert View.LAST4 is reveal(bundle, caller, "pickup", "phone").view
    assert Reason.FIELD_NOT_IN_PURPOSE is reveal(bundle, caller, "pickup", "email").reason
