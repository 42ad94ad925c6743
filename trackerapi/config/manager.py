"""`JobConfigManager`, and the job configurations that this process has loaded."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from trackerapi.arguments import check_name
from trackerapi.config.job_config import (
    JobConfig,
    ambiguous_name,
    config_from_code,
    match_name,
    read_configs,
)
from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import ConfigError


class JobConfigManager:
    """Load job configurations and look them up by tag.

    `TrackerApi.create_job()` finds the configurations of all managers of the process,
    until the process ends. The constructor blocks while it reads the file.

    Args:
        configurations_file: Path of a JSON file; see the JSON Schema.
        configs: Configurations from code, as `JobConfig` or plain documents.

    Raises:
        ConfigError: If the file or a document is not valid, or a tag was loaded
            before with other content.
        TypeError: If `configurations_file` is not a path, or `configs` is not a list of
            configurations.

    Example:
        manager = JobConfigManager(configurations_file="./job_configurations.json")
        job_config = manager.get_job_config("my_job")
    """

    def __init__(
        self,
        configurations_file: str | os.PathLike[str] | None = None,
        configs: Iterable[JobConfig | Mapping[str, Any]] | None = None,
    ) -> None:
        self._configs: dict[str, JobConfig] = {}
        self._path: Path | None = None
        if configurations_file is not None:
            given: object = configurations_file
            if not isinstance(given, str | os.PathLike):
                kind = type(given).__name__
                raise TypeError(
                    f"configurations_file must be a path, got {kind}; pass "
                    "configurations as configs=[...]"
                )
            self._path = Path(configurations_file)
            self._load(self._path)
        for index, config in enumerate(_as_list(configs)):
            self._add({f"/{index}": config_from_code(config, f"/{index}")}, None)

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the configurations, in the order of loading."""
        return tuple(self._configs)

    def get_job_config(self, tag: str) -> JobConfig:
        """Return the configuration with this tag, or else with this display name.

        Raises:
            TypeError: If `tag` is not text.
            ValueError: If `tag` is blank, too long or contains control characters.
            ConfigError: If no configuration matches, or several have the display
                name.
        """
        configs = tuple(self._configs.values())
        config, others = match_name(configs, check_name("tag", tag))
        if config is not None:
            return config
        if others:
            raise ConfigError(ambiguous_name(tag, others), self._path)
        near = nearest_tag(configs, tag)
        raise ConfigError(
            f"no job configuration has the tag {tag!r}", self._path, "", near
        )

    def add_job_config(self, config: JobConfig | Mapping[str, Any]) -> JobConfig:
        """Add a configuration from code; return it.

        Raises:
            ConfigError: If the configuration is not valid, or its tag was loaded
                before with other content.
        """
        checked = config_from_code(config, "")
        self._add({"": checked}, None)
        return checked

    def _load(self, path: Path) -> None:
        self._add(
            {
                f"/job_configs/{index}": config
                for index, config in enumerate(read_configs(path))
            },
            path,
        )

    def _add(self, configs: Mapping[str, JobConfig], path: Path | None) -> None:
        _register(configs, path)
        self._configs.update((config.tag, config) for config in configs.values())


def _as_list(
    configs: Iterable[JobConfig | Mapping[str, Any]] | None,
) -> list[JobConfig | Mapping[str, Any]]:
    """Return the configurations from code, in the order of the caller."""
    if configs is None:
        return []
    given: object = configs
    kind = type(given).__name__
    is_one = isinstance(given, str | bytes | os.PathLike | Mapping)
    if is_one or not isinstance(given, Iterable):
        raise TypeError(
            f"configs must be a list of configurations, got {kind}; "
            "pass a file as configurations_file=..., one configuration as configs=[...]"
        )
    return list(configs)


_LOADED: Final[dict[str, JobConfig]] = {}
"""Configurations that this process has loaded, by tag.

No lock guards the dict: each access is one atomic call. If another thread held a lock
at a fork, the child would wait for the lock for ever.
"""


def _register(configs: Mapping[str, JobConfig], path: Path | None) -> None:
    """Keep configurations, by JSON Pointer, until the process ends.

    Raises:
        ConfigError: If a tag was loaded before with other content.
    """
    # Compare all configurations before adding the first: a file with one conflict adds
    # nothing. `setdefault()` compares again: another thread may add a configuration
    # after the first comparison.
    for known_or_kept in (_LOADED.get, _LOADED.setdefault):
        for pointer, config in configs.items():
            if known_or_kept(config.tag, config) != config:
                raise ConfigError(
                    f"configuration {config.tag!r} changed since this process loaded "
                    "it; restart the process (in a notebook: the kernel), or use "
                    "another tag",
                    path,
                    f"{pointer}/tag",
                )


def find_loaded(tag: str) -> JobConfig | None:
    """Return the loaded configuration with this tag, or else with this display name.

    Raises:
        ConfigError: If no tag matches, and several configurations have the display
            name.
    """
    config, others = match_name(tuple(_LOADED.values()), tag)
    if config is None and others:
        raise ConfigError(ambiguous_name(tag, others))
    return config


def nearest_loaded(tag: str) -> str | None:
    """Return the tag of the loaded configuration that resembles `tag`; else None."""
    return nearest_tag(tuple(_LOADED.values()), tag)


def forget_loaded() -> None:
    """Forget all loaded configurations: tests load the same tags again."""
    _LOADED.clear()
