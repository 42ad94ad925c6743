"""Output and exit statuses of `trackerapi check`."""

import json
from pathlib import Path
from textwrap import dedent

import pytest

from trackerapi.cli.exit_statuses import FINE, FOUND, USAGE
from trackerapi.cli.main import main
from trackerapi.config import manager

RIGHT = """
from trackerapi import TrackerApi
with TrackerApi().run_job("1", 1, "my_job") as job:
    job.step("say_hello").done()
    job.step("say_bye").done()
"""
WRONG = """\
from trackerapi import TrackerApi
tracker = TrackerApi()
job = tracker.run_job("1", 1, "my_job")
äö = job.step("say_helo")
job.send_event(kind="stp", name="say_bye")
job.send_event(kind="step", name="say_bye")
"""


def configurations(*tags: str) -> str:
    """Return the text of a configuration file with a step for each tag."""
    steps = [{"name": tag.title(), "tag": tag, "points": 1} for tag in tags]
    job = {"name": "My Job", "tag": "my_job", "step_configurations": steps}
    return json.dumps({"job_configs": [job]})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a configuration, a correct and a faulty script."""
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("job_configurations.json").write_text(
        configurations("say_hello", "say_bye")
    )
    tmp_path.joinpath("right.py").write_text(RIGHT)
    tmp_path.joinpath("wrong.py").write_text(WRONG)
    return tmp_path


def test_check_prints_a_line_for_each_finding(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each finding is a line with file, line, column, code and message."""
    status = main(["check", "wrong.py", "right.py"])

    assert status == FOUND
    assert capsys.readouterr().out.splitlines() == [
        "wrong.py:3:7: missing-finish the job never ends: use it in a `with` block, "
        "or call complete(), fail() or cancel()",
        "wrong.py:3:7: never-sent step 'say_hello' of job configuration 'my_job' is "
        "never sent",
        "wrong.py:4:15: unknown-step job 'my_job' has no step 'say_helo' (did you mean "
        "'say_hello'?)",
        "wrong.py:5:21: unknown-kind there is no event kind 'stp' (did you mean "
        "'step'?)",
        "4 findings in 2 scripts",
    ]


def test_check_of_a_right_script_prints_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script without findings prints one line and exits with status 0."""
    assert main(["check", "right.py"]) == FINE
    assert capsys.readouterr().out == "nothing found in 1 script\n"


def test_check_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints path, line, column, code and message of each finding."""
    assert main(["check", "wrong.py", "--json"]) == FOUND
    answer = json.loads(capsys.readouterr().out)

    assert answer["scripts"] == 1
    assert answer["findings"][2] == {
        "path": "wrong.py",
        "line": 4,
        "column": 15,
        "code": "unknown-step",
        "message": "job 'my_job' has no step 'say_helo' (did you mean 'say_hello'?)",
    }


def test_check_runs_nothing_and_registers_no_configuration(folder: Path) -> None:
    """`check` neither runs nor imports a script, and registers no configuration."""
    folder.joinpath("runs.py").write_text('open("was-run", "w")\nimport wrong\n')

    assert main(["check", "runs.py"]) == FINE
    assert not folder.joinpath("was-run").exists()
    assert manager.find_loaded("my_job") is None


