"""Parser of Server-Sent Events: received bytes, cut anywhere, to messages."""

import re
from dataclasses import dataclass
from typing import Final

from trackerapi.wire.answer_check import InvalidAnswer
from trackerapi.wire.bodies import MAX_REPORT_BYTES

MAX_RETRY_SECONDS: Final = 60.0
"""Maximum accepted `retry` of a server: one faulty line must not stop a watch."""

MAX_RETRY_DIGITS: Final = 12

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message of a stream.

    Attributes:
        event: Name of the event; `message` if the server names none.
        data: Data as bytes; lines are joined by newlines.
        last_id: Id of this message, or else of the latest message with an id.
    """

    event: str
    data: bytes
    last_id: str


class StreamParser:
    """Parser of one stream, by the rules of the HTML standard; does no I/O.

    Attributes:
        retry_seconds: Pause before the next connection that the server asked for; None
            without such a line. 0 to `MAX_RETRY_SECONDS`.
        line_count: Number of complete lines so far.
    """

    def __init__(self) -> None:
        self.retry_seconds: float | None = None
        self.line_count = 0
        self._line = bytearray()
        self._data: list[bytes] = []
        self._event = self._last_id = ""
        self._size_bytes = 0
        self._has_ended_with_cr = False

    def feed(self, chunk: bytes) -> list[StreamMessage]:
        """Add received bytes; return the messages that they complete.

        Raises:
            InvalidAnswer: If a message is longer than `MAX_REPORT_BYTES`.
        """
        if not chunk:
            return []
        if self._has_ended_with_cr:
            # A CR and LF that arrive in two chunks are one line end.
            chunk = chunk.removeprefix(b"\n")
        self._has_ended_with_cr = chunk.endswith(b"\r")
        *ends, rest = _LINE_END.split(chunk)
        messages: list[StreamMessage] = []
        for end in ends:
            self._extend_line(end)
            line, self._line = bytes(self._line), bytearray()
            message = self._add_line(line)
            if message is not None:
                messages.append(message)
        self._extend_line(rest)
        return messages

    def _extend_line(self, part: bytes) -> None:
        self._size_bytes += len(part)
        if self._size_bytes > MAX_REPORT_BYTES:
            raise InvalidAnswer(f"a message is longer than {MAX_REPORT_BYTES:,} bytes")
        self._line += part

    def _add_line(self, line: bytes) -> StreamMessage | None:
        if not self.line_count:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        self.line_count += 1
        if not line:
            return self._finish_message()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                # Count the line break too: empty lines use memory as well.
                self._size_bytes += 1
            case b"event":
                self._event = value.decode(errors="replace")
            case b"id" if b"\0" not in value:
                self._last_id = value.decode(errors="replace")
            case b"retry" if value.isdigit():
                milliseconds = int(value[:MAX_RETRY_DIGITS])
                self.retry_seconds = min(milliseconds / 1000, MAX_RETRY_SECONDS)
            case _:
                pass  # a comment, or a field of a later standard
        if name != b"data" and not self._data:
            self._size_bytes = 0
        return None

    def _finish_message(self) -> StreamMessage | None:
        data, event = self._data, self._event or "message"
        self._data, self._event, self._size_bytes = [], "", 0
        if not data:
            return None
        return StreamMessage(event, b"\n".join(data), self._last_id)
