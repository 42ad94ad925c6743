"""The nearest known tag is found for a typo."""

import pytest

from tests.support.job_configs import steps
from trackerapi.config.nearest import nearest_tag


@pytest.mark.parametrize(
    ("given", "near"),
    [("say_helo", "say_hello"), ("Say hello!", "say_hello"), ("zzz", None)],
)
def test_nearest_step_is_found_for_a_typo(given: str, near: str | None) -> None:
    """A typo in a tag or display name leads to the step's tag."""
    config = steps(("say_hello", "Say Hello"), ("bye", "Farewell"))

    assert nearest_tag(config.step_configurations, given) == near
