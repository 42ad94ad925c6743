"""Entry point of alembic: runs the revisions on the connection of the upgrade."""

from __future__ import annotations

from alembic import context

from trackerapi_backend.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
