"""`assert_no_personal_data()`: texts that it finds, and texts that it accepts."""

import re
from typing import Any

import pytest

from trackerapi import JobConfig, JobConfigManager, TrackerApi, TrackerJob
from trackerapi.testing import FakeTracker

TEXTS = {
    "a DICOM UID": [
        "1.2.826.0.1.3680043.8.498.45787841905188114249",
        "study 2.25.329800735698586629295641978511506172918 is read",
        "UID=1.2.392.200036.9116.2.6.1.48.",
    ],
    "a patient's name": ["DOE^JOHN", "Doe^Jane^^Dr", "of Müller^Ärne.", "山^太郎"],
    "an element of the patient": [
        "(0010,0030) DA: '19700131'",
        "bad (0010, 1000)",
    ],
    "a date of birth": [
        "born 1970-01-31",
        "PatientBirthDate: 19700131",
        "DOB=19700131",
        "Birth date of the patient: '19700131'",
    ],
    "an accession number": [
        "Accession Number: A1234567",
        "accession=20240131-7",
        "accession no. 4711/3",
    ],
    "an e-mail address": ["ask jane.doe@clinic.example.org", "<x+y@a-b.co>"],
    "a path": [
        "/data/patient-4711/scan.nii",
        "cannot open '/mnt/pacs/x'",
        "~/scans",
        r"C:\scans\doe",
        r"\\pacs\export",
        "file:///data/x",
    ],
}

HARMLESS = [
    "version 1.2.3.4.5 of 10.0.0.1",
    "1.2.840.10008.1.2.4.90 as transfer syntax",
    "0.123456789012345678901234567890",
    "2^53 and x^y and mm^2",
    "took 3/4 of 12 km/h on 2024/01/31 and 20240131",
    "read and/or write n/a",
    "https://tracker.example.org/s/abc and http://x/y/z",
    "the accession was slow; birth of an idea in 2024",
    "born to run",
    "model v7@node",
    "</p> closes, see section 4/5",
    "(0008,0060) CS: 'CT'",
    "accession number missing",
    "50 % of 1,000 images: 3.1415926535897932384626",
]


@pytest.fixture
def job(tracker: FakeTracker, config: JobConfig) -> TrackerJob:
    """Return a job without reports."""
    return TrackerApi().create_job("S1", 142, "imaging")


@pytest.mark.parametrize(
    ("what", "text"), [(what, text) for what, texts in TEXTS.items() for text in texts]
)
def test_personal_data_is_found(
    what: str, text: str, tracker: FakeTracker, job: TrackerJob
) -> None:
    """The error names job, event, member and kind of the personal data."""
    job.send_event(kind="start")
    job.send_event(kind="info", name="load", message=text)

    place = re.escape(f"job 'S1', event 2 (info 'load'), message: {what}: ")
    with pytest.raises(AssertionError, match=place):
        tracker.assert_no_personal_data()


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_is_not_found(
    text: str, tracker: FakeTracker, job: TrackerJob
) -> None:
    """Version numbers, counts, dates and web addresses are accepted."""
    job.send_event(kind="info", message=text, detail=text, metadata={"note": text})

    tracker.assert_no_personal_data()


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"PatientName": "John"}, "a patient's name"),
        ({"Patient's Name": "John"}, "a patient's name"),
        ({"patient_id": 4711}, "a patient's id"),
        ({"MRN": "x"}, "a patient's id"),
        ({"Date of Birth": 19700131}, "a date of birth"),
        ({"accession number": "abc"}, "an accession number"),
        ({"StudyInstanceUID": "1.2.3"}, "a DICOM UID"),
        ({"study": {"series": [{"PatientID": "x"}]}}, "a patient's id"),
        ({"DOE^JOHN": 1}, "a patient's name"),
    ],
)
def test_key_classifies_its_value(
    metadata: dict[str, Any], what: str, tracker: FakeTracker, job: TrackerJob
) -> None:
    """A key such as `patient_id` marks its value, at any depth of the metadata."""
    job.send_event(kind="step", name="load", metadata=metadata)

    with pytest.raises(AssertionError, match=f"event 1 .*metadata.*: {what}: "):
        tracker.assert_no_personal_data()


@pytest.mark.parametrize(
    "metadata",
    [
        {"PatientName": "", "patient_id": None, "birthday party": "1970-01-31"},
        {"accession hash": "3fa9", "patient count": 3, "images": 20240131},
        {"Seconds": 0.12345678901234567, "ok": True, "sizes": [1, 2.5]},
    ],
)
def test_other_keys_and_blanks_are_not_found(
    metadata: dict[str, Any], tracker: FakeTracker, job: TrackerJob
) -> None:
    """Blank values, and keys that only resemble a personal key, are accepted."""
    job.send_event(kind="step", name="load", metadata=metadata)

    tracker.assert_no_personal_data()


def test_traceback_may_name_program_files_only(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """File names of a traceback are accepted; a path in the exception text is found."""
    made = TrackerApi()
    for number, message in enumerate(["no space", "no /data/doe/scan.nii"]):
        with pytest.raises(OSError, match=message):
            with made.run_job(f"S{number}", 142, "imaging"):
                raise OSError(message)

    with pytest.raises(AssertionError) as failure:
        tracker.assert_no_personal_data()
    assert [line.split(":")[0] for line in str(failure.value).splitlines()[1:]] == [
        "  job 'S1', event 2 (error), detail"
    ]


def test_ids_tags_and_configurations_are_searched(tracker: FakeTracker) -> None:
    """All texts of a creation, event kind and step tag are searched."""
    JobConfigManager(
        configs=[
            {
                "tag": "ct",
                "name": "CT of jane@example.org",
                "step_configurations": [{"tag": "a", "name": "A", "points": 1}],
            }
        ]
    )
    tracker.strict = False
    job = TrackerApi().create_job(
        "DOE^JOHN",
        142,
        "ct",
        metadata={"mrn": 1},
        title="MRI of MUELLER^EVA",
        reference="jane@example.org",
    )
    job.send_event(kind="scan /data/doe/x", name="MUELLER^EVA")

    with pytest.raises(AssertionError) as failure:
        tracker.assert_no_personal_data()
    found = str(failure.value)
    creation = ("its id", "metadata", "configuration", "title", "reference")
    for place in (*creation, "kind", "step"):
        assert f", {place}" in found


def test_text_that_a_filter_removes_is_not_found(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """The text of an event that `before_send` drops is not searched."""
    made = TrackerApi(before_send=lambda _: None)
    made.create_job("S1", 142, "imaging").send_event(kind="info", message="DOE^JOHN")

    tracker.assert_no_personal_data()


def test_additional_patterns_are_searched(
    tracker: FakeTracker, job: TrackerJob
) -> None:
    """Additional patterns are searched, given as text or compiled."""
    job.note("ward 7, case 4711")

    tracker.assert_no_personal_data(r"case 99\d\d")
    for pattern in (r"case \d{4}", re.compile("CASE", re.IGNORECASE)):
        with pytest.raises(AssertionError, match=r"a match of .*: '(?i:case)"):
            tracker.assert_no_personal_data(pattern)
