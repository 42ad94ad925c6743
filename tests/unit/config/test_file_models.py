"""Validation of configuration files, by the loader and by the JSON Schema."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scripts.project import ROOT
from tests.support.contract_document import validator
from trackerapi.config.file_models import (
    check_job_document,
    json_schema,
    read_config_file,
)
from trackerapi.config.job_config import read_configs
from trackerapi.config.size import MAX_CONFIG_BYTES
from trackerapi.errors import ConfigError

SEED: Final[dict[str, Any]] = json.loads(
    ROOT.joinpath("tests/end_to_end/original_job_configurations.json").read_text(
        encoding="utf-8"
    )
)
FULL: Final[dict[str, Any]] = {
    "job_configs": [
        {
            "name": "Scan",
            "tag": "scan",
            "version": "1.0.0-rc.1+build.5",
            "metadata": "declared",
            "step_configurations": [
                {
                    "name": "Measure",
                    "tag": "measure",
                    "points": 1,
                    "units": "images",
                    "metadata_configurations": [
                        {
                            "name": "Volume",
                            "kind": "number",
                            "units": "mm³",
                            "audience": "customer",
                        },
                        {"name": "Operator", "kind": "text"},
                    ],
                }
            ],
        }
    ],
}
JOB: Final = "/job_configs/0"
STEP: Final = f"{JOB}/step_configurations/0"
KEY: Final = f"{STEP}/metadata_configurations/0"
FULL_STEP: Final = FULL["job_configs"][0]["step_configurations"][0]
ABSENT: Final = object()

SCHEMA: Final = Draft202012Validator(json_schema())


def change(at: str, value: object) -> dict[str, Any]:
    """Return the full document with the member at a JSON Pointer set or removed."""
    document: Any = copy.deepcopy(FULL)
    *parents, last = at.replace("~1", "\0").split("/")[1:]
    inner = document
    for part in parents:
        inner = inner[int(part)] if part.isdigit() else inner[part]
    key: Any = int(last) if last.isdigit() else last.replace("\0", "/")
    if value is ABSENT:
        del inner[key]
    else:
        inner[key] = value
    return dict(document)


def steps(count: int) -> list[dict[str, Any]]:
    """Return `count` steps."""
    return [{"name": "S", "tag": f"s{i}", "points": 0} for i in range(count)]


def languages(count: int) -> dict[str, Any]:
    """Return empty texts in `count` languages."""
    return {f"a{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}": {} for i in range(count)}


def keys(count: int) -> list[dict[str, Any]]:
    """Return `count` metadata keys."""
    return [{"name": f"k{i}", "kind": "link"} for i in range(count)]


STEP_AFTER: Final = {"tag": "last", "name": "Last", "points": 1}


def ordered(*waits: list[str] | None) -> list[dict[str, Any]]:
    """Return steps a, b, c…; `waits` are their `after` tags, None for no `after`."""
    return [
        {"tag": tag, "name": tag.upper(), "points": 1}
        | ({} if after is None else {"after": after})
        for tag, after in zip("abcdefg", waits, strict=False)
    ]


@dataclass(frozen=True)
class Bad:
    """One mistake in a file: its location, value and message.

    Attributes:
        at: JSON Pointer to the member that is changed.
        value: New value of the member; `ABSENT` removes the member.
        reason: Expected reason of the error, or a part of the reason.
        pointer: Expected location of the error; None for `at`.
        suggestion: Expected suggestion of the error; None for no suggestion.
    """

    at: str
    value: object
    reason: str
    pointer: str | None = None
    suggestion: str | None = None


LENGTH: Final = "must have 1 to 100 characters"
CHARACTERS: Final = "must not be blank or contain control characters or line breaks"
VERSION: Final = "must look like 1.0.0, got "
WHOLE: Final = "must be a whole number from 0 to 1,000,000"
SECONDS: Final = "must be a whole number of seconds from 60 to 604,800"
TEXT: Final = "must be text"
LIST: Final = "must be a list"
OBJECT: Final = "must be an object"
LANGUAGE: Final = "must be a language such as de or pt-BR"

BAD: Final = {
    "job_configs_missing": Bad(
        "/job_configs", ABSENT, "'job_configs' is missing", pointer=""
    ),
    "job_configs_null": Bad("/job_configs", None, LIST),
    "job_configs_object": Bad("/job_configs", {}, LIST),
    "job_null": Bad(JOB, None, "must be an object"),
    "job_list": Bad(JOB, [], "must be an object"),
    "schema_number": Bad("/$schema", 1, TEXT),
    "schema_null": Bad("/$schema", None, TEXT),
    "file_key_unknown": Bad("/zzz", 1, "unknown key 'zzz'"),
    "file_key_misspelt": Bad(
        "/job_config", [], "unknown key 'job_config'", suggestion="job_configs"
    ),
    "job_key_misspelt": Bad(
        f"{JOB}/verison", "1.0.0", "unknown key 'verison'", suggestion="version"
    ),
    "job_key_joined": Bad(
        f"{JOB}/stepconfigurations",
        [],
        "unknown key 'stepconfigurations'",
        suggestion="step_configurations",
    ),
    "job_key_of_the_original_service": Bad(
        f"{JOB}/steps", [], "unknown key 'steps'", suggestion="step_configurations"
    ),
    "step_key_misspelt": Bad(
        f"{STEP}/pionts", 1, "unknown key 'pionts'", suggestion="points"
    ),
    "metadata_key_misspelt": Bad(
        f"{KEY}/audiense", "customer", "unknown key 'audiense'", suggestion="audience"
    ),
    "step_key_of_a_job": Bad(f"{STEP}/version", "1.0.0", "unknown key 'version'"),
    "key_with_slash": Bad(f"{JOB}/a~1b", 1, "unknown key 'a/b'"),
    "schema_key_in_a_job": Bad(f"{JOB}/$schema", "x", "unknown key '$schema'"),
    "job_name_missing": Bad(f"{JOB}/name", ABSENT, "'name' is missing", pointer=JOB),
    "job_tag_missing": Bad(f"{JOB}/tag", ABSENT, "'tag' is missing", pointer=JOB),
    "job_tag_empty": Bad(f"{JOB}/tag", "", LENGTH),
    "job_tag_long": Bad(f"{JOB}/tag", "x" * 101, LENGTH),
    "job_tag_number": Bad(f"{JOB}/tag", 7, TEXT),
    "job_tag_null": Bad(f"{JOB}/tag", None, TEXT),
    "job_tag_blank": Bad(f"{JOB}/tag", " ", CHARACTERS),
    "job_name_no_break_space": Bad(f"{JOB}/name", "\u00a0", CHARACTERS),
    "job_name_wide_space": Bad(f"{JOB}/name", "\u3000\u2003", CHARACTERS),
    "job_name_line_end": Bad(f"{JOB}/name", "A\n", CHARACTERS),
    "job_name_line_end_first": Bad(f"{JOB}/name", "\nA", CHARACTERS),
    "job_name_tab": Bad(f"{JOB}/name", "A\tB", CHARACTERS),
    "job_name_nul": Bad(f"{JOB}/name", "A\0", CHARACTERS),
    "job_name_delete": Bad(f"{JOB}/name", "A\x7f", CHARACTERS),
    "job_name_c1": Bad(f"{JOB}/name", "A\x85", CHARACTERS),
    "job_name_line_separator": Bad(f"{JOB}/name", "A\u2028B", CHARACTERS),
    "job_name_paragraph_separator": Bad(f"{JOB}/name", "A\u2029", CHARACTERS),
    "version_short": Bad(f"{JOB}/version", "1.0", VERSION),
    "version_prefixed": Bad(f"{JOB}/version", "v1.0.0", VERSION),
    "version_leading_zero": Bad(f"{JOB}/version", "01.0.0", VERSION),
    "version_prerelease_leading_zero": Bad(f"{JOB}/version", "1.0.0-01", VERSION),
    "version_prerelease_empty": Bad(f"{JOB}/version", "1.0.0-", VERSION),
    "version_other_digits": Bad(f"{JOB}/version", "1.0.٣", VERSION),
    "version_line_end": Bad(f"{JOB}/version", "1.0.0\n", VERSION),
    "version_number": Bad(f"{JOB}/version", 1.0, TEXT),
    "version_null": Bad(f"{JOB}/version", None, TEXT),
    "metadata_other": Bad(f"{JOB}/metadata", "all", "must be 'declared'"),
    "metadata_null": Bad(f"{JOB}/metadata", None, "must be 'declared'"),
    "steps_missing": Bad(
        f"{JOB}/step_configurations",
        ABSENT,
        "'step_configurations' is missing",
        pointer=JOB,
    ),
    "steps_empty": Bad(f"{JOB}/step_configurations", [], "must not be empty"),
    "steps_too_many": Bad(
        f"{JOB}/step_configurations", steps(501), "must have at most 500 items"
    ),
    "step_text": Bad(STEP, "measure", "must be an object"),
    "step_tag_missing": Bad(f"{STEP}/tag", ABSENT, "'tag' is missing", pointer=STEP),
    "step_tag_blank": Bad(f"{STEP}/tag", "\u1680", CHARACTERS),
    "step_name_line_end": Bad(f"{STEP}/name", "A\n", CHARACTERS),
    "points_missing": Bad(
        f"{STEP}/points", ABSENT, "'points' is missing", pointer=STEP
    ),
    "points_below": Bad(f"{STEP}/points", -1, WHOLE),
    "points_above": Bad(f"{STEP}/points", 1_000_001, WHOLE),
    "points_far_above": Bad(f"{STEP}/points", int("9" * 200), WHOLE),
    "points_fraction": Bad(f"{STEP}/points", 1.5, WHOLE),
    "points_true": Bad(f"{STEP}/points", True, WHOLE),
    "points_text": Bad(f"{STEP}/points", "10", WHOLE),
    "points_null": Bad(f"{STEP}/points", None, WHOLE),
    **{
        f"silent_after_{value!r}": Bad(f"{JOB}/silent_after", value, SECONDS)
        for value in (59, 604_801, 0, -60, 90.5, True, "600", None)
    },
    "keys_null": Bad(f"{STEP}/metadata_configurations", None, LIST),
    "keys_too_many": Bad(
        f"{STEP}/metadata_configurations", keys(51), "must have at most 50 items"
    ),
    "units_null": Bad(f"{STEP}/units", None, TEXT),
    "units_empty": Bad(f"{STEP}/units", "", LENGTH),
    "units_blank": Bad(f"{STEP}/units", " ", CHARACTERS),
    "units_long": Bad(f"{STEP}/units", "x" * 101, LENGTH),
    **{
        f"texts_{name}": Bad(f"{JOB}/texts", texts, reason, f"{JOB}/texts{at}", meant)
        for name, texts, reason, at, meant in (
            ("null", None, OBJECT, "", None),
            ("list", [], OBJECT, "", None),
            ("of_a_language_null", {"de": None}, OBJECT, "/de", None),
            ("key_misspelt", {"de": {"nmae": "x"}}, "unknown key", "/de/nmae", "name"),
            ("name_null", {"de": {"name": None}}, TEXT, "/de/name", None),
            ("name_blank", {"de": {"name": " "}}, CHARACTERS, "/de/name", None),
            ("steps_list", {"de": {"steps": []}}, OBJECT, "/de/steps", None),
            (
                "step_key_misspelt",
                {"de": {"steps": {"measure": {"unit": "x"}}}},
                *("unknown key 'unit'", "/de/steps/measure/unit", "units"),
            ),
            (
                "units_long",
                {"de": {"steps": {"measure": {"units": "x" * 101}}}},
                *(LENGTH, "/de/steps/measure/units", None),
            ),
            (
                "metadata_number",
                {"de": {"metadata": {"Volume": 1}}},
                *(TEXT, "/de/metadata/Volume", None),
            ),
            (
                "metadata_key_blank",
                {"de": {"metadata": {" ": "x"}}},
                *(CHARACTERS, "/de/metadata/ ", None),
            ),
            ("too_many", languages(51), "must have at most 50 items", "", None),
            *(
                (f"language_{tag!a}", {tag: {}}, LANGUAGE, f"/{tag}", None)
                for tag in ("", "d", "DE", "deu-", "de_AT", "de-at", "de-AT\n", "en-12")
            ),
        )
    },
    "key_name_missing": Bad(f"{KEY}/name", ABSENT, "'name' is missing", pointer=KEY),
    "key_name_blank": Bad(f"{KEY}/name", "  ", CHARACTERS),
    "key_kind_null": Bad(f"{KEY}/kind", None, "must be 'text', 'number' or 'link"),
    "after_text": Bad(f"{STEP}/after", "a", LIST),
    "after_null": Bad(f"{STEP}/after", None, LIST),
    "after_blank": Bad(f"{STEP}/after", [" "], CHARACTERS, pointer=f"{STEP}/after/0"),
    "after_number": Bad(f"{STEP}/after", [1], TEXT, pointer=f"{STEP}/after/0"),
    "after_too_many": Bad(f"{STEP}/after", ["a"] * 101, "must have at most 100 items"),
    "key_kind_other": Bad(f"{KEY}/kind", "date", "must be 'text', 'number' or 'link"),
    "key_units_empty": Bad(f"{KEY}/units", "", LENGTH),
    "key_units_number": Bad(f"{KEY}/units", 1, TEXT),
    "key_audience_other": Bad(
        f"{KEY}/audience", "everyone", "must be 'provider' or 'customer'"
    ),
}

GOOD: Final = {
    "seed": SEED,
    "full": FULL,
    "no_jobs": {"job_configs": []},
    "points_none": change(f"{STEP}/points", 0),
    "points_most": change(f"{STEP}/points", 1_000_000),
    "points_whole_float": change(f"{STEP}/points", 10.0),
    "points_minus_zero": change(f"{STEP}/points", -0.0),
    "silent_after_least": change(f"{JOB}/silent_after", 60),
    "silent_after_most": change(f"{JOB}/silent_after", 604_800),
    "silent_after_whole_float": change(f"{JOB}/silent_after", 600.0),
    "version_plain": change(f"{JOB}/version", "0.0.0"),
    "version_hyphens": change(f"{JOB}/version", "1.2.3----RC-SNAPSHOT.12.9.1--.12"),
    "tag_longest": change(f"{JOB}/tag", "x" * 100),
    "tag_longest_astral": change(f"{JOB}/tag", "🫀" * 100),
    "name_spaced": change(f"{JOB}/name", " A B "),
    "name_joiner": change(f"{JOB}/name", "\u200d"),
    "name_next_to_separators": change(f"{JOB}/name", "\u2027\u202a\ue000"),
    "steps_most": change(f"{JOB}/step_configurations", steps(500)),
    "keys_none": change(f"{STEP}/metadata_configurations", []),
    "keys_most": change(f"{STEP}/metadata_configurations", keys(50)),
    "units_absent": change(f"{STEP}/units", ABSENT),
    "units_longest": change(f"{STEP}/units", "x" * 100),
    "texts_none": change(f"{JOB}/texts", {}),
    "texts_empty": change(f"{JOB}/texts", {"de": {"steps": {}, "metadata": {}}}),
    "texts_most": change(f"{JOB}/texts", languages(50)),
    "texts_full": change(
        f"{JOB}/texts",
        {
            tag: {
                "name": "Aufnahme",
                "steps": {"measure": {"name": "Messen", "units": "Bilder"}},
                "metadata": {"Volume": "Volumen"},
            }
            for tag in ("de", "de-AT", "zh-Hant-TW", "es-419", "gsw")
        },
    ),
    "key_kind_left_out": change(f"{KEY}/kind", ABSENT),
    "key_units_null": change(f"{KEY}/units", None),
    "display_names_equal": change(f"{JOB}/step_configurations", steps(2)),
    "after_none": change(f"{STEP}/after", []),
    "after_others": change(
        f"{JOB}/step_configurations", ordered(["c"], [], ["b"], ["a", "c"])
    ),
    "after_most": change(
        f"{JOB}/step_configurations",
        [*steps(100), STEP_AFTER | {"after": [f"s{i}" for i in range(100)]}],
    ),
}

CIRCLE: Final = "closes a circle of steps that wait for each other"

ORDERS: Final = {
    "unknown": Bad(
        f"{JOB}/step_configurations",
        ordered(None, ["Q"]),
        "no step has the tag 'Q'",
        pointer=f"{JOB}/step_configurations/1/after/0",
    ),
    "misspelt": Bad(
        f"{JOB}/step_configurations",
        [*steps(2), STEP_AFTER | {"after": ["s1", "S00"]}],
        "no step has the tag 'S00'",
        pointer=f"{JOB}/step_configurations/2/after/1",
        suggestion="s0",
    ),
    "itself": Bad(
        f"{JOB}/step_configurations",
        ordered(None, ["a", "b"]),
        "a step cannot wait for itself",
        pointer=f"{JOB}/step_configurations/1/after/1",
    ),
    "each_other": Bad(
        f"{JOB}/step_configurations",
        ordered(["b"], ["a"]),
        f"{CIRCLE}: 'a', 'b', 'a'",
        pointer=f"{JOB}/step_configurations/1/after/0",
    ),
    "the_step_before": Bad(
        f"{JOB}/step_configurations",
        ordered(["c"], None, None),
        f"{CIRCLE}: 'a', 'b', 'c', 'a'",
        pointer=f"{JOB}/step_configurations/0/after/0",
    ),
    "long": Bad(
        f"{JOB}/step_configurations",
        ordered(["g"], None, None, None, None, None, None),
        f"{CIRCLE}: 'a', 'b', 'c', 'd', 'e', …",
        pointer=f"{JOB}/step_configurations/0/after/0",
    ),
}

STRANGERS: Final = {
    "step": Bad(
        f"{JOB}/texts",
        {"en": {}, "de": {"steps": {"measure": {}, "Mesure/": {}}}},
        "no step has the tag 'Mesure/'",
        pointer=f"{JOB}/texts/de/steps/Mesure~1",
        suggestion="measure",
    ),
    "metadata": Bad(
        f"{JOB}/texts",
        {"pt-BR": {"metadata": {"Volumes": "x"}}},
        "no step has the metadata key 'Volumes'",
        pointer=f"{JOB}/texts/pt-BR/metadata/Volumes",
        suggestion="Volume",
    ),
}

REPEATS: Final = {
    "job_tag": Bad(
        "/job_configs",
        FULL["job_configs"] * 2,
        "tag 'scan' is already used at /job_configs/0/tag",
        pointer="/job_configs/1/tag",
    ),
    "step_tag": Bad(
        f"{JOB}/step_configurations",
        steps(1) * 2,
        f"tag 's0' is already used at {STEP}/tag",
        pointer=f"{JOB}/step_configurations/1/tag",
    ),
    "metadata_name": Bad(
        f"{KEY}/name",
        "Operator",
        f"name 'Operator' is already used at {KEY}/name",
        pointer=f"{STEP}/metadata_configurations/1/name",
    ),
}


@pytest.mark.parametrize("bad", [*ORDERS.values(), *STRANGERS.values()])
def test_contradiction_is_rejected(bad: Bad, path: Path) -> None:
    """ConfigError names the step that is never ready, or the text of no step or key."""
    document = change(bad.at, bad.value)
    path.write_text(json.dumps(document), encoding="utf-8")

    error = error_of(path)

    assert (error.reason, error.pointer) == (bad.reason, bad.pointer)
    assert error.suggestion == bad.suggestion
    with pytest.raises(ConfigError) as from_code:
        check_job_document(document["job_configs"][0])
    assert f"{JOB}{from_code.value.pointer}" == bad.pointer


def test_texts_name_any_key_of_a_configuration_without_metadata() -> None:
    """Texts for undeclared metadata keys are accepted if no step declares a key."""
    document = change(f"{STEP}/metadata_configurations", [])["job_configs"][0]
    document["texts"] = {"de": {"metadata": {"Volume": "Volumen"}}}

    assert check_job_document(document) == document
    validator("JobConfigurationInput").validate(document)


@pytest.mark.parametrize("has_audience", [True, False])
def test_configuration_too_large_for_a_request_is_rejected(
    path: Path, *, has_audience: bool
) -> None:
    """A configuration above `MAX_CONFIG_BYTES` raises ConfigError with the limit."""
    audience = {"audience": "customer"} if has_audience else {}
    keys = [
        {"name": f"{number:03d}{'n' * 90}", "kind": "text", **audience}
        for number in range(50)
    ]
    step = {"points": 1, "metadata_configurations": keys}

    def write(step_count: int) -> None:
        steps = [{"tag": f"t{n}", "name": "N", **step} for n in range(step_count)]
        job = {"tag": "big", "name": "Big", "step_configurations": steps}
        path.write_text(json.dumps({"job_configs": [job]}), encoding="utf-8")

    write(140)
    config = read_configs(path)[0]
    size = len(json.dumps(config.as_document(), separators=(",", ":")).encode())
    assert size <= MAX_CONFIG_BYTES
    write(160)
    error = error_of(path)

    assert error.pointer == "/job_configs/0"
    assert f"a request carries at most {MAX_CONFIG_BYTES:,}" in error.reason
    assert str(path) in str(error)


def error_of(path: Path) -> ConfigError:
    """Return the error that reading a file raises."""
    with pytest.raises(ConfigError) as caught:
        read_config_file(path)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file to be written."""
    return tmp_path / "job_configurations.json"


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_mistake_is_rejected_with_location_and_reason(bad: Bad, path: Path) -> None:
    """ConfigError has the reason, the location and the nearest known key."""
    path.write_text(json.dumps(change(bad.at, bad.value)), encoding="utf-8")

    error = error_of(path)

    assert bad.reason in error.reason
    assert " more)" not in error.reason
    assert error.pointer == (bad.at if bad.pointer is None else bad.pointer)
    assert error.suggestion == bad.suggestion
    assert error.path == path


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_mistake_is_rejected_by_schema(bad: Bad) -> None:
    """The JSON Schema rejects every mistake that the loader rejects."""
    assert not SCHEMA.is_valid(change(bad.at, bad.value))


