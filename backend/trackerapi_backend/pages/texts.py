"""Headlines and lines of each state of the customer's page, in each language.

A line is a sequence of sentences. A sentence with a value that is unknown is left out.
Where a sentence is a tuple, its first variant with known values is shown, so that the
page never shows an unknown value.

`{if_heard}` is an empty text, and unknown for a silent job. Each sentence that promises
that work is kept or goes on begins with `{if_heard}`, so that a silent job omits it.
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
    BACK = "back"
    REOPENED = "reopened"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FAILED_WITHOUT_MESSAGE = "failed, no message"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    WITH_REMARKS = "with remarks"
    INVALID_LINK = "dead link"
    NOT_POSSIBLE = "not possible"
    UNAVAILABLE = "unavailable"


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
            [
                (
                    "One try did not work: “{message}”{period}",
                    "One try did not work.",
                ),
                "{if_heard}What was done before is kept.",
                (
                    "{nth_attempt} of up to {max_attempts} tries.",
                    "Try {attempt} of up to {max_attempts}.",
                ),
            ],
        ),
        "de": StateTexts(
            "Neuer Versuch: {step}",
            [
                (
                    "Ein Versuch ist nicht gelungen: „{message}“{period}",
                    "Ein Versuch ist nicht gelungen.",
                ),
                "{if_heard}Das bisher Getane bleibt.",
                (
                    "{nth_attempt} von höchstens {max_attempts} Versuchen.",
                    "Versuch {attempt} von höchstens {max_attempts}.",
                ),
            ],
        ),
    },
    State.FINISHING: {
        "en": StateTexts("Finishing", ["All {several} steps are done."]),
        "de": StateTexts("Gleich fertig", ["Alle {several} Schritte sind getan."]),
    },
    State.QUIET: {
        "en": StateTexts(
            "{headline}",
            [
                ("No news for {age}, usually {every}.", "No news for {age}."),
                "That alone is no bad sign.",
            ],
        ),
        "de": StateTexts(
            "{headline}",
            [
                ("Seit {age} nichts Neues, sonst {every}.", "Seit {age} nichts Neues."),
                "Das allein ist kein schlechtes Zeichen.",
            ],
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
    State.BACK: {
        "en": StateTexts(
            "{headline}",
            [
                "News is back.",
                "The machine was offline from {offline_from} to {offline_until}.",
                "It worked on meanwhile; what it reported then is now counted.",
            ],
        ),
        "de": StateTexts(
            "{headline}",
            [
                "Es gibt wieder Nachricht.",
                "Die Maschine war von {offline_from} bis {offline_until} offline und"
                " hat weitergearbeitet; was sie da gemeldet hat, ist jetzt mitgezählt.",
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
                "{if_heard}It is expected to go on; what was done is kept.",
            ],
        ),
        "de": StateTexts(
            "Unterbrochen",
            [
                ("Unterbrochen um {changed} in {step}.", "Unterbrochen um {changed}."),
                "{if_heard}Es geht voraussichtlich weiter; das bisher Getane bleibt.",
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
            [
                (
                    "{done_steps} of {count} steps done, {skipped_steps} not needed.",
                    "{done_steps} of {count} steps done.",
                ),
                (
                    "{failed_units} did not work in {failed_step}.",
                    "{failed_units} did not work in {failed_steps} steps.",
                ),
            ],
        ),
        "de": StateTexts(
            "Fertig, mit {remarks}",
            [
                (
                    "{done_steps} von {count} Schritten getan, {skipped_steps} nicht"
                    " nötig.",
                    "{done_steps} von {count} Schritten getan.",
                ),
                (
                    "{failed_units} nicht gelungen in {failed_step}.",
                    "{failed_units} nicht gelungen in {failed_steps} Schritten.",
                ),
            ],
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
    State.NOT_POSSIBLE: {
        "en": StateTexts(
            "This cannot be done here",
            [
                "This page only shows how far the work is.",
                "Open the whole link once more from the message it came in.",
            ],
        ),
        "de": StateTexts(
            "Das geht hier nicht",
            [
                "Diese Seite zeigt nur, wie weit die Arbeit ist.",
                "Öffnen Sie den ganzen Link noch einmal aus der Nachricht.",
            ],
        ),
    },
    State.UNAVAILABLE: {
        "en": StateTexts(
            "This page cannot be shown right now",
            [
                "The service behind it does not answer.",
                "This says nothing about the work itself.",
                "Load the page again in a minute.",
            ],
        ),
        "de": StateTexts(
            "Diese Seite lässt sich gerade nicht zeigen",
            [
                "Der Dienst dahinter antwortet nicht.",
                "Über die Arbeit selbst sagt das nichts.",
                "Laden Sie die Seite in einer Minute noch einmal.",
            ],
        ),
    },
}
