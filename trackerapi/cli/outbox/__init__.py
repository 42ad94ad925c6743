"""Commands of `trackerapi outbox`, one module each; `group` adds all commands."""
