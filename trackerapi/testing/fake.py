"""The tracker in memory: what a test asks, and how it lets the tracker fail."""

import re
from collections.abc import Callable
from pathlib import Path

from trackerapi.delivery.report import DeliveryReport
from trackerapi.testing.faults import SILENT, Fault, check_fault, error_of
from trackerapi.testing.memory_delivery import ChildDelivery, Taker
from trackerapi.testing.personal_data import findings_in
from trackerapi.testing.store import RecordStore
from trackerapi.testing.views import RecordedJob


class FakeTracker:
    """A tracker in memory, to which each TrackerApi of the process reports.

    It takes what the code under test reports on the way on which it would be delivered:
    `before_send`, the rules for metadata and the names of steps count as ever. Given
    keys, addresses and folders count for nothing, and none need be given. Processes
    that the test forks are recorded too, and so are others that it starts and that use
    the environment of the test; those only write down what they report.

    Args:
        outbox: Folder for what other processes report; made when one does.
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
        """Whether mistakes of the code under test raise, as with `strict=True`.

        True at first: an unknown step or a misspelt kind is an `UnknownStepError`,
        metadata that does not fit a `ValueError`. False leaves it to the code under
        test.
        """
        return self._is_strict

    @strict.setter
    def strict(self, value: bool) -> None:
        self._is_strict = value
        self._on_change()

    @property
    def jobs(self) -> list[RecordedJob]:
        """All jobs as they were reported up to now, the first one first."""
        return [RecordedJob.of(record) for record in self.store.jobs()]

    def job(self, provider_job_id: str) -> RecordedJob:
        """Return a job as it was reported up to now.

        Args:
            provider_job_id: Your own id of the job.

        Raises:
            LookupError: If nothing was reported of it; names the jobs that reported.
        """
        record = self.store.find(provider_job_id)
        if record is not None:
            return RecordedJob.of(record)
        known = ", ".join(repr(job.provider_job_id) for job in self.store.jobs())
        raise LookupError(
            f"nothing was reported of a job {provider_job_id!r}; jobs that reported: "
            f"{known or 'none'}"
        )

    def fail_with(self, *faults: Fault) -> None:
        """Let the tracker fail from now on, to see that the code under test survives.

        While it fails, the code under test sees what it would see in production: it is
        as strict as it says itself. A `TrackerApi(strict=True)` raises for a refused
        key, a refused job and a full disk; one that says nothing raises for none of
        them. What is reported meanwhile is kept, as the outbox would keep it, and can
        be looked at.

        Args:
            *faults: One or several of: `timeout`, no answer comes; `refused`, nobody
                is at the address; `key`, the key is refused; `customer`, jobs are
                refused, since the tracker knows no such customer; `disk`, the outbox
                cannot be written.

        Raises:
            ValueError: If there is no such fault.
        """
        for fault in faults:
            check_fault(fault)
        if not self._is_silent:
            self._count_before = self.store.count()
        self._faults = faults
        self._on_change()

    def recover(self) -> None:
        """Let the tracker work again; what has waited counts as delivered."""
        self._faults = ()
        self._on_change()

    def assert_no_personal_data(self, *extra_patterns: str | re.Pattern[str]) -> None:
        r"""Fail if something that left the code under test looks like personal data.

        Looked through are ids of jobs, metadata of jobs, tags and names of steps, and
        of each event its kind, step, texts, and keys and values of its metadata, after
        `before_send` and declared metadata have taken out what they take out:

        - a DICOM UID: 20 characters or more of numbers between dots, beginning with
          0, 1 or 2; but for those of the standard itself (`1.2.840.10008.`)
        - a patient's name: letters on both sides of `^`, as in `DOE^JOHN`
        - an element of DICOM's group of the patient, written as in `(0010,0030)`
        - a date of birth: a date (`19700131` or with dashes) close behind the word
          birth, born or DOB
        - an accession number: a word with a digit right behind the word accession
        - any value whose key says that it is one of these, or a patient's id: such as
          `PatientName`, `patient_id`, `MRN`, `Date of Birth`, `accession number`
        - an e-mail address
        - a path of two parts or more: `/data/x`, `~/x`, `C:\x`, `\\host\x`; not in a
          web address, nor where a traceback names a file of the program

        Args:
            *extra_patterns: Regular expressions that must not be found either.

        Raises:
            AssertionError: If there is any; names job, event and place of each.
        """
        __tracebackhide__ = True
        found = findings_in(self.store.jobs(), extra_patterns)
        if found:
            lines = "\n".join(f"  {finding}" for finding in found)
            raise AssertionError(f"this looks like personal data:\n{lines}")

    @property
    def raises_mistakes(self) -> bool:
        """Whether mistakes raise now, whatever the code under test wants."""
        return self._is_strict and not self._faults

    @property
    def _is_silent(self) -> bool:
        return not SILENT.isdisjoint(self._faults)

    def has_fault(self, fault: Fault) -> bool:
        """Tell whether the tracker fails in a way now."""
        return fault in self._faults

    def meet_silence(self) -> None:
        """Run into what keeps a request from being answered.

        Raises:
            BackendUnavailable: If nobody answers.
            AuthenticationError: If the key is refused.
        """
        for fault in self._faults:
            if fault in SILENT:
                raise error_of(fault)

    def meet_refusal(self) -> None:
        """Run into what keeps a job from being taken.

        Raises:
            BackendRejected: If the job is refused.
        """
        if self.has_fault("customer"):
            raise error_of("customer")

    def taker(self) -> Taker:
        """Return what takes records in this process."""
        return self._child.taker() or self.store

    def delivery_report(self) -> DeliveryReport:
        """Tell how far delivery would be."""
        count, held = self.store.count(), self.store.count(held=True)
        waiting = max(count - self._count_before - held, 0) if self._is_silent else 0
        errors = [str(error_of(f)) for f in self._faults if f in SILENT]
        return DeliveryReport(
            delivered=count - waiting - held,
            waiting=waiting,
            held=held,
            last_error=errors[0] if errors else None,
        )
