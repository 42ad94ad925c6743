"""Read calls and administration on a real backend."""

import dataclasses
import itertools
import uuid
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.running_backend import RunningBackend
from trackerapi import (
    AuthenticationError,
    BackendRejected,
    JobConfig,
    JobConfigManager,
    TrackerApi,
    TrackerJob,
)

PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP4"
    "z8DwHwAFAAH/VscvDQAAAABJRU5ErkJggg=="
)
"""PNG of one pixel."""


def test_unknown_job_raises(tracker: TrackerApi) -> None:
    """`get_job()` with an unknown id raises BackendRejected."""
    with pytest.raises(BackendRejected, match="has no job 'no-such-job'"):
        tracker.get_job("no-such-job")


def test_share_link_leads_to_the_page_and_can_be_revoked(
    tracker: TrackerApi, job: TrackerJob, backend: RunningBackend
) -> None:
    """Share links are created, listed with the newest first, and revoked."""
    url = job.share_link(expires_at=datetime.now(UTC) + timedelta(days=1))
    job.share_link(label="For the ward", language="de")

    newest, oldest = job.share_links()
    assert (newest.label, newest.language) == ("For the ward", "de")
    assert (oldest.label, oldest.language, oldest.last_opened_at) == (None, None, None)
    assert url.startswith(f"{backend.base_url}/s/")
    assert newest.revoked_at is None
    assert newest.id > oldest.id
    assert job.revoke_share_link(oldest.id).revoked_at is not None


def test_naive_time_is_rejected(tracker: TrackerApi, job: TrackerJob) -> None:
    """A time without a UTC offset raises ValueError."""
    naive = datetime(2030, 1, 1)  # noqa: DTZ001

    with pytest.raises(ValueError, match="a time needs an offset"):
        job.share_link(expires_at=naive)
    with pytest.raises(ValueError, match="a time needs an offset"):
        tracker.admin.create_api_key("naive", expires_at=naive)
    with pytest.raises(ValueError, match="a time needs an offset"):
        tracker.list_jobs(created_since=naive)


def test_jobs_are_listed_page_by_page(tracker: TrackerApi, config: JobConfig) -> None:
    """`list_jobs()` reads all pages, newest job first, and applies filters."""
    before = datetime.now(UTC) - timedelta(seconds=5)
    made = [
        tracker.create_job(str(uuid.uuid4()), 1 + n % 2, config.tag).provider_job_id
        for n in range(205)  # a page has at most 200 jobs
    ]

    jobs = list(tracker.list_jobs(tag=config.tag))
    of_one_customer = list(
        tracker.list_jobs(tag=config.tag, customer_id=1, created_since=before)
    )
    done = list(tracker.list_jobs(tag=config.tag, status=["succeeded", "failed"]))

    assert [job.provider_job_id for job in jobs] == made[::-1]
    assert {job.customer_id for job in of_one_customer} == {1}
    assert len(of_one_customer) == 103
    assert done == []


def test_unknown_filter_raises(tracker: TrackerApi) -> None:
    """An unknown status raises ValueError, an unknown parameter TypeError."""
    with pytest.raises(ValueError, match="finished"):
        tracker.list_jobs(status=["finished"])
    with pytest.raises(TypeError, match="customer"):
        tracker.list_jobs(customer=142)  # type: ignore[call-arg]


