"""Models of the configuration file; the JSON Schema is generated from them.

A file becomes checked plain data, or raises one `ConfigError`. This module imports
pydantic, and is loaded only when a file is read or a document is checked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import ErrorDetails

from trackerapi.arguments import MAX_NAME_LENGTH, NAME_PATTERN
from trackerapi.config.json_file import Location, json_pointer, read_json_file
from trackerapi.config.nearest import nearest_name
from trackerapi.config.size import check_size
from trackerapi.config.step_order import check_order
from trackerapi.config.texts import check_texts
from trackerapi.errors import ConfigError

MAX_POINTS: Final = 1_000_000
MAX_JOBS: Final = 500
MAX_STEPS: Final = 500
MAX_METADATA_KEYS: Final = 50
MAX_AFTER: Final = 100
MAX_LANGUAGES: Final = 50
MAX_METADATA_NAMES: Final = 1000
MIN_SILENT_AFTER: Final = 60
MAX_SILENT_AFTER: Final = 7 * 24 * 60 * 60

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PRE: Final = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD: Final = r"[0-9a-zA-Z-]+"
SEMVER_PATTERN: Final = (
    rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+{_BUILD}(\.{_BUILD})*)?$"
)
"""Pattern of a version by Semantic Versioning 2.0.0."""

LANGUAGE_PATTERN: Final = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"
"""Pattern of a language by BCP 47, in its simple form: language, script, region."""

# `$` also matches before a line end in Python, but not in ECMA-262. With this suffix,
# validators in Python and in editors accept the same texts.
_AT_END: Final = r"(?!\n)"


# Default of a member that the file omits. The type is not `X | None`: the file must not
# say null, except for `units`, which is null in files of the original service.
_ABSENT: Final[Any] = None


# pydantic writes a pattern of keys as `patternProperties`, which accepts other keys.
_NO_OTHER_KEYS: Final[dict[str, Any]] = {"additionalProperties": False}


def _text(pattern: str, description: str | None = None) -> Any:
    return Field(
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        pattern=pattern,
        json_schema_extra={"pattern": pattern + _AT_END},
        description=description,
    )


def _whole(value: object) -> object:
    """Return 10 for 10.0: both are integers in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class MetadataModel(_Strict):
    """A metadata key of a step, and the readers of its value."""

    name: Annotated[str, _text(NAME_PATTERN, "The key, as events carry it.")]
    kind: Annotated[
        Literal["text", "number", "link"],
        Field(description="Form of the value on the page; text by default."),
    ] = Field(default=_ABSENT)
    units: Annotated[str, _text(NAME_PATTERN)] | None = Field(
        default=_ABSENT, description="Text behind a number, such as MB."
    )
    audience: Annotated[
        Literal["provider", "customer"],
        Field(description="Readers of the value; only the provider by default."),
    ] = Field(default=_ABSENT)


class StepModel(_Strict):
    """One step; steps are shown in the order of the list."""

    name: Annotated[str, _text(NAME_PATTERN, "Display name, which the customer reads.")]
    tag: Annotated[
        str, _text(NAME_PATTERN, "Name in scripts and events; unique in the job.")
    ]
    points: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_POINTS,
            description="Weight of the step against the other steps.",
        ),
        # After `Field`: a validator before it would keep the limits out of the schema.
        BeforeValidator(_whole),
    ]
    metadata_configurations: Annotated[
        list[MetadataModel],
        Field(
            max_length=MAX_METADATA_KEYS,
            description="Metadata keys with a form, units or readers.",
        ),
    ] = Field(default=_ABSENT)
    after: Annotated[
        list[Annotated[str, _text(NAME_PATTERN, "Tag of another step.")]],
        Field(
            max_length=MAX_AFTER,
            description="Steps that must be done or skipped before this step is ready; "
            "the previous step of the list by default.",
        ),
    ] = Field(default=_ABSENT)
    units: Annotated[
        str,
        _text(NAME_PATTERN, "Name of the counted units, such as images."),
    ] = Field(default=_ABSENT)


class StepTextsModel(_Strict):
    """Texts of one step in one language."""

    name: Annotated[str, _text(NAME_PATTERN, "Display name of the step.")] = Field(
        default=_ABSENT
    )
    units: Annotated[str, _text(NAME_PATTERN, "Name of the counted units.")] = Field(
        default=_ABSENT
    )


class LanguageModel(_Strict):
    """Texts in one language; the configuration replaces missing texts."""

    name: Annotated[str, _text(NAME_PATTERN, "Display name of the job.")] = Field(
        default=_ABSENT
    )
    # `check_texts()` refuses any key that is not the tag of a step.
    steps: Annotated[
        dict[str, StepTextsModel],
        Field(max_length=MAX_STEPS, description="Texts of the steps, by tag."),
    ] = Field(default=_ABSENT)
    metadata: Annotated[
        dict[Annotated[str, _text(NAME_PATTERN)], Annotated[str, _text(NAME_PATTERN)]],
        Field(
            max_length=MAX_METADATA_NAMES,
            description="Display names of metadata keys, by key.",
            json_schema_extra=_NO_OTHER_KEYS,
        ),
    ] = Field(default=_ABSENT)


