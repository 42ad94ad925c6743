"""Job configurations for tests: one with all members, and small ones."""

import json
from pathlib import Path
from typing import Any, Final

from trackerapi import JobConfig, StepConfiguration

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
            "units": "images",
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
    "texts": {
        "de": {
            "name": "Aufnahme",
            "steps": {"measure": {"name": "Messen", "units": "Bilder"}},
            "metadata": {"Volume": "Volumen"},
        },
        "pt-BR": {"name": "Exame"},
    },
    "silent_after": 1800,
}


def job(tag: str, name: str = "Job", *, points: int = 1) -> JobConfig:
    """Return a configuration with one step."""
    step = StepConfiguration(tag="only", name="Only", points=points)
    return JobConfig(tag=tag, name=name, step_configurations=(step,))


def write_configs(path: Path, *configs: JobConfig) -> Path:
    """Write a configuration file and return its path."""
    documents = [config.as_document() for config in configs]
    path.write_text(json.dumps({"job_configs": documents}), encoding="utf-8")
    return path


def steps(*names: tuple[str, str]) -> JobConfig:
    """Return a configuration with steps of these tags and display names."""
    return JobConfig(
        tag="a",
        name="Job",
        step_configurations=tuple(
            StepConfiguration(tag=tag, name=name, points=1) for tag, name in names
        ),
    )
