"""`read_json_file()`: valid files, and the error of each invalid file."""

from pathlib import Path
from typing import Final

import pytest

from trackerapi.config.json_file import json_pointer, read_json_file
from trackerapi.errors import ConfigError

VALID: Final = b'{"name": "A", "of": [1, 2.5, true, null]}'

UNREADABLE: Final = {
    "empty": (b"", "", "empty; write job configurations into it"),
    "white_space": (b"\xef\xbb\xbf \n", "", "empty; write job configurations into it"),
    "latin_1": (b'{"name": "\xc4"}', "", "not UTF-8 at byte 10"),
    "utf_16": (VALID.decode().encode("utf-16"), "", "encoded as UTF-16"),
    "utf_16_bare": (VALID.decode().encode("utf-16-be"), "", "encoded as UTF-16"),
    "utf_32_bare": (VALID.decode().encode("utf-32-le"), "", "encoded as UTF-32"),
    "huge": (VALID + b" " * (5 * 1024 * 1024), "", "larger than 5 MiB"),
    "not_json": (b'{\n "job_configs": [,]}', "", "in line 2, column 18"),
    "cut": (VALID[:-1], "", "not JSON"),
    "followed": (VALID + b"{}", "", "Extra data"),
    "deep": (b"[" * 100_000, "", "nested too deeply"),
    "key_twice": (b'{"x": [{"k": {}, "k": 1}]}', "/x/0/k", "key 'k' appears twice"),
    "key_twice_escaped": (b'{"a/b": 1, "a\\/b": 2}', "/a~1b", "appears twice"),
    "nan": (b'{"x": {"~": NaN}}', "/x/~0", "NaN, infinite or too large"),
    "minus_infinity": (b'{"x": [0, -Infinity]}', "/x/1", "NaN, infinite or too large"),
    "exponent": (b'{"x": 1e400}', "/x", "NaN, infinite or too large"),
    "digits": (b'{"x": ' + b"9" * 5000 + b"}", "/x", "NaN, infinite or too large"),
    "half_pair": (b'{"x": ["\\ud800"]}', "/x/0", "half of a surrogate pair"),
    "half_pair_key": (b'{"x": {"\\udc00": 1}}', "/x", "half of a surrogate pair"),
}


def error_of(path: Path) -> ConfigError:
    """Return the error that reading a file raises."""
    with pytest.raises(ConfigError) as caught:
        read_json_file(path)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file to be written."""
    return tmp_path / "job_configurations.json"


@pytest.mark.parametrize(
    ("content", "pointer", "reason"), UNREADABLE.values(), ids=UNREADABLE
)
def test_invalid_json_is_rejected(
    content: bytes, pointer: str, reason: str, path: Path
) -> None:
    """Each kind of invalid JSON has its own message and location."""
    path.write_bytes(content)

    error = error_of(path)

    assert reason in error.reason
    assert error.pointer == pointer
    assert error.path == path


def test_file_is_read_as_it_stands(path: Path) -> None:
    """All types of JSON values are read, and a surrogate pair as one character."""
    path.write_bytes(b'{"a": [1, 2.5, true, null, "\\ud83e\\udec0"], "b": {}}')

    assert read_json_file(path) == {"a": [1, 2.5, True, None, "🫀"], "b": {}}


def test_byte_order_mark_is_accepted(path: Path) -> None:
    """A file that an editor on Windows saved as UTF-8 loads."""
    path.write_bytes(b"\xef\xbb\xbf" + VALID)

    assert read_json_file(path)["name"] == "A"


def test_largest_file_is_accepted(path: Path) -> None:
    """A file of exactly the limit loads."""
    path.write_bytes(VALID.ljust(5 * 1024 * 1024))

    assert read_json_file(path)["name"] == "A"


def test_first_mistake_of_the_text_is_reported(path: Path) -> None:
    """If a file has several mistakes, the error has the location of the first."""
    path.write_bytes(b'{"a": [[NaN], 1e999], "b": {"k": 1, "k": 2}}')

    assert error_of(path).pointer == "/a/0/0"


@pytest.mark.parametrize("opening", [b"[", b'{"x":'])
@pytest.mark.parametrize("depth", [*range(900, 1010, 5), 3000, 9000, 30_000])
def test_nesting_of_any_depth_has_an_answer(
    opening: bytes, depth: int, path: Path
) -> None:
    """ConfigError is raised for any depth: too deep, or NaN at its location."""
    closing = {b"[": b"]"}.get(opening, b"}")
    path.write_bytes(opening * depth + b"NaN" + closing * depth)

    error = error_of(path)

    assert error.reason == "nested too deeply" or error.pointer.count("/") == depth


def test_many_repeated_keys_are_found_at_once(path: Path) -> None:
    """A repeated key after 300,000 keys is found in linear time."""
    members = ",".join(f'"{i}":0' for i in range(300_000))
    path.write_text(f'{{{members},"7":0}}')

    assert error_of(path).pointer == "/7"


def test_file_that_cannot_be_opened_is_rejected(tmp_path: Path) -> None:
    """Folders, missing files and invalid names each have their own reason."""
    blocker = tmp_path / "file"
    blocker.touch()
    reasons = {
        tmp_path: "a folder, not a file",
        tmp_path / "missing.json": "no such file",
        blocker / "inside.json": "cannot be read: Not a directory",
        tmp_path / ("x" * 300): "cannot be read: File name too long",
        tmp_path / "nul\0": "cannot be read: embedded null byte",
    }

    assert {path: error_of(path).reason for path in reasons} == reasons


def test_pointer_escapes_its_two_special_characters() -> None:
    """`json_pointer()` escapes `/` as `~1` and `~` as `~0` (RFC 6901)."""
    assert json_pointer(("a/b", 0, "~1")) == "/a~1b/0/~01"
    assert json_pointer(()) == ""
