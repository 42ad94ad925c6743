"""Text format of metrics: OpenMetrics 1.0, which Prometheus and others read.

The module `measurements` counts with plain numbers. It does not use the library
`prometheus_client`, which acquires a lock for each count and needs six times as long
for a request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trackerapi_backend.measurements import BOUNDS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from trackerapi_backend.measurements import Histogram

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_BOUNDS = (*map(str, BOUNDS_SECONDS), "+Inf")


@dataclass(slots=True)
class Family:
    """Metric family: one metric with all its values.

    Attributes:
        name: Name without a suffix such as `_total`; ends with the unit, if any.
        kind: `counter`, `gauge`, `histogram` or `info`.
        text: Description in one line.
        unit: `seconds` or `bytes`; empty for a metric without a unit.
    """

    name: str
    kind: str
    text: str
    unit: str = ""
    _lines: list[str] = field(default_factory=list, init=False)

    def add(self, value: float, suffix: str = "", **labels: str) -> None:
        """Add a value.

        Args:
            value: Number.
            suffix: Suffix of the name; empty for the suffix of the kind, such as
                `_total`.
            labels: Values of the labels, by name of the label.
        """
        suffix = suffix or {"counter": "_total", "info": "_info"}.get(self.kind, "")
        texts = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items())
        shown = f"{{{texts}}}" if texts else ""
        self._lines.append(f"{self.name}{suffix}{shown} {value}\n")

    def add_histogram(self, histogram: Histogram, **labels: str) -> None:
        """Add the buckets of a histogram, and the number and sum of its durations."""
        # Read the counts once: a thread may add a duration before `_count` is added.
        counts = histogram.cumulative_counts()
        for bound, count in zip(_BOUNDS, counts, strict=True):
            self.add(count, "_bucket", **labels, le=bound)
        self.add(counts[-1], "_count", **labels)
        self.add(histogram.sum_seconds, "_sum", **labels)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the metric; no lines if the metric has no value."""
        if self._lines:
            yield f"# TYPE {self.name} {self.kind}\n"
            if self.unit:
                yield f"# UNIT {self.name} {self.unit}\n"
            yield f"# HELP {self.name} {_escape(self.text)}\n"
            yield from self._lines


def gauges(values: Mapping[str, tuple[float | None, str]]) -> Iterator[Family]:
    """Yield a gauge for each name; a gauge has no line if its value is None.

    Args:
        values: Value and description by name. A name that ends with `_seconds` or
            `_bytes` states the unit.
    """
    for name, (value, text) in values.items():
        ending = name.rpartition("_")[2]
        unit = ending if ending in ("seconds", "bytes") else ""
        family = Family(name, "gauge", text, unit)
        if value is not None:
            family.add(value)
        yield family


def render(families: Iterable[Family]) -> bytes:
    """Return the document of all metrics, as OpenMetrics in UTF-8."""
    lines = [line for family in families for line in family.lines()]
    return "".join([*lines, "# EOF\n"]).encode()


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
