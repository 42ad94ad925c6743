"""Messages of the library on stderr."""

import re

import pytest

from tests.support.scripts import Scripts


@pytest.mark.parametrize(
    ("set_up", "begin"),
    [
        ("", r"trackerapi: \w"),
        ("import logging; logging.basicConfig()", r"WARNING:trackerapi:(?!track)\w"),
    ],
)
def test_message_on_stderr_names_the_library_once(
    scripts: Scripts, set_up: str, begin: str
) -> None:
    """Each message on stderr names the library once, with and without logging."""
    scripts.base_url = "http://127.0.0.1:9"
    _, errors = scripts.run(f"""\
        {set_up}
        with TrackerApi(shutdown_timeout=0) as tracker:
            tracker.job(JOB).send_event(kind="inof")
        """)

    lines = errors.splitlines()
    assert "'inof'" in lines[0]
    assert all(re.match(begin, line) for line in lines)
    assert not any("trackerapi: trackerapi: " in line for line in lines)
