#!/usr/bin/env bash
# Prove that nothing is lost and nothing doubled; takes minutes, --help says which parts.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"
bash "$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -P -m scripts.prove "$@"
