"""Scripts without a mistake, or with code that the check cannot judge."""

from pathlib import Path

import pytest

from scripts.project import ROOT
from tests.support.checked_scripts import IMPORT, MY_JOB, config, findings_in
from tests.support.documents import marked_blocks
from trackerapi.config.job_config import JobConfig, read_configs

BEGIN = """
from trackerapi import *
from trackerapi import TrackerApi, current_job, step
tracker = TrackerApi()
"""
JOB = 'job = tracker.create_job("1", 1, "my_job")\n'
RUN = 'with tracker.run_job("1", 1, "my_job") as job:\n'

SCRIPTS = {
    "loop over the configuration": JOB
    + """
for step in job.config.step_configurations:
    job.send_event(kind="step", name=step.tag)
""",
    "positional arguments": JOB
    + """
job.send_event("step", "say_hello")
job.send_event("step", "random_number", {"Number": 4})
job.send_event("step", "say_bye")
""",
    "last step reported as complete, as in the original service": JOB
    + """
job.send_event("step", "say_hello")
job.send_event("step", "random_number")
job.send_event("complete", "say_bye")
""",
    "kinds of the whole job": JOB
    + """
for step in job.config.step_configurations:
    job.send_event("complete", step.tag)
job.send_event("interrupt")
job.interrupt()
""",
    "events of something else": """
import blinker
blinker.send_event("step", "lunch")
""",
    "configuration by a name nobody knows": """
import sys
manager = JobConfigManager(sys.argv[1])
config = manager.get_job_config(sys.argv[2])
job = tracker.create_job("1", 1, config.name)
for number in range(len(config.step_configurations)):
    job.send_event(kind="step", name=config.step_configurations[number].tag)
""",
    "tags put together": JOB
    + """
import sys
for part in ("hello", sys.argv[1]):
    job.send_event(kind="step", name=f"say_{part}")
""",
    "tags from elsewhere": JOB
    + """
from settings import TAGS
for tag in TAGS:
    with job.step(tag):
        pass
""",
    "arguments from elsewhere": JOB
    + """
def report(**event):
    job.send_event(**event)
report(kind="step", name="other")
""",
    "handle given away": JOB + "import work\nwork.run(job)\n",
    "handle in a dict": JOB + "jobs = {}\njobs['x'] = job\n",
    "handle in an object": """
class Work:
    def __init__(self):
        self.job = tracker.run_job("1", customer_id=1, tag="my_job")
    def end(self):
        self.job.complete()
""",
    "handle returned": "def start():\n    return tracker.run_job('1', 1, 'my_job')\n",
    "handle thrown away": JOB,
    "reported in another place": JOB
    + "job.step('say_hello').done()\nprint(job.token())\n",
    "attached elsewhere in the script": """
def prepare(study):
    job = tracker.create_job(study, 1, "my_job", finish="explicit")
    job.step("say_hello").done()
def run(study):
    job = tracker.job(study, tag="my_job")
    job.step("random_number").done()
    job.step("say_bye").done()
    job.complete()
""",
    "attached by a token": """
with tracker.attach() as job:
    job.step("say_bye").advance()
    job.step("say_hello").advance()
""",
    "created twice": """
def prepare(study):
    job = tracker.create_job(study, 1, "my_job", finish="explicit")
    job.step("say_hello").done()
def run(study):
    with tracker.create_job(study, 1, "my_job", finish="explicit") as job:
        job.step("random_number").done()
        job.step("say_bye").done()
""",
    "finished in a branch": """
job = tracker.run_job("1", 1, "my_job")
try:
    for tag in ("say_hello", "random_number", "say_bye"):
        job.step(tag).done()
except OSError as error:
    job.fail(error=error)
else:
    job.complete()
""",
    "finished by an event": """
job = tracker.create_job("1", 1, "my_job", finish="explicit")
for tag in ("say_hello", "random_number", "say_bye"):
    job.send_event(kind="step", name=tag)
job.send_event(kind="complete")
""",
    "finished by a helper": """
def end(job):
    job.complete()
job = tracker.run_job("1", 1, "my_job")
for tag in ("say_hello", "random_number", "say_bye"):
    job.step(tag).done()
end(job)
""",
    "another block of the same handle": """
job = tracker.run_job("1", 1, "my_job")
with job:
    for tag in ("say_hello", "random_number", "say_bye"):
        job.step(tag).done()
""",
    "order in branches": RUN
    + """
    if input():
        job.step("say_bye").done()
    else:
        job.step("say_hello").done()
        job.step("random_number").done()
""",
    "order in handlers": RUN
    + """
    try:
        job.step("say_hello").done()
        job.step("say_bye").done()
    except OSError:
        job.step("random_number").done()
""",
    "order after a return": RUN
    + """
    def work():
        if input():
            job.step("say_bye").done()
            return
        job.step("say_hello").done()
        job.step("random_number").done()
    work()
""",
    "order after the first round": RUN
    + """
    for _ in range(3):
        job.step("say_hello").done()
        job.step("random_number").done()
        job.step("say_bye").done()
""",
    "order of a state machine": RUN
    + """
    state = "hello"
    while state:
        if state == "bye":
            job.step("say_bye").done()
            state = ""
        elif state == "hello":
            job.step("say_hello").done()
            state = "number"
        else:
            job.step("random_number").done()
            state = "bye"
""",
    "handles made first": RUN
    + """
    bye, number, hello = map(job.step, ["say_bye", "random_number", "say_hello"])
    bye, number = job.step("say_bye"), job.step("random_number")
    hello = job.step("say_hello")
    for step in (hello, number, bye):
        with step:
            pass
""",
    "method given away": RUN
    + """
    import sys
    list(map(job.skip, sys.argv))
    job.step("say_hello").done()
""",
    "skipped first": RUN
    + """
    job.skip("say_bye", reason="nobody is there")
    job.step("say_hello").done()
    job.step("random_number").done()
""",
    "started side by side": RUN
    + """
    from threading import Thread
    threads = [Thread(target=lambda: job.step("say_bye").done())]
    job.step("say_hello").done()
    job.step("random_number").done()
""",
    "coroutines side by side": RUN.replace("with", "async def main():\n  with")
    + """
      import asyncio
      await asyncio.gather(one("say_bye"), one("random_number"), one("say_hello"))
async def one(tag):
    with step(tag):
        pass
""",
    "begun anew": RUN
    + """
    job.send_event(kind="start", name="say_hello")
    job.send_event(kind="start", name="random_number")
    job.send_event(kind="step", name="say_hello")
    job.send_event(kind="step", name="random_number")
    with job.step("say_bye"), job.step("say_hello"):
        pass
""",
    "functions by name": RUN
    + """
    def hello(): ...
    steps = {"say_hello": hello, "random_number": hello, "say_bye": hello}
    for tag, work in steps.items():
        with job.step(tag):
            work()
""",
    "list that grows": RUN
    + """
    tags = ["say_bye"]
    tags.insert(0, "say_hello")
    for tag in tags + ["random_number"]:
        with job.step(tag):
            pass
""",
    "set": RUN
    + """
    for tag in {"say_bye", "random_number", "say_hello"}:
        with job.step(tag):
            pass
""",
    "callback": RUN
    + """
    def work(step_name):
        job.step(step_name).done()
    import engine
    engine.each(work)
""",
    "registered elsewhere": """
import click
@click.command()
@click.argument("name")
def main(name):
    with tracker.run_job(name, 1, "my_job"):
        hello(), number(), bye()
@step("say_hello")
def hello(): ...
@step("random_number")
def number(): ...
@step("say_bye")
def bye(): ...
main()
""",
    "methods of a derived class": """
class Base:
    def run(self):
        with tracker.run_job("1", 1, "my_job") as job:
            self.work(job)
    def work(self, job):
        raise NotImplementedError
class Work(Base):
    def work(self, job):
        job.step("say_hello").done()
        job.step("random_number").done()
        job.step("say_bye").done()
Work().run()
""",
    "generator": RUN
    + """
    def work():
        yield job.step("say_bye")
        yield job.step("random_number")
        yield job.step("say_hello")
    for one in work():
        one.done()
""",
    "own context manager": RUN
    + """
    from contextlib import contextmanager
    @contextmanager
    def told(job, tag):
        job.send_event(kind="start", name=tag)
        yield
        job.send_event(kind="step", name=tag)
    with told(job, "say_hello"), told(job, "random_number"), told(job, "say_bye"):
        pass
""",
    "two handles of a job": JOB
    + """
other = tracker.job("1", tag="my_job")
other.send_event(kind="step", name="say_hello")
job.send_event(kind="step", name="random_number")
job.send_event(kind="step", name="say_hello")
job.send_event(kind="step", name="say_bye")
""",
    "other things with steps": """
import torch
scheduler.step("lod")
env.skip("x")
optimizer.step()
""",
    "shadowed name": """
from other import step
with step("not ours"):
    pass
""",
    "job-level events": JOB
    + """
for tag in (None, "say_hello", "random_number", "say_bye"):
    job.send_event(kind="step" if tag else "info", name=tag)
job.send_event(kind="info", name=None, message="hello")
""",
    "perhaps no job": """
job = None
if input():
    job = tracker.create_job("1", 1, "my_job")
if job:
    for tag in ("say_hello", "random_number", "say_bye"):
        job.send_event(kind="step", name=tag)
""",
    "recursion": RUN
    + """
    def work(depth):
        with job.step("say_hello"):
            if depth:
                work(depth - 1)
        with job.step("random_number"), job.step("say_bye"):
            pass
    work(3)
""",
    "command of another program": RUN
    + """
    import subprocess
    job.step("say_hello").done()
    subprocess.run(["trackerapi", "run", "--step", "random_number", "--", "true"])
    job.step("say_bye").done()
""",
    "one of two jobs": """
if input():
    job = tracker.create_job("1", 1, "my_job")
else:
    job = tracker.create_job("1", 1, "nightly_import")
job.step("say_hello").done()
job.step("load").done()
job.step("random_number"), job.step("say_bye"), job.step("fetch"), job.step("index")
""",
    "own configuration": """
manager = JobConfigManager(configs=[{"tag": "own", "name": "Own"}])
job = tracker.create_job("1", 1, "own", config=manager.get_job_config("own"))
job.step("anything").done()
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_is_found_in_what_may_be_right(name: str) -> None:
    """The check reports no finding for correct code or code it cannot judge."""
    found = findings_in(BEGIN + SCRIPTS[name], MY_JOB, IMPORT)

    assert not [finding.as_text() for finding in found]


Example = tuple[str, Path, tuple[JobConfig, ...]]


def examples() -> list[Example]:
    """Return scripts of the original service, the demo and the README.

    Each script has its configurations.
    """
    original = ROOT / "tests/end_to_end/original_job.py.txt"
    original_configs = read_configs(
        ROOT / "tests/end_to_end/original_job_configurations.json"
    )
    demo_configs = read_configs(ROOT / "demo/job_configurations.json")
    demos = sorted(ROOT.joinpath("demo").glob("*.py"))
    tutorial = {one.file_name: one.text for one in marked_blocks(ROOT / "README.md")}
    return [
        (original.read_text(), original, original_configs),
        *((path.read_text(), path, demo_configs) for path in demos),
        *(
            (text, ROOT / name, original_configs)
            for name, text in tutorial.items()
            if name and name.endswith(".py")
        ),
    ]


@pytest.mark.parametrize(("text", "path", "configs"), examples())
def test_nothing_is_found_in_the_examples(
    text: str, path: Path, configs: tuple[JobConfig, ...]
) -> None:
    """The scripts of the original service, the demo and the README give no finding."""
    assert not findings_in(text, *configs, path=path)


@pytest.mark.parametrize("page", ["job-scripts.md", "several-hosts.md"])
def test_documents_leave_out_steps_and_make_no_mistake(
    page: str, tmp_path: Path
) -> None:
    """Scripts in documents have no finding except `never-sent`."""
    blocks = marked_blocks(ROOT / "docs" / page)
    files = {one.file_name: one.text for one in blocks if one.file_name}
    configs: list[JobConfig] = []
    for name, text in files.items():
        if name.endswith("_configurations.json"):
            path = tmp_path / name
            path.write_text(text)
            configs += read_configs(path)
    scripts = [text for name, text in files.items() if name.endswith(".py")]
    found = [one for text in scripts for one in findings_in(text, *configs)]

    assert scripts
    assert {one.code for one in found} <= {"never-sent"}


def test_only_after_decides_the_order() -> None:
    """A step is reported as `wrong-order` only before a step that its `after` names."""
    scans = config(
        "scans",
        "receive",
        "left",
        "right",
        "report",
        left=("receive",),
        right=("receive",),
        report=("left", "right"),
    )
    script = (
        BEGIN
        + """
with tracker.run_job("1", 1, "scans") as job:
    job.step("receive").done()
    job.step("right").done()
    job.step("left").done()
    job.step("report").done()
"""
    )
    late = (
        script.replace('"receive"', '"x"')
        .replace('"left"', '"receive"')
        .replace('"x"', '"left"')
    )

    assert not findings_in(script, scans)
    assert [(one.line, one.code) for one in findings_in(late, scans)] == [
        (9, "wrong-order")
    ]
