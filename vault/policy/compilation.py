"""From Cedar files to an engine: parsed, validated, cross-checked, every fault with its line."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vault.errors import Reason
from vault.policy import files
from vault.policy.engine import (
    CedarError,
    Engine,
    PolicyLabel,
    build_engine,
    parse_policy,
    parse_schema,
    validate,
)
from vault.policy.entities import Graph
from vault.policy.faults import Faults, quoted
from vault.policy.statements import Statement, cut, measure

REQUIRED_GUARDRAILS = ("forbid-other-tenant", "forbid-without-consent")
"""Without these no bundle loads. They stand last in `guardrails.cedar`, so that a file cut
short anywhere has lost them."""

_ID = re.compile(r"[a-z][a-z0-9-]{0,63}")
_REASONS = {"CONSENT_MISSING": Reason.CONSENT_MISSING}
_MAX_PREFIXES = 400
"""Lines tried when looking for the line of a syntax error."""


@dataclass(frozen=True, slots=True)
class _Policy:
    statement: Statement
    label: PolicyLabel
    effect: str


def compile_engine(
    contents: Mapping[str, bytes], graph: Graph | None, faults: Faults
) -> Engine | None:
    """Builds the engine from a bundle's files; None when there are faults.

    Without a graph (the data have faults) the Cedar files are checked as far as they go.
    """
    schema_text = contents.get(files.SCHEMA, b"").decode()
    policies = _read_policies(contents, graph, faults)
    is_parsed = not any(faults.names(file) for file in contents if file.endswith(".cedar"))
    if files.GUARDRAILS in contents:
        _check_labels(policies, faults, is_complete=is_parsed)
    if not _check_schema(schema_text, faults) or not is_parsed:
        return None
    policies_text = "\n".join(policy.statement.text for policy in policies)
    for position, text in validate(policies_text, schema_text):
        at = policies[min(position, len(policies) - 1)].statement
        faults.add(at.file, at.line, re.sub(r"^for policy `policy\d+`, ", "", text))
    if faults or graph is None:
        return None
    try:
        return build_engine(
            schema_text=schema_text,
            policies_text=policies_text,
            labels={f"policy{i}": policy.label for i, policy in enumerate(policies)},
            entities=graph.entities,
        )
    except CedarError as error:
        faults.add(files.SCHEMA, 1, f"the bundle's entities don't fit the schema: {error}")
        return None


def _read_policies(
    contents: Mapping[str, bytes], graph: Graph | None, faults: Faults
) -> list[_Policy]:
    known = {(str(uid["type"]), str(uid["id"])) for uid in _uids(graph)} if graph else None
    policies = []
    for file in sorted(name for name in contents if name.endswith(".cedar")):
        statements = list(cut(file, contents[file].decode()))
        if not statements:
            faults.add(file, 1, "the file holds no policy")
        for statement in statements:
            policy = _read_policy(statement, known, faults)
            if policy is not None:
                policies.append(policy)
    return policies


def _uids(graph: Graph) -> Iterator[Mapping[str, object]]:
    for entity in graph.entities:
        uid = entity["uid"]
        if isinstance(uid, dict):
            yield uid


def _read_policy(
    statement: Statement, known: set[tuple[str, str]] | None, faults: Faults
) -> _Policy | None:
    file, line = statement.file, statement.line
    if statement.problem:
        faults.add(file, line, statement.problem)
        return None
    try:
        parsed = parse_policy(statement.text)
    except CedarError as error:
        offset = _error_line(statement.text, str(error))
        faults.add(file, line + offset, f"not a policy: {error}")
        return None
    for kind, name in sorted(set(_literals(parsed))):
        # Actions are checked against the schema.
        if kind != "Action" and known is not None and (kind, name) not in known:
            faults.add(file, line, f"the bundle has no {quoted(kind)} named {quoted(name)}")
    effect = str(parsed["effect"])
    if file == files.GUARDRAILS and effect != "forbid":
        faults.add(file, line, "guardrails only forbid; put permits into another file")
    label = _read_label(statement, effect, parsed.get("annotations"), faults)
    return _Policy(statement, label, effect) if label else None


def _read_label(
    statement: Statement, effect: str, annotations: object, faults: Faults
) -> PolicyLabel | None:
    file, line = statement.file, statement.line
    annotations = annotations if isinstance(annotations, dict) else {}
    policy_id = annotations.get("id")
    if not isinstance(policy_id, str) or not _ID.fullmatch(policy_id):
        faults.add(file, line, 'every policy needs an @id("…") of a-z, 0-9 and -')
        return None
    reason = Reason.POLICY_FORBIDDEN if effect == "forbid" else Reason.NONE
    if "reason" in annotations:
        own = _REASONS.get(str(annotations["reason"]))
        if own is None or effect != "forbid":
            faults.add(file, line, f"@reason is for a forbid, and one of {', '.join(_REASONS)}")
        reason = own or reason
    for name in sorted(set(annotations) - {"id", "reason"}):
        faults.add(file, line, f"unknown annotation @{name}")
    return PolicyLabel(policy_id, reason)


def _check_labels(policies: Sequence[_Policy], faults: Faults, *, is_complete: bool) -> None:
    first: dict[str, Statement] = {}
    for policy in policies:
        at, name = policy.statement, policy.label.id
        if name in first:
            other = first[name]
            faults.add(at.file, at.line, f"@id {name} stands in {other.file}:{other.line} as well")
        first.setdefault(name, at)
    forbids = {policy.label.id for policy in policies if policy.effect == "forbid"}
    for name in REQUIRED_GUARDRAILS:
        if is_complete and name not in forbids:
            faults.add(files.GUARDRAILS, 1, f"the guardrail {name} is missing")


def _check_schema(text: str, faults: Faults) -> bool:
    if not text:
        return False  # a fault of reading, reported already
    problem = measure(text)
    if problem:
        faults.add(files.SCHEMA, 1, problem)
        return False
    try:
        parse_schema(text)
    except CedarError as error:
        line = 1 + _error_line(text, str(error), parse=parse_schema)
        faults.add(files.SCHEMA, line, f"not a schema: {error}")
        return False
    return True


def named_callers(contents: Mapping[str, bytes]) -> frozenset[str]:
    """The callers whom a sound bundle's policies name, one by one."""
    return frozenset(
        name
        for file in contents
        if file.endswith(".cedar")
        for statement in cut(file, contents[file].decode())
        for kind, name in _literals(parse_policy(statement.text))
        if kind == "Caller"
    )


def _error_line(text: str, error: str, *, parse: Callable[[str], object] = parse_policy) -> int:
    """Lines between the start of a text and its fault, which Cedar does not tell.

    The fault lies in the first line whose prefix of the text already gives the same error.
    """
    lines = text.split("\n")
    for count in range(1, min(len(lines), _MAX_PREFIXES) + 1):
        try:
            parse("\n".join(lines[:count]))
        except CedarError as found:
            if str(found) == error:
                return count - 1
    return 0


def _literals(policy: object) -> Iterator[tuple[str, str]]:
    """Every entity that a policy names: in its scope and in its conditions."""
    waiting = [policy]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            kind, name = node.get("type"), node.get("id")
            if isinstance(kind, str) and isinstance(name, str):
                yield kind, name
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
