"""Prelude of a process whose files must stay short: a full disk without a mount.

The write that reaches the limit is cut short, the next ones fail.
"""

import resource

LARGEST_FILE_BYTES = 56 * 1024
"""More than the record of a run takes, less than its outbox."""

resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
