r"""Search for personal data in the reports of jobs, by rules with few false alarms.

`FakeTracker.assert_no_personal_data()` lists the rules.
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
_KIND_OF_KEY: Final = {key: kind for kind, keys in _KEYS.items() for key in keys}

_PROGRAM_FILE: Final = re.compile(r'^\s*File "[^"\n]+", line \d+.*$', re.MULTILINE)
_MAX_SHOWN: Final = 60

Located = tuple[str, str, Any]
"""Location in words, key and value; the key is empty for values without a key."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A text that looks like personal data.

    Attributes:
        location: Job, event and member, in words.
        kind: Kind of personal data, such as `an e-mail address`.
        text: The matching text; the whole value if its key matched.
    """

    location: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.location}: {self.kind}: {self.text[:_MAX_SHOWN]!r}"


def findings_in(
    jobs: Sequence[JobRecord], extra_patterns: Sequence[str | re.Pattern[str]] = ()
) -> list[Finding]:
    """Return the texts of `jobs` that look like personal data.

    Args:
        jobs: Records of the jobs.
        extra_patterns: Regular expressions of the caller.
    """
    rules = dict(_RULES)
    for extra in extra_patterns:
        pattern = re.compile(extra)
        rules[f"a match of {pattern.pattern!r}"] = pattern
    return [
        Finding(location, *found)
        for job in jobs
        for location, key, value in _values(job)
        for found in _matches(rules, key, value)
    ]


def _matches(
    rules: Mapping[str, re.Pattern[str]], key: str, value: Any
) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of each match in a value."""
    kind = _KIND_OF_KEY.get(re.sub(r"[^a-z]", "", key.lower()))
    text = value if isinstance(value, str) else str(value)
    if kind is not None and text.strip():
        yield kind, text
        return
    for rule, pattern in rules.items():
        match = pattern.search(text)
        if match is not None:
            yield rule, match[0]


def _values(job: JobRecord) -> Iterator[Located]:
    """Yield all texts and numbers that the script has passed for a job."""
    here = f"job {job.provider_job_id!r}"
    yield f"{here}, its id", "", job.provider_job_id
    creation = job.creation or {}
    for name in ("tag", "metadata", "configuration", "title", "reference"):
        yield from _walk(f"{here}, {name}", name, creation.get(name))
    for number, event in enumerate(job.events, 1):
        step = f" {event.tag!r}" if event.tag else ""
        yield from _event_values(f"{here}, event {number} ({event.kind}{step})", event)


def _event_values(here: str, event: Event) -> Iterator[Located]:
    texts = {"kind": event.kind, "step": event.tag, "message": event.message}
    for name, text in texts.items():
        yield from _walk(f"{here}, {name}", "", text)
    # Paths in a traceback name program files, not patients.
    detail = _PROGRAM_FILE.sub("", event.detail or "")
    yield from _walk(f"{here}, detail", "", detail or None)
    yield from _walk(f"{here}, metadata", "", event.metadata)


def _walk(here: str, key: str, value: Any) -> Iterator[Located]:
    """Yield all keys and values within a JSON value."""
    if isinstance(value, Mapping):
        for name, member in cast("Mapping[str, Any]", value).items():
            yield f"{here}, the key {name!r}", "", name
            yield from _walk(f"{here} {name!r}", name, member)
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _walk(here, key, item)
    elif value is not None and not isinstance(value, bool):
        yield here, key, value
