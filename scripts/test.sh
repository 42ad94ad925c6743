#!/usr/bin/env bash
# Run everything that CI runs; --help says what can be left out.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"
bash "$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -P -m scripts.checks "$@"
