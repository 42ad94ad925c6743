"""Honest, customer-facing progress for jobs that run on a provider's machines.

`import trackerapi` loads no other module; each name is loaded on first use.
"""

# Type checkers read this name as `typing.TYPE_CHECKING`. The import of `typing` would
# take longer than the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from trackerapi.aio.job import AsyncTrackerJob
    from trackerapi.aio.step import AsyncTrackerStep
    from trackerapi.aio.tracker import AsyncTrackerApi
    from trackerapi.config.job_config import JobConfig, StepConfiguration
    from trackerapi.config.manager import JobConfigManager
    from trackerapi.delivery.report import DeliveryReport
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
    from trackerapi.events.event import Event
    from trackerapi.jobs.current import current_job, current_step
    from trackerapi.jobs.decorators import step
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.step import TrackerStep
    from trackerapi.models import Job, JobStep
    from trackerapi.problems import DeliveryProblem
    from trackerapi.tracker import TrackerApi
    from trackerapi.version import __version__ as __version__

_HOMES = {
    "AsyncTrackerApi": "aio.tracker",
    "AsyncTrackerJob": "aio.job",
    "AsyncTrackerStep": "aio.step",
    "AuthenticationError": "errors",
    "BackendError": "errors",
    "BackendRejected": "errors",
    "BackendUnavailable": "errors",
    "ConfigError": "errors",
    "DeliveryProblem": "problems",
    "DeliveryReport": "delivery.report",
    "Event": "events.event",
    "Job": "models",
    "JobConfig": "config.job_config",
    "JobConfigManager": "config.manager",
    "JobStep": "models",
    "OutboxError": "errors",
    "SettingsError": "errors",
    "StepConfiguration": "config.job_config",
    "TrackerApi": "tracker",
    "TrackerError": "errors",
    "TrackerJob": "jobs.job",
    "TrackerStep": "jobs.step",
    "UnknownStepError": "errors",
    "__version__": "version",
    "current_job": "jobs.current",
    "current_step": "jobs.current",
    "step": "jobs.decorators",
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
