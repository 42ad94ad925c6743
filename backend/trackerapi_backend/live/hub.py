"""Hub: viewers of jobs, and one read of the store for all viewers of the same state.

A topic is one representation of one job, such as the job as JSON. A change of the job
makes its topics stale. One task reads stale topics, a few in one snapshot of the store,
and gives the new message to all viewers of the topic. A viewer replaces an unsent
message by a newer one, so a slow client costs the memory of one message.

A topic may also show other rows, its sources, such as the profile of the provider. The
commit of a change of a source makes the topics stale too.

After each read the task pauses, so that one read covers all changes of this time. The
task also reads all topics again every `REREAD_SECONDS`, because
the announcement of a change can be lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.problems import Problem, unavailable
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.changes import (
    SHARED_CACHE_SECONDS,
    keys_of_provider,
    tokens_and_links_of_job,
)

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Hashable,
        Iterable,
        Iterator,
        Sequence,
    )

    from sqlalchemy import Connection

    from trackerapi_backend.store import Change, Channel, Store

MAX_VIEWERS = {"job": 1000, "link": 200, "address": 50}
"""Maximum number of viewers in this process: of a job, of a share link, of a client
address."""
RETRY_AFTER_SECONDS = 30
"""Time after which a viewer in excess may try again, in seconds."""
REREAD_SECONDS = 15.0
"""Interval between two reads of a topic without a known change, in seconds."""
DEAF_REREAD_SECONDS = 2.0
"""`REREAD_SECONDS` while the channel to other processes is broken, in seconds."""
CHANNEL_CLOSE_SECONDS = 0.5
"""Time limit for the end of the channel to other processes, in seconds."""
MAX_TOPICS_PER_READ = 5
"""Maximum number of topics in one read: each topic waits for the slowest query."""
READ_PAUSE = 0.25
"""Pause of the hub after a read, as a share of the duration of the read.

Under load, one read covers all changes of a job during the pause."""
SECONDS_PER_MESSAGE = 0.0001
"""Pause of the hub for each message to a viewer, in seconds.

1,000 viewers of one job get at most ten states a second, and the event loop keeps time
for requests."""
FAILURE_PAUSE_SECONDS = 1.0
"""Time between two reads while the store cannot be read, in seconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """State of a topic, encoded for all its viewers.

    Attributes:
        version: Version of the job.
        id: Id of the message; equal messages have the same id.
        frame: Message as it is sent.
    """

    version: int
    id: str
    frame: bytes


