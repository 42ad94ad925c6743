"""Fair queue: turns of providers, and its limits."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.store.customers import customer_exists
from trackerapi_backend.store.fair_queue import (
    MAX_GROUP_EVENTS,
    MAX_GROUP_ITEMS,
    MAX_SHARED_GROUP_EVENTS,
    FairQueue,
    Load,
)
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.busy_writer import keep_busy
from backend.tests.support.service import MAX_WAIT_SECONDS, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Store on a new database."""
    prepare(tmp_path)
    with closing(SqliteStore(tmp_path / "backend.db")) as store:
        yield store


def test_items_of_another_provider_come_before_a_backlog() -> None:
    """Behind ten batches of one provider, ten events of another are the next group."""
    queue: FairQueue[str] = FairQueue()
    for number in range(10):
        assert queue.add(f"heavy {number}", Load(1, events=MAX_GROUP_EVENTS))
    assert queue.next_group() == ["heavy 0"]
    events = [f"light {number}" for number in range(10)]
    for event in events:
        assert queue.add(event, Load(2))
    assert queue.next_group() == events
    assert queue.next_group() == ["heavy 1"]


def test_batches_do_not_wait_for_ever() -> None:
    """While others always report, at least every second group has a large batch."""
    queue: FairQueue[str] = FairQueue()
    for _ in range(10):
        queue.add("batch", Load(1, events=MAX_GROUP_EVENTS))
    groups: list[list[str]] = []
    for number in range(20):
        queue.add("event", Load(2 + number % 2))
        groups.append(queue.next_group())
    assert all("batch" in first + second for first, second in pairwise(groups))


def test_group_ends_at_its_limits() -> None:
    """A group has at most 64 items, and ends before an item with too many events."""
    queue: FairQueue[int] = FairQueue()
    for number in range(100):
        queue.add(number, Load(1))
    assert queue.next_group() == list(range(MAX_GROUP_ITEMS))
    queue.clear()
    for number, events in enumerate([50, 51, 900, 2 * MAX_GROUP_EVENTS, 1]):
        queue.add(number, Load(1, events=events))
    assert [queue.next_group() for _ in range(3)] == [[0, 1], [2], [3]]


def test_groups_are_smaller_while_providers_share_the_queue() -> None:
    """A report waits for fewer events of other providers than of its own provider."""

    def events_of_group(providers: list[int]) -> int:
        queue: FairQueue[int] = FairQueue()
        for provider_id in providers:
            queue.add(125, Load(provider_id, events=125))
        return sum(queue.next_group())

    assert events_of_group([1] * 10) == MAX_GROUP_EVENTS
    assert events_of_group([1, 2] * 5) == MAX_SHARED_GROUP_EVENTS


def test_queue_is_bounded_in_bytes() -> None:
    """An item beyond the limit of bytes is refused until other items have left."""
    one = Load(1).memory_bytes
    queue: FairQueue[int] = FairQueue(max_bytes=100 + 2 * one)
    assert queue.add(1, Load(1, size_bytes=99))
    assert not queue.add(2, Load(2, size_bytes=2))
    assert queue.add(3, Load(2, size_bytes=1))
    assert queue.next_group() == [1, 3]
    assert queue.add(2, Load(2, size_bytes=2))


MAX_TEST_ITEMS = 16
MAX_LOAD = Load(events=1500, size_bytes=1_000_000)
MAX_TEST_BYTES = 16 * MAX_LOAD.memory_bytes
PROVIDERS = (1, 2, 3)


def loads(*providers: int) -> st.SearchStrategy[Load]:
    """Loads up to `MAX_LOAD`."""
    return st.builds(
        Load,
        provider_id=st.sampled_from(providers),
        events=st.integers(1, MAX_LOAD.events),
        size_bytes=st.integers(0, MAX_LOAD.size_bytes),
    )


