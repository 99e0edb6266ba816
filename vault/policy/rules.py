"""The data of a bundle, checked against each other: purposes, field types, roles, callers."""

from collections.abc import Mapping
from dataclasses import dataclass

from vault.fields import FieldType, FieldTypesError, load_field_types
from vault.policy import files
from vault.policy.callers import Directory, read_callers
from vault.policy.document import Document
from vault.policy.faults import Faults, quoted
from vault.policy.purposes import Purpose, read_case_kinds, read_purposes


@dataclass(frozen=True, slots=True)
class Rules:
    """What the YAML files say."""

    field_types: Mapping[str, FieldType]
    purposes: Mapping[str, Purpose]
    directory: Directory
    case_kinds: Mapping[str, str]


def read_rules(documents: Mapping[str, Document], faults: Faults) -> Rules | None:
    """Reads the three YAML files of rules; None when a fault leaves nothing to go on with."""
    types_document = documents.get(files.FIELD_TYPES)
    purposes_document = documents.get(files.PURPOSES)
    callers_document = documents.get(files.CALLERS)
    field_types = _read_field_types(types_document, faults) if types_document else {}
    purposes = read_purposes(purposes_document, faults) if purposes_document else {}
    directory = read_callers(callers_document, faults) if callers_document else None
    if not (field_types and purposes_document and directory):
        return None
    case_kinds = read_case_kinds(purposes_document, faults)
    rules = Rules(field_types, purposes, directory, case_kinds)
    _check_names(rules, purposes_document, faults)
    return rules


def _read_field_types(document: Document, faults: Faults) -> dict[str, FieldType]:
    try:
        return load_field_types(document.value, file=document.file)
    except FieldTypesError as error:
        for path, text in error.faults:
            faults.add(document.file, document.line(path), text)
        return {}


def _check_names(rules: Rules, document: Document, faults: Faults) -> None:
    """Every name in `purposes.yaml` exists, and every view is one that its field type has."""
    for purpose in rules.purposes.values():
        here = ("purposes", purpose.name)
        for role in purpose.roles:
            if role not in rules.directory.roles:
                line = document.line((*here, "roles"))
                faults.add(document.file, line, f"no role {quoted(role)}")
        for name in purpose.collects:
            if name not in rules.field_types:
                line = document.line((*here, "collects"))
                faults.add(document.file, line, f"no field type {quoted(name)}")
        for name, view in purpose.reveals.items():
            line = document.line((*here, "reveals", name))
            field_type = rules.field_types.get(name)
            if field_type is None:
                faults.add(document.file, line, f"no field type {quoted(name)}")
            elif view not in field_type.views:
                has = ", ".join(each.name.lower() for each in field_type.views)
                faults.add(document.file, line, f"{name} has no such view; it has {has}")
