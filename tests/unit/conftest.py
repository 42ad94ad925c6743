"""Fixtures of all unit tests."""

from tests.support.backend_jobs import config  # noqa: F401 - fixture
from tests.support.environment import (  # noqa: F401 - fixtures
    clean_environment,
    no_loaded_configurations,
)
from tests.support.odd_files import odd_file  # noqa: F401 - fixture
from tests.support.recorded_jobs import outbox  # noqa: F401 - fixture
