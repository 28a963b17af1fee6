"""Addresses are verified, and passwords reset, by the links in mails."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pyotp
import pytest
from sqlalchemy import text

from dropbox_api.sharing.invitations import quote_name
from dropbox_api.storage.s3 import S3Config
from tests.support.authenticator import add_passkey, sign_in
from tests.support.post import NEW_PASSWORD, PUBLIC_URL, RESET, VERIFY, Post
from tests.support.server import (
    PASSWORD,
    Account,
    make_settings,
    problem,
    running_server,
)
from tests.support.sharing import grant, make_folder, make_link, public, verify

SHARED = "A folder was shared with you"


@pytest.fixture
async def anna(post: Post) -> AsyncIterator[Account]:
    account = await post.register()
    async with account.client:
        yield account


class TestVerify:
    async def test_registration_sends_a_mail_that_verifies_the_address(self, post: Post, anna: Account) -> None:
        (mail,) = await post.mails(anna.email, VERIFY)
        assert f"{PUBLIC_URL}/verify-email?token=" in mail
        assert (await anna.me())["email_verified_at"] is None
        token = await post.token(anna.email, VERIFY)
        assert (await post.verify(token)).status_code == 204
        assert (await anna.me())["email_verified_at"] is not None
        assert problem(await post.verify(token)) == (422, "invalid-mail-token")

    async def test_new_mail_voids_the_older_token(self, post: Post, anna: Account) -> None:
        older = await post.token(anna.email, VERIFY)
        assert (await anna.client.post("/v1/auth/verify-email/request")).status_code == 202
        newer = await post.token(anna.email, VERIFY)
        assert newer != older
        assert problem(await post.verify(older)) == (422, "invalid-mail-token")
        assert (await post.verify(newer)).status_code == 204

    async def test_verified_address_gets_no_more_mails(self, post: Post, anna: Account) -> None:
        await post.verify(await post.token(anna.email, VERIFY))
        assert (await anna.client.post("/v1/auth/verify-email/request")).status_code == 202
        assert len(await post.mails(anna.email, VERIFY)) == 1

    async def test_expired_token_is_refused(self, post: Post, anna: Account) -> None:
        token = await post.token(anna.email, VERIFY)
        await post.run("UPDATE mail_tokens SET expires_at = now() WHERE email = :email", email=anna.email)
        assert problem(await post.verify(token)) == (422, "invalid-mail-token")

    async def test_token_of_a_changed_address_is_refused(self, post: Post, anna: Account) -> None:
        token = await post.token(anna.email, VERIFY)
        await post.run("UPDATE users SET email = :new WHERE email = :old", old=anna.email, new=f"new.{anna.email}")
        assert problem(await post.verify(token)) == (422, "invalid-mail-token")

    async def test_token_of_another_purpose_is_refused(self, post: Post, anna: Account) -> None:
        verify, reset = await post.token(anna.email, VERIFY), await post.ask_to_reset(anna.email)
        assert problem(await post.reset(verify)) == (422, "invalid-mail-token")
        assert problem(await post.verify(reset)) == (422, "invalid-mail-token")

    async def test_database_holds_only_hashes_of_tokens(self, post: Post, anna: Account) -> None:
        token = await post.token(anna.email, VERIFY)
        async with post.server.db.read() as tx:
            rows = await tx.execute(
                text("SELECT mail_tokens::text FROM mail_tokens WHERE email = :e"), {"e": anna.email}
            )
            (row,) = rows.scalars()
        assert token not in row
        assert token.encode().hex() not in row

    async def test_invitations_are_accepted_when_the_address_is_verified(self, post: Post, anna: Account) -> None:
        async with (await post.register()).client as guest, (await post.register()).client as stranger:
            address = (await guest.get("/v1/me")).json()["email"]
            folder = (await anna.client.post("/v1/folders", json={"name": "Shared"})).raise_for_status().json()["id"]
            invited = await anna.client.post(f"/v1/files/{folder}/grants", json={"email": address, "role": "viewer"})
            assert invited.raise_for_status().json()["pending"]
            assert (await guest.get(f"/v1/files/{folder}")).status_code == 404
            await post.verify(await post.token(address, VERIFY))
            assert (await guest.get(f"/v1/files/{folder}")).status_code == 200
            assert (await stranger.get(f"/v1/files/{folder}")).status_code == 404


class TestReset:
    async def test_reset_replaces_the_password_and_ends_all_sessions(self, post: Post, anna: Account) -> None:
        token = await post.ask_to_reset(anna.email)
        assert (await post.reset(token)).status_code == 204
        assert problem(await post.sign_in(anna.email, PASSWORD)) == (401, "invalid-credentials")
        assert problem(await anna.client.get("/v1/me")) == (401, "unauthenticated")
        refreshed = await post.api.post("/v1/auth/refresh", json={"refresh_token": anna.tokens["refresh_token"]})
        assert problem(refreshed) == (401, "invalid-refresh-token")
        access_token = (await post.sign_in(anna.email, NEW_PASSWORD)).raise_for_status().json()["access_token"]
        me = await post.api.get("/v1/me", headers={"Authorization": f"Bearer {access_token}"})
        assert me.json()["email_verified_at"] is not None

    async def test_reset_keeps_the_second_factor_of_a_confirmed_address(self, post: Post, anna: Account) -> None:
        await post.verify(await post.token(anna.email, VERIFY))
        factor = "/v1/me/second-factor"
        proposal = await anna.client.post(factor, json={"password": anna.password})
        code = pyotp.TOTP(proposal.raise_for_status().json()["secret"]).now()
        confirmed = (await anna.client.post(f"{factor}/confirm", json={"code": code})).raise_for_status().json()
        assert (await post.reset(await post.ask_to_reset(anna.email))).status_code == 204
        assert problem(await post.sign_in(anna.email, NEW_PASSWORD)) == (401, "second-factor-required")
        assert problem(await post.sign_in(anna.email, NEW_PASSWORD, code)) == (401, "invalid-credentials")
        assert (await post.sign_in(anna.email, NEW_PASSWORD, confirmed["recovery_codes"][0])).status_code == 200

    async def test_reset_of_an_unconfirmed_address_removes_the_second_factor(self, post: Post, anna: Account) -> None:
        factor = "/v1/me/second-factor"
        proposal = await anna.client.post(factor, json={"password": anna.password})
        code = pyotp.TOTP(proposal.raise_for_status().json()["secret"]).now()
        (await anna.client.post(f"{factor}/confirm", json={"code": code})).raise_for_status()
        assert (await post.reset(await post.ask_to_reset(anna.email))).status_code == 204
        assert (await post.sign_in(anna.email, NEW_PASSWORD)).status_code == 200

    async def test_reset_of_a_confirmed_address_lists_what_still_signs_in(self, post: Post, anna: Account) -> None:
        await post.verify(await post.token(anna.email, VERIFY))
        await add_passkey(anna)
        token = {"name": "backup", "scopes": ["files:read"]}
        (await anna.client.post("/v1/me/tokens", json=token)).raise_for_status()
        assert (await post.reset(await post.ask_to_reset(anna.email))).status_code == 204
        (told,) = await post.mails(anna.email, "Your password was reset")
        assert [line for line in told.splitlines() if line.startswith("- ")] == [
            "- passkey phone",
            "- access token backup",
        ]

    async def test_reset_of_an_account_with_a_password_alone_sends_no_list(self, post: Post, anna: Account) -> None:
        await post.verify(await post.token(anna.email, VERIFY))
        assert (await post.reset(await post.ask_to_reset(anna.email))).status_code == 204
        assert await post.mails(anna.email, "Your password was reset") == []

    async def test_new_and_removed_passkeys_are_told_to_a_confirmed_address(self, post: Post, anna: Account) -> None:
        unconfirmed = await add_passkey(anna)
        await post.verify(await post.token(anna.email, VERIFY))
        await add_passkey(anna, "laptop")
        listed = (await anna.client.get("/v1/me/passkeys")).json()["items"]
        (await anna.client.delete(f"/v1/me/passkeys/{listed[1]['id']}")).raise_for_status()
        (added,) = await post.mails(anna.email, "New passkey")
        assert "was added to your account: laptop." in added
        (removed,) = await post.mails(anna.email, "Passkey removed")
        assert "was removed from your account: phone." in removed
        assert problem(await sign_in(post.api, unconfirmed)) == (401, "invalid-passkey")

    async def test_concurrent_resets_with_one_token_admit_one(self, post: Post, anna: Account) -> None:
        token = await post.token(anna.email, VERIFY)
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%users%'")
        async with post.server.db.begin() as tx:
            await tx.execute(text("SELECT FROM users WHERE email = :email FOR UPDATE"), {"email": anna.email})
            verifying = [asyncio.create_task(post.verify(token)) for _ in range(2)]
            while (await tx.execute(waiting)).scalar_one() < 2:
                await asyncio.sleep(0.01)
                await tx.execute(text("SELECT pg_stat_clear_snapshot()"))
        assert sorted([(await answer).status_code for answer in verifying]) == [204, 422]

    async def test_reset_with_a_weak_password_keeps_the_token(self, post: Post, anna: Account) -> None:
        token = await post.ask_to_reset(anna.email)
        for password, reason in (("iloveyou", "common"), (f"my {anna.email}", "contains-address")):
            answer = await post.reset(token, password)
            assert problem(answer) == (422, "weak-password")
            assert answer.json()["reason"] == reason
        assert (await post.reset(token)).status_code == 204

    async def test_reset_requests_get_equal_answers_for_unknown_addresses(self, post: Post, anna: Account) -> None:
        unknown_address = f"{uuid.uuid4().hex}@example.com"
        answers = [
            await post.api.post("/v1/auth/reset-password/request", json={"email": address})
            for address in (anna.email, unknown_address)
        ]
        known, unknown = [
            (answer.status_code, answer.content, answer.headers.keys() - {"date", "x-request-id"}) for answer in answers
        ]
        assert known == unknown
        assert await post.mails(unknown_address, RESET) == []
        assert len(await post.mails(anna.email, RESET)) == 1

    async def test_disabled_account_gets_no_mail_and_its_token_is_refused(self, post: Post, anna: Account) -> None:
        token = await post.ask_to_reset(anna.email)
        await post.run("UPDATE users SET disabled_at = now() WHERE email = :email", email=anna.email)
        assert problem(await post.reset(token)) == (422, "invalid-mail-token")
        await post.api.post("/v1/auth/reset-password/request", json={"email": anna.email})
        assert len(await post.mails(anna.email, RESET)) == 1

    async def test_reset_before_verification_revokes_shares(self, post: Post, anna: Account) -> None:
        accomplice = await post.register()
        async with accomplice.client as other:
            await verify(post.server.db, accomplice)
            folder = await make_folder(anna, "/box")
            await grant(anna, folder, accomplice, "editor")
            link = await make_link(anna, folder, "upload")
            assert (await other.get(f"/v1/files/{folder}")).status_code == 200
            assert (await post.api.get(public(link))).status_code == 200
            await post.reset(await post.ask_to_reset(anna.email))
            assert problem(await other.get(f"/v1/files/{folder}")) == (404, "not-found")
            assert problem(await post.api.get(public(link))) == (404, "not-found")

    async def test_reset_after_verification_keeps_shares(self, post: Post, anna: Account) -> None:
        await verify(post.server.db, anna)
        link = await make_link(anna, await make_folder(anna, "/box"), "upload")
        await post.reset(await post.ask_to_reset(anna.email))
        assert (await post.api.get(public(link))).status_code == 200

    async def test_reset_before_verification_revokes_tokens(self, post: Post, anna: Account) -> None:
        made = await anna.client.post("/v1/me/tokens", json={"name": "mine", "scopes": ["files:read"]})
        bearer = {"Authorization": f"Bearer {made.raise_for_status().json()['token']}"}
        assert (await post.api.get("/v1/files", headers=bearer)).status_code == 200
        await post.reset(await post.ask_to_reset(anna.email))
        assert problem(await post.api.get("/v1/files", headers=bearer)) == (401, "unauthenticated")


class TestPages:
    async def test_verification_page_verifies_only_by_its_button(self, post: Post, anna: Account) -> None:
        token = await post.token(anna.email, VERIFY)
        page = await post.api.get("/verify-email", params={"token": token})
        assert page.status_code == 200
        assert f'value="{token}"' in page.text
        assert (await anna.me())["email_verified_at"] is None
        done = await post.api.post("/verify-email", data={"token": token})
        assert (done.status_code, "is confirmed" in done.text) == (200, True)
        assert (await anna.me())["email_verified_at"] is not None
        again = await post.api.post("/verify-email", data={"token": token})
        assert (again.status_code, "The link has expired" in again.text) == (422, True)

    async def test_reset_page_sets_a_password_without_script(self, post: Post, anna: Account) -> None:
        token = await post.ask_to_reset(anna.email)
        assert 'type="password"' in (await post.api.get("/reset-password", params={"token": token})).text
        weak = await post.api.post("/reset-password", data={"token": token, "new_password": "short"})
        assert (weak.status_code, "8 characters or more" in weak.text, token in weak.text) == (422, True, True)
        done = await post.api.post("/reset-password", data={"token": token, "new_password": NEW_PASSWORD})
        assert done.status_code == 200
        assert (await post.sign_in(anna.email, NEW_PASSWORD)).status_code == 200

    @pytest.mark.parametrize("path", ["/verify-email", "/reset-password"])
    async def test_pages_allow_no_script_and_send_no_referrer(self, post: Post, path: str) -> None:
        page = await post.api.get(path, params={"token": '"><script>alert(1)</script>'})
        assert "<script" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"


async def test_register_with_a_weak_password_is_refused(api: httpx2.AsyncClient) -> None:
    for password, reason in (("iloveyou", "common"), ("xx bert.miller", "contains-address")):
        answer = await api.post("/v1/auth/register", json={"email": "bert.miller@example.com", "password": password})
        assert problem(answer) == (422, "weak-password")
        assert answer.json()["reason"] == reason


class TestGrant:
    async def test_grant_to_an_account_sends_one_mail(self, post: Post, anna: Account) -> None:
        ed = await post.register()
        await verify(post.server.db, ed)
        folder = await make_folder(anna, "/plans")
        (await anna.client.patch("/v1/me", json={"display_name": "Anna"})).raise_for_status()
        made = await grant(anna, folder, ed, "editor")
        (mail,) = await post.mails(ed.email, SHARED)
        assert 'shared the folder "plans" with you. You can change it.' in mail
        assert f'"Anna" ({anna.email})' in mail
        assert PUBLIC_URL in mail
        assert "Sign up" not in mail
        at = f"/v1/files/{folder}/grants"
        repeated = {"email": ed.email, "role": "viewer"}
        assert (await anna.client.post(at, json=repeated)).status_code == 200
        (await anna.client.patch(f"{at}/{made['id']}", json={"role": "editor"})).raise_for_status()
        assert len(await post.mails(ed.email, SHARED)) == 1
        await ed.client.aclose()

    async def test_pending_grant_repeated_by_its_key_sends_one_mail_with_the_way_to_sign_up(
        self, post: Post, anna: Account
    ) -> None:
        address, folder = f"{uuid.uuid4().hex}@example.com", await make_folder(anna, "/plans")
        for _ in range(2):
            body = {"email": address, "role": "viewer"}
            key = {"Idempotency-Key": "once"}
            made = await anna.client.post(f"/v1/files/{folder}/grants", json=body, headers=key)
            assert made.json()["pending"]
        (mail,) = await post.mails(address, SHARED)
        assert f"Sign up with the address {address}" in mail
        assert PUBLIC_URL in mail

    async def test_names_in_the_mail_add_neither_headers_nor_links(self, post: Post, anna: Account) -> None:
        address = f"{uuid.uuid4().hex}@example.com"
        hostile = "evil.example Bcc: x@evil.example www.evil.example"
        (await anna.client.patch("/v1/me", json={"display_name": hostile})).raise_for_status()
        made = await anna.client.post("/v1/folders", json={"name": hostile})
        body = {"email": address, "role": "viewer"}
        (await anna.client.post(f"/v1/files/{made.json()['id']}/grants", json=body)).raise_for_status()
        (mail,) = await post.mails(address, SHARED)
        assert "evil.example" not in mail
        assert "evil. example" in mail
        assert not re.search("^Bcc", mail, re.MULTILINE)

    @pytest.mark.parametrize(
        ("changed", "mails"),
        [
            ({"limits": {"mail": "2/hour"}}, 2),
            ({"limits": {"share_mail": "1/hour"}}, 1),
            ({"mail": {"grants": False}}, 0),
            ({}, 3),
        ],
    )
    async def test_grants_send_as_many_mails_as_settings_permit(
        self, postgres_url: str, s3_config: S3Config, tmp_path: Path, changed: dict[str, dict[str, object]], mails: int
    ) -> None:
        mail = {"file_dir": str(tmp_path)} | changed.get("mail", {})
        settings = make_settings(postgres_url, s3_config, mail=mail, limits=changed.get("limits", {}))
        async with running_server(settings) as server:
            post = Post(server, tmp_path)
            anna, ed = await post.register(), await post.register()
            async with post.api, anna.client, ed.client:
                for number in range(3):
                    await grant(anna, await make_folder(anna, f"/{number}"), ed, "viewer")
                assert len(await post.mails(ed.email, SHARED)) == mails
                assert await post.ask_to_reset(ed.email), "mails about grants have counters of their own"


@pytest.mark.parametrize(
    "name", ["https://evil.example/x", "evil.example", "a@evil.example", "www.evil.example", "x\r\nBcc: y@evil.example"]
)
def test_quoted_name_holds_no_address(name: str) -> None:
    quoted = quote_name(f'{name}" and more')
    assert not re.search(r'[.:/@](?=\S)|[\r\n"]', quoted)
