"""Size of a job configuration as the creation of a job sends it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trackerapi.errors import ConfigError

MAX_CONFIG_BYTES: Final = 1024 * 1024 - 16 * 1024
"""A request carries 1 MiB; the rest is for the other members of a creation."""

_DEFAULTS: Final = {"kind": "text", "audience": "provider"}
"""Members that are sent with each metadata key, also where the file leaves them out."""


def check_size(job: Mapping[str, Any], path: Path | None, at: str) -> None:
    """Refuse a configuration that no request carries.

    Args:
        job: Job document as the file has it.
        path: File it was read from; None for code.
        at: JSON Pointer to the document.

    Raises:
        ConfigError: With the size as it would be sent.
    """
    steps = [
        {**step, "metadata_configurations": [{**_DEFAULTS, **key} for key in keys]}
        if (keys := step.get("metadata_configurations"))
        else step
        for step in job["step_configurations"]
    ]
    sent = {**job, "step_configurations": steps}
    size = len(json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"takes {size:,} bytes when it is sent, and a request carries at most "
            f"{MAX_CONFIG_BYTES:,}; shorten names, or use fewer steps or metadata keys",
            path,
            at,
        )
