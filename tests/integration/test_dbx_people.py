"""`dbx` with several accounts: sharing, links, shared folders, and sign-in."""

import asyncio
import contextlib
import hashlib
import importlib
import json
import re
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pyotp
import pytest
from sqlalchemy import text

from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.copy import make_next_copy
from dropbox_api.workers.relay import relay_changes
from tests.support.dbx import Dbx, finished, make_file, signed_in
from tests.support.fake_server import FakeServer, Scripted, fake_server
from tests.support.senders import Sender
from tests.support.server import Account, RunningServer, make_settings, problem, running_server
from tests.support.sharing import verify

Person = Callable[[str], Awaitable[Dbx]]


@pytest.fixture
async def person(server: RunningServer, tmp_path: Path) -> AsyncIterator[Person]:
    """Create accounts with a confirmed address, signed in."""
    async with contextlib.AsyncExitStack() as people:

        async def make(name: str) -> Dbx:
            home = tmp_path / name
            home.mkdir()
            made = await people.enter_async_context(signed_in(server, home))
            await verify(server.db, made.account)
            return made

        yield make


@pytest.fixture
async def ada(person: Person) -> Dbx:
    """Owns /Team/plans/a.txt."""
    ada = await person("ada")
    (ada.home / "a.txt").write_text("what ada wrote")
    await ada("upload", "a.txt", "--to", "/Team/plans")
    return ada


@pytest.fixture
async def bob(ada: Dbx, person: Person) -> Dbx:
    """Edits /Team of ada."""
    bob = await person("bob")
    await ada("share", "/Team", bob.account.email, "--edit")
    return bob


# Grants


async def test_share_is_listed_changed_and_revoked(ada: Dbx, person: Person) -> None:
    bob = await person("bob")
    assert (await ada("share", "/Team")).out == ""
    email = bob.account.email
    assert (await ada("share", "/Team", email.upper())).out == f"viewer  {email}\n"
    assert (await bob("shared")).out == "shared:Team/\n"
    assert (await ada("share", "/Team", email, "stranger@example.com", "--edit")).out.splitlines() == [
        f"editor  {email}",
        "editor  stranger@example.com  (pending: no account with this confirmed address)",
    ]
    assert f"editor  {email}  (inherited from a folder above)" in (await ada("share", "/Team/plans")).out
    assert (await ada("shared", "--by-me")).out == "/Team/\n"
    assert "  2 grants    0 links  " in (await ada("shared", "--by-me", "-l")).out
    [record] = (await bob("shared", "--json")).records
    assert (record["name"], record["owner"], record["role"]) == ("Team", ada.account.email, "editor")
    long = (await bob("shared", "-l")).out
    assert all(part in long for part in (record["id"], ada.account.email, "editor", "shared:Team/"))

    assert "unshare that folder" in (await ada("unshare", "/Team/plans", email, code=1)).err
    await ada("unshare", "/Team", email, "stranger@example.com")
    assert (await bob("shared")).out == (await ada("share", "/Team")).out == ""
    assert "(not-found)" in (await bob("ls", f"id:{record['id']}", code=1)).err
    assert "not shared with this address" in (await ada("unshare", "/Team", email, code=1)).err


async def test_viewer_can_read_and_not_change(ada: Dbx, person: Person) -> None:
    vi = await person("vi")
    await ada("share", "Team", vi.account.email)
    assert (await vi("cat", "shared:team/plans/a.txt")).out == "what ada wrote"
    for command in (
        ("rm", "shared:Team/plans"),
        ("mkdir", "shared:Team/x"),
        ("mv", "shared:Team/plans", "shared:Team/x"),
    ):
        assert "(forbidden)" in (await vi(*command, code=1)).err
    make_file(vi.home / "mine", 10)
    assert "(forbidden)" in (await vi("upload", "mine", "--to", "shared:Team", code=1)).err


# Shared folders


