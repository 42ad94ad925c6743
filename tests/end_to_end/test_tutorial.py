"""READMEs and tutorials: each code block works as printed on a real backend."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from demo.backend import DemoBackend, start_backend
from scripts.project import ROOT
from tests.support.documents import marked_blocks, run
from trackerapi import TrackerApi

ORIGINAL_SCRIPT = Path(__file__).with_name("original_job.py.txt")
ORIGINAL_CONFIGURATIONS = Path(__file__).with_name("original_job_configurations.json")
ORIGINAL_STATES = [("running", 28.57), ("running", 71.43), ("succeeded", 100.0)]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Run one backend for this module."""
    with start_backend(tmp_path_factory.mktemp("backend")) as own:
        yield own


def test_readme_works_as_printed(backend: DemoBackend, tmp_path: Path) -> None:
    """The commands of the README, run in order, print the documented output."""
    blocks = marked_blocks(ROOT / "README.md")
    printed = []
    for block in blocks:
        if block.file_name:
            (tmp_path / block.file_name).write_text(block.text, encoding="utf-8")
        else:
            printed.append(
                run(
                    ["bash", "-euc", block.text],
                    tmp_path,
                    TRACKERAPI_BASE_URL=backend.base_url,
                    TRACKERAPI_API_KEY=backend.api_key,
                )
            )

    assert [bool(block.file_name) for block in blocks].count(False) == 8
    assert "Generated JSON Schema for JobConfigs at ." in printed[0]
    assert "Bye John!" in printed[1]
    assert "My Job: succeeded, 100 %" in printed[2]
    assert "My Job succeeded 100.0" in printed[3]
    assert printed[4] == "succeeded 100.0\n"
    assert "My Job: succeeded, 100 %" in printed[5]
    assert "100 of 100" in printed[5]
    assert [line.split()[:4] for line in printed[6].splitlines()[1:]][:1] == [
        ["events-7", "succeeded", "100", "%"]
    ]
    assert "3 jobs have succeeded" in printed[7]


def test_first_example_ends_its_job_when_a_step_raises(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """A script copied from the README fails its job when a step raises."""
    files = {b.file_name: b.text for b in marked_blocks(ROOT / "README.md")}
    script = files["my_job.py"].replace("random.randint(0, 100)", "1 // 0")
    assert "1 // 0" in script
    (tmp_path / "my_job.py").write_text(script, encoding="utf-8")
    configurations = files["job_configurations.json"]
    (tmp_path / "job_configurations.json").write_text(configurations, encoding="utf-8")
    settings = {
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_API_KEY": backend.api_key,
    }

    script_line = f"! {shlex.quote(sys.executable)} my_job.py John 2>&1"
    output = run(["bash", "-c", script_line], tmp_path, **settings)
    assert "ZeroDivisionError" in output

    # On a busy machine, the script may exit before its events are delivered.
    output += run(["trackerapi", "sync"], tmp_path, **settings)
    shown = run(["trackerapi", "job", "show", "--last"], tmp_path, **settings)
    assert "My Job: failed, 28.57 %" in shown, output
    assert "ZeroDivisionError" in shown


def test_script_of_the_original_tutorial_runs(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """The script of the original service runs with only key and address filled in.

    Its job of customer 142 succeeds.
    """
    script = ORIGINAL_SCRIPT.read_text(encoding="utf-8")
    script = script.replace("<your api key>", backend.api_key)
    script = script.replace("<url for tracker app backend>", backend.base_url)
    (tmp_path / "my_job.py").write_text(script, encoding="utf-8")
    shutil.copy(ORIGINAL_CONFIGURATIONS, tmp_path / "job_configurations.json")

    before = known_jobs(backend)
    run([sys.executable, "-W", "error", "my_job.py", "John"], tmp_path)

    (job_id,) = known_jobs(backend) - before
    with TrackerApi(api_key=backend.api_key, base_url=backend.base_url) as tracker:
        job = tracker.get_job(job_id)
        events = list(tracker.job(job_id).events())
    assert (job.customer_id, job.status, job.percent) == (142, "succeeded", 100.0)
    assert [event.tag for event in events] == ["say_hello", "random_number", "say_bye"]
    assert events[0].event_metadata == {"Message": "Hello John!"}
    assert isinstance(events[1].event_metadata["Random Number"], int)


def test_step_events_yield_the_documented_percentages(backend: DemoBackend) -> None:
    """Three steps of 10, 15 and 10 points yield 28.57, 71.43 and 100 percent."""
    from trackerapi import JobConfigManager

    manager = JobConfigManager(configurations_file=ORIGINAL_CONFIGURATIONS)
    config = manager.get_job_config("my_job")
    with TrackerApi(api_key=backend.api_key, base_url=backend.base_url) as tracker:
        job = tracker.create_job("original-percent", 142, config.name)
        seen = []
        for step in config.step_configurations:
            job.send_event(kind="step", name=step.tag)
            tracker.flush()
            state = tracker.get_job("original-percent")
            seen.append((state.status, state.percent))

    assert seen == ORIGINAL_STATES


def test_backend_readme_works_as_printed(tmp_path: Path) -> None:
    """The commands of the backend's README create a database, a key and a profile."""
    blocks = marked_blocks(ROOT / "backend/README.md")
    commands = "\n".join(block.text for block in blocks)

    printed = run(["bash", "-euc", commands], tmp_path)

    assert "trk_" in printed
    assert "display-name\tExample Radiology" in printed
    assert (tmp_path / "backend.db").exists()


def test_every_code_block_of_the_documents_is_run() -> None:
    """Each code block of each document is marked, so that a test runs it."""
    documents = [
        *ROOT.glob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("docs/**/*.md"),
    ]
    for path in documents:
        text = path.read_text(encoding="utf-8")
        fences = re.findall(r"^```(\w*)\n.*?^```", text, re.DOTALL | re.MULTILINE)
        code = [language for language in fences if language not in {"", "text"}]
        marked = [block for block in marked_blocks(path) if not block.is_output]
        assert len(code) == len(marked), path


def known_jobs(backend: DemoBackend) -> set[str]:
    """Return the provider job ids of all jobs."""
    with TrackerApi(api_key=backend.api_key, base_url=backend.base_url) as tracker:
        return {job.provider_job_id for job in tracker.list_jobs()}
