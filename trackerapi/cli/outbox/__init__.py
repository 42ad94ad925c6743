"""Commands `trackerapi outbox ...`: list, show, retry, drop, replay and more."""