class JobModel(_Strict):
    """Configuration of a kind of job: its name and steps."""

    name: Annotated[str, _text(NAME_PATTERN, "Display name, which the customer reads.")]
    tag: Annotated[str, _text(NAME_PATTERN, "Name in scripts; unique in the file.")]
    version: Annotated[
        str,
        _text(SEMVER_PATTERN, "Semantic version; its content never changes."),
    ] = Field(default=_ABSENT)
    metadata: Annotated[
        Literal["declared"],
        Field(description="Drop undeclared metadata keys before they reach the disk."),
    ] = Field(default=_ABSENT)
    step_configurations: Annotated[
        list[StepModel],
        Field(min_length=1, max_length=MAX_STEPS, description="Steps in order."),
    ]
    texts: Annotated[
        dict[Annotated[str, _text(LANGUAGE_PATTERN)], LanguageModel],
        Field(
            max_length=MAX_LANGUAGES,
            description="Texts for the customer by language, such as de or pt-BR.",
            json_schema_extra=_NO_OTHER_KEYS,
        ),
    ] = Field(default=_ABSENT)
    silent_after: Annotated[
        int,
        Field(
            ge=MIN_SILENT_AFTER,
            le=MAX_SILENT_AFTER,
            description="Age of the newest report, in seconds, from which the "
            "customer's page calls the job silent.",
        ),
        BeforeValidator(_whole),
    ] = Field(default=_ABSENT)


class FileModel(_Strict):
    """Job configurations of a provider."""

    schema_location: Annotated[
        str,
        Field(alias="$schema", description="Address of the JSON Schema of this file."),
    ] = Field(default=_ABSENT)
    job_configs: Annotated[
        list[JobModel],
        Field(max_length=MAX_JOBS, description="One entry for each kind of job."),
    ]


# Keys that had another name in files of the original service.
_FORMER_KEYS: Final = {"steps": "step_configurations"}

# The model of the items or values of a list or mapping, by its key.
_MODELS: Final[Mapping[object, type[BaseModel]]] = {
    "job_configs": JobModel,
    "step_configurations": StepModel,
    "metadata_configurations": MetadataModel,
    "texts": LanguageModel,
    "steps": StepTextsModel,
}

# Last part of a pydantic location for a key of a mapping.
_KEY: Final = "[key]"

_NAME_REASON: Final = "must not be blank or contain control characters or line breaks"
_LANGUAGE_REASON: Final = "must be a language such as de or pt-BR"
_TEXT_REASON: Final = "must be text"
_LENGTH_REASON: Final = f"must have 1 to {MAX_NAME_LENGTH} characters"
_NUMBER_REASON: Final = "must be a whole number{unit} from {least:,} to {most:,}"

# Unit, minimum and maximum of each number, by its key.
_NUMBERS: Final[Mapping[object, Mapping[str, object]]] = {
    "points": {"unit": "", "least": 0, "most": MAX_POINTS},
    "silent_after": {
        "unit": " of seconds",
        "least": MIN_SILENT_AFTER,
        "most": MAX_SILENT_AFTER,
    },
}

# Reasons by pydantic's type of the error.
_REASONS: Final = {
    "dict_type": "must be an object",
    "extra_forbidden": "unknown key {name!r}",
    "greater_than_equal": _NUMBER_REASON,
    "int_type": _NUMBER_REASON,
    "less_than_equal": _NUMBER_REASON,
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "{name!r} is missing",
    "model_type": "must be an object",
    "string_pattern_mismatch": _NAME_REASON,
    "string_too_long": _LENGTH_REASON,
    "string_too_short": _LENGTH_REASON,
    "string_type": _TEXT_REASON,
    "string_unicode": _TEXT_REASON,
    "too_long": "must have at most {max_length} items",
    "too_short": "must not be empty",
}


def read_config_file(path: Path) -> list[dict[str, Any]]:
    """Read and check a configuration file.

    Returns:
        The job documents in order, absent members left out.

    Raises:
        ConfigError: If the file cannot be read or does not match the schema, if a
            tag or metadata key is used twice, if a step can never become ready, or if
            a text is for an unknown step or metadata key.
    """
    content = read_json_file(path)
    document = _validate(FileModel, content, path, "")
    jobs: list[dict[str, Any]] = document["job_configs"]
    _refuse_repeats(jobs, "tag", path, "/job_configs")
    for index, job in enumerate(jobs):
        _refuse_contradictions(job, path, f"/job_configs/{index}")
    return jobs


