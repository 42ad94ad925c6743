"""What tests of integrations start from: a job whose events can be read back."""

from tests.unit.blocks.conftest import config, outbox, recorder, run

__all__ = ["config", "outbox", "recorder", "run"]
