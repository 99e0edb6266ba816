"""Purposes: why a caller may see what, as governed objects (`purposes.yaml`)."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from vault.fields import FieldType
from vault.model import View
from vault.policy.document import Document
from vault.policy.faults import Faults
from vault.policy.reader import NAME, SENTENCE, Reader

VIEW_NAMES: Mapping[str, View] = {
    view.name.lower(): view for view in View if view is not View.UNSPECIFIED
}
LEGAL_BASES = (
    "consent",
    "contract",
    "legal_duty",
    "legitimate_interest",
    "public_emergency",
)
"""PIPL article 13 and GDPR article 6, as far as a shop needs them."""

CASE_KIND = re.compile(r"[a-z]{2,16}")

_REQUIRED = ("description", "legal_basis", "needs_consent", "roles", "retention_days")
_REQUIRED_LAST = ("owner", "review_by")
_OPTIONAL = ("reveals", "collects")
_BASIS = re.compile("|".join(LEGAL_BASES))
_VIEW = re.compile("|".join(VIEW_NAMES))


@dataclass(frozen=True, slots=True)
class Purpose:
    """One reason for processing.

    Attributes:
        legal_basis: one of `LEGAL_BASES`.
        needs_consent: nothing is revealed to it without the subject's consent.
        roles: who serves it, sorted.
        reveals: field type -> the highest view; the field type's lower views go with it.
        collects: field types that callers who serve it may tokenise, sorted.
        retention_days: how long values are kept for it.
        owner: who answers for it.
        review_by: when it must be looked at again.
    """

    name: str
    description: str
    legal_basis: str
    needs_consent: bool
    roles: tuple[str, ...]
    reveals: Mapping[str, View]
    collects: tuple[str, ...]
    retention_days: int
    owner: str
    review_by: dt.date

    def views_of(self, field_type: FieldType) -> tuple[View, ...]:
        """The views of a field type that this purpose allows, most to least."""
        highest = self.reveals.get(field_type.name)
        if highest is None or highest not in field_type.views:
            return ()
        return field_type.views[field_type.views.index(highest) :]


def read_purposes(document: Document, faults: Faults) -> dict[str, Purpose]:
    """Reads `purposes.yaml`. Whether the names in it exist is checked by `rules.py`."""
    reader = Reader(document, faults)
    reader.keys((), ("purposes",), ("cases",))
    found = {}
    for name in reader.names(("purposes",), NAME, "purpose name"):
        here = ("purposes", name)
        reader.keys(here, (*_REQUIRED, *_REQUIRED_LAST), _OPTIONAL)
        purpose = Purpose(
            name=name,
            description=reader.text((*here, "description"), SENTENCE, "sentence"),
            legal_basis=reader.text((*here, "legal_basis"), _BASIS, "legal basis"),
            needs_consent=reader.flag((*here, "needs_consent")),
            roles=reader.texts((*here, "roles"), NAME, "role name"),
            reveals=_read_reveals(reader, here),
            collects=reader.texts((*here, "collects"), NAME, "field type name"),
            retention_days=reader.whole((*here, "retention_days"), 1, 36_500),
            owner=reader.text((*here, "owner"), SENTENCE, "name"),
            review_by=reader.day((*here, "review_by")),
        )
        if purpose.legal_basis == "consent" and not purpose.needs_consent:
            reader.fault((*here, "needs_consent"), "the legal basis is consent, so it is needed")
        found[name] = purpose
    return found


def read_case_kinds(document: Document, faults: Faults) -> dict[str, str]:
    """What a call may be about: kind -> description; none where the file has no `cases`."""
    reader = Reader(document, faults)
    path = ("cases",)
    if not reader.has(path):
        return {}
    return {
        kind: reader.text((*path, kind), SENTENCE, "sentence")
        for kind in reader.names(path, CASE_KIND, "kind of case")
    }


def _read_reveals(reader: Reader, here: tuple[str, str]) -> dict[str, View]:
    path = (*here, "reveals")
    if not reader.has(path):
        return {}
    views = {}
    for field_type in reader.names(path, NAME, "field type name"):
        name = reader.text((*path, field_type), _VIEW, "view: " + ", ".join(VIEW_NAMES))
        if name:
            views[field_type] = VIEW_NAMES[name]
    return views
