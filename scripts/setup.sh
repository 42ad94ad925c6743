#!/usr/bin/env bash
# Install the versions of constraints.txt into .venv; silent if .venv is up to date.
# PYTHON names the interpreter; without PYTHON, the first suitable one is used.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"

suits() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
    >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
  candidates=("$PYTHON")
else
  candidates=("$root/.venv/bin/python" python3 python3.13 python3.12 python3.11 python)
fi
for python in "${candidates[@]}"; do
  if suits "$python"; then
    PYTHONPATH="$root" exec "$python" -P -m scripts.environment
  fi
done
echo "No Python 3.11 or newer with venv and ensurepip among: ${candidates[*]}" >&2
echo "Install one (on Debian: python3 python3-venv), or name it: PYTHON=... $0" >&2
exit 1
