"""Modules loaded by imports, and public names of the package."""

import json
import subprocess
import sys

import pytest

import trackerapi
from scripts.project import ROOT


def modules_after(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter loads for `statement`."""
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "loaded = set(sys.modules) - before\n"
        "import json\n"
        "print(json.dumps(sorted(loaded)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded: list[str] = json.loads(done.stdout)
    return set(loaded)


def test_package_loads_nothing_but_itself() -> None:
    """`import trackerapi` loads one module."""
    assert modules_after("import trackerapi") == {"trackerapi"}


def test_tracker_api_loads_neither_http_nor_models() -> None:
    """The import of `TrackerApi` loads no third-party module."""
    loaded = modules_after("from trackerapi import TrackerApi")

    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign == {"trackerapi"}


def test_script_without_an_event_loop_loads_none() -> None:
    """The import of `TrackerApi` and `step` does not load asyncio."""
    assert "asyncio" not in modules_after("from trackerapi import TrackerApi, step")


def test_every_public_name_without_files_loads_nothing_foreign() -> None:
    """The import of all public names loads no third-party module."""
    names = ", ".join(trackerapi.__all__)
    loaded = modules_after(f"from trackerapi import {names}")

    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign == {"trackerapi"}


def test_dir_and_all_agree() -> None:
    """`dir()` and `__all__` list the same names, and each can be imported."""
    assert set(dir(trackerapi)) == {*trackerapi.__all__, "__version__"}
    assert sorted(trackerapi.__all__) == trackerapi.__all__
    for name in trackerapi.__all__:
        assert getattr(trackerapi, name).__name__ == name


def test_star_import_brings_every_public_name() -> None:
    """`from trackerapi import *` defines every name in `__all__`."""
    namespace: dict[str, object] = {}
    exec("from trackerapi import *", namespace)  # noqa: S102

    assert set(trackerapi.__all__) <= namespace.keys()


def test_unknown_name_is_an_attribute_error() -> None:
    """An unknown attribute of the package raises AttributeError."""
    with pytest.raises(AttributeError, match="has no attribute 'TrackerAPI'"):
        trackerapi.TrackerAPI  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "module", ["trackerapi", "trackerapi.cli.main", "trackerapi.generate_json_schemas"]
)
def test_module_runs_without_a_warning(module: str) -> None:
    """`python -m MODULE --help` prints the usage and no warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, "--help"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.startswith("usage: ")
    assert done.stderr == ""


def test_pydantic_is_loaded_for_documents_only() -> None:
    """Pydantic is loaded when a configuration file is read, not before."""
    path = ROOT / "demo/job_configurations.json"
    script = (
        "import sys\n"
        "from trackerapi.config.manager import JobConfigManager, find_loaded\n"
        "assert JobConfigManager().tags == () and find_loaded('a') is None\n"
        "assert 'pydantic' not in sys.modules\n"
        f"JobConfigManager(configurations_file={str(path)!r})\n"
        "assert 'pydantic' in sys.modules\n"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
