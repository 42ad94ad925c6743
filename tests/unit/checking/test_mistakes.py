"""Mistakes planted in scripts of every style.

A mark such as `#! unknown-step 'lod' -> 'load'` names the finding of its line.
"""

import pytest

from scripts.project import ROOT
from tests.support.checked_scripts import IMPORT, MY_JOB, differences, findings_in
from tests.support.documents import marked_blocks
from trackerapi.config.job_config import read_configs

SEED = """
from trackerapi import JobConfigManager, TrackerApi
manager = JobConfigManager(configurations_file="./job_configurations.json")
config = manager.get_job_config("my_job")
tracker = TrackerApi()
"""
BLOCK = """
from trackerapi import TrackerApi, current_job, current_step, step
tracker = TrackerApi()
"""

SCRIPTS = {
    "seed, misspelt tag": SEED
    + """
job = tracker.create_job("1", 1, tag=config.name) #! never-sent 'say_hello'
job.send_event(kind="step", name="say_helo") #! unknown-step 'say_helo' -> 'say_hello'
job.send_event(kind="step", name=config.step_configurations[1].tag)
job.send_event(kind="step", name=config.step_configurations[2].tag)
""",
    "seed, step left out": SEED
    + """
job = tracker.create_job("1", 1, tag=config.name) #! never-sent 'random_number'
job.send_event(kind="step", name=config.step_configurations[0].tag)
job.send_event(kind="step", name=config.step_configurations[2].tag)
""",
    "seed, order by index": SEED
    + """
job = tracker.create_job(provider_job_id="1", customer_id=1, tag=config.name)
job.send_event(kind="step", name=config.step_configurations[0].tag)
job.send_event(kind="step", name=config.step_configurations[-1].tag)
number = config.step_configurations[1]
job.send_event(kind="step", name=number.tag) #! wrong-order 'random_number'
""",
    "seed, unpacked in another order": SEED
    + """
number, hello, bye = config.step_configurations
job = tracker.create_job(provider_job_id="1", customer_id=1, tag="my_job")
job.send_event(kind="step", name=hello.tag)
job.send_event(kind="step", name=number.tag) #! wrong-order 'say_hello'
job.send_event(kind="step", name=bye.tag)
""",
    "seed, display names": SEED
    + """
job = tracker.create_job("1", 1, "My Job")
job.send_event(kind="step", tag="Say Hello")
job.send_event(kind="step", tag="Random Nmber") #! unknown-step -> 'random_number'
job.send_event(kind="step", tag="Random Number")
job.send_event(kind="step", tag="Say Bye")
""",
    "seed, misspelt kind": SEED
    + """
job = tracker.create_job("1", 1, "my_job")
for step in config.step_configurations:
    job.send_event(kind="stp", name=step.tag) #! unknown-kind 'stp' -> 'step'
    job.send_event(kind="gauge", name=step.tag)
""",
    "positional arguments": SEED
    + """
job = tracker.create_job("1", 1, "my_job") #! never-sent 'random_number'
job.send_event("complete", "say_bye")
job.send_event("stp", "say_hello", {"a": 1}) #! unknown-kind 'stp' -> 'step'
job.send_event("step", "say_helo") #! unknown-step 'say_helo' -> 'say_hello'
""",
    "explicit finish, last step complete": SEED
    + """
job = tracker.create_job("1", 1, "my_job", finish="explicit") #! missing-finish
for step in config.step_configurations:
    job.send_event("complete", step.tag)
""",
    "interruption is no end": SEED
    + """
job = tracker.run_job("1", 1, "my_job") #! missing-finish
for step in config.step_configurations:
    job.send_event("step", step.tag)
job.interrupt()
job.send_event("interrupt")
""",
    "helper of a job nobody knows, positional": """
def report(job, tag):
    job.send_event("step", "say_helo") #! unknown-step 'say_helo' -> 'say_hello'
""",
    "seed, misspelt job": """
from trackerapi import JobConfigManager, TrackerApi
manager = JobConfigManager("./job_configurations.json")
config = manager.get_job_config("my_jb") #! unknown-job 'my_jb' -> 'my_job'
with TrackerApi() as tracker:
    job = tracker.create_job("1", 1, config.tag)
    for step in config.step_configurations:
        job.send_event(kind="step", name=step.tag)
""",
    "job tag alone": BLOCK
    + """
with tracker.run_job("1", 1, tag="my_joob") as job: #! unknown-job 'my_joob' -> 'my_job'
    job.step("say_hello"), job.step("random_number"), job.step("say_bye")
""",
    "blocks": BLOCK
    + """
with tracker.run_job("1", 1, tag="my_job") as job: #! never-sent 'random_number'
    with job.step("say_helo") as step: #! unknown-step 'say_helo' -> 'say_hello'
        step.advance()
    with job.step("say_bye"):
        pass
    with job.step("say_hello"): #! wrong-order 'say_hello'
        pass
""",
    "loops and skips": BLOCK
    + """
with tracker.create_job("1", customer_id=1, tag="my_job") as job:
    job.skip("say_by", reason="no") #! unknown-step 'say_by' -> 'say_bye'
    job.skip("say_bye")
    for item in job.track([1, 2], step="random_number"):
        pass
    for item in job.track([1, 2], step="say_hello"): #! wrong-order 'say_hello'
        pass
    for item in job.track([1, 2], step="say_hell"): #! unknown-step 'say_hell'
        pass
""",
    "tracked step": BLOCK
    + """
with tracker.run_job("1", 1, "my_job") as job:
    with job.step("random_number") as step:
        for item in step.track(range(3)):
            pass
    hello = job.step("say_hello") #! wrong-order 'say_hello'
    for item in hello.track(range(3)):
        pass
    job.steps["say_by"].done() #! unknown-step 'say_by' -> 'say_bye'
    job.steps["say_bye"].done()
""",
    "decorators": BLOCK
    + """
@step("say_helo") #! unknown-step 'say_helo' -> 'say_hello'
def hello():
    current_step().total = 3

@step("random_number")
def number(): ...

@step("say_hello") #! wrong-order
def right(): ...

@tracker.as_job("my_job", provider_job_id=lambda n: n, customer_id=1) #! never-sent
def pipeline(name):
    hello()
    number()
    right()

pipeline("x")
""",
    "decorated coroutines": BLOCK
    + """
import asyncio

@step("random_number")
async def number(): ...

@step("say_hello") #! wrong-order 'say_hello'
async def hello(): ...

@tracker.job("my_job", provider_job_id="1", customer_id=1) #! never-sent 'say_bye'
async def pipeline():
    await number()
    await hello()

asyncio.run(pipeline())
""",
    "module-level step": BLOCK
    + """
def work():
    with step("say_helo"): #! unknown-step 'say_helo'
        pass
    with step("random_number"):
        pass
    with step("say_hello"): #! wrong-order 'say_hello'
        pass

with tracker.run_job("1", 1, "my_job"): #! never-sent 'say_bye'
    work()
""",
    "all names at once": """
from trackerapi import *
with TrackerApi().run_job("1", 1, "my_job"): #! never-sent 'random_number'
    with step("say_helo"): #! unknown-step 'say_helo'
        current_job().skip("say_bye")
    with step("say_hello"):
        pass
""",
    "current job": BLOCK
    + """
def work():
    current_job().skip("say_helo") #! unknown-step 'say_helo'
    for step in ("say_hello", "random_number", "say_bye"):
        current_job().step(step).done()

with tracker.run_job("1", 1, "my_job"):
    work()
""",
    "aliases": BLOCK
    + """
import trackerapi as api
other = api.TrackerApi(mode="off")
job = other.create_job("1", 1, "my_job") #! never-sent 'say_bye'
my_job = job
send = my_job.send_event
send(kind="step", name="say_helo") #! unknown-step 'say_helo'
send(kind="step", name="random_number")
send(kind="step", name="say_hello") #! wrong-order
""",
    "constants": BLOCK
    + """
JOB = "my_job"
HELLO, NUMBER = "say_helo", "random_number"
class Steps:
    BYE: str = "say_by"

with tracker.run_job("1", 1, JOB) as job: #! never-sent 'say_bye' #! never-sent 'say_he'
    job.step(HELLO).done() #! unknown-step 'say_helo'
    job.step(NUMBER).done()
    job.step(Steps.BYE).done() #! unknown-step 'say_by'
""",
    "enumeration": BLOCK
    + """
from enum import StrEnum
class Step(StrEnum):
    HELLO = "say_hello"
    NUMBER = "random_nmber"
    BYE = "say_bye"

with tracker.run_job("1", 1, "my_job") as job: #! never-sent 'random_number'
    job.step(Step.HELLO.value).done()
    job.step(Step.NUMBER).done() #! unknown-step 'random_nmber' -> 'random_number'
    job.step(Step.BYE).done()
""",
    "known lists": BLOCK
    + """
with tracker.run_job("1", 1, "my_job") as job: #! never-sent 'say_bye'
    for tag in ["say_hello", "say_by", "random_number"]:
        with job.step(tag): #! unknown-step 'say_by' -> 'say_bye'
            pass
""",
    "known list in another order": BLOCK
    + """
with tracker.run_job("1", 1, "my_job") as job:
    for tag, work in [("random_number", 1), ("say_hello", 2), ("say_bye", 3)]:
        with job.step(tag): #! wrong-order 'say_hello'
            pass
""",
    "helper gets the job": BLOCK
    + """
def hello(job, name):
    job.send_event(kind="step", name="say_helo") #! unknown-step 'say_helo'
    job.send_event(kind="step", name="say_hello") #! wrong-order 'say_hello'

def report(handle, *, tag, kind="step"):
    handle.send_event(kind=kind, name=tag)

def main():
    job = tracker.create_job("1", 1, "my_job") #! never-sent 'say_bye'
    report(job, tag="random_number")
    report(job, tag="random_nmber") #! unknown-step 'random_nmber'
    hello(job, "x")

if __name__ == "__main__":
    main()
""",
    "helper makes the job": BLOCK
    + """
def start(tag):
    return tracker.run_job("1", 1, tag) #! never-sent 'say_bye'

with start("my_job") as job:
    job.step("random_number").done()
    job.step("say_hello").done() #! wrong-order
""",
    "helper that other modules call with a job": """
from trackerapi import TrackerJob
def load(job: TrackerJob | None):
    job.step("say_helo").done() #! unknown-step 'say_helo' -> 'say_hello'
""",
    "helper that others call": """
def load(job, tracker):
    with job.step("say_helo"): #! unknown-step 'say_helo' -> 'say_hello'
        pass
    with tracker.run_job("1", 1, tag="my_job") as own: #! never-sent
        own.step("say_bye").done()
        own.step("random_number").done() #! wrong-order
""",
    "methods": BLOCK
    + """
class Pipeline:
    def __init__(self, tracker):
        self.job = tracker.create_job("1", customer_id=1, tag="my_job")

    def run(self):
        with self.job.step("say_helo"): #! unknown-step 'say_helo'
            self.work()
        self.job.skip("say_by") #! unknown-step 'say_by'

    def work(self):
        self.job.send_event(kind="step", name="random_nr") #! unknown-step 'random_nr'

Pipeline(tracker).run()
""",
    "only the job's own steps": BLOCK
    + """
with tracker.run_job("1", 1, "my_job") as job: #! never-sent 'say_bye'
    job.step("say_hello").done()
    job.step("random_number").done()
    job.step("load").done() #! unknown-step 'load'
with tracker.run_job("2", 1, "nightly_import") as job: #! never-sent 'index'
    job.step("fetch").done()
    job.step("load").done()
    job.step("say_bye").done() #! unknown-step 'say_bye'
""",
    "any configuration": """
from trackerapi import TrackerApi
def work(job_tag, tracker: TrackerApi):
    job = tracker.create_job("1", 1, job_tag)
    job.send_event(kind="step", name="lod") #! unknown-step 'lod' -> 'load'
    job.send_event(kind="step", name="load")
""",
    "no finish": BLOCK
    + """
job = tracker.run_job("1", 1, "my_job") #! missing-finish
for step in job.config.step_configurations:
    job.step(step.tag).done()
other = tracker.create_job("2", 1, "my_job", finish="explicit") #! missing-finish
other.step("say_hello").done()
""",
    "no finish in a function": BLOCK
    + """
def run(study):
    job = tracker.run_job(study, 1, "my_job") #! missing-finish
    for step in job.config.step_configurations:
        with job.step(step.tag):
            pass
""",
    "branches": BLOCK
    + """
import sys
with tracker.run_job("1", 1, "my_job") as job: #! never-sent 'say_hello'
    if sys.argv[1:]:
        job.step("say_bye").done()
        job.step("random_number").done() #! wrong-order 'random_number'
    elif sys.argv:
        job.step("random_number").done()
        job.step("say_bye").done()
    else:
        sys.exit(1)
""",
    "behind branches": BLOCK
    + """
with tracker.run_job("1", 1, "my_job") as job: #! never-sent 'say_bye'
    job.step("random_number").done()
    if input():
        pass
    elif input():
        print()
    job.step("say_hello").done() #! wrong-order 'say_hello'
""",
    "method that creates the job": BLOCK
    + """
class Pipeline:
    def run(self, study):
        with tracker.run_job(study, 1, "my_job") as job: #! never-sent 'say_bye'
            job.step("random_number").done()
            job.step("say_helo").done() #! unknown-step 'say_helo' -> 'say_hello'
            job.step("say_hello").done() #! wrong-order 'say_hello'

Pipeline().run("S1")
""",
    "function that is a job": BLOCK
    + """
@step("random_number")
def number(): ...

@tracker.as_job("my_jb", provider_job_id="1", customer_id=1) #! unknown-job -> 'my_job'
def pipeline():
    number()
    with step("say_helo"): #! unknown-step 'say_helo'
        pass
    with step("say_hello"): #! wrong-order
        current_job().skip("say_bye")

pipeline()
""",
    "in a loop": BLOCK
    + """
for study in range(3):
    with tracker.run_job(str(study), 1, "my_job") as job: #! never-sent 'say_bye'
        while True:
            job.step("random_number").done()
            job.step("say_hello").done() #! wrong-order 'say_hello'
            if study:
                break
""",
    "within try": BLOCK
    + """
job = tracker.create_job("1", 1, "my_job") #! never-sent 'say_bye'
try:
    job.step("random_number").done()
except OSError:
    raise
else:
    print()
finally:
    print()
with open("x") as file, job.step("say_hello"): #! wrong-order 'say_hello'
    pass
""",
    "match": BLOCK
    + """
def run(what):
    with tracker.run_job("1", 1, "my_job") as job: #! never-sent 'say_bye'
        match what:
            case "a":
                job.step("random_number").done()
                job.step("say_hello").done() #! wrong-order
            case [first, *rest]:
                job.step("say_hallo").done() #! unknown-step 'say_hallo'
""",
    "threads": BLOCK
    + """
from concurrent.futures import ThreadPoolExecutor as Pool
from threading import Thread
def hello(job, tag):
    job.step(tag).done()
def number(item):
    job.step("random_nmber").advance() #! unknown-step 'random_nmber'
with tracker.run_job("1", 1, "my_job") as job, Pool() as pool: #! never-sent
    pool.submit(hello, job, "say_helo") #! unknown-step 'say_helo'
    Thread(target=hello, args=(job, "say_hello")).start()
    list(pool.map(number, range(3)))
    pool.submit(hello, job, tag="random_number")
""",
    "async": """
import asyncio
from trackerapi import AsyncTrackerApi
async def main():
    async with AsyncTrackerApi.from_env() as tracker:
        async with await tracker.run_job("1", 1, "my_job") as job: #! never-sent
            async with job.step("random_number") as step:
                async for chunk in step.track(stream()):
                    pass
            async for chunk in job.track(stream(), step="say_hello"): #! wrong-order
                pass
            async with job.step("say_by"): #! unknown-step 'say_by'
                pass
async def stream():
    yield 1
asyncio.run(main())
""",
    "entered by a stack": BLOCK
    + """
from contextlib import ExitStack
with ExitStack() as stack:
    job = stack.enter_context(tracker.run_job("1", 1, "my_job")) #! never-sent 'say_bye'
    stack.enter_context(job.step("say_helo")) #! unknown-step 'say_helo'
    stack.enter_context(job.step("random_number"))
    stack.enter_context(job.step("say_hello")) #! wrong-order
""",
    "reported part of the way": BLOCK
    + """
job = tracker.create_job("1", 1, "my_job") #! never-sent 'say_bye'
job.send_event(kind="start", name="random_number")
job.send_event(kind="progress", name="random_number", fraction=0.5)
job.send_event(kind="start", name="say_hello") #! wrong-order
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_mistake_is_found_where_it_is(name: str) -> None:
    """The check reports each marked mistake in its line, and no other finding."""
    text = SCRIPTS[name]
    both = "nightly_import" in text or "job_tag" in text
    found = findings_in(text, *((MY_JOB, IMPORT) if both else (MY_JOB,)))

    assert not differences(text, found)


BY_EVENTS = """
import random
import uuid

from trackerapi import JobConfigManager, TrackerApi


def my_job(name):
    manager = JobConfigManager(configurations_file="./job_configurations.json")
    hello, number, bye = manager.get_job_config("my_job").step_configurations

    with TrackerApi() as tracker:
        job = tracker.create_job(
            provider_job_id=str(uuid.uuid4()), customer_id=142, tag="my_job"
        )
        job.send_event(kind="step", name=hello.tag, metadata={"Message": "Hello"})
        drawn = random.randint(0, 100)
        job.send_event(kind="step", name=number.tag, metadata={"Random Number": drawn})
        job.send_event(kind="step", name=bye.tag)
"""
PLANTED_IN_EVENTS = [
    ("hello, number, bye =", "number, hello, bye =", ["wrong-order"]),
    ('get_job_config("my_job")', 'get_job_config("my_jop")', ["unknown-job"]),
    ('tag="my_job"', 'tag="nightly"', ["unknown-job"]),
    ('job.send_event(kind="step", name=bye.tag)', "pass", ["never-sent"]),
    ('kind="step", name=bye.tag', 'kind="stepp", name=bye.tag', ["unknown-kind"]),
    ("name=number.tag", 'name="Random Numbr"', ["never-sent", "unknown-step"]),
    ("name=hello.tag", "name=bye.tag", ["never-sent", "wrong-order"]),
]
PLANTED_IN_BLOCKS = [
    ('tag="my_job"', 'tag="nightly"', ["unknown-job"]),
    ('step("random_number")', 'step("random_nmber")', ["never-sent", "unknown-step"]),
    ('step("say_hello")', 'step("say_bye")', ["never-sent", "wrong-order"]),
]


@pytest.mark.parametrize(("right", "wrong", "codes"), PLANTED_IN_EVENTS)
def test_mistake_in_a_script_of_events_is_found(
    right: str, wrong: str, codes: list[str]
) -> None:
    """Typical mistakes in a script that reports by events are found."""
    assert codes_of(BY_EVENTS, "", "") == []
    assert codes_of(BY_EVENTS, right, wrong) == codes


@pytest.mark.parametrize(("right", "wrong", "codes"), PLANTED_IN_BLOCKS)
def test_mistake_in_the_tutorial_is_found(
    right: str, wrong: str, codes: list[str]
) -> None:
    """Typical mistakes in the script of the tutorial are found."""
    blocks = {one.file_name: one.text for one in marked_blocks(ROOT / "README.md")}
    assert codes_of(blocks["my_job.py"], right, wrong) == codes


def codes_of(text: str, right: str, wrong: str) -> list[str]:
    """Return the codes of the findings after a part of a script is replaced."""
    configs = read_configs(ROOT / "tests/end_to_end/original_job_configurations.json")
    assert right in text
    found = findings_in(text.replace(right, wrong, 1), *configs)
    return sorted({one.code for one in found})
