"""Scripts in which a simpler check would report right code.

In each script, the check loses track of a handle, a tag or the order of steps.
"""

import pytest

from tests.support.checked_scripts import MY_JOB, findings_in

BEGIN = """
from trackerapi import TrackerApi, current_job, step
tracker = TrackerApi()
"""
JOB = BEGIN + 'job = tracker.create_job("1", 1, "my_job")\n'
CONFIG = JOB + "steps = job.config.step_configurations\n"
RUN_JOB = BEGIN + 'job = tracker.run_job("1", 1, "my_job")\n'
STEPS = """
for tag in ("say_hello", "random_number", "say_bye"):
    job.step(tag).done()
"""

TAGS = {
    "f-string": JOB
    + """
prefix = "say"
job.step(f"{prefix}_hallo").done()
""",
    "sum of strings": JOB + 'job.step("say" + "_hallo").done()\n',
    "dict": JOB + 'TAGS = {"hello": "say_hallo"}\njob.step(TAGS["hello"]).done()\n',
    "attribute of an object": JOB
    + """
class Steps:
    HELLO = "say_hallo"
    def run(self):
        job.step(self.HELLO).done()
""",
    "either of two tags": JOB
    + 'job.step("say_hallo" if input() else "say_hello").done()\n',
    "empty placeholder": JOB
    + """
tag = ""
for line in open("steps"):
    if tag:
        job.step(tag).done()
    tag = line
""",
    "compared placeholder": JOB
    + """
tag = "idle"
for line in open("steps"):
    if tag not in ("idle", "paused"):
        job.step(tag).done()
    tag = line
""",
    "variable that a thread reads": JOB
    + """
from threading import Thread
tag = "waiting"
def work():
    job.step(tag).done()
thread = Thread(target=work)
tag = input()
thread.start()
""",
    "global variable that a later function sets": JOB
    + """
tag = "none"
def on_work():
    job.step(tag).done()
def on_start():
    global tag
    tag = input()
""",
    "class attribute that a later function sets": JOB
    + """
class Current:
    tag = "none"
def on_work():
    job.step(Current.tag).done()
def on_start():
    Current.tag = input()
""",
    "argument behind a star": JOB
    + """
def report(prefix, handle, tag="say_hello"):
    handle.step(tag).done()
report(*["x"], job, "say_hello")
""",
    "list without an item": JOB
    + """
tags = ["title", "say_hello", "random_number", "say_bye"]
del tags[0]
for tag in tags:
    job.step(tag).done()
""",
    "list that a function changes": JOB
    + """
tags = ["title", "say_hello", "random_number", "say_bye"]
def clean(items):
    items.remove("title")
clean(tags)
for tag in tags:
    job.step(tag).done()
""",
    "annotated parameter of another name": """
def load(handle: "TrackerJob"):
    handle.skip("say_by")
""",
    "step of something else": """
spark_job = session.new()
spark_job.step("shuffle")
spark_job.track(files, step="sort")
""",
}

HANDLES = {
    "default of a lambda": RUN_JOB
    + STEPS
    + "import atexit\natexit.register(lambda job=job: job.complete())\n",
    "function registered before the job exists": BEGIN
    + """
import atexit
def end():
    job.complete()
atexit.register(end)
job = tracker.run_job("1", 1, "my_job")
"""
    + STEPS,
    "attribute of a class": BEGIN
    + """
class Work:
    job = tracker.run_job("1", 1, "my_job")
    def end(self):
        for tag in ("say_hello", "random_number", "say_bye"):
            self.job.step(tag).done()
        self.job.complete()
""",
    "result of one of two returns": BEGIN
    + """
def start(study):
    if study:
        return tracker.run_job(study, 1, "my_job"), True
    return tracker.run_job("1", 1, "my_job"), False
job, is_new = start(input())
"""
    + STEPS
    + "job.complete()\n",
    "list that grows": RUN_JOB
    + "jobs = [job]\njobs.append(None)\nfor each in jobs:\n    each.complete()\n"
    + STEPS,
    "item taken from a list": RUN_JOB + STEPS + "jobs = [job]\njobs.pop().complete()\n",
    "item of a dict": RUN_JOB + STEPS + 'jobs = {"a": job}\njobs["a"].complete()\n',
    "items of a tracked loop": RUN_JOB
    + STEPS
    + """
other = tracker.create_job("2", 1, "my_job")
for each in other.step("say_hello").track([job]):
    each.complete()
""",
    "keyword arguments": RUN_JOB
    + STEPS
    + """
def end(**handles):
    handles["job"].complete()
end(job=job)
""",
    "job of the round before": BEGIN
    + """
job = None
for study in ("1", "2"):
    if job:
        job.complete()
    job = tracker.run_job(study, 1, "my_job")
    for tag in ("say_hello", "random_number", "say_bye"):
        job.step(tag).done()
job.complete()
""",
    "block entered by hand": BEGIN
    + 'job = tracker.run_job("1", 1, "my_job").__enter__()\n'
    + STEPS
    + "job.__exit__(None, None, None)\n",
    "method by its name": RUN_JOB + STEPS + 'getattr(job, "complete")()\n',
    "finish that may be automatic": BEGIN
    + """
finish = "explicit" if input() else None
job = tracker.create_job("1", 1, "my_job", finish=finish)
"""
    + STEPS,
    "event of a step or of the job": BEGIN
    + 'job = tracker.create_job("1", 1, "my_job", finish="explicit")\n'
    + STEPS
    + 'job.send_event("complete", name="say_bye" if input() else None)\n',
    "one job by two names of its id": BEGIN
    + """
def prepare(study):
    job = tracker.create_job(study, 1, "my_job", finish="explicit")
    job.step("say_hello").done()
def run(name):
    with tracker.create_job(name, 1, "my_job", finish="explicit") as job:
        job.step("random_number").done()
        job.step("say_bye").done()
""",
}

