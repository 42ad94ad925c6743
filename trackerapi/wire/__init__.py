"""HTTP: the only importer of httpx and of the generated client."""
