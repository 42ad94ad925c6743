"""`trackerapi.integrations.tqdm` without tqdm."""

import subprocess
import sys


def test_without_tqdm_the_error_names_the_package() -> None:
    """Importing the integration without tqdm raises ImportError with the fix."""
    script = (
        "import sys\nsys.modules['tqdm'] = None\nimport trackerapi.integrations.tqdm\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stderr.splitlines()[-1] == (
        "ImportError: trackerapi.integrations.tqdm needs tqdm; in a checkout: "
        'pip install ".[tqdm]"'
    )
