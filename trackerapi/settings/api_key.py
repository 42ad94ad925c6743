"""The API key: where it comes from, and what can be one.

An argument, or a file, or the environment, where a token of a job may stand in for it;
a key never shows in an error.
"""

from dataclasses import dataclass
from pathlib import Path

from trackerapi.errors import SettingsError
from trackerapi.files import read_given
from trackerapi.settings.job_token import JOB, JobToken
from trackerapi.settings.sources import Sources

API_KEY = "TRACKERAPI_API_KEY"
API_KEY_FILE = "TRACKERAPI_API_KEY_FILE"
MAX_KEY_FILE_BYTES = 4096


def key_id_of(api_key: str) -> str | None:
    """Return the public part of a key; None for a key of another form."""
    parts = api_key.split("_")
    return parts[1] if len(parts) == 4 and parts[0] == "trk" else None


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file that holds the key.

    Attributes:
        path: Absolute path.
        setting: Argument or variable that names it.
    """

    path: Path
    setting: str

    def read(self) -> str:
        """Return the key that the file holds now.

        Raises:
            SettingsError: If the file cannot be read or holds no usable key.
        """
        try:
            content = read_given(self.path, MAX_KEY_FILE_BYTES + 1)
        except OSError as error:
            reason = f"cannot read the key file {self.path}: {error.strerror or error}"
            raise SettingsError(reason, self.setting) from None
        if len(content) > MAX_KEY_FILE_BYTES:
            raise SettingsError(
                f"{self.path} is too large to be a key file", self.setting
            )
        try:
            return usable_key(content.decode("utf-8-sig"), self.setting)
        except UnicodeDecodeError:
            raise SettingsError(
                f"the key file {self.path} is not text", self.setting
            ) from None


def key_file(sources: Sources) -> KeyFile | None:
    """Return the file that arguments or environment name; None without one.

    Raises:
        SettingsError: If a key is given beside it, or it cannot be a file.
    """
    if "api_key" in sources.arguments:
        if "api_key_file" in sources.arguments:
            raise SettingsError("given together with api_key_file; give one", "api_key")
        return None
    path, setting = sources.path("api_key_file", API_KEY_FILE)
    if setting == API_KEY_FILE and path is not None and sources.variable(API_KEY):
        raise SettingsError(f"set together with {API_KEY_FILE}; unset one", API_KEY)
    return None if path is None else KeyFile(path, setting)


def read_api_key(sources: Sources) -> str | None:
    """Return the key that arguments, a file or the environment give; None without one.

    Raises:
        SettingsError: If there are two, or one that cannot work.
    """
    file = key_file(sources)
    if file is not None:
        return file.read()
    key, setting = sources.text("api_key", API_KEY)
    if key is not None:
        return usable_key(key, setting)
    token = JobToken.parse(sources.variable(JOB) or "")
    return None if token is None else usable_key(token.api_key, JOB)


def usable_key(text: str, setting: str) -> str:
    """Return the key that a text holds.

    Raises:
        SettingsError: If no backend can take it.
    """
    # A token of a job is a key with names behind it.
    token = JobToken.parse(text)
    key = token.api_key if token else text.strip()
    if not key:
        raise SettingsError("the API key is blank", setting)
    refuse_placeholder(key, setting, "an API key")
    # A header cannot carry anything else; httpx would raise with the key in its text.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(
            "the API key holds a character that no key has; copy it again", setting
        )
    if len(key) > MAX_KEY_FILE_BYTES:
        raise SettingsError("the API key is too long", setting)
    return key


def refuse_placeholder(value: str, setting: str, wanted: str) -> None:
    """Refuse a value that still stands as the documents print it.

    Raises:
        SettingsError: If it is a text in angle brackets.
    """
    if value.strip().startswith("<") and value.strip().endswith(">"):
        raise SettingsError(f"still the placeholder; put {wanted} here", setting)
