#!/usr/bin/env bash
# Run all benchmarks and write the tables of benchmarks/README.md; see --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/caller.sh"
answer_help benchmarks "$@"
bash "$root/scripts/setup.sh"
export PEERS="${PEERS:-$root/benchmarks/.peers}"
PYTHON="${PYTHON:-$root/.venv/bin/python}" bash "$root/benchmarks/peers.sh"
cd "$root"
exec "$root/.venv/bin/python" -m benchmarks "$@"
