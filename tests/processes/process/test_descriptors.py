"""Scripts with closed standard descriptors; resources that a tracker closes."""

import pytest

from tests.support.scripts import Scripts


def test_script_without_stderr_reports(scripts: Scripts) -> None:
    """With stderr closed, the script runs on and all its events are delivered."""
    output, _ = scripts.run(
        """\
        sys.stderr.close()
        os.close(2)
        tracker = TrackerApi(api_key="not-a-key")
        tracker.create_job("without stderr", 142, "undescribed")
        with TrackerApi() as good:
            send(good.job(JOB), 5)
        print("done")
        """
    )

    assert output == "done\n"
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_text_printed_to_a_closed_descriptor_gets_into_no_event(
    scripts: Scripts, closed: tuple[int, ...]
) -> None:
    """The outbox does not use descriptors 0 to 2, even if the script closed them."""
    scripts.run(f"""\
        for descriptor in {closed}:
            os.close(descriptor)
        tracker = TrackerApi(mode="offline")
        job = tracker.job(JOB)
        for _ in range(3):
            send(job)
            for descriptor in {closed}:
                try:
                    os.write(descriptor, b"as a C library does")
                except OSError:
                    pass
        tracker.close()
        os._exit(0)
        """)

    written = b"".join(path.read_bytes() for path in scripts.outbox.iterdir())
    assert b"as a C library does" not in written
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize("forks", [False, True])
def test_script_with_warnings_as_errors_gets_none(
    scripts: Scripts, forks: bool
) -> None:
    """Under `-W error -X dev`, Python reports no unclosed resource of a tracker."""
    output, errors = scripts.run(
        f"""\
        import gc

        tracker = TrackerApi()
        job = tracker.create_job(JOB + " strict", 142, "undescribed")
        job.send_event(kind="progress", name="one", fraction=0.5)
        tracker.flush(timeout=30)
        print(job.fetch().event_count)
        if {forks} and not os.fork():
            send(tracker.job(JOB), 5)
            sys.exit(0)
        print(os.wait()[1] if {forks} else 0)
        with TrackerApi() as other:
            send(other.job(JOB), 5)
            other.flush()
        del other
        gc.collect()
        """,
        *("-W", "error", "-X", "dev"),
    )

    assert (output, errors) == ("1\n0\n", "")
    scripts.assert_all_arrive_once()