def check_job_document(document: Any, at: str = "") -> dict[str, Any]:
    """Check one job document that comes from code.

    Args:
        document: A mapping in the shape of an item of `job_configs`.
        at: JSON Pointer to the document, for errors.

    Raises:
        ConfigError: If the document does not match the schema, if a tag or metadata
            key is used twice, if a step can never become ready, or if a text is for an
            unknown step or metadata key.
    """
    match document:
        case {**members}:  # any mapping: pydantic accepts only a dict as an object
            document = members
        case _:
            pass
    checked = _validate(JobModel, document, None, at)
    _refuse_contradictions(checked, None, at)
    return checked


def json_schema() -> JsonSchemaValue:
    """Return the JSON Schema (draft 2020-12) of a configuration file."""
    schema = _prune(FileModel.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Job configurations of trackerapi",
        **schema,
    }


def _prune(schema: Any) -> Any:
    """Return a schema without pydantic's titles, and without null defaults."""
    match schema:
        case [*items]:
            return [_prune(item) for item in items]
        case {**members}:
            return {
                name: _prune(value)
                for name, value in members.items()
                if not (name == "title" and isinstance(value, str))
                and not (name == "default" and value is None)
            }
        case _:
            return schema


def _validate(
    model: type[BaseModel], content: object, path: Path | None, at: str
) -> dict[str, Any]:
    try:
        # Validate Python data, not JSON text: pydantic accepts repeated keys in a text,
        # and `read_json_file()` refuses repeated keys.
        checked = model.model_validate(content)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        raise _config_error(model, mistakes, path, at) from None
    return checked.model_dump(exclude_unset=True, by_alias=True)


def _config_error(
    model: type[BaseModel], mistakes: list[ErrorDetails], path: Path | None, at: str
) -> ConfigError:
    meant = {
        mistake["loc"]: _similar_key(model, mistake["loc"])
        for mistake in mistakes
        if mistake["type"] == "extra_forbidden"
    }
    # pydantic reports a misspelt required key as unknown and as missing. Show only the
    # unknown key: its error has a suggestion.
    misspelt = {(*loc[:-1], key) for loc, key in meant.items()}
    shown = [
        mistake
        for mistake in mistakes
        if mistake["type"] != "missing" or mistake["loc"] not in misspelt
    ]
    first, *others = shown
    location = first["loc"]
    if first["type"] == "missing" or location[-1:] == (_KEY,):
        location = location[:-1]
    more = f" (and {len(others)} more)" if others else ""
    return ConfigError(
        _reason(first) + more,
        path,
        at + json_pointer(location),
        meant.get(first["loc"]),
    )


def _similar_key(model: type[BaseModel], loc: Location) -> str | None:
    """Return the known key that the unknown key at `loc` resembles; else None."""
    # Each level of models adds two parts to a location: a key, and an index or a key.
    level = next((_MODELS[outer] for outer in loc[-3:-2]), model)
    known = [field.alias or name for name, field in level.model_fields.items()]
    key = str(loc[-1]).lower()
    if _FORMER_KEYS.get(key) in known:
        return _FORMER_KEYS[key]
    return nearest_name(known, key)


def _reason(mistake: ErrorDetails) -> str:
    name = mistake["loc"][-1] if mistake["loc"] else ""
    kind = mistake["type"]
    if name == _KEY and mistake["loc"][-3] == "texts":
        return _LANGUAGE_REASON
    if kind == "string_pattern_mismatch" and name == "version":
        return f"must look like 1.0.0, got {mistake['input']!r}"
    if kind in _REASONS:
        known = {**_NUMBERS.get(name, {}), **mistake.get("ctx", {})}
        return _REASONS[kind].format(name=name, **known)
    message = mistake["msg"]
    return message[:1].lower() + message[1:]


def _refuse_contradictions(job: Mapping[str, Any], path: Path | None, at: str) -> None:
    steps = job["step_configurations"]
    _refuse_repeats(steps, "tag", path, f"{at}/step_configurations")
    for index, step in enumerate(steps):
        keys = step.get("metadata_configurations", [])
        pointer = f"{at}/step_configurations/{index}/metadata_configurations"
        _refuse_repeats(keys, "name", path, pointer)
    check_order(steps, path, f"{at}/step_configurations")
    check_texts(job, path, f"{at}/texts")
    check_size(job, path, at)


def _refuse_repeats(
    items: Sequence[Mapping[str, Any]], key: str, path: Path | None, at: str
) -> None:
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        value = item[key]
        if value in first:
            reason = f"{key} {value!r} is already used at {at}/{first[value]}/{key}"
            raise ConfigError(reason, path, f"{at}/{index}/{key}")
        first[value] = index
