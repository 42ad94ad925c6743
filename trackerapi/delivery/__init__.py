"""Delivery of recorded events to the backend; no module here imports HTTP."""
