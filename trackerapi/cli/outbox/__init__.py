"""Commands of `trackerapi outbox`: one module for each; `group` adds all of them."""
