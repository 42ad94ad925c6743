#!/usr/bin/env bash
# Run all checks of CI; --help lists the options.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"
answer_help scripts.checks "$@"
bash "$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -P -m scripts.checks "$@"
