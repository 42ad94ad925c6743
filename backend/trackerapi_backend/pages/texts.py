"""Table of all texts of the customer's page, in each language.

A line is a sequence of sentences. A sentence with a value that is unknown is left out.
Where a sentence is a tuple, its first variant with known values is shown, so that the
page never shows an unknown value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LANGUAGES = {"en": "English", "de": "Deutsch"}
"""Name of each language in this language; the first language is the default."""

Sentence = str | tuple[str, ...]


class State(StrEnum):
    """State of a job for its customer."""

    PENDING = "pending"
    RUNNING = "running"
    TOTAL_UNKNOWN = "total unknown"
    BETWEEN_STEPS = "between steps"
    NO_CONFIGURATION = "no configuration"
    RETRYING = "retrying"
    FINISHING = "finishing"
    QUIET = "quiet"
    SILENT = "silent"
    REOPENED = "reopened"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FAILED_WITHOUT_MESSAGE = "failed, no message"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    WITH_REMARKS = "with remarks"
    INVALID_LINK = "dead link"


@dataclass(frozen=True, slots=True)
class StateTexts:
    """Texts of one state in one language.

    Attributes:
        headline: Template of the headline. `{headline}` in it is the headline of the
            state that the job had at its latest report.
        line: Templates of the sentences below the headline.
    """

    headline: str
    line: Sequence[Sentence]


STATES: Mapping[State, Mapping[str, StateTexts]] = {
    State.PENDING: {
        "en": StateTexts("Not started yet", ["It starts by itself."]),
        "de": StateTexts("Noch nicht begonnen", ["Es beginnt von selbst."]),
    },
    State.RUNNING: {
        "en": StateTexts("{step}", ["Step {number} of {count}", "· {done} of {total}"]),
        "de": StateTexts(
            "{step}", ["Schritt {number} von {count}", "· {done} von {total}"]
        ),
    },
    State.TOTAL_UNKNOWN: {
        "en": StateTexts("{step}", ["Step {number} of {count}", "· {done} so far"]),
        "de": StateTexts("{step}", ["Schritt {number} von {count}", "· bisher {done}"]),
    },
    State.BETWEEN_STEPS: {
        "en": StateTexts("Next: {step}", ["{done_steps} of {count} steps done"]),
        "de": StateTexts(
            "Als Nächstes: {step}", ["{done_steps} von {count} Schritten getan"]
        ),
    },
    State.NO_CONFIGURATION: {
        "en": StateTexts("In progress", ["{updates} so far"]),
        "de": StateTexts("In Arbeit", ["bisher {updates}"]),
    },
    State.RETRYING: {
        "en": StateTexts(
            "Trying again: {step}",
            ["One try did not work.", "What was done before is kept."],
        ),
        "de": StateTexts(
            "Neuer Versuch: {step}",
            ["Ein Versuch ist nicht gelungen.", "Das bisher Getane bleibt."],
        ),
    },
    State.FINISHING: {
        "en": StateTexts("Finishing", ["All {several} steps are done."]),
        "de": StateTexts("Gleich fertig", ["Alle {several} Schritte sind getan."]),
    },
    State.QUIET: {
        "en": StateTexts(
            "{headline}", ["No news for {age}.", "That alone is no bad sign."]
        ),
        "de": StateTexts(
            "{headline}",
            ["Seit {age} nichts Neues.", "Das allein ist kein schlechtes Zeichen."],
        ),
    },
    State.SILENT: {
        "en": StateTexts(
            "{headline}, as far as we know",
            [
                "No news since {last}.",
                "The work may well go on: we just cannot see it.",
                "How long it takes cannot be told until there is news.",
            ],
        ),
        "de": StateTexts(
            "{headline}, soweit wir wissen",
            [
                "Nichts Neues seit {last}.",
                "Die Arbeit kann gut weitergehen, wir sehen sie nur nicht.",
                "Wie lange es dauert, lässt sich erst mit neuer Nachricht sagen.",
            ],
        ),
    },
    State.REOPENED: {
        "en": StateTexts("{headline}", ["Going on again since {changed}."]),
        "de": StateTexts("{headline}", ["Geht seit {changed} weiter."]),
    },
    State.INTERRUPTED: {
        "en": StateTexts(
            "Paused",
            [
                ("Paused at {changed} in {step}.", "Paused at {changed}."),
                "It is expected to go on; what was done is kept.",
            ],
        ),
        "de": StateTexts(
            "Unterbrochen",
            [
                ("Unterbrochen um {changed} in {step}.", "Unterbrochen um {changed}."),
                "Es geht voraussichtlich weiter; das bisher Getane bleibt.",
            ],
        ),
    },
    State.FAILED: {
        "en": StateTexts(
            "This could not be finished",
            [
                ("Stopped at {finished} in {step}.", "Stopped at {finished}."),
                "“{message}”",
                "You need not do anything.",
                "{provider} sees this too; please call if you need it today.",
            ],
        ),
        "de": StateTexts(
            "Das ließ sich nicht fertigstellen",
            [
                ("Angehalten um {finished} in {step}.", "Angehalten um {finished}."),
                "„{message}“",
                "Sie müssen nichts tun.",
                "{provider} sieht das auch; rufen Sie bitte an, wenn Sie es heute"
                " brauchen.",
            ],
        ),
    },
    State.FAILED_WITHOUT_MESSAGE: {
        "en": StateTexts(
            "This could not be finished",
            [
                ("Stopped at {finished} in {step}.", "Stopped at {finished}."),
                "The reason is with {provider}.",
                "If it goes on, this page shows it.",
            ],
        ),
        "de": StateTexts(
            "Das ließ sich nicht fertigstellen",
            [
                ("Angehalten um {finished} in {step}.", "Angehalten um {finished}."),
                "Den Grund kennt {provider}.",
                "Geht es weiter, zeigt es diese Seite.",
            ],
        ),
    },
    State.CANCELLED: {
        "en": StateTexts(
            "Cancelled",
            [
                "Cancelled at {finished}.",
                "“{message}”",
                "Nothing more will happen here.",
            ],
        ),
        "de": StateTexts(
            "Abgebrochen",
            [
                "Abgebrochen um {finished}.",
                "„{message}“",
                "Hier geschieht nichts mehr.",
            ],
        ),
    },
    State.SUCCEEDED: {
        "en": StateTexts(
            "Ready",
            [("Finished at {finished} after {duration}.", "Finished at {finished}.")],
        ),
        "de": StateTexts(
            "Fertig",
            [("Fertig um {finished} nach {duration}.", "Fertig um {finished}.")],
        ),
    },
    State.WITH_REMARKS: {
        "en": StateTexts(
            "Ready, with {remarks}",
            ["{done_steps} of {count} steps done, {skipped_steps} not needed."],
        ),
        "de": StateTexts(
            "Fertig, mit {remarks}",
            ["{done_steps} von {count} Schritten getan, {skipped_steps} nicht nötig."],
        ),
    },
    State.INVALID_LINK: {
        "en": StateTexts(
            "This link shows nothing any more",
            [
                "It has ended, or a part of it got lost on the way.",
                "This says nothing about the work itself.",
                "Open the whole link once more from the message it came in, or ask"
                " whoever sent it for a new one.",
            ],
        ),
        "de": StateTexts(
            "Dieser Link zeigt nichts mehr",
            [
                "Er ist abgelaufen, oder ein Teil ging unterwegs verloren.",
                "Über die Arbeit selbst sagt das nichts.",
                "Öffnen Sie den ganzen Link noch einmal aus der Nachricht, oder bitten"
                " Sie den Absender um einen neuen.",
            ],
        ),
    },
}

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "started": "Started at {at}.",
        "reference": "Reference {reference}",
        "several_running": "{step} and {more} more",
        "step_position": "step {number} of {count}",
        "percent": "{percent} percent",
        "progress": "Progress",
        "no_history": "Too early to say how long",
        "live": "Live",
        "quiet": "Quiet",
        "waiting": "Waiting for news",
        "reported": "Reported {age} ({at})",
        "reported_earlier": "Reported at {at}",
        "now": "just now",
        "ago": "{age} ago",
        "second": "{n} second",
        "seconds": "{n} seconds",
        "minute": "{n} minute",
        "minutes": "{n} minutes",
        "hour": "{n} hour",
        "hours": "{n} hours",
        "on_day": "{clock} on {day}",
        "day": "{day} {month}",
        "update": "{n} update",
        "updates": "{n} updates",
        "remark": "{n} remark",
        "remarks": "{n} remarks",
        "count_of": "{done} of {total}",
        "count_so_far": "{done} so far",
        "steps": "Steps",
        "done_steps": "{n} steps done",
        "done_step": "{n} step done",
        "more_steps": "{n} more",
        "step.running": "since {at}",
        "step.in_progress": "in progress",
        "step.done": "done",
        "step.to_do": "to do",
        "step.paused": "paused",
        "step.trying_again": "trying again",
        "step.not_needed": "not needed",
        "step.failed": "did not work",
        "step.not_finished": "not finished",
        "step.not_reached": "not reached",
        "step.cancelled": "cancelled",
        "step.left_out": "left out",
        "news": "News",
        "quote": "“{text}”",
        "yes": "yes",
        "no": "no",
        "as_of": "As of {at} on {day}.",
        "about_percent": (
            "The percentage counts work that is done, never falls, and is 100 only"
            " when all of it has succeeded."
        ),
        "is_refreshing": "This page refreshes itself.",
        "stop_refreshing": "Let it stand still",
        "is_still": "This page stands still.",
        "refresh": "Let it refresh itself",
    },
    "de": {
        "started": "Begonnen um {at}.",
        "reference": "Referenz {reference}",
        "several_running": "{step} und {more} weitere",
        "step_position": "Schritt {number} von {count}",
        "percent": "{percent} Prozent",
        "progress": "Fortschritt",
        "no_history": "Noch nicht abzusehen, wie lange",
        "live": "Live",
        "quiet": "Ruhig",
        "waiting": "Warten auf Nachricht",
        "reported": "Gemeldet {age} ({at})",
        "reported_earlier": "Gemeldet um {at}",
        "now": "gerade eben",
        "ago": "vor {age}",
        "second": "{n} Sekunde",
        "seconds": "{n} Sekunden",
        "minute": "{n} Minute",
        "minutes": "{n} Minuten",
        "hour": "{n} Stunde",
        "hours": "{n} Stunden",
        "on_day": "{clock} am {day}",
        "day": "{day}. {month}",
        "update": "{n} Meldung",
        "updates": "{n} Meldungen",
        "remark": "{n} Anmerkung",
        "remarks": "{n} Anmerkungen",
        "count_of": "{done} von {total}",
        "count_so_far": "bisher {done}",
        "steps": "Schritte",
        "done_steps": "{n} Schritte getan",
        "done_step": "{n} Schritt getan",
        "more_steps": "{n} weitere",
        "step.running": "seit {at}",
        "step.in_progress": "in Arbeit",
        "step.done": "getan",
        "step.to_do": "noch zu tun",
        "step.paused": "unterbrochen",
        "step.trying_again": "neuer Versuch",
        "step.not_needed": "nicht nötig",
        "step.failed": "nicht gelungen",
        "step.not_finished": "nicht beendet",
        "step.not_reached": "nicht erreicht",
        "step.cancelled": "abgebrochen",
        "step.left_out": "ausgelassen",
        "news": "Neues",
        "quote": "„{text}“",
        "yes": "ja",
        "no": "nein",
        "as_of": "Stand: {at} am {day}.",
        "about_percent": (
            "Die Prozentzahl zählt getane Arbeit, sinkt nie und ist erst 100, wenn"
            " alles gelungen ist."
        ),
        "is_refreshing": "Diese Seite lädt sich selbst neu.",
        "stop_refreshing": "Seite anhalten",
        "is_still": "Diese Seite ist angehalten.",
        "refresh": "Wieder selbst neu laden",
    },
}

MONTHS = {
    "en": (
        *("January", "February", "March", "April", "May", "June", "July"),
        *("August", "September", "October", "November", "December"),
    ),
    "de": (
        *("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli"),
        *("August", "September", "Oktober", "November", "Dezember"),
    ),
}
