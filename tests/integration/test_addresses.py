"""The address of an account is changed by a mail to the new one, and taken back by a mail to the former one."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.accounts import users
from dropbox_api.db import Tx
from dropbox_api.problems import EmailTaken
from dropbox_client import AsyncClient
from tests.support.authenticator import add_passkey
from tests.support.dbx import signed_in
from tests.support.post import NEW_PASSWORD, RESET, VERIFY, Post
from tests.support.server import PASSWORD, Account, new_address, problem
from tests.support.sharing import grant, make_folder, make_link, names_in, public, verify

CONFIRM, CHANGED = "Confirm your new address", "The address of your account was changed"
HOOK = "https://1.1.1.1/hook?key=secret"
AGE = """
    UPDATE sessions SET created_at = now() - interval '1 hour'
    WHERE user_id = (SELECT id FROM users WHERE email = :email)
"""
INVALID = (422, "invalid-mail-token")


@pytest.fixture
async def anna(post: Post) -> AsyncIterator[Account]:
    """An account with a confirmed address."""
    account = await post.register()
    await verify(post.server.db, account)
    async with account.client:
        yield account


@asynccontextmanager
async def people(post: Post, count: int) -> AsyncIterator[list[Account]]:
    async with AsyncExitStack() as stack:
        found = [await post.register() for _ in range(count)]
        for account in found:
            await stack.enter_async_context(account.client)
        await verify(post.server.db, *found)
        yield found


async def request_change(account: Account, address: str) -> httpx2.Response:
    return await account.client.post("/v1/me/email", json={"email": address, "password": account.password})


async def confirm(post: Post, token: str) -> httpx2.Response:
    return await post.api.post("/v1/auth/change-email", json={"token": token})


async def request_token(post: Post, account: Account, address: str) -> str:
    assert (await request_change(account, address)).status_code == 202
    return await post.token(address.lower(), CONFIRM)


async def change(post: Post, account: Account, address: str | None = None) -> str:
    """Change the address of an account; return the new one."""
    address = address or new_address()
    assert (await confirm(post, await request_token(post, account, address))).status_code == 204
    return address


async def undo(post: Post, token: str, password: str = NEW_PASSWORD) -> httpx2.Response:
    return await post.api.post("/v1/auth/undo-email", json={"token": token, "new_password": password})


async def email_of(post: Post, address: str, password: str = NEW_PASSWORD) -> str:
    """Sign in and return the address of the account."""
    token = (await post.sign_in(address, password)).raise_for_status().json()["access_token"]
    me = await post.api.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    return str(me.raise_for_status().json()["email"])


async def id_of(account: Account) -> uuid.UUID:
    return uuid.UUID((await account.me())["id"])


async def wait_for_locks(tx: Tx, count: int) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(60):
        while (await tx.execute(waiting)).scalar_one() < count:
            await asyncio.sleep(0.01)
            await tx.execute(text("SELECT pg_stat_clear_snapshot()"))


class TestChange:
    async def test_change_by_the_page_moves_the_address_and_nothing_else(self, post: Post, anna: Account) -> None:
        new = new_address()
        async with people(post, 1) as [owner]:
            before, waiting = [await make_folder(owner, path) for path in ("/before", "/waiting")]
            await grant(owner, before, anna, "viewer")
            body = {"email": new, "role": "viewer"}
            (await owner.client.post(f"/v1/files/{waiting}/grants", json=body)).raise_for_status()
            token = await request_token(post, anna, new.upper())
            (mail,) = await post.mails(new, CONFIRM)
            assert anna.email in mail
            page = await post.api.get("/change-email", params={"token": token})
            assert (page.status_code, f'value="{token}"' in page.text) == (200, True)
            assert (await anna.me())["email"] == anna.email
            done = await post.api.post("/change-email", data={"token": token})
            assert (done.status_code, "has its new address" in done.text) == (200, True)
            me = await anna.me()
            assert (me["email"], me["email_verified_at"] is not None) == (new, True)
            assert sorted(await names_in(anna.client, "/v1/shared-with-me")) == ["before", "waiting"]
        assert problem(await post.sign_in(anna.email, PASSWORD)) == (401, "invalid-credentials")
        assert (await post.sign_in(new, PASSWORD)).status_code == 200
        again = await post.api.post("/change-email", data={"token": token})
        assert (again.status_code, "was used" in again.text) == (422, True)
        root = (await anna.client.get("/v1/files/by-path", params={"path": "/"})).json()["id"]
        (entry,) = (await anna.client.get(f"/v1/files/{root}/activity")).json()["items"]
        assert (entry["action"], entry["actor"], entry["detail"]) == (
            "address-changed",
            new,
            {"from": anna.email, "to": new},
        )
        (notice,) = await post.mails(anna.email, CHANGED)
        assert "/undo-email?token=" in notice
        assert new not in notice

    async def test_unconfirmed_address_gets_no_notice_and_is_free_after_a_change(self, post: Post) -> None:
        former = await post.register()
        async with former.client, people(post, 1) as [owner]:
            folder = await make_folder(owner, "/box")
            assert (await grant(owner, folder, former, "viewer"))["pending"]
            new = await change(post, former)
            assert await post.mails(former.email, CHANGED) == []
            assert await names_in(former.client, "/v1/shared-with-me") == []
            body = {"email": former.email, "password": PASSWORD}
            assert (await post.api.post("/v1/auth/register", json=body)).status_code == 201
            assert (await former.me())["email"] == new

    async def test_taken_address_is_told_to_its_reader_alone(self, post: Post, anna: Account) -> None:
        async with people(post, 1) as [bert]:
            token = await request_token(post, anna, bert.email.title())
            for _ in range(2):  # the token is not used up
                assert problem(await confirm(post, token)) == (409, "email-taken")
            page = await post.api.post("/change-email", data={"token": token})
            assert (page.status_code, "address exists" in page.text) == (409, True)
            assert await post.mails(anna.email, CHANGED) == []
            assert (await anna.me())["email"] == anna.email

    async def test_concurrent_changes_to_one_address_admit_one(self, post: Post, anna: Account) -> None:
        new = new_address()
        async with people(post, 1) as [bert]:
            tokens = [await request_token(post, account, new) for account in (anna, bert)]
            async with post.server.db.begin() as tx:
                lock = text("SELECT FROM users WHERE email IN (:a, :b) FOR UPDATE")
                await tx.execute(lock, {"a": anna.email, "b": bert.email})
                confirming = [asyncio.create_task(confirm(post, token)) for token in tokens]
                await wait_for_locks(tx, 2)
            answers = [await answer for answer in confirming]
        assert sorted(answer.status_code for answer in answers) == [204, 409]

    async def test_change_needs_the_password_or_a_recent_sign_in(
        self, post: Post, anna: Account, account: Account
    ) -> None:
        body = {"email": new_address()}
        assert (await anna.client.post("/v1/me/email", json=body)).status_code == 202, "the sign-in is new"
        await post.run(AGE, email=anna.email)
        old = await anna.client.post("/v1/me/email", json=body)
        assert (*problem(old), old.json()["reason"]) == (403, "forbidden", "sign-in-too-old")
        wrong = await anna.client.post("/v1/me/email", json=body | {"password": "wrong"})
        assert problem(wrong) == (401, "invalid-credentials")
        assert (await request_change(anna, new_address())).status_code == 202
        assert problem(await request_change(anna, anna.email.upper())) == (409, "email-taken")
        without_mail = await request_change(account, new_address())
        assert (*problem(without_mail), without_mail.json()["reason"]) == (403, "forbidden", "no-mail")

    @pytest.mark.parametrize("end", ["newer", "signed out", "new password", "deletion", "expired", "another purpose"])
    async def test_pending_change_ends_with_what_began_it(self, post: Post, anna: Account, end: str) -> None:
        token = await request_token(post, anna, new_address())
        if end == "newer":
            newer = await request_token(post, anna, new_address())
        elif end == "signed out":
            session = {"refresh_token": anna.tokens["refresh_token"]}
            (await post.api.post("/v1/auth/logout", json=session)).raise_for_status()
        elif end == "new password":
            assert (await post.reset(await post.ask_to_reset(anna.email))).status_code == 204
        elif end == "deletion":
            (await anna.client.post("/v1/me/deletion", json={"password": PASSWORD})).raise_for_status()
        elif end == "expired":
            await post.run("UPDATE mail_tokens SET expires_at = now() WHERE purpose = 'change'")
        else:
            token = await post.ask_to_reset(anna.email)
        assert problem(await confirm(post, token)) == INVALID
        if end == "newer":
            assert (await confirm(post, newer)).status_code == 204

    async def test_confirmation_that_waits_while_its_sign_in_ends_changes_nothing(
        self, post: Post, anna: Account
    ) -> None:
        token = await request_token(post, anna, new_address())
        own = {"email": anna.email}
        async with post.server.db.begin() as tx:
            await tx.execute(text("SELECT FROM users WHERE email = :email FOR NO KEY UPDATE"), own)
            confirming = asyncio.create_task(confirm(post, token))
            await wait_for_locks(tx, 1)
            end = "UPDATE sessions SET revoked_at = now() FROM users WHERE users.id = user_id AND email = :email"
            await tx.execute(text(end), own)
        assert problem(await confirming) == INVALID

    async def test_older_mails_are_void_after_a_change(self, post: Post) -> None:
        ann = await post.register()
        async with ann.client:
            links = [await post.token(ann.email, VERIFY), await post.ask_to_reset(ann.email)]
            new = await change(post, ann)
            await users.change_address(post.server.db, await id_of(ann), ann.email)
            answers = [await post.verify(links[0]), await post.reset(links[1])]
            assert [problem(answer) for answer in answers] == [INVALID] * 2, "also when the address comes back"
            assert problem(await post.sign_in(new, PASSWORD)) == (401, "invalid-credentials")

    async def test_grant_to_a_former_address_is_for_its_next_reader(self, post: Post, anna: Account) -> None:
        async with people(post, 2) as [owner, carl]:
            folder = await make_folder(owner, "/box")
            await grant(owner, folder, anna, "viewer")
            new = await change(post, anna)
            for path in (f"/v1/files/{folder}/grants", "/v1/me/contacts"):
                (shown,) = (await owner.client.get(path)).json()["items"]
                assert shown["email"] == new, path
            await post.run("UPDATE mail_tokens SET expires_at = now() WHERE email = :e", e=anna.email)
            await change(post, carl, anna.email)
            made = await grant(owner, folder, anna, "editor")
            assert (made["user_id"], made["pending"]) == ((await carl.me())["id"], False)
            assert await names_in(carl.client, "/v1/shared-with-me") == ["box"]
            assert await names_in(anna.client, "/v1/shared-with-me") == ["box"], "grants belong to accounts"
            listed = (await owner.client.get(f"/v1/files/{folder}/grants")).json()["items"]
            assert [(item["email"], item["role"]) for item in listed] == [(anna.email, "editor"), (None, "viewer")]

    async def test_address_is_changed_by_dbx_and_undone_by_the_sdk(self, post: Post, tmp_path: Path) -> None:
        async with signed_in(post.server, tmp_path) as dbx:
            account, new = dbx.account, new_address()
            await verify(post.server.db, account)
            assert "A mail was sent" in (await dbx("account", "address", new)).err
            await post.run(AGE, email=account.email)
            await dbx("account", "address", new, stdin=f"{account.password}\n")
            async with AsyncClient(post.server.url) as client:
                await client.account.change_email(await post.token(new, CONFIRM))
                assert new in (await dbx("whoami")).out
                await client.account.undo_email_change(await post.token(account.email, CHANGED), NEW_PASSWORD)
            assert await email_of(post, account.email) == account.email


async def add_access(account: Account, name: str, guest: Account) -> dict[str, Any]:
    """Add everything that gives access to an account; return its token and its link."""
    client = account.client
    await add_passkey(account, name)
    made = await client.post("/v1/me/tokens", json={"name": name, "scopes": ["files:read"]})
    (await client.post("/v1/webhooks", json={"url": HOOK, "description": name})).raise_for_status()
    folder = await make_folder(account, f"/{name}")
    await grant(account, folder, guest, "viewer")
    return {"token": made.raise_for_status().json()["token"], "link": await make_link(account, folder)}


IDENTITY = """
    INSERT INTO oidc_identities (issuer, subject, user_id, email)
    SELECT 'https://idp.example', :subject, id, 'x@example.com' FROM users WHERE email = :email
