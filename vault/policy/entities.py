"""The bundle's data as Cedar entities (pure).

Ids are given as they are, in a structure; no id is ever joined from others. A `Field` (one
field type within one tenant) therefore has a number for its id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vault.model import View
from vault.policy.callers import CallerEntry
from vault.policy.purposes import VIEW_NAMES, Purpose
from vault.policy.rules import Rules

Uid = dict[str, str]
Entity = dict[str, object]


def uid(kind: str, name: str) -> Uid:
    return {"type": kind, "id": name}


def reference(kind: str, name: str) -> dict[str, Uid]:
    """A uid as a value within attributes and context."""
    return {"__entity": uid(kind, name)}


@dataclass(frozen=True, slots=True)
class Graph:
    """All entities of a bundle.

    Attributes:
        entities: in Cedar's JSON form.
        fields: (tenant, field type) -> id of the `Field`.
    """

    entities: tuple[Entity, ...]
    fields: Mapping[tuple[str, str], str]


def build_graph(rules: Rules) -> Graph:
    fields = {
        (tenant, name): str(number)
        for number, (tenant, name) in enumerate(
            (tenant, name) for tenant in rules.directory.tenants for name in rules.field_types
        )
    }
    entities: list[Entity] = [_entity("Tenant", name) for name in rules.directory.tenants]
    entities += [_entity("Role", name) for name in rules.directory.roles]
    entities += [_field_type(rules, name) for name in rules.field_types]
    entities += [_purpose(rules, purpose) for purpose in rules.purposes.values()]
    entities += [caller_entity(entry) for entry in rules.directory.callers.values()]
    entities += [
        _entity(
            "Field",
            field_id,
            {"tenant": reference("Tenant", tenant), "field_type": reference("FieldType", name)},
        )
        for (tenant, name), field_id in fields.items()
    ]
    return Graph(tuple(entities), fields)


def caller_entity(entry: CallerEntry) -> Entity:
    parents = [uid("Role", role) for role in entry.roles]
    return _entity("Caller", entry.id, {"tenant": reference("Tenant", entry.tenant)}, parents)


def _field_type(rules: Rules, name: str) -> Entity:
    collectors = {
        role
        for purpose in rules.purposes.values()
        if name in purpose.collects
        for role in purpose.roles
    }
    attrs = {
        "sensitive": rules.field_types[name].sensitive,
        "collected_by": _references("Role", collectors),
    }
    return _entity("FieldType", name, attrs)


def _purpose(rules: Rules, purpose: Purpose) -> Entity:
    attrs: dict[str, object] = {
        "needs_consent": purpose.needs_consent,
        "roles": _references("Role", purpose.roles),
    }
    for view_name, view in VIEW_NAMES.items():
        attrs[view_name] = _references("FieldType", _types_with(rules, purpose, view))
    return _entity("Purpose", purpose.name, attrs)


def _types_with(rules: Rules, purpose: Purpose, view: View) -> list[str]:
    return [n for n, each in rules.field_types.items() if view in purpose.views_of(each)]


def _references(kind: str, names: Iterable[str]) -> list[dict[str, Uid]]:
    return [reference(kind, name) for name in sorted(names)]


def _entity(
    kind: str,
    name: str,
    attrs: Mapping[str, object] | None = None,
    parents: Iterable[Uid] = (),
) -> Entity:
    return {"uid": uid(kind, name), "attrs": dict(attrs or {}), "parents": list(parents)}
