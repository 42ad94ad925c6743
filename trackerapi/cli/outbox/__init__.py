"""Commands of `trackerapi outbox`, one module each; `group` has their parser."""
