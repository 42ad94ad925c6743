"""Adapters that send one request for each event, in the thread of the caller."""

from importlib import import_module
from typing import Any

from benchmarks.rig.adapter import META, Adapter


class RequestsPost(Adapter):
    """`requests.post` for each event without a session, as in the original library."""

    name, imports, blocks = "requests.post", "import requests", True

    def __init__(self, url: str) -> None:
        self._url = url + "/events"
        self._post: Any = self._posting()

    def emit(self, marker: str) -> None:
        """Send the event; raise for the status of a failure."""
        event = {"id": marker, "kind": "progress", "name": "step", "metadata": META}
        self._post(self._url, json=event, timeout=10).raise_for_status()

    def _posting(self) -> Any:
        return import_module("requests").post


class RequestsSession(RequestsPost):
    """`requests.Session.post` for each event, over one connection."""

    name = "requests.Session"

    def _posting(self) -> Any:
        return import_module("requests").Session().post


class HttpxClient(RequestsPost):
    """`httpx.Client.post` for each event, over one connection."""

    name, imports = "httpx.Client", "import httpx"

    def _posting(self) -> Any:
        return import_module("httpx").Client().post