REPORTS = {
    "steps by the handle": JOB + "for each in job.steps.values():\n    each.done()\n",
    "arguments of a pool": CONFIG
    + """
from multiprocessing import Pool
def report(handle, tag):
    handle.step(tag).done()
with Pool() as pool:
    pool.apply_async(report, (job, steps[0].tag))
    pool.starmap(report, [(job, each.tag) for each in steps[1:]])
""",
    "partial with another default": CONFIG
    + """
from functools import partial
def report(handle, tag="say_hello"):
    handle.step(tag).done()
finish = partial(report, job)
finish()
finish(tag=steps[1].tag)
finish(tag=steps[2].tag)
""",
    "recursion": CONFIG
    + """
def report(number, each):
    job.step(each.tag).done()
    if number == 0:
        report(1, steps[1])
    elif number == 1:
        report(2, steps[2])
report(0, steps[0])
""",
    "decorated by a call": CONFIG
    + """
with job:
    for each in (step(steps[0].tag), step(steps[1].tag), step(steps[2].tag)):
        each(print)("hello")
""",
    "command line in an f-string": CONFIG
    + """
import subprocess
for each in steps:
    subprocess.run(["trackerapi", "run", f"--step={each.tag}", "--", "true"])
job.note("done")
""",
    "environment of another process": CONFIG
    + """
import os
os.environ["STEP"] = steps[0].tag
job.step(steps[1].tag).done()
job.step(steps[2].tag).done()
""",
    "variable that a pool reads later": CONFIG
    + """
from concurrent.futures import ThreadPoolExecutor
def report():
    job.step(each.tag).done()
with ThreadPoolExecutor() as pool:
    each = steps[0]
    pool.submit(report)
    each = steps[1]
    pool.submit(report)
    each = steps[2]
    pool.submit(report)
""",
}

ORDERS = {
    "return in a try block": JOB
    + """
def run():
    try:
        load_cache()
        job.step("say_bye").done()
        return
    except KeyError:
        pass
    job.step("say_hello").done()
    job.step("random_number").done()
run()
""",
    "return in a block that swallows exceptions": JOB
    + """
from contextlib import suppress
def run():
    with suppress(KeyError):
        load_cache()
        job.step("say_bye").done()
        return
    job.step("say_hello").done()
    job.step("random_number").done()
run()
""",
    "handles in the order of another list": CONFIG
    + """
handles = [job.step(each.tag) for each in steps]
for each in reversed(handles):
    each.done()
for tag in sorted(["say_bye", "random_number", "say_hello"]):
    job.step(tag).done()
""",
    "step begun by a thread": JOB
    + """
from threading import Thread
thread = Thread(target=lambda: job.step("say_hello").done())
thread.start()
job.step("random_number").done()
job.step("say_hello").done()
job.step("say_bye").done()
""",
    "tasks of a group": BEGIN
    + """
import asyncio
async def one(job, tag):
    async with job.step(tag):
        pass
async def main():
    async with tracker.run_job("1", 1, "my_job") as job, asyncio.TaskGroup() as group:
        group.create_task(one(job, "say_bye"))
        group.create_task(one(job, "random_number"))
        group.create_task(one(job, "say_hello"))
asyncio.run(main())
""",
    "behind branches that begin a later step": JOB
    + """
if input():
    job.step("say_bye").done()
else:
    job.step("random_number").done()
    job.step("say_bye").done()
job.step("say_hello").done()
""",
}


@pytest.mark.parametrize("name", TAGS)
def test_an_uncertain_tag_counts_as_right(name: str) -> None:
    """A tag with several possible values is not reported."""
    assert [one.as_text() for one in findings_in(TAGS[name], MY_JOB)] == []


@pytest.mark.parametrize("name", HANDLES)
def test_a_job_with_a_lost_handle_counts_as_ended(name: str) -> None:
    """If the check loses track of a job's handle, no missing end is reported."""
    assert [one.as_text() for one in findings_in(HANDLES[name], MY_JOB)] == []


@pytest.mark.parametrize("name", REPORTS)
def test_a_lost_tag_counts_as_reported(name: str) -> None:
    """If other code gets a tag or a handle, `never-sent` is not reported."""
    assert [one.as_text() for one in findings_in(REPORTS[name], MY_JOB)] == []


@pytest.mark.parametrize("name", ORDERS)
def test_an_uncertain_order_counts_as_right(name: str) -> None:
    """An order that depends on the path through the script is not reported."""
    assert [one.as_text() for one in findings_in(ORDERS[name], MY_JOB)] == []
