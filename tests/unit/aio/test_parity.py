"""Equal names and parameters of sync and async classes."""

import inspect
from typing import Any, Final

import pytest

from trackerapi import (
    AsyncTrackerApi,
    AsyncTrackerJob,
    AsyncTrackerStep,
    TrackerApi,
    TrackerJob,
    TrackerStep,
)
from trackerapi.administration import Administration
from trackerapi.aio.administration import AsyncAdministration

PAIRS: Final = {
    TrackerApi: AsyncTrackerApi,
    TrackerJob: AsyncTrackerJob,
    TrackerStep: AsyncTrackerStep,
    Administration: AsyncAdministration,
}

LONG_SIGNATURES: Final = [
    TrackerApi,
    TrackerApi.create_job,
    TrackerApi.run_job,
    TrackerApi.as_job,
    TrackerApi.list_jobs,
    TrackerJob.send_event,
    TrackerJob.track,
    TrackerStep.track,
    AsyncTrackerApi,
    AsyncTrackerApi.create_job,
    AsyncTrackerApi.run_job,
    AsyncTrackerApi.as_job,
    AsyncTrackerApi.list_jobs,
    AsyncTrackerJob.send_event,
    AsyncTrackerJob.track,
    AsyncTrackerStep.track,
]
"""Public calls with the most parameters."""

SYNCHRONOUS: Final = {"as_job", "attach", "attempts", "bind", "is_ready", "job", "step"}
"""Methods that are synchronous in the async classes, too."""

AWAITABLE_BLOCKS: Final = {"create_job", "run_job"}
"""Methods whose result is an awaitable and an async context manager."""

ASYNC_ITERATORS: Final = {
    *("events", "share_links", "track"),
    *("list_jobs", "list_api_keys", "list_customers", "list_job_configs", "watch"),
    "list_audit_entries",
}
"""Methods that return an async iterator."""


def pair_of(kind: type) -> tuple[object, object]:
    """Return a sync and an async object of a class, without any request."""
    tracker = TrackerApi("key", "http://127.0.0.1:9", mode="off")
    twin = AsyncTrackerApi("key", "http://127.0.0.1:9", mode="off")
    job, job_twin = tracker.job("one"), twin.job("one")
    pairs: dict[type, tuple[object, object]] = {
        TrackerApi: (tracker, twin),
        TrackerJob: (job, job_twin),
        TrackerStep: (job.step("load"), job_twin.step("load")),
        Administration: (tracker.admin, twin.admin),
    }
    return pairs[kind]


def names_of(thing: object) -> set[str]:
    """Return the public names of an object, including its attributes."""
    return {name for name in dir(thing) if not name.startswith("_")}


def members() -> list[tuple[type, str]]:
    """Return each pair of a sync class and one of its public names."""
    return [
        (kind, name) for kind in PAIRS for name in sorted(names_of(pair_of(kind)[0]))
    ]


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    """Return names, kinds and defaults of the parameters of a method."""
    signature = inspect.signature(method)
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def returns_iterator(method: Any, prefix: str = "") -> bool:
    """Return whether a method is annotated as an iterator or a generator."""
    returned = str(inspect.signature(method).return_annotation)
    return f"{prefix}Iterator[" in returned or f"{prefix}Generator[" in returned


@pytest.mark.parametrize("kind", PAIRS)
def test_async_class_has_the_names_of_its_sync_class(kind: type) -> None:
    """Each async class has exactly the public names of its sync class."""
    sync_object, async_object = pair_of(kind)

    assert names_of(sync_object) == names_of(async_object)
    assert type(async_object) is PAIRS[kind]


def test_constructors_have_equal_parameters() -> None:
    """Both constructors have the same parameters and defaults."""
    assert parameters(TrackerApi) == parameters(AsyncTrackerApi)


@pytest.mark.parametrize("call", LONG_SIGNATURES, ids=lambda call: call.__qualname__)
def test_help_of_a_public_call_shows_each_parameter(call: Any) -> None:
    """Each parameter is named and annotated; the sync docstring explains it."""
    explained = inspect.getdoc(call) or ""
    is_twin = call.__qualname__.startswith("Async")
    for parameter in inspect.signature(call).parameters.values():
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD
        assert parameter.annotation is not inspect.Parameter.empty or (
            parameter.name == "self"
        )
        assert is_twin or parameter.name == "self" or f"{parameter.name}: " in explained


@pytest.mark.parametrize(
    "call", [TrackerApi, AsyncTrackerApi], ids=lambda call: call.__name__
)
def test_unknown_argument_raises_type_error(call: Any) -> None:
    """An unknown keyword argument raises Python's own TypeError."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'timeout'"):
        call("key", "http://127.0.0.1:9", timeout=5)


@pytest.mark.parametrize(("kind", "name"), members())
def test_async_member_has_the_same_parameters(kind: type, name: str) -> None:
    """Parameters and defaults agree, blocking calls are awaited, docstrings exist."""
    sync_member, async_member = (
        getattr(kind, name, None),
        getattr(PAIRS[kind], name, None),
    )

    assert inspect.getdoc(async_member)
    if not callable(sync_member):
        assert isinstance(async_member, property)
        if isinstance(sync_member, property):
            assert (sync_member.fset is None) == (async_member.fset is None)
        return
    assert callable(async_member)
    assert parameters(sync_member) == parameters(async_member)
    is_awaited = name not in SYNCHRONOUS | AWAITABLE_BLOCKS | ASYNC_ITERATORS
    assert inspect.iscoroutinefunction(async_member) == is_awaited
    assert returns_iterator(async_member, "Async") == (name in ASYNC_ITERATORS)
    assert not returns_iterator(sync_member) or name in ASYNC_ITERATORS
