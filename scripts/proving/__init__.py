"""Proof that no event is lost or stored twice; `scripts/prove.py` runs the proof."""
