"""The door to Cedar, with what Cedar could answer at its worst put in place of its answer."""

import json

import cedarpy
import pytest

from vault.errors import Reason
from vault.policy.engine import CedarError, Engine, PolicyLabel, Ruling, build_engine, parse_policy
from vault.policy.entities import uid

SCHEMA = (
    "entity Caller; entity Thing; action look appliesTo { principal: [Caller], resource: [Thing] };"
)
PERMIT = '@id("all") permit (principal, action, resource);'
FORBID = '@id("none") forbid (principal, action, resource);'
LABELS = {
    "policy0": PolicyLabel("all", Reason.NONE),
    "policy1": PolicyLabel("none", Reason.POLICY_FORBIDDEN),
}


def engine_of(*policies: str) -> Engine:
    return build_engine(
        schema_text=SCHEMA,
        policies_text="\n".join(policies),
        labels=LABELS,
        entities=[{"uid": uid("Caller", "a"), "attrs": {}, "parents": []}],
    )


def look(engine: Engine, *, action: str = "look", kind: str = "Thing") -> Ruling:
    return engine.decide(caller="a", action=action, resource=uid(kind, "t"), context={})


def answer(decision: str, *, reason: list[str], errors: list[str]) -> cedarpy.AuthzResult:
    diagnostics = {"reason": reason, "errors": errors, "id_annotations_by_reason": {}}
    return cedarpy.AuthzResult({"decision": decision, "diagnostics": diagnostics})


def test_no_policies_deny() -> None:
    assert Ruling(Reason.POLICY_DENIED, ()) == look(engine_of(""))


def test_permit_and_forbid() -> None:
    assert Ruling(Reason.NONE, ("all",)) == look(engine_of(PERMIT))
    assert Ruling(Reason.POLICY_FORBIDDEN, ("none",)) == look(engine_of(PERMIT, FORBID))


@pytest.mark.parametrize(("action", "kind"), [("touch", "Thing"), ("look", "Nothing")])
def test_no_decision_denies(action: str, kind: str) -> None:
    assert Ruling(Reason.POLICY_ERROR, ()) == look(engine_of(PERMIT), action=action, kind=kind)


@pytest.mark.parametrize(
    "given",
    [
        answer("NoDecision", reason=[], errors=[]),
        answer("NoDecision", reason=["policy0"], errors=[]),
        answer("Allow", reason=["policy0"], errors=["policy `policy1`: overflow"]),
        answer("Allow", reason=["policy0"], errors=["anything"]),
        answer("Deny", reason=["policy1"], errors=["anything"]),
        answer("Allow", reason=["policy9"], errors=[]),
        cedarpy.AuthzResult({}),
        cedarpy.AuthzResult({"decision": "Maybe"}),
        None,
    ],
)
def test_odd_answers_are_policy_errors(given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(PERMIT, FORBID)
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_args: given)
    assert Reason.POLICY_ERROR is look(engine).reason


def test_an_allow_by_no_policy_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(PERMIT)
    given = answer("Allow", reason=[], errors=[])
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_args: given)
    assert Reason.POLICY_DENIED is look(engine).reason


def test_an_exception_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise ValueError("broken")

    engine = engine_of(PERMIT)
    monkeypatch.setattr(cedarpy, "is_authorized", fail)
    assert Ruling(Reason.POLICY_ERROR, ()) == look(engine)


def test_the_request_is_a_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    """No id ever becomes part of a text that Cedar parses."""
    seen: list[dict[str, object]] = []
    real = cedarpy.is_authorized

    def spy(request: dict[str, object], *rest: object) -> object:
        seen.append(request)
        return real(request, *rest)

    monkeypatch.setattr(cedarpy, "is_authorized", spy)
    hostile = 'a", Caller::"b\n\\'
    engine_of(PERMIT).decide(
        caller=hostile, action="look", resource=uid("Thing", hostile), context={}
    )
    assert [
        {
            "principal": {"type": "Caller", "id": hostile},
            "action": {"type": "Action", "id": "look"},
            "resource": {"type": "Thing", "id": hostile},
            "context": {},
        }
    ] == seen
    json.dumps(seen)


def test_an_entity_can_not_be_added_twice() -> None:
    again = {"uid": uid("Caller", "a"), "attrs": {}, "parents": [uid("Thing", "x")]}
    with pytest.raises(CedarError):
        engine_of(PERMIT).with_entities([again])


def test_more_than_one_policy_is_not_one() -> None:
    with pytest.raises(CedarError):
        parse_policy(PERMIT + FORBID)
