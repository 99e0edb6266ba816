"""JSON that has one meaning: no duplicate names, no NaN, UTF-8 only, bounded depth.

Readers that disagree on which of two `sub` members counts are how one token gets
two subjects (RFC 8259, section 4; RFC 7519, section 4).
"""

import json
from typing import NoReturn


class StrictJsonError(ValueError):
    """Not strict JSON. The text holds nothing of the document."""


def read_object(data: bytes) -> dict[str, object]:
    """Read one JSON object.

    Raises:
        StrictJsonError: anything else, nesting too deep for the reader included.
    """
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
    except StrictJsonError:
        raise
    except (ValueError, RecursionError):
        # The cause quotes the document, so it is not chained.
        raise StrictJsonError("not JSON") from None
    if not isinstance(document, dict):
        raise StrictJsonError("not a JSON object")
    return document


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJsonError("a member name stands twice")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise StrictJsonError("NaN or Infinity")
