"""Ids of events in forked processes."""

import subprocess
import sys


def test_ids_of_a_forked_child_differ_from_those_of_its_parent() -> None:
    """100 ids of a parent and 100 ids of its child have different random bits."""
    script = (
        "import os\n"
        "from trackerapi.events.stamps import new_stamp\n"
        "new_stamp()\n"
        "pid = os.fork()\n"
        "ids = [new_stamp()[0] for _ in range(100)]\n"
        "os.write(1, ('\\n'.join(ids) + '\\n').encode())\n"
        "pid and os.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )

    ids = done.stdout.split()
    assert len(ids) == 200
    assert len({event_id[-7:] for event_id in ids}) == 2
    assert len(set(ids)) == 200
