"""Job configurations over HTTP: registration, revisions, lists."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.configurations import register
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.service import CUSTOMER, TUTORIAL

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

HASH_OF_THE_TUTORIAL = (
    "064c76ced418730ffbeecbdf566046f7ab4adb166cd944227da3a26b493b5eae"
)


def document(tag: str, **changes: Any) -> dict[str, Any]:
    steps = [
        {"tag": "a", "name": "A", "points": 1},
        {"tag": "b", "name": "B", "points": 2},
    ]
    return {"tag": tag, "name": "Name", "step_configurations": steps} | changes


@pytest.fixture
def tag() -> str:
    """Return a tag that is unique to this test."""
    return f"tag-{uuid4()}"


def test_same_content_is_stored_once(api: httpx.Client, tag: str) -> None:
    """A configuration that spells out the defaults gets 200 with stored revision 1."""
    spelled = document(tag)
    spelled["step_configurations"][0] |= {"points": 1.0, "metadata_configurations": []}
    first = api.post("/job_configurations", json=document(tag))
    again = api.post("/job_configurations", json=spelled)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["revision"] == 1


def test_metadata_key_has_defaults(api: httpx.Client, tag: str) -> None:
    """A metadata key has kind `text`, no units and audience `provider` by default."""
    keys: list[dict[str, Any]] = [
        {"name": "Operator"},
        {"name": "Operator", "kind": "text", "units": None, "audience": "provider"},
    ]
    answers = []
    for key in keys:
        spelled = document(tag)
        spelled["step_configurations"][0]["metadata_configurations"] = [key]
        answers.append(api.post("/job_configurations", json=spelled))
    assert [answer.status_code for answer in answers] == [201, 200]
    (step, _) = answers[0].json()["step_configurations"]
    assert step["metadata_configurations"] == [keys[1]]


def test_steps_of_the_original_service_are_rejected_with_the_new_name(
    api: httpx.Client, tag: str
) -> None:
    """The error for the former member `steps` names `step_configurations`."""
    body = document(tag)
    body["steps"] = body.pop("step_configurations")
    answer = api.post("/job_configurations", json=body)
    details = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert answer.status_code == 422
    assert details["/steps"].endswith("; it is called step_configurations now")


def test_new_content_is_the_next_revision(api: httpx.Client, tag: str) -> None:
    """New content without a version is revision 2; the old content stays revision 1."""
    api.post("/job_configurations", json=document(tag))
    second = api.post("/job_configurations", json=document(tag, name="Other"))
    back = api.post("/job_configurations", json=document(tag))
    assert (second.status_code, second.json()["revision"]) == (201, 2)
    assert (back.status_code, back.json()["revision"]) == (200, 1)


def test_version_is_rejected_with_other_content(api: httpx.Client, tag: str) -> None:
    """Other content for a stored version gets 409 with the difference in the detail."""
    first, other = document(tag, version="1.0.0"), document(tag, version="1.0.0")
    other["step_configurations"][1]["points"] = 5
    api.post("/job_configurations", json=first)
    answer = api.post("/job_configurations", json=other)
    assert answer.status_code == 409
    assert "/step_configurations/1/points is 5, was 2" in answer.json()["detail"]


@pytest.mark.parametrize("version", ["1", "v1.0.0"])
def test_malformed_version_is_rejected_with_an_example(
    api: httpx.Client, tag: str, version: str
) -> None:
    """A malformed version has one error, with an example of a valid version."""
    answer = api.post("/job_configurations", json=document(tag, version=version))

    errors = [(each["pointer"], each["detail"]) for each in answer.json()["errors"]]
    assert errors == [("/version", "is not a version such as 1.0.0")]


def test_latest_is_the_highest_version(api: httpx.Client, tag: str) -> None:
    """`latest` is the highest version by SemVer: 2.0.0 wins over newer 2.0.0-rc.10."""
    for version in ("1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0", "2.0.0-rc.10"):
        api.post("/job_configurations", json=document(tag, version=version))
    query = {"tag": tag, "version": "latest"}
    [latest] = api.get("/job_configurations", params=query).json()["items"]
    assert latest["version"] == "2.0.0"


def test_latest_is_the_newest_revision_without_versions(
    api: httpx.Client, tag: str
) -> None:
    """If no configuration of a tag has a version, `latest` is the newest revision."""
    for name in ("Old", "New"):
        api.post("/job_configurations", json=document(tag, name=name))
    query = {"tag": tag, "version": "latest"}
    [latest] = api.get("/job_configurations", params=query).json()["items"]
    assert latest["name"] == "New"


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        (
            [{"tag": "a", "name": "A", "points": 1}] * 2,
            "/step_configurations/1/tag",
        ),
        (
            [
                {
                    "tag": "a",
                    "name": "A",
                    "points": 1,
                    "metadata_configurations": [{"name": "m", "kind": "text"}] * 2,
                }
            ],
            "/step_configurations/0/metadata_configurations/1/name",
        ),
    ],
    ids=["steps", "metadata"],
)
def test_repeated_names_are_rejected(
    api: httpx.Client, tag: str, steps: Any, pointer: str
) -> None:
    """The error of a repeated step tag or metadata key points to the second name."""
    answer = api.post(
        "/job_configurations", json=document(tag, step_configurations=steps)
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def steps_with_after(*waits: list[str] | None) -> list[dict[str, Any]]:
    """Return steps a, b, c… with these `after` members; None leaves `after` out."""
    return [
        {"tag": tag, "name": tag.upper(), "points": 1}
        | ({} if after is None else {"after": after})
        for tag, after in zip("abcdefg", waits, strict=False)
    ]


def test_order_of_steps_is_stored_as_it_was_sent(api: httpx.Client, tag: str) -> None:
    """A response has no `after` if none was sent, and an empty `after` stays empty."""
    steps = steps_with_after(None, [], ["a", "b"])
    sent = document(tag, step_configurations=steps)
    stored = api.post("/job_configurations", json=sent).json()
    again = api.get(f"/job_configurations/{stored['id']}").json()
    said = [step.get("after") for step in again["step_configurations"]]
    assert said == [None, [], ["a", "b"]]


def test_order_of_steps_is_content(api: httpx.Client, tag: str) -> None:
    """A configuration that differs only in `after` is stored as a new revision."""
    revisions = [
        api.post(
            "/job_configurations",
            json=document(tag, step_configurations=steps_with_after(None, after)),
        ).json()["revision"]
        for after in (None, [], ["a"], None)
    ]
    assert revisions == [1, 2, 3, 1]


def test_units_are_content(api: httpx.Client, tag: str) -> None:
    """Units of a step are stored as they were sent, as part of a revision's content."""
    answers = []
    for units in ({}, {"units": "images"}, {"units": "rows"}, {}):
        sent = document(tag)
        sent["step_configurations"][0] |= units
        answers.append(api.post("/job_configurations", json=sent).json())
    assert [each["revision"] for each in answers] == [1, 2, 3, 1]
    stored = [each["step_configurations"][0].get("units") for each in answers]
    assert stored == [None, "images", "rows", None]


