"""Operations of `Calls` with a real backend."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, OWNER, answering, http
from trackerapi import AuthenticationError, TrackerApi, TrackerJob
from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.calls import Calls
from trackerapi.wire.client import BackendClient


@contextlib.contextmanager
def calls_with(key: str, base_url: str) -> Iterator[Calls]:
    """Yield `Calls` that use `key`; close their client after the block."""
    client = BackendClient(
        base_url=base_url,
        token=key,
        prefix="",
        auth_header_name="X-API-Key",
        verify_ssl=False,  # http:// needs no TLS context, which is slow to create
        time_limits=TimeLimits(attempt_seconds=10.0, deadline_seconds=0.0),
    )
    try:
        yield Calls(client)
    finally:
        client.close()


@pytest.fixture
def calls(backend: RunningBackend) -> Iterator[Calls]:
    """Return `Calls` with a key that has all scopes."""
    with calls_with(backend.api_key, backend.base_url) as made:
        yield made


def test_token_of_a_job_is_made_used_and_ended(
    calls: Calls, backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """A job token works for its job until it expires; no repr shows the secret."""
    tracked = job.fetch()
    ends = datetime.now(UTC) + timedelta(hours=1)
    made = calls.create_job_token(tracked.id, ends, "shard 3")

    assert made.provider_job_id == job.provider_job_id
    assert made.expires_at == ends
    assert made.token not in repr(made)
    with calls_with(made.token, backend.base_url) as holder:
        owner = holder.verify_api_key()
        assert (owner.job_id, owner.key_id) == (tracked.id, made.key_id)
        assert owner.provider_job_id == job.provider_job_id
        assert [each.id for each in holder.list_jobs()] == [tracked.id]
        with pytest.raises(AuthenticationError):
            holder.create_job_token(tracked.id, None, None)

        ended = tracker.admin.expire_api_key(made.key_id)
        assert (ended.job_id, ended.label) == (tracked.id, "shard 3")
        with pytest.raises(AuthenticationError):
            holder.verify_api_key()


def test_token_lasts_as_long_as_the_backend_says(calls: Calls, job: TrackerJob) -> None:
    """Without `expires_at`, the backend sets an expiry in the future."""
    made = calls.create_job_token(job.fetch().id, None, None)

    assert made.expires_at > datetime.now(UTC)


def test_event_without_a_part_has_none(tracker: TrackerApi, job: TrackerJob) -> None:
    """The part of an event that was sent without `part` is None."""
    job.send_event(kind="step", tag="say_hello")
    tracker.flush()

    assert [event.part for event in job.events()] == [None]


def test_answer_of_an_earlier_contract_is_read() -> None:
    """A key owner without job members is accepted; both members are None."""
    with answering(http(200, OWNER)) as server, calls_with(KEY, server.url) as asking:
        owner = asking.verify_api_key()

    assert (owner.job_id, owner.provider_job_id) == (None, None)
