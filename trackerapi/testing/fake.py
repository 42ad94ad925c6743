"""`FakeTracker`: recorded jobs of a test, and faults that the test switches on."""

import re
from collections.abc import Callable
from pathlib import Path

from trackerapi.delivery.report import DeliveryReport
from trackerapi.testing.faults import SILENT, Fault, check_fault, error_of
from trackerapi.testing.memory_delivery import ChildDelivery, RecordTarget
from trackerapi.testing.personal_data import findings_in
from trackerapi.testing.store import RecordStore
from trackerapi.testing.views import RecordedJob


class FakeTracker:
    """A tracker in memory, to which each TrackerApi of the process reports.

    Reports pass the same checks as in production: `before_send`, the rules for metadata
    and the check of steps apply. Keys, addresses and folders of the code under
    test are ignored, and may be missing. Reports of child processes are recorded too: a
    child process that is forked or inherits the test's environment writes its reports
    into a folder of the test.

    Args:
        outbox: Folder for the reports of other processes. The first of these processes
            creates the folder.
        on_change: Called when strictness or faults change.

    Example:
        def test_pipeline_reports_all_steps(trackerapi):
            pipeline(study="S1", customer=142)
            assert trackerapi.job("S1").percent == 100
    """

    def __init__(
        self, outbox: Path, on_change: Callable[[], object] = lambda: None
    ) -> None:
        self.store = RecordStore(outbox)
        self._child, self._on_change = ChildDelivery(outbox), on_change
        self._is_strict = True
        self._faults: tuple[Fault, ...] = ()
        self._count_before = 0

    def __repr__(self) -> str:
        return f"FakeTracker(jobs={[job.provider_job_id for job in self.jobs]})"

    @property
    def strict(self) -> bool:
        """Whether usage errors of the code under test raise, as with `strict=True`.

        True by default: an unknown step or a misspelt kind raises `UnknownStepError`,
        and metadata that does not fit raises `ValueError`. With False, the setting
        `strict` of the code under test decides.
        """
        return self._is_strict

    @strict.setter
    def strict(self, value: bool) -> None:
        self._is_strict = value
        self._on_change()

    @property
    def jobs(self) -> list[RecordedJob]:
        """Snapshots of all jobs, in the order of their first reports."""
        return [RecordedJob.of(record) for record in self.store.jobs()]

    def job(self, provider_job_id: str) -> RecordedJob:
        """Return a snapshot of a job.

        Args:
            provider_job_id: Your own id of the job.

        Raises:
            LookupError: If the job has no report; the message names the reported jobs.
        """
        record = self.store.find(provider_job_id)
        if record is not None:
            return RecordedJob.of(record)
        known = ", ".join(repr(job.provider_job_id) for job in self.store.jobs())
        raise LookupError(
            f"there are no reports of a job {provider_job_id!r}; jobs with reports: "
            f"{known or 'none'}"
        )

    def fail_with(self, *faults: Fault) -> None:
        """Switch faults on, to test that the code under test survives them.

        During a fault, the setting `strict` of the code under test applies.
        `TrackerApi(strict=True)` raises for a refused key, a refused job and a
        full disk; without `strict`, none of these faults raises. Reports made during a
        fault are recorded too, as the outbox keeps undelivered reports.

        Args:
            *faults: Any of: `timeout` (requests get no answer), `refused` (the backend
                refuses connections), `key` (the backend refuses the key), `customer`
                (the backend refuses jobs, because the customer is unknown) and `disk`
                (the outbox cannot be written).

        Raises:
            ValueError: If a fault is unknown.
        """
        for fault in faults:
            check_fault(fault)
        if not self._is_silent:
            self._count_before = self.store.count()
        self._faults = faults
        self._on_change()

    def recover(self) -> None:
        """End all faults; undelivered reports count as delivered."""
        self._faults = ()
        self._on_change()

    def assert_no_personal_data(self, *extra_patterns: str | re.Pattern[str]) -> None:
        r"""Fail if a report contains a text that looks like personal data.

        Searches ids and metadata of jobs, tags and names of steps, and the kind, step,
        texts and metadata of each event. `before_send` and declared metadata apply
        before the search. Personal data are:

        - a DICOM UID: 20 or more characters of numbers between dots, beginning with
          0, 1 or 2, except the UIDs of the standard itself (`1.2.840.10008.`)
        - a patient's name: letters on both sides of `^`, as in `DOE^JOHN`
        - an element of DICOM's patient group, written as in `(0010,0030)`
        - a date of birth: a date (`19700131` or with dashes) closely behind the word
          birth, born or DOB
        - an accession number: a word with a digit directly behind the word accession
        - any value with a key for one of these, or for a patient's id, such as
          `PatientName`, `patient_id`, `MRN`, `Date of Birth`, `accession number`
        - an e-mail address
        - a path of two or more parts: `/data/x`, `~/x`, `C:\x`, `\\host\x`, except in a
          web address, and except the program files in a traceback

        Args:
            *extra_patterns: Regular expressions that no report may match either.

        Raises:
            AssertionError: If a report matches; the message names job, event and field
                of each match.
        """
        __tracebackhide__ = True
        found = findings_in(self.store.jobs(), extra_patterns)
        if found:
            lines = "\n".join(f"  {finding}" for finding in found)
            raise AssertionError(f"this looks like personal data:\n{lines}")

    @property
    def raises_usage_errors(self) -> bool:
        """Whether usage errors raise now: `strict` is True, and no fault is on."""
        return self._is_strict and not self._faults

    @property
    def _is_silent(self) -> bool:
        return not SILENT.isdisjoint(self._faults)

    def has_fault(self, fault: Fault) -> bool:
        """Return whether a fault is switched on."""
        return fault in self._faults

    def raise_if_unreachable(self) -> None:
        """Raise the error of a fault that makes every request fail.

        Raises:
            BackendUnavailable: During the faults `timeout` and `refused`.
            AuthenticationError: During the fault `key`.
        """
        for fault in self._faults:
            if fault in SILENT:
                raise error_of(fault)

    def raise_if_jobs_are_rejected(self) -> None:
        """Raise the error of a fault that makes each creation of a job fail.

        Raises:
            BackendRejected: During the fault `customer`.
        """
        if self.has_fault("customer"):
            raise error_of("customer")

    def record_target(self) -> RecordTarget:
        """Return the target of records: memory, or a file in a forked process."""
        return self._child.delivery() or self.store

    def delivery_report(self) -> DeliveryReport:
        """Return the delivery report that the current faults would cause."""
        count, held = self.store.count(), self.store.count(held=True)
        waiting = max(count - self._count_before - held, 0) if self._is_silent else 0
        errors = [str(error_of(f)) for f in self._faults if f in SILENT]
        return DeliveryReport(
            delivered=count - waiting - held,
            waiting=waiting,
            held=held,
            last_error=errors[0] if errors else None,
        )