async def test_editor_changes_a_shared_tree(ada: Dbx, bob: Dbx, server: RunningServer) -> None:
    top = (await ada.remote("/Team"))["id"]
    assert (await bob("ls", "shared:Team")).out == "plans/\n"
    assert (await bob("ls", f"id:{top}/plans")).out == (await bob("ls", "shared:Team/plans/a.txt")).out == "a.txt\n"
    assert (await bob("ls", "-R", "shared:Team")).out == "plans/\nplans/a.txt\n"
    assert (await bob("search", "a.txt", "--in", "shared:Team/plans")).out == "shared:Team/plans/a.txt\n"

    assert (await bob("mkdir", "shared:Team/new", f"id:{top}/other")).out == ""
    assert "(name-taken)" in (await bob("mkdir", "shared:Team/new", code=1)).err
    made = await bob("mkdir", "-p", "shared:Team/new/x/y", "--json")
    assert [record["path"] for record in made.records] == ["/Team/new/x/y"]
    moved = await bob("mv", "shared:Team/plans/a.txt", "shared:Team/new/b.txt")
    assert moved.out == "shared:Team/plans/a.txt -> shared:Team/new/b.txt\n"
    assert (await bob("cp", "shared:Team/new/b.txt", "shared:Team/other")).out.endswith(" shared:Team/other/b.txt\n")
    await bob("rm", "shared:Team/plans")
    assert (await ada("ls", "-R", "/Team")).out.split() == [
        "new/", "new/b.txt", "new/x/", "new/x/y/", "other/", "other/b.txt",
    ]  # fmt: skip
    [version] = (await bob("versions", "shared:Team/other/b.txt", "--json")).records
    assert version["author"] == bob.account.email
    assert (await bob("ls")).out == ""  # the own tree is unchanged
    assert "by its id: `dbx activity" in (await bob("restore", "shared:Team/plans", code=2)).err
    while (await relay_changes(server.services)).done:
        pass
    [trashed] = (await bob("activity", "--kind", "file.trashed", "--json")).records
    restored = await bob("restore", trashed["file_id"])
    assert restored.out == f"{trashed['file_id']} -> shared:Team/plans\n"


async def test_account_is_deleted_and_restored(ada: Dbx, server: RunningServer) -> None:
    account = ada.account
    refused = await ada("account", "delete", stdin="no\n", code=2)
    assert "nothing is deleted" in refused.err
    deleted = await ada("account", "delete", stdin=f"{account.email}\n{account.password}\n")
    assert "dbx account restore" in deleted.err
    assert (await ada("ls", code=None)).code
    password = f"{account.password}\n"
    again = await ada("login", "--server", server.url, "--email", account.email, "--password-stdin", stdin=password)
    assert "dbx account restore" in again.err
    assert "is being deleted" in (await ada("ls", code=1)).err
    assert "restored" in (await ada("account", "restore")).err
    assert (await ada("ls", "/Team/plans")).out == "a.txt\n"


@pytest.fixture
async def copying(server: RunningServer) -> AsyncIterator[None]:
    """A worker of the job `copy`."""

    async def work() -> None:
        while True:
            await make_next_copy(server.services)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(work())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.usefixtures("copying")
async def test_cp_from_a_share_copies_into_the_own_tree(bob: Dbx) -> None:
    assert (await bob("cp", "shared:Team/plans", "/")).out == "shared:Team/plans -> /plans\n"
    assert (await bob("cat", "/plans/a.txt")).out == "what ada wrote"
    assert "(name-taken)" in (await bob("cp", "shared:Team/plans", "/", code=1)).err


