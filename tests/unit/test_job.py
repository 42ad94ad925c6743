"""Jobs, events and questions through the layer by hand, on a real backend."""

import logging
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import RunningBackend
from trackerapi import (
    AuthenticationError,
    BackendRejected,
    BackendUnavailable,
    ConfigError,
    JobConfig,
    JobConfigManager,
    TrackerApi,
    TrackerJob,
    UnknownStepError,
)

NAME = "Say hello to everybody"


@pytest.fixture
def tracker(backend: RunningBackend) -> Iterator[TrackerApi]:
    """Return a tracker for the real backend."""
    with TrackerApi(backend.api_key, backend.base_url) as made:
        yield made


@pytest.fixture
def config() -> JobConfig:
    """Load a configuration of three steps under a tag of its own."""
    tag = f"greeting-{uuid.uuid4()}"
    steps = [("say_hello", 10), ("random_number", 15), ("say_bye", 10)]
    document = {
        "tag": tag,
        "name": f"{NAME} {tag}",
        "step_configurations": [
            {"tag": step, "name": step.replace("_", " ").title(), "points": points}
            for step, points in steps
        ],
    }
    return JobConfigManager(configs=[document]).get_job_config(tag)


def new_id() -> str:
    """Return an id for a job that no other test has."""
    return str(uuid.uuid4())


@pytest.fixture
def job(tracker: TrackerApi, config: JobConfig) -> TrackerJob:
    """Return a new job of customer 142."""
    return tracker.create_job(new_id(), customer_id=142, tag=config.tag)


