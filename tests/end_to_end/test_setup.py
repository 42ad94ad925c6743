"""Set-up of the work tree: unsuitable Pythons, stamps, variables of the caller, pip."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts import environment, installing
from scripts.project import ROOT


def test_setup_without_a_suitable_python_names_the_fix() -> None:
    """The message names the unsuitable Python and the variable to set."""
    done = subprocess.run(
        ["bash", "scripts/setup.sh"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": "false"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "No Python 3.11 or newer with venv and ensurepip among: false" in done.stderr
    assert "PYTHON=" in done.stderr


def test_stamp_changes_with_every_requirement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of an input file changes the stamp, which contains its work tree."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "backend").mkdir()
    for name in environment.INPUTS:
        (tmp_path / name).write_text("first")
    states = [environment.wanted_state()]
    for name in environment.INPUTS:
        (tmp_path / name).write_text("second")
        states.append(environment.wanted_state())

    assert len({state["inputs"] for state in states}) == len(states)
    assert states[0]["place"] == str(tmp_path)


HOSTILE = {
    "BASH_ENV": "/missing/profile",
    "PYTHONHOME": "/missing",
    "PYTHONPATH": "/missing",
    "PYTHONSAFEPATH": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSTARTUP": "/missing/startup.py",
}


@pytest.mark.parametrize(
    "script", sorted(p.name for p in (ROOT / "scripts").glob("*.sh"))
)
def test_variables_of_the_caller_do_not_disturb_a_script(
    script: str, tmp_path: Path
) -> None:
    """Each script uses its own work tree and the Python of the tree's `.venv`."""
    tree = tmp_path / "a tree"
    shutil.copytree(ROOT / "scripts", tree / "scripts")
    python = tree / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$PWD|$PYTHONPATH|$*|$CDPATH$PYTHONHOME"\n')
    python.chmod(0o755)
    decoy = tmp_path / "decoy/scripts"
    decoy.mkdir(parents=True)
    hostile = {**HOSTILE, "CDPATH": str(decoy.parent)}

    done = subprocess.run(
        ["bash", f"scripts/{script}"],
        cwd=tree,
        env={"PATH": os.environ["PATH"], **hostile},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    if script == "caller.sh":  # Other scripts source this file: it prints nothing.
        assert (done.returncode, done.stdout) == (0, "")
        return
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].split("|")[1:] == [str(tree), "-P -m scripts.environment", ""]
    assert all(line.endswith("|") for line in lines)
    assert all(f"{tree}" in line for line in lines)


@pytest.mark.parametrize(
    "script",
    ["scripts/demo.sh", "scripts/test.sh", "scripts/prove.sh", "benchmarks/run.sh"],
)
def test_help_needs_no_environment(script: str, tmp_path: Path) -> None:
    """Each script answers --help in a tree without `.venv`, and makes none."""
    for name in ("scripts", "benchmarks", "demo", "trackerapi"):
        ignored = shutil.ignore_patterns(".*")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    done = subprocess.run(
        ["bash", script, "--help"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHON": sys._base_executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
    assert not (tmp_path / ".venv").exists()


def test_pip_uses_only_the_package_sources_of_the_caller(tmp_path: Path) -> None:
    """Index and network settings of the caller are kept; other settings are dropped."""
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://global.example/simple\ntimeout = 7\n"
        "target = /missing/elsewhere\n"
        "[install]\nindex-url = https://install.example/simple\nuser = true\n"
        "find-links =\n  https://one.example\n  https://two.example\n"
    )
    unwanted = {
        "PIP_TARGET": "/missing/elsewhere",
        "PIP_USER": "1",
        "PIP_PREFIX": "/missing",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_CONSTRAINT": "/missing.txt",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_DEPS": "1",
        "PIP_DRY_RUN": "1",
        "PYTHONHOME": "/missing",
        "PYTHONPATH": "/missing",
        "PYTHONWARNINGS": "error",
    }
    wanted = {
        "PATH": os.environ["PATH"],
        "HTTPS_PROXY": "http://proxy.example",
        "PIP_CERT": "/etc/ca.pem",
        "PIP_EXTRA_INDEX_URL": "https://extra.example/simple",
    }
    caller = {**unwanted, **wanted, "PIP_CONFIG_FILE": str(config)}

    assert installing.pip_environment(sys.executable, caller) == wanted | {
        "PIP_INDEX_URL": "https://install.example/simple",
        "PIP_TIMEOUT": "7",
        "PIP_FIND_LINKS": "https://one.example https://two.example",
        "PIP_CONFIG_FILE": os.devnull,
    }
    caller["PIP_INDEX_URL"] = "https://variable.example/simple"
    chosen = installing.pip_environment(sys.executable, caller)
    assert chosen["PIP_INDEX_URL"] == "https://variable.example/simple"


def test_pip_installs_into_the_environment_of_the_interpreter(tmp_path: Path) -> None:
    """A package lands in the environment in spite of hostile pip variables."""
    environment_path = tmp_path / "environment"
    subprocess.run(
        [sys.executable, "-m", "venv", environment_path], check=True, timeout=300
    )
    package = tmp_path / "links" / "nothing_much-1.0-py3-none-any.whl"
    package.parent.mkdir()
    with zipfile.ZipFile(package, "w") as wheel:
        info = "nothing_much-1.0.dist-info"
        wheel.writestr("nothing_much.py", "")
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: nothing-much\nVersion: 1.0\n",
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    hostile = {
        "PIP_TARGET": str(tmp_path / "elsewhere"),
        "PIP_CONSTRAINT": "/missing.txt",
        "PIP_REQUIREMENT": "/missing.txt",
        "PIP_USER": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(package.parent),
    }
    python = environment_path / "bin/python"

    subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "scripts.installing",
            python,
            "install",
            "--quiet",
            "nothing-much",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), **hostile},
        check=True,
        timeout=300,
    )

    subprocess.run([python, "-c", "import nothing_much"], check=True, timeout=60)
    assert not (tmp_path / "elsewhere").exists()
