#!/usr/bin/env bash
# From a fresh clone to a finished job: set up, start a backend, run the demo job.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$root/scripts/setup.sh"
cd "$root"
exec "$root/.venv/bin/python" -m scripts.demo "$@"
