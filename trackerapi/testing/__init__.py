"""Tests of job scripts: what a script reports, in memory, without a backend.

With pytest, ask for the fixture `trackerapi`; elsewhere, `with recording() as tracker`.
Importing this package loads nothing else; each name is loaded when it is used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trackerapi.testing.fake import FakeTracker
    from trackerapi.testing.memory_parts import recording
    from trackerapi.testing.views import CustomerStep, CustomerView, RecordedJob

_HOMES = {
    "CustomerStep": "views",
    "CustomerView": "views",
    "FakeTracker": "fake",
    "RecordedJob": "views",
    "recording": "memory_parts",
}

__all__ = ["CustomerStep", "CustomerView", "FakeTracker", "RecordedJob", "recording"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