def test_configuration_can_be_registered_and_found(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """A configuration registered twice has one revision and its original content."""
    first = tracker.register_job_config(config)
    again = tracker.register_job_config(config)

    assert first == again
    assert first.revision == 1
    assert tracker.admin.get_job_config(first.id) == first
    assert list(tracker.admin.list_job_configs(tag=config.tag)) == [first]
    assert JobConfigManager(configs=[first.document]).tags == (config.tag,)


def test_order_of_steps_is_returned_as_registered(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """A step registered with `after=()` is returned with an empty `after`."""
    first, *others = config.step_configurations
    at_once = dataclasses.replace(first, after=())
    steps = (at_once, *others)
    changed = dataclasses.replace(config, step_configurations=steps)

    stored = tracker.register_job_config(changed)

    assert stored.document == changed.as_document()


def test_customers_are_made_listed_and_found(tracker: TrackerApi) -> None:
    """A customer is found by its reference; a duplicate reference is rejected."""
    reference = f"ward-{uuid.uuid4()}"

    made = tracker.admin.create_customer(reference=reference, name="Ward 3")

    assert (made.reference, made.name) == (reference, "Ward 3")
    assert tracker.admin.get_customer(made.id) == made
    assert list(tracker.admin.list_customers(reference=reference)) == [made]
    with pytest.raises(BackendRejected):
        tracker.admin.create_customer(reference=reference)
    erased = tracker.admin.erase_customer(made.id)
    assert (erased.erased_jobs, erased.backups, erased.residue) == (0, (), None)
    with pytest.raises(BackendRejected):
        tracker.admin.get_customer(made.id)


def test_profile_is_changed_value_by_value(tracker: TrackerApi) -> None:
    """A value that is left out stays, and None removes a value."""
    admin = tracker.admin
    changed = admin.update_provider_profile(display_name="Radiology", accent="#0c6a60")
    assert (changed.display_name, changed.accent) == ("Radiology", "#0c6a60")
    assert changed.accent_dark is not None
    zone = admin.update_provider_profile(time_zone="Europe/Berlin", accent=None)
    assert (zone.time_zone, zone.accent, zone.accent_dark) == (
        *("Europe/Berlin", None),
        None,
    )
    assert zone.display_name == "Radiology"
    assert admin.get_provider_profile() == zone
    assert admin.update_provider_profile(mark=PIXEL).has_mark
    removed = admin.update_provider_profile(
        display_name=None, time_zone=None, mark=None
    )
    assert not removed.has_mark


def test_impossible_profile_is_rejected(tracker: TrackerApi) -> None:
    """The library or the backend rejects an invalid value and names it."""
    admin = tracker.admin
    with pytest.raises(ValueError, match="language must be 'de' or 'en', got 'fr'"):
        admin.update_provider_profile(language="fr")
    with pytest.raises(ValueError, match="display_name must have 1 to 100 characters"):
        admin.update_provider_profile(display_name="")
    with pytest.raises(TypeError, match="mark must be bytes, got str"):
        admin.update_provider_profile(mark="logo.png")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mark must have 1 to 8,192 bytes, got 8,193"):
        admin.update_provider_profile(mark=b"x" * 8193)
    with pytest.raises(BackendRejected, match="mark is not a PNG"):
        admin.update_provider_profile(mark=b"GIF89a")
    with pytest.raises(BackendRejected, match="did you mean Europe/Berlin"):
        admin.update_provider_profile(time_zone="europe/berlin")
    with pytest.raises(BackendRejected, match=r"a contrast of 1\.51 to 1"):
        admin.update_provider_profile(accent="#ffcc00")


def test_keys_are_made_used_and_revoked(
    tracker: TrackerApi, backend: RunningBackend
) -> None:
    """A new key works within its scopes until it is expired."""
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
    expired, created = itertools.islice(tracker.admin.list_audit_entries(), 2)
    assert (created.action, expired.action) == ("create_api_key", "expire_api_key")
    assert created.details is not None
    assert created.details["key_id"] == new.key.key_id
    assert created.key_id == tracker.verify_api_key().key_id
    assert expired.at >= created.at


def test_key_is_expired_with_its_keys_tokens_and_links(
    tracker: TrackerApi, backend: RunningBackend, config: JobConfig
) -> None:
    """`revoke_created` ends keys, tokens and links of a key; returns their numbers."""
    leaked = tracker.admin.create_api_key("leaked", ["ingest", "read", "admin"])
    with TrackerApi(leaked.api_key, backend.base_url) as other:
        made = other.admin.create_api_key("made", ["read"])
        job = other.create_job(str(uuid.uuid4()), backend.customer_id, config.tag)
        job.token()
        job.share_link()
        job.share_link()
        job.complete()
        assert other.flush(timeout=30).waiting == 0

    ended = tracker.admin.expire_api_key(leaked.key.key_id, revoke_created=True)

    assert ended.revoked is not None
    numbers = (
        ended.revoked.expired_keys,
        ended.revoked.expired_tokens,
        ended.revoked.revoked_share_links,
    )
    assert numbers == (1, 1, 2)
    listed = {key.key_id: key for key in tracker.admin.list_api_keys()}
    assert listed[made.key.key_id].expires_at is not None
    assert listed[made.key.key_id].revoked is None


def test_key_cannot_revoke_itself(tracker: TrackerApi) -> None:
    """The backend rejects a key that expires itself."""
    with pytest.raises(BackendRejected):
        tracker.admin.expire_api_key(tracker.verify_api_key().key_id)


@pytest.mark.parametrize("key_id", ["", "a/b", "trk_3kTMd9aZ_canary_abc123"])
def test_message_about_an_invalid_key_id_omits_the_id(
    tracker: TrackerApi, key_id: str
) -> None:
    """An invalid key id raises ValueError, whose message does not contain the id."""
    with pytest.raises(ValueError, match="public part") as caught:
        tracker.admin.expire_api_key(key_id)

    assert "canary" not in str(caught.value)


def test_text_for_a_list_and_unknown_word_are_rejected(tracker: TrackerApi) -> None:
    """A text for a list raises TypeError, and an unknown status raises ValueError."""
    alone: Any = "running"
    with pytest.raises(TypeError, match="status must be a list of words, got str"):
        list(tracker.list_jobs(status=alone))
    with pytest.raises(ValueError, match="'succeeded', got 'runing'"):
        list(tracker.list_jobs(status=["runing"]))
    with pytest.raises(TypeError, match="scopes must be a list of words, got str"):
        tracker.admin.create_api_key("nightly", "read")


def test_wrong_types_of_times_and_configurations_are_named(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A wrong type raises TypeError, which names argument and type."""
    text: Any = "2026-01-01"
    document: Any = {"tag": "import"}
    with pytest.raises(TypeError, match="must be a datetime, got str"):
        list(tracker.list_jobs(created_since=text))
    with pytest.raises(TypeError, match="must be a datetime, got str"):
        job.share_link(expires_at=text)
    with pytest.raises(TypeError, match="config must be a JobConfig, got dict"):
        tracker.register_job_config(document)
    with pytest.raises(TypeError, match="config must be a JobConfig, got dict"):
        tracker.create_job("wrong-config", 142, "import", config=document)


WRONG_ARGUMENTS: dict[str, Callable[[TrackerApi, TrackerJob, Any], object]] = {
    "reference": lambda tracker, _, value: tracker.admin.create_customer(
        reference=value
    ),
    "name": lambda tracker, _, value: tracker.admin.create_customer(name=value),
    "label": lambda tracker, _, value: tracker.admin.create_api_key(value),
    "customer_id": lambda tracker, _, value: tracker.admin.get_customer(value),
    "job_id": lambda tracker, _, value: tracker.admin.erase_job(value),
    "config_id": lambda tracker, _, value: tracker.admin.get_job_config(value),
    "display_name": lambda tracker, _, value: tracker.admin.update_provider_profile(
        display_name=value
    ),
    "language": lambda _, job, value: job.share_link(language=value),
    "share_link_id": lambda _, job, value: job.revoke_share_link(value),
    "provider_job_id": lambda tracker, _, value: tracker.list_jobs(
        provider_job_id=value
    ),
    "tag": lambda tracker, _, value: tracker.list_jobs(tag=value),
    "version": lambda tracker, _, value: tracker.admin.list_job_configs(version=value),
}


@pytest.mark.parametrize("argument", WRONG_ARGUMENTS)
@pytest.mark.parametrize("value", [["1/../.."], {"id": 1}, 1.5, b"1"], ids=repr)
def test_argument_of_a_wrong_type_raises_type_error(
    tracker: TrackerApi, job: TrackerJob, argument: str, value: Any
) -> None:
    """A list, dict, float or bytes raises a TypeError that names the argument."""
    with pytest.raises(TypeError, match=f"^{argument} must be .*, got "):
        WRONG_ARGUMENTS[argument](tracker, job, value)


@pytest.mark.parametrize("argument", ["customer_id", "config_id", "share_link_id"])
@pytest.mark.parametrize("value", [0, -1, 2**53])
def test_id_out_of_range_raises_value_error(
    tracker: TrackerApi, job: TrackerJob, argument: str, value: int
) -> None:
    """An id below 1 or above 2**53 - 1 raises before any request is sent."""
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        WRONG_ARGUMENTS[argument](tracker, job, value)
