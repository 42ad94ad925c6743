"""A JSON file as data, with an answer for each way in which it can be none."""

import codecs
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from trackerapi.errors import ConfigError

MAX_FILE_BYTES: Final = 5 * 1024 * 1024

_FOREIGN_MARKS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class _Object(dict[str, Any]):
    """A JSON object that remembers the keys it had twice."""

    repeated: tuple[str, ...] = ()


def read_json_file(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        ConfigError: If it cannot be read, is empty, larger than 5 MiB, not UTF-8 (a
            byte order mark is fine), not JSON, nested too deeply, or has a key twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError("a folder, not a file", path) from None
    except FileNotFoundError:
        raise ConfigError("there is no such file", path) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", path) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError("larger than 5 MiB", path)
    document = _parsed(_decoded(content, path), path)
    for pointer, key in _repeated_keys(document, ()):
        raise ConfigError(f"key {key!r} stands twice", path, json_pointer(pointer))
    return document


def json_pointer(place: Sequence[int | str]) -> str:
    """Return the JSON Pointer (RFC 6901) of a place in a document."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in place
    )


def _decoded(content: bytes, path: Path) -> str:
    for mark, encoding in _FOREIGN_MARKS.items():
        if content.startswith(mark):
            raise ConfigError(f"encoded as {encoding}; save it as UTF-8", path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}; save it as UTF-8"
        raise ConfigError(reason, path) from None
    if not text.strip():
        raise ConfigError("empty; write job configurations into it", path)
    return text


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise ConfigError(reason, path) from None
    except RecursionError:
        raise ConfigError("nested too deeply", path) from None
    except ValueError as error:  # a constant, or a number of thousands of digits
        raise ConfigError(f"not JSON: {error}", path) from None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    members = _Object(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        members.repeated = tuple(n for n in members if names.count(n) > 1)
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _repeated_keys(
    value: Any, place: tuple[int | str, ...]
) -> Iterator[tuple[tuple[int | str, ...], str]]:
    if isinstance(value, _Object):
        for key in value.repeated:
            yield (*place, key), key
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for part, item in inner:
            yield from _repeated_keys(item, (*place, part))
