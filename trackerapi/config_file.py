"""The configuration file: its models, the sole source of the JSON Schema.

Turns bytes into checked plain data or one `ConfigError`. Imports pydantic, so it is
loaded only when a file is read or a document is checked.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import ErrorDetails

from trackerapi.errors import ConfigError
from trackerapi.json_text import json_pointer, read_json_file
from trackerapi.texts import LONGEST_NAME, NAME_PATTERN

MAX_POINTS: Final = 1_000_000
MAX_STEPS: Final = 500
MAX_METADATA_KEYS: Final = 50

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PRE: Final = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD: Final = r"[0-9a-zA-Z-]+"
SEMVER_PATTERN: Final = (
    rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+{_BUILD}(\.{_BUILD})*)?$"
)
"""Semantic Versioning 2.0.0."""

# In Python `$` also matches before a line end, in ECMA-262 it does not; with this
# behind it the schema means the same to editors and to Python's validators.
_AT_END: Final = r"(?!\n)"


# Stands for a member that is not there. Its type is no `X | None`, since the file
# must not say null.
_ABSENT: Final[Any] = None


def _text(pattern: str, description: str) -> Any:
    return Field(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern=pattern,
        json_schema_extra={"pattern": pattern + _AT_END},
        description=description,
    )


def _whole(value: object) -> object:
    """Take 10.0 for 10, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class MetadataModel(_Strict):
    """A metadata key of a step, and who may read it."""

    name: Annotated[str, _text(NAME_PATTERN, "The key, as events carry it.")]
    kind: Annotated[
        Literal["text", "number", "link"], Field(description="How it is shown.")
    ]
    units: Annotated[str, _text(NAME_PATTERN, "Shown behind a number.")] = Field(
        default=_ABSENT
    )
    audience: Annotated[
        Literal["provider", "customer"],
        Field(description="Who may read the value; without it only the provider."),
    ] = Field(default=_ABSENT)


class StepModel(_Strict):
    """One step, in the order in which it is shown."""

    name: Annotated[str, _text(NAME_PATTERN, "What the customer reads.")]
    tag: Annotated[
        str, _text(NAME_PATTERN, "Name in scripts and events; unique in the job.")
    ]
    points: Annotated[
        int,
        BeforeValidator(_whole),
        Field(
            ge=0,
            le=MAX_POINTS,
            description="How much of the work the step is, against the other steps.",
        ),
    ]
    metadata_configurations: Annotated[
        list[MetadataModel],
        Field(
            max_length=MAX_METADATA_KEYS,
            description="Metadata keys that are shown, and to whom.",
        ),
    ] = Field(default=_ABSENT)


class JobModel(_Strict):
    """The steps of a kind of job."""

    name: Annotated[str, _text(NAME_PATTERN, "What the customer reads.")]
    tag: Annotated[str, _text(NAME_PATTERN, "Name in scripts; unique in the file.")]
    version: Annotated[
        str, _text(SEMVER_PATTERN, "Semantic version, under which nothing changes.")
    ] = Field(default=_ABSENT)
    metadata: Annotated[
        Literal["declared"],
        Field(description="Drop metadata keys that no step declares, before disk."),
    ] = Field(default=_ABSENT)
    step_configurations: Annotated[
        list[StepModel],
        Field(min_length=1, max_length=MAX_STEPS, description="Steps in order."),
    ]


class FileModel(_Strict):
    """Job configurations of a provider."""

    schema_location: Annotated[
        str,
        Field(alias="$schema", description="Where the JSON Schema of this file is."),
    ] = Field(default=_ABSENT)
    job_configs: Annotated[list[JobModel], Field(description="One for a kind of job.")]


# The model at each depth of a pydantic location: job_configs, 0, step_configurations…
_MODELS: Final[Sequence[type[BaseModel]]] = (
    FileModel,
    JobModel,
    StepModel,
    MetadataModel,
)


