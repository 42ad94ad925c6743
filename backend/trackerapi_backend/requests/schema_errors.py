"""Conversion of validator errors to the `errors` of a problem.

The texts never repeat an invalid value, which may be secret or long.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jsonschema_rs import ValidationError

    from trackerapi_backend.generated import models

MAX_NAME_LENGTH = 100
"""Maximum length of a member's name in a pointer, in characters.

A longer name is cut, and its error suggests no known name."""

# Member names of the original service, with their current names.
_FORMER_NAMES = {"steps": "step_configurations"}

_LIMITS = {
    "minLength": "needs at least {limit} character(s)",
    "maxLength": "has more than {limit} characters",
    "minimum": "is below {limit}",
    "maximum": "is above {limit}",
    "minItems": "needs at least {limit} item(s)",
    "maxItems": "has more than {limit} items",
    "maxProperties": "has more than {limit} members",
}
_ARTICLES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_FORMATS = {
    "date-time": "is not a date and time such as 2030-01-01T00:00:00Z",
    "uuid": "is not a UUID such as 019ab4c2-7a10-7c3e-9d55-0f6a3b1c2d3e",
}

# Reasons by a part of the pattern; the first part that a pattern contains decides.
_PATTERNS = {
    "u2028": "is blank or contains control characters or line breaks",
    "u0000": "contains a NUL character",
    "^(0|[1-9]": "is not a version such as 1.0.0",
    "^#[0-9A-Fa-f]": "is not a colour such as #0c6a60",
    "+@[": "is not a mail address such as help@example.com",
    "^[+(]?[0-9]": "is not a telephone number such as +49 30 1234567",
    "^[A-Za-z0-9_+/-]+$": "is not a time zone such as Europe/Berlin",
}


def problem_errors(
    error: ValidationError, pointer: str, known: Sequence[str]
) -> Iterator[models.ProblemError]:
    """Yield the errors of a problem for one error of the validator.

    Args:
        error: Error of the value itself; nested values have errors of their own.
        pointer: JSON Pointer (RFC 6901) to the value; empty for the whole body.
        known: Names of the members that the value may have.
    """
    facts = error.kind.as_dict()
    match error.kind.name:
        case "required":
            name = facts["property"]
            yield {"pointer": f"{pointer}/{escape_name(name)}", "detail": "is missing"}
        case "additionalProperties":
            for name in facts["unexpected"]:
                yield {
                    "pointer": f"{pointer}/{escape_name(name)}",
                    "detail": "is not a known member" + _suggestion(name, known),
                }
        case "propertyNames" if _is_about_language(facts["error"]):
            name = escape_name(facts["error"].instance)
            detail = "is not a language such as de or pt-BR"
            yield {"pointer": f"{pointer}/{name}", "detail": detail}
        case "minLength" if pointer.endswith("/version"):
            # A short version also violates its pattern, which has a clearer error.
            return
        case _:
            yield {"pointer": pointer, "detail": _reason(error.kind.name, facts)}


def escape_name(name: str) -> str:
    """Return a member's name as a part of a JSON Pointer.

    The name is cut after `MAX_NAME_LENGTH` characters, before the escaping.
    """
    return name[:MAX_NAME_LENGTH].replace("~", "~0").replace("/", "~1")


def _reason(kind: str, facts: dict[str, Any]) -> str:
    match kind:
        case "type":
            return "is not " + " or ".join(_ARTICLES[name] for name in facts["types"])
        case "enum":
            return "is not one of " + ", ".join(map(str, facts["options"]))
        case "format":
            return _FORMATS.get(facts["format"], f"is not a {facts['format']}")
        case "pattern":
            return _pattern_reason(facts["pattern"])
        case "propertyNames":
            return "has a key that is empty, too long or contains NUL"
    return _LIMITS.get(kind, "is not valid").format_map(facts)


def _pattern_reason(pattern: str) -> str:
    """Return the rule behind a pattern; the pattern itself would not help a reader."""
    for part, reason in _PATTERNS.items():
        if part in pattern:
            return reason
    return "does not have the form that the contract describes"


def _is_about_language(error: ValidationError) -> bool:
    """Return whether an error is about the form of a language tag."""
    facts = error.kind.as_dict()
    return str(facts.get("pattern", "")).startswith("^[a-z]{2,3}(-")


def _suggestion(name: str, known: Sequence[str]) -> str:
    """Return a text that suggests the known name closest to `name`; may be empty."""
    if _FORMER_NAMES.get(name) in known:
        return f"; it is called {_FORMER_NAMES[name]} now"
    # `get_close_matches()` needs time in the square of the length: a long name would
    # block the thread.
    is_short = len(name) <= MAX_NAME_LENGTH
    close = get_close_matches(name, known, n=1) if is_short else None
    return f"; did you mean {close[0]}?" if close else ""