"""


class TestUndo:
    async def test_undo_by_the_page_ends_what_a_thief_added(self, post: Post, anna: Account) -> None:
        async with people(post, 1) as [guest]:
            own = await add_access(anna, "own", guest)
            await post.run(IDENTITY, subject=f"own {anna.email}", email=anna.email)
            thief = await change(post, anna)
            stolen = await add_access(anna, "stolen", guest)
            await post.run(IDENTITY, subject=f"stolen {anna.email}", email=thief)
            pending = await request_token(post, anna, new_address())
            token = await post.token(anna.email, CHANGED)
            page = await post.api.get("/undo-email", params={"token": token})
            assert 'type="password"' in page.text
            weak = await post.api.post("/undo-email", data={"token": token, "new_password": "short"})
            assert (weak.status_code, "8 characters or more" in weak.text, token in weak.text) == (422, True, True)
            assert (await anna.me())["email"] == thief
            done = await post.api.post("/undo-email", data={"token": token, "new_password": NEW_PASSWORD})
            assert (done.status_code, "has its address back" in done.text) == (200, True)
            assert problem(await anna.client.get("/v1/me")) == (401, "unauthenticated")
            for made in (own, stolen):
                bearer = {"Authorization": f"Bearer {made['token']}"}
                assert problem(await post.api.get("/v1/files", headers=bearer)) == (401, "unauthenticated")
            assert problem(await confirm(post, pending)) == INVALID
            assert problem(await undo(post, token)) == INVALID
            assert problem(await post.sign_in(thief, PASSWORD)) == (401, "invalid-credentials")
            assert problem(await post.sign_in(anna.email, PASSWORD)) == (401, "invalid-credentials")
            assert await email_of(post, anna.email) == anna.email
            assert (await post.api.get(public(own["link"]))).status_code == 200
            assert problem(await post.api.get(public(stolen["link"]))) == (404, "not-found")
            assert await names_in(guest.client, "/v1/shared-with-me") == ["own"]
        assert len(await post.mails(thief, "Your change of address was undone")) == 1
        (remaining,) = await post.mails(anna.email, "Your password was reset")
        assert [line for line in remaining.splitlines() if line.startswith("- ")] == [
            "- passkey own",
            "- sign-in at https://idp.example",
            "- webhook to 1.1.1.1",
        ]

    async def test_older_address_takes_the_account_back_from_newer_ones_never_the_reverse(
        self, post: Post, anna: Account
    ) -> None:
        second = await change(post, anna)
        third = await change(post, anna)
        of_second = await post.token(second, CHANGED)
        assert (await undo(post, of_second)).status_code == 204
        assert await email_of(post, second) == second
        assert problem(await post.sign_in(third, NEW_PASSWORD)) == (401, "invalid-credentials")
        assert (await undo(post, await post.token(anna.email, CHANGED), PASSWORD)).status_code == 204
        assert await email_of(post, anna.email, PASSWORD) == anna.email

        async with people(post, 1) as [bert]:
            second = await change(post, bert)
            await change(post, bert)
            of_second = await post.token(second, CHANGED)
            assert (await undo(post, await post.token(bert.email, CHANGED))).status_code == 204
            assert problem(await undo(post, of_second)) == INVALID
            assert await email_of(post, bert.email) == bert.email

    async def test_former_address_stays_taken_while_its_change_can_be_undone(self, post: Post, anna: Account) -> None:
        """A thief who registers the former address would make the undo impossible."""
        await change(post, anna)
        body = {"email": anna.email, "password": PASSWORD}
        async with people(post, 1) as [bert]:
            assert problem(await post.api.post("/v1/auth/register", json=body)) == (409, "email-taken")
            token = await request_token(post, bert, anna.email)
            assert problem(await confirm(post, token)) == (409, "email-taken")
            with pytest.raises(EmailTaken):
                await users.change_address(post.server.db, await id_of(bert), anna.email)
            await post.run(
                "UPDATE mail_tokens SET expires_at = now() WHERE email = :e AND purpose = 'undo'", e=anna.email
            )
            assert problem(await undo(post, await post.token(anna.email, CHANGED))) == INVALID
            assert (await confirm(post, token)).status_code == 204
            assert (await change(post, anna)) != anna.email

    async def test_registration_that_waits_for_a_change_finds_the_former_address_taken(
        self, post: Post, anna: Account
    ) -> None:
        move = text("UPDATE users SET email = 'moved.' || email WHERE email = :email RETURNING id")
        reserve = text("""
            INSERT INTO mail_tokens (token_hash, user_id, purpose, email, expires_at)
            VALUES (uuid_send(:id), :id, 'undo', :email, now() + interval '1 day')
        """)
        async with post.server.db.begin() as tx:
            user_id = (await tx.execute(move, {"email": anna.email})).scalar_one()
            body = {"email": anna.email, "password": PASSWORD}
            registering = asyncio.create_task(post.api.post("/v1/auth/register", json=body))
            await wait_for_locks(tx, 1)
            await tx.execute(reserve, {"id": user_id, "email": anna.email})
        assert problem(await registering) == (409, "email-taken")

    async def test_reset_for_a_former_address_sends_its_undo_again(self, post: Post, anna: Account) -> None:
        await change(post, anna)
        lost = await post.token(anna.email, CHANGED)
        body = {"email": anna.email}
        assert (await post.api.post("/v1/auth/reset-password/request", json=body)).status_code == 202
        assert len(await post.mails(anna.email, CHANGED)) == 2
        assert await post.mails(anna.email, RESET) == []
        assert problem(await undo(post, lost)) == INVALID
        assert (await undo(post, await post.token(anna.email, CHANGED))).status_code == 204
        assert (await post.api.post("/v1/auth/reset-password/request", json=body)).status_code == 202
        assert len(await post.mails(anna.email, RESET)) == 1

    async def test_undo_waits_for_a_disabled_account_and_works_during_a_deletion(
        self, post: Post, anna: Account
    ) -> None:
        new = await change(post, anna)
        token = await post.token(anna.email, CHANGED)
        await post.run("UPDATE users SET disabled_at = now() WHERE email = :e", e=new)
        assert problem(await undo(post, token)) == INVALID
        await post.run("UPDATE users SET disabled_at = NULL WHERE email = :e", e=new)
        (await anna.client.post("/v1/me/deletion", json={"password": PASSWORD})).raise_for_status()
        assert (await undo(post, token)).status_code == 204
        assert await email_of(post, anna.email) == anna.email

    async def test_concurrent_undos_with_one_token_admit_one(self, post: Post, anna: Account) -> None:
        new = await change(post, anna)
        token = await post.token(anna.email, CHANGED)
        async with post.server.db.begin() as tx:
            await tx.execute(text("SELECT FROM users WHERE email = :email FOR UPDATE"), {"email": new})
            undoing = [asyncio.create_task(undo(post, token)) for _ in range(2)]
            await wait_for_locks(tx, 2)
        assert sorted([(await answer).status_code for answer in undoing]) == [204, 422]

    async def test_change_by_the_operator_ends_every_link(self, post: Post, anna: Account) -> None:
        """A user who lost the mailbox to a thief is helped for good."""
        await change(post, anna)
        links = [await post.token(anna.email, CHANGED), await request_token(post, anna, new_address())]
        user_id, new = await id_of(anna), new_address()
        await users.change_address(post.server.db, user_id, new)
        me = await anna.me()
        assert (me["email"], me["email_verified_at"]) == (new, None)
        assert [problem(answer) for answer in (await undo(post, links[0]), await confirm(post, links[1]))] == [
            INVALID
        ] * 2
        body = {"email": anna.email, "password": PASSWORD}
        assert (await post.api.post("/v1/auth/register", json=body)).status_code == 201
