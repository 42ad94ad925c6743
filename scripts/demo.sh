#!/usr/bin/env bash
# From a fresh clone to a finished job: set up, start a backend, run the demo job.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/caller.sh"
answer_help scripts.demo "$@"
bash "$root/scripts/setup.sh"
cd "$root"
exec "$root/.venv/bin/python" -m scripts.demo "$@"
