"""Call of pip with fixed options, and with the package index of the caller.

The caller's variables and pip's configuration files select the source of packages:
addresses, certificates, proxies and caches. Other settings of the caller are ignored: a
target folder, constraints or a build setting would change the result.

Usage: python -m scripts.installing PYTHON ARGUMENTS; exit status: that of pip.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

SOURCE_OPTIONS: Final = (
    "index-url",
    "extra-index-url",
    "no-index",
    "find-links",
    "trusted-host",
    "cert",
    "client-cert",
    "proxy",
    "cache-dir",
    "no-cache-dir",
    "timeout",
    "default-timeout",
    "retries",
    "keyring-provider",
    "use-feature",
)
"""Options of pip for the source of packages, and for the connection to the source."""


def run_pip(
    python: str | Path, arguments: Sequence[str], folder: Path | None = None
) -> None:
    """Run the pip of an interpreter.

    Args:
        python: The interpreter.
        arguments: Arguments of pip.
        folder: Working directory of pip; None for the current directory.

    Raises:
        subprocess.CalledProcessError: If pip fails.
    """
    command = [python, "-P", "-m", "pip", "--disable-pip-version-check", *arguments]
    environment = pip_environment(python, os.environ)
    subprocess.run(command, cwd=folder, env=environment, check=True)


def pip_environment(python: str | Path, caller: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's variables; of pip's settings, only those for the source.

    Args:
        python: The interpreter whose pip will run.
        caller: Variables of the caller of the script.
    """
    kept = {
        name: value
        for name, value in caller.items()
        if not name.startswith(("PIP_", "PYTHON"))
    }
    configured = _configured(python, kept, caller.get("PIP_CONFIG_FILE", ""))
    for option in SOURCE_OPTIONS:
        variable = f"PIP_{option.upper().replace('-', '_')}"
        value = caller.get(variable) or configured.get(option)
        if value:
            kept[variable] = value
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def _configured(
    python: str | Path, environment: Mapping[str, str], config_file: str
) -> dict[str, str]:
    """Return the `SOURCE_OPTIONS` in pip's configuration files."""
    extra = {"PIP_CONFIG_FILE": config_file} if config_file else {}
    listed = subprocess.run(
        [python, "-P", "-m", "pip", "config", "list"],
        env={**environment, **extra},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    found: dict[str, str] = {}
    # Sorted, so that a setting of `install` replaces a global setting.
    for line in sorted(listed.stdout.splitlines()):
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        if section in {"global", "install"} and option in SOURCE_OPTIONS:
            found[option] = " ".join(str(ast.literal_eval(value)).split())
    return found


if __name__ == "__main__":
    try:
        run_pip(sys.argv[1], sys.argv[2:])
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from None
