"""Commands and environments of the processes of a proof."""

import os
import sys
from pathlib import Path

from scripts.project import ROOT

_INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START")


def environment(base_url: str, outbox: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a process that reports to `base_url`.

    Args:
        base_url: Address of the backend.
        outbox: The outbox folder.
        **settings: Further variables, such as the key; empty values are left out.
    """
    kept = {
        name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ
    }
    own = {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRACKERAPI_BASE_URL": base_url,
        "TRACKERAPI_OUTBOX": str(outbox),
    }
    return kept | own | {name: value for name, value in settings.items() if value}


def job_command(
    provider_job_id: str, record: Path, *arguments: str, prelude: str = ""
) -> list[str]:
    """Return the command that runs the job of the proofs.

    Args:
        provider_job_id: Id of the job.
        record: Record file of the job.
        *arguments: Further arguments of `scripts.proving.job`.
        prelude: Module to import before all others; empty for no module.
    """
    own = ("--id", provider_job_id, "--record", str(record))
    return python("scripts.proving.job", *own, *arguments, prelude=prelude)


def sync_command(timeout_seconds: float, *, prelude: str = "") -> list[str]:
    """Return the command that delivers leftover files."""
    return python(
        "trackerapi", "sync", "--timeout", f"{timeout_seconds:g}", prelude=prelude
    )


def python(module: str, *arguments: str, prelude: str = "") -> list[str]:
    """Return the command that runs a module as `python -m` does."""
    if not prelude:
        return [sys.executable, "-m", module, *arguments]
    code = f"import runpy, {prelude}; runpy.run_module({module!r}, None, '__main__')"
    return [sys.executable, "-c", code, *arguments]
