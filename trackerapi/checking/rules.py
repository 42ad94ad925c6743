"""What is judged once a script is read to its end."""

import ast
from collections.abc import Iterator, Sequence

from trackerapi.checking.findings import MISSING_FINISH, Findings
from trackerapi.checking.jobs import Job


def never_sent(
    jobs: Sequence[Job], unexplained: frozenset[str]
) -> Iterator[tuple[ast.expr, str]]:
    """Walk the steps that jobs of a script never report: where, and what to say.

    Jobs of one configuration count as one, since they may be: one place of a script
    creates a job, another attaches to it.

    Args:
        jobs: The jobs of the script.
        unexplained: Texts of the script of which it is not known what they are for;
            a step so named may be reported in a way that reading does not see.
    """
    for tag, job in _first_of_each(jobs).items():
        alike = [one for one in jobs if _may_be_of(one, tag)]
        if job.config is None or job.made_at is None or any(o.is_open for o in alike):
            continue
        for step in job.config.step_configurations:
            is_sent = any(one.has_sent(step.tag, step.name) for one in alike)
            if not is_sent and not {step.tag, step.name} & unexplained:
                message = (
                    f"step {step.tag!r} of job configuration {tag!r} is never sent"
                )
                yield job.made_at, message


def find_missing_finish(jobs: Sequence[Job], findings: Findings) -> None:
    """Find jobs that only end when they are said to, and are not."""
    for job in jobs:
        if job.made_at is None or not job.is_explicit or job.has_left:
            continue
        # A job whose handle is thrown away is meant for another place to report to.
        if not job.is_used and not job.is_run:
            continue
        if not any(one.is_ended for one in jobs if _may_be_same(job, one)):
            findings.add(
                MISSING_FINISH,
                job.made_at,
                "the job never ends: use it in a `with` block, or call complete(), "
                "fail() or cancel()",
            )


def unexplained_texts(tree: ast.Module, explained: set[ast.expr]) -> frozenset[str]:
    """Return the texts of a script of which it is not known what they are for.

    Args:
        tree: The script.
        explained: Texts that are known to name a step or job.
    """
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    unused = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and all(
            isinstance(one, ast.Name) and one.id not in used for one in node.targets
        )
    }
    return frozenset(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in explained
        and node not in unused
    )


def _first_of_each(jobs: Sequence[Job]) -> dict[str, Job]:
    """Return the first job of each configuration that is created and reported to."""
    created = [job for job in jobs if job.made_at and job.config and job.is_used]
    by_place = sorted(created, key=_place, reverse=True)
    return {job.config.tag: job for job in by_place if job.config}


def _place(job: Job) -> tuple[int, int]:
    at = job.made_at
    return (at.lineno, at.col_offset) if at else (0, 0)


def _may_be_of(job: Job, tag: str) -> bool:
    return job.config is None or job.config.tag == tag


def _may_be_same(job: Job, other: Job) -> bool:
    if other is job or other.made_at is None:
        return True
    return bool(job.known_as) and job.known_as == other.known_as
