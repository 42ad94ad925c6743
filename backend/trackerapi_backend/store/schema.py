"""Tables and column types of the database.

A job id is at most 2^53 - 1, so that it stays exact in every JSON reader. Job ids grow
with the time of creation, so that they sort by age. Each row that belongs to a provider
has a `provider_id` or a `job_id`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
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
    text,
)

from trackerapi_backend.instants import from_micros, to_micros
from trackerapi_backend.store.documents import DocumentCache

if TYPE_CHECKING:
    from sqlalchemy import Dialect

    from trackerapi_backend.store.documents import Document


class Instant(TypeDecorator[datetime]):
    """Column type of an aware instant, stored as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, _dialect: Dialect
    ) -> int | None:
        """Return the microseconds of an instant."""
        return None if value is None else to_micros(value)

    def process_result_value(
        self, value: int | None, _dialect: Dialect
    ) -> datetime | None:
        """Return the instant of stored microseconds."""
        return None if value is None else from_micros(value)


class JsonText(TypeDecorator[Any]):
    """Column type of a JSON value, stored as text, which keeps types and key order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        """Return the JSON text of a value."""
        return compact_json(value)

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        """Return the value of a stored JSON text."""
        return None if value is None else json.loads(value)


class DocumentText(JsonText):
    """Column type of a configuration: rows with the same text share one document."""

    cache_ok = True

    def process_result_value(
        self, value: str | None, _dialect: Dialect
    ) -> Document | None:
        """Return the document of a stored JSON text."""
        return parse_document(value)


_documents = DocumentCache()


def parse_document(text: str | None) -> Document | None:
    """Return the configuration of a stored JSON text; equal texts share a document."""
    return None if text is None else _documents.parse(text)


def compact_json(value: object) -> str:
    """Return a value as JSON without optional spaces."""
    return _encoder.encode(value).decode()


_encoder = msgspec.json.Encoder()


MAX_ID = 2**53 - 1
"""Largest id: a JSON reader that has only floats would round larger integers."""

# SQLite assigns ids only to keys of type INTEGER, and other engines need BIGINT for
# 64 bits.
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
    # The profile, which customers read; null for a value that is not set.
    Column("display_name", String(100)),
    Column("contact_text", String(300)),
    Column("contact_phone", String(40)),
    Column("contact_mail", String(254)),
    Column("time_zone", String(64)),
    Column("language", String(20)),
    Column("accent", String(7)),
    # Image of at most `MAX_MARK_BYTES`, and the first digits of its SHA-256.
    Column("mark", LargeBinary),
    Column("mark_hash", String(16), index=True),
    # Age from which an ended job is deleted, in days; null for jobs that stay for ever.
    Column("retention_days", Integer),
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
    # Job of a job token; null for any other key.
    Column("job_id", ForeignKey("jobs.id"), index=True),
    # Public part of the key that created this key; null for a key that the command
    # line has created.
    Column("created_by", String(32), index=True),
    # Fingerprint of the pepper of `key_hmac`; null for a key that was made before the
    # database had several peppers.
    Column("pepper", String(64)),
    Index(None, "provider_id", "id"),
)

# Fingerprints of the accepted peppers. During a rotation there are two.
peppers = Table(
    "peppers",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
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
    # Texts for the customer by language; null without texts.
    Column("texts", DocumentText),
    # Age of the newest report at which a job counts as silent, in seconds; null if the
    # configuration sets no age.
    Column("silent_after", Integer),
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
    Column("title", String(200)),
    Column("reference", String(100)),
    UniqueConstraint("provider_id", "provider_job_id"),
    # For the deletion of a customer: the engine looks for jobs that refer to the row.
    Index(None, "customer_id"),
    # For the jobs created since an instant.
    Index(None, "provider_id", "created_at", "id"),
    # One index for each set of filters of list_jobs(): the columns of the filters, then
    # `id`, which orders the list. Each index ends with `created_at`, so that SQLite can
    # filter by the time without reading the row of the table.
    Index(None, "provider_id", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "id", "created_at"),
    Index(None, "provider_id", "tag", "id", "created_at"),
    Index(None, "provider_id", "status", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "tag", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "status", "id", "created_at"),
    Index(None, "provider_id", "tag", "status", "id", "created_at"),
    Index(None, "provider_id", "customer_id", "tag", "status", "id", "created_at"),
)

# Conditions of two partial indexes. A query has to repeat them literally: engines
# compare the text of the condition.
IS_PROGRESS = text("kind = 'progress'")
# More kinds have no effect on a status, but only the listed kinds are frequent.
IS_STATUS_EVENT = text("kind NOT IN ('progress', 'info', 'heartbeat')")

# Times in these tables are microseconds since 1970: computing with whole numbers is
# several times faster than with datetimes.
events = Table(
    "events",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("event_id", LargeBinary(16), nullable=False),
    Column("kind", String(100), nullable=False),
    Column("tag", String(100)),
    Column("event_metadata", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("completed", Float),
    Column("total", Float),
    Column("fraction", Float),
    Column("part", String(100)),
    Column("retrying", Boolean, nullable=False),
    Column("message", Text),
    Column("detail", Text),
    Column("failed", Float),
    Column("max_attempts", BigInteger),
    UniqueConstraint("job_id", "event_id"),
    # For the fold of the statuses after a late event.
    Index(
        "ix_events_progress",
        *("job_id", "tag", "occurred_at", "event_id"),
        sqlite_where=IS_PROGRESS,
        postgresql_where=IS_PROGRESS,
    ),
    Index(
        "ix_events_status",
        *("job_id", "occurred_at", "event_id"),
        sqlite_where=IS_STATUS_EVENT,
        postgresql_where=IS_STATUS_EVENT,
    ),
    # WITHOUT ROWID stores rows in the order of the key: the events of a job are
    # adjacent, in the order of the list.
    sqlite_with_rowid=False,
    # The ranges are in `partitions`.
    postgresql_partition_by="RANGE (job_id)",
)

# The customer view: the page of a job reads these two tables instead of all events, so
# its response time does not grow with the number of events.
customer_values = Table(
    "customer_values",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("tag", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("value", JsonText, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("event_id", LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)

customer_messages = Table(
    "customer_messages",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("event_id", LargeBinary(16), primary_key=True),
    Column("message", Text, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("shown_at", BigInteger, nullable=False),
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
    Column("label", String(100)),
    Column("language", String(20)),
    Column("last_opened_at", Instant),
    # Public part of the key that created this link; null for a link that `dev` or an
    # older release has created.
    Column("created_by", String(32), index=True),
)

# Names of erased jobs, as HMACs: a creation or an event for such a job is rejected.
erased_jobs = Table(
    "erased_jobs",
    metadata,
    Column("provider_id", ForeignKey("providers.id"), primary_key=True),
    Column("name_hmac", LargeBinary(32), primary_key=True),
    Column("erased_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

# Administrative changes. The ids of jobs and customers are no foreign keys: the entries
# stay after the erasure of the job or customer.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", Instant, nullable=False),
    # Null for a change of the whole installation.
    Column("provider_id", ForeignKey("providers.id")),
    # Public part of the key that made the change; null for a command.
    Column("key_id", String(32)),
    # Name of the change, such as `create_api_key`.
    Column("action", String(50), nullable=False),
    Column("job_id", BigInteger, index=True),
    Column("customer_id", BigInteger, index=True),
    # Ids, scopes and times of the change, no secrets; null after an erasure.
    Column("details", JsonText),
    Index(None, "provider_id", "id"),
)