@pytest.mark.parametrize("bad", REPEATS.values(), ids=REPEATS)
def test_repeated_name_is_rejected_with_both_locations(bad: Bad, path: Path) -> None:
    """The error points at the second of two equal names and names the first."""
    path.write_text(json.dumps(change(bad.at, bad.value)), encoding="utf-8")

    error = error_of(path)

    assert (error.reason, error.pointer) == (bad.reason, bad.pointer)


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
def test_good_file_is_accepted_by_loader_and_schema(
    document: dict[str, Any], path: Path
) -> None:
    """Loader and JSON Schema accept values at the bounds of their ranges."""
    path.write_text(json.dumps(document), encoding="utf-8")

    assert read_config_file(path) == document["job_configs"]
    SCHEMA.validate(document)


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
def test_good_job_is_accepted_by_contract(document: dict[str, Any]) -> None:
    """The contract accepts each job that the loader accepts."""
    for job in document["job_configs"]:
        validator("JobConfigurationInput").validate(job)


def nearly_valid() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for documents with one member set to any value."""
    members = [
        *("/$schema", "/job_configs", JOB, STEP, KEY, f"{JOB}/unknown"),
        *(f"{JOB}/{name}" for name in FULL["job_configs"][0]),
        *(f"{STEP}/{name}" for name in FULL_STEP),
        *(f"{KEY}/{name}" for name in ("name", "kind", "units", "audience")),
    ]
    text = st.text(
        st.sampled_from("aA0.-+ \t\n\x7f\x85\u00a0\u1680\u2028\u3000\ufeff🫀"),
        max_size=6,
    )
    number = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    container = st.sampled_from([[], {}, steps(1), keys(1), steps(501)])
    value = st.none() | st.booleans() | number | text | container
    return st.builds(change, st.sampled_from(members), value)


@given(document=nearly_valid())
def test_loader_and_schema_agree(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The loader accepts a document exactly if the JSON Schema accepts it."""
    path = tmp_path_factory.getbasetemp() / "nearly_valid.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        read_config_file(path)
    except ConfigError:
        assert not SCHEMA.is_valid(document)
    else:
        assert SCHEMA.is_valid(document)