def read_config_file(path: Path) -> list[dict[str, Any]]:
    """Read and check a configuration file.

    Returns:
        The job documents in order, absent members left out.

    Raises:
        ConfigError: If the file cannot be read or does not match the schema, or a
            tag or metadata key stands twice where it has to be unique.
    """
    content = read_json_file(path)
    document = _checked(FileModel, content, path, depth=0)
    jobs: list[dict[str, Any]] = document["job_configs"]
    _refuse_repeats(jobs, "tag", path, "/job_configs")
    for index, job in enumerate(jobs):
        _refuse_repeats_within(job, path, f"/job_configs/{index}")
    return jobs


def check_job_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Check one job document that comes from code.

    Raises:
        ConfigError: If it does not match the schema.
    """
    checked = _checked(JobModel, document, None, depth=1)
    _refuse_repeats_within(checked, None, "")
    return checked


def json_schema() -> JsonSchemaValue:
    """Return the JSON Schema (draft 2020-12) of a configuration file."""
    schema = _pruned(FileModel.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Job configurations of trackerapi",
        **schema,
    }


def _pruned(schema: Any) -> Any:
    """Drop titles made from names, and the defaults that stand for "absent"."""
    if isinstance(schema, list):
        return [_pruned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _pruned(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str))
        and not (name == "default" and value is None)
    }


def _checked(
    model: type[BaseModel], content: object, path: Path | None, depth: int
) -> dict[str, Any]:
    try:
        # As Python data, not as JSON text: the duplicate keys were looked for there.
        checked = model.model_validate(content)
    except ValidationError as error:
        raise _config_error(error.errors(include_url=False), path, depth) from None
    return checked.model_dump(exclude_unset=True, by_alias=True)


def _config_error(
    errors: list[ErrorDetails], path: Path | None, depth: int
) -> ConfigError:
    # A misspelt key is also a missing one; the misspelt one says more.
    errors = sorted(errors, key=lambda error: error["type"] != "extra_forbidden")
    first = errors[0]
    place = list(first["loc"])
    suggestion = None
    if first["type"] == "extra_forbidden":
        model = _MODELS[depth + (len(place) - 1) // 2]
        known = [f.alias or name for name, f in model.model_fields.items()]
        near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.6)
        suggestion = near[0] if near else None
    reason = _reason(first)
    if first["type"] == "missing":
        place.pop()
    if len(errors) > 1:
        reason += f" (and {len(errors) - 1} more)"
    return ConfigError(reason, path, json_pointer(place), suggestion)


def _reason(error: ErrorDetails) -> str:
    name = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "missing":
            return f"{name!r} is missing"
        case "extra_forbidden":
            return f"unknown key {name!r}"
        case "string_pattern_mismatch" if name == "version":
            return "not a semantic version such as 1.0.0"
        case "string_pattern_mismatch":
            return "blank, or holds a control or line-separator character"
        case "string_too_short" | "string_too_long":
            return f"must have 1 to {LONGEST_NAME} characters"
        case "model_type" | "model_attributes_type":
            return "must be an object"
        case _:
            message = error["msg"]
            return message[:1].lower() + message[1:]


def _refuse_repeats_within(job: Mapping[str, Any], path: Path | None, at: str) -> None:
    steps = job["step_configurations"]
    _refuse_repeats(steps, "tag", path, f"{at}/step_configurations")
    for index, step in enumerate(steps):
        place = f"{at}/step_configurations/{index}/metadata_configurations"
        _refuse_repeats(step.get("metadata_configurations", []), "name", path, place)


def _refuse_repeats(
    items: Sequence[Mapping[str, Any]], key: str, path: Path | None, at: str
) -> None:
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        value = item[key]
        if value in first:
            raise ConfigError(
                f"{key} {value!r} stands already at {at}/{first[value]}/{key}",
                path,
                f"{at}/{index}/{key}",
            )
        first[value] = index
