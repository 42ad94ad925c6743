"""Plain route: the usual service that stores events and computes nothing from them.

FastAPI checks each event with a pydantic model, and SQLAlchemy stores the rows. Each
request has one transaction. The rows have the columns of the backend's table. The
routes have no keys, no providers and no projection.

The programme runs in the environment `plain` of `benchmarks/peers.sh`:

    python -m benchmarks.rig.plain_route sqlite+aiosqlite:////tmp/plain.db

It prints its address once it accepts connections.
"""

import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ROW_ID = BigInteger().with_variant(Integer, "sqlite")
BUSY_MILLISECONDS = 60_000


class Base(DeclarativeBase):
    """Base of the tables."""


class Job(Base):
    """Row of a job."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    provider_job_id: Mapped[str] = mapped_column(unique=True)


class Event(Base):
    """Row of an event, with the columns of the backend's table."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("job_id", "event_id"),)

    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    event_id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str]
    tag: Mapped[str | None]
    event_metadata: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    completed: Mapped[float | None]
    total: Mapped[float | None]
    fraction: Mapped[float | None]
    part: Mapped[str | None]
    retrying: Mapped[bool]
    message: Mapped[str | None]
    detail: Mapped[str | None]
    failed: Mapped[float | None]
    max_attempts: Mapped[int | None]


class JobInput(BaseModel):
    """Body of a new job; other members are ignored."""

    provider_job_id: Annotated[str, Field(min_length=1, max_length=200)]


Units = Annotated[float, Field(ge=0, le=2**53 - 1)]


class EventInput(BaseModel):
    """One event of a batch, with the limits of the contract."""

    model_config = ConfigDict(extra="forbid")

    event_id: UUID
    provider_job_id: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Annotated[str, Field(min_length=1, max_length=100)]
    tag: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    event_metadata: dict[str, Any] = {}
    occurred_at: AwareDatetime
    completed: Units | None = None
    total: Units | None = None
    fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    part: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    retrying: bool = False
    message: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    detail: Annotated[str, Field(min_length=1, max_length=16000)] | None = None


class Report(BaseModel):
    """Response to a batch."""

    accepted: int
    duplicates: int


def create_app(engine: AsyncEngine) -> FastAPI:
    """Return the application on a database."""
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as db:
            await db.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/jobs", status_code=201)
    async def create_job(body: JobInput) -> dict[str, int]:
        async with sessions() as session, session.begin():
            job = Job(provider_job_id=body.provider_job_id)
            session.add(job)
            await session.flush()
            return {"id": job.id}

    @app.post("/events/batch")
    async def import_events(body: list[EventInput]) -> Report:
        async with sessions() as session, session.begin():
            return await _store(session, body)

    return app


async def _store(session: AsyncSession, events: list[EventInput]) -> Report:
    """Store the events that are not stored yet."""
    names = {each.provider_job_id for each in events}
    query = select(Job.provider_job_id, Job.id).where(Job.provider_job_id.in_(names))
    ids = {job.provider_job_id: job.id for job in await session.execute(query)}
    if len(ids) < len(names):
        raise HTTPException(404, "unknown job")
    now = datetime.now(UTC)
    rows = [
        {
            **each.model_dump(exclude={"provider_job_id"}),
            "job_id": ids[each.provider_job_id],
            "event_metadata": json.dumps(each.event_metadata),
            "received_at": now,
        }
        for each in events
    ]
    is_postgres = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if is_postgres else sqlite.insert
    statement = insert(Event).on_conflict_do_nothing().returning(Event.event_id)
    stored = len((await session.scalars(statement, rows)).all())
    return Report(accepted=stored, duplicates=len(rows) - stored)


def open_engine(url: str) -> AsyncEngine:
    """Return the engine of a database; SQLite gets a write-ahead log and full sync."""
    if not url.startswith("sqlite"):
        return create_async_engine(url)
    # One connection: SQLite has one writer, and a second connection would only poll
    # the lock of the file.
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=60)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_MILLISECONDS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def main() -> None:
    """Serve on a free port until SIGTERM."""
    config = uvicorn.Config(
        create_app(open_engine(sys.argv[1])), log_config=None, access_log=False
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # asyncio sets TCP_NODELAY only on sockets with an explicit protocol.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
