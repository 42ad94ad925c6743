"""Fixtures that several folders of tests share."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.running_backend import backend  # noqa: F401 - fixture

# No deadline: a busy machine is slow.
settings.register_profile(
    "no-hurry", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("no-hurry")

# Under `nohup` or a shell's `&`, these signals are ignored. Child processes of tests
# would inherit that, and a signal would not end them.
for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


_KEPT = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP)


@pytest.fixture(autouse=True)
def same_signal_handlers() -> Iterator[None]:
    """Fail a test that does not restore the signal handlers for the tests after it."""
    before = [signal.getsignal(number) for number in _KEPT]
    yield
    assert [signal.getsignal(number) for number in _KEPT] == before
