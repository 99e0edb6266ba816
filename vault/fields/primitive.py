"""What a primitive is: a maker of steps, and the parameters that it must be given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import phonenumbers

StepT = TypeVar("StepT")


def is_any(value: object) -> bool:
    return value is not None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One required parameter.

    Attributes:
        kind: the exact type; a bool is no int.
        check: whether a value of that type will do.
        wants: what will do, in words.
    """

    name: str
    kind: type[int] | type[str]
    check: Callable[..., bool] = is_any
    wants: str = "a known value"


class Primitive(Generic[StepT]):
    """`make(**parameters)` gives the step. All parameters are required."""

    def __init__(self, make: Callable[..., StepT], *parameters: Parameter) -> None:
        self.make = make
        self.parameters = {parameter.name: parameter for parameter in parameters}


def is_phone_region(value: str) -> bool:
    return value in phonenumbers.SUPPORTED_REGIONS
