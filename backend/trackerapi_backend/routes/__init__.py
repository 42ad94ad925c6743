"""Handlers of all operations, by operation id; each resource has its own module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.routes import (
    api_keys,
    audit_log,
    customers,
    erasures,
    events,
    job_configurations,
    job_tokens,
    jobs,
    provider,
    share_links,
    streams,
    system,
)

if TYPE_CHECKING:
    from trackerapi_backend.requests.call import Handler

HANDLERS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (
        api_keys.verify_api_key,
        api_keys.create_api_key,
        api_keys.list_api_keys,
        api_keys.expire_api_key,
        audit_log.list_audit_entries,
        customers.create_customer,
        customers.list_customers,
        customers.get_customer,
        erasures.erase_job,
        erasures.erase_customer,
        events.create_event,
        events.import_events,
        events.list_events,
        job_configurations.register_job_configuration,
        job_configurations.list_job_configurations,
        job_configurations.get_job_configuration,
        jobs.create_job,
        jobs.list_jobs,
        jobs.get_job,
        job_tokens.create_job_token,
        provider.get_provider_profile,
        provider.update_provider_profile,
        share_links.create_share_link,
        share_links.list_share_links,
        share_links.revoke_share_link,
        streams.stream_job,
        system.livez,
        system.readyz,
    )
}
