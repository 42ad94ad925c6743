"""The API key: where it comes from, and what can be one.

An argument, or a file, or the environment, where a token of a job may stand in for it;
a key never shows in an error.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from trackerapi.errors import SettingsError
from trackerapi.job_token import JOB, JobToken

API_KEY = "TRACKERAPI_API_KEY"
API_KEY_FILE = "TRACKERAPI_API_KEY_FILE"
MAX_KEY_FILE_BYTES = 4096


def key_id_of(api_key: str) -> str | None:
    """Return the public part of a key; None for a key of another form."""
    parts = api_key.split("_")
    return parts[1] if len(parts) == 4 and parts[0] == "trk" else None


def read_api_key(given: Mapping[str, object], environment: Mapping[str, str]) -> str:
    """Return the key that arguments, a file or the environment give.

    Raises:
        SettingsError: If there is none, two, or one that cannot work.
    """
    named = {"api_key", "api_key_file"} & given.keys()
    if len(named) == 2:
        raise SettingsError("given together with api_key_file; give one", "api_key")
    if not named and API_KEY in environment and API_KEY_FILE in environment:
        raise SettingsError(f"set together with {API_KEY_FILE}; unset one", API_KEY)
    if "api_key" in named or (not named and API_KEY in environment):
        key, setting = text_of("api_key", API_KEY, given, environment)
    elif named or API_KEY_FILE in environment:
        file, setting = text_of("api_key_file", API_KEY_FILE, given, environment)
        key = _read_key_file(Path(file or ""), setting)
    elif (token := token_in(environment)) is not None:
        key, setting = token.api_key, JOB
    else:
        raise SettingsError(
            f"no API key; pass api_key=, or set this variable or {API_KEY_FILE}",
            API_KEY,
        )
    return _usable_key(key or "", setting)


def token_in(environment: Mapping[str, str]) -> JobToken | None:
    """Return the token of a job that stands in for a key; None without one."""
    return JobToken.parse(environment.get(JOB, ""))


def _usable_key(key: str, setting: str) -> str:
    # A token of a job is a key with names behind it.
    token = JobToken.parse(key)
    key = token.api_key if token else key.strip()
    if not key:
        raise SettingsError("the API key is blank", setting)
    refuse_placeholder(key, setting, "an API key")
    # A header cannot carry anything else; httpx would raise with the key in its text.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(
            "the API key holds a character that no key has; copy it again", setting
        )
    return key


def _read_key_file(path: Path, setting: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        reason = f"cannot read the key file {path}: {error.strerror or error}"
        raise SettingsError(reason, setting) from None
    if len(content) > MAX_KEY_FILE_BYTES:
        raise SettingsError(f"{path} is too large to be a key file", setting)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"the key file {path} is not text", setting) from None


def text_of(
    argument: str,
    variable: str,
    given: Mapping[str, object],
    environment: Mapping[str, str],
) -> tuple[str | None, str]:
    """Return the value and the name of the place it came from."""
    if argument not in given:
        return environment.get(variable), variable
    value = given[argument]
    if isinstance(value, str | os.PathLike):
        text = str(os.fspath(cast("str | os.PathLike[str]", value)))
        if "\0" in text:
            raise SettingsError("must not hold NUL", argument)
        return text, argument
    raise SettingsError(f"must be text, got {type(value).__name__}", argument)


def refuse_placeholder(value: str, setting: str, wanted: str) -> None:
    """Refuse a value that still stands as the documents print it.

    Raises:
        SettingsError: If it is a text in angle brackets.
    """
    if value.strip().startswith("<") and value.strip().endswith(">"):
        raise SettingsError(f"still the placeholder; put {wanted} here", setting)
