"""Texts of a job configuration for customers, in several languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.problems import invalid
from trackerapi_backend.requests.schema_errors import escape_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trackerapi_backend.generated import models


def check_texts(sent: models.JobConfigurationInput, pointer: str) -> None:
    """Check that each text is for a step or metadata key of the configuration.

    A configuration without metadata keys accepts names of any keys: events may carry
    undeclared keys.

    Args:
        sent: Configuration of the request, valid by its schema.
        pointer: JSON Pointer to the configuration in the body.

    Raises:
        Problem: If a text is for an unknown step or metadata key.
    """
    steps = sent["step_configurations"]
    tags = {step["tag"] for step in steps}
    keys = {
        key["name"] for step in steps for key in step.get("metadata_configurations", ())
    }
    for language, texts in sent.get("texts", {}).items():
        location = f"{pointer}/texts/{language}"
        step_texts, key_texts = texts.get("steps", {}), texts.get("metadata", {})
        _check_known(step_texts, tags, f"{location}/steps", "tag of a step")
        if keys:
            _check_known(
                key_texts, keys, f"{location}/metadata", "name of a metadata key"
            )


def _check_known(
    names: Iterable[str], known: set[str], pointer: str, kind: str
) -> None:
    for name in names:
        if name not in known:
            raise invalid(f"{pointer}/{escape_name(name)}", f"is not the {kind}")