@given(
    texts=st.dictionaries(
        st.text(st.sampled_from("adeDEAT-019_\n"), max_size=6)
        | st.sampled_from(["de", "de-AT", "zh-Hant", "zh-Hant-TW", "es-419"]),
        st.none() | st.fixed_dictionaries({}, optional={"name": st.text(max_size=2)}),
        max_size=2,
    )
)
def test_loader_schema_and_contract_agree_on_texts(texts: dict[str, Any]) -> None:
    """The loader accepts texts exactly if the JSON Schema and the contract do."""
    document = change(f"{JOB}/texts", texts)
    job = document["job_configs"][0]
    try:
        check_job_document(job)
    except ConfigError:
        is_accepted = False
    else:
        is_accepted = True
    assert SCHEMA.is_valid(document) == is_accepted
    assert validator("JobConfigurationInput").is_valid(job) == is_accepted


def test_steps_of_the_original_service_are_rejected_with_the_new_name(
    path: Path,
) -> None:
    """The key `steps` raises ConfigError that suggests `step_configurations`."""
    document = copy.deepcopy(SEED)
    job = document["job_configs"][0]
    job["steps"] = job.pop("step_configurations")
    path.write_text(json.dumps(document))

    error = error_of(path)

    assert (error.reason, error.suggestion) == (
        "unknown key 'steps'",
        "step_configurations",
    )


