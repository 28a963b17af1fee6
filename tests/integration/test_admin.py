"""Administration through HTTP and on the command line: users and service accounts."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from dropbox_api.accounts import actors, users
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import CreateUser, ManagedUser, UpdateUser
from dropbox_api.db import Db
from dropbox_api.models import User
from dropbox_api.problems import Forbidden
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config
from tests.support.process import Ran, environment, run_program
from tests.support.server import (
    PASSWORD,
    Account,
    make_settings,
    migrated_database,
    new_address,
    problem,
    sign_in,
    upload_file,
)

Register = Callable[..., Awaitable[Account]]
USERS = "/v1/admin/users"
OUT = (401, "unauthenticated")


async def id_of(account: Account) -> str:
    return str((await account.me())["id"])


@pytest.fixture
async def administrator(register: Register, db: Db) -> AsyncIterator[Account]:
    account = await register()
    change = update(User).where(User.email == account.email)
    async with db.begin() as tx:
        await tx.execute(change.values(is_admin=True))
    yield account
    async with db.begin() as tx:
        await tx.execute(change.values(is_admin=False))


@pytest.fixture
async def service_account(administrator: Account) -> dict[str, Any]:
    body = {"email": new_address(), "kind": "service"}
    made: dict[str, Any] = (await administrator.client.post(USERS, json=body)).raise_for_status().json()
    return made


async def make_token(administrator: Account, user_id: str, *scopes: str) -> httpx2.Response:
    return await administrator.client.post(f"{USERS}/{user_id}/tokens", json={"name": "a program", "scopes": scopes})


class TestUsers:
    async def test_users_without_the_admin_role_are_403(self, register: Register, administrator: Account) -> None:
        account = await register()
        user_id = await id_of(account)
        for method, path in (("GET", USERS), ("POST", USERS), ("PATCH", f"{USERS}/{user_id}")):
            refused = await account.client.request(method, path, json={"is_admin": True})
            assert problem(refused) == (403, "forbidden")
            assert refused.json()["scope"] == "admin"
        assert (await account.me())["is_admin"] is False
        assert (await administrator.me())["is_admin"] is True

    async def test_users_are_found_by_a_part_of_their_address(self, register: Register, administrator: Account) -> None:
        mark = uuid.uuid4().hex
        emails = [f"{name}%{mark}@example.com" for name in ("one", "two", "three")]
        accounts = [await register(email) for email in emails]
        page = (await administrator.client.get(USERS, params={"q": mark.upper(), "limit": 2})).json()
        cursor = page["next_cursor"]
        rest = (await administrator.client.get(USERS, params={"q": mark, "limit": 2, "cursor": cursor})).json()
        assert [user["email"] for user in page["items"] + rest["items"]] == emails
        assert rest["next_cursor"] is None
        literally = (await administrator.client.get(USERS, params={"q": f"e%{mark}"})).json()
        assert [user["email"] for user in literally["items"]] == [emails[0], emails[2]]
        shown = (await administrator.client.get(f"{USERS}/{await id_of(accounts[0])}")).json()
        assert shown == await accounts[0].me() | {"disabled_at": None, "deleted_at": None}
        assert shown == page["items"][0]

    @pytest.mark.parametrize("query", [{"q": "a\0b"}, {"limit": 0}, {"limit": 1001}])
    async def test_list_users_with_an_invalid_query_is_invalid(
        self, administrator: Account, query: dict[str, Any]
    ) -> None:
        assert problem(await administrator.client.get(USERS, params=query)) == (422, "invalid-request")

    async def test_unknown_user_is_not_found(self, administrator: Account) -> None:
        unknown = f"{USERS}/{uuid.uuid4()}"
        assert problem(await administrator.client.get(unknown)) == (404, "not-found")
        assert problem(await administrator.client.patch(unknown, json={})) == (404, "not-found")
        assert problem(await administrator.client.patch(unknown, json={"disabled": True})) == (404, "not-found")
        assert problem(await administrator.client.get(f"{unknown}/tokens")) == (404, "not-found")
        assert problem(await make_token(administrator, str(uuid.uuid4()), "files:read")) == (404, "not-found")
        assert problem(await administrator.client.get(USERS, params={"cursor": "x"})) == (422, "invalid-cursor")

    async def test_created_user_signs_in_and_has_the_given_quota(
        self, administrator: Account, api: httpx2.AsyncClient
    ) -> None:
        email = new_address()
        body = {"email": email.upper(), "password": PASSWORD, "quota_bytes": 5_000_000, "quota_nodes": 7}
        made = await administrator.client.post(USERS, json=body)
        assert made.status_code == 201
        user = made.json()
        assert (user["email"], user["quota_bytes"], user["quota_nodes"]) == (email, 5_000_000, 7)
        assert (user["kind"], user["is_admin"], user["has_password"]) == ("person", False, True)
        token = (await sign_in(api, email)).raise_for_status().json()["access_token"]
        listed = await api.get("/v1/files", headers={"Authorization": f"Bearer {token}"})
        assert listed.json()["items"] == []
        assert problem(await administrator.client.post(USERS, json=body)) == (409, "email-taken")

    async def test_user_without_a_password_cannot_sign_in(
        self, administrator: Account, api: httpx2.AsyncClient
    ) -> None:
        email = new_address()
        made = (await administrator.client.post(USERS, json={"email": email})).raise_for_status().json()
        assert made["has_password"] is False
        assert made["quota_bytes"] == (await administrator.me())["quota_bytes"]
        for password in (PASSWORD, "", "None"):
            assert (await sign_in(api, email, password)).status_code in {401, 422}

    @pytest.mark.parametrize(
        "change",
        [
            {"password": "short"},
            {"kind": "service", "password": PASSWORD},
            {"kind": "robot"},
            {"is_admin": True},
            {"quota_bytes": -1},
            {"quota_nodes": 2**63},
        ],
    )
    async def test_create_user_with_an_invalid_body_is_invalid(
        self, administrator: Account, change: dict[str, Any]
    ) -> None:
        answer = await administrator.client.post(USERS, json={"email": new_address()} | change)
        assert problem(answer) == (422, "invalid-request")
        assert PASSWORD not in answer.text

    async def test_create_user_with_a_weak_password_is_refused(self, administrator: Account) -> None:
        answer = await administrator.client.post(USERS, json={"email": new_address(), "password": "password1"})
        assert problem(answer) == (422, "weak-password")


class TestChangeUser:
    async def test_change_user_leaves_omitted_members_unchanged(self, account: Account, administrator: Account) -> None:
        before = await account.me()
        address = f"{USERS}/{before['id']}"
        changed = await administrator.client.patch(address, json={"quota_bytes": 12345})
        assert changed.json() == before | {"quota_bytes": 12345, "disabled_at": None, "deleted_at": None}
        assert await account.me() == before | {"quota_bytes": 12345}
        assert (await administrator.client.patch(address, json={})).json() == changed.json()

    async def test_quota_below_the_used_bytes_keeps_files_and_refuses_uploads(
        self, account: Account, administrator: Account
    ) -> None:
        file = await upload_file(account, b"content", "file.txt")
        address = f"{USERS}/{await id_of(account)}"
        (await administrator.client.patch(address, json={"quota_bytes": 3})).raise_for_status()
        assert (await account.client.get(f"/v1/files/{file['id']}")).status_code == 200
        body = {"size_bytes": 1, "fingerprint": "0" * 64, "destination": {"name": "more.txt"}}
        assert problem(await account.client.post("/v1/uploads", json=body)) == (413, "quota-exceeded")

    async def test_disable_user_ends_sessions_and_tokens_for_good(
        self, account: Account, administrator: Account, api: httpx2.AsyncClient
    ) -> None:
        file = await upload_file(account, b"content", "file.txt")
        body = {"name": "a program", "scopes": ["files:read"]}
        token = (await account.client.post("/v1/me/tokens", json=body)).json()["token"]
        program = {"Authorization": f"Bearer {token}"}
        assert (await api.get("/v1/files", headers=program)).status_code == 200
        address = f"{USERS}/{await id_of(account)}"

        disabled = (await administrator.client.patch(address, json={"disabled": True})).json()
        assert disabled["disabled_at"] is not None
        again = (await administrator.client.patch(address, json={"disabled": True})).json()
        assert again["disabled_at"] == disabled["disabled_at"]
        refresh = {"refresh_token": account.tokens["refresh_token"]}

        async def require_signed_out() -> None:
            assert problem(await account.client.get("/v1/me")) == OUT
            assert problem(await api.get("/v1/files", headers=program)) == OUT
            assert problem(await api.post("/v1/auth/refresh", json=refresh)) == (401, "invalid-refresh-token")

        await require_signed_out()
        assert problem(await sign_in(api, account.email)) == (401, "invalid-credentials")

        enabled = (await administrator.client.patch(address, json={"disabled": False})).json()
        assert enabled["disabled_at"] is None
        await require_signed_out()
        anew = {"Authorization": f"Bearer {(await sign_in(api, account.email)).json()['access_token']}"}
        assert (await api.get(f"/v1/files/{file['id']}", headers=anew)).status_code == 200

    async def test_admin_role_applies_until_it_is_revoked(self, account: Account, administrator: Account) -> None:
        address = f"{USERS}/{await id_of(account)}"
        (await administrator.client.patch(address, json={"is_admin": True})).raise_for_status()
        assert (await account.client.get(USERS)).status_code == 200
        (await administrator.client.patch(address, json={"is_admin": False})).raise_for_status()
        assert problem(await account.client.get(USERS)) == (403, "forbidden")


class TestServiceAccounts:
    async def test_service_account_has_tokens_and_cannot_sign_in(
        self, administrator: Account, service_account: dict[str, Any], api: httpx2.AsyncClient
    ) -> None:
        assert (service_account["kind"], service_account["has_password"]) == ("service", False)
        assert (service_account["quota_bytes"], service_account["quota_nodes"]) == (0, 0)
        assert problem(await sign_in(api, service_account["email"])) == (401, "invalid-credentials")
        created = await make_token(administrator, service_account["id"], "files:read", "processing")
        assert created.status_code == 201
        assert created.headers["cache-control"] == "no-store"
        headers = {"Authorization": f"Bearer {created.json()['token']}"}
        assert (await api.get("/v1/files", headers=headers)).json()["items"] == []
        me = (await api.get("/v1/me", headers=headers)).json()
        assert (me["id"], me["kind"], me["has_password"]) == (service_account["id"], "service", None)
        body = {"name": "a folder"}
        assert problem(await api.post("/v1/folders", json=body, headers=headers)) == (403, "forbidden")

    @pytest.mark.parametrize("scope", ["admin", "share"])
    async def test_service_account_cannot_share_or_administer(
        self, administrator: Account, service_account: dict[str, Any], scope: str
    ) -> None:
        refused = await make_token(administrator, service_account["id"], "files:read", scope)
        assert problem(refused) == (403, "forbidden")
        assert refused.json()["scope"] == scope
        refused = await administrator.client.patch(f"{USERS}/{service_account['id']}", json={"is_admin": True})
        assert problem(refused) == (403, "forbidden")

    async def test_create_token_for_a_person_is_403(self, account: Account, administrator: Account) -> None:
        refused = await make_token(administrator, await id_of(account), "files:read")
        assert problem(refused) == (403, "forbidden")

    async def test_service_account_tokens_are_listed_and_revoked(
        self, administrator: Account, service_account: dict[str, Any], api: httpx2.AsyncClient
    ) -> None:
        created = (await make_token(administrator, service_account["id"], "files:write")).json()
        address = f"{USERS}/{service_account['id']}/tokens"
        listed = (await administrator.client.get(address)).json()["items"]
        assert [(one["id"], one["scopes"]) for one in listed] == [(created["id"], ["files:write"])]
        elsewhere = f"{USERS}/{await id_of(administrator)}/tokens/{created['id']}"
        assert problem(await administrator.client.delete(elsewhere)) == (404, "not-found")
        assert (await administrator.client.delete(f"{address}/{created['id']}")).status_code == 204
        headers = {"Authorization": f"Bearer {created['token']}"}
        assert problem(await api.post("/v1/folders", json={"name": "x"}, headers=headers)) == OUT

    async def test_create_token_for_a_disabled_account_is_not_found(
        self, administrator: Account, service_account: dict[str, Any]
    ) -> None:
        address = f"{USERS}/{service_account['id']}"
        (await administrator.client.patch(address, json={"disabled": True})).raise_for_status()
        assert problem(await make_token(administrator, service_account["id"], "files:read")) == (404, "not-found")


class TestLastAdministrator:
    """On its own database: other tests make and remove administrators on the shared one."""

    async def test_last_administrator_cannot_be_demoted_or_disabled(self, own_db: Db, settings: Settings) -> None:
        passwords = Passwords(1)
        try:
            ids = [
                (await users.create_user(own_db, settings.auth, passwords, CreateUser(email=new_address()))).id
                for _ in range(3)
            ]
        finally:
            passwords.close()
        one, two, three = ids
        for user_id in (one, two):
            await users.change_user(own_db, user_id, UpdateUser(is_admin=True))
        # The third user is no administrator; disabling it is allowed.
        await users.change_user(own_db, three, UpdateUser(is_admin=False, disabled=True))

        changes = [UpdateUser(is_admin=False), UpdateUser(disabled=True)]
        answers = await asyncio.gather(
            *(users.change_user(own_db, user_id, change) for user_id, change in zip((one, two), changes, strict=True)),
            return_exceptions=True,
        )
        assert Counter(type(answer) for answer in answers) == {ManagedUser: 1, Forbidden: 1}
        (last,) = [
            user_id for user_id, answer in zip((one, two), answers, strict=True) if isinstance(answer, Forbidden)
        ]
        for change in changes:
            with pytest.raises(Forbidden):
                await users.change_user(own_db, last, change)
        await users.change_user(own_db, last, UpdateUser(quota_bytes=1, is_admin=True, disabled=False))
        assert (await users.get_user(own_db, last)).is_admin


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    async with migrated_database(postgres_url) as url:
        yield url


@pytest.fixture
def settings(database: str, s3_config: S3Config) -> Settings:
    return make_settings(database, s3_config)


@pytest.fixture
async def own_db(settings: Settings) -> AsyncIterator[Db]:
    db = Db.connect(settings.database)
    yield db
    await db.close()


@pytest.fixture
def users_command(database: str, s3_config: S3Config) -> Callable[..., Awaitable[Ran]]:
    """Return a function that runs `dropbox-api users` with these arguments."""

    async def run(*arguments: str, stdin: str = "", **variables: str) -> Ran:
        wide = environment(database, s3_config, **variables) | {"COLUMNS": "200"}
        ran = await run_program(["users", *arguments], wide, stdin=stdin)
        assert "Traceback" not in ran.err
        return ran

    return run


Users = Callable[..., Awaitable[Ran]]


class TestCommandLine:
    async def test_users_create_makes_the_first_administrator(self, users_command: Users, own_db: Db) -> None:
        made = await users_command("create", "Root@Example.com", "--admin", "--password-stdin", stdin=f"{PASSWORD}\n")
        assert made.code == 0, made.err
        assert "root@example.com" in made.out
        assert PASSWORD not in made.out + made.err
        (root,) = (await users.list_users(own_db, q=None, limit=10, cursor=None)).items
        assert (root.email, root.is_admin, root.kind, root.has_password) == ("root@example.com", True, "person", True)
        again = await users_command("create", "root@example.com", "--no-password")
        assert (again.code, again.out) == (1, "")
        assert "An account with this address exists" in again.err
        last = await users_command("disable", "root@example.com")
        assert last.code == 1
        assert "last administrator" in last.err

    async def test_users_quota_disable_and_list_show_the_change(self, users_command: Users, own_db: Db) -> None:
        await users_command("create", "root@example.com", "--admin", "--no-password")
        await users_command("create", "ann@example.com", "--no-password", "--bytes", "1.5 GiB", "--nodes", "10")

        async def ann() -> ManagedUser:
            return await users.get_user(own_db, await users.require_user_id(own_db, "ann@example.com"))

        assert ((await ann()).quota_bytes, (await ann()).quota_nodes) == (3 * 1024**3 // 2, 10)
        assert (await users_command("quota", "ANN@example.com", "--bytes", "50GB")).code == 0
        assert ((await ann()).quota_bytes, (await ann()).quota_nodes) == (50 * 1000**3, 10)
        assert (await users_command("disable", "ann@example.com")).code == 0
        assert (await ann()).disabled_at is not None
        lines = (await users_command("list")).out.splitlines()
        assert [("root@" in line, line.endswith("admin"), line.endswith("disabled")) for line in lines] == [
            (True, True, False),
            (False, False, True),
        ]
        assert (await users_command("list", "ann")).out.splitlines() == lines[1:]

    async def test_users_enable_and_admin_change_the_account(self, users_command: Users, own_db: Db) -> None:
        await users_command("create", "root@example.com", "--admin", "--no-password")
        await users_command("create", "ann@example.com", "--no-password")

        async def ann() -> ManagedUser:
            return await users.get_user(own_db, await users.require_user_id(own_db, "ann@example.com"))

        await users.change_user(own_db, (await ann()).id, UpdateUser(disabled=True))
        assert (await users_command("enable", "ann@example.com")).code == 0
        assert (await ann()).disabled_at is None
        assert (await users_command("admin", "ann@example.com")).code == 0
        assert (await ann()).is_admin
        assert (await users_command("admin", "ann@example.com", "--revoke")).code == 0
        assert not (await ann()).is_admin

    async def test_users_token_makes_a_token_for_a_service_account(self, users_command: Users, own_db: Db) -> None:
        assert (await users_command("create", "scanner@example.com", "--service")).code == 0
        arguments = ("--name", "scanner", "--scope", "files:read", "--scope", "processing")
        made = await users_command("token", "scanner@example.com", *arguments, "--days", "30")
        assert made.code == 0, made.err
        actor = await actors.authenticate_token(own_db, made.out.strip())
        assert (actor.email, actor.kind) == ("scanner@example.com", "service")
        assert actor.scopes == {"files:read", "processing"}
        refused = await users_command("token", "scanner@example.com", "--name", "x", "--scope", "admin")
        assert (refused.code, refused.out) == (1, "")

    async def test_users_address_changes_it_unconfirmed_and_sends_a_mail(
        self, users_command: Users, own_db: Db, tmp_path: Path
    ) -> None:
        await users_command("create", "ann@example.com", "--no-password")
        async with own_db.begin() as tx:
            await tx.execute(update(User).values(email_verified_at=func.now()))
        for wrong, sentence in (("no address", "valid email address"), ("ANN@example.com", "")):
            ran = await users_command("address", "ann@example.com", wrong)
            assert (ran.code != 0, sentence in ran.err) == (bool(sentence), True)
        ann = (await users.list_users(own_db, q="ann@", limit=10, cursor=None)).items[0]
        assert ann.email_verified_at is not None, "the address that it had"
        mails = tmp_path / "mail"
        changed = await users_command("address", "ann@example.com", "Ann@Example.org", MAIL__FILE_DIR=str(mails))
        assert "ann@example.org" in changed.out
        assert (await users.get_user(own_db, ann.id)).email_verified_at is None
        (mail,) = mails.iterdir()
        assert "To: ann@example.org" in mail.read_text()

    async def test_users_reset_second_factor_removes_it(self, users_command: Users, own_db: Db) -> None:
        await users_command("create", "ann@example.com", "--password-stdin", stdin=PASSWORD)
        on = {"totp_secret": b"x", "totp_enabled_at": func.now(), "totp_last_step": 7}
        async with own_db.begin() as tx:
            await tx.execute(update(User).where(User.email == "ann@example.com").values(on))
        assert (await users_command("list")).out.rstrip().endswith("second-factor")
        assert (await users_command("reset-second-factor", "ann@example.com")).code == 0
        async with own_db.read() as tx:
            query = select(User.totp_secret, User.totp_enabled_at, User.totp_last_step)
            assert tuple((await tx.execute(query)).one()) == (None, None, 0)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("disable", "unknown@example.com"), "There is no user unknown@example.com"),
            (("create", "unknown", "--no-password"), "email"),
            (("create", "a@example.com", "--password-stdin"), "password"),
            (("quota", "a@example.com", "--bytes", "much"), "is not a size"),
        ],
    )
    async def test_users_command_that_fails_says_why(
        self, users_command: Users, arguments: tuple[str, ...], sentence: str
    ) -> None:
        ran = await users_command(*arguments, stdin="short\n")
        assert ran.code in {1, 2}
        assert sentence in ran.err
