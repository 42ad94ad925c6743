"""What a script says about jobs and steps, held against their configurations."""

import ast
import difflib
from collections.abc import Sequence

from trackerapi.checking.findings import (
    UNKNOWN_JOB,
    UNKNOWN_KIND,
    UNKNOWN_STEP,
    WRONG_ORDER,
)
from trackerapi.checking.flow import NOT_BEGUN, Begun
from trackerapi.checking.jobs import Job, steps_before
from trackerapi.checking.reading import Reading
from trackerapi.checking.values import Config, StepHandle, Text, Value, either, texts_of
from trackerapi.config.job_config import JobConfig
from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import ConfigError, UnknownStepError, one_line
from trackerapi.events.event import KINDS

_NEAR_KIND = 0.75  # as `TrackerJob` has it


class Reports(Reading):
    """Notes what a script reports."""

    def name_step(self, jobs: Sequence[Job], tag: Value, at: ast.expr) -> None:
        """Note that a step is named which the script means to report.

        Args:
            jobs: The jobs one of which it is a step of.
            tag: What names the step.
            at: Where it is named.
        """
        texts, has_others = texts_of(tag)
        for job in jobs:
            job.is_used = True
            job.is_open |= has_others
        for text in texts:
            self._account(text)
            self._check_step(jobs, text, text.given_at or at)
            for job in jobs:
                job.sent.add(text.text)

    def report(
        self, jobs: Sequence[Job], tag: Value, at: ast.expr, *, begins: bool
    ) -> None:
        """Note that a step is reported here.

        Args:
            jobs: The jobs one of which it is a step of.
            tag: What names the step.
            at: Where it is named.
            begins: Whether the step has begun when this was reported.
        """
        self.name_step(jobs, tag, at)
        texts, has_others = texts_of(tag)
        if begins and len(jobs) == len(texts) == 1 and not has_others:
            self._begin(jobs[0], texts[0], texts[0].given_at or at)
            return
        for job in jobs:
            begun = self.flow.get(job) if self.flow else None
            if self.flow and begun and job.config:
                steps = job.config.step_configurations if has_others else ()
                known = [job.config.find_step(text.text) for text in texts]
                tags = {step.tag for step in (*steps, *known) if step}
                begun = Begun(begun.surely, begun.perhaps | tags)
                self.flow = {**self.flow, job: begun}

    def report_handles(self, steps: Sequence[StepHandle], *, begins: bool) -> None:
        """Note that one of some steps is reported here by its handle.

        Args:
            steps: The handles.
            begins: Whether the step has begun when this was reported.
        """
        if steps:
            jobs = list(dict.fromkeys(step.job for step in steps))
            tag = either(step.tag for step in steps)
            self.report(jobs, tag, steps[0].named_at, begins=begins)

    def believe(self, tag: Value, at: ast.expr, *, is_of_job: bool) -> None:
        """Note a step that is named to what may be a job, or something else.

        Args:
            tag: What names the step.
            at: Where it is named.
            is_of_job: Whether it is called a job, so that what is like a step of some
                configuration is meant to be one.
        """
        texts, has_others = texts_of(tag)
        self.stranger.is_open |= has_others
        for text in texts:
            self._account(text)
            self.stranger.sent.add(text.text)
            if is_of_job and self.known.nearest_step(text.text):
                self._check_step([Job()], text, text.given_at or at)

    def check_kind(self, kind: Value, at: ast.expr) -> list[str]:
        """Return the kinds that an event may be of; empty if that is not known."""
        texts, has_others = texts_of(kind)
        for text in texts:
            near = difflib.get_close_matches(
                text.text.lower(), KINDS, n=1, cutoff=_NEAR_KIND
            )
            if text.text not in KINDS and near:
                error = UnknownStepError(text.text, near[0], what="event kind")
                self.findings.add(UNKNOWN_KIND, text.given_at or at, str(error))
        return [] if has_others else [text.text for text in texts]

    def config_for(self, tag: Value, at: ast.expr) -> JobConfig | None:
        """Return the configuration that a tag or display name stands for.

        A misspelt one stands for the nearest. None if reading does not tell.
        """
        texts, has_others = texts_of(tag)
        for text in texts:
            self._account(text)
            if self.known.find(text.text) is None and self.known.is_complete:
                near = self.known.nearest(text.text)
                reason = f"no job configuration has the tag {text.text!r}"
                error = ConfigError(reason, suggestion=near)
                self.findings.add(UNKNOWN_JOB, text.given_at or at, str(error))
        if len(texts) != 1 or has_others:
            return self.known.only
        name = texts[0].text
        near = self.known.nearest(name) if self.known.is_complete else None
        return self.known.find(name) or (self.known.find(near) if near else None)

    def config_given(self, config: Value, tag: Value, at: ast.expr) -> JobConfig | None:
        """Return the configuration of a job.

        Args:
            config: The argument `config`; empty without one.
            tag: The argument `tag`.
            at: Where the tag is.
        """
        if not config:
            return self.config_for(tag, at)
        found = [thing.config for thing in config if isinstance(thing, Config)]
        return found[0] if len(found) == len(config) == 1 else None

    def _account(self, text: Text) -> None:
        if text.literal is not None:
            self.accounted.add(text.literal)

    def _check_step(self, jobs: Sequence[Job], text: Text, at: ast.expr) -> None:
        """Find a step that no configuration in play has."""
        configs = [job.config for job in jobs if job.config]
        if len(configs) < len(jobs):
            if not self.known.is_complete or self.known.has_step(text.text):
                return
            near = self.known.nearest_step(text.text)
            hint = f"; did you mean {near!r}?" if near else ""
            message = f"no job configuration has a step {text.text!r}{hint}"
            self.findings.add(UNKNOWN_STEP, at, one_line(message))
        elif not any(config.find_step(text.text) for config in configs):
            config = min(configs, key=lambda one: one.tag)
            near = nearest_tag(config.step_configurations, text.text)
            error = UnknownStepError(text.text, near, config.tag)
            self.findings.add(UNKNOWN_STEP, at, str(error))

    def _begin(self, job: Job, text: Text, at: ast.expr) -> None:
        """Note that a step has begun; find those that should have waited for it."""
        step = job.config.find_step(text.text) if job.config else None
        if job.config is None or step is None or not self.flow or job not in self.flow:
            return
        begun = self.flow[job]
        perhaps = begun.perhaps | {step.tag}
        if job.depth != self.depth:
            self.flow = {**self.flow, job: Begun(begun.surely, perhaps)}
            return
        is_first = step.tag not in begun.perhaps and not any(
            other.made_at is None and other.has_sent(step.tag, step.name)
            for other in self.jobs
        )
        if is_first and not job.has_left:
            self._check_order(job.config, step.tag, begun, at)
        self.flow = {**self.flow, job: Begun(begun.surely | {step.tag}, perhaps)}

    def _check_order(
        self, config: JobConfig, tag: str, begun: Begun, at: ast.expr
    ) -> None:
        before = steps_before(config)
        for step in config.step_configurations:
            if step.tag in begun.surely and tag in before[step.tag]:
                self.findings.add(
                    WRONG_ORDER,
                    at,
                    f"step {tag!r} comes after {step.tag!r} here, and before it in "
                    f"job configuration {config.tag!r}",
                )
                return

    def born(self, job: Job) -> None:
        """Note that a job is created here, so that none of its steps has begun."""
        job.depth = self.depth
        if self.flow is not None:
            self.flow = {**self.flow, job: NOT_BEGUN}
