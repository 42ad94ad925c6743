"""Bundles: `trackerapi outbox export` and `import` between two machines."""

import json
import stat
import uuid
from pathlib import Path

import pytest

from tests.support.leftovers import (
    NO_SETTINGS,
    SECRET,
    UNKNOWN_CUSTOMER,
    Machine,
    lines_of,
)
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi.cli.exit_statuses import (
    FINE,
    HELD,
    USAGE,
)
from trackerapi.outbox.disk import is_locked
from trackerapi.outbox.header import header_of


def test_bundle_carries_records_out_of_a_closed_network(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """A second machine imports a bundle and delivers its records in order."""
    job_id = machine.leave()

    out = machine.spawn("outbox", "export", str(bundle), **NO_SETTINGS)
    taken_in = second_machine.spawn("outbox", "import", str(bundle))

    assert (out.status, out.err) == (FINE, "")
    assert out.out.startswith(f"{bundle}: 4 waiting, 0 held; ")
    assert (taken_in.status, taken_in.err) == (FINE, "")
    assert "to deliver them: trackerapi sync" in taken_in.out
    assert second_machine.run("sync").out == "delivered 3 events; 0 waiting, 0 held\n"
    assert second_machine.messages(job_id) == ["line 0", "line 1", "line 2"]


def test_bundle_keeps_every_member_of_a_record(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """An imported file has the record lines of the exported file, byte for byte."""
    machine.leave()
    machine.run("outbox", "export", str(bundle))
    second_machine.run("outbox", "import", str(bundle))

    (before,), (after,) = machine.paths, second_machine.paths
    assert after.read_bytes().splitlines()[1:] == before.read_bytes().splitlines()[1:]


def test_bundle_is_private(machine: Machine, bundle: Path) -> None:
    """A bundle has mode 0600 and does not contain the secret of the API key."""
    machine.leave()

    machine.run("outbox", "export", str(bundle))

    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    content = json.dumps(lines_of(bundle))
    assert SECRET in content
    assert machine.backend.api_key.split("_")[2] not in content


def test_bundle_names_format_destination_and_count(
    machine: Machine, bundle: Path
) -> None:
    """The first and last lines of a bundle have format, destination and count."""
    machine.leave(events=1)

    done = machine.run("outbox", "export", str(bundle), "--json")

    header, *records, end = lines_of(bundle)
    assert done.json == {"file": str(bundle), "waiting": 2, "held": 0, "removed": 0}
    assert header["trackerapi_bundle"] == 1
    assert header["base_url"] == machine.backend.base_url
    assert header["key_id"] == machine.backend.api_key.split("_")[1]
    assert [record["state"] for record in records] == ["waiting", "waiting"]
    assert end == {"end": True, "records": 2}


def test_held_records_stay_held_on_the_other_machine(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """Imported held records keep their reason, and `outbox retry` delivers them."""
    job_id = machine.leave(customer_id=UNKNOWN_CUSTOMER)
    machine.run("sync")
    machine.run("outbox", "export", str(bundle))

    taken_in = second_machine.run("outbox", "import", str(bundle), "--json")

    assert (taken_in.json["waiting"], taken_in.json["held"]) == (0, 4)
    (file,) = second_machine.files
    assert (file["id"], file["state"]) == (taken_in.json["id"], "held")
    shown = second_machine.run("outbox", "show", file["id"], "--json").lines
    assert "no customer" in shown[0]["reason"]
    assert second_machine.run("sync").status == HELD
    customer = str(second_machine.backend.customer_id)
    retry = second_machine.run(
        "outbox", "retry", "--job", job_id, "--customer-id", customer
    )
    assert retry.status == FINE
    assert len(second_machine.events(job_id)) == 3


def test_export_copies_records_of_a_running_process(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """Export copies records of a running process; `--remove` does not remove them."""
    job_id = str(uuid.uuid4())
    with machine.job(job_id):
        done = machine.run("outbox", "export", str(bundle), "--remove", "--json")
        assert [file["waiting"] for file in machine.files] == [4]

    assert (done.json["waiting"], done.json["removed"]) == (4, 0)
    second_machine.run("outbox", "import", str(bundle))
    assert second_machine.run("sync").status == FINE
    assert machine.run("sync").status == FINE
    assert machine.messages(job_id) == ["line 0", "line 1", "line 2"]


def test_export_with_remove_leaves_only_delivered_records(
    machine: Machine, bundle: Path
) -> None:
    """`--remove` removes exported records from the outbox, but no archived record."""
    delivered = machine.leave()
    machine.run("sync")
    held = machine.leave(customer_id=UNKNOWN_CUSTOMER)
    machine.run("sync")
    waiting = machine.leave()

    done = machine.run("outbox", "export", str(bundle), "--remove")

    assert "4 waiting, 4 held, 8 removed here" in done.out
    left = machine.texts()
    assert held not in left
    assert waiting not in left
    assert delivered in left
    assert {file["state"] for file in machine.files} == {"delivered"}
    assert machine.run("outbox", "replay", "--json").json["duplicates"] == 3


def test_export_of_one_job_leaves_the_others(machine: Machine, bundle: Path) -> None:
    """With `--job`, only records of that job are exported and removed."""
    wanted, other = machine.leave(), machine.leave()

    machine.run("outbox", "export", str(bundle), "--job", wanted, "--remove")

    content = json.dumps(lines_of(bundle))
    assert wanted in content
    assert other not in content
    assert wanted not in machine.texts()
    assert other in machine.texts()


def test_export_includes_the_creation_of_a_known_job(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """A bundle contains the creation of a job even if the creation was delivered."""
    with machine.job(str(uuid.uuid4()), events=1) as job:
        job.report("later")
    (path,) = machine.paths
    content = path.read_bytes().splitlines(keepends=True)
    position = len(content[0]) + len(content[1])
    settled = {"position": position, "delivered": 0, "dropped": 0}
    path.with_suffix(".ack").write_text(json.dumps(settled))

    machine.run("outbox", "export", str(bundle))

    _, *events, creation, _ = lines_of(bundle)
    assert [event["state"] for event in events] == ["waiting", "waiting"]
    assert creation["record"]["state"] == "done"
    second_machine.run("outbox", "import", str(bundle))
    assert second_machine.run("sync").status == FINE
    job_id = creation["record"]["create_job"]["provider_job_id"]
    assert second_machine.messages(job_id) == ["line 0", "later"]


def test_bundle_imported_twice_doubles_nothing(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """After two imports of one bundle, the backend stores each of its events once."""
    job_id = machine.leave()
    machine.run("outbox", "export", str(bundle))

    for _ in range(2):
        assert second_machine.run("outbox", "import", str(bundle)).status == FINE
    assert second_machine.run("sync").status == FINE
    assert machine.run("sync").status == FINE

    assert machine.messages(job_id) == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("state", ["waiting", "held", "delivered"])
def test_second_import_of_a_bundle_adds_nothing(
    machine: Machine, second_machine: Machine, bundle: Path, state: str
) -> None:
    """A second import adds no record, even if the first copies were delivered."""
    job_id = machine.leave(customer_id=UNKNOWN_CUSTOMER if state != "waiting" else 0)
    if state != "waiting":
        machine.run("sync")
    machine.run("outbox", "export", str(bundle))
    first = second_machine.run("outbox", "import", str(bundle), "--json").json
    if state == "delivered":
        customer = ("--customer-id", str(second_machine.backend.customer_id))
        retried = second_machine.run("outbox", "retry", "--job", job_id, *customer)
        assert retried.status == FINE
    before = second_machine.files

    second = second_machine.run("outbox", "import", str(bundle))
    counted = second_machine.run("outbox", "import", str(bundle), "--json").json

    assert first["waiting"] + first["held"] == counted["already_there"] == 4
    assert (counted["waiting"], counted["held"], counted["id"]) == (0, 0, None)
    assert second.status == FINE
    assert second.out == f"nothing new for {second_machine.backend.base_url}\n"
    assert "4 records left out" in second.err
    assert second_machine.files == before


def test_later_bundle_adds_new_records_only(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """A second bundle of an outbox adds only records since the first bundle."""
    machine.leave()
    machine.run("outbox", "export", str(bundle))
    second_machine.run("outbox", "import", str(bundle))
    job_id = machine.leave()
    later = bundle.with_name("later.bundle")
    machine.run("outbox", "export", str(later))

    taken_in = second_machine.run("outbox", "import", str(later), "--json").json

    assert (taken_in["waiting"], taken_in["already_there"]) == (4, 4)
    shown = second_machine.run("outbox", "show", taken_in["id"], "--json").lines
    assert {job_id in json.dumps(line["record"]) for line in shown} == {True}


def test_records_without_a_key_go_by_way_of_a_bundle(
    machine: Machine, bundle: Path
) -> None:
    """Records recorded without a key are delivered with the key of the importer."""
    job_id = machine.leave(TRACKERAPI_API_KEY="")
    assert machine.run("sync").out.startswith("delivered 0 events")

    assert machine.run("outbox", "export", str(bundle), "--remove").status == FINE
    assert machine.run("outbox", "import", str(bundle)).status == FINE

    assert machine.run("sync").status == FINE
    assert len(machine.events(job_id)) == 3


def test_bundle_is_for_one_provider(machine: Machine, bundle: Path) -> None:
    """Export of records of two keys needs `--key-id`, or ends with status 2."""
    machine.leave()
    other = machine.leave(TRACKERAPI_API_KEY=KEY)

    refused = machine.run("outbox", "export", str(bundle))

    assert refused.status == USAGE
    assert "choose with --base-url and --key-id" in refused.err
    assert not bundle.exists()
    key_id = KEY.split("_")[1]
    assert (
        machine.run("outbox", "export", str(bundle), "--key-id", key_id).status == FINE
    )
    header, *records, _ = lines_of(bundle)
    assert header["key_id"] == key_id
    assert other in json.dumps(records)
    assert len(records) == 4


def test_bundle_may_hold_records_of_two_keys_of_one_provider(
    machine: Machine, bundle: Path
) -> None:
    """Records of two keys are exported together if their headers name one provider."""
    machine.leave()
    machine.leave(TRACKERAPI_API_KEY=KEY)
    machine.name_provider(1)

    assert machine.run("outbox", "export", str(bundle)).status == FINE
    assert lines_of(bundle)[-1]["records"] == 8


def test_bundle_for_another_address_goes_to_the_address_of_this_machine(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """Import warns about another address; `sync` delivers to the importer's address."""
    job_id = machine.leave(TRACKERAPI_BASE_URL=NOWHERE)
    machine.run("outbox", "export", str(bundle))

    done = second_machine.run("outbox", "import", str(bundle))

    assert done.status == FINE
    assert done.err.startswith(f"trackerapi: recorded for {NOWHERE}; goes to ")
    assert second_machine.run("sync").status == FINE
    assert len(second_machine.events(job_id)) == 3


def test_bundle_of_a_known_provider_stays_with_it(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """`sync` with the key of another provider delivers no record of the bundle."""
    machine.leave()
    machine.name_provider(123_456)
    machine.run("outbox", "export", str(bundle))

    assert second_machine.run("outbox", "import", str(bundle)).status == FINE

    done = second_machine.run("sync", "--json")
    assert (done.json["delivered"], done.json["files"]["elsewhere"]) == (0, 1)


def test_import_writes_a_private_file_bound_to_this_machine(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """An imported file has mode 0600 and the address and key id of the importer."""
    machine.leave(TRACKERAPI_API_KEY="")
    machine.run("outbox", "export", str(bundle))
    second_machine.run("outbox", "import", str(bundle))

    (path,) = second_machine.paths
    header = header_of(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(second_machine.outbox.stat().st_mode) == 0o700
    assert header is not None
    assert header.binding.base_url == second_machine.backend.base_url
    assert header.binding.key_id == second_machine.backend.api_key.split("_")[1]


def test_export_finds_a_file_that_is_renamed(
    machine: Machine, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Export finds a file that is renamed while export reads another file."""
    kept, moved = machine.leave(), machine.leave()
    first, second = machine.paths
    renamed = second.with_name(f"{second.stem}0.outbox")

    def move_then_look(path: Path) -> bool:
        if path == first:
            second.rename(renamed)
        return is_locked(path)

    monkeypatch.setattr("trackerapi.cli.outbox.export.is_locked", move_then_look)
    machine.run("outbox", "export", str(bundle))

    content = json.dumps(lines_of(bundle))
    assert renamed.exists()
    assert kept in content
    assert moved in content
