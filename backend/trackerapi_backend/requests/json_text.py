"""Strict JSON in requests."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

from trackerapi_backend.problems import Problem


def parse_json(text: bytes) -> Any:
    """Return the value of one JSON text.

    The fast decoder rejects the same texts as the decoder of the standard library,
    whose errors name line and column.

    Raises:
        Problem: If the text is not UTF-8, is not JSON (NaN and Infinity are invalid),
            or is nested too deeply for the parser.
    """
    try:
        return _fast_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _parse_slowly(text)


def _parse_slowly(text: bytes) -> Any:
    try:
        value = _decoder.decode(text.decode())
    except UnicodeDecodeError as error:
        raise Problem(
            "malformed-request", f"The text is not UTF-8 at byte {error.start}."
        ) from None
    except json.JSONDecodeError as error:
        raise Problem(
            "malformed-request",
            f"Not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
        ) from None
    except RecursionError:
        raise Problem("malformed-request", "The JSON is nested too deeply.") from None
    except ValueError:
        # Python raises ValueError for an integer of more than 4,300 digits.
        raise Problem("malformed-request", "A number is too long.") from None
    return value


def _reject_constant(name: str) -> NoReturn:
    raise Problem("malformed-request", f"{name} is not JSON.")


def _finite_float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Problem("malformed-request", "A number is too large.")
    return number


# All lines share one decoder: creating a decoder is as slow as decoding a line.
_fast_decoder = msgspec.json.Decoder()
_decoder = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite_float)
