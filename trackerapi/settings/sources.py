"""Sources of settings: arguments, else environment variables.

All settings follow the same rules. An argument wins over its variable. A blank variable
counts as not set, a blank argument is an error. Paths become absolute when they are
read.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from trackerapi.errors import SettingsError, one_line


@dataclass(frozen=True, slots=True)
class Sources:
    """The arguments and variables of one TrackerApi.

    Attributes:
        arguments: Values of the passed arguments, by name.
        environment: Environment variables.
    """

    arguments: Mapping[str, object]
    environment: Mapping[str, str]

    def variable(self, name: str) -> str | None:
        """Return a variable, stripped of white space; None for a blank variable."""
        return self.environment.get(name, "").strip() or None

    def text(self, argument: str, variable: str) -> tuple[str | None, str]:
        """Return the value, None if not set, and the name of its argument or variable.

        Raises:
            SettingsError: If the argument is blank or not text.
        """
        if argument not in self.arguments:
            return self.variable(variable), variable
        value = self.arguments[argument]
        if not isinstance(value, str):
            raise SettingsError(f"must be text, got {type(value).__name__}", argument)
        return _filled(value, argument), argument

    def path(self, argument: str, variable: str) -> tuple[Path | None, str]:
        """Return an absolute path, None if not set, and its argument or variable.

        Raises:
            SettingsError: If the argument is blank or not a path, or no file can have
                such a name.
        """
        value = self.arguments.get(argument)
        if isinstance(value, os.PathLike):
            inner = os.fspath(cast("os.PathLike[str]", value))
            return absolute_path(_filled(str(inner), argument), argument), argument
        text, setting = self.text(argument, variable)
        return (None if text is None else absolute_path(text, setting)), setting

    def word(self, argument: str, variable: str, words: tuple[str, ...]) -> str:
        """Return a value in lower case, one of `words`; the first word by default.

        Raises:
            SettingsError: If the value is another word.
        """
        text, setting = self.text(argument, variable)
        word = (text or words[0]).strip().lower()
        if word not in words:
            raise SettingsError(f"not one of {', '.join(words)}", setting)
        return word

    def seconds(
        self,
        argument: str,
        variable: str,
        *,
        default: float,
        minimum: float,
        maximum: float,
    ) -> float:
        """Return a number of seconds from `minimum` to `maximum`.

        Raises:
            SettingsError: If the value is not a number in this range.
        """
        setting = argument if argument in self.arguments else variable
        value = self.arguments.get(argument, self.variable(variable))
        if value is None:
            return default
        try:
            seconds = float(value) if isinstance(value, str | int | float) else math.nan
        except (ValueError, OverflowError):
            seconds = math.nan
        if isinstance(value, bool) or not minimum <= seconds <= maximum:
            raise SettingsError(f"must be {minimum:g} to {maximum:g} seconds", setting)
        return seconds

    def flag(self, argument: str, *, default: bool) -> bool:
        """Return the value of an argument that has no variable.

        Raises:
            SettingsError: If the value is neither True nor False.
        """
        value = self.arguments.get(argument, default)
        if isinstance(value, bool):
            return value
        raise SettingsError(
            f"must be True or False, got {type(value).__name__}", argument
        )


def _filled(text: str, argument: str) -> str:
    if "\0" in text:
        raise SettingsError("must not contain NUL", argument)
    if not text.strip():
        raise SettingsError("must not be blank", argument)
    return text


def absolute_path(text: str, setting: str) -> Path:
    """Return `text` as an absolute path, with `~` expanded.

    Absolute, because a script may change its directory while it runs.

    Raises:
        SettingsError: If no file can have such a name, or if the home directory or the
            current directory does not exist.
    """
    shown = one_line(text, 200)
    try:
        path = Path(text).expanduser().absolute()
        os.fsencode(path)
    except RuntimeError:
        reason = f"there is no home directory for {shown}; give an absolute path"
        raise SettingsError(reason, setting) from None
    except OSError:
        reason = f"{shown} is relative, and the current directory does not exist"
        raise SettingsError(reason, setting) from None
    except ValueError:
        raise SettingsError("no file can have such a name", setting) from None
    return path
