"""One field type: from raw text to its normalised value, and from that to a view.

Guarantees, for every declaration that `load_field_types` lets through: `normalise` raises nothing
but `ValueInvalidError`, `render` nothing but `ViewUnavailableError`; both take bounded time;
no view but FULL holds the whole value.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from vault.fields.faults import Fault, ValueInvalidError, ViewUnavailableError
from vault.fields.normalise import Normaliser
from vault.fields.text import check_characters, is_visible
from vault.fields.validate import Validator
from vault.fields.views import Renderer
from vault.model import View


@dataclass(frozen=True, slots=True)
class FieldType:
    """A kind of personal data, as declared in `policies/field_types.yaml`.

    Attributes:
        name: `[a-z][a-z0-9_]{0,31}`.
        token_prefix: `[a-z]{2,8}`, unique in the bundle.
        max_chars: of the raw value, and of the normalised one.
        sensitive: personal data whose leak does particular harm (PIPL, article 28).
        views: from the one that says most to the one that says least; FULL first.
        retention_days: how long a value is kept.
    """

    name: str
    token_prefix: str
    max_chars: int
    sensitive: bool
    views: tuple[View, ...]
    retention_days: int
    normalisers: tuple[Normaliser, ...] = field(repr=False, compare=False)
    validators: tuple[Validator, ...] = field(repr=False, compare=False)
    renderers: Mapping[View, Renderer] = field(repr=False, compare=False)

    def normalise(self, raw: str) -> str:
        """The one written form of a value.

        Raises:
            ValueInvalidError: the text is no value of this type.
        """
        if len(raw) > self.max_chars:
            raise ValueInvalidError(Fault.LENGTH)
        check_characters(raw)
        if not is_visible(raw):
            raise ValueInvalidError(Fault.EMPTY)
        value = raw
        for normaliser in self.normalisers:
            value = normaliser(value)
        # Normalising can lengthen a text (NFKC, up to 18 times) and empty it (a lone hyphen).
        if not is_visible(value):
            raise ValueInvalidError(Fault.EMPTY)
        if len(value) > self.max_chars:
            raise ValueInvalidError(Fault.LENGTH)
        for validator in self.validators:
            validator(value)
        return value

    def render(self, value: str, view: View, *, today: dt.date) -> str:
        """A normalised value in one of the type's views.

        Raises:
            ViewUnavailableError: the type has no such view, or this value has none.
        """
        renderer = self.renderers.get(view)
        if renderer is None:
            raise ViewUnavailableError
        rendered = renderer(value, today)
        # Whatever a declaration combines: a lower view that says all is none.
        if view is not View.FULL and value in rendered:
            raise ViewUnavailableError
        return rendered