@pytest.mark.parametrize(
    "named",
    [
        'JobConfigManager("own.json")',
        'JobConfigManager(configurations_file="./own.json")',
        'JobConfigManager(configurations_file=Path(__file__).with_name("own.json"))',
        'JobConfigManager(Path(__file__).resolve().parent / "own.json")',
        'JobConfigManager(os.path.join(os.path.dirname(__file__), "own.json"))',
        "JobConfigManager(OWN)",
    ],
)
def test_check_uses_the_configuration_that_the_script_loads(
    folder: Path, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that the script loads replaces the default; `--config` replaces both."""
    inner = folder / "inner"
    inner.mkdir()
    inner.joinpath("own.json").write_text(configurations("say_hello"))
    begin = 'from pathlib import Path\nimport os\nOWN = Path("own.json")\n'
    imports = "from trackerapi import JobConfigManager\n"
    inner.joinpath("job.py").write_text(f"{begin}{imports}{named}\n{RIGHT}")

    assert main(["check", "inner/job.py"]) == FOUND
    assert "unknown-step" in capsys.readouterr().out
    assert main(["check", "inner/job.py", "--config", "job_configurations.json"]) == 0


def test_step_reported_by_an_imported_module_is_not_a_finding(folder: Path) -> None:
    """A step that an imported module of the script reports is not `never-sent`."""
    script = "from trackerapi import TrackerApi\nfrom {} import hello\n" + dedent(
        """
        with TrackerApi().run_job("1", 1, "my_job") as job:
            hello()
            job.step("say_bye").done()
        """
    )
    folder.joinpath("plain.py").write_text("def hello(): ...\n")
    folder.joinpath("steps.py").write_text(
        "from trackerapi import step\n@step('say_hello')\ndef hello(): ...\n"
    )
    folder.joinpath("one.py").write_text(script.format("plain"))
    folder.joinpath("other.py").write_text(script.format("steps"))

    assert main(["check", "one.py"]) == FOUND
    assert main(["check", "other.py"]) == FINE


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["absent.py"], "cannot read absent.py: No such file or directory"),
        (["."], "cannot read .: Is a directory"),
        (["broken.py"], "broken.py:2:9: syntax error: "),
        (["nul.py"], "nul.py"),
        (["latin.py"], "latin.py"),
        (["deep.py"], "deep.py"),
        (
            ["right.py", "--config", "absent.json"],
            "absent.json: no such file; relative paths start at ",
        ),
        (["right.py", "--config", "right.py"], "right.py: "),
        (["data.json"], "data.json is not a Python script"),
        (["lost.py"], "lost.json: no such file; relative paths start at"),
    ],
)
def test_check_prints_one_line_for_an_unreadable_file(
    folder: Path, arguments: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unreadable script or configuration prints one line and exits with status 2."""
    folder.joinpath("broken.py").write_text("if True:\n    x = = 1\n")
    folder.joinpath("nul.py").write_bytes(b"x = 1\0\n")
    folder.joinpath("data.json").write_text('{"job_configs": []}')
    folder.joinpath("latin.py").write_bytes(b"x = '\xe4'\n")
    folder.joinpath("deep.py").write_text("x = " + "(" * 5000 + ")" * 5000)
    folder.joinpath("lost.py").write_text(
        'import trackerapi\ntrackerapi.JobConfigManager("lost.json")\n'
    )
    status = main(["check", *arguments])
    out, err = capsys.readouterr()

    assert status == USAGE
    assert not out
    assert err.count("\n") == 1
    assert printed in err


def test_check_without_a_configuration_is_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a configuration, `check` exits with status 2 and suggests `--config`."""
    folder.joinpath("job_configurations.json").unlink()

    assert main(["check", "right.py"]) == USAGE
    assert "pass --config" in capsys.readouterr().err


def test_check_prints_no_syntax_warning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A SyntaxWarning of the script is neither printed nor a finding."""
    folder.joinpath("warned.py").write_text('x = "\\d" is 1\n')

    assert main(["check", "warned.py"]) == FINE
    assert not capsys.readouterr().err


def test_check_reads_long_sums_and_many_calls(folder: Path) -> None:
    """A script with 2**30 calls and a sum of 500 terms is checked to its end."""
    calls = "\n".join(
        f"def f{n}(x):\n    f{n + 1}(x)\n    f{n + 1}(x)" for n in range(30)
    )
    long = "x = " + " + ".join(["1"] * 500)
    folder.joinpath("long.py").write_text(
        f"{RIGHT}{calls}\ndef f30(x): ...\nf0(1)\n{long}\n"
    )

    assert main(["check", "long.py"]) == FINE
