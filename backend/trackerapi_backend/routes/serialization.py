"""Serialization: turns rows of the store into the JSON objects of the contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from trackerapi_backend.instants import format_instant, format_micros
from trackerapi_backend.jobs.colors import dark_variant
from trackerapi_backend.jobs.recording import plan_of
from trackerapi_backend.projection.job import percent, shown_status
from trackerapi_backend.projection.snapshot import from_document
from trackerapi_backend.projection.step import StepState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row

    from trackerapi_backend.generated import models
    from trackerapi_backend.projection.job import JobState
    from trackerapi_backend.store.events import StoredEvent


def serialize_api_key(row: Row[Any]) -> models.ApiKey:
    """Return the document of a key; the row does not have the secret."""
    return {
        "key_id": row.key_id,
        "label": row.label,
        "scopes": row.scopes,
        "created_at": format_instant(row.created_at),
        "expires_at": _instant(row.expires_at),
        "last_used_at": _instant(row.last_used_at),
        "job_id": row.job_id,
        "created_by": row.created_by,
    }


def serialize_customer(row: Row[Any]) -> models.Customer:
    """Return the document of a customer."""
    return {
        "id": row.id,
        "reference": row.reference,
        "name": row.name,
        "created_at": format_instant(row.created_at),
    }


def serialize_configuration(row: Row[Any]) -> models.JobConfiguration:
    """Return the document of a job configuration."""
    return {
        "id": row.id,
        "tag": row.tag,
        "name": row.name,
        "version": row.version,
        "revision": row.revision,
        "metadata": row.document.get("metadata"),
        "step_configurations": row.document["step_configurations"],
        "created_at": format_instant(row.created_at),
        "texts": row.texts or {},
        "silent_after": row.silent_after,
    }


def serialize_job(row: Row[Any]) -> models.Job:
    """Return the document of a job, with status and progress of its steps."""
    state = from_document(row.state)
    steps = row.document["step_configurations"] if row.document else []
    untouched = StepState()
    return {
        "id": row.id,
        "provider_job_id": row.provider_job_id,
        "customer_id": row.customer_id,
        "tag": row.tag,
        "name": row.name,
        "configuration_id": row.configuration_id,
        "finish": row.finish,
        "status": state.status.value,
        "percent": percent(plan_of(row), state),
        "steps": [
            _serialize_step(step, state, state.steps.get(step["tag"], untouched))
            for step in steps
        ],
        "metadata": row.metadata,
        "event_count": state.event_count,
        "created_at": format_instant(row.created_at),
        "started_at": _micros(state.started_at),
        "finished_at": _micros(state.finished_at),
        "last_event_at": _micros(state.last_event_at),
        "last_occurred_at": _micros(state.last_occurred_at),
        "version": state.version,
        "title": row.title,
        "reference": row.reference,
    }


def _serialize_step(
    step: models.StepConfiguration, job: JobState, state: StepState
) -> models.JobStep:
    return {
        "tag": step["tag"],
        "name": step["name"],
        "points": step["points"],
        "status": shown_status(job, state).value,
        "fraction": state.fraction,
        "completed": state.completed,
        "total": state.total,
        "attempts": state.attempts,
        "started_at": _micros(state.started_at),
        "finished_at": _micros(state.finished_at),
        "units": step.get("units"),
        "failed": state.failed,
        "max_attempts": state.max_attempts,
    }


def serialize_event(row: Row[Any] | StoredEvent, provider_job_id: str) -> models.Event:
    """Return the document of an event.

    Args:
        row: Row of the event.
        provider_job_id: Provider job id of the event's job; `row` has no such column.
    """
    event_id = str(UUID(bytes=row.event_id))
    return {
        "id": event_id,
        "event_id": event_id,
        "sequence": row.sequence,
        "provider_job_id": provider_job_id,
        "kind": row.kind,
        "tag": row.tag,
        "event_metadata": json.loads(row.event_metadata),
        "occurred_at": format_micros(row.occurred_at),
        "received_at": format_micros(row.received_at),
        "completed": row.completed,
        "total": row.total,
        "fraction": row.fraction,
        "part": row.part,
        "retrying": row.retrying,
        "failed": row.failed,
        "max_attempts": row.max_attempts,
        "message": row.message,
        "detail": row.detail,
    }


def serialize_audit_entry(row: Row[Any]) -> models.AuditEntry:
    """Return the document of an entry of the audit log."""
    return {
        "at": format_instant(row.at),
        "key_id": row.key_id,
        "action": row.action,
        "job_id": row.job_id,
        "customer_id": row.customer_id,
        "details": row.details,
    }


def serialize_share_link(row: Row[Any]) -> models.ShareLink:
    """Return the document of a share link; the row does not have the token."""
    return {
        "id": row.id,
        "job_id": row.job_id,
        "created_at": format_instant(row.created_at),
        "expires_at": format_instant(row.expires_at),
        "revoked_at": _instant(row.revoked_at),
        "label": row.label,
        "language": row.language,
        "last_opened_at": _instant(row.last_opened_at),
    }


def serialize_profile(row: Row[Any]) -> models.ProviderProfile:
    """Return the document of a provider's profile."""
    return {
        "name": row.name,
        "display_name": row.display_name,
        "contact_text": row.contact_text,
        "contact_phone": row.contact_phone,
        "contact_mail": row.contact_mail,
        "time_zone": row.time_zone,
        "language": row.language,
        "accent": row.accent,
        "accent_dark": None if row.accent is None else dark_variant(row.accent),
        "has_mark": row.mark_hash is not None,
    }


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _micros(micros: int | None) -> str | None:
    return None if micros is None else format_micros(micros)
