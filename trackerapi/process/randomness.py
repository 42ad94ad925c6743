"""Random numbers of the library, apart from those of the job script."""

import random
from typing import Final

RANDOM: Final = random.SystemRandom()
"""Source without a state. The random sequence of a script that calls `random.seed()`
stays the same, and a forked child draws other numbers than its parent."""
