"""What can be wrong with a value, a view or a declaration. Nothing here ever holds a value."""

import enum
from collections.abc import Sequence


class Fault(enum.StrEnum):
    """The closed set of phrases that say what is wrong with a value."""

    EMPTY = "empty"
    LENGTH = "length"
    CHARACTERS = "characters"
    PATTERN = "pattern"
    CHECK_DIGIT = "check digit"
    REGION = "region code"
    DATE = "not a date"
    PHONE = "not a phone number"
    EMAIL = "not an e-mail address"


class ValueInvalidError(Exception):
    """The value is not one of its field type. `detail` is one of `Fault`, never the value."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.detail: str = fault.value


class ViewUnavailableError(Exception):
    """The field type lacks the view, or the view of this value would say too much or nothing."""

    def __init__(self) -> None:
        super().__init__("the view is not available")


class FieldTypesError(ValueError):
    """A declaration that is refused.

    Attributes:
        path: the first fault's place, such as `phone.views.masked.keep_first`.
        text: what is wrong there.
        faults: every fault found, each as the keys that lead to it from the
            document's root (a list's index is an int) and its text.
    """

    def __init__(self, file: str, faults: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        keys, self.text = faults[0]
        self.faults = tuple(faults)
        self.path = ".".join(str(key) for key in keys)
        super().__init__(f"{file}: {self.path}: {self.text}")