async def test_tree_round_trips_through_a_shared_folder(ada: Dbx, bob: Dbx) -> None:
    tree = bob.home / "tree"
    contents = {}
    for path in ("one", "deep/er/two", "deep/three"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        contents[path] = make_file(tree / path, 1000)
    (tree / "empty").mkdir()
    sent = await bob("upload", "tree", "shared:Team/in/box")
    assert min(sent.out.splitlines()) == "tree/deep/er/two -> shared:Team/in/box/tree/deep/er/two"
    for path, data in contents.items():
        found = await ada.remote(f"/Team/in/box/tree/{path}")
        assert (found["owner"], found["fingerprint"]) == (ada.account.email, hashlib.sha256(data).hexdigest())
    assert (await ada.remote("/Team/in/box/tree/empty"))["kind"] == "folder"
    again = await bob("upload", "tree", "--to", "shared:Team/in/box", "--json")
    assert len(again.records) == 3

    await bob("download", "shared:Team/in", "fetched")
    for path, data in contents.items():
        assert (bob.home / "fetched/in/box/tree" / path).read_bytes() == data
    assert (bob.home / "fetched/in/box/tree/empty").is_dir()
    one = await bob("download", "shared:Team/in/box/tree/one", "one")
    assert one.out == "shared:Team/in/box/tree/one -> one\n"
    assert (bob.home / "one").read_bytes() == contents["one"]


async def test_upload_below_a_file_fails_only_there(ada: Dbx, bob: Dbx) -> None:
    for path in ("plans/a.txt/inner", "beside"):
        (bob.home / path).parent.mkdir(parents=True, exist_ok=True)
        make_file(bob.home / path, 10)
    refused = await bob("upload", "plans", "beside", "--to", "shared:Team", code=1)
    assert "plans/a.txt/inner: " in refused.err
    assert (await ada("ls", "/Team")).out == "beside\nplans/\n"


async def test_shared_names_ambiguous_or_missing_are_refused(ada: Dbx, bob: Dbx, person: Person) -> None:
    eve = await person("eve")
    await eve("mkdir", "/TEAM")
    await eve("share", "/TEAM", bob.account.email)
    ids = [record["id"] for record in (await bob("shared", "--json")).records]
    several = await bob("ls", "shared:Team", code=2)
    assert all(f"id:{one}" in several.err for one in ids)
    assert eve.account.email in several.err
    assert {(await bob("ls", f"id:{one}")).out for one in ids} == {"plans/\n", ""}
    assert "'nothing'" in (await bob("ls", "shared:nothing", code=1)).err
    await bob("mkdir", "/shared:own")
    assert (await bob("ls")).out == "shared:own/\n"


async def test_complete_path_lists_shared_items(bob: Dbx) -> None:
    assert (await bob("complete-path", "shared:T")).out == "shared:Team/\n"
    assert (await bob("complete-path", "shared:Team/pl")).out == "shared:Team/plans/\n"
    assert (await bob("complete-path", "shared:X")).out == ""


async def test_leave_ends_the_access(ada: Dbx, bob: Dbx) -> None:
    top = (await ada.remote("/Team"))["id"]
    assert "'nothing'" in (await bob("leave", "nothing", code=1)).err
    await bob("leave", "team")
    assert (await bob("shared")).out == (await ada("share", "/Team")).out == ""
    assert "(not-found)" in (await bob("ls", f"id:{top}", code=1)).err
    await ada("share", "/Team", bob.account.email)
    await bob("leave", f"id:{top}")
    assert (await bob("shared")).out == ""


async def test_by_path_below_a_folder(ada: Dbx, bob: Dbx, person: Person) -> None:
    top, file = (await ada.remote("/Team"))["id"], (await ada.remote("/Team/plans/a.txt"))["id"]

    async def at(dbx: Dbx, folder_id: str, path: str) -> str | tuple[int, str]:
        answer = await dbx.account.client.get(f"/v1/files/{folder_id}/by-path", params={"path": path})
        if answer.status_code != 200:
            return problem(answer)
        assert answer.headers["etag"] == answer.json()["etag"]
        return str(answer.json()["id"])

    for dbx in (ada, bob):
        assert await at(dbx, top, "/") == top
        assert await at(dbx, top, "/PLANS/a.txt") == await at(dbx, top, "plans/a.txt/") == file
        assert await at(dbx, top, "/plans/b.txt") == (404, "not-found")
        assert await at(dbx, top, "/../Team") == (422, "invalid-name")
        assert await at(dbx, file, "/") == (409, "not-a-folder")
    assert await at(await person("eve"), top, "/") == (404, "not-found")
    await ada("rm", "/Team/plans")
    assert await at(bob, top, "/plans/a.txt") == (404, "not-found")


# Links


async def test_link_works_until_it_is_revoked(ada: Dbx, api: httpx2.AsyncClient) -> None:
    made = await ada("link", "/Team/plans/a.txt")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/s/\S+\n", made.out)
    token = made.out.strip().rpartition("/")[2]
    public = f"/v1/public/links/{token}"
    assert (await api.get(public)).json()["name"] == "a.txt"
    listed = (await ada("link", "--list", "/Team/plans/a.txt")).out
    link_id = listed.split()[0]
    assert made.out.strip() in listed
    await ada("unlink", link_id)
    assert (await api.get(public)).status_code == 404
    assert (await ada("link", "--list", "/Team/plans/a.txt")).out == ""
    assert "(not-found)" in (await ada("unlink", link_id, code=1)).err


async def test_link_options_are_applied(ada: Dbx) -> None:
    limits = ("--expires", "2h", "--max-downloads", "3", "--password-stdin")
    [made] = (await ada("link", "/Team", "--view", *limits, "--json", stdin="open sesame\n")).records
    assert (made["mode"], made["has_password"], made["max_downloads"]) == ("view", True, 3)
    assert made["url"].endswith(made["url_path"])
    assert made["expires_at"]
    [asked] = (await ada("link", "/Team", "--upload", "--json")).records
    assert (asked["mode"], asked["has_password"], asked["expires_at"]) == ("upload", False, None)
    assert "invalid-request" in (await ada("link", "/Team", "--upload", "--max-downloads", "3", code=1)).err
    assert "is not a duration" in (await ada("link", "/Team", "--expires", "soon", code=2)).err
    sizes = ("--max-size", "10G", "--max-file-size", "500M", "--max-files", "7")
    [bounded] = (await ada("link", "/Team", "--upload", *sizes, "--json")).records
    assert (bounded["max_bytes"], bounded["max_file_bytes"], bounded["max_files"]) == (10 * 2**30, 500 * 2**20, 7)
    assert "invalid-request" in (await ada("link", "/Team", "--max-files", "7", code=1)).err
    listed = (await ada("link", "--list", "/Team")).out
    assert "0 of 7 files, 0 B of 10.0 GiB, 500.0 MiB each" in listed
    assert "0 of 3 downloads" in listed
    assert "with a password" in listed


async def test_upload_token_takes_files_until_it_is_revoked(ada: Dbx, api: httpx2.AsyncClient) -> None:
    token = (await ada("upload-tokens", "create", "/Team", "--max-size", "10K", "--expires", "2h")).out.strip()
    sender = Sender(api, {"token": token})
    await sender.upload(b"from a page", "from a page.txt")
    assert "from a page.txt" in (await ada("ls", "/Team")).out
    listed = (await ada("upload-tokens")).out
    assert "11 B of 10.0 KiB" in listed
    assert token not in listed
    assert (
        "invalid-request"
        in (await ada("upload-tokens", "create", "/Team", "--max-size", "1K", "--expires", "2d", code=1)).err
    )
    await ada("upload-tokens", "revoke", listed.split()[0])
    assert (await sender.post_start(b"more")).status_code == 404
    assert (await ada("upload-tokens", "list")).out == ""


# Tokens, sign-ins and devices


async def test_token_is_printed_once_and_works_in_the_environment(
    ada: Dbx, tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await ada("tokens", "create", "backup", "--scope", "files:read", "--expires", "90d")
    token = made.out.strip()
    assert re.fullmatch(r"dbx_pat_\S+", token)
    listed = (await ada("tokens")).out
    assert "backup" in listed
    assert "files:read" in listed
    assert token not in listed

    program = Dbx(tmp_path / "program", ada.account)
    program.home.mkdir()
    monkeypatch.setenv("DBX_TOKEN", token)
    environment = program.environment | {"DBX_SERVER": server.url}
    monkeypatch.setattr(Dbx, "environment", property(lambda _: environment))
    assert (await program("ls", "/Team/plans")).out == "a.txt\n"
    assert not (program.home / "config").exists()
    assert "(forbidden)" in (await program("mkdir", "/x", code=1)).err
    assert "DBX_TOKEN" in (await program("logout", code=2)).err


async def test_login_with_a_token(ada: Dbx, tmp_path: Path, server: RunningServer) -> None:
    made = await ada("tokens", "create", "backup", "--scope", "files:read", "--scope", "files:write", "--json")
    [record] = made.records
    program = Dbx(tmp_path / "program", ada.account)
    program.home.mkdir()
    refused = await program("login", "--server", server.url, "--token", stdin="dbx_pat_wrong\n", code=3)
    assert "rejects this access token" in refused.err
    await program("ls", code=3)
    await program("login", "--server", server.url, "--token", stdin=f"{record['token']}\n")
    assert (await program("ls")).out == "Team/\n"
    await program("mkdir", "/made")
    await ada("tokens", "revoke", record["id"])
    assert "rejects this access token" in (await program("ls", code=3)).err
    await program("logout")
    assert "not signed in" in (await program("ls", code=3)).err


async def test_sign_ins_are_listed_and_revoked(ada: Dbx, tmp_path: Path, server: RunningServer) -> None:
    async def another(name: str) -> Dbx:
        device = Dbx(tmp_path / name, ada.account)
        device.home.mkdir()
        login = ("login", "--server", server.url, "--email", ada.account.email, "--password-stdin")
        await device(*login, stdin=f"{ada.account.password}\n")
        return device

    phone, tablet = await another("phone"), await another("tablet")
    [current] = [line for line in (await phone("sign-ins")).out.splitlines() if line.startswith("*")]
    await ada("sign-ins", "revoke", current.split()[1])
    await phone("ls", code=3)
    await tablet("ls")
    await ada("sign-ins", "revoke-others")
    await tablet("ls", code=3)
    assert len((await ada("sign-ins", "--json")).records) == 1


async def test_whoami_sets_and_shows_the_display_name(ada: Dbx) -> None:
    assert (await ada("whoami")).out.startswith(f"{ada.account.email} at ")
    assert (await ada("whoami", "--set-name", "Ada Lovelace")).out.startswith(f"Ada Lovelace <{ada.account.email}> at ")
    assert "invalid-request" in (await ada("whoami", "--set-name", "a\nb", code=1)).err


async def test_activity_names_file_and_actor(ada: Dbx) -> None:
    await ada("mkdir", "/made")
    await ada("rm", "/made")
    trashed, made = (await ada("activity", "--limit", "2")).out.splitlines()
    assert trashed.endswith(f"  /made/  by {ada.account.email}")
    assert made.split("  ")[1] == "added"
    (record,) = (await ada("activity", "--kind", "file.trashed", "--json")).records
    assert (record["file"]["path"], record["actor"]["kind"]) == ("/made", "account")


async def age_sign_ins(server: RunningServer, account: Account) -> None:
    """Make the sign-ins older than a confirmation may be."""
    aged = text(
        "UPDATE sessions SET confirmed_at = NULL, created_at = now() - interval '11 minutes' FROM users "
        "WHERE users.id = user_id AND email = :email"
    )
    async with server.db.begin() as tx:
        await tx.execute(aged, {"email": account.email})


async def test_passkeys_are_listed_and_removed_after_the_password(ada: Dbx, server: RunningServer) -> None:
    added = text(
        "INSERT INTO passkeys (id, user_id, name, credential_id, public_key, sign_count, transports) "
        "SELECT gen_random_uuid(), id, 'old phone', uuid_send(id), '', 0, '{}' FROM users WHERE email = :email"
    )
    async with server.db.begin() as tx:
        await tx.execute(added, {"email": ada.account.email})
    (line,) = (await ada("passkeys")).out.splitlines()
    assert line.endswith("never used        old phone")
    await age_sign_ins(server, ada.account)
    assert (
        "(invalid-credentials)"
        in (await ada("passkeys", "remove", line.split()[0], stdin="wrong password\n", code=1)).err
    )
    await ada("passkeys", "remove", line.split()[0], stdin=f"{ada.account.password}\n")
    assert (await ada("passkeys")).out == ""


async def test_token_with_an_old_sign_in_needs_the_password(ada: Dbx, server: RunningServer) -> None:
    await age_sign_ins(server, ada.account)
    made = await ada("tokens", "create", "backup", "--scope", "files:read", stdin=f"{ada.account.password}\n")
    assert made.out.startswith("dbx_pat_")


async def test_devices_are_listed_and_removed(ada: Dbx, server: RunningServer) -> None:
    device_id = str(uuid.uuid4())
    cursor = (await ada.account.client.get("/v1/events/cursor")).raise_for_status().json()["cursor"]
    report = {"name": "laptop", "cursor": cursor, "pending": 2}
    (await ada.account.client.put(f"/v1/me/devices/{device_id}", json=report)).raise_for_status()
    await ada("mkdir", "/made")
    (line,) = (await ada("devices")).out.splitlines()
    assert line.split()[0] == device_id
    assert line.endswith("1 behind      2 to send  laptop")
    await ada("devices", "remove", device_id)
    assert (await ada("devices")).out == ""


# Sign-in


async def again(server: RunningServer, account: Account) -> None:
    """Accept the last used code of the app again."""
    async with server.db.begin() as tx:
        await tx.execute(text("UPDATE users SET totp_last_step = 0 WHERE email = :email"), {"email": account.email})


async def test_second_factor_is_enabled_used_and_disabled(ada: Dbx, server: RunningServer, tmp_path: Path) -> None:
    password = ada.account.password
    process = await ada.start("second-factor", "enable")
    assert process.stdin
    assert process.stderr
    process.stdin.write(f"{password}\n".encode())
    secret = (await process.stderr.readline()).decode().split()[-1]
    enabled = await finished(process, stdin=pyotp.TOTP(secret).now() + "\n")
    codes = enabled.out.split()
    assert len(codes) == 10
    assert "second factor on" in (await ada("whoami")).out

    laptop = Dbx(tmp_path / "laptop", ada.account)
    laptop.home.mkdir()
    login = ("login", "--server", server.url, "--email", ada.account.email, "--password-stdin")
    assert "--otp" in (await laptop(*login, stdin=f"{password}\n", code=2)).err
    assert "Code" in (await laptop(*login, stdin=f"{password}\n{codes[0]}\n")).err
    await laptop(*login, "--otp", codes[1], stdin=f"{password}\n")
    assert "(invalid-credentials)" in (await laptop(*login, "--otp", codes[1], stdin=f"{password}\n", code=1)).err

    await again(server, ada.account)
    replaced = await ada("second-factor", "recovery-codes", "--otp", pyotp.TOTP(secret).now(), stdin=f"{password}\n")
    assert len(replaced.out.split()) == 10
    wrong = await ada("second-factor", "disable", "--otp", replaced.out.split()[0], stdin="wrong password\n", code=1)
    assert "(invalid-credentials)" in wrong.err
    await ada("second-factor", "disable", stdin=f"{password}\n{replaced.out.split()[1]}\n")
    await laptop(*login, stdin=f"{password}\n")


async def test_password_change_keeps_this_sign_in(ada: Dbx, server: RunningServer) -> None:
    new = "a different horse altogether"
    assert "(invalid-credentials)" in (await ada("password", stdin=f"wrong password\n{new}\n", code=1)).err
    await ada("password", stdin=f"{ada.account.password}\n{new}\n")
    await ada("ls")  # this sign-in stays valid
    login = ("login", "--server", server.url, "--email", ada.account.email, "--password-stdin")
    await ada(*login, stdin=f"{ada.account.password}\n", code=1)
    await ada(*login, stdin=f"{new}\n")


async def test_whoami_shows_account_attributes(person: Person, server: RunningServer) -> None:
    eve = await person("eve")
    assert "administrator" not in (await eve("whoami")).out
    strange = text("UPDATE users SET is_admin = true, email_verified_at = NULL WHERE email = :email")
    async with server.db.begin() as tx:
        await tx.execute(strange, {"email": eve.account.email})
    assert "administrator, address not confirmed" in (await eve("whoami")).out
    [record] = (await eve("whoami", "--json")).records
    assert (record["is_admin"], record["second_factor"]) == (True, False)


# Browser sign-in, with the test as browser


@pytest.fixture
def issuer() -> Iterator[str]:
    with warnings.catch_warnings():
        importlib.import_module("authlib.deprecate")  # enables its warnings at import
        warnings.simplefilter("ignore")
        oidc_provider_mock = importlib.import_module("oidc_provider_mock")
    with oidc_provider_mock.run_server_in_thread(require_nonce=True) as running:
        yield f"http://localhost:{running.server_port}"


async def address_to_open(process: asyncio.subprocess.Process) -> str:
    assert process.stderr
    return (await process.stderr.readline()).decode().split()[-1]


def port_of(address: str) -> str:
    return parse_qs(urlsplit(address).query)["cli_port"][0]


@pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")  # a warning of the provider in its thread
async def test_browser_sign_in(
    postgres_url: str, s3_config: S3Config, issuer: str, tmp_path: Path, account: Account
) -> None:
    oidc = {"issuer": issuer, "client_id": "dropbox", "client_secret": "of the client", "name": "Our company"}
    async with (
        running_server(make_settings(postgres_url, s3_config, oidc=oidc)) as server,
        httpx2.AsyncClient(timeout=60) as browser,
    ):
        dbx = Dbx(tmp_path, account)
        process = await dbx.start("login", "--server", server.url, "--sso", "--no-browser")
        address = await address_to_open(process)
        callers = f"http://127.0.0.1:{port_of(address)}"
        assert (await browser.get(f"{callers}/favicon.ico")).status_code == 404
        assert (await browser.get(callers)).status_code == 404

        to_provider = (await browser.get(address)).headers["location"]
        claims = {"email": "new@example.com", "email_verified": True}
        (await browser.put(f"{issuer}/users/new", json=claims)).raise_for_status()
        to_server = urlsplit((await browser.post(to_provider, data={"sub": "new"})).headers["location"])
        # The provider is configured with the default port of the server, not with its free port in this test.
        to_dbx = (await browser.get(f"{server.url}{to_server.path}?{to_server.query}")).headers["location"]
        assert to_dbx.startswith(f"{callers}/?code=")
        page = await browser.get(to_dbx)
        assert "close this window" in page.text
        assert page.headers["cache-control"] == "no-store"
        assert "as new@example.com" in (await finished(process)).err
        assert (await dbx("whoami")).out.splitlines()[:2] == [f"new@example.com at {server.url}", "no password"]
        await dbx("password", stdin="the first one of many\n")
        assert "no password" not in (await dbx("whoami")).out


@pytest.fixture
def provider() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


def answer(document: object, status: int = 200) -> Scripted:
    return Scripted(status, json.dumps(document).encode())


async def test_failed_browser_sign_in_is_reported(provider: FakeServer, tmp_path: Path, account: Account) -> None:
    dbx = Dbx(tmp_path, account)
    login = ("login", "--server", provider.url, "--sso", "--no-browser")
    provider.script = [answer({"enabled": False, "name": "Example"})]
    assert "no identity provider" in (await dbx(*login, code=2)).err

    async def coming_back_with(**query: str) -> str:
        provider.script.insert(0, answer({"enabled": True, "name": "Example"}))
        process = await dbx.start(*login)
        port = port_of(await address_to_open(process))
        async with httpx2.AsyncClient(timeout=60) as browser:
            await browser.get(f"http://127.0.0.1:{port}/", params=query)
        return (await finished(process, code=1)).err

    assert r"'access_denied\x1b[2J'" in await coming_back_with(error="access_denied\x1b[2J")
    refused = {"code": "oidc-failed", "status": 422, "detail": "This code is not yours", "retryable": False}
    provider.script = [answer(refused, 422)]
    assert "(oidc-failed)" in await coming_back_with(code="of-another-account")
    assert not (tmp_path / "config/tokens.json").exists()
