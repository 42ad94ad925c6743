"""Expiry of a key together with the keys, tokens and links that it has made."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from backend.tests.support.raw_http import connect, read_answer
from backend.tests.support.service import command_here, new_job, prepare, variables_of
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from backend.tests.support.service import Service

VERIFY_PATH = "/api-keys/protected"


class Maker:
    """A key that makes keys, tokens and links of a job.

    Args:
        client: Client with the key.
        key_id: Public part of the key.
    """

    def __init__(self, client: httpx.Client, key_id: str) -> None:
        self.client, self.key_id = client, key_id

    def make_key(self, stack: ExitStack, service: Service) -> Maker:
        """Make a key with all scopes."""
        sent = {"label": "made", "scopes": ["ingest", "read", "admin"]}
        made = self.client.post("/api-keys", json=sent).json()
        client = stack.enter_context(service.client(None))
        client.headers["X-API-Key"] = made["api_key"]
        return Maker(client, made["key"]["key_id"])

    def make_token(self, stack: ExitStack, service: Service, job: Any) -> httpx.Client:
        """Make a job token; return a client with the token."""
        made = self.client.post(f"/jobs/{job['id']}/tokens", json={}).json()
        holder = stack.enter_context(service.client(None))
        holder.headers["X-API-Key"] = made["token"]
        return holder

    def make_link(self, job: Any) -> str:
        """Make a share link; return its address."""
        made = self.client.post(f"/jobs/{job['id']}/share-links", json={})
        return str(made.json()["url"])

    def expire(self, other: Maker, **query: str) -> dict[str, Any]:
        """Expire another key; return the answer."""
        answer = self.client.post(f"/api-keys/{other.key_id}/expire", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def own_maker(api: httpx.Client) -> Maker:
    """Return the key of a client."""
    return Maker(api, api.get(VERIFY_PATH).json()["key_id"])


def test_all_that_a_key_has_made_ends_with_it(
    service: Service, api: httpx.Client, reader: httpx.Client
) -> None:
    """Keys, tokens and links of a key and of its keys end; those of others stay.

    Open streams of the tokens and links end at once.
    """
    job, admin = new_job(api), own_maker(api)
    with ExitStack() as stack:
        leaked = admin.make_key(stack, service)
        child = leaked.make_key(stack, service)
        grandchild = child.make_key(stack, service)
        holders = [
            each.make_token(stack, service, job) for each in (leaked, grandchild)
        ]
        links = [each.make_link(job) for each in (leaked, child)]
        kept, kept_link = admin.make_token(stack, service, job), admin.make_link(job)
        streams = [
            stack.enter_context(open_stream(holders[1], f"/jobs/{job['id']}/stream")),
            stack.enter_context(open_stream(reader, f"{links[1]}/stream")),
        ]
        for stream in streams:
            stream.message()

        ended = admin.expire(leaked, revoke_created="true")

        # A stream that has not ended at once would send a comment first.
        assert [list(stream.blocks()) for stream in streams] == [[], []]
        callers = [leaked.client, child.client, grandchild.client, *holders]
        assert {each.get(VERIFY_PATH).status_code for each in callers} == {401}
        assert {reader.get(link).status_code for link in links} == {404}
        assert kept.get(VERIFY_PATH).status_code == 200
        assert reader.get(kept_link).status_code == 200
        again = admin.expire(leaked, revoke_created="true")
    assert ended["key_id"] == leaked.key_id
    assert ended["revoked"] == {
        "expired_keys": 2,
        "expired_tokens": 2,
        "revoked_share_links": 2,
    }
    assert set(again["revoked"].values()) == {0}
    assert again["expires_at"] == ended["expires_at"]


def test_key_that_ends_its_maker_stays_valid(
    service: Service, api: httpx.Client, job: dict[str, Any]
) -> None:
    """A key can expire its maker with `revoke_created`; the key and its tokens stay."""
    with ExitStack() as stack:
        maker = own_maker(api).make_key(stack, service)
        made = maker.make_key(stack, service)
        sibling = maker.make_key(stack, service)
        holder = made.make_token(stack, service, job)
        ended = made.expire(maker, revoke_created="true")
        assert ended["revoked"]["expired_keys"] == 1
        assert sibling.client.get(VERIFY_PATH).status_code == 401
        for client in (made.client, holder):
            assert client.get(VERIFY_PATH).status_code == 200


def test_expiry_alone_leaves_what_the_key_has_made(
    service: Service, api: httpx.Client, job: dict[str, Any]
) -> None:
    """Without `revoke_created`, tokens of an expired key stay valid."""
    with ExitStack() as stack:
        admin = own_maker(api)
        for query in ({}, {"revoke_created": "false"}):
            maker = admin.make_key(stack, service)
            holder = maker.make_token(stack, service, job)
            assert "revoked" not in admin.expire(maker, **query)
            assert holder.get(VERIFY_PATH).status_code == 200


def test_invalid_choice_is_rejected(api: httpx.Client) -> None:
    """A `revoke_created` that is not true or false gets 422."""
    answer = api.post("/api-keys/zzz/expire", params={"revoke_created": "yes"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "revoke_created"


def test_command_ends_what_a_key_has_made(
    tmp_path: Path, database_url: str | None
) -> None:
    """`key expire --revoke-created` prints the numbers; the audit log has them."""
    keys = prepare(tmp_path, database_url)
    variables = variables_of(tmp_path, database_url)
    key_id = keys["all"].split("_")[1]
    expire = ("key", "expire", key_id, "--revoke-created")
    done = command_here(*expire, environment=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == (
        "expired keys 0, expired job tokens 0, revoked share links 0"
    )
    log = command_here("audit", "--json", environment=variables).stdout
    assert '"revoke_created"' in log


def test_request_that_began_before_the_expiry_makes_nothing(
    service: Service, api: httpx.Client
) -> None:
    """A body that ends after the expiry of its key makes no key, token or link."""
    job, admin = new_job(api), own_maker(api)
    path = f"/jobs/{job['id']}"
    bodies = {
        "/api-keys": b'{"label": "late", "scopes": ["admin"]}',
        f"{path}/tokens": b"{  }",
        f"{path}/share-links": b"{  }",
    }
    with ExitStack() as stack:
        leaked = admin.make_key(stack, service)
        key = leaked.client.headers["X-API-Key"]
        begun = []
        for target, body in bodies.items():
            connection = stack.enter_context(closing(connect(service)))
            head = (
                f"POST {target} HTTP/1.1\r\nHost: here\r\nX-API-Key: {key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Expect: 100-continue\r\n\r\n"
            )
            connection.sendall(head.encode())
            file = stack.enter_context(connection.makefile("rb"))
            # The server asks for the body after it has accepted the key.
            interim = read_answer(file)
            assert interim is not None
            assert interim.status == 100
            begun.append((connection, file, body))
        expired = admin.expire(leaked, revoke_created="true")
        assert set(expired["revoked"].values()) == {0}
        for connection, file, body in begun:
            connection.sendall(body)
            answer = read_answer(file)
            assert answer is not None
            assert (answer.status, answer.problem_name) == (401, "unauthorized")
    made = api.get("/api-keys", params={"limit": 200}).json()["items"]
    assert leaked.key_id not in {each["created_by"] for each in made}
    assert api.get(f"{path}/share-links").json()["items"] == []
