#!/usr/bin/env bash
# Compile the contract into the generated files; --help lists the options.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"
bash "$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -P -m scripts.regenerate "$@"
