"""From bytes to a checked call: contract, bodies, API keys, parameters."""
