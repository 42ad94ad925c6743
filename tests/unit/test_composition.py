"""`Connector`: the connection that the threads of a tracker share."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trackerapi.composition import Connector
from trackerapi.settings.settings import Settings
from trackerapi.wire import connection


def test_threads_that_start_at_once_share_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`connection()` returns one and the same connection to two concurrent threads."""
    both_are_making = threading.Barrier(2)

    class SlowConnection(connection.Connection):
        def __init__(self, settings: Settings, user_agent: str) -> None:
            super().__init__(settings, user_agent)
            both_are_making.wait(60)

    monkeypatch.setattr(connection, "Connection", SlowConnection)
    given = {"base_url": "http://127.0.0.1:9", "api_key": "key"}
    connector = Connector(Settings.resolve(given, {}))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: connector.connection(), range(2))

    assert first is second is connector.connection()
    connector.close()
