"""`JobConfig`: immutable data, its document, and the search for a step."""

import copy
import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract_document import validator
from tests.support.job_configs import FULL, job, steps, write_configs
from trackerapi.config.job_config import MetadataConfiguration, config_from_code
from trackerapi.config.manager import JobConfigManager


def test_metadata_key_is_for_the_provider_by_default() -> None:
    """A metadata key without `audience` and `kind` is text for the provider."""
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
    """`after` is None, empty or a tuple of tags, from a file and from code."""
    config = JobConfigManager().add_job_config(FULL)
    path = write_configs(tmp_path / "configs.json", config)
    loaded = JobConfigManager(path).get_job_config("scan")

    for each in (config, loaded):
        waits = [step.after for step in each.step_configurations]
        assert waits == [None, (), ("measure", "check")]


def test_configuration_never_changes() -> None:
    """Changes of source or document do not change a configuration."""
    source = copy.deepcopy(FULL)
    config = JobConfigManager().add_job_config(source)

    for document in (source, config.as_document()):
        document["step_configurations"].clear()
        document["texts"]["de"]["steps"].clear()

    assert len(config.step_configurations) == 3
    assert config.as_document() == FULL
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.tag = "other"  # type: ignore[misc]


@pytest.mark.parametrize("document", [FULL, job("plain").as_document()])
def test_document_is_plain_and_accepted_by_contract(document: dict[str, Any]) -> None:
    """`as_document()` returns the loaded document and adds no absent member."""
    config = JobConfigManager().add_job_config(document)

    assert config.as_document() == document
    assert json.loads(json.dumps(config.as_document())) == document
    validator("JobConfigurationInput").validate(config.as_document())


def test_equal_configurations_have_equal_hashes() -> None:
    """A configuration with texts can be a key of a dict, and texts are compared."""
    config = config_from_code(FULL, "")
    same, other = replace(config), replace(config, texts={})

    assert (same, hash(same)) == (config, hash(config))
    assert other != config


def test_whole_float_becomes_a_whole_number() -> None:
    """Points of 10.0 become 10 in the document."""
    document = job("a", points=10).as_document()
    document["step_configurations"][0]["points"] = 10.0

    config = JobConfigManager().add_job_config(document)

    assert json.dumps(config.as_document()) == json.dumps(
        job("a", points=10).as_document()
    )


@pytest.mark.parametrize(
    ("given", "tag"),
    [("one", "one"), ("First", "one"), ("two", "two"), ("Same", None), ("x", None)],
)
def test_step_is_found_by_tag_or_unambiguous_name(given: str, tag: str | None) -> None:
    """A tag precedes a display name; a name of two steps finds no step."""
    config = steps(("one", "First"), ("two", "Same"), ("three", "Same"), ("s", "two"))

    step = config.find_step(given)

    assert (step.tag if step else None) == tag
