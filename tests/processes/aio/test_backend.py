"""`AsyncTrackerApi` with a real backend."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.running_backend import RunningBackend
from trackerapi import AsyncTrackerApi, BackendRejected, Job, JobConfig


@asynccontextmanager
async def reporting(backend: RunningBackend) -> AsyncIterator[AsyncTrackerApi]:
    """Open a tracker for the real backend."""
    async with AsyncTrackerApi(backend.api_key, backend.base_url) as tracker:
        yield tracker


def test_job_of_a_loop_arrives(backend: RunningBackend, config: JobConfig) -> None:
    """`get_job()` returns the steps that `async with` and `async for` reported."""

    async def main() -> Job:
        async with reporting(backend) as tracker:
            name = str(uuid.uuid4())
            opening = tracker.run_job(
                *(name, backend.customer_id, config.tag),
                title="Brain MRI",
                reference="MR-7",
            )
            async with opening as job:
                async with job.step("load", total=4) as load:
                    async for _ in load.track(range(4)):
                        await asyncio.sleep(0)
                async for _ in job.track(range(10), step="segment"):
                    pass
                await job.skip("report", reason="Nothing was found.")
            report = await tracker.flush(timeout=30)
            assert report.waiting == 0, report
            assert (await tracker.delivery()).delivered
            return await tracker.get_job(name)

    seen = asyncio.run(main())

    assert (seen.status, seen.percent) == ("succeeded", 100)
    assert (seen.title, seen.reference) == ("Brain MRI", "MR-7")
    assert [(step.status, step.completed, step.total) for step in seen.steps] == [
        ("done", 4, 4),
        ("done", 10, 10),
        ("skipped", None, None),
    ]


def test_read_calls_work_in_a_loop(backend: RunningBackend, config: JobConfig) -> None:
    """In an event loop, all read calls work; lists are asynchronous iterators."""

    async def main() -> None:
        async with reporting(backend) as tracker:
            job = await tracker.create_job(
                str(uuid.uuid4()), backend.customer_id, config.tag
            )
            await job.note("words")
            await tracker.flush(timeout=30)
            assert (await job.fetch()).provider_job_id == job.provider_job_id
            assert [event.message async for event in job.events()] == ["words"]
            assert (await job.share_link()).startswith(backend.base_url)
            links = [link async for link in job.share_links()]
            assert (await job.revoke_share_link(links[0].id)).revoked_at is not None
            jobs = tracker.list_jobs(provider_job_id=job.provider_job_id)
            assert [one.provider_job_id async for one in jobs] == [job.provider_job_id]
            assert (await tracker.verify_api_key()).scopes
            assert (await tracker.register_job_config(config)).tag == config.tag
            assert tracker.base_url == backend.base_url == tracker.client.base_url
            with pytest.raises(BackendRejected, match="has no job"):
                await tracker.get_job("nobody's")

    asyncio.run(main())


def test_token_attaches_another_worker(
    backend: RunningBackend, config: JobConfig
) -> None:
    """Counts of two workers of a step add up."""

    async def main() -> float | None:
        async with reporting(backend) as tracker:
            name = str(uuid.uuid4())
            async with tracker.run_job(name, backend.customer_id, config.tag) as job:
                token = await job.token()
                async with job.step("load", total=5) as load:
                    async with tracker.attach(token, part="other") as other:
                        await other.step("load").advance(2)
                    await load.advance(3)
                    assert load.completed == 3
            await tracker.flush(timeout=30)
            return (await tracker.get_job(name)).steps[0].completed

    assert asyncio.run(main()) == 5


def test_administration_is_awaited(backend: RunningBackend, config: JobConfig) -> None:
    """Keys, customers and configurations can be created and read in an event loop."""

    async def main() -> None:
        async with reporting(backend) as tracker:
            admin, reference = tracker.admin, str(uuid.uuid4())
            made = await admin.create_api_key("nightly", ["ingest"])
            assert made.key.key_id in [
                key.key_id async for key in admin.list_api_keys()
            ]
            ended = await admin.expire_api_key(made.key.key_id, revoke_created=True)
            assert ended.expires_at is not None
            assert ended.revoked is not None
            entries = [entry async for entry in admin.list_audit_entries()]
            assert "expire_api_key" in [entry.action for entry in entries[:2]]
            customer = await admin.create_customer(reference=reference)
            assert [one async for one in admin.list_customers(reference=reference)] == [
                customer
            ]
            assert await admin.get_customer(customer.id) == customer
            assert (await admin.erase_customer(customer.id)).erased_jobs == 0
            stored = await tracker.register_job_config(config)
            configs = [one async for one in admin.list_job_configs(tag=config.tag)]
            assert [one.id for one in configs] == [stored.id]
            assert await admin.get_job_config(stored.id) == configs[0]
            profile = await admin.update_provider_profile(contact_text="Front desk")
            assert await admin.get_provider_profile() == profile
            assert profile.contact_text == "Front desk"
            await admin.update_provider_profile(contact_text=None)

    asyncio.run(main())


def test_list_spans_many_pages(backend: RunningBackend, config: JobConfig) -> None:
    """A list of 450 events on several pages yields each event once, in order."""

    async def main() -> list[str | None]:
        async with reporting(backend) as tracker:
            job = await tracker.create_job(
                str(uuid.uuid4()), backend.customer_id, config.tag
            )
            for number in range(450):
                await job.note(str(number))
            await tracker.flush(timeout=30)
            return [event.message async for event in job.events()]

    assert asyncio.run(main()) == [str(number) for number in range(450)]


def test_steps_are_ready_after_a_restart(
    backend: RunningBackend, config: JobConfig
) -> None:
    """`recall()` restores a step that an earlier tracker reported as done."""

    async def main() -> None:
        name = str(uuid.uuid4())
        for _ in range(2):
            async with reporting(backend) as tracker:
                job = await tracker.create_job(name, backend.customer_id, config.tag)
                await job.recall()
                if job.steps["load"].status == "done":
                    assert job.steps["segment"].is_ready
                    return
                assert job.steps["load"].is_ready
                await job.step("load").done()
        raise AssertionError("the second tracker did not restore the done step")

    asyncio.run(main())