@dataclass
class Run:
    """A queue with the items that it should contain, after some calls.

    Attributes:
        held: Loads of the queued items by item.
        left: Items that have left the queue, in order.
        refused: Number of refused items.
    """

    queue: FairQueue[int]
    held: dict[int, Load] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    refused: int = 0

    def add(self, load: Load) -> None:
        """Add a new item."""
        item = len(self.held) + len(self.left) + self.refused
        if self.queue.add(item, load):
            self.held[item] = load
        else:
            self.refused += 1

    def take(self) -> None:
        """Take a group."""
        group = self.queue.next_group()
        assert bool(group) == bool(self.held)
        for item in group:
            del self.held[item]
        self.left += group

    def remove_any(self, number: int) -> None:
        """Remove a queued item, if there is one."""
        if self.held:
            item = list(self.held)[number % len(self.held)]
            self.queue.remove(item, self.held.pop(item))
            self.queue.remove(item, Load(PROVIDERS[0]))  # is no longer queued
            self.refused += 1

    def share_of(self, provider_id: int) -> tuple[int, int]:
        """Return number and bytes of the items of a provider."""
        sizes = [
            load.memory_bytes
            for load in self.held.values()
            if load.provider_id == provider_id
        ]
        return len(sizes), sum(sizes)


def runs(*providers: int) -> st.SearchStrategy[Run]:
    """Queues after any calls of `add()`, `next_group()` and `remove()`."""
    call = st.one_of(loads(*providers), st.none(), st.integers(0, MAX_TEST_ITEMS))

    def run(calls: list[Load | int | None]) -> Run:
        run = Run(FairQueue(MAX_TEST_ITEMS, MAX_TEST_BYTES))
        for each in calls:
            match each:
                case Load():
                    run.add(each)
                case None:
                    run.take()
                case number:
                    run.remove_any(number)
        return run

    return st.lists(call, max_size=60).map(run)


@given(run=runs(*PROVIDERS))
def test_each_item_leaves_once_and_in_the_order_of_its_provider(run: Run) -> None:
    """The queue returns each queued item once, in the order of its provider."""
    expected = dict(run.held)
    assert len(run.queue) == len(expected)
    run.left.clear()
    while run.held:
        run.take()
    assert sorted(run.left) == sorted(expected)
    assert not run.queue
    for provider_id in PROVIDERS:
        own = [item for item in run.left if expected[item].provider_id == provider_id]
        assert own == sorted(own)


@given(run=runs(*PROVIDERS))
def test_provider_holds_at_most_half_of_the_queue(run: Run) -> None:
    """No provider holds more than half of the items or of the bytes."""
    for provider_id in PROVIDERS:
        items, size_bytes = run.share_of(provider_id)
        assert items <= MAX_TEST_ITEMS // 2
        assert size_bytes <= MAX_TEST_BYTES // 2


@given(run=runs(*PROVIDERS))
def test_another_provider_always_gets_in(run: Run) -> None:
    """An item of a fourth provider is accepted after any items of three others."""
    assert run.queue.add(-1, msgspec.structs.replace(MAX_LOAD, provider_id=4))


@given(run=runs(0, *PROVIDERS), load=loads(0))
def test_item_of_the_server_needs_only_free_space(run: Run, load: Load) -> None:
    """Only a full queue refuses an item of the server; no queue exceeds its limits."""
    shares = [run.share_of(provider_id) for provider_id in (0, *PROVIDERS)]
    items, size_bytes = map(sum, zip(*shares, strict=True))
    assert items <= MAX_TEST_ITEMS
    assert size_bytes <= MAX_TEST_BYTES
    has_space = (
        items < MAX_TEST_ITEMS and size_bytes + load.memory_bytes <= MAX_TEST_BYTES
    )
    assert run.queue.add(-1, load) == has_space


def test_report_beside_a_heavy_provider_overtakes_its_batches(
    store: SqliteStore,
) -> None:
    """A report is on the disk before the first of the batches that came earlier."""

    async def scenario() -> tuple[bool, list[bool]]:
        may_end = threading.Event()
        with closing(Writer(store)) as writer:
            async with keep_busy(writer):
                batches = [
                    asyncio.create_task(
                        writer.write(lambda _db: may_end.wait(MAX_WAIT_SECONDS), batch)
                    )
                    for batch in [Load(1, events=MAX_GROUP_EVENTS)] * 10
                ]
                # Let the tasks begin, so that the batches are queued first.
                await asyncio.sleep(0)
                report = asyncio.create_task(
                    writer.write(lambda db: create_customer(db, 1, 1001), Load(2))
                )
                await asyncio.sleep(0)
            try:
                await asyncio.wait_for(report, MAX_WAIT_SECONDS)
                is_stored = store.read(lambda db: customer_exists(db, 1001))
                assert not any(batch.done() for batch in batches)
            finally:
                may_end.set()
            return is_stored, await asyncio.gather(*batches)

    assert asyncio.run(scenario()) == (True, [True] * 10)
