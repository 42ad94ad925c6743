"""What calls of this library mean."""

import ast
from collections.abc import Sequence
from typing import Final

from trackerapi.checking.arguments import NOT_GIVEN, Arguments
from trackerapi.checking.expressions import Expressions
from trackerapi.checking.jobs import Job
from trackerapi.checking.values import (
    ANYTHING,
    NOTHING,
    TRACKERS,
    Config,
    JobDecorator,
    LoadedConfigs,
    Nothing,
    StepBlock,
    StepHandle,
    Text,
    Thing,
    Tracked,
    Tracker,
    Value,
    just,
    texts_of,
)

_BEGINS: Final = frozenset({"start", "progress", "step", "complete"})
_ENDS: Final = frozenset({"complete", "cancel", "error"})
_ENDING_METHODS: Final = frozenset({"complete", "fail", "cancel"})
_STEP_BEGINS: Final = frozenset({"start", "done", "advance"})


class LibraryCalls(Expressions):
    """Reads calls of this library."""

    def call_library(self, name: str, given: Arguments, node: ast.Call) -> Value:
        """Return what a class or function of the library returns."""
        if name in TRACKERS:
            return just(Tracker())
        if name == "JobConfigManager":
            return just(LoadedConfigs())
        if name == "step":
            found = given.find("name", 0)
            value, at = (found.value, found.at) if found else (ANYTHING, node)
            return just(StepBlock(value, at))
        if name == "current_job":
            return just(self.current_job)
        step = given.find("step")
        if step is not None and not _is_none(step.value):
            jobs = [t for t in given.value("job") if isinstance(t, Job)]
            jobs = jobs or [self.current_job]
            self.report(jobs, step.value, step.at, begins=False)
        return ANYTHING

    def call_tracker(self, name: str, given: Arguments, node: ast.Call) -> Value:
        """Return what a method of a `TrackerApi` returns."""
        if name in {"create_job", "run_job"}:
            return self._create(name, given, node)
        if name == "as_job" or (name == "job" and given.find("customer_id")):
            return just(JobDecorator(given.value("tag", 0) or ANYTHING, node))
        if name in {"job", "attach"}:
            tag = given.find("tag")
            config = self.config_for(tag.value, tag.at) if tag else self.known.only
            job = Job(config=config)
            self.jobs.append(job)
            return just(job)
        if name == "from_env":
            return just(Tracker())
        return just(Tracker()) if name in {"__enter__", "__aenter__"} else ANYTHING

    def call_manager(self, name: str, given: Arguments, node: ast.Call) -> Value:
        """Return what a method of a `JobConfigManager` returns."""
        if name != "get_job_config":
            return ANYTHING
        tag = given.find("tag", 0)
        found = self.config_for(tag.value, tag.at if tag else node) if tag else None
        return just(Config(found)) if found else ANYTHING

    def call_job(
        self, jobs: Sequence[Job], name: str, given: Arguments, node: ast.Call
    ) -> Value:
        """Return what a method of a job's handle returns.

        Args:
            jobs: The jobs that it may be.
            name: The method.
            given: Its arguments.
            node: The call.
        """
        for job in jobs:
            job.is_used = True
            job.is_ended |= name in _ENDING_METHODS
        if name == "send_event":
            self._send_event(jobs, given, node)
        elif name == "step":
            return self._step(jobs, given, node)
        elif name in {"skip", "track"}:
            return self._skip_or_track(jobs, name, given, node)
        elif name == "token":
            for job in jobs:
                job.leave()
        elif name == "bind":
            with self.within(jobs[:1]):
                self.let_go(given.value("function", 0))
        return ANYTHING

    def _skip_or_track(
        self, jobs: Sequence[Job], name: str, given: Arguments, node: ast.Call
    ) -> Value:
        step = given.find("step", 0 if name == "skip" else None)
        value, at = (step.value, step.at) if step else (ANYTHING, node)
        if name == "skip":
            self.report(jobs, value, at, begins=False)
            return ANYTHING
        self.name_step(jobs, value, at)
        return frozenset(Tracked(StepHandle(job, value, at)) for job in jobs)

    def call_steps(
        self, steps: Sequence[StepHandle], name: str, *, is_sure: bool
    ) -> Value:
        """Return what a method of a step's handle returns.

        Args:
            steps: The steps that it may be.
            name: The method.
            is_sure: Whether it is surely one of them.
        """
        if name == "track":
            for step in steps:
                step.job.is_used = True
            return frozenset(Tracked(step) for step in steps)
        self.report_handles(steps, begins=is_sure and name in _STEP_BEGINS)
        return ANYTHING

    def create(
        self, node: ast.Call, tag: Value, at: ast.expr, given: Arguments, known_as: str
    ) -> Job:
        """Return the job that a call, or a decorated function, creates here.

        The same job each time that the place is reached by the same calls.

        Args:
            node: The call.
            tag: What names its configuration.
            at: Where that is.
            given: The other arguments.
            known_as: How the script spells its id.
        """
        config = self.config_given(given.value("config") - NOTHING, tag, at)
        key = (*self.frame.chain, node, config.tag if config else None)
        job = self._created.get(key)
        if job is None:
            job = self._created[key] = Job(
                config=config, made_at=node, known_as=known_as
            )
            self.jobs.append(job)
        self.born(job)
        return job

    def _create(self, name: str, given: Arguments, node: ast.Call) -> Value:
        tag = given.find("tag", 2)
        job_id = given.find("provider_job_id", 0)
        known_as = ast.dump(job_id.at) if job_id else ""
        value, at = (tag.value, tag.at) if tag else (ANYTHING, node)
        job = self.create(node, value, at, given, known_as)
        finish, has_others = texts_of(given.value("finish"))
        job.is_run = name == "run_job"
        is_explicit = [text.text for text in finish] == ["explicit"]
        job.is_explicit = job.is_run or (is_explicit and not has_others)
        return just(job)

    def _send_event(
        self, jobs: Sequence[Job], given: Arguments, node: ast.Call
    ) -> None:
        kind = given.find("kind", 0)
        kinds = self.check_kind(kind.value, kind.at) if kind else []
        found = given.find("name", 1)
        if found is None or _is_none(found.value):
            found = given.find("tag")
        is_of_job = not given.has_more if found is None else _may_be_none(found.value)
        for job in jobs:
            job.is_ended |= is_of_job and (not kinds or bool(_ENDS & set(kinds)))
            job.is_ended |= given.has_more
        if found is None:
            if given.has_more:
                self.report(jobs, ANYTHING, node, begins=False)
            return
        begins = bool(kinds) and _BEGINS.issuperset(kinds)
        self.report(jobs, found.value, found.at, begins=begins and not is_of_job)

    def _step(self, jobs: Sequence[Job], given: Arguments, node: ast.Call) -> Value:
        name = given.find("name", 0)
        value, at = (name.value, name.at) if name else (ANYTHING, node)
        self.name_step(jobs, value, at)
        return frozenset(StepHandle(job, value, at) for job in jobs)

    def enter(self, value: Value) -> tuple[list[Job], Value]:
        """Enter a block; return the jobs it is of, and what `as` gives."""
        jobs = [thing for thing in value if isinstance(thing, Job)]
        for job in jobs:
            job.is_used = job.is_ended = True
        given: set[Thing] = {
            StepHandle(self.current_job, thing.tag, thing.named_at)
            if isinstance(thing, StepBlock)
            else thing
            for thing in value
            if isinstance(thing, Job | StepHandle | StepBlock | Tracker)
        }
        steps = [thing for thing in given if isinstance(thing, StepHandle)]
        self.report_handles(steps, begins=len(value) == len(steps) == 1)
        return jobs, frozenset(given) or ANYTHING


def _is_none(value: Value) -> bool:
    return value != NOT_GIVEN and all(isinstance(thing, Nothing) for thing in value)


def _may_be_none(value: Value) -> bool:
    return not all(isinstance(thing, Text) for thing in value)
