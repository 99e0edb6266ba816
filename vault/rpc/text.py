"""Rules for text in a request: one place, for every field of every message.

protobuf has already made sure that strings are valid UTF-8.
"""

import re

from vault.errors import Reason, VaultError, invalid

# C0 and C1 controls, the separators that end a line in some readers, and the bidirectional
# controls that make a text look like another (Unicode TR 36, section 2.10).
_HOSTILE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def check_text(text: str, field: str, *, max_bytes: int, required: bool = True) -> None:
    """Checks a text of one line.

    Raises:
        VaultError: FIELD_MISSING, FIELD_TOO_LONG or FIELD_INVALID, naming the field.
    """
    if not text:
        if required:
            raise invalid(Reason.FIELD_MISSING, field, "is required")
        return
    if len(text) > max_bytes or len(text.encode()) > max_bytes:
        raise invalid(Reason.FIELD_TOO_LONG, field, f"is longer than {max_bytes} bytes")
    if _HOSTILE.search(text):
        raise invalid(Reason.FIELD_INVALID, field, "holds a control character")


def check_form(text: str, field: str, form: re.Pattern[str], rule: str) -> None:
    """Checks a text against a closed form.

    Raises:
        VaultError: FIELD_MISSING or FIELD_INVALID, naming the field and the rule.
    """
    if not text:
        raise invalid(Reason.FIELD_MISSING, field, "is required")
    if not form.fullmatch(text):
        raise invalid(Reason.FIELD_INVALID, field, rule)


def too_many(field: str, limit: int) -> VaultError:
    """The error for a list that is too long."""
    return invalid(Reason.TOO_MANY_ITEMS, field, f"has more than {limit} items")
