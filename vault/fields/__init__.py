"""Field types as data: how a value is normalised, validated and shown.

Everything here is pure. Reading `policies/field_types.yaml` is left to `vault.policy`,
deciding who gets which view as well.
"""

from vault.fields.faults import Fault, FieldTypesError, ValueInvalidError, ViewUnavailableError
from vault.fields.field_type import FieldType
from vault.fields.load import load_field_types

__all__ = [
    "Fault",
    "FieldType",
    "FieldTypesError",
    "ValueInvalidError",
    "ViewUnavailableError",
    "load_field_types",
]
