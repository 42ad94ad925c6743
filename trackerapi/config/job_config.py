"""Job configurations as plain, immutable data: jobs, steps, metadata keys.

pydantic is imported only when a file is read or a document from code is checked.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataConfiguration:
    """A metadata key of a step, and the readers of its value.

    Attributes:
        name: Key of the value in the metadata of events.
        kind: Form in which the value is shown: text, number or link.
        units: Text behind a number; None for no units.
        audience: provider for only the provider; customer for both.
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
        name: Display name for the customer.
        points: Weight of the step against the other steps, 0 to 1,000,000.
        metadata_configurations: Metadata keys with a kind, units or an audience.
        after: Tags of the steps that must be done or skipped before this step is
            ready; None for the previous step of the list.
        units: Name of the counted units, such as images; None without a name.

    Example:
        load = StepConfiguration(
            tag="load", name="Load the images", points=20, units="images"
        )
    """

    tag: str
    name: str
    points: int
    metadata_configurations: tuple[MetadataConfiguration, ...] = ()
    after: tuple[str, ...] | None = None
    units: str | None = None


class StepTexts(TypedDict, total=False):
    """Name and units of a step in one language."""

    name: str
    units: str


class LanguageTexts(TypedDict, total=False):
    """Texts in one language: of the job, of steps by tag, of metadata keys by key."""

    name: str
    steps: Mapping[str, StepTexts]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """Configuration of a kind of job: its name and steps.

    Attributes:
        tag: Name in scripts.
        name: Display name for the customer.
        step_configurations: Steps, in the order of display.
        version: Semantic version; None if the backend numbers revisions by content.
        metadata: `declared` drops undeclared metadata keys; None keeps them.
        texts: Texts for the customer by language, such as de or pt-BR, in place of
            the names and units of the configuration.
        silent_after: Age of the newest report from which the customer's page calls
            the job silent, in whole seconds, 60 to 604,800 (7 days); None if the
            backend derives the age from the usual interval between reports.

    Example:
        config = JobConfig(tag="imaging", name="Imaging", step_configurations=(load,))
        JobConfigManager(configs=[config])
    """

    tag: str
    name: str
    step_configurations: tuple[StepConfiguration, ...]
    version: str | None = None
    metadata: str | None = None
    # A dict has no hash; equal configurations still have the same hash without it.
    texts: Mapping[str, LanguageTexts] = field(
        default_factory=dict[str, LanguageTexts], hash=False
    )
    silent_after: int | None = None

    def find_step(self, name: str) -> StepConfiguration | None:
        """Return the step with this tag, else the only step with this display name.

        None without such a step, or if several steps have this display name.
        """
        return match_name(self.step_configurations, name)[0]

    def as_document(self) -> dict[str, Any]:
        """Return the configuration as plain data, as in files and requests."""
        document: dict[str, Any] = {"tag": self.tag, "name": self.name}
        if self.version is not None:
            document["version"] = self.version
        if self.metadata is not None:
            document["metadata"] = self.metadata
        document["step_configurations"] = [
            _step_document(step) for step in self.step_configurations
        ]
        if self.texts:
            document["texts"] = copy.deepcopy(dict(self.texts))
        if self.silent_after is not None:
            document["silent_after"] = self.silent_after
        return document


def declared_keys(config: JobConfig, tag: str | None) -> frozenset[str] | None:
    """Return the metadata keys that events of a step may have; None for any keys.

    Args:
        config: Configuration of the job.
        tag: Tag of the step; None for the job, which declares no key.
    """
    if config.metadata != "declared":
        return None
    step = config.find_step(tag) if tag is not None else None
    keys = step.metadata_configurations if step else ()
    return frozenset(key.name for key in keys)


Named = TypeVar("Named", JobConfig, StepConfiguration)


def read_configs(path: Path) -> tuple[JobConfig, ...]:
    """Read a configuration file; `find_loaded()` does not find its configurations.

    Raises:
        ConfigError: If the file is not valid.
    """
    from trackerapi.config.file_models import read_config_file

    return tuple(map(_job_config, read_config_file(path)))


def check_config(value: object) -> JobConfig:
    """Return `value` if it is a job configuration.

    Raises:
        TypeError: If `value` is anything else. A plain document becomes a
            configuration by `JobConfigManager.add_job_config()`.
    """
    if isinstance(value, JobConfig):
        return value
    raise TypeError(
        f"config must be a JobConfig, got {type(value).__name__}; "
        "JobConfigManager().add_job_config() makes one from a plain document"
    )


def match_name(items: Sequence[Named], name: str) -> tuple[Named | None, list[Named]]:
    """Return the item that `name` identifies, and the items that match it.

    Returns:
        The item with the tag `name`, else the only item with this display name; None
        if no item or several items have the display name.
    """
    for item in items:
        if item.tag == name:
            return item, [item]
    named = [item for item in items if item.name == name]
    return (named[0] if len(named) == 1 else None), named


def ambiguous_name(name: str, configs: Sequence[JobConfig]) -> str:
    """Return the reason why a display name of several configurations is refused."""
    tags = ", ".join(repr(config.tag) for config in configs)
    return f"the name {name!r} stands for the tags {tags}; use one of them"


def config_from_code(config: JobConfig | Mapping[str, Any], at: str) -> JobConfig:
    """Check a configuration from code; return it as `JobConfig`.

    Args:
        config: Configuration or plain document.
        at: JSON Pointer to the configuration, for errors.

    Raises:
        ConfigError: If the configuration is not valid.
    """
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
    if step.units is not None:
        document["units"] = step.units
    return document
