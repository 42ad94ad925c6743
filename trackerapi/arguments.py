"""Checks of arguments: names, texts, numbers, flags, lists of words.

The rules for names and texts are those of `openapi/tracker-backend.yaml`; a test
compares them with the contract.
"""

import operator
import re
from collections.abc import Collection
from typing import Any, Final, cast

from trackerapi.number_text import number_text

CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
"""Control and line-separator characters, for a character class of a regex."""

BLANKS: Final = r"\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""White space other than control characters, for a character class of a regex."""

NAME_PATTERN: Final = f"^[{BLANKS}]*[^{CONTROLS}{BLANKS}][^{CONTROLS}]*$"
"""A name: not blank, without control or line-separator characters."""

MAX_NAME_LENGTH: Final = 100
MAX_JOB_ID_LENGTH: Final = 200
MAX_TITLE_LENGTH: Final = 200
MAX_REFERENCE_LENGTH: Final = 100
MAX_MESSAGE_LENGTH: Final = 2_000
MAX_DETAIL_LENGTH: Final = 16_000

LARGEST_ID: Final = 2**53 - 1
"""Largest integer that every JSON parser reads without rounding."""

# Without `$`, which would also match before a line end: `fullmatch` anchors the end.
_NAME: Final = re.compile(NAME_PATTERN[:-1])

_ROUNDING: Final = 1e-9
"""Tolerance above a limit, as a share of the limit: sums of floats are rounded."""


def check_name(argument: str, value: object, longest: int = MAX_NAME_LENGTH) -> str:
    """Return `value` if it can be a tag, name or id.

    Args:
        argument: Name of the argument, for the error.
        value: Value that the caller passed.
        longest: Maximum length, in characters.

    Raises:
        TypeError: If `value` is not text.
        ValueError: If `value` is blank, too long or contains a control or
            line-separator character.
    """
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be text, got {type(value).__name__}")
    if not value or len(value) > longest:
        raise ValueError(
            f"{argument} must have 1 to {longest} characters, got {len(value)}"
        )
    if not _NAME.fullmatch(value) or not is_unicode(value):
        raise ValueError(
            f"{argument} must not be blank or contain control characters or line "
            f"breaks, got {value!r}"
        )
    return value


def fit_text(text: str, longest: int) -> str:
    """Return `text` in a form that the contract accepts, cut to `longest` characters.

    NUL and lone surrogates become U+FFFD, because neither JSON nor databases store
    them. A text that was cut ends with an ellipsis.
    """
    if "\0" in text or not is_unicode(text):
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode `text`; False for a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(argument: str, value: str | None, longest: int) -> str | None:
    """Return `value` cut to `longest` characters; None for an empty text.

    Raises:
        TypeError: If `value` is not text.
    """
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{argument} must be text, got {type(value).__name__}")
    return fit_text(value, longest) if value else None


def check_customer_text(value: str | BaseException | None, longest: int) -> str | None:
    """Return a text for the customer, cut to `longest` characters.

    Raises:
        TypeError: If `value` is not text. An exception is only for the provider.
    """
    if isinstance(value, BaseException):
        kind = type(value).__name__
        raise TypeError(
            f"customer must be text, got {kind}; pass an exception as error="
        )
    return check_text("customer", value, longest)


def check_words(argument: str, values: object, known: Collection[str]) -> list[str]:
    """Return `values` as a list if each of them is a known word.

    Args:
        argument: Name of the argument, for the error.
        values: Collection of words that the caller passed.
        known: All words that the argument accepts.

    Raises:
        TypeError: If `values` is not a collection, or is a single text.
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
    """Return `value` as a plain number from 0 to `largest`; None for None.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If `value` is out of range.
    """
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        value = as_number(argument, value)
    if not -_ROUNDING <= value <= largest * (1 + _ROUNDING):
        raise ValueError(f"{argument} must be {_range(value, largest)}, got {value}")
    return min(max(value, 0), largest)


def _range(value: float, largest: float) -> str:
    if largest <= 1:
        return f"0 to {number_text(largest)}"
    # Name only the violated limit: the other limit would distract.
    return f"at most {number_text(largest)}" if value > largest else "0 or more"


def as_number(argument: str, value: Any) -> float:
    """Return `value` as an int or a float.

    Accepts numbers of NumPy and `decimal` too: JSON cannot encode these directly.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If a float cannot represent `value`.
    """
    kind = cast("Any", type(value))
    try:
        if kind is not bool and hasattr(kind, "__index__"):
            return operator.index(value)
        if kind is not bool and hasattr(kind, "__float__"):
            return float(value)
    except TypeError:  # An array may contain several numbers.
        pass
    raise TypeError(f"{argument} must be a number, got {kind.__name__}")


def check_whole(argument: str, value: Any) -> int:
    """Return `value` as an int; accepts whole numbers of NumPy too.

    Raises:
        TypeError: If `value` is not a whole number.
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


def check_id(argument: str, value: Any) -> int:
    """Return `value` as an int if it can be an id that the backend gave.

    Raises:
        TypeError: If `value` is not a whole number.
        ValueError: If `value` is below 1 or above 2**53 - 1.
    """
    checked = check_whole(argument, value)
    if checked < 1:
        raise ValueError(f"{argument} must be a positive whole number, got {value}")
    if checked > LARGEST_ID:
        raise ValueError(f"{argument} must be at most {LARGEST_ID:,}, got {value}")
    return checked


def check_flag(argument: str, value: object) -> bool:
    """Return `value` if it is True or False.

    Raises:
        TypeError: If `value` is anything else.
    """
    if isinstance(value, bool):
        return value
    raise TypeError(f"{argument} must be True or False, got {type(value).__name__}")


def check_dict(argument: str, value: object) -> dict[str, Any]:
    """Return `value` if it is a dict.

    Raises:
        TypeError: If `value` is anything else.
    """
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise TypeError(f"{argument} must be a dict, got {type(value).__name__}")


def check_callable(argument: str, value: object) -> None:
    """Raise unless `value` is callable or None.

    Raises:
        TypeError: If `value` is neither callable nor None.
    """
    if value is not None and not callable(value):
        raise TypeError(f"{argument} must be callable, got {type(value).__name__}")
