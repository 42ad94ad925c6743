"""Fixtures of all tests that start processes or need a backend."""

from tests.support.backend_jobs import config, job, tracker  # noqa: F401 - fixtures
from tests.support.ended_scripts import closed_port  # noqa: F401 - fixture
from tests.support.environment import (  # noqa: F401 - fixtures
    clean_environment,
    no_loaded_configurations,
)
from tests.support.gateway import gateway, silence  # noqa: F401 - fixtures
from tests.support.recorded_jobs import outbox  # noqa: F401 - fixture
from tests.support.scripts import scripts  # noqa: F401 - fixture
