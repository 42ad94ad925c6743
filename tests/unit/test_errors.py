"""Error classes: bases, texts and pickling."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trackerapi
from trackerapi import errors
from trackerapi.errors import (
    MAX_TEXT_LENGTH,
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    ConfigError,
    Exchange,
    OutboxError,
    SettingsError,
    TrackerError,
    UnknownStepError,
)

EXCHANGE = Exchange(
    method="GET",
    url="https://tracker.example/jobs",
    status=503,
    problem={"title": "Busy", "errors": [{"pointer": "/tag"}]},
    request_id="5f0c1a2b",
    retry_after_seconds=1.5,
    was_sent=False,
)
ERRORS = [
    TrackerError("a reason"),
    ConfigError("a reason", Path("jobs.json"), "/job_configs/0", "my_job"),
    SettingsError("a reason", "TRACKERAPI_API_KEY"),
    UnknownStepError("dwonload", "download", "import", "event kind"),
    OutboxError("a reason"),
    BackendError("a reason", EXCHANGE),
    BackendUnavailable("a reason", EXCHANGE),
    AuthenticationError("a reason", EXCHANGE),
    BackendRejected("a reason", EXCHANGE),
]


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (ConfigError, (TrackerError, ValueError)),
        (SettingsError, (TrackerError, ValueError)),
        (UnknownStepError, (TrackerError, KeyError)),
        (OutboxError, (TrackerError,)),
        (BackendError, (TrackerError,)),
        (BackendUnavailable, (BackendError,)),
        (AuthenticationError, (BackendError,)),
        (BackendRejected, (BackendError,)),
    ],
)
def test_error_class_has_its_bases(
    error: type[TrackerError], bases: tuple[type[Exception], ...]
) -> None:
    """Each error class has the bases that the docstring of `errors` shows."""
    assert error.__bases__ == bases


def test_every_public_error_is_exported() -> None:
    """Each error class except UsageError is in `trackerapi.__all__`."""
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, TrackerError)
    }
    defined.remove("UsageError")  # Only commands raise and print UsageError.

    exported = {name for name in trackerapi.__all__ if name in vars(errors)}

    assert exported == defined
    assert {type(error).__name__ for error in ERRORS} == defined


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_error_survives_pickling_with_all_attributes(error: TrackerError) -> None:
    """An unpickled error has the class, the attributes and the text of the original."""
    twin = pickle.loads(pickle.dumps(error))

    assert type(twin) is type(error)
    assert vars(twin) == vars(error)
    assert str(twin) == str(error)


def test_backend_error_has_its_exchange() -> None:
    """Method, address, status and problem are attributes of the error."""
    error = BackendUnavailable("a reason", EXCHANGE)

    assert (error.method, error.url) == ("GET", "https://tracker.example/jobs")
    assert (error.status, error.request_id) == (503, "5f0c1a2b")
    assert error.retry_after_seconds == 1.5
    assert error.problem == {"title": "Busy", "errors": [{"pointer": "/tag"}]}
    assert not error.exchange.was_sent


def test_problem_of_an_error_cannot_be_changed() -> None:
    """Assigning to a member of `problem` raises TypeError."""
    with pytest.raises(TypeError):
        BackendError("a reason", EXCHANGE).problem["title"] = "Idle"  # type: ignore[index]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ConfigError("unknown key 'nmae'", Path("jobs.json"), "/a/0/nmae", "name"),
            "jobs.json#/a/0/nmae: unknown key 'nmae'; did you mean 'name'?",
        ),
        (ConfigError("no such tag"), "no such tag"),
        (
            SettingsError("is blank", "TRACKERAPI_API_KEY"),
            "TRACKERAPI_API_KEY: is blank",
        ),
        (
            UnknownStepError("lod", "load", "import"),
            "job 'import' has no step 'lod' (did you mean 'load'?)",
        ),
        (
            BackendRejected("404: Unknown job", EXCHANGE),
            "GET https://tracker.example/jobs: 404: Unknown job (request 5f0c1a2b)",
        ),
    ],
)
def test_error_text_has_location_reason_and_fix(error: TrackerError, text: str) -> None:
    """The text of an error has the location, the reason and a similar known name."""
    assert str(error) == text


ANY_TEXT = st.text(max_size=900)


@given(st.lists(ANY_TEXT, min_size=4, max_size=4))
def test_error_text_is_one_short_printable_line(texts: list[str]) -> None:
    """Any text in an error yields one line of at most MAX_TEXT_LENGTH characters."""
    first, second, third, fourth = texts
    exchange = Exchange(method="GET", url=second, request_id=third)
    made = [
        ConfigError(first, Path("jobs.json"), third, fourth),
        SettingsError(first, second),
        UnknownStepError(first, second, third, fourth),
        BackendRejected(first, exchange),
    ]

    for error in made:
        assert len(str(error)) <= MAX_TEXT_LENGTH
        assert str(error).isprintable()
