#!/usr/bin/env bash
# Prove that nothing is lost and nothing doubled; takes minutes, --help says which parts.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -P -m scripts.prove "$@"
