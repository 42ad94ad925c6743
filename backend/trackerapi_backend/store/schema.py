"""The tables. Times are aware UTC outside and whole microseconds inside.

Jobs have time-ordered ids up to 2^53 - 1, so that they sort by age and stay exact in
every JSON reader. All else that belongs to a provider carries its id, or its job's.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from trackerapi_backend.instants import from_micros, to_micros
from trackerapi_backend.store.documents import DocumentCache

if TYPE_CHECKING:
    from sqlalchemy import Dialect

    from trackerapi_backend.store.documents import Document


class Instant(TypeDecorator[datetime]):
    """An aware point in time, stored as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, _dialect: Dialect
    ) -> int | None:
        """Return what is stored."""
        return None if value is None else to_micros(value)

    def process_result_value(
        self, value: int | None, _dialect: Dialect
    ) -> datetime | None:
        """Return what was meant."""
        return None if value is None else from_micros(value)


class JsonText(TypeDecorator[Any]):
    """A JSON value, stored as text: types and key order are kept."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        """Return what is stored."""
        return compact_json(value)

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        """Return what was meant."""
        return None if value is None else json.loads(value)


class DocumentText(JsonText):
    """A configuration, stored as text; equal ones are read as one shared value."""

    cache_ok = True

    def process_result_value(
        self, value: str | None, _dialect: Dialect
    ) -> Document | None:
        """Return what was meant."""
        return None if value is None else _documents.parsed(value)


_documents = DocumentCache()


def compact_json(value: object) -> str:
    """Return a value as JSON without any spare space."""
    return _encoder.encode(value)


# One for all values: to make an encoder costs as much as to write a small value.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


# Beyond it, readers of JSON that know floats alone would round.
MAX_ID = 2**53 - 1

# SQLite numbers only INTEGER keys by itself; the other engine wants 64 bits.
_Id = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

providers = Table(
    "providers",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("created_at", Instant, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("provider_id", ForeignKey("providers.id"), nullable=False),
    Column("reference", String(200)),
    Column("name", String(100)),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("provider_id", "reference"),
    Index(None, "provider_id", "id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key_id", String(32), nullable=False, unique=True),
    Column("provider_id", ForeignKey("providers.id"), nullable=False),
    Column("label", String(100), nullable=False),
    Column("key_hmac", LargeBinary(32), nullable=False),
    Column("scopes", JsonText, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    # For a key that is good for one job alone; null for all others.
    Column("job_id", ForeignKey("jobs.id")),
    # Public part of the key that made this key; null for the command line.
    Column("created_by", String(32)),
    Index(None, "provider_id", "id"),
)

job_configurations = Table(
    "job_configurations",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("provider_id", ForeignKey("providers.id"), nullable=False),
    Column("tag", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("version", String(100)),
    Column("revision", Integer, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("document", DocumentText, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("provider_id", "tag", "revision"),
    UniqueConstraint("provider_id", "tag", "content_hash"),
    Index(None, "provider_id", "name"),
    # One index for each set of filters of list_job_configurations().
    Index(None, "provider_id", "id"),
    Index(None, "provider_id", "tag", "id"),
    Index(None, "provider_id", "version", "id"),
    Index(None, "provider_id", "tag", "version", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("provider_id", ForeignKey("providers.id"), nullable=False),
    Column("provider_job_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("configuration_id", ForeignKey("job_configurations.id")),
    Column("tag", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("finish", String(20), nullable=False),
    Column("metadata", JsonText, nullable=False),
    Column("status", String(20), nullable=False),
    Column("state", JsonText, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("provider_id", "provider_job_id"),
    # One index for each set of filters of list_jobs(): rows come in the order of the
    # list, and created_at is compared before the row is read.
    Index(None, "provider_id", "created_at", "id"),
    Index(None, "provider_id", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "id", "created_at"),
    Index(None, "provider_id", "tag", "id", "created_at"),
    Index(None, "provider_id", "status", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "tag", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "status", "id", "created_at"),
    Index(None, "provider_id", "tag", "status", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "tag", "status", "id", "created_at"),
)

events = Table(
    "events",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("event_id", LargeBinary(16), nullable=False),
    Column("kind", String(100), nullable=False),
    Column("tag", String(100)),
    Column("event_metadata", Text, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("completed", Float),
    Column("total", Float),
    Column("fraction", Float),
    Column("part", String(100)),
    Column("retrying", Boolean, nullable=False),
    Column("message", Text),
    Column("detail", Text),
    UniqueConstraint("job_id", "event_id"),
    # Rows of a job lie together, in the order in which they are listed.
    sqlite_with_rowid=False,
)

# What the customer's page shows of events, so that the page reads none of them.
customer_values = Table(
    "customer_values",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("tag", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("value", JsonText, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("event_id", LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)

customer_messages = Table(
    "customer_messages",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("event_id", LargeBinary(16), primary_key=True),
    Column("message", Text, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("shown_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

share_links = Table(
    "share_links",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)
