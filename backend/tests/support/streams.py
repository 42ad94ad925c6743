"""Reader of Server-Sent Events, one message at a time."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.tests.support.service import MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a stream.

    Attributes:
        data: Parsed JSON of the message.
    """

    id: str
    event: str
    data: Any


class Stream:
    """Open stream of a response.

    Args:
        response: Response with status 200 and an unread body.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def block(self) -> list[str]:
        """Return the next lines up to a blank line; no lines at the end."""
        lines: list[str] = []
        for line in self._lines:
            if not line:
                return lines
            lines.append(line)
        assert not lines, "the stream ended inside a message"
        return []

    def blocks(self) -> Iterator[list[str]]:
        """Yield all blocks up to the end of the stream."""
        while block := self.block():
            yield block

    def messages(self) -> Iterator[Message]:
        """Yield all messages up to the end of the stream, without heartbeats."""
        for block in self.blocks():
            fields = dict(line.split(": ", 1) for line in block if line[0] != ":")
            if "id" in fields:
                data = json.loads(fields["data"])
                yield Message(fields["id"], fields["event"], data)

    def message(self) -> Message:
        """Return the next message; wait for it."""
        message = next(self.messages(), None)
        assert message is not None, "the stream has ended"
        return message

    def ids_to(self, last: int) -> list[int]:
        """Read messages up to the id `last` or a higher one; return their ids."""
        ids = [int(self.message().id)]
        while ids[-1] < last:
            ids.append(int(self.message().id))
        return ids


@contextmanager
def open_stream(client: httpx.Client, path: str, **headers: str) -> Iterator[Stream]:
    """Open a stream during the block.

    Args:
        client: Client with a key or without one.
        path: Path of the stream.
        headers: Headers of the request, with underscores.
    """
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with client.stream("GET", path, headers=sent, timeout=MAX_WAIT_SECONDS) as response:
        assert response.status_code == 200, response.read()
        yield Stream(response)
