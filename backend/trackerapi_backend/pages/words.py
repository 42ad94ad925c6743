"""Words and sentences of all pages, in each language."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        "front": "Job progress",
        "front_line": (
            "This service shows how far jobs are. To see a job, open the whole link"
            " that you were sent."
        ),
        "front_programs": "For programs:",
        "front_reference": "what this service takes and answers",
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
        "front": "Fortschritt von Aufträgen",
        "front_line": (
            "Dieser Dienst zeigt, wie weit Aufträge sind. Um einen Auftrag zu sehen,"
            " öffnen Sie den ganzen Link, den Sie bekommen haben."
        ),
        "front_programs": "Für Programme:",
        "front_reference": "was dieser Dienst annimmt und beantwortet",
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
