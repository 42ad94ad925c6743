"""Adapters of libraries that track jobs, lineage and experiments."""

import os
from importlib import import_module
from typing import Any

from benchmarks.rig.adapter import META, META_JSON, Adapter


class Cronitor(Adapter):
    """A ping of Cronitor; the adapter replaces the library's constant address."""

    name, environment, imports = "cronitor", "cronitor", "import cronitor"
    blocks = True

    def __init__(self, url: str) -> None:
        cronitor: Any = import_module("cronitor")
        cronitor.api_key = "key"
        self._monitor: Any = cronitor.Monitor("job")
        self._monitor._ping_api_url = lambda: url + "/p/key/job"  # noqa: SLF001

    def emit(self, marker: str) -> None:
        """Send the ping."""
        self._monitor.ping(state="run", series=marker, message=META_JSON)


class OpenLineageHttp(Adapter):
    """A run event of OpenLineage with a facet."""

    name, environment, blocks = "openlineage-http", "openlineage", True
    imports = (
        "from openlineage.client import OpenLineageClient; "
        "from openlineage.client.transport.http import HttpTransport"
    )

    def __init__(self, url: str) -> None:
        client = import_module("openlineage.client")
        self._events = import_module("openlineage.client.event_v2")
        self._new_id = import_module("openlineage.client.uuid").generate_new_uuid
        facet = import_module("openlineage.client.facet_v2").RunFacet
        attr = import_module("attr")
        members = {"id": attr.field(default=""), "meta": attr.field(factory=dict)}
        self._note = attr.make_class("Note", members, bases=(facet,))
        self._client = client.OpenLineageClient(transport=self._transport(url))

    def emit(self, marker: str) -> None:
        """Emit the event."""
        events = self._events
        facets = {"note": self._note(id=marker, meta=META)}
        event = events.RunEvent(
            eventType=events.RunState.RUNNING,
            eventTime="2024-01-01T00:00:00Z",
            run=events.Run(runId=str(self._new_id()), facets=facets),
            job=events.Job(namespace="ns", name="job"),
            producer="https://example.com/p",
        )
        self._client.emit(event)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _transport(self, url: str) -> Any:
        http = import_module("openlineage.client.transport.http")
        return http.HttpTransport(http.HttpConfig(url=url))


class OpenLineageAsync(OpenLineageHttp):
    """The same event, through the queue of the library."""

    name, blocks = "openlineage-async", False

    def flush(self, seconds: float) -> None:
        """Wait until the queue is empty."""
        self._client.transport.wait_for_completion(timeout=seconds)

    def _transport(self, url: str) -> Any:
        http = import_module("openlineage.client.transport.async_http")
        return http.AsyncHttpTransport(http.AsyncHttpConfig(url=url))


class MlflowSync(Adapter):
    """A metric of MLflow; a metric has no metadata, so its key is the marker."""

    name, environment, blocks = "mlflow-sync", "mlflow", True
    imports = "import mlflow; from mlflow import MlflowClient"

    def __init__(self, url: str) -> None:
        self._client: Any = import_module("mlflow").MlflowClient(tracking_uri=url)

    def emit(self, marker: str) -> None:
        """Log the metric."""
        self._client.log_metric("0" * 32, marker, 1.0, synchronous=self.blocks)


class MlflowAsync(MlflowSync):
    """The same metric, through the queue of the library."""

    name, blocks = "mlflow-async", False

    def flush(self, seconds: float) -> None:  # noqa: ARG002 - no time limit
        """Wait until the queue is empty."""
        self._client._tracking_client.store.flush_async_logging()  # noqa: SLF001


class WandbOffline(Adapter):
    """wandb offline: its helper process writes a file, and sends nothing over HTTP."""

    name, environment, imports = "wandb-offline", "wandb", "import wandb"

    def __init__(self, url: str) -> None:  # noqa: ARG002 - sends nothing
        os.environ.update(WANDB_SILENT="true", WANDB_MODE="offline")
        wandb = import_module("wandb")
        self._run = wandb.init(project="p", dir=os.environ["BENCH_DIR"])

    def emit(self, marker: str) -> None:
        """Log the values."""
        self._run.log({"id": marker, **META})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
