"""Hub: one read for all viewers of a topic, newest message, failing reads, ends."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import pytest
from trackerapi_backend.live import hub as hub_module
from trackerapi_backend.live.hub import Hub, Message, Viewer, Watch, encode_message
from trackerapi_backend.problems import Problem
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from trackerapi_backend.store import Store

JOB = 5
WAIT_SECONDS = 30.0


class Source:
    """Store of one message, which counts the reads.

    Attributes:
        version: Version of the message; None for a job that does not exist.
        failures: Errors of the next reads.
    """

    def __init__(self) -> None:
        self.version: int | None = 1
        self.failures: list[Exception] = []
        self.read_count = 0

    def read(self, query: Callable[[Any], Any]) -> Any:
        """Return the result of a query, or raise the next error."""
        try:
            if self.failures:
                raise self.failures.pop(0)
            return query(None)
        finally:
            self.read_count += 1

    def message(self, _db: object) -> Message | None:
        """Return the message of the version."""
        if self.version is None:
            return None
        return encode_message(
            self.version, "job", str(self.version), id_=str(self.version)
        )

    def watch(self, **changes: Any) -> Watch:
        """Return a subject of a viewer."""
        members = {"job_id": JOB, "form": "job", "read": self.message, "address": "a"}
        return Watch(**(members | changes))


async def next_id(viewer: Viewer) -> str:
    """Wait for the next message; return its id."""
    frame = await viewer.next_frame(WAIT_SECONDS)
    return frame.partition(b"id: ")[2].partition(b"\n")[0].decode()


def play(scenario: Callable[[Source, Hub], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on an event loop, with a new store and its hub."""
    source = Source()
    hub = Hub(cast("Store", source))
    asyncio.run(asyncio.wait_for(scenario(source, hub), 2 * WAIT_SECONDS))


def test_viewers_of_a_topic_share_reads() -> None:
    """A change costs one read for all 50 viewers."""

    async def scenario(source: Source, hub: Hub) -> None:
        with ExitStack() as stack:
            viewers = [
                stack.enter_context(hub.watch(source.watch())) for _ in range(50)
            ]
            assert {await next_id(viewer) for viewer in viewers} == {"1"}
            before, source.version = source.read_count, 2
            hub.changed([JOB])
            assert {await next_id(viewer) for viewer in viewers} == {"2"}
            assert source.read_count == before + 1

    play(scenario)


def test_change_of_a_source_reads_its_topics_alone() -> None:
    """A changed profile is read for pages that show it, and for no others."""

    async def scenario(source: Source, hub: Hub) -> None:
        sources = frozenset({"p7", "c3"})
        with (
            hub.watch(source.watch(form="page", sources=sources)) as page,
            hub.watch(source.watch(form="other", sources=frozenset({"p8"}))) as other,
        ):
            assert await next_id(page) == await next_id(other) == "1"
            for version, change in ((2, "p7"), (3, "c3")):
                source.version = version
                hub.changed(["p9", change])
                assert await next_id(page) == str(version)
            assert await other.next_frame(0.1) == b""
            hub.changed(["p8"])
            assert await next_id(other) == "3"

    play(scenario)


def test_slow_viewer_gets_the_newest_message_alone() -> None:
    """Messages that a viewer has not taken are replaced."""

    async def scenario(source: Source, hub: Hub) -> None:
        with hub.watch(source.watch()) as slow, hub.watch(source.watch()) as quick:
            for version in (1, 2, 3):
                source.version = version
                hub.changed([JOB])
                assert await next_id(quick) == str(version)
            assert await next_id(slow) == "3"

    play(scenario)


def test_older_version_is_dropped() -> None:
    """A read that returns an older version sends nothing."""

    async def scenario(source: Source, hub: Hub) -> None:
        with hub.watch(source.watch()) as viewer:
            for version, expected in ((3, "3"), (2, ""), (4, "4")):
                source.version = version
                reads = source.read_count
                hub.changed([JOB])
                while source.read_count == reads:
                    await asyncio.sleep(0.01)
                if expected:
                    assert await next_id(viewer) == expected
            assert await viewer.next_frame(0.1) == b""

    play(scenario)


def test_change_arrives_after_failing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store cannot be read, a viewer waits; then it gets the newest state."""
    monkeypatch.setattr(hub_module, "FAILURE_PAUSE_SECONDS", 0.01)

    async def scenario(source: Source, hub: Hub) -> None:
        source.failures = [StoreError("disk")] * 3
        with hub.watch(source.watch()) as viewer:
            assert await next_id(viewer) == "1"

    play(scenario)


def test_unexpected_failure_ends_the_viewers_of_the_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A read that raises another error ends its viewers; later viewers are served."""
    monkeypatch.setattr(hub_module, "FAILURE_PAUSE_SECONDS", 0.01)

    async def scenario(source: Source, hub: Hub) -> None:
        source.failures = [ValueError("a fault")]
        with hub.watch(source.watch()) as viewer:
            assert await viewer.next_frame(WAIT_SECONDS) == b""
            assert viewer.is_ended
        with hub.watch(source.watch()) as viewer:
            assert await next_id(viewer) == "1"

    play(scenario)


def test_job_that_does_not_exist_ends_its_viewers() -> None:
    """A job that is deleted ends its viewers."""

    async def scenario(source: Source, hub: Hub) -> None:
        with hub.watch(source.watch()) as viewer:
            assert await next_id(viewer) == "1"
            source.version = None
            hub.changed([JOB])
            assert await viewer.next_frame(WAIT_SECONDS) == b""
            assert viewer.is_ended

    play(scenario)


@pytest.mark.parametrize("group", ["job", "link", "address"])
def test_each_maximum_is_exact(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group accepts its maximum of viewers; another may join when a viewer leaves."""
    monkeypatch.setitem(hub_module.MAX_VIEWERS, group, 3)

    async def scenario(source: Source, hub: Hub) -> None:

        def subject(number: int) -> Watch:
            members: dict[str, Any] = {
                "job_id": number,
                "link_id": number,
                "address": str(number),
            }
            member = group if group == "address" else f"{group}_id"
            return source.watch(**members | {member: "same"})

        with ExitStack() as stack:
            for number in range(2):
                stack.enter_context(hub.watch(subject(number)))
            for number in (2, 3):
                with hub.watch(subject(number)), pytest.raises(Problem) as caught:
                    hub.watch(subject(9)).__enter__()
                assert caught.value.status == 429
                assert int(caught.value.headers["Retry-After"]) > 0

    play(scenario)


def test_closed_hub_takes_no_viewers() -> None:
    """A hub that is closed ends its viewers and refuses others with 503."""

    async def scenario(source: Source, hub: Hub) -> None:
        with hub.watch(source.watch()) as viewer:
            hub.close()
            assert await viewer.next_frame(WAIT_SECONDS) == b""
            assert viewer.is_ended
        with pytest.raises(Problem) as caught, hub.watch(source.watch()):
            pass
        assert caught.value.status == 503

    play(scenario)