@pytest.mark.parametrize("units", ["", " ", "x" * 101, "a\nb", 7, None])
def test_invalid_units_are_rejected(api: httpx.Client, tag: str, units: Any) -> None:
    """Units other than one line of 1 to 100 characters get 422 with their location."""
    sent = document(tag)
    sent["step_configurations"][1]["units"] = units
    answer = api.post("/job_configurations", json=sent)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/step_configurations/1/units"


GERMAN = {
    "name": "Einlesen",
    "steps": {"a": {"name": "Lesen", "units": "Bilder"}},
    "metadata": {"Operator": "Bediener"},
}


def test_texts_are_no_content(api: httpx.Client, tag: str) -> None:
    """Sent texts replace stored texts; a request without texts changes no text."""
    sent = ({}, {"de": GERMAN}, None, {"pt-BR": {"name": "Ler"}}, None, {}, None)
    answers = [
        api.post(
            "/job_configurations",
            json=document(tag, version="1.0.0")
            | ({} if each is None else {"texts": each}),
        )
        for each in sent
    ]
    assert [answer.status_code for answer in answers] == [201] + [200] * 6
    assert len({answer.json()["id"] for answer in answers}) == 1
    pt = {"pt-BR": {"name": "Ler"}}
    stored = [answer.json()["texts"] for answer in answers]
    assert stored == [{}, {"de": GERMAN}, {"de": GERMAN}, pt, pt, {}, {}]


