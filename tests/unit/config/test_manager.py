"""`JobConfigManager`: loading of configurations, and search by tag or name."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import MappingProxyType
from typing import Any, Final

import pytest

from scripts.project import ROOT
from tests.support.job_configs import FULL, job, write_configs
from trackerapi.config.manager import JobConfigManager, find_loaded, forget_loaded
from trackerapi.errors import ConfigError

ORIGINAL_FILE: Final = ROOT / "tests/end_to_end/original_job_configurations.json"


def error_of(ask: Callable[[], object]) -> ConfigError:
    """Return the error that a call raises."""
    with pytest.raises(ConfigError) as caught:
        ask()
    return caught.value


@pytest.mark.parametrize("kind", [str, Path])
def test_seed_file_loads_as_documented(kind: Callable[[Path], str | Path]) -> None:
    """Tags, names and points of the file are those of the tutorial."""
    manager = JobConfigManager(configurations_file=kind(ORIGINAL_FILE))
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


def test_tag_wins_over_display_name() -> None:
    """A tag is found even if another configuration has this display name."""
    manager = JobConfigManager(configs=[job("a", "b"), job("b", "c")])

    assert manager.get_job_config("b").name == "c"
    assert manager.get_job_config("c").tag == "b"


def test_ambiguous_display_name_is_rejected_with_its_tags() -> None:
    """A display name of two configurations raises an error with both tags."""
    manager = JobConfigManager(configs=[job("a", "Scan"), job("b", "Scan")])

    for ask in (lambda: manager.get_job_config("Scan"), lambda: find_loaded("Scan")):
        assert error_of(ask).reason == (
            "the name 'Scan' stands for the tags 'a', 'b'; use one of them"
        )


@pytest.mark.parametrize(
    ("given", "suggestion"),
    [("my_jop", "my_job"), ("MY JOB", "my_job"), ("My Jobs", "my_job"), ("zzz", None)],
)
def test_unknown_tag_is_rejected_with_the_nearest(
    given: str, suggestion: str | None
) -> None:
    """The error for a misspelt tag or display name suggests the nearest tag."""
    manager = JobConfigManager(configurations_file=ORIGINAL_FILE)

    error = error_of(lambda: manager.get_job_config(given))

    assert error.reason == f"no job configuration has the tag {given!r}"
    assert (error.path, error.suggestion) == (ORIGINAL_FILE, suggestion)


@pytest.mark.parametrize(("given", "error"), [(5, TypeError), (" ", ValueError)])
def test_wrong_type_of_a_tag_is_rejected(given: Any, error: type[Exception]) -> None:
    """A number raises TypeError, a blank tag ValueError."""
    with pytest.raises(error, match="tag must"):
        JobConfigManager().get_job_config(given)


def test_manager_keeps_the_order_of_file_and_code(tmp_path: Path) -> None:
    """A file comes first, then configurations from code, each in its own order."""
    path = write_configs(tmp_path / "jobs.json", job("z"), job("a"))
    manager = JobConfigManager(configurations_file=path, configs=[job("m")])

    manager.add_job_config(job("b"))

    assert manager.tags == ("z", "a", "m", "b")
    assert JobConfigManager().tags == ()


def test_mapping_of_any_kind_is_accepted() -> None:
    """A read-only mapping is accepted in place of a dict."""
    config = JobConfigManager().add_job_config(MappingProxyType(FULL))

    assert config.as_document() == FULL


def test_configuration_from_code_is_checked() -> None:
    """An invalid `JobConfig` raises ConfigError with its index in the pointer."""
    wrong: list[Any] = [job("a"), job("b", points=-1)]

    error = error_of(lambda: JobConfigManager(configs=wrong))

    assert error.pointer == "/1/step_configurations/0/points"
    assert error.path is None
    assert error_of(lambda: JobConfigManager(configs=[wrong])).pointer == "/0"


def test_same_content_may_be_loaded_again(tmp_path: Path) -> None:
    """The same configuration can be loaded twice, from a file and from code."""
    path = write_configs(tmp_path / "jobs.json", job("a"))
    manager = JobConfigManager(configurations_file=path)

    JobConfigManager(configurations_file=path)
    manager.add_job_config(job("a").as_document())

    assert manager.tags == ("a",)


def test_same_tag_with_other_content_is_rejected_whole(tmp_path: Path) -> None:
    """If one configuration of a file conflicts with a loaded one, none is added."""
    JobConfigManager(configs=[job("b")])
    path = write_configs(tmp_path / "jobs.json", job("a"), job("b", points=2))

    error = error_of(lambda: JobConfigManager(configurations_file=path))

    assert "configuration 'b' changed since this process loaded it" in error.reason
    assert (error.path, error.pointer) == (path, "/job_configs/1/tag")
    assert find_loaded("a") is None


def test_rejected_configuration_is_not_in_its_manager() -> None:
    """After a rejected addition, the manager returns the earlier configuration."""
    manager = JobConfigManager(configs=[job("a")])

    error_of(lambda: manager.add_job_config(job("a", points=2)))

    assert manager.get_job_config("a") == job("a")


def test_loaded_configuration_is_found_without_its_manager() -> None:
    """`find_loaded()` finds configurations whose manager no longer exists."""
    JobConfigManager(configs=[job("a", "First"), job("First", "b")])

    assert find_loaded("a") == job("a", "First")
    assert find_loaded("First") == job("First", "b")
    assert find_loaded("b") == job("First", "b")
    assert find_loaded("c") is None


def test_forgotten_tag_may_come_with_other_content() -> None:
    """After `forget_loaded()` a tag can be loaded with other content."""
    JobConfigManager(configs=[job("a")])
    forget_loaded()

    assert find_loaded("a") is None
    JobConfigManager(configs=[job("a", points=2)])


def test_one_of_many_threads_wins_a_tag() -> None:
    """If eight threads load one tag with different contents, one of them succeeds."""
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


def test_configurations_in_place_of_a_file_raise_type_error() -> None:
    """A list in place of a path raises TypeError that suggests `configs=`."""
    wrong: Any = [{"tag": "a"}]
    with pytest.raises(TypeError, match=r"must be a path, got list; .* configs="):
        JobConfigManager(wrong)


@pytest.mark.parametrize("wrong", ["jobs.json", Path("jobs.json"), {"tag": "a"}, 7])
def test_configs_that_are_no_list_raise_type_error(wrong: Any) -> None:
    """A path or mapping as `configs` raises TypeError with the right argument."""
    with pytest.raises(TypeError, match=r"must be a list .* configurations_file="):
        JobConfigManager(None, wrong)


def test_configs_may_be_none() -> None:
    """None as file and None as `configs` give a manager without tags."""
    assert JobConfigManager(None, None).tags == ()
