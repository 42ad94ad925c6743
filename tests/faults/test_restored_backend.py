"""Backend restored from a copy: outboxes deliver the missing events again."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo.backend import start_backend
from tests.support.proof_runs import FLUSHED, Lab, Pictures
from tests.support.running_backend import RunningBackend


@contextmanager
def serving(folder: Path, lab: Lab) -> Iterator[None]:
    """Run a backend on the data in `folder`, behind the proxy of the lab."""
    with start_backend(folder) as started:
        url, key = started.base_url, started.api_key
        lab.backend = RunningBackend(url, key, "", started.customer_id)
        lab.proxy.backend_url = url
        lab.proxy.come_up()
        yield
        lab.proxy.go_down()


def test_outbox_replay_completes_a_backend_restored_from_a_copy(
    lab: Lab, undisturbed: Pictures, tmp_path: Path
) -> None:
    """The job that began after the copy is created again; all events are replayed."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    with ExitStack() as running:
        with serving(data, lab):
            job = running.enter_context(lab.start("--flush", "30"))
            job.pass_gate("phase 1")
            job.await_gate("phase 2")
            lab.await_delivered()
        shutil.copytree(data, copy)
        with serving(data, lab):
            job.open_gate()
            job.await_gate("phase 3")
            lab.await_delivered()
        with serving(copy, lab):
            job.open_gate()
            job.run_through("reported")
            assert tuple(job.printed) == FLUSHED
            lab.run("outbox", "replay")
            lab.assert_all_arrived(undisturbed, in_order_of_arrival=False)
