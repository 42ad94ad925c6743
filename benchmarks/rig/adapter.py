"""Interface of a measured library.

Each event carries the same 100 bytes of metadata and a marker. The sink, which is the
backend of the measurements, counts events by their markers in any format.
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
"""Value of `Adapter.environment` for the project's own environment."""


def marker(run: int, index: int) -> str:
    """Return the text by which the sink identifies event `index` of `run`."""
    return f"EVT{run & 0xFFFF:04x}{index:08x}"


class Adapter(ABC):
    """One library with its default settings, reporting to the backend at `url`.

    An adapter with a name that ends with `-big` raises only the size of the queue, so
    that 20,000 events fit.

    Attributes:
        name: Row in the tables.
        environment: Name of the folder of the library's virtual environment.
        imports: Import statement of a script that uses the library.
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

    def flush(self, seconds: float) -> None:  # noqa: B027 - optional
        """Wait for delivery; at most `seconds`, if the library has a time limit."""

    def close(self) -> None:  # noqa: B027 - optional
        """End the library's work in this process."""
