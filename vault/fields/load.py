"""From the parsed `field_types.yaml` to field types. Strict: what is not known is refused.

All faults of a document are found in one go, each with the keys that lead to it. Reading the file
and finding the line of a key are left to `vault.policy`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from vault.fields.faults import FieldTypesError
from vault.fields.field_type import FieldType
from vault.fields.normalise import NORMALISERS
from vault.fields.primitive import Primitive
from vault.fields.validate import MAX_PATTERN_CHARS, VALIDATORS
from vault.fields.views import RENDERERS, Renderer
from vault.model import View

MAX_CHARS = 10_000
MAX_RETENTION_DAYS = 36_500
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PREFIX = re.compile(r"[a-z]{2,8}")
_VIEWS: Mapping[str, View] = {
    "full": View.FULL,
    "masked": View.MASKED,
    "coarse": View.COARSE,
    "last4": View.LAST4,
}
_KEYS = (
    "token_prefix",
    "max_chars",
    "sensitive",
    "retention_days",
    "normalise",
    "validate",
    "views",
)

Path = tuple[str | int, ...]
ScalarT = TypeVar("ScalarT", str, int, bool)
StepT = TypeVar("StepT")


def load_field_types(document: object, *, file: str) -> dict[str, FieldType]:
    """The field types that a document declares, in its order.

    Args:
        document: what a YAML parser made of the file.
        file: its name, for the error.

    Raises:
        FieldTypesError: with every fault found.
    """
    reader = _Reader()
    root = reader.mapping((), document, ("field_types",))
    types: dict[str, FieldType] = {}
    prefixes: dict[str, str] = {}
    declared = root.get("field_types")
    if not isinstance(declared, dict) or not declared:
        reader.fault(("field_types",), "must be a mapping with at least one field type")
        declared = {}
    for name, entry in declared.items():
        path: Path = ("field_types", str(name))
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            reader.fault(path, "a name is [a-z][a-z0-9_]{0,31}")
            continue
        field_type = reader.field_type(path, name, entry)
        if field_type is None:
            continue
        other = prefixes.setdefault(field_type.token_prefix, name)
        if other != name:
            reader.fault((*path, "token_prefix"), f"is already that of {other}")
        types[name] = field_type
    if reader.faults:
        raise FieldTypesError(file, reader.faults)
    return types


class _Reader:
    """Reads a document's parts and gathers the faults. A part at fault yields something empty."""

    def __init__(self) -> None:
        self.faults: list[tuple[Path, str]] = []

    def fault(self, path: Path, text: str) -> None:
        self.faults.append((path, text))

    def mapping(self, path: Path, value: object, keys: Iterable[str]) -> Mapping[object, object]:
        """A mapping with exactly these keys; what is there of it, if it is not."""
        if not isinstance(value, dict):
            self.fault(path, "must be a mapping")
            return {}
        wanted = tuple(keys)
        for key in value:
            if key not in wanted:
                known = ", ".join(wanted) or "none"
                self.fault((*path, str(key)), f"unknown key; known: {known}")
        for key in wanted:
            if key not in value:
                self.fault((*path, key), "is missing")
        return value

    def field_type(self, path: Path, name: str, entry: object) -> FieldType | None:
        before = len(self.faults)
        declared = self.mapping(path, entry, _KEYS)
        prefix = self.scalar(
            path,
            declared,
            "token_prefix",
            kind=str,
            check=lambda text: bool(_PREFIX.fullmatch(text)),
            wants="[a-z]{2,8}",
        )
        sensitive = self.scalar(
            path, declared, "sensitive", kind=bool, check=lambda _: True, wants="true or false"
        )
        max_chars = self.number(path, declared, "max_chars", MAX_CHARS)
        retention = self.number(path, declared, "retention_days", MAX_RETENTION_DAYS)
        normalisers = self.steps(path, declared, "normalise", NORMALISERS)
        validators = self.steps(path, declared, "validate", VALIDATORS)
        renderers = self.views((*path, "views"), declared["views"]) if "views" in declared else {}
        validate = declared.get("validate")
        names = [_names(step) for step in validate] if isinstance(validate, list) else []
        if max_chars > MAX_PATTERN_CHARS and ("pattern",) in names:
            self.fault((*path, "max_chars"), f"a pattern needs {MAX_PATTERN_CHARS} or less")
        if len(self.faults) > before:
            return None
        return FieldType(
            name=name,
            token_prefix=prefix,
            max_chars=max_chars,
            sensitive=sensitive,
            views=tuple(renderers),
            retention_days=retention,
            normalisers=normalisers,
            validators=validators,
            renderers=MappingProxyType(renderers),
        )

    def scalar(
        self,
        path: Path,
        declared: Mapping[object, object],
        key: str,
        *,
        kind: type[ScalarT],
        check: Callable[[ScalarT], bool],
        wants: str,
    ) -> ScalarT:
        """The value of a key; of a key that is missing or at fault, an empty one of its kind."""
        if key not in declared:
            return kind()  # a missing key is a fault already
        value = declared[key]
        # bool is a subclass of int, hence no isinstance.
        if type(value) is kind and check(value):
            return value
        self.fault((*path, key), f"must be {wants}")
        return kind()

    def number(self, path: Path, declared: Mapping[object, object], key: str, most: int) -> int:
        return self.scalar(
            path, declared, key, kind=int, check=lambda n: 1 <= n <= most, wants=f"1 to {most}"
        )

    def steps(
        self,
        path: Path,
        declared: Mapping[object, object],
        key: str,
        primitives: Mapping[str, Primitive[StepT]],
    ) -> tuple[StepT, ...]:
        """A list of primitives, at least one."""
        if key not in declared:
            return ()
        entries = declared[key]
        if not isinstance(entries, list) or not entries:
            self.fault((*path, key), "must be a list of at least one")
            return ()
        steps = [
            self.step((*path, key, index), entry, primitives) for index, entry in enumerate(entries)
        ]
        return tuple(step for step in steps if step is not None)

    def views(self, path: Path, entries: object) -> dict[View, Renderer]:
        """View by view, the one that says most first. Only `full` shows all."""
        if not isinstance(entries, dict):
            self.fault(path, "must be a mapping")
            return {}
        if next(iter(entries), None) != "full":
            self.fault(path, "must start with full")
        renderers: dict[View, Renderer] = {}
        for key, entry in entries.items():
            view = _VIEWS.get(key) if isinstance(key, str) else None
            if view is None:
                self.fault((*path, str(key)), f"unknown view; known: {', '.join(_VIEWS)}")
                continue
            names = _names(entry)
            if (view is View.FULL) != ("full" in names):
                self.fault((*path, key), "the view full, and no other, is the primitive full")
            elif view is View.LAST4 and "last4" not in names:
                self.fault((*path, key), "the view last4 is the primitive last4")
            renderer = self.step((*path, key), entry, RENDERERS)
            if renderer is not None:
                renderers[view] = renderer
        return renderers

    def step(
        self, path: Path, entry: object, primitives: Mapping[str, Primitive[StepT]]
    ) -> StepT | None:
        """`name`, or `name: {parameter: value}`."""
        names = _names(entry)
        if len(names) != 1:
            self.fault(path, "must be the name of a primitive, or one name with its parameters")
            return None
        (name,) = names
        primitive = primitives.get(name)
        if primitive is None:
            self.fault((*path, name), f"unknown primitive; known: {', '.join(primitives)}")
            return None
        path = path if isinstance(entry, str) else (*path, name)
        before = len(self.faults)
        given = entry[name] if isinstance(entry, dict) else {}
        parameters = self.mapping(path, given, primitive.parameters)
        for key, spec in primitive.parameters.items():
            if key not in parameters:
                continue
            value = parameters[key]
            if type(value) is not spec.kind or not spec.check(value):
                self.fault((*path, key), f"must be {spec.wants}")
        if len(self.faults) > before:
            return None
        try:
            return primitive.make(**{str(key): value for key, value in parameters.items()})
        except ValueError as error:
            self.fault(path, str(error))
            return None


def _names(entry: object) -> tuple[str, ...]:
    """The primitives that an entry names."""
    if isinstance(entry, str):
        return (entry,)
    return tuple(key for key in entry if isinstance(key, str)) if isinstance(entry, dict) else ()
