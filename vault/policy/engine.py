"""The only door to Cedar: one decision, denied in every odd case.

Guarantees: a ruling allows only when Cedar said Allow with no error at all. NoDecision, an
evaluation error of any policy (Cedar would skip that policy, a forbid included) and an
exception all deny with POLICY_ERROR. Requests are structures; no id is ever put into text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cedarpy

from vault.errors import Reason
from vault.policy.entities import Entity, Uid, uid

_POLICY_IN_ERROR = re.compile(r"policy `(policy\d+)`")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What Cedar says about one request.

    Attributes:
        reason: NONE when allowed; else POLICY_DENIED (no permit matched),
            POLICY_FORBIDDEN or the forbid's own `@reason`, or POLICY_ERROR.
        policies: the `@id` of each determining policy, sorted; with POLICY_ERROR, of those that
            erred as well.
    """

    reason: Reason
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyLabel:
    """What a policy's annotations say: its `@id`, and a forbid's `@reason`."""

    id: str
    reason: Reason


class CedarError(Exception):
    """Cedar refuses a schema, a policy or entities; the text is Cedar's own."""


class Engine:
    """Parsed policies, schema and entities; parsed once, never changed."""

    def __init__(
        self,
        *,
        schema: cedarpy.Schema,
        policies: cedarpy.PolicySet,
        entities: cedarpy.Entities,
        labels: Mapping[str, PolicyLabel],
    ) -> None:
        """Takes what `build_engine` has parsed.

        Args:
            schema: every request is checked against it.
            policies: all of the bundle's, validated.
            entities: all of the bundle's.
            labels: Cedar's positional id (`policy0`) -> label.
        """
        self._schema, self._policies, self._entities = schema, policies, entities
        self._labels = labels

    def __len__(self) -> int:
        return len(self._policies)

    def decide(
        self, *, caller: str, action: str, resource: Uid, context: Mapping[str, object]
    ) -> Ruling:
        """Decides one request."""
        request = _request(caller, action, resource, context)
        try:
            result = cedarpy.is_authorized(request, self._policies, self._entities, self._schema)
            outcome, errors = result.decision, list(result.diagnostics.errors)
            matched = list(result.diagnostics.reasons)
            labels = [self._labels[policy] for policy in matched]
        except Exception:  # noqa: BLE001 - whatever went wrong, the answer is no
            return Ruling(Reason.POLICY_ERROR, ())
        ids = {label.id for label in labels}
        if errors or outcome is cedarpy.Decision.NoDecision:
            erred = {name for error in errors for name in _POLICY_IN_ERROR.findall(error)}
            ids |= {self._labels[name].id for name in erred if name in self._labels}
            return Ruling(Reason.POLICY_ERROR, tuple(sorted(ids)))
        return Ruling(_reason(outcome, labels), tuple(sorted(ids)))

    def request_problem(
        self, *, caller: str, action: str, resource: Uid, context: Mapping[str, object]
    ) -> str:
        """Why the schema does not take such a request; empty when it does."""
        result = cedarpy.is_authorized(
            _request(caller, action, resource, context),
            self._policies,
            self._entities,
            self._schema,
        )
        if result.decision is not cedarpy.Decision.NoDecision:
            return ""
        return "; ".join(result.diagnostics.errors) or "no decision"

    def with_entities(self, entities: Iterable[Entity]) -> "Engine":
        """The same policies over more entities.

        Raises:
            CedarError: an entity does not fit the schema, or is there already.
        """
        try:
            more = self._entities.with_added_json_str(json.dumps(list(entities)), self._schema)
        except ValueError as error:
            raise CedarError(str(error)) from error
        return Engine(
            schema=self._schema, policies=self._policies, entities=more, labels=self._labels
        )


def _request(
    caller: str, action: str, resource: Uid, context: Mapping[str, object]
) -> dict[str, object]:
    return {
        "principal": uid("Caller", caller),
        "action": uid("Action", action),
        "resource": resource,
        "context": dict(context),
    }


def _reason(outcome: cedarpy.Decision, labels: list[PolicyLabel]) -> Reason:
    if outcome is cedarpy.Decision.Allow and labels:
        return Reason.NONE
    if not labels:
        return Reason.POLICY_DENIED
    reasons = {label.reason for label in labels}
    # Consent is what the caller can do something about, so it outranks the other forbids.
    if Reason.CONSENT_MISSING in reasons:
        return Reason.CONSENT_MISSING
    return Reason.POLICY_FORBIDDEN


def build_engine(
    *,
    schema_text: str,
    policies_text: str,
    labels: Mapping[str, PolicyLabel],
    entities: Iterable[Entity],
) -> Engine:
    """Parses everything once; the entities must fit the schema.

    Raises:
        CedarError: something does not parse or fit.
    """
    try:
        schema = cedarpy.Schema.from_str(schema_text)
        policies = cedarpy.PolicySet.from_str(policies_text)
        parsed = cedarpy.Entities.from_json_str(json.dumps(list(entities)), schema)
    except ValueError as error:
        raise CedarError(str(error)) from error
    return Engine(schema=schema, policies=policies, entities=parsed, labels=labels)


def parse_schema(text: str) -> None:
    """Checks a schema alone.

    Raises:
        CedarError: it does not parse, or names what it does not declare.
    """
    try:
        cedarpy.Schema.from_str(text)
    except ValueError as error:
        raise CedarError(str(error)) from error


def parse_policy(text: str) -> dict[str, object]:
    """One policy in Cedar's JSON form: `effect`, `annotations`, scope and `conditions`.

    Raises:
        CedarError: it does not parse, or is a template, or is more than one policy.
    """
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except (ValueError, RecursionError) as error:
        raise CedarError(str(error)) from error
    policies = list(parsed["staticPolicies"].values())
    if parsed["templates"]:
        raise CedarError("a template decides nothing; write a policy")
    if len(policies) != 1:
        raise CedarError("not one policy")
    policy: dict[str, object] = policies[0]
    return policy


def validate(policies_text: str, schema_text: str) -> list[tuple[int, str]]:
    """Checks policies strictly against the schema.

    Returns:
        (position of the policy in the text, from 0; what is wrong) for each fault.
    """
    result = cedarpy.validate_policies(policies_text, cedarpy.Schema.from_str(schema_text))
    faults = [(_position(error.policy_id), error.error) for error in result.errors]
    if not result.validation_passed and not faults:
        faults.append((0, "the policies don't fit the schema"))
    return faults


def _position(policy_id: str) -> int:
    number = policy_id.removeprefix("policy")
    return int(number) if number.isdecimal() else 0
