"""Job configurations are found by tag, for the life of the process."""

import copy
import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import MappingProxyType
from typing import Any, Final

import pytest

from scripts.project import ROOT
from tests.support.contract_document import validator
from trackerapi.config.job_config import (
    JobConfig,
    MetadataConfiguration,
    StepConfiguration,
)
from trackerapi.config.manager import JobConfigManager, find_loaded, forget_loaded
from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import ConfigError

SEED_FILE: Final = ROOT / "tests/end_to_end/seed_job_configurations.json"
VOLUME: Final = {
    "name": "Volume",
    "kind": "number",
    "units": "mm³",
    "audience": "customer",
}
FULL: Final[dict[str, Any]] = {
    "tag": "scan",
    "name": "Scan",
    "version": "1.2.3",
    "metadata": "declared",
    "step_configurations": [
        {
            "tag": "measure",
            "name": "Measure",
            "points": 3,
            "metadata_configurations": [VOLUME],
        },
        {"tag": "check", "name": "Check", "points": 1, "after": []},
        {
            "tag": "report",
            "name": "Report",
            "points": 0,
            "after": ["measure", "check"],
        },
    ],
}


def job(tag: str, name: str = "Job", *, points: int = 1) -> JobConfig:
    """Return a configuration with one step."""
    step = StepConfiguration(tag="only", name="Only", points=points)
    return JobConfig(tag=tag, name=name, step_configurations=(step,))


def written(path: Path, *configs: JobConfig) -> Path:
    """Write a configuration file and return its path."""
    documents = [config.as_document() for config in configs]
    path.write_text(json.dumps({"job_configs": documents}), encoding="utf-8")
    return path


def refusal(ask: Callable[[], object]) -> ConfigError:
    """Return the error that a call raises."""
    with pytest.raises(ConfigError) as caught:
        ask()
    return caught.value


@pytest.mark.parametrize("kind", [str, Path])
def test_seed_file_loads_as_documented(kind: Callable[[Path], str | Path]) -> None:
    """Tags, names and points of the file are those of the tutorial."""
    manager = JobConfigManager(configurations_file=kind(SEED_FILE))
    config = manager.get_job_config("my_job")

    assert manager.tags == ("my_job",)
    assert (config.tag, config.name, config.version) == ("my_job", "My Job", None)
    assert [
        (step.tag, step.name, step.points) for step in config.step_configurations
    ] == [
        ("say_hello", "Say Hello", 10),
        ("random_number", "Generate Random Number", 15),
        ("say_bye", "Say Bye", 10),
    ]


def test_metadata_key_is_for_the_provider_by_default() -> None:
    """A key without an audience is not for the customer."""
    document = copy.deepcopy(FULL)
    metadata = document["step_configurations"][0]["metadata_configurations"]
    metadata.append({"name": "Operator", "units": None})

    config = JobConfigManager(configs=[document]).get_job_config("scan")

    assert config.step_configurations[0].metadata_configurations == (
        MetadataConfiguration(
            name="Volume", kind="number", units="mm³", audience="customer"
        ),
        MetadataConfiguration(
            name="Operator", kind="text", units=None, audience="provider"
        ),
    )
    assert config.step_configurations[1].metadata_configurations == ()


def test_steps_to_wait_for_are_kept(tmp_path: Path) -> None:
    """Absent, none and several are distinct, from a file and from code."""
    config = JobConfigManager().add_job_config(FULL)
    path = written(tmp_path / "configs.json", config)
    loaded = JobConfigManager(path).get_job_config("scan")

    for each in (config, loaded):
        waits = [step.after for step in each.step_configurations]
        assert waits == [None, (), ("measure", "check")]


def test_configuration_never_changes() -> None:
    """A loaded configuration stays as it is for all its holders."""
    source = copy.deepcopy(FULL)
    config = JobConfigManager().add_job_config(source)

    source["step_configurations"].clear()
    config.as_document()["step_configurations"].clear()

    assert len(config.step_configurations) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.tag = "other"  # type: ignore[misc]


