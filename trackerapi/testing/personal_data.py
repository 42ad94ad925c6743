r"""What looks like personal data in what jobs report; rules with few false alarms.

The rules are those that `FakeTracker.assert_no_personal_data()` states.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from trackerapi.events.event import Event
from trackerapi.testing.store import JobRecord

_LETTERS = r"[^\W\d_]"
_WIDE = r"[^\W\d_\x00-\x7f]"
_DATE = r"(?:18|19|20)\d\d(?P<dash>-?)(?:0[1-9]|1[0-2])(?P=dash)(?:0[1-9]|[12]\d|3[01])"

_RULES: Final[Mapping[str, re.Pattern[str]]] = {
    "a DICOM UID": re.compile(
        r"(?<![\w.])(?!1\.2\.840\.10008\.)(?=[\d.]{20,64}(?![\w.]*\w))"
        r"[0-2](?:\.(?:0|[1-9]\d*)){2,}"
    ),
    "a patient's name": re.compile(
        rf"(?:{_LETTERS}{{2}}|{_WIDE})\^{{1,4}}(?:{_LETTERS}{{2}}|{_WIDE})"
    ),
    "an element of the patient": re.compile(r"\(0010,\s?[0-9A-Fa-f]{4}\)"),
    "a date of birth": re.compile(
        rf"(?i:birth|\bborn\b|\bdob\b)[^\d\n]{{0,30}}(?<!\d){_DATE}(?!\d)"
    ),
    "an accession number": re.compile(
        r"(?i:\baccession(?:[ _-]?(?:number|no\.?|nr\.?|id))?)[\s:=#'\"]{1,4}"
        r"(?=[\w-]*\d)[\w-]{4,}"
    ),
    "an e-mail address": re.compile(
        r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,9}[A-Za-z]{2,}"
    ),
    "a path": re.compile(
        r"(?<![\w:/.~<])(?:~|/[\w.@^+-]+)/[\w.@^+-]"
        r"|(?<!\w)[A-Za-z]:\\[^\\\s]"
        r"|(?<![\w\\])\\\\[\w.-]+\\\w"
        r"|\bfile://"
    ),
}

_KEYS: Final = {
    "a patient's name": {"patientname", "patientsname", "nameofpatient"},
    "a patient's id": {"patientid", "patientsid", "mrn", "medicalrecordnumber"},
    "a date of birth": {
        "birthdate",
        "dateofbirth",
        "dob",
        "birthday",
        "patientbirthdate",
        "patientsbirthdate",
    },
    "an accession number": {"accession", "accessionnumber", "accessionno"},
    "a DICOM UID": {
        "studyinstanceuid",
        "seriesinstanceuid",
        "sopinstanceuid",
        "frameofreferenceuid",
    },
}
_KIND_OF_KEY: Final = {key: what for what, keys in _KEYS.items() for key in keys}

_PROGRAM_FILE: Final = re.compile(r'^\s*File "[^"\n]+", line \d+.*$', re.MULTILINE)
_LONGEST_SHOWN: Final = 60

Place = tuple[str, str, Any]
"""Where something stands, the key under which it stands, and the value."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks like personal data.

    Attributes:
        place: Job, event and member.
        what: What it looks like.
        text: The text that does.
    """

    place: str
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: {self.text[:_LONGEST_SHOWN]!r}"


def findings_in(
    jobs: Sequence[JobRecord], extra_patterns: Sequence[str | re.Pattern[str]] = ()
) -> list[Finding]:
    """Return what in some jobs looks like personal data.

    Args:
        jobs: The jobs.
        extra_patterns: Regular expressions of the caller.
    """
    rules = dict(_RULES)
    for extra in extra_patterns:
        pattern = re.compile(extra)
        rules[f"what {pattern.pattern!r} describes"] = pattern
    return [
        Finding(place, *found)
        for job in jobs
        for place, key, value in _places(job)
        for found in _found(rules, key, value)
    ]


def _found(
    rules: Mapping[str, re.Pattern[str]], key: str, value: Any
) -> Iterator[tuple[str, str]]:
    """Walk what a value holds, what it looks like first."""
    kind = _KIND_OF_KEY.get(re.sub(r"[^a-z]", "", key.lower()))
    text = value if isinstance(value, str) else str(value)
    if kind is not None and text.strip():
        yield kind, text
        return
    for what, pattern in rules.items():
        match = pattern.search(text)
        if match is not None:
            yield what, match[0]


def _places(job: JobRecord) -> Iterator[Place]:
    """Walk all texts and numbers of a job that an author can have chosen."""
    here = f"job {job.provider_job_id!r}"
    yield f"{here}, its id", "", job.provider_job_id
    creation = job.creation or {}
    for name in ("tag", "metadata", "configuration"):
        yield from _walk(f"{here}, {name}", name, creation.get(name))
    for number, event in enumerate(job.events, 1):
        step = f" {event.tag!r}" if event.tag else ""
        yield from _event_places(f"{here}, event {number} ({event.kind}{step})", event)


def _event_places(here: str, event: Event) -> Iterator[Place]:
    texts = {"kind": event.kind, "step": event.tag, "message": event.message}
    for name, text in texts.items():
        yield from _walk(f"{here}, {name}", "", text)
    # A traceback names the files of the program, which are nobody's data.
    detail = _PROGRAM_FILE.sub("", event.detail or "")
    yield from _walk(f"{here}, detail", "", detail or None)
    yield from _walk(f"{here}, metadata", "", event.metadata)


def _walk(here: str, key: str, value: Any) -> Iterator[Place]:
    """Walk a JSON value; each key is a text too."""
    if isinstance(value, Mapping):
        for name, member in cast("Mapping[str, Any]", value).items():
            yield f"{here}, the key {name!r}", "", name
            yield from _walk(f"{here} {name!r}", name, member)
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _walk(here, key, item)
    elif value is not None and not isinstance(value, bool):
        yield here, key, value
