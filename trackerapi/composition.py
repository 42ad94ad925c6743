"""Delivery as the settings want it: the one place where the two are joined."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from trackerapi.delivery.delivery import Delivery, DeliveryOptions
from trackerapi.delivery.folder import default_folder
from trackerapi.delivery.header import Binding
from trackerapi.delivery.outbox import OutboxOptions
from trackerapi.delivery.report import Problems

if TYPE_CHECKING:
    from pathlib import Path

    from trackerapi.delivery.sender import Sender
    from trackerapi.settings import Settings


def delivery_for(
    settings: "Settings", sender: "Callable[[], Sender]", problems: Problems
) -> Delivery:
    """Return delivery for a tracker with these settings; opens nothing yet."""
    options = DeliveryOptions(
        outbox=OutboxOptions(
            folder=outbox_folder(settings),
            limit_bytes=settings.outbox_limit_bytes,
            fsync=settings.fsync,
            strict=settings.strict,
        ),
        is_online=settings.mode == "online",
        shutdown_timeout_seconds=settings.shutdown_timeout_seconds,
    )
    return Delivery(options, binding_for(settings), sender, problems)


def binding_for(settings: "Settings") -> Binding:
    """Return where records of these settings may go."""
    return Binding(base_url=settings.base_url, key_id=settings.key_id)


def outbox_folder(settings: "Settings") -> "Path | None":
    """Return the folder of the outbox; None where there is no place for one."""
    if settings.outbox is not None:
        return settings.outbox
    try:
        return default_folder()
    except OSError:
        return None
