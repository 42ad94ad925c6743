"""Job configurations: what a loaded one is, and where those of a process are found.

Plain data that never changes. Nothing here imports pydantic until a file is read or
a document from code is checked.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import ConfigError
from trackerapi.texts import check_name


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataConfiguration:
    """A metadata key of a step, and who may read it.

    Attributes:
        name: The key, as events carry it.
        kind: How it is shown: text, number or link.
        units: Shown behind a number; None for none.
        audience: provider, or customer who may then read it too.
    """

    name: str
    kind: str = "text"
    units: str | None = None
    audience: str = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepConfiguration:
    """One step of a job.

    Attributes:
        tag: Name in scripts and events; unique in the job.
        name: What the customer reads.
        points: Share of the work, 0 to 1,000,000.
        metadata_configurations: Keys that are more than the provider's own.
        after: Tags of the steps that must be done or skipped before this one is
            ready; None for the step before it.
    """

    tag: str
    name: str
    points: int
    metadata_configurations: tuple[MetadataConfiguration, ...] = ()
    after: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """The steps of a kind of job.

    Attributes:
        tag: Name in scripts.
        name: What the customer reads.
        step_configurations: Steps in the order in which they are shown.
        version: Semantic version; None numbers revisions by content.
        metadata: `declared` drops undeclared metadata keys; None keeps them.
    """

    tag: str
    name: str
    step_configurations: tuple[StepConfiguration, ...]
    version: str | None = None
    metadata: str | None = None

    def find_step(self, name: str) -> StepConfiguration | None:
        """Return the step with this tag, else the only one with this display name."""
        return match_name(self.step_configurations, name)[0]

    def nearest_step(self, name: str) -> str | None:
        """Return the tag of the step whose tag or display name is like `name`."""
        return nearest_tag(self.step_configurations, name)

    def declared_keys(self, tag: str | None) -> frozenset[str] | None:
        """Return the metadata keys that events of a step may carry; None for any.

        Args:
            tag: Tag of the step; None for the job, of which no key is declared.
        """
        if self.metadata != "declared":
            return None
        step = self.find_step(tag) if tag is not None else None
        keys = step.metadata_configurations if step else ()
        return frozenset(key.name for key in keys)

    def as_document(self) -> dict[str, Any]:
        """Return the configuration as the wire and the file have it."""
        document: dict[str, Any] = {"tag": self.tag, "name": self.name}
        if self.version is not None:
            document["version"] = self.version
        if self.metadata is not None:
            document["metadata"] = self.metadata
        document["step_configurations"] = [
            _step_document(step) for step in self.step_configurations
        ]
        return document


class JobConfigManager:
    """Load job configurations and look them up by tag.

    What any manager of a process loaded is found by `TrackerApi.create_job()` for
    the life of the process.

    Args:
        configurations_file: Path of a JSON file; see the JSON Schema.
        configs: Configurations from code, as `JobConfig` or plain documents.

    Raises:
        ConfigError: If the file or a document is not valid, or a tag was loaded
            before with other content.
        TypeError: If the file is no path, or `configs` no list of configurations.

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
            self._add({f"/{index}": _from_code(config, f"/{index}")}, None)

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the configurations, in the order in which they came."""
        return tuple(self._configs)

    def get_job_config(self, tag: str) -> JobConfig:
        """Return the configuration with this tag, or else this display name.

        Raises:
            TypeError: If `tag` is no text.
            ValueError: If `tag` can be no tag, such as a blank one.
            ConfigError: If there is none, or several have the display name.
        """
        configs = tuple(self._configs.values())
        config, others = match_name(configs, check_name("tag", tag))
        if config is not None:
            return config
        if others:
            raise ConfigError(_ambiguous(tag, others), self._path)
        near = nearest_tag(configs, tag)
        raise ConfigError(
            f"no job configuration has the tag {tag!r}", self._path, "", near
        )

    def add_job_config(self, config: JobConfig | Mapping[str, Any]) -> JobConfig:
        """Add a configuration from code; return it.

        Raises:
            ConfigError: If it is not valid, or its tag was loaded with other content.
        """
        checked = _from_code(config, "")
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
        _remember(configs, path)
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


Named = TypeVar("Named", JobConfig, StepConfiguration)

_LOADED: Final[dict[str, JobConfig]] = {}
"""What this process has loaded, by tag.

