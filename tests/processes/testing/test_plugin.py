"""The pytest plugin in the test suite of a provider."""

import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
from trackerapi import JobConfigManager, TrackerApi

JobConfigManager(configs=[{
    "tag": "imaging",
    "name": "Imaging study",
    "step_configurations": [
        {"tag": "load", "name": "Read images", "points": 10},
        {"tag": "report", "name": "Write report", "points": 20},
    ],
}])


def pipeline(study, customer):
    tracker = TrackerApi(api_key="<your api key>", base_url="<url>")
    with tracker.run_job(study, customer, "imaging") as job:
        with job.step("load") as step:
            step.note("Reading your images")
        with job.step("report"):
            pass
    tracker.close()
"""

SKETCH = """
from pipeline import pipeline


def test_pipeline_reports_all_steps(trackerapi):
    pipeline(study="S1", customer=142)
    job = trackerapi.job("S1")
    assert job.finished and job.percent == 100
    assert job.steps_done == ["load", "report"]
    assert job.customer_view().texts == ["Reading your images"]
    trackerapi.assert_no_personal_data()


def test_survives_a_dead_tracker(trackerapi):
    trackerapi.fail_with("timeout")
    pipeline(study="S2", customer=142)
    assert [job.provider_job_id for job in trackerapi.jobs] == ["S2"]
"""

MODULE_LEVEL = """
from trackerapi import TrackerApi

tracker = TrackerApi()


def pipeline(study):
    tracker.create_job(study, 142, "imaging").send_event(kind="complete")
"""

WITHOUT_A_FIXTURE = """
from module_level import pipeline


def test_with(trackerapi):
    pipeline("S1")
    assert trackerapi.job("S1").finished


def test_without():
    pipeline("S2")


def test_with_again(trackerapi):
    pipeline("S3")
    assert [job.provider_job_id for job in trackerapi.jobs] == ["S3"]
"""


@pytest.fixture(autouse=True)
def user_project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the project of a provider; its folder for outboxes must stay empty."""
    pytester.makepyfile(pipeline=PIPELINE, module_level=MODULE_LEVEL)
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    # Loading the installed plugins takes longer than all of these tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.plugins = ["trackerapi.testing.plugin"]
    pytester.makeini("[pytest]\nfilterwarnings = error\npythonpath = .")


def test_sketch_works_as_printed(pytester: pytest.Pytester) -> None:
    """The example tests of the documentation pass and write no outbox."""
    pytester.makepyfile(test_sketch=SKETCH)

    done = pytester.runpytest_subprocess("-q")

    done.assert_outcomes(passed=2)
    assert not (pytester.path / "state").exists()


def test_failed_assertion_shows_the_job(pytester: pytest.Pytester) -> None:
    """Failed tests print the state of the job, the unknown step or the bad id."""
    pytester.makepyfile(
        test_red="""
        from trackerapi import TrackerApi
        import pipeline

        def test_red(trackerapi):
            job = TrackerApi().create_job("S1", 142, "imaging")
            job.send_event(kind="step", name="load")
            assert trackerapi.job("S1").finished

        def test_typo(trackerapi):
            job = TrackerApi().create_job("S1", 142, "imaging")
            job.send_event(kind="step", name="laod")

        def test_person(trackerapi):
            TrackerApi().create_job("DOE^JOHN", 142, "imaging")
            trackerapi.assert_no_personal_data()
        """
    )

    done = pytester.runpytest_subprocess("-q")

    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(
        [
            "*RecordedJob('S1', status='running', percent=33.33, "
            "steps={'load': 'done', 'report': 'pending'}, events=*'step load'*",
            "*UnknownStepError: *has no step 'laod' (did you mean 'load'?)",
            "E*AssertionError: this looks like personal data:",
            "E*job 'DOE^JOHN', its id: a patient's name: *",
        ]
    )


def test_modules_may_make_their_tracker_while_they_are_imported(
    pytester: pytest.Pytester,
) -> None:
    """With `trackerapi_everywhere`, a module may create a tracker at import."""
    pytester.makepyfile(test_module_level=WITHOUT_A_FIXTURE)
    option = "trackerapi_everywhere=true"

    plain = pytester.runpytest_subprocess("-q")
    everywhere = pytester.runpytest_subprocess("-q", "-o", option)

    plain.assert_outcomes(errors=1)
    plain.stdout.fnmatch_lines(["*SettingsError: TRACKERAPI_BASE_URL: *"])
    everywhere.assert_outcomes(passed=3)
    assert not (pytester.path / "state").exists()


def test_fixture_and_option_are_documented(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` lists the fixture, and `pytest --help` the option."""
    fixtures = pytester.runpytest_subprocess("--fixtures", "-q")
    fixtures.stdout.fnmatch_lines(
        ["trackerapi -- *", "*Record the reports of jobs in memory*"]
    )
    options = pytester.runpytest_subprocess("--help")
    options.stdout.fnmatch_lines(["*trackerapi_everywhere (bool):*"])


def test_start_of_pytest_loads_nothing_heavy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The autoloaded plugin loads three modules of the package only."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    print(*(n for n in sys.modules if n.startswith('trackerapi')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "--rootdir", str(tmp_path), "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    loaded = set(done.stdout.splitlines()[0].removesuffix(".").split())
    assert loaded == {
        "trackerapi",
        "trackerapi.testing",
        "trackerapi.testing.plugin",
    }


def test_recording_loads_neither_http_nor_models() -> None:
    """`recording()` loads neither httpx, attrs, pydantic nor pytest."""
    script = (
        "import sys\n"
        "from trackerapi import TrackerApi\n"
        "from trackerapi.testing import recording\n"
        "with recording() as tracker:\n"
        "    with TrackerApi().run_job('S1', 142, 'imaging') as job:\n"
        "        assert job.fetch().status == 'running'\n"
        "    assert tracker.job('S1').finished\n"
        "loaded = {'httpx', 'attr', 'pydantic', 'pytest'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
