"""JSON file as data; each fault of a file is a `ConfigError` with its JSON Pointer."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from trackerapi.arguments import is_unicode
from trackerapi.errors import ConfigError
from trackerapi.files import read_given

MAX_FILE_BYTES: Final = 5 * 1024 * 1024

MAX_DIGITS: Final = 300
"""Maximum number of digits of an int; a longer whole number is refused as a float."""

Location: TypeAlias = tuple[int | str, ...]
"""Keys and indexes from the root of a document to a value."""


class _Object(dict[str, Any]):
    """A JSON object, with its repeated keys."""

    repeated: tuple[str, ...] = ()


def read_json_file(path: Path) -> Any:
    """Read a JSON file; return its document.

    Raises:
        ConfigError: If the file cannot be read, is empty, larger than 5 MiB, not UTF-8
            (a byte order mark is fine) or not JSON. Also if the document is nested too
            deeply, or contains a repeated key, a number that is not finite, or a lone
            surrogate.
    """
    document = _parse(_decode(_read_content(path), path), path)
    for location, value in _values(document):
        fault = _fault(value)
        if fault is not None:
            reason, below = fault
            raise ConfigError(reason, path, json_pointer((*location, *below)))
    return document


def json_pointer(location: Sequence[int | str]) -> str:
    """Return the JSON Pointer (RFC 6901) of a location in a document."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in location
    )


def _read_content(path: Path) -> bytes:
    try:
        content = read_given(path, MAX_FILE_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError("a folder, not a file", path) from None
    except FileNotFoundError:
        raise ConfigError(_no_such_file(path), path) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", path) from None
    except ValueError as error:  # a path with NUL
        raise ConfigError(f"cannot be read: {error}", path) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError("larger than 5 MiB", path)
    return content


def _no_such_file(path: Path) -> str:
    if path.is_absolute():
        return "no such file"
    return f"no such file; relative paths start at the working directory, {Path.cwd()}"


def _decode(content: bytes, path: Path) -> str:
    encoding = json.detect_encoding(content)
    if not encoding.startswith("utf-8"):
        name = encoding[: len("utf-16")].upper()
        raise ConfigError(f"encoded as {name}, it seems; save it as UTF-8", path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}; save it as UTF-8"
        raise ConfigError(reason, path) from None
    if not text.strip():
        raise ConfigError("empty; write job configurations into it", path)
    return text


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise ConfigError(reason, path) from None
    except RecursionError:
        raise ConfigError("nested too deeply", path) from None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    members = _Object(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        members.repeated = tuple(name for name in counts if counts[name] > 1)
    return members


def _whole_number(digits: str) -> int | float:
    # `int()` raises for thousands of digits; `float()` makes them infinite, which
    # `_fault()` refuses with a location.
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _values(document: Any) -> Iterator[tuple[Location, Any]]:
    """Yield the document and all values in it, in the order of the text."""
    # Not recursive: documents may be nested deeper than Python can recurse.
    pending: list[tuple[Location, Any]] = [((), document)]
    while pending:
        location, value = pending.pop()
        yield location, value
        inner: list[tuple[int | str, Any]] = []
        match value:
            case _Object():
                inner = [*value.items()]
            case [*items]:
                inner = [*enumerate(items)]
            case _:
                pass
        pending.extend(((*location, part), item) for part, item in reversed(inner))


def _fault(value: Any) -> tuple[str, Location] | None:
    """Return the fault of a value and its location below the value; None if valid."""
    if isinstance(value, _Object):
        for key in value.repeated:
            return f"key {key!r} appears twice", (key,)
        if not all(is_unicode(key) for key in value):
            return "a key is half of a surrogate pair", ()
    if isinstance(value, str) and not is_unicode(value):
        return "half of a surrogate pair", ()
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is NaN, infinite or too large", ()
    return None
