"""Texts of a configuration in several languages: each is for a known step or key."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trackerapi.config.json_file import json_pointer
from trackerapi.config.nearest import nearest_name
from trackerapi.errors import ConfigError


def check_texts(job: Mapping[str, Any], path: Path | None, at: str) -> None:
    """Check that each text is for a step or metadata key of the configuration.

    A configuration without metadata keys accepts names of any keys: events may carry
    undeclared keys.

    Args:
        job: Job document that matches the schema.
        path: File of the document; None for code.
        at: JSON Pointer to the texts.

    Raises:
        ConfigError: If a text is for an unknown step or metadata key.
    """
    steps = job["step_configurations"]
    tags = dict.fromkeys(step["tag"] for step in steps)
    keys = dict.fromkeys(
        key["name"] for step in steps for key in step.get("metadata_configurations", ())
    )
    for language, texts in job.get("texts", {}).items():
        of_steps, of_keys = texts.get("steps", {}), texts.get("metadata", {})
        _check_known(
            of_steps, tags, "no step has the tag", path, f"{at}/{language}/steps"
        )
        if keys:
            reason = "no step has the metadata key"
            _check_known(of_keys, keys, reason, path, f"{at}/{language}/metadata")


def _check_known(
    names: Iterable[str],
    known: Mapping[str, object],
    reason: str,
    path: Path | None,
    at: str,
) -> None:
    for name in names:
        if name not in known:
            pointer, meant = at + json_pointer([name]), nearest_name(known, name)
            raise ConfigError(f"{reason} {name!r}", path, pointer, meant)
