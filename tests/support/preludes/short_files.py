"""Prelude that limits the file size of its process, as a full disk does.

The write that reaches the limit is cut short; later writes fail.
"""

import resource

LARGEST_FILE_BYTES = 56 * 1024
"""Maximum file size, in bytes: above the record of a run, below its outbox."""

resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