@pytest.mark.parametrize("document", [FULL, job("plain").as_document()])
def test_document_is_plain_and_accepted_by_contract(document: dict[str, Any]) -> None:
    """The backend gets the loaded document, without absent members."""
    config = JobConfigManager().add_job_config(document)

    assert config.as_document() == document
    assert json.loads(json.dumps(config.as_document())) == document
    validator("JobConfigurationInput").validate(config.as_document())


def test_whole_float_becomes_a_whole_number() -> None:
    """Points written as 10.0 do not reach the backend as different content."""
    document = job("a", points=10).as_document()
    document["step_configurations"][0]["points"] = 10.0

    config = JobConfigManager().add_job_config(document)

    assert json.dumps(config.as_document()) == json.dumps(
        job("a", points=10).as_document()
    )


def test_tag_wins_over_display_name() -> None:
    """The display name of another configuration never hides a tag."""
    manager = JobConfigManager(configs=[job("a", "b"), job("b", "c")])

    assert manager.get_job_config("b").name == "c"
    assert manager.get_job_config("c").tag == "b"


def test_ambiguous_display_name_is_rejected_with_its_tags() -> None:
    """A display name of two configurations stands for neither."""
    manager = JobConfigManager(configs=[job("a", "Scan"), job("b", "Scan")])

    for ask in (lambda: manager.get_job_config("Scan"), lambda: find_loaded("Scan")):
        assert refusal(ask).reason == (
            "the name 'Scan' stands for the tags 'a', 'b'; use one of them"
        )


@pytest.mark.parametrize(
    ("given", "suggestion"),
    [("my_jop", "my_job"), ("MY JOB", "my_job"), ("My Jobs", "my_job"), ("zzz", None)],
)
def test_unknown_tag_is_rejected_with_the_nearest(
    given: str, suggestion: str | None
) -> None:
    """The error for a typo in a tag or display name names the near tag."""
    manager = JobConfigManager(configurations_file=SEED_FILE)

    error = refusal(lambda: manager.get_job_config(given))

    assert error.reason == f"no job configuration has the tag {given!r}"
    assert (error.path, error.suggestion) == (SEED_FILE, suggestion)


@pytest.mark.parametrize(("given", "error"), [(5, TypeError), (" ", ValueError)])
def test_wrong_type_of_a_tag_is_rejected(given: Any, error: type[Exception]) -> None:
    """A wrong argument raises before any search."""
    with pytest.raises(error, match="tag must"):
        JobConfigManager().get_job_config(given)


def test_manager_keeps_the_order_of_file_and_code(tmp_path: Path) -> None:
    """A file comes first, then configurations from code, each in its own order."""
    path = written(tmp_path / "jobs.json", job("z"), job("a"))
    manager = JobConfigManager(configurations_file=path, configs=[job("m")])

    manager.add_job_config(job("b"))

    assert manager.tags == ("z", "a", "m", "b")
    assert JobConfigManager().tags == ()


def test_mapping_of_any_kind_is_accepted() -> None:
    """A read-only view of a document is as good as a dict."""
    config = JobConfigManager().add_job_config(MappingProxyType(FULL))

    assert config.as_document() == FULL


def test_configuration_from_code_is_checked() -> None:
    """A `JobConfig` made by hand obeys the rules of a file, with its location."""
    wrong: list[Any] = [job("a"), job("b", points=-1)]

    error = refusal(lambda: JobConfigManager(configs=wrong))

    assert error.pointer == "/1/step_configurations/0/points"
    assert error.path is None
    assert refusal(lambda: JobConfigManager(configs=[wrong])).pointer == "/0"


def test_same_content_may_be_loaded_again(tmp_path: Path) -> None:
    """Managers that load the same file, or its content from code, do not clash."""
    path = written(tmp_path / "jobs.json", job("a"))
    manager = JobConfigManager(configurations_file=path)

    JobConfigManager(configurations_file=path)
    manager.add_job_config(job("a").as_document())

    assert manager.tags == ("a",)


