"""The API key: its sources and its form.

The sources are an argument, a file and the environment. Without a key from these
sources, the key of a job token in `TRACKERAPI_JOB` is used. Errors never contain a key.
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
    """Return the public part of a key; None for a key without a public part."""
    parts = api_key.split("_")
    return parts[1] if len(parts) == 4 and parts[0] == "trk" else None


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file that contains the key.

    Attributes:
        path: Absolute path.
        setting: Argument or variable that named the file.
    """

    path: Path
    setting: str

    def read(self) -> str:
        """Read the file; return the key.

        Raises:
            SettingsError: If the file cannot be read or contains no usable key.
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
    """Return the key file from the arguments or the environment; None if not set.

    Raises:
        SettingsError: If both a key and a key file are given, or the path is not a
            possible path of a file.
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
    """Return the key from the arguments, a file or the environment; None if not set.

    Raises:
        SettingsError: If two keys are given, or the key is unusable.
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
    """Return the key in `text`, without white space around it; of a token, its key.

    Raises:
        SettingsError: If `text` is blank, a placeholder, too long or contains a
            character that no key has.
    """
    # A job token is a key, a dot and the names of the job.
    token = JobToken.parse(text)
    key = token.api_key if token else text.strip()
    if not key:
        raise SettingsError("the API key is blank", setting)
    refuse_placeholder(key, setting, "an API key")
    # An HTTP header cannot contain other characters, and the error of httpx would show
    # the key.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(
            "the API key contains a character that no key has; copy it again", setting
        )
    if len(key) > MAX_KEY_FILE_BYTES:
        raise SettingsError("the API key is too long", setting)
    return key


def refuse_placeholder(value: str, setting: str, wanted: str) -> None:
    """Raise for a placeholder of the documentation, such as `<your api key>`.

    Raises:
        SettingsError: If `value` is in angle brackets.
    """
    if value.strip().startswith("<") and value.strip().endswith(">"):
        raise SettingsError(f"still the placeholder; put {wanted} here", setting)