Each access is one atomic step of `dict`: threads need no lock, which a fork could
leave locked.
"""


def _remember(configs: Mapping[str, JobConfig], path: Path | None) -> None:
    """Keep configurations, given by JSON Pointer, for the life of the process."""
    # Look at all before adding the first: a file is taken whole or not at all.
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
    """Return what this process loaded under a tag, or else a display name.

    Raises:
        ConfigError: If no tag matches and several configurations have the name.
    """
    config, others = match_name(tuple(_LOADED.values()), tag)
    if config is None and others:
        raise ConfigError(_ambiguous(tag, others))
    return config


def nearest_loaded(tag: str) -> str | None:
    """Return the tag of what this process loaded that is like `tag`."""
    return nearest_tag(tuple(_LOADED.values()), tag)


def read_configs(path: Path) -> tuple[JobConfig, ...]:
    """Read a configuration file, without remembering what it holds.

    Raises:
        ConfigError: If the file is not valid.
    """
    from trackerapi.config.file_models import read_config_file

    return tuple(map(_job_config, read_config_file(path)))


def check_config(value: object) -> JobConfig:
    """Return `value` if it is a job configuration.

    Raises:
        TypeError: If it is none; a plain document becomes one by
            `JobConfigManager.add_job_config()`.
    """
    if isinstance(value, JobConfig):
        return value
    raise TypeError(
        f"config must be a JobConfig, got {type(value).__name__}; "
        "JobConfigManager().add_job_config() makes one from a plain document"
    )


def forget_loaded() -> None:
    """Forget what this process has loaded; for tests that load the same tags."""
    _LOADED.clear()


def match_name(items: Sequence[Named], name: str) -> tuple[Named | None, list[Named]]:
    """Return the item meant by `name`, and all that have it as display name."""
    for item in items:
        if item.tag == name:
            return item, [item]
    named = [item for item in items if item.name == name]
    return (named[0] if len(named) == 1 else None), named


def _ambiguous(name: str, configs: Sequence[JobConfig]) -> str:
    tags = ", ".join(repr(config.tag) for config in configs)
    return f"the name {name!r} stands for the tags {tags}; use one of them"


def _from_code(config: JobConfig | Mapping[str, Any], at: str) -> JobConfig:
    from trackerapi.config.file_models import check_job_document

    document = config.as_document() if isinstance(config, JobConfig) else config
    return _job_config(check_job_document(document, at))


def _job_config(document: Mapping[str, Any]) -> JobConfig:
    steps = tuple(_step(step) for step in document["step_configurations"])
    members: dict[str, Any] = {**document, "step_configurations": steps}
    return JobConfig(**members)


def _step(document: Mapping[str, Any]) -> StepConfiguration:
    keys = document.get("metadata_configurations", [])
    metadata = tuple(MetadataConfiguration(**key) for key in keys)
    members: dict[str, Any] = {**document, "metadata_configurations": metadata}
    if "after" in document:
        members["after"] = tuple(document["after"])
    return StepConfiguration(**members)


def _step_document(step: StepConfiguration) -> dict[str, Any]:
    document: dict[str, Any] = {
        "tag": step.tag,
        "name": step.name,
        "points": step.points,
    }
    if step.metadata_configurations:
        document["metadata_configurations"] = [
            {
                "name": key.name,
                "kind": key.kind,
                **({"units": key.units} if key.units is not None else {}),
                "audience": key.audience,
            }
            for key in step.metadata_configurations
        ]
    if step.after is not None:
        document["after"] = list(step.after)
    return document
