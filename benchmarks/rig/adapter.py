"""Interface of a library that the rig measures.

Each event carries the same 100 bytes of metadata and a marker, by which the sink
counts it whatever the format of the wire.
"""

import json
import re
from abc import ABC, abstractmethod
from typing import ClassVar, Final

META: Final = {
    "stage": "transform",
    "table": "orders_daily",
    "rows": 123456,
    "attempt": 1,
    "note": "x" * 14,
}
META_JSON: Final = json.dumps(META)
MARKERS: Final = re.compile(rb"EVT[0-9a-f]{12}")
PROJECT: Final = "project"
"""Environment of the project itself, instead of one of the peers'."""


def marker(run: int, index: int) -> str:
    """Return the text by which the sink knows event `index` of `run`."""
    return f"EVT{run & 0xFFFF:04x}{index:08x}"


class Adapter(ABC):
    """One library with its default settings, reporting to the backend at `url`.

    A name that ends with `-big` marks settings that only raise the bound of the
    queue, so that 20,000 events fit.

    Attributes:
        name: Row in the tables.
        environment: Folder of the virtual environment it runs in.
        imports: The statement that a script needs to use it.
        blocks: Whether `emit()` returns after the backend's answer.
    """

    name: ClassVar[str]
    environment: ClassVar[str] = "base"
    imports: ClassVar[str] = ""
    blocks: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, url: str) -> None: ...

    @abstractmethod
    def emit(self, marker: str) -> None:
        """Report one event that carries `marker`."""

    def flush(self, seconds: float) -> None:  # noqa: B027 - not all can
        """Wait until all is delivered, at most `seconds` where that can be said."""

    def close(self) -> None:  # noqa: B027 - not all can
        """End the library's work in this process."""
