"""Which texts the contract takes as names, and how others are made to fit.

The rules are those of `openapi/tracker-backend.yaml`; a test holds them equal.
"""

import re
from typing import Final

CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
"""Control and line-separator characters, as a part of a regular expression's class."""

BLANKS: Final = r"\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""White space that is no control character, likewise."""

NAME_PATTERN: Final = f"^[{BLANKS}]*[^{CONTROLS}{BLANKS}][^{CONTROLS}]*$"
"""A name: not blank, without control or line-separator characters."""

LONGEST_NAME: Final = 100
LONGEST_PROVIDER_JOB_ID: Final = 200
LONGEST_MESSAGE: Final = 2_000
LONGEST_DETAIL: Final = 16_000

# `$` would also match before a line end; `fullmatch` does not need it.
_NAME: Final = re.compile(NAME_PATTERN[:-1])


def check_name(argument: str, value: object, longest: int = LONGEST_NAME) -> str:
    """Return `value` if it can be a tag, name or id.

    Args:
        argument: Name of the argument, for the error.
        value: What the caller gave.
        longest: Most characters it may have.

    Raises:
        TypeError: If it is no text.
        ValueError: If it is blank, too long or holds a control or line-separator
            character.
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


def fitted(text: str, longest: int) -> str:
    """Return `text` as the contract can hold it, cut to `longest` characters.

    NUL and lone surrogates, which neither JSON nor databases hold, become U+FFFD; a
    text that was cut ends with an ellipsis.
    """
    if "\0" in text or not is_unicode(text):
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def is_unicode(text: str) -> bool:
    """Tell whether `text` holds no lone surrogate, which no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
