"""Connections of forked processes."""

import subprocess
import sys

from tests.support.scripted_server import (
    OWNER,
    answering,
    http,
)


def test_forked_child_opens_a_connection_of_its_own() -> None:
    """A forked child uses another connection than its parent."""
    script = (
        "import os, sys\n"
        "import httpx\n"
        "from trackerapi import TrackerApi\n"
        # A busy machine may take longer than the time limit of an idle connection.
        "httpx._config.DEFAULT_LIMITS.keepalive_expiry = 3600\n"
        "tracker = TrackerApi(api_key='key', base_url=sys.argv[1])\n"
        "tracker.verify_api_key()\n"
        "pid = os.fork()\n"
        "for _ in range(20):\n"
        "    tracker.verify_api_key()\n"
        "if pid:\n"
        "    status = os.waitpid(pid, 0)[1]\n"
        "    tracker.verify_api_key()\n"
        "    sys.exit(status)\n"
        "os._exit(0)\n"
    )

    with answering(http(200, OWNER)) as server:
        subprocess.run([sys.executable, "-c", script, server.url], check=True)

    assert server.connection_count == 2
    assert len(server.requests) == 1 + 20 + 20 + 1