def test_misspelt_key_is_not_reported_as_missing(path: Path) -> None:
    """A misspelt key is reported as unknown, and not also as a missing key."""
    document = change(f"{STEP}/points", ABSENT)
    document["job_configs"][0]["step_configurations"][0]["point"] = 1
    path.write_text(json.dumps(document))

    error = error_of(path)

    assert error.reason == "unknown key 'point'"
    assert error.suggestion == "points"


def test_further_mistakes_are_counted(path: Path) -> None:
    """The error shows the first of three mistakes, and says that two more exist."""
    document = change(f"{JOB}/name", "")
    document["job_configs"][0]["version"] = "1"
    document["job_configs"][0]["step_configurations"][0]["points"] = -1
    path.write_text(json.dumps(document))

    error = error_of(path)

    assert error.pointer == f"{JOB}/name"
    assert error.reason == f"{LENGTH} (and 2 more)"


def test_document_from_code_is_checked_like_a_file() -> None:
    """Pointers in errors of a document from code begin at the document."""
    step = {"name": "S", "tag": "s", "points": 1}
    job = {"name": "A", "tag": "a", "step_configurations": [step, step]}

    with pytest.raises(ConfigError) as repeated:
        check_job_document(job)
    with pytest.raises(ConfigError) as unknown:
        check_job_document({**job, "step_configurations": [{**step, "taag": 1}]})

    assert repeated.value.pointer == "/step_configurations/1/tag"
    assert unknown.value.pointer == "/step_configurations/0/taag"
    assert unknown.value.suggestion == "tag"
    assert unknown.value.path is None
