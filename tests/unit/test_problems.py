"""Kinds of problems: each is reported somewhere, and documented."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.scripted_server import KEY
from trackerapi import DeliveryProblem, Event, JobConfig, TrackerApi
from trackerapi import problems as module
from trackerapi.problems import ProblemKind
from trackerapi.wire import connection

ROOT: Final = Path(__file__).resolve().parents[2]
LIBRARY: Final = ROOT / "trackerapi"
KINDS: Final = {n: k for n, k in vars(module).items() if isinstance(k, ProblemKind)}
URL: Final = "http://127.0.0.1:9"


def reported_constants() -> Iterator[str]:
    """Yield the names that calls in the library have as arguments."""
    for path in LIBRARY.rglob("*.py"):
        if path == LIBRARY / "problems.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield from (a.id for a in node.args if isinstance(a, ast.Name))


@pytest.mark.parametrize("constant", KINDS)
def test_kind_is_reported_somewhere(constant: str) -> None:
    """A call outside of `problems.py` has the constant of the kind as argument."""
    assert constant in set(reported_constants())


def test_no_two_kinds_share_a_name() -> None:
    """All kinds have different names."""
    names = [kind.name for kind in KINDS.values()]

    assert sorted(set(names)) == sorted(names)


def test_docstring_of_delivery_problem_lists_the_kinds() -> None:
    """`help(DeliveryProblem)` names each kind, and no other."""
    listed = re.search(r"kind: (.*?)\. ", DeliveryProblem.__doc__ or "", re.DOTALL)

    assert listed is not None
    words = re.split(r",| or ", " ".join(listed[1].split()))
    assert [word.strip() for word in words] == [kind.name for kind in KINDS.values()]


def test_page_of_problems_explains_each_kind() -> None:
    """The table in `docs/problems.md` has the name and the sentence of each kind."""
    text = (ROOT / "docs/problems.md").read_text()
    rows = [
        tuple(row.strip("| ").split(" | ")) for row in text.splitlines() if "|" in row
    ]

    assert rows[2:] == [(kind.name, kind.sentence) for kind in KINDS.values()]


def failing_filter(_event: Event) -> Event:
    """Fail as a `before_send` of a script may."""
    raise RuntimeError("in the script's own code")


def unsuitable_kind(tracker: TrackerApi, _config: JobConfig) -> None:
    """Send a `step` event without the name of a step."""
    tracker.job("import-42").send_event(kind="step")


def misspelt_step(tracker: TrackerApi, config: JobConfig) -> None:
    """Report a step that the configuration does not have."""
    job = tracker.create_job("import-42", 142, config.tag)
    job.send_event(kind="step", name="say_helo")


def misspelt_tag(tracker: TrackerApi, config: JobConfig) -> None:
    """Create a job with the tag of no loaded configuration."""
    tracker.create_job("import-42", 142, config.tag + "x")


def foreign_metadata(tracker: TrackerApi, _config: JobConfig) -> None:
    """Send metadata with a value that JSON cannot represent."""
    tracker.job("import-42").send_event(kind="info", metadata={"at": object()})


def plain_event(tracker: TrackerApi, _config: JobConfig) -> None:
    """Send a valid event."""
    tracker.job("import-42").send_event(kind="info")


@pytest.mark.parametrize(
    ("act", "options", "kind"),
    [
        (unsuitable_kind, {}, module.EVENT_KIND),
        (misspelt_step, {}, module.STEP),
        (misspelt_tag, {}, module.JOB_TAG),
        (foreign_metadata, {}, module.METADATA),
        (plain_event, {"before_send": failing_filter}, module.BEFORE_SEND),
    ],
    ids=lambda value: value.name if isinstance(value, ProblemKind) else "",
)
def test_problem_of_a_script_has_its_kind(
    act: Callable[[TrackerApi, JobConfig], None],
    options: dict[str, Any],
    kind: ProblemKind,
    config: JobConfig,
) -> None:
    """`on_problem` is called once with the kind, although the fault occurs twice."""
    seen: list[DeliveryProblem] = []

    options |= {"mode": "offline", "on_problem": seen.append}
    with TrackerApi(KEY, URL, **options) as tracker:
        act(tracker, config)
        act(tracker, config)

    assert [problem.kind for problem in seen] == [kind.name]


def test_unexpected_failure_of_the_client_is_an_internal_problem(
    monkeypatch: pytest.MonkeyPatch, config: JobConfig
) -> None:
    """A broken client does not stop the script, and `on_problem` gets the reason."""
    seen: list[DeliveryProblem] = []

    def broken(*_: object) -> None:
        raise RuntimeError("replaced by a test")

    monkeypatch.setattr(connection, "Connection", broken)
    with TrackerApi(KEY, URL, on_problem=seen.append, shutdown_timeout=0) as tracker:
        tracker.create_job("import-42", 142, config.tag)

    messages = [each.message for each in seen if each.kind == "internal"]
    assert "job not sent: RuntimeError('replaced by a test')" in messages[0]
