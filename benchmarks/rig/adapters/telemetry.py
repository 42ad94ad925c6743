"""Adapters of OpenTelemetry, with OTLP over HTTP."""

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.rig.adapter import META, Adapter

_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


class OtelLog(Adapter):
    """A log record with attributes."""

    name, environment = "otel-log", "otel"
    imports = (
        "from opentelemetry.sdk._logs import LoggerProvider; "
        "from opentelemetry.sdk._logs.export import BatchLogRecordProcessor; "
        f"from {_EXPORTER}._log_exporter import OTLPLogExporter"
    )
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, url: str) -> None:
        logs = import_module("opentelemetry._logs")
        sdk = import_module("opentelemetry.sdk._logs")
        export = import_module("opentelemetry.sdk._logs.export")
        exporter = import_module(f"{_EXPORTER}._log_exporter")
        self._record, self._severity = logs.LogRecord, logs.SeverityNumber.INFO
        self._provider = sdk.LoggerProvider()
        self._provider.add_log_record_processor(
            export.BatchLogRecordProcessor(
                exporter.OTLPLogExporter(endpoint=url + "/v1/logs"), **self.options
            )
        )
        self._logger = self._provider.get_logger("job")

    def emit(self, marker: str) -> None:
        """Emit the record."""
        record = self._record(
            timestamp=time.time_ns(),
            body="progress",
            severity_number=self._severity,
            attributes={"id": marker, **META},
        )
        self._logger.emit(record)

    def flush(self, seconds: float) -> None:
        """Wait until the queue is empty."""
        self._provider.force_flush(int(seconds * 1000))

    def close(self) -> None:
        """Shut the provider down."""
        self._provider.shutdown()


class OtelLogBig(OtelLog):
    """`OtelLog` with a queue for all events."""

    name, options = "otel-log-big", {"max_queue_size": 100_000}


class OtelSpan(Adapter):
    """A span with attributes, which ends immediately."""

    name, environment = "otel-span", "otel"
    imports = (
        "from opentelemetry.sdk.trace import TracerProvider; "
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor; "
        f"from {_EXPORTER}.trace_exporter import OTLPSpanExporter"
    )

    def __init__(self, url: str) -> None:
        export = import_module("opentelemetry.sdk.trace.export")
        exporter = import_module(f"{_EXPORTER}.trace_exporter")
        self._provider = import_module("opentelemetry.sdk.trace").TracerProvider()
        self._provider.add_span_processor(
            export.BatchSpanProcessor(
                exporter.OTLPSpanExporter(endpoint=url + "/v1/traces")
            )
        )
        self._tracer = self._provider.get_tracer("job")

    def emit(self, marker: str) -> None:
        """Start and end the span."""
        self._tracer.start_span("progress", attributes={"id": marker, **META}).end()

    def flush(self, seconds: float) -> None:
        """Wait until the queue is empty."""
        self._provider.force_flush(int(seconds * 1000))

    def close(self) -> None:
        """Shut the provider down."""
        self._provider.shutdown()
