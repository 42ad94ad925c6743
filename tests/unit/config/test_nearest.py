"""`nearest_tag()`: search for the step with the most similar tag or name."""

import pytest

from tests.support.job_configs import steps
from trackerapi.config.nearest import nearest_tag


@pytest.mark.parametrize(
    ("given", "near"),
    [("say_helo", "say_hello"), ("Say hello!", "say_hello"), ("zzz", None)],
)
def test_nearest_step_is_found_for_a_typo(given: str, near: str | None) -> None:
    """A misspelt tag or display name gives the tag of the step, else None."""
    config = steps(("say_hello", "Say Hello"), ("bye", "Farewell"))

    assert nearest_tag(config.step_configurations, given) == near
