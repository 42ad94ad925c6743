"""Queries on job configurations, whose contents never change."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, insert, select, update

from trackerapi_backend.store.changes import changes_of, settings_source
from trackerapi_backend.store.ids import CONFIGURATION_IDS
from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import job_configurations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

_stored = job_configurations.c


class PageSettings(NamedTuple):
    """Settings of a configuration for the customer's page.

    Attributes:
        texts: Texts by language.
        silent_after: Age of the newest report at which a job counts as silent, in
            seconds; None if the configuration sets no age.
    """

    texts: Mapping[str, Any] = MappingProxyType({})
    silent_after: int | None = None


def create_configuration(db: Connection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a configuration as the next revision of its tag; return its row."""
    # No race between query and insert: the writer runs one transaction at a time. The
    # unique index on the revision would reject a duplicate.
    newest = db.execute(
        select(func.max(_stored.revision)).where(
            _stored.provider_id == values["provider_id"], _stored.tag == values["tag"]
        )
    ).scalar()
    new_id = CONFIGURATION_IDS.make(db, values["provider_id"], now=values["created_at"])
    revision = (newest or 0) + 1
    return db.execute(
        insert(job_configurations)
        .values({**values, "id": new_id, "revision": revision})
        .returning(job_configurations)
    ).one()


def update_configuration(
    db: Connection, configuration_id: int, values: Mapping[str, Any]
) -> Row[Any]:
    """Replace values of a configuration, but not its content; return its row."""
    changes_of(db).rows.add(settings_source(configuration_id))
    return db.execute(
        update(job_configurations)
        .where(_stored.id == configuration_id)
        .values(values)
        .returning(job_configurations)
    ).one()


def find_page_settings(db: Connection, configuration_id: int | None) -> PageSettings:
    """Return the settings of a configuration for the customer's page.

    Args:
        db: Connection to read from.
        configuration_id: Id of the configuration; None for a job without a
            configuration, which has empty settings.
    """
    query = select(_stored.texts, _stored.silent_after)
    row = db.execute(query.where(_stored.id == configuration_id)).first()
    return PageSettings() if row is None else PageSettings(row[0] or {}, row[1])


def find_configuration(
    db: Connection, provider_id: int, configuration_id: int
) -> Row[Any] | None:
    """Return a configuration of a provider by its id."""
    return db.execute(
        select(job_configurations).where(
            _stored.provider_id == provider_id, _stored.id == configuration_id
        )
    ).first()


def find_configuration_by_content(
    db: Connection, provider_id: int, tag: str, content_hash: bytes
) -> Row[Any] | None:
    """Return the revision of a tag with this content."""
    return db.execute(
        select(job_configurations).where(
            _stored.provider_id == provider_id,
            _stored.tag == tag,
            _stored.content_hash == content_hash,
        )
    ).first()


def find_configuration_by_version(
    db: Connection, provider_id: int, tag: str, version: str
) -> Row[Any] | None:
    """Return the revision of a tag with this version."""
    return db.execute(
        select(job_configurations).where(
            _stored.provider_id == provider_id,
            _stored.tag == tag,
            _stored.version == version,
        )
    ).first()


def list_tags_with_name(db: Connection, provider_id: int, name: str) -> Sequence[str]:
    """Return the tags that have a configuration with this display name."""
    return (
        db.execute(
            select(_stored.tag)
            .where(_stored.provider_id == provider_id, _stored.name == name)
            .distinct()
            .order_by(_stored.tag)
        )
        .scalars()
        .all()
    )


def list_revisions(
    db: Connection, provider_id: int, tag: str | None
) -> Sequence[Row[Any]]:
    """Return all revisions of a tag, or of all tags if `tag` is None.

    The rows have `id`, `tag`, `version` and `revision`, but no content, which may be
    large.
    """
    columns = (_stored.id, _stored.tag, _stored.version, _stored.revision)
    query: Select[Any] = select(*columns).where(_stored.provider_id == provider_id)
    if tag is not None:
        query = query.where(_stored.tag == tag)
    return db.execute(query).all()


def list_configurations(
    db: Connection, provider_id: int, filters: Mapping[str, Any], span: Span
) -> Page:
    """Return a page of configurations, newest first.

    Args:
        db: Connection to read from.
        provider_id: Provider of the configurations.
        filters: Any of `tag`, `version` and `ids`.
        span: Part of the list to read.
    """
    query = select(job_configurations).where(_stored.provider_id == provider_id)
    if "tag" in filters:
        query = query.where(_stored.tag == filters["tag"])
    if "version" in filters:
        query = query.where(_stored.version == filters["version"])
    if "ids" in filters:
        query = query.where(_stored.id.in_(filters["ids"]))
    return fetch_page(db, query, _stored.id, span, weigh=_length)


def _length(row: Row[Any]) -> int:
    return int(row.document.length) + (row.texts.length if row.texts else 0)