def encode_message(version: int, event: str, data: str, *, id_: str) -> Message:
    """Return a message of Server-Sent Events; `data` has no line break."""
    frame = f"event: {event}\nid: {id_}\ndata: {data}\n\n".encode()
    return Message(version, id_, frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Job and representation that a viewer asks for, and the viewer's origin.

    Attributes:
        job_id: Job to watch.
        form: Representation of the job: viewers with the same form share a message.
        read: Function that queries the message; it returns None if the job does not
            exist.
        address: Address of the client; of an IPv6 client, its network.
        link_id: Share link of the viewer; None for a viewer with a key.
        last_id: Id of the message that the viewer has; empty without a message.
        sources: Rows beside the job that the message shows, such as
            `profile_source(7)`.
        provider_id: Provider whose keys may open the stream; None for share links.
    """

    job_id: int
    form: Hashable
    read: Callable[[Connection], Message | None]
    address: str
    link_id: int | None = None
    last_id: str = ""
    sources: frozenset[str] = frozenset()
    provider_id: int | None = None

    @property
    def permissions(self) -> frozenset[str]:
        """Permissions that open the stream: a viewer has one of them."""
        job_permission = tokens_and_links_of_job(self.job_id)
        if self.provider_id is None:
            return frozenset({job_permission})
        return frozenset({job_permission, keys_of_provider(self.provider_id)})

    @property
    def groups(self) -> list[tuple[str, Hashable]]:
        """Groups that count this viewer: key in `MAX_VIEWERS`, and id of the group."""
        groups: list[tuple[str, Hashable]] = [("job", self.job_id)]
        if self.link_id is not None:
            groups.append(("link", self.link_id))
        return [*groups, ("address", self.address)]


class Viewer:
    """Reader of a topic, which keeps the newest message until it is sent.

    Attributes:
        is_ended: Whether the hub sends no more messages.
        is_suspect: Whether to check now that the viewer may still read the job.
    """

    __slots__ = ("_last_id", "_message", "_waiter", "is_ended", "is_suspect")

    def __init__(self, last_id: str) -> None:
        self._last_id, self._message = last_id, b""
        self._waiter: asyncio.Future[None] | None = None
        self.is_ended = self.is_suspect = False

    async def next_frame(self, timeout_seconds: float) -> bytes:
        """Wait for the newest message and return it.

        Returns:
            The message; empty after the time limit, or if the viewer is ended or
            suspect.
        """
        if not (self._message or self.is_ended or self.is_suspect):
            self._waiter = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._waiter
        frame, self._message = self._message, b""
        return frame

    def offer(self, message: Message) -> bool:
        """Replace the unsent message; return False if the viewer has this message."""
        if message.id == self._last_id:
            return False
        self._last_id, self._message = message.id, message.frame
        self._wake()
        return True

    def suspect(self) -> None:
        """Mark the viewer as suspect: the stream then checks its permission at once."""
        self.is_suspect = True
        self._wake()

    def end(self) -> None:
        """Send no more messages."""
        self.is_ended, self._message = True, b""
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Topic:
    """A representation of a job, and its viewers."""

    def __init__(self, watch: Watch) -> None:
        self.read, self.sources = watch.read, watch.sources
        self.permissions = watch.permissions
        self.viewers: set[Viewer] = set()
        self._version = 0

    def publish(self, message: Message | None) -> int:
        """Offer a message to all viewers; return the number of viewers that take it."""
        if message is None:
            self.end()
            return 0
        # Reads of two snapshots may end in the other order.
        if message.version < self._version:
            return 0
        self._version = message.version
        return sum(viewer.offer(message) for viewer in self.viewers)

    def end(self) -> None:
        """End all viewers."""
        for viewer in self.viewers:
            viewer.end()


class Hub:
    """Viewers of this process. Only the event loop calls its methods.

    Args:
        store: Store of the jobs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._topics: dict[int, dict[Hashable, _Topic]] = {}
        # A dict in place of a set: topics are read in the order of their changes.
        self._stale: dict[_Topic, None] = {}
        self._counts: Counter[tuple[str, Hashable]] = Counter()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = self._is_failing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: Channel | None = None

    @property
    def viewer_count(self) -> int:
        """Number of viewers of all topics."""
        return sum(len(topic.viewers) for topic in self._all_topics())

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Exchange announcements of changes with other processes during the block.

        The block may begin before the event loop and end after it.
        """
        channel = self._channel = self._store.open_channel(self._hear)
        try:
            yield
        finally:
            if channel is not None:
                channel.close(CHANNEL_CLOSE_SECONDS)

    def _hear(self, changes: Collection[Change] | None) -> None:
        """Follow changes by other processes; the thread of the channel calls this."""
        if self._loop is not None:
            # The loop is closed at the end of the server.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._follow, self._loop, changes)

    def _follow(
        self, loop: asyncio.AbstractEventLoop, changes: Collection[Change] | None
    ) -> None:
        self._mark_changed(changes)
        names = None
        if changes is not None:
            names = {change for change in changes if isinstance(change, str)}
        elif self._channel is not None and not self._channel.is_connected:
            # Each failed attempt to connect comes here; the heartbeats check viewers.
            return
        if names is None or names:
            # Wait until this process has no cached key that another one has expired.
            loop.call_later(SHARED_CACHE_SECONDS, self.suspect, names)

    def _mark_changed(self, changes: Collection[Change] | None) -> None:
        if changes is None:
            self._mark_stale(self._all_topics())
            return
        for change in changes:
            if isinstance(change, int):
                self._mark_stale(self._topics.get(change, {}).values())
        names = {change for change in changes if isinstance(change, str)}
        if names:
            topics = self._all_topics()
            self._mark_stale(t for t in topics if not t.sources.isdisjoint(names))

    def changed(self, changes: Collection[Change]) -> None:
        """Read the topics of changed jobs and sources. The changes are committed.

        Args:
            changes: Ids of jobs, and sources such as `profile_source(7)`.
        """
        self._mark_changed(changes)
        if self._channel is not None:
            self._channel.announce(changes)

    def suspect(self, permissions: Collection[str] | None) -> None:
        """Check all viewers with these permissions now; see `Changes.permissions`.

        With None, check all viewers: announcements may be lost.
        """
        for topic in self._all_topics():
            if permissions is None or not topic.permissions.isdisjoint(permissions):
                for viewer in topic.viewers:
                    viewer.suspect()

    def close(self) -> None:
        """End all viewers and accept no more."""
        self._is_closed = True
        for topic in self._all_topics():
            topic.end()

    @contextmanager
    def watch(self, watch: Watch) -> Iterator[Viewer]:
        """Yield a viewer, which gets the present state first.

        If `last_id` is the id of the present state, the viewer gets the next state.

        Raises:
            Problem: If there are too many viewers, or the server stops.
        """
        if self._is_closed:
            raise unavailable("The backend is stopping.")
        for group in watch.groups:
            if self._counts[group] >= MAX_VIEWERS[group[0]]:
                raise _too_many(group[0])
        viewer = Viewer(watch.last_id)
        topics = self._topics.setdefault(watch.job_id, {})
        topic = topics.setdefault(watch.form, _Topic(watch))
        topic.viewers.add(viewer)
        self._counts.update(watch.groups)
        # Read even a topic that has viewers: another process may have changed the job.
        self._mark_stale([topic])
        if self._task is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run())
        try:
            yield viewer
        finally:
            self._leave(watch, topic, viewer)

    def _leave(self, watch: Watch, topic: _Topic, viewer: Viewer) -> None:
        topic.viewers.discard(viewer)
        for group in watch.groups:
            self._counts[group] -= 1
            if not self._counts[group]:
                del self._counts[group]
        topics = self._topics[watch.job_id]
        if not topic.viewers:
            del topics[watch.form]
            self._stale.pop(topic, None)
        if not topics:
            del self._topics[watch.job_id]

    def _all_topics(self) -> list[_Topic]:
        return [topic for topics in self._topics.values() for topic in topics.values()]

    def _mark_stale(self, topics: Iterable[_Topic]) -> None:
        for topic in topics:
            self._stale[topic] = None
            self._wake.set()

    async def _run(self) -> None:
        """Read stale topics until there is no viewer."""
        if self._channel is not None:
            self._channel.watch(is_watching=True)
        read_all_at = time.monotonic()
        while self._topics:
            reread_at = read_all_at + self._reread_seconds()
            if not self._stale:
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(reread_at - time.monotonic()):
                        await self._wake.wait()
            if time.monotonic() >= reread_at:
                read_all_at = time.monotonic()
                self._mark_stale(self._all_topics())
            topics = list(self._stale)[:MAX_TOPICS_PER_READ]
            for topic in topics:
                del self._stale[topic]
            await asyncio.sleep(await self._refresh(topics))
        if self._channel is not None:
            self._channel.watch(is_watching=False)

    def _reread_seconds(self) -> float:
        is_deaf = self._channel is not None and not self._channel.is_connected
        return DEAF_REREAD_SECONDS if is_deaf else REREAD_SECONDS

    async def _refresh(self, topics: Sequence[_Topic]) -> float:
        """Read topics; return the time to pause, in seconds."""
        started = time.monotonic()
        try:
            messages = await run_in_threadpool(
                self._store.read, lambda db: [topic.read(db) for topic in topics]
            )
        except StoreError as error:
            if not self._is_failing:
                _log.warning("viewers get no new states: the store fails (%s)", error)
            self._is_failing = True
            self._mark_stale(topic for topic in topics if topic.viewers)
            return FAILURE_PAUSE_SECONDS
        except Exception:  # noqa: BLE001 -- other topics go on
            _log.exception("a stream of a job failed")
            for topic in topics:
                topic.end()
            return FAILURE_PAUSE_SECONDS
        self._is_failing = False
        elapsed = time.monotonic() - started
        sent = sum(
            topic.publish(message)
            for topic, message in zip(topics, messages, strict=True)
        )
        return max(elapsed * READ_PAUSE, sent * SECONDS_PER_MESSAGE)


def _too_many(group: str) -> Problem:
    maximum = f"{MAX_VIEWERS[group]:,}"
    return Problem(
        "too-many-viewers",
        {
            "job": f"This job has {maximum} viewers, which is the maximum.",
            "link": f"This link has {maximum} viewers, which is the maximum.",
            "address": f"This address has {maximum} streams, which is the maximum.",
        }[group],
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
