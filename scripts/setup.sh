#!/usr/bin/env bash
# Install the versions of constraints.txt into .venv; silent if .venv is up to date.
# PYTHON names the interpreter; without PYTHON, the first suitable one is used.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"

if python="$(find_python)"; then
  PYTHONPATH="$root" exec "$python" -P -m scripts.environment
fi
echo "No Python 3.11 or newer with venv and ensurepip among: ${candidates[*]}" >&2
echo "Install one (on Debian: python3 python3-venv), or name it: PYTHON=... $0" >&2
exit 1
