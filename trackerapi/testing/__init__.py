"""Tests of job scripts: a tracker in memory that records reports, without a backend.

With pytest, use the fixture `trackerapi`; elsewhere, `with recording() as tracker`. The
import of this package loads no other module: each name is loaded at its first use.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trackerapi.testing.fake import FakeTracker
    from trackerapi.testing.memory_parts import recording
    from trackerapi.testing.views import CustomerStep, CustomerView, RecordedJob

_MODULES = {
    "CustomerStep": "views",
    "CustomerView": "views",
    "FakeTracker": "fake",
    "RecordedJob": "views",
    "recording": "memory_parts",
}

__all__ = ["CustomerStep", "CustomerView", "FakeTracker", "RecordedJob", "recording"]


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
