#!/usr/bin/env bash
# Compile the contract; --help says what else.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -P -m scripts.regenerate "$@"
