"""Wheels and source distributions of library and backend: their contents."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts.project import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the library from the work tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = [sys.executable, "-m", *command]
    subprocess.run(run, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_both_packages_and_their_types(wheel: Path) -> None:
    """The wheel contains only library and generated client, with types and licence."""
    names = zipfile.ZipFile(wheel).namelist()

    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"trackerapi", "trackerapi_client"}
    assert {"trackerapi/py.typed", "trackerapi_client/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_wheel_imports_and_has_its_command(
    wheel: Path, tmp_path: Path
) -> None:
    """The installed wheel works outside the work tree and without the backend."""
    site = tmp_path / "site"
    install = ["pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run(
        [sys.executable, "-m", *install, str(wheel)], check=True, timeout=120
    )
    code = (
        "import trackerapi, trackerapi_client\n"
        "from trackerapi import JobConfigManager, TrackerApi\n"
        "from trackerapi_client.api.jobs import list_jobs\n"
        "print(trackerapi.__file__, trackerapi_client.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == [
        str(site / "trackerapi/__init__.py"),
        str(site / "trackerapi_client/__init__.py"),
    ]
    assert (site / "bin/trackerapi").exists()


def build_distribution(project: Path, kind: str, folder: Path) -> Path:
    """Build a distribution of a project; return the built file."""
    command = ["build", f"--{kind}", "--no-isolation", "--outdir", str(folder)]
    run = [sys.executable, "-m", *command, str(project)]
    subprocess.run(run, check=True, capture_output=True, timeout=120)
    (made,) = folder.iterdir()
    return made


def test_wheel_of_the_backend_holds_license_and_table(tmp_path: Path) -> None:
    """The wheel of the backend contains licence and test table of the projection."""
    wheel = zipfile.ZipFile(build_distribution(ROOT / "backend", "wheel", tmp_path))

    (path,) = [n for n in wheel.namelist() if n.endswith("licenses/LICENSE")]
    assert wheel.read(path) == (ROOT / "LICENSE").read_bytes()
    packages = {n.split("/")[0] for n in wheel.namelist() if ".dist-info/" not in n}
    assert packages == {"trackerapi_backend"}
    table = (ROOT / "tests/conformance/projection.json").read_bytes()
    assert wheel.read("trackerapi_backend/conformance/projection.json") == table


@pytest.mark.parametrize(
    ("project", "parts"),
    [
        (
            ROOT,
            {"trackerapi", "generated_client", "openapi", "schemas", "demo"}
            | {"CHANGELOG.md"},
        ),
        (ROOT / "backend", {"trackerapi_backend"}),
    ],
    ids=["library", "backend"],
)
def test_source_distribution_holds_its_own_project(
    project: Path, parts: set[str], tmp_path: Path
) -> None:
    """The source distribution contains its own project without tests."""
    with tarfile.open(build_distribution(project, "sdist", tmp_path)) as packed:
        names = [name.partition("/")[2] for name in packed.getnames()]

    always = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert {name.split("/")[0] for name in names if name} == parts | always
