"""Check of the layers of library and backend: `[tool.importlinter]` in pyproject.toml.

Exit status: 0 all contracts are kept, 1 a contract is broken.
"""

import sys

from importlinter.cli import lint_imports

if __name__ == "__main__":
    sys.exit(lint_imports(no_cache=True))
