"""Fair queue: turns of providers, and its limits."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.bodies import (
    MAX_BODY_BYTES,
    MAX_LARGE_BODIES,
    examine_body,
)
from trackerapi_backend.store.fair_queue import (
    MAX_BYTES,
    MAX_GROUP_EVENTS,
    MAX_GROUP_ITEMS,
    FairQueue,
    Load,
)

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    new_job,
    report,
    send_lines,
)

if TYPE_CHECKING:
    import httpx

    from backend.tests.support.service import Service


def test_item_of_another_provider_is_in_the_next_group() -> None:
    """Behind 100 batches of one provider, another provider is second in the group."""
    queue: FairQueue[str] = FairQueue()
    for number in range(100):
        assert queue.add(f"heavy {number}", Load(1, events=600))
    assert queue.add("light", Load(2))
    assert queue.next_group() == ["heavy 0", "light", "heavy 1"]
    assert queue.next_group() == ["heavy 2", "heavy 3"]


def test_group_ends_at_its_limits() -> None:
    """A group has at most 64 items; the item that reaches 1,000 events ends it."""
    queue: FairQueue[int] = FairQueue()
    for number in range(100):
        queue.add(number, Load(1))
    assert len(queue.next_group()) == MAX_GROUP_ITEMS
    queue.clear()
    queue.add(1, Load(1, events=MAX_GROUP_EVENTS))
    queue.add(2, Load(1))
    assert queue.next_group() == [1]


def test_queue_is_bounded_in_bytes() -> None:
    """An item beyond the limit of bytes is refused until other items have left."""
    queue: FairQueue[int] = FairQueue()
    assert queue.add(1, Load(1, size_bytes=MAX_BYTES - 1))
    assert not queue.add(2, Load(2, size_bytes=2))
    assert queue.add(3, Load(2, size_bytes=1))
    assert queue.next_group() == [1, 3]
    assert queue.add(2, Load(2, size_bytes=2))


@given(
    loads=st.lists(
        st.builds(
            Load,
            provider_id=st.integers(1, 4),
            events=st.integers(1, 1500),
            size_bytes=st.integers(0, 1000),
        )
    )
)
def test_each_item_leaves_once_and_in_the_order_of_its_provider(
    loads: list[Load],
) -> None:
    """Together, the groups contain each item once, in the order of its provider."""
    queue: FairQueue[int] = FairQueue()
    for number, load in enumerate(loads):
        assert queue.add(number, load)
    left: list[int] = []
    while len(queue):
        group = queue.next_group()
        assert group
        left += group
    assert sorted(left) == list(range(len(loads)))
    for provider_id in range(1, 5):
        own = [number for number in left if loads[number].provider_id == provider_id]
        assert own == sorted(own)


def test_large_bodies_of_providers_take_turns() -> None:
    """A body of a second provider is examined before the queue of the first one."""
    asyncio.run(_examine_in_turns())


async def _examine_in_turns() -> None:
    may_begin, order = threading.Event(), list[int]()
    body = bytes(MAX_BODY_BYTES)

    def examine(provider_id: int) -> None:
        assert may_begin.wait(MAX_WAIT_SECONDS)
        order.append(provider_id)

    waiting = [
        asyncio.create_task(examine_body(body, lambda _: examine(1), 1))
        for _ in range(MAX_LARGE_BODIES)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Problem):
        await examine_body(body, lambda _: examine(1), 1)
    waiting.append(asyncio.create_task(examine_body(body, lambda _: examine(2), 2)))
    await asyncio.sleep(0)
    may_begin.set()
    await asyncio.gather(*waiting)
    assert order.index(2) <= 1
    assert len(order) == MAX_LARGE_BODIES + 1


def test_report_beside_a_heavy_provider_overtakes_its_batches(
    service: Service, api: httpx.Client, other_api: httpx.Client
) -> None:
    """A single event is answered before batches that were sent earlier."""
    job, own = new_job(api), new_job(other_api, customer_id=7)
    line = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    finished: list[str] = []

    def send_batches() -> None:
        with service.client() as client:
            for _ in range(4):
                assert send_lines(client, [line] * 1000).status_code == 200
                finished.append("batch")

    threads = [threading.Thread(target=send_batches) for _ in range(12)]
    for thread in threads:
        thread.start()
    report(other_api, own, kind="start")
    finished.append("report")
    for thread in threads:
        thread.join(MAX_WAIT_SECONDS)
        assert not thread.is_alive()
    assert finished.count("batch") == 48
    assert finished.index("report") < 24
