"""What a TrackerApi is made of, and the one seam where a test puts in other parts.

`trackerapi.testing` puts in parts that keep everything in memory; nothing else does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trackerapi.reporter import Reporter
from trackerapi.settings import Settings

if TYPE_CHECKING:
    from trackerapi.composition import Connector
    from trackerapi.delivery.delivery import Delivery
    from trackerapi.delivery.report import Problems
    from trackerapi.reporter import BeforeSend


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerParts:
    """The parts of one TrackerApi.

    Attributes:
        settings: Where the backend is, and who asks.
        reporter: Takes the events of its jobs.
        delivery: Where records go; None where tracking is off.
        connector: Opens connections; None where tracking is off.
    """

    settings: Settings
    reporter: Reporter
    delivery: "Delivery | None"
    connector: "Connector | None"


MakeParts = Callable[
    [Mapping[str, object], "Problems", "BeforeSend | None"], TrackerParts
]
"""Makes parts from arguments by the names of the settings, problems and filter."""


def make_parts(
    arguments: Mapping[str, object],
    problems: "Problems",
    before_send: "BeforeSend | None",
) -> TrackerParts:
    """Make the parts that work.

    Args:
        arguments: Values by the names of the settings; None stands for "not given".
        problems: Told of what goes wrong.
        before_send: The author's filter.

    Raises:
        SettingsError: If a setting is missing or invalid.
    """
    settings = Settings.resolve(arguments)
    delivery: Delivery | None = None
    connector: Connector | None = None
    if settings.mode != "off":
        from trackerapi import composition

        connector = composition.Connector(settings)
        delivery = composition.delivery_for(settings, connector.sender, problems)
    reporter = Reporter(
        delivery, problems, strict=settings.strict, before_send=before_send
    )
    if delivery is not None and settings.progress != "off":
        from trackerapi.view.watcher import watch_over

        watch_over(reporter, delivery.report, settings)
    return TrackerParts(
        settings=settings, reporter=reporter, delivery=delivery, connector=connector
    )


class Seam:
    """Where the parts of a TrackerApi come from.

    Attributes:
        make: Makes them; `make_parts` but in tests of job scripts.
    """

    def __init__(self) -> None:
        self.make: MakeParts = make_parts


SEAM: Final = Seam()
"""The one of this process."""
