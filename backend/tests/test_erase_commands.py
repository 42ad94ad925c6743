"""Commands `job erase` and `customer erase`, with and without a running server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trackerapi_backend.instants import parse_instant, utc_now

from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    command_here,
    error_line,
    new_job,
    prepare,
    report,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"kind": "progress", "tag": "load", "completed": 1, "total": 2}


def test_commands_erase_with_and_without_a_server(
    tmp_path: Path, database_url: str | None
) -> None:
    """Each erasure adds lines to the file of erasures; a repeat erases nothing."""
    keys = prepare(tmp_path, database_url)
    variables = variables_of(tmp_path, database_url)
    began_at = utc_now().replace(microsecond=0)

    def erase(*arguments: str) -> None:
        done = command_here(*arguments, "--yes", environment=variables)
        assert (done.returncode, done.stdout) == (0, "jobs\t1\n"), done.stderr
        again = command_here(*arguments, "--yes", environment=variables)
        assert (again.returncode, again.stderr) == (0, "")
        label, erased_at = again.stdout.rstrip("\n").split("\t")
        assert label == "already erased"
        assert began_at <= parse_instant(erased_at) <= utc_now()

    with (
        serve_existing(tmp_path, keys, database_url) as (process, service),
        service.client() as api,
    ):
        jobs = [new_job(api) for _ in range(3)]
        for job in jobs:
            report(api, job, **EVENT)
        erase("job", "erase", str(jobs[0]["id"]))
        assert api.get(f"/jobs/{jobs[0]['id']}").status_code == 404
        process.terminate()
        process.wait(MAX_WAIT_SECONDS)
    erase("job", "erase", "--provider-job-id", jobs[1]["provider_job_id"])
    erase("customer", "erase", str(CUSTOMER))
    lines = (tmp_path / "erasures").read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == ["job", "job", "customer", "job"]
    listed = command_here("customer", "list", environment=variables)
    assert str(CUSTOMER) not in listed.stdout
    for provider in ("One", "Two"):
        create = ("customer", "create", "--id", str(CUSTOMER), "--provider", provider)
        refused = command_here(*create, environment=variables)
        assert f"customer {CUSTOMER} was erased at " in error_line(refused)


def test_job_erase_with_a_name_advises_the_option_for_names() -> None:
    """`job erase NAME` is a usage error that names `--provider-job-id`."""
    result = command_here("job", "erase", "--yes", "run-7")
    assert result.returncode == 2
    assert "--provider-job-id" in result.stderr.splitlines()[-1]


def test_erasure_adds_no_provider_to_printed_counts(
    tmp_path: Path, database_url: str | None
) -> None:
    """Commands do not count the internal provider, to which erased rows belong."""
    prepare(tmp_path, database_url)
    one, two = (variables_of(tmp_path, url) for url in (database_url, None))
    two["TRACKERAPI_BACKEND_DATABASE"] = str(tmp_path / "imported.db")
    three = {**two, "TRACKERAPI_BACKEND_DATABASE": str(tmp_path / "restored.db")}

    def run(environment: dict[str, str], *arguments: str) -> list[str]:
        done = command_here(*arguments, environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    run(one, "customer", "erase", "--yes", str(CUSTOMER))
    file = str(tmp_path / "exported")
    run(two, "migrate")
    exported, imported = run(one, "export", file), run(two, "import", file)
    saved = run(two, "backup", str(tmp_path / "saved"))
    restored = run(three, "restore", str(tmp_path / "saved"))
    for printed in (exported, imported, saved, restored):
        assert {"providers\t2", "customers\t1"} <= {*printed}


def test_wrong_use_of_erase_erases_nothing(tmp_path: Path) -> None:
    """Without a confirmation, with a wrong id or without a file, nothing is erased."""
    prepare(tmp_path)
    variables = variables_of(tmp_path)
    missing = {"TRACKERAPI_BACKEND_ERASURES_FILE": str(tmp_path / "no" / "file")}
    erase = ("customer", "erase", str(CUSTOMER))
    for arguments, environment, named in (
        (erase, {}, "give --yes"),
        (("job", "erase", "--yes"), {}, "give JOB_ID or --provider-job-id"),
        (("job", "erase", "7", "--provider-job-id", "x"), {}, "name one job"),
        (("job", "erase", "7", "--yes"), {}, "has no such job"),
        (("job", "erase", "--provider-job-id", "x", "--yes"), {}, "has no such job"),
        (
            (*erase, "--provider", "Two", "--yes"),
            {},
            "has no such customer. Nothing was",
        ),
        ((*erase, "--yes"), missing, f"{tmp_path / 'no' / 'file'} cannot be written"),
    ):
        done = command_here(*arguments, environment={**variables, **environment})
        assert named in error_line(done)
    listed = command_here("customer", "list", environment=variables)
    assert str(CUSTOMER) in listed.stdout
