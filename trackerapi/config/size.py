"""Size limit of a job configuration, which is sent with each creation of a job."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trackerapi.errors import ConfigError

MAX_CONFIG_BYTES: Final = 1024 * 1024 - 16 * 1024
"""Maximum size of a configuration, in bytes.

A request has at most 1 MiB, of which 16 KiB remain for the other members of a creation.
"""

_DEFAULTS: Final = {"kind": "text", "audience": "provider"}
"""Members that are sent with each metadata key, even if the file omits them."""


def check_size(job: Mapping[str, Any], path: Path | None, at: str) -> None:
    """Raise for a configuration that is too large for a request.

    Args:
        job: Job document of a file or from code.
        path: File of the document; None for code.
        at: JSON Pointer to the document.

    Raises:
        ConfigError: If the document has more than `MAX_CONFIG_BYTES` in a request.
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
