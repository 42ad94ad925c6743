"""One request for each event, made by the caller's own thread."""

from importlib import import_module
from typing import Any

from benchmarks.rig.adapter import META, Adapter


class RequestsPost(Adapter):
    """The original library's way: `requests.post` for each event, no session."""

    name, imports, blocks = "requests.post", "import requests", True

    def __init__(self, url: str) -> None:
        self._url = url + "/events"
        self._post: Any = self._posting()

    def emit(self, marker: str) -> None:
        """Send the event and raise for a status that says no."""
        event = {"id": marker, "kind": "progress", "name": "step", "metadata": META}
        self._post(self._url, json=event, timeout=10).raise_for_status()

    def _posting(self) -> Any:
        return import_module("requests").post


class RequestsSession(RequestsPost):
    """The same over a kept connection."""

    name = "requests.Session"

    def _posting(self) -> Any:
        return import_module("requests").Session().post


class HttpxClient(RequestsPost):
    """The same with httpx."""

    name, imports = "httpx.Client", "import httpx"

    def _posting(self) -> Any:
        return import_module("httpx").Client().post
