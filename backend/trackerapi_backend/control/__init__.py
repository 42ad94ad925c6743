"""Commands that a running server executes, requested over a UNIX socket."""
