"""Debian programs for tests: installed in CI, otherwise a reason to skip."""

import os
import shutil
import subprocess

import pytest


def need(program: str, package: str) -> str:
    """Return the path of a program; if missing, skip the test or, in CI, install it.

    Args:
        program: Name of the command.
        package: Debian package that contains the program.
    """
    found = shutil.which(program)
    if found is not None:
        return found
    if not os.environ.get("CI"):
        pytest.skip(f"the program {program} is not installed")
    if os.geteuid() != 0:
        pytest.fail(f"install the Debian package {package}")
    for command in (["update"], ["install", "--yes", package]):
        subprocess.run(["apt-get", "--quiet", *command], check=True)
    installed = shutil.which(program)
    assert installed is not None, f"the package {package} does not contain {program}"
    return installed
