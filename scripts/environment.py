"""Set-up of `.venv`: the pinned tools, and both distributions as editable installs.

Needs only Python itself. Does nothing if interpreter, folder and requirements are the
same as at the last set-up. Waits while another set-up runs.

Exit status: 0 ready, 1 the installation failed.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.installing import run_pip

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "set-up.json"
INPUTS = (
    "constraints.txt",
    "requirements-dev.txt",
    "pyproject.toml",
    "backend/pyproject.toml",
)


def main() -> int:
    """Bring the environment up to date; return the exit status."""
    with _exclusive_run():
        wanted = wanted_state()
        if recorded_state() == wanted:
            return 0
        began = time.monotonic()
        print(f"Setting up .venv with Python {wanted['python']} ...", flush=True)
        try:
            if not _is_reusable(wanted):
                _make_environment()
            _install("tools", "--requirement", "requirements-dev.txt")
            _install(
                "trackerapi and its backend",
                "--no-build-isolation",
                *("--editable", "."),
                *("--editable", "backend"),
            )
        except subprocess.CalledProcessError as error:
            print(
                f"Set-up failed (status {error.returncode}); run it again once the "
                "reason above is fixed.",
                file=sys.stderr,
            )
            return 1
        STAMP.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        print(f"  done after {time.monotonic() - began:.0f} s", flush=True)
    return 0


def wanted_state() -> dict[str, str]:
    """Return a fingerprint of all inputs of the environment."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    version = ".".join(map(str, sys.version_info[:3]))
    # Scripts and editable installs contain the path: a moved tree needs a set-up.
    return {"python": version, "place": str(ROOT), "inputs": digest.hexdigest()}


def recorded_state() -> dict[str, str]:
    """Return the state at the last complete set-up; empty without a set-up."""
    try:
        recorded: dict[str, str] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return recorded


def _is_reusable(wanted: dict[str, str]) -> bool:
    try:
        made = (ENVIRONMENT / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return (
        f"version = {wanted['python']}" in made
        and any(line.endswith(f" {ENVIRONMENT}") for line in made)
        and any(ENVIRONMENT.glob("lib/python*/site-packages/pip"))
    )


def _make_environment() -> None:
    # Use the base interpreter: this process may run in `.venv`, which is cleared.
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--clear", ENVIRONMENT], check=True)


def _install(what: str, *arguments: str) -> None:
    print(f"  installing {what} ...", flush=True)
    options = ("install", "--quiet", "--constraint", "constraints.txt")
    run_pip(ENVIRONMENT / "bin" / "python", [*options, *arguments], ROOT)


@contextmanager
def _exclusive_run() -> Iterator[None]:
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


if __name__ == "__main__":
    raise SystemExit(main())
