"""Command that writes the JSON Schema, and the schema itself."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from scripts.project import ROOT
from trackerapi.config.file_models import json_schema
from trackerapi.generate_json_schemas import main, render_schema

FILE_NAME: Final = "job-configurations-schema.generated.json"

HELP: Final = """\
usage: generate_json_schemas.py [-h] [-l LOCATION] [-n NAME]

options:
  -h, --help            show this help message and exit
  -l LOCATION, --location LOCATION
                        Location of generated schemas
  -n NAME, --name NAME  Name to use for the generated <name>.generated.json schema file
"""


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with warnings as errors."""
    return subprocess.run(
        [
            *(sys.executable, "-W", "error"),
            *("-m", "trackerapi.generate_json_schemas", *arguments),
        ],
        cwd=folder,
        env={**os.environ, "COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_the_documented_text(tmp_path: Path) -> None:
    """`-h` prints the documented help, even on a terminal of 40 columns."""
    done = run("-h", folder=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, HELP, "")


def test_schema_is_written_here_without_arguments(tmp_path: Path) -> None:
    """Without arguments, the schema is written to the current folder."""
    done = run(folder=tmp_path)

    assert done.stdout == "Generated JSON Schema for JobConfigs at .\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).read_bytes() == render_schema().encode()


@pytest.mark.parametrize("option", [[], ["-l"], ["--location"]])
def test_folder_is_made_and_named_as_given(
    option: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missing folder, given with or without `-l`, is created."""
    monkeypatch.chdir(tmp_path)

    assert main([*option, "./new/er"]) == 0

    assert capsys.readouterr().out == (
        "Generated JSON Schema for JobConfigs at ./new/er\n"
    )
    assert (tmp_path / "new" / "er" / FILE_NAME).is_file()


def test_name_is_the_first_part_of_the_file_name(tmp_path: Path) -> None:
    """`-n mine` writes the file `mine.generated.json`."""
    assert main([str(tmp_path), "-n", "mine"]) == 0

    assert [path.name for path in tmp_path.iterdir()] == ["mine.generated.json"]


def test_old_file_is_replaced(tmp_path: Path) -> None:
    """A longer old file is replaced completely, and no temporary file is left."""
    (tmp_path / FILE_NAME).write_text("old" * 10_000)

    assert main([str(tmp_path)]) == 0

    assert (tmp_path / FILE_NAME).read_text() == render_schema()
    assert len(list(tmp_path.iterdir())) == 1


def test_same_folder_given_twice_is_accepted(tmp_path: Path) -> None:
    """The same folder as positional argument and with `-l` is accepted."""
    assert main([str(tmp_path), "-l", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["one", "-l", "two"], "give the location once"),
        (["-l", ""], "the location is empty"),
        (["-n", ""], "not a plain file name: ''"),
        (["-n", "a/b"], "not a plain file name: 'a/b'"),
        (["-n", "a\\b"], "not a plain file name"),
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A usage error ends with status 2, prints the reason and writes no file."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file", "file/inside"])
def test_folder_that_cannot_be_made_ends_with_1(place: str, tmp_path: Path) -> None:
    """If a file has the path of the folder, the status is 1, with one error line."""
    (tmp_path / "file").touch()

    done = run(place, folder=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"generate_json_schemas: {place}: [^\n]+\n", done.stderr)


def test_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """If a folder has the name of the file, the status is 1; no file is left."""
    (tmp_path / FILE_NAME).mkdir()

    assert main([str(tmp_path)]) == 1

    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_bytes_do_not_depend_on_hash_seed_or_locale(tmp_path: Path) -> None:
    """The written bytes are the same for two hash seeds and two locales."""
    written: set[bytes] = set()
    for seed, locale in (("0", "C"), ("1", "C.UTF-8")):
        subprocess.run(
            [sys.executable, "-m", "trackerapi.generate_json_schemas", seed],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale},
            check=True,
            capture_output=True,
        )
        written.add((tmp_path / seed / FILE_NAME).read_bytes())

    assert written == {render_schema().encode()}


def test_checked_in_schema_is_current() -> None:
    """The schema file in the repository equals the schema of the models."""
    checked_in = (ROOT / "schemas" / FILE_NAME).read_text(encoding="utf-8")

    assert checked_in == render_schema()
    assert json.loads(checked_in) == json_schema()


def test_schema_is_valid() -> None:
    """The schema is valid under JSON Schema draft 2020-12."""
    Draft202012Validator.check_schema(json_schema())


def test_schema_describes_each_member() -> None:
    """Each key has a description, and no object allows additional keys."""
    schema = json_schema()
    objects = [schema, *schema["$defs"].values()]

    assert len(objects) == 6
    for described in objects:
        assert described["description"]
        assert described["additionalProperties"] is False
        assert all(member["description"] for member in described["properties"].values())


def test_schema_uses_words_of_json_schema_only() -> None:
    """The schema uses only the listed keywords of JSON Schema."""
    assert words(json_schema()) == {
        *("type", "description", "properties", "required", "additionalProperties"),
        *("items", "minItems", "maxItems", "minLength", "maxLength", "pattern"),
        *(
            "minimum",
            "maximum",
            "enum",
            "const",
            "anyOf",
            "maxProperties",
            "propertyNames",
            "patternProperties",
            "$ref",
            "$defs",
            "$schema",
            "title",
        ),
    }


def words(schema: dict[str, Any]) -> set[str]:
    """Return the keywords of a schema and of all its subschemas."""
    used = set(schema)
    for part in [
        *schema.get("properties", {}).values(),
        *schema.get("$defs", {}).values(),
        *schema.get("patternProperties", {}).values(),
        *([schema["items"]] if "items" in schema else []),
    ]:
        used |= words(part)
    return used


def links_to(target: Path, kind: str, link: Path) -> None:
    """Create `link` to `target` in a new folder: hard, relative, chain or absolute."""
    link.parent.mkdir()
    if kind == "hard":
        link.hardlink_to(target)
    elif kind == "relative":
        link.symlink_to(Path(os.path.relpath(target, link.parent)))
    elif kind == "chain":
        between = link.with_name("between")
        between.symlink_to(target)
        link.symlink_to(between)
    else:
        link.symlink_to(target)


@pytest.mark.parametrize("kind", ["absolute", "relative", "chain", "hard"])
def test_link_is_written_through(tmp_path: Path, kind: str) -> None:
    """The target of a link is rewritten and keeps its mode; the link is kept."""
    target = tmp_path / "shared.json"
    target.write_text("old")
    target.chmod(0o640)
    links_to(target, kind, tmp_path / "here" / FILE_NAME)

    done = run("-l", "here", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert target.read_bytes() == render_schema().encode()
    link = tmp_path / "here" / FILE_NAME
    assert link.samefile(target)
    assert link.is_symlink() is (kind != "hard")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    left = {"shared.json", "here", FILE_NAME, "between"}
    assert {path.name for path in tmp_path.rglob("*")} <= left


def test_link_to_a_missing_file_makes_it(tmp_path: Path) -> None:
    """A link to a missing file is kept, and the file is created."""
    link = tmp_path / FILE_NAME
    link.symlink_to(tmp_path / "shared.json")

    assert run(folder=tmp_path).returncode == 0
    assert link.is_symlink()
    assert (tmp_path / "shared.json").read_bytes() == render_schema().encode()


def test_link_to_itself_ends_with_1(tmp_path: Path) -> None:
    """A link to itself ends with status 1 and one line on stderr."""
    (tmp_path / FILE_NAME).symlink_to(FILE_NAME)

    done = run(folder=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_mounted_file_is_written_through(tmp_path: Path) -> None:
    """A bind-mounted file, which cannot be replaced, is written in place."""
    behind, mounted = tmp_path / "behind.json", tmp_path / "here" / FILE_NAME
    behind.write_text("x" * 2 * len(render_schema()))
    mounted.parent.mkdir()
    mounted.touch()
    mount = ["mount", "--bind", str(behind), str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        assert os.environ.get("CI") != "true", "CI has to run this as root"
        pytest.skip("this user cannot mount a file")
    try:
        done = run("-l", "here", folder=tmp_path)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert behind.read_bytes() == render_schema().encode()
    assert mounted.read_bytes() == b""


def test_location_need_not_be_text(tmp_path: Path) -> None:
    """A folder name that is not UTF-8 is accepted and printed with escapes."""
    folder = tmp_path / os.fsdecode(b"odd \xff name")
    result = subprocess.run(
        [sys.executable, "-m", "trackerapi.generate_json_schemas", "-l", str(folder)],
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert b"odd \\udcff name" in result.stdout
    assert [path.name for path in folder.iterdir()] == [
        "job-configurations-schema.generated.json"
    ]


def test_library_runs_from_a_folder_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    """The command works if the path of the library is not UTF-8."""
    folder = tmp_path / os.fsdecode(b"odd \xff name")
    shutil.copytree(ROOT / "trackerapi", folder / "trackerapi")
    result = subprocess.run(
        [sys.executable, "-m", "trackerapi.generate_json_schemas", "-l", "schemas"],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(list((folder / "schemas").iterdir())) == 1


def test_full_stdout_is_one_line(tmp_path: Path) -> None:
    """A message that cannot be printed is reported on stderr, without a traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trackerapi.generate_json_schemas"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "generate_json_schemas: stdout: No space left on device\n"


def test_location_that_is_a_file_is_rejected(tmp_path: Path) -> None:
    """If `-l` is the path of a file, the status is 1 and the error names the file."""
    (tmp_path / "job.py").write_text("pass")

    done = run("-l", "job.py", folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr == "generate_json_schemas: job.py: not a folder\n"
