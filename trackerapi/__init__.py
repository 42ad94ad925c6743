"""Honest, customer-facing progress for jobs that somebody else runs.

Importing this package loads nothing else; each name is loaded when it is used.
"""

__version__ = "0.1.0"

# Type checkers take this name for `typing.TYPE_CHECKING`, whose import takes longer
# than all the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from trackerapi.aio.job import AsyncTrackerJob
    from trackerapi.aio.step import AsyncTrackerStep
    from trackerapi.aio.tracker import AsyncTrackerApi
    from trackerapi.answers import Job, JobStep
    from trackerapi.blocks.current import current_job, current_step
    from trackerapi.blocks.decorators import step
    from trackerapi.blocks.step import TrackerStep
    from trackerapi.delivery.report import DeliveryProblem, DeliveryReport
    from trackerapi.errors import (
        AuthenticationError,
        BackendError,
        BackendRejected,
        BackendUnavailable,
        ConfigError,
        OutboxError,
        SettingsError,
        TrackerError,
        UnknownStepError,
    )
    from trackerapi.events import Event
    from trackerapi.job import TrackerJob
    from trackerapi.job_config import JobConfig, JobConfigManager, StepConfiguration
    from trackerapi.tracker import TrackerApi

_HOMES = {
    "AsyncTrackerApi": "aio.tracker",
    "AsyncTrackerJob": "aio.job",
    "AsyncTrackerStep": "aio.step",
    "AuthenticationError": "errors",
    "BackendError": "errors",
    "BackendRejected": "errors",
    "BackendUnavailable": "errors",
    "ConfigError": "errors",
    "DeliveryProblem": "delivery.report",
    "DeliveryReport": "delivery.report",
    "Event": "events",
    "Job": "answers",
    "JobConfig": "job_config",
    "JobConfigManager": "job_config",
    "JobStep": "answers",
    "OutboxError": "errors",
    "SettingsError": "errors",
    "StepConfiguration": "job_config",
    "TrackerApi": "tracker",
    "TrackerError": "errors",
    "TrackerJob": "job",
    "TrackerStep": "blocks.step",
    "UnknownStepError": "errors",
    "current_job": "blocks.current",
    "current_step": "blocks.current",
    "step": "blocks.decorators",
}

__all__ = [
    "AsyncTrackerApi",
    "AsyncTrackerJob",
    "AsyncTrackerStep",
    "AuthenticationError",
    "BackendError",
    "BackendRejected",
    "BackendUnavailable",
    "ConfigError",
    "DeliveryProblem",
    "DeliveryReport",
    "Event",
    "Job",
    "JobConfig",
    "JobConfigManager",
    "JobStep",
    "OutboxError",
    "SettingsError",
    "StepConfiguration",
    "TrackerApi",
    "TrackerError",
    "TrackerJob",
    "TrackerStep",
    "UnknownStepError",
    "current_job",
    "current_step",
    "step",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
