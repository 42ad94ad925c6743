"""Ids and times of events rise within each thread."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

from trackerapi.events.stamps import new_stamp
from trackerapi.times import as_microseconds


def test_ids_are_version_7_of_the_current_time() -> None:
    """An id is a UUID of version 7 with the current time, like `occurred_at`."""
    event_id, occurred_at = new_stamp()

    uuid = UUID(event_id)
    milliseconds = uuid.int >> 80
    assert str(uuid) == event_id
    assert uuid.version == 7
    assert uuid.variant == "specified in RFC 4122"
    moment = datetime.fromisoformat(occurred_at)
    assert abs(milliseconds - moment.timestamp() * 1000) < 1000
    assert occurred_at.endswith("Z")


def test_stamps_rise_strictly_within_a_thread() -> None:
    """20,000 stamps of one thread rise strictly, by (time, id) and by id alone."""
    stamps = [new_stamp() for _ in range(20_000)]

    by_time_and_id = [(occurred_at, event_id) for event_id, occurred_at in stamps]
    assert by_time_and_id == sorted(set(by_time_and_id))
    assert [event_id for event_id, _ in stamps] == sorted({s[0] for s in stamps})


def test_stamps_of_threads_are_unique_and_rise_in_each() -> None:
    """Stamps of eight threads have unique ids and rise within each thread."""
    stamps: list[list[tuple[str, str]]] = [[] for _ in range(8)]
    together = threading.Barrier(len(stamps))

    def record(mine: list[tuple[str, str]]) -> None:
        together.wait()
        mine.extend(new_stamp() for _ in range(2_000))

    threads = [threading.Thread(target=record, args=(mine,)) for mine in stamps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for mine in stamps:
        assert mine == sorted(mine)
        assert [s[1] for s in mine] == sorted(s[1] for s in mine)
    assert len({s[0] for mine in stamps for s in mine}) == 8 * 2_000


def test_time_is_never_before_earlier_times_of_the_job() -> None:
    """A stamp is not older than the given time of the job, even in the future."""
    later = datetime.now(UTC) + timedelta(hours=1)
    past = datetime(2020, 1, 1, tzinfo=UTC)

    at_least_later = datetime.fromisoformat(new_stamp(as_microseconds(later))[1])
    assert at_least_later == later
    assert datetime.fromisoformat(new_stamp(as_microseconds(past))[1]).year > 2020
