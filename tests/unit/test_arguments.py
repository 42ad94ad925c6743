"""Rules for names and texts, compared with the contract."""

import re
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.contract_document import SCHEMAS, validator
from trackerapi.arguments import (
    MAX_DETAIL_LENGTH,
    MAX_JOB_ID_LENGTH,
    MAX_MESSAGE_LENGTH,
    MAX_NAME_LENGTH,
    MAX_REFERENCE_LENGTH,
    MAX_TITLE_LENGTH,
    NAME_PATTERN,
    check_name,
    fit_text,
)

JOB = validator("JobInput")
EVENT = validator("EventInput")
EVENT_MEMBERS: dict[str, Any] = SCHEMAS["EventInput"]["properties"]
JOB_MEMBERS: dict[str, Any] = SCHEMAS["JobInput"]["properties"]

# Mostly characters that the rules treat differently: blanks, controls, separators.
TEXTS = st.text(
    st.sampled_from(
        "a\N{GRINNING FACE}é \t\n\0\x1f\x7f\x85\xa0\u2003\u2028\u2029\u3000"
    )
    | st.characters(exclude_categories=["Cs"]),
    max_size=210,
)


def is_name(value: object, longest: int = MAX_NAME_LENGTH) -> bool:
    """Return whether `check_name()` accepts `value`."""
    try:
        check_name("tag", value, longest)
    except (TypeError, ValueError):
        return False
    return True


@given(TEXTS)
@example("")
@example("\u2028")
@example("a\n")
@example("x" * 100)
@example("x" * 101)
@example("\N{GRINNING FACE}" * 100)
def test_check_name_agrees_with_contract(text: str) -> None:
    """Library and backend accept the same names."""
    job = {"provider_job_id": text, "customer_id": 1, "tag": "t"}

    assert is_name(text, MAX_JOB_ID_LENGTH) == JOB.is_valid(job)
    assert is_name(text) == JOB.is_valid({**job, "provider_job_id": "p", "tag": text})
    job["provider_job_id"] = "p"
    assert is_name(text, MAX_TITLE_LENGTH) == JOB.is_valid({**job, "title": text})
    is_reference = is_name(text, MAX_REFERENCE_LENGTH)
    assert is_reference == JOB.is_valid({**job, "reference": text})


def test_name_pattern_agrees_with_contract_on_every_character() -> None:
    """Each character is blank, forbidden or allowed in both patterns."""
    ours = re.compile(NAME_PATTERN)
    theirs = re.compile(SCHEMAS["JobInput"]["properties"]["tag"]["pattern"])
    characters = map(chr, range(sys.maxunicode + 1))

    differing = [
        character
        for character in characters
        if bool(ours.match(character)) != bool(theirs.match(character))
        or bool(ours.match(f"a{character}b")) != bool(theirs.match(f"a{character}b"))
    ]

    assert differing == []


def test_length_limits_equal_those_of_the_contract() -> None:
    """The length limits of the library equal `maxLength` in the contract."""
    assert EVENT_MEMBERS["tag"]["maxLength"] == MAX_NAME_LENGTH
    assert EVENT_MEMBERS["kind"]["maxLength"] == MAX_NAME_LENGTH
    assert EVENT_MEMBERS["provider_job_id"]["maxLength"] == MAX_JOB_ID_LENGTH
    assert EVENT_MEMBERS["message"]["maxLength"] == MAX_MESSAGE_LENGTH
    assert EVENT_MEMBERS["detail"]["maxLength"] == MAX_DETAIL_LENGTH
    assert JOB_MEMBERS["title"]["maxLength"] == MAX_TITLE_LENGTH
    assert JOB_MEMBERS["reference"]["maxLength"] == MAX_REFERENCE_LENGTH


@pytest.mark.parametrize("value", [None, 5, b"tag", ["tag"]])
def test_check_name_rejects_a_value_that_is_no_text(value: object) -> None:
    """The error of a wrong type names the argument."""
    with pytest.raises(TypeError, match="tag must be text, got"):
        check_name("tag", value)


@pytest.mark.parametrize("value", ["", " ", "a\nb", "\ud800", "x" * 101])
def test_check_name_names_the_argument(value: str) -> None:
    """The ValueError begins with the name of the argument."""
    with pytest.raises(ValueError, match=r"^tag must "):
        check_name("tag", value)


@given(st.text(min_size=1), st.integers(1, 50))
@example("\ud800\0", 1)
def test_fitted_text_is_accepted_by_the_contract(text: str, longest: int) -> None:
    """`fit_text()` returns a valid message of at most `longest` characters."""
    event = {"provider_job_id": "p", "kind": "info", "message": fit_text(text, longest)}

    assert EVENT.is_valid(event)
    assert len(event["message"]) <= longest


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_within_the_limit_is_unchanged(text: str) -> None:
    """A text within the limit and without NUL or surrogates is returned unchanged."""
    assert fit_text(text, max(len(text), 1)) == text


def test_cut_text_is_marked() -> None:
    """The last character of a cut text is an ellipsis."""
    assert fit_text("abcdef", 4) == "abc…"
