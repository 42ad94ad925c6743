"""Paths of the work tree."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACT_PATH = Path("openapi/tracker-backend.yaml")
BASELINE_PATH = Path("openapi/baseline.json")
BASELINE_DIGEST_PATH = Path("openapi/baseline.sha256")
GENERATOR_CONFIG_PATH = Path("openapi/generator.yaml")
CONSTRAINTS_PATH = Path("constraints.txt")
CLIENT_PATH = Path("generated_client/trackerapi_client")
BACKEND_SHAPES_PATH = Path("backend/trackerapi_backend/generated")
SCHEMAS_PATH = Path("schemas")
PROVENANCE_PATH = Path("openapi/generation.toml")