def test_same_tag_with_other_content_is_rejected_whole(tmp_path: Path) -> None:
    """A file that contradicts a loaded one adds nothing."""
    JobConfigManager(configs=[job("b")])
    path = written(tmp_path / "jobs.json", job("a"), job("b", points=2))

    error = refusal(lambda: JobConfigManager(configurations_file=path))

    assert "configuration 'b' changed since this process loaded it" in error.reason
    assert (error.path, error.pointer) == (path, "/job_configs/1/tag")
    assert find_loaded("a") is None


def test_rejected_configuration_is_not_in_its_manager() -> None:
    """After an error a manager returns the same as before."""
    manager = JobConfigManager(configs=[job("a")])

    refusal(lambda: manager.add_job_config(job("a", points=2)))

    assert manager.get_job_config("a") == job("a")


def test_loaded_configuration_is_found_without_its_manager() -> None:
    """Configurations of a dropped manager are found by tag and by display name."""
    JobConfigManager(configs=[job("a", "First"), job("First", "b")])

    assert find_loaded("a") == job("a", "First")
    assert find_loaded("First") == job("First", "b")
    assert find_loaded("b") == job("First", "b")
    assert find_loaded("c") is None


def test_forgotten_tag_may_come_with_other_content() -> None:
    """Tests can load the same tag with different contents."""
    JobConfigManager(configs=[job("a")])
    forget_loaded()

    assert find_loaded("a") is None
    JobConfigManager(configs=[job("a", points=2)])


def test_one_of_many_threads_wins_a_tag() -> None:
    """However many threads load different contents at once, one content holds."""
    count = 8
    together = Barrier(count)

    def load(points: int) -> int | None:
        together.wait()
        try:
            JobConfigManager(configs=[job("a", points=points)])
        except ConfigError:
            return None
        return points

    with ThreadPoolExecutor(count) as pool:
        winners = [
            points for points in pool.map(load, range(count)) if points is not None
        ]

    assert [find_loaded("a")] == [job("a", points=points) for points in winners]


def steps(*names: tuple[str, str]) -> JobConfig:
    """Return a configuration with steps of these tags and display names."""
    return JobConfig(
        tag="a",
        name="Job",
        step_configurations=tuple(
            StepConfiguration(tag=tag, name=name, points=1) for tag, name in names
        ),
    )


@pytest.mark.parametrize(
    ("given", "tag"),
    [("one", "one"), ("First", "one"), ("two", "two"), ("Same", None), ("x", None)],
)
def test_step_is_found_by_tag_or_unambiguous_name(given: str, tag: str | None) -> None:
    """A tag match wins; a display name counts only if a single step has it."""
    config = steps(("one", "First"), ("two", "Same"), ("three", "Same"), ("s", "two"))

    step = config.find_step(given)

    assert (step.tag if step else None) == tag


@pytest.mark.parametrize(
    ("given", "near"),
    [("say_helo", "say_hello"), ("Say hello!", "say_hello"), ("zzz", None)],
)
def test_nearest_step_is_found_for_a_typo(given: str, near: str | None) -> None:
    """A typo in a tag or display name leads to the step's tag."""
    config = steps(("say_hello", "Say Hello"), ("bye", "Farewell"))

    assert nearest_tag(config.step_configurations, given) == near


def test_configurations_in_place_of_a_file_raise_type_error() -> None:
    """The message names the argument for documents."""
    wrong: Any = [{"tag": "a"}]
    with pytest.raises(TypeError, match=r"must be a path, got list; .* configs="):
        JobConfigManager(wrong)


@pytest.mark.parametrize("wrong", ["jobs.json", Path("jobs.json"), {"tag": "a"}, 7])
def test_configs_that_are_no_list_raise_type_error(wrong: Any) -> None:
    """The message names the arguments for a file and for one configuration."""
    with pytest.raises(TypeError, match=r"must be a list .* configurations_file="):
        JobConfigManager(None, wrong)


def test_configs_may_be_none() -> None:
    """None means no configurations from code, as None means no file."""
    assert JobConfigManager(None, None).tags == ()
