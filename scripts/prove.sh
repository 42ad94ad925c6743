#!/usr/bin/env bash
# Prove that no event is lost or stored twice; takes minutes. --help lists the parts.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"
answer_help scripts.prove "$@"
bash "$root/scripts/setup.sh"
PYTHONPATH="$root" exec "$root/.venv/bin/python" -P -m scripts.prove "$@"
