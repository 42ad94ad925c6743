"""Checks of arguments that Python itself does not make."""

import operator
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from trackerapi.number_text import number_text
from trackerapi.texts import fitted

_ROUNDING: Final = 1e-9


def refuse_unknown(call: str, given: AbstractSet[str], known: AbstractSet[str]) -> None:
    """Refuse keyword arguments that a call does not have.

    Args:
        call: Name of what was called, for the error.
        given: Names of the arguments.
        known: Names that the call has.

    Raises:
        TypeError: If one is unknown, so that a typo is not taken for "not given".
    """
    for name in sorted(given - known):
        raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")


def check_words(argument: str, values: object, known: Collection[str]) -> list[str]:
    """Return `values` as a list if each is a known word.

    Args:
        argument: Name of the argument, for the error.
        values: What the caller gave; a list or another collection of words.
        known: The words there are.

    Raises:
        TypeError: If it is no collection; a text alone is none.
        ValueError: If a word is unknown.
    """
    if isinstance(values, str) or not isinstance(values, Collection):
        kind = type(values).__name__
        raise TypeError(f"{argument} must be a list of words, got {kind}")
    words: list[str] = list(cast("Collection[str]", values))
    for word in words:
        if word not in known:
            listed = ", ".join(map(repr, known))
            raise ValueError(f"{argument} must hold words of {listed}, got {word!r}")
    return words


def check_number(argument: str, value: float | None, largest: float) -> float | None:
    """Return `value` as a plain number if it is one from 0 to `largest`, or None.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of range.
    """
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        value = as_number(argument, value)
    # A sum of shares may end a rounding error beyond the bound.
    if not -_ROUNDING <= value <= largest * (1 + _ROUNDING):
        raise ValueError(f"{argument} must be {_range(value, largest)}, got {value}")
    return min(max(value, 0), largest)


def _range(value: float, largest: float) -> str:
    if largest <= 1:
        return f"0 to {number_text(largest)}"
    # Nobody needs the other bound, least of all a large one.
    return f"at most {number_text(largest)}" if value > largest else "0 or more"


def as_number(argument: str, value: Any) -> float:
    """Return `value` as a plain number.

    Also one of NumPy or `decimal`, which are neither int nor float and which JSON
    does not know.

    Raises:
        TypeError: If it is no number.
        ValueError: If a number cannot hold it.
    """
    kind = cast("Any", type(value))
    try:
        if kind is not bool and hasattr(kind, "__index__"):
            return operator.index(value)
        if kind is not bool and hasattr(kind, "__float__"):
            return float(value)
    except TypeError:  # an array of several
        pass
    raise TypeError(f"{argument} must be a number, got {kind.__name__}")


def check_whole(argument: str, value: Any) -> int:
    """Return `value` as a plain whole number, also one of NumPy.

    Raises:
        TypeError: If it is none.
    """
    if type(value) is int:
        return value
    try:
        if type(value) is not bool:
            return operator.index(value)
    except TypeError:
        pass
    kind = type(value).__name__
    raise TypeError(f"{argument} must be a whole number, got {kind}")


def check_flag(argument: str, value: object) -> bool:
    """Return `value` if it is True or False.

    Raises:
        TypeError: If it is not.
    """
    if isinstance(value, bool):
        return value
    raise TypeError(f"{argument} must be True or False, got {type(value).__name__}")


def check_text(argument: str, value: str | None, longest: int) -> str | None:
    """Return `value` cut to `longest` characters; None for a blank one.

    Raises:
        TypeError: If it is no text.
    """
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{argument} must be text, got {type(value).__name__}")
    return fitted(value, longest) if value else None


def check_customer_text(value: str | BaseException | None, longest: int) -> str | None:
    """Return what the customer is to read, cut to `longest` characters.

    Raises:
        TypeError: If it is no text. An exception is none: it is for the provider.
    """
    if isinstance(value, BaseException):
        kind = type(value).__name__
        raise TypeError(f"customer must be text, got {kind}; give it as error=")
    return check_text("customer", value, longest)


def check_callable(argument: str, value: object) -> None:
    """Refuse what is neither callable nor None.

    Raises:
        TypeError: If it is neither.
    """
    if value is not None and not callable(value):
        raise TypeError(f"{argument} must be callable, got {type(value).__name__}")