def test_texts_belong_to_their_revision(api: httpx.Client, tag: str) -> None:
    """A new revision has only its own texts; both revisions list theirs."""
    german = {"texts": {"de": GERMAN}}
    first = api.post("/job_configurations", json=document(tag) | german).json()
    second = api.post("/job_configurations", json=document(tag, name="New")).json()
    listed = api.get("/job_configurations", params={"tag": tag}).json()["items"]
    assert [each["texts"] for each in listed] == [{}, {"de": GERMAN}]
    assert listed == [second, first]
    assert api.get(f"/job_configurations/{first['id']}").json() == first


def test_creation_of_a_job_stores_texts(api: httpx.Client, tag: str) -> None:
    """`POST /jobs` stores the texts of its configuration, also for a known job."""
    job = {"provider_job_id": tag, "customer_id": CUSTOMER, "tag": tag}
    for status, name in ((201, "Lesen"), (200, "Einlesen")):
        texts = {"texts": {"de": {"name": name}}}
        answer = api.post("/jobs", json=job | {"configuration": document(tag) | texts})
        assert answer.status_code == status
        [stored] = api.get("/job_configurations", params={"tag": tag}).json()["items"]
        assert (stored["revision"], stored["texts"]) == (1, texts["texts"])


def test_silent_after_is_no_content(api: httpx.Client, tag: str) -> None:
    """A sent `silent_after` replaces the stored age; without it, the age stays."""
    sent = (None, 600, None, 60.0, 604_800)
    answers = [
        api.post(
            "/job_configurations",
            json=document(tag, version="1.0.0")
            | ({} if each is None else {"silent_after": each}),
        )
        for each in sent
    ]
    assert [answer.status_code for answer in answers] == [201, *[200] * 4]
    stored = [answer.json() for answer in answers]
    assert len({each["id"] for each in stored}) == 1
    assert [each["silent_after"] for each in stored] == [None, 600, 600, 60, 604_800]
    assert all("silent_after" not in each["step_configurations"][0] for each in stored)
    new = api.post("/job_configurations", json=document(tag, silent_after=90)).json()
    [newest, first] = api.get("/job_configurations", params={"tag": tag}).json()[
        "items"
    ]
    assert (newest, newest["silent_after"]) == (new, 90)
    assert first == stored[-1]


