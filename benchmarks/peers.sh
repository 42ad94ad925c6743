#!/usr/bin/env bash
# Create an environment with pinned versions for each peer: benchmarks/peers.sh [FOLDER]
# PYTHON names the interpreter. FOLDER, or else PEERS, names the folder of the
# environments; the default is benchmarks/.peers.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/caller.sh"
folder="${1:-${PEERS:-$root/benchmarks/.peers}}"
python="${PYTHON:-python3}"

make() {
  local environment="$folder/$1"
  shift
  [ -x "$environment/bin/pip" ] || "$python" -m venv "$environment"
  PYTHONPATH="$root" "$python" -P -m scripts.installing \
    "$environment/bin/python" --quiet install "$@"
}

# The versions of FastAPI, SQLAlchemy and uvicorn are those of constraints.txt.
make plain fastapi==0.165.0 pydantic==2.14.3 uvicorn==0.54.0 "sqlalchemy[asyncio]==2.1.9" \
  aiosqlite==0.22.1 asyncpg==0.32.0
make base httpx==0.28.1 requests==2.34.2
make sentry sentry-sdk==2.75.0
make posthog posthog==7.91.1
make segment segment-analytics-python==2.4.0
make otel opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
make cronitor cronitor==4.9.0
make openlineage openlineage-python==1.54.0
make mlflow mlflow-skinny==3.17.2
make wandb wandb==0.31.0