def test_calls_of_the_tutorial_end_in_a_succeeded_job(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """The script of the tutorial runs as printed and reads 28.57, 71.43, 100."""
    job_id = new_id()

    tracker_job = tracker.create_job(
        provider_job_id=job_id, customer_id=142, tag=config.name
    )
    percents = []
    for step in config.step_configurations:
        tracker_job.send_event(kind="step", name=step.tag, metadata={"Message": "Hi"})
        percents.append(tracker.get_job(job_id).percent)

    known = tracker.get_job(job_id)
    assert percents == [28.57, 71.43, 100.0]
    assert (known.status, known.customer_id, known.tag) == (
        "succeeded",
        142,
        config.tag,
    )
    assert [step.status for step in known.steps] == ["done", "done", "done"]
    assert known.event_count == 3


def test_job_can_be_created_again_to_go_on_with_it(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """A restart attaches to its job and finds what was reported."""
    job_id = new_id()
    tracker.create_job(job_id, 142, config.tag).send_event(
        kind="step", name="say_hello"
    )

    again = tracker.create_job(job_id, 142, config.tag)

    assert again.fetch().percent == 28.57
    assert [event.tag for event in again.events()] == ["say_hello"]


def test_attached_job_does_not_go_back_in_time(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """An event after a restart is never before those of the run before."""
    job_id = new_id()
    ahead = datetime.now(UTC) + timedelta(minutes=2)
    first = tracker.create_job(job_id, 142, config.tag)
    first.send_event(kind="info", occurred_at=ahead)

    again = tracker.create_job(job_id, 142, config.tag)
    again.send_event(kind="info")

    times = [event.occurred_at for event in again.events()]
    assert times == sorted(times)
    assert times[1] >= times[0]


def test_attaching_to_a_succeeded_job_warns(
    tracker: TrackerApi, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """A script that runs twice under one id is told that nothing will change."""
    job_id = new_id()
    tracker.create_job(job_id, 142, config.tag).send_event(kind="complete")

    tracker.create_job(job_id, 142, config.tag)

    assert "has succeeded already" in caplog.text


def test_handle_without_a_request_reports_to_its_job(
    tracker: TrackerApi, job: TrackerJob, config: JobConfig
) -> None:
    """A second script needs only the id; a display name is its step's tag."""
    other = tracker.job(job.provider_job_id, tag=config.name)
    other.send_event(kind="step", name="Say Hello")

    assert other.config == config
    assert other.fetch().percent == 28.57


def test_event_says_all_that_it_was_given(job: TrackerJob) -> None:
    """Every field of an event arrives as it was sent, and nothing else."""
    moment = datetime.now(UTC) - timedelta(minutes=1)
    event_id = job.send_event(
        kind="progress",
        tag="say_hello",
        metadata={"Random Number": 7, "Good": True, "Name": "Ä"},
        completed=5,
        total=20,
        message="for the customer",
        detail="for the provider",
        occurred_at=moment,
    )
    job.send_event(kind="error", name="say_hello", retrying=True)
    job.send_event(kind="progress", name="say_hello", fraction=0.5)

    first, second, third = job.events()
    assert (first.event_id, first.kind, first.tag) == (
        event_id,
        "progress",
        "say_hello",
    )
    assert first.event_metadata == {"Random Number": 7, "Good": True, "Name": "Ä"}
    assert (first.completed, first.total, first.fraction) == (5, 20, None)
    assert (first.message, first.detail) == ("for the customer", "for the provider")
    assert first.occurred_at == moment
    assert (second.retrying, third.fraction) == (True, 0.5)
    assert [event.sequence for event in (first, second, third)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("start", "running"),
        ("info", "pending"),
        ("heartbeat", "pending"),
        ("word of my own", "pending"),
        ("error", "failed"),
        ("cancel", "cancelled"),
        ("complete", "succeeded"),
    ],
)
def test_kind_for_the_job_means_what_it_says(
    job: TrackerJob, kind: str, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An event without a step is about the job as a whole."""
    job.send_event(kind=kind)

    assert job.fetch().status == status
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [("start", "running"), ("step", "done"), ("skip", "skipped"), ("error", "failed")],
)
def test_kind_for_a_step_means_what_it_says(
    job: TrackerJob, kind: str, status: str
) -> None:
    """An event with a step is about that step."""
    job.send_event(kind=kind, name="say_hello")

    assert job.fetch().steps[0].status == status


def test_unknown_step_is_sent_and_warned_about_once(
    job: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """A typo costs no event and does not flood the log; the near name is told."""
    job.send_event(kind="step", name="say_helo")
    job.send_event(kind="step", name="say_helo")

    assert [event.tag for event in job.events()] == ["say_helo", "say_helo"]
    assert job.fetch().percent == 0
    (message,) = caplog.messages
    assert "'say_helo'" in message
    assert "did you mean 'say_hello'?" in message


def test_misspelt_kind_is_sent_and_warned_about_once(
    job: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """A kind that looks like a known one is taken for a typo."""
    job.send_event(kind="Complete")
    job.send_event(kind="Complete")

    (message,) = caplog.messages
    assert "there is no event kind 'Complete'; did you mean 'complete'?" in message
    assert job.fetch().status == "pending"


def test_strict_raises_what_is_otherwise_logged(
    backend: RunningBackend, config: JobConfig
) -> None:
    """With `strict`, a typo ends in an error before anything is sent."""
    with TrackerApi(backend.api_key, backend.base_url, strict=True) as tracker:
        job = tracker.create_job(new_id(), 142, config.tag)
        with pytest.raises(UnknownStepError) as caught:
            job.send_event(kind="step", name="say_helo")
        with pytest.raises(UnknownStepError):
            job.send_event(kind="Complete")
        with pytest.raises(ValueError, match="'Score'"):
            job.send_event(kind="info", metadata={"Score": math.nan})

        assert caught.value.suggestion == "say_hello"
        assert list(job.events()) == []


def test_metadata_that_does_not_fit_is_changed_marked_and_warned_about(
    job: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """The event goes all the same; reader and author see what was changed."""
    job.send_event(kind="info", metadata={"Score": math.nan, "Count": 5})

    (event,) = job.events()
    assert event.event_metadata == {
        "Score": None,
        "Count": 5,
        "trackerapi_changed": ["Score"],
    }
    assert "'Score'" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"kind": "step", "name": "a", "tag": "b"}, ValueError),
        ({"kind": ""}, ValueError),
        ({"kind": "a\nb"}, ValueError),
        ({"kind": 5}, TypeError),
        ({"kind": "step", "name": 5}, TypeError),
        ({"kind": "step", "tag": " "}, ValueError),
        ({"kind": "info", "metadata": ["a"]}, TypeError),
        ({"kind": "progress", "completed": -1}, ValueError),
        ({"kind": "progress", "completed": 2**54}, ValueError),
        ({"kind": "progress", "total": "5"}, TypeError),
        ({"kind": "progress", "completed": True}, TypeError),
        ({"kind": "progress", "fraction": 1.1}, ValueError),
        ({"kind": "progress", "fraction": math.nan}, ValueError),
        ({"kind": "info", "message": 5}, TypeError),
        ({"kind": "info", "occurred_at": datetime(2026, 1, 1)}, ValueError),  # noqa: DTZ001
        ({"kind": "info", "mesage": "typo"}, TypeError),
    ],
)
def test_event_with_a_wrong_argument_raises_before_it_is_sent(
    job: TrackerJob, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """A mistake in the script is told where it is made."""
    with pytest.raises(error):
        job.send_event(**arguments)

    assert list(job.events()) == []


def test_share_of_a_rounding_error_too_much_is_taken(job: TrackerJob) -> None:
    """Ten tenths may sum up to a little more than one."""
    job.send_event(kind="progress", name="say_hello", fraction=math.fsum([0.1] * 10))
    job.send_event(kind="progress", name="say_hello", fraction=1 + 1e-12)

    assert [event.fraction for event in job.events()] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"provider_job_id": ""}, ValueError),
        ({"provider_job_id": "x" * 201}, ValueError),
        ({"provider_job_id": 5}, TypeError),
        ({"customer_id": "142"}, TypeError),
        ({"customer_id": True}, TypeError),
        ({"customer_id": 0}, ValueError),
        ({"customer_id": 2**53}, ValueError),
        ({"tag": "\n"}, ValueError),
        ({"finish": "never"}, ValueError),
        ({"finnish": "auto"}, TypeError),
    ],
)
def test_job_with_a_wrong_argument_raises_before_any_request(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    """A mistake in the script is told even when no backend is there."""
    good = {"provider_job_id": "job-1", "customer_id": 142, "tag": "import"}

    with TrackerApi("key", "http://127.0.0.1:9") as tracker:
        with pytest.raises(error):
            tracker.create_job(**{**good, **arguments})


def test_unknown_setting_raises() -> None:
    """A misspelt option of a tracker is not swallowed."""
    with pytest.raises(TypeError, match="timeout"):
        TrackerApi("key", "http://127.0.0.1:9", timeout=5)  # type: ignore[call-arg]


def test_explicit_configuration_and_finish_are_used(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """A job can wait for its `complete` after its last step."""
    job = tracker.create_job(
        new_id(),
        142,
        config.tag,
        config=config,
        finish="explicit",
        metadata={"Host": "node-7"},
    )
    for step in config.step_configurations:
        job.send_event(kind="step", name=step.tag)

    assert (job.fetch().status, job.fetch().percent) == ("running", 99.99)
    assert job.fetch().metadata == {"Host": "node-7"}
    job.send_event(kind="complete")
    assert (job.fetch().status, job.fetch().percent) == ("succeeded", 100.0)


def test_configuration_of_another_tag_is_refused(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """Two answers to "which configuration" are a mistake."""
    with pytest.raises(ValueError, match="is not that of config"):
        tracker.create_job(new_id(), 142, "another", config=config)


def test_ambiguous_display_name_is_refused(tracker: TrackerApi) -> None:
    """Which of two configurations is meant is not guessed."""
    step = {"tag": "one", "name": "One", "points": 1}
    JobConfigManager(
        configs=[
            {"tag": tag, "name": "Twin", "step_configurations": [step]}
            for tag in ("left", "right")
        ]
    )

    with pytest.raises(ConfigError, match="'left', 'right'"):
        tracker.create_job(new_id(), 142, "Twin")


def test_job_without_a_configuration_has_no_percent(tracker: TrackerApi) -> None:
    """A script may report before anybody has described its steps."""
    job = tracker.create_job(new_id(), 142, f"undescribed-{new_id()}")
    job.send_event(kind="step", name="whatever")

    assert job.config is None
    assert job.fetch().percent is None
    assert job.fetch().event_count == 1


def test_job_of_an_unknown_customer_is_rejected(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """The reason says what is wrong, and where its answer can be looked up."""
    with pytest.raises(BackendRejected) as caught:
        tracker.create_job(new_id(), 999_999, config.tag)

    assert caught.value.status == 404
    assert "999999" in str(caught.value)
    assert caught.value.request_id


def test_job_that_belongs_to_another_customer_is_rejected(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """An id that was used for another customer is not taken over."""
    job_id = new_id()
    tracker.create_job(job_id, 142, config.tag)

    with pytest.raises(BackendRejected) as caught:
        tracker.create_job(job_id, 1, config.tag)

    assert caught.value.status == 409


def test_event_of_an_unknown_job_is_rejected(tracker: TrackerApi) -> None:
    """What the backend refuses in its batch answer is told as its refusal."""
    with pytest.raises(BackendRejected) as caught:
        tracker.job("no-such-job").send_event(kind="info")

    assert caught.value.status == 404
    assert caught.value.request_id


def test_unknown_job_is_told_to_who_asks(tracker: TrackerApi) -> None:
    """A question about nothing is answered by an error and not by None."""
    with pytest.raises(BackendRejected, match="has no job 'no-such-job'"):
        tracker.get_job("no-such-job")


def test_wrong_key_is_refused_on_every_way(
    backend: RunningBackend, config: JobConfig
) -> None:
    """Reports and questions tell the same of a key that is not good."""
    with TrackerApi("not-a-key", backend.base_url) as tracker:
        with pytest.raises(AuthenticationError):
            tracker.verify_api_key()
        with pytest.raises(AuthenticationError):
            tracker.create_job(new_id(), 142, config.tag)
        with pytest.raises(AuthenticationError):
            tracker.job("job-1").send_event(kind="info")


def test_report_that_cannot_be_delivered_raises() -> None:
    """Nothing is lost in silence while there is no outbox."""
    with TrackerApi("key", "http://127.0.0.1:9") as tracker:
        with pytest.raises(BackendUnavailable, match="cannot connect"):
            tracker.create_job("job-1", 142, "import")
        with pytest.raises(BackendUnavailable, match="cannot connect"):
            tracker.job("job-1").send_event(kind="info")


def test_share_link_leads_to_the_page_and_can_be_ended(
    tracker: TrackerApi, job: TrackerJob, backend: RunningBackend
) -> None:
    """A link is made, listed without its address, and ended."""
    url = job.share_link(expires_at=datetime.now(UTC) + timedelta(days=1))
    job.share_link()

    newest, oldest = job.share_links()
    assert url.startswith(f"{backend.base_url}/s/")
    assert newest.revoked_at is None
    assert newest.id > oldest.id
    assert job.revoke_share_link(oldest.id).revoked_at is not None


def test_naive_time_is_refused(tracker: TrackerApi, job: TrackerJob) -> None:
    """An end or a beginning without an offset would be a guess."""
    naive = datetime(2030, 1, 1)  # noqa: DTZ001

    with pytest.raises(ValueError, match="a time needs an offset"):
        job.share_link(expires_at=naive)
    with pytest.raises(ValueError, match="a time needs an offset"):
        tracker.admin.create_api_key("naive", expires_at=naive)
    with pytest.raises(ValueError, match="a time needs an offset"):
        tracker.list_jobs(created_since=naive)


def test_jobs_are_listed_page_by_page(tracker: TrackerApi, config: JobConfig) -> None:
    """An iterator walks all pages, newest first, and filters as it is told."""
    before = datetime.now(UTC) - timedelta(seconds=5)
    made = [
        tracker.create_job(f"{n}-{new_id()}", 1 + n % 2, config.tag).provider_job_id
        for n in range(205)  # more than one page
    ]

    jobs = list(tracker.list_jobs(tag=config.tag))
    of_one = list(
        tracker.list_jobs(tag=config.tag, customer_id=1, created_since=before)
    )
    done = list(tracker.list_jobs(tag=config.tag, status=["succeeded", "failed"]))

    assert [job.provider_job_id for job in jobs] == made[::-1]
    assert {job.customer_id for job in of_one} == {1}
    assert len(of_one) == 103
    assert done == []


def test_jobs_of_an_unknown_filter_are_a_mistake(tracker: TrackerApi) -> None:
    """A filter that can match nothing, or is none, is told."""
    with pytest.raises(ValueError, match="finished"):
        tracker.list_jobs(status=["finished"])
    with pytest.raises(TypeError, match="customer"):
        tracker.list_jobs(customer=142)  # type: ignore[call-arg]


def test_configuration_can_be_registered_and_found(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """The same content is one revision; what is stored is what was loaded."""
    first = tracker.register_job_config(config)
    again = tracker.register_job_config(config)

    assert first == again
    assert first.revision == 1
    assert tracker.admin.get_job_config(first.id) == first
    assert list(tracker.admin.list_job_configs(tag=config.tag)) == [first]
    assert JobConfigManager(configs=[first.document]).tags == (config.tag,)


def test_customers_are_made_listed_and_found(tracker: TrackerApi) -> None:
    """A provider keeps its own id of a customer as the reference."""
    reference = f"ward-{new_id()}"

    made = tracker.admin.create_customer(reference=reference, name="Ward 3")

    assert (made.reference, made.name) == (reference, "Ward 3")
    assert tracker.admin.get_customer(made.id) == made
    assert list(tracker.admin.list_customers(reference=reference)) == [made]
    with pytest.raises(BackendRejected):
        tracker.admin.create_customer(reference=reference)


def test_keys_are_made_used_and_ended(
    tracker: TrackerApi, backend: RunningBackend
) -> None:
    """A new key works until it is ended, and its secret is shown once."""
    new = tracker.admin.create_api_key("nightly", ["ingest", "read"])
    assert new.api_key not in repr(new)

    with TrackerApi(new.api_key, backend.base_url) as other:
        owner = other.verify_api_key()
        assert owner.key_id == new.key.key_id
        assert set(owner.scopes) == {"ingest", "read"}
        with pytest.raises(AuthenticationError):
            other.admin.create_customer()

        tracker.admin.expire_api_key(new.key.key_id)
        with pytest.raises(AuthenticationError):
            other.verify_api_key()

    listed = {key.key_id: key for key in tracker.admin.list_api_keys()}
    assert listed[new.key.key_id].expires_at is not None


def test_key_cannot_end_itself(tracker: TrackerApi) -> None:
    """Nobody locks themselves out by accident."""
    with pytest.raises(BackendRejected):
        tracker.admin.expire_api_key(tracker.verify_api_key().key_id)


@pytest.mark.parametrize("key_id", ["", "a/b", "trk_3kTMd9aZ_canary_abc123"])
def test_key_id_that_cannot_be_one_is_refused_unshown(
    tracker: TrackerApi, key_id: str
) -> None:
    """A whole key passed by mistake reaches neither an address nor an error."""
    with pytest.raises(ValueError, match="public part") as caught:
        tracker.admin.expire_api_key(key_id)

    assert "canary" not in str(caught.value)


def test_warnings_reach_stderr_without_any_set_up(backend: RunningBackend) -> None:
    """A script that never heard of logging sees what it has to see."""
    script = (
        "from trackerapi import TrackerApi\n"
        "tracker = TrackerApi()\n"
        f"job = tracker.create_job({new_id()!r}, 142, 'undescribed')\n"
        "job.send_event(kind='Complete')\n"
    )
    settings = {
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_API_KEY_FILE": backend.api_key_file,
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
    )

    assert "did you mean 'complete'?" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_key_shows_in_no_repr_and_no_log(
    backend: RunningBackend, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The key appears nowhere, not even in the debug log of the layers below."""
    caplog.set_level(logging.DEBUG)

    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        job = tracker.create_job(new_id(), 142, config.tag)
        job.send_event(kind="info")
        shown = [repr(tracker), repr(job), repr(tracker.client), repr(tracker.admin)]

    secret = backend.api_key.split("_")[2]
    assert secret not in " ".join([*shown, caplog.text])
