"""Getting recorded events to the backend; never sees HTTP."""
