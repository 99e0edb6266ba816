"""The field types as shipped, and ones of a test's own."""

from pathlib import Path

import yaml

from vault.fields import FieldType, load_field_types

FIELD_TYPES = Path(__file__).parents[2] / "policies" / "field_types.yaml"


def shipped() -> dict[str, FieldType]:
    return load_field_types(
        yaml.safe_load(FIELD_TYPES.read_text(encoding="utf-8")), file=FIELD_TYPES.name
    )


def entry(**changes: object) -> dict[str, object]:
    """A whole declaration, with changes; a key set to `...` is left out."""
    declared: dict[str, object] = {
        "token_prefix": "mem",
        "max_chars": 40,
        "sensitive": False,
        "retention_days": 30,
        "normalise": ["text"],
        "validate": [{"length": {"min": 1, "max": 40}}],
        "views": {"full": "full"},
    }
    declared.update(changes)
    return {key: value for key, value in declared.items() if value is not ...}


def load_one(**changes: object) -> FieldType:
    types = load_field_types({"field_types": {"member": entry(**changes)}}, file="f.yaml")
    return types["member"]
