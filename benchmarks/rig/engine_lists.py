"""Case of the backend's engine with many jobs: the list of the newest 50 jobs."""

from contextlib import ExitStack, closing
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Insert,
    String,
    cast,
    insert,
    literal,
    select,
    text,
    true,
)
from trackerapi_backend.store.schema import jobs

from benchmarks.rig.engine_cases import Amounts, Pair, alternate, p99, seconds_of_get
from benchmarks.rig.servers import Backend

FEW_JOBS: Final = 1_000
PATH: Final = "/jobs?limit=50"
_ROWS_PER_COMMIT: Final = 50_000


def measure_lists(many: Backend, few: Backend, rounds: int, amounts: Amounts) -> Pair:
    """Return the p99 in seconds of a list among many and among few jobs."""
    pair = Pair()
    _fill(many, amounts.many_jobs)
    _fill(few, FEW_JOBS)
    with ExitStack() as stack:
        servers = [stack.enter_context(backend.serve()) for backend in (many, few)]
        among_many, among_few = (
            stack.enter_context(server.connect()) for server in servers
        )
        for _ in range(rounds):
            times = alternate(
                amounts.reads,
                lambda: seconds_of_get(among_many, PATH),
                lambda: seconds_of_get(among_few, PATH),
            )
            pair.add(*map(p99, times))
    return pair


def _fill(backend: Backend, count: int) -> None:
    """Create one job by a request, and copies of its row in the database."""
    with backend.serve() as server:
        server.new_jobs(1)
    with closing(backend.open_store()) as store:
        job_id: int = store.read(lambda db: db.execute(select(jobs.c.id)).scalar_one())
        for first in range(1, count, _ROWS_PER_COMMIT):
            last = min(first + _ROWS_PER_COMMIT, count) - 1
            with store.transaction() as db:
                db.execute(_copy_job(job_id, first, last))
        with store.transaction() as db:
            if db.dialect.name == "postgresql":
                db.execute(text("ANALYZE"))  # as autovacuum does within a minute


def _copy_job(job_id: int, first: int, last: int) -> Insert:
    """Return the statement that stores copies with consecutive numbers and ids."""
    numbers = select(literal(first).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(
        select(numbers.c.number + 1).where(numbers.c.number < last)
    )
    values: dict[str, ColumnElement[Any]] = {
        **jobs.c,
        "id": jobs.c.id + numbers.c.number,
        "provider_job_id": jobs.c.provider_job_id + cast(numbers.c.number, String),
    }
    copies = (
        select(*values.values())
        .select_from(jobs.join(numbers, true()))
        .where(jobs.c.id == job_id)
    )
    return insert(jobs).from_select(list(values), copies)