@pytest.mark.parametrize("value", [59, 604_801, 90.5, "600", True, None])
def test_invalid_silent_after_is_rejected(
    api: httpx.Client, tag: str, value: Any
) -> None:
    """A value that is not 60 to 604,800 whole seconds gets 422 at its location."""
    sent = document(tag, silent_after=value)
    job = {"provider_job_id": tag, "customer_id": CUSTOMER, "tag": tag}
    for path, body, pointer in (
        ("/job_configurations", sent, "/silent_after"),
        ("/jobs", job | {"configuration": sent}, "/configuration/silent_after"),
    ):
        answer = api.post(path, json=body)
        assert answer.status_code == 422
        assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("texts", "pointer", "detail"),
    [
        ({"de": {"steps": {"c/": {}}}}, "/de/steps/c~1", "is not the tag of a step"),
        (
            {"en": {}, "de": {"metadata": {"Operators": "x"}}},
            "/de/metadata/Operators",
            "is not the name of a metadata key",
        ),
        ({"DE": {}}, "/DE", "is not a language such as de or pt-BR"),
        ({"": {}}, "/", "is not a language such as de or pt-BR"),
        ({"de": {"nam": "x"}}, "/de/nam", "is not a known member; did you mean name?"),
        ({"de": {"name": ""}}, "/de/name", "needs at least 1 character(s)"),
        ({"de": {"steps": {"a": {"units": 1}}}}, "/de/steps/a/units", "is not a text"),
        ({"de": {"metadata": {"Operator": None}}}, "/de/metadata/Operator", None),
        (
            {f"a{a}{b}": {} for a in "abcdefgh" for b in "abcdefgh"},
            "",
            "has more than 50 members",
        ),
    ],
)
def test_invalid_texts_are_rejected(
    api: httpx.Client, tag: str, texts: Any, pointer: str, detail: str | None
) -> None:
    """Texts for unknown names and in no language get 422, and nothing is stored."""
    sent = document(tag, texts=texts)
    sent["step_configurations"][0]["metadata_configurations"] = [{"name": "Operator"}]
    answer = api.post("/job_configurations", json=sent)
    job = {"provider_job_id": tag, "customer_id": CUSTOMER, "tag": tag}
    carried = api.post("/jobs", json=job | {"configuration": sent})
    assert (answer.status_code, carried.status_code) == (422, 422)
    [error] = answer.json()["errors"]
    assert error["pointer"] == f"/texts{pointer}"
    assert error["detail"] == (detail or error["detail"])
    assert carried.json()["errors"][0]["pointer"] == f"/configuration/texts{pointer}"
    assert api.get("/job_configurations", params={"tag": tag}).json()["items"] == []


def test_texts_name_any_key_of_a_configuration_without_metadata(
    api: httpx.Client, tag: str
) -> None:
    """Texts for undeclared metadata keys are accepted if no step declares a key."""
    texts = {"de": {"metadata": {"Operator": "Bediener"}}}
    answer = api.post("/job_configurations", json=document(tag, texts=texts))
    assert (answer.status_code, answer.json()["texts"]) == (201, texts)


def test_hash_of_a_content_without_order_never_changes(tmp_path: Path) -> None:
    """A content without `after` has the same hash as in older releases."""
    with (
        closing(SqliteStore(tmp_path / "own.db", migrate=True)) as store,
        store.transaction() as db,
    ):
        provider = stored_providers.create_provider(db, "One", now=utc_now())
        row = register(db, provider, TUTORIAL, now=utc_now()).row
    assert row.content_hash.hex() == HASH_OF_THE_TUTORIAL


@pytest.mark.parametrize(
    ("waits", "pointer"),
    [
        ([None, ["load"]], "/step_configurations/1/after/0"),
        ([None, ["a", "b"]], "/step_configurations/1/after/1"),
        ([["b"], ["a"]], "/step_configurations/1/after/0"),
        ([["c"], None, None], "/step_configurations/0/after/0"),
        ([[], ["d"], [], ["a", "c", "b"]], "/step_configurations/1/after/0"),
    ],
    ids=["unknown", "own tag", "cycle", "later step", "cycle among others"],
)
def test_order_with_a_step_never_ready_is_rejected(
    api: httpx.Client, tag: str, waits: list[list[str] | None], pointer: str
) -> None:
    """A step that can never become ready gets 422, alone and in the body of a job."""
    sent = document(tag, step_configurations=steps_with_after(*waits))
    answer = api.post("/job_configurations", json=sent)
    inside = {
        "provider_job_id": tag,
        "customer_id": CUSTOMER,
        "tag": tag,
        "configuration": sent,
    }
    carried = api.post("/jobs", json=inside)
    assert (answer.status_code, carried.status_code) == (422, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert carried.json()["errors"][0]["pointer"] == f"/configuration{pointer}"
    assert api.get("/jobs", params={"provider_job_id": tag}).json()["items"] == []


def test_long_cycle_has_a_short_message(api: httpx.Client, tag: str) -> None:
    """The detail for a cycle of 500 steps has less than 200 characters."""
    steps = [{"tag": f"step {n}", "name": "S", "points": 1} for n in range(500)]
    steps[0]["after"] = ["step 499"]
    answer = api.post(
        "/job_configurations", json=document(tag, step_configurations=steps)
    )
    assert answer.status_code == 422
    assert "closes a circle: 'step" in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 200
