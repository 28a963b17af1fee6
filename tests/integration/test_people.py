"""What people see of each other: display names, and contacts."""

import uuid
from typing import Any

import pytest

from dropbox_api.db import Db
from tests.conftest import Register
from tests.support.server import Account, new_address, problem, upload_file
from tests.support.sharing import grant, make_folder, verify


async def rename(account: Account, name: str | None) -> dict[str, Any]:
    answer = await account.client.patch("/v1/me", json={"display_name": name})
    changed: dict[str, Any] = answer.raise_for_status().json()
    return changed


async def contacts(account: Account, **query: Any) -> dict[str, Any]:
    listed: dict[str, Any] = (await account.client.get("/v1/me/contacts", params=query)).raise_for_status().json()
    return listed


async def test_display_name_is_cleaned_changed_and_removed(account: Account) -> None:
    assert (await account.me())["display_name"] is None
    assert (await rename(account, "  Ada\u0308  Love 🎉 "))["display_name"] == "Ad\u00e4  Love 🎉"
    assert (await account.client.patch("/v1/me", json={})).raise_for_status().json() == await account.me()
    assert (await account.me())["display_name"] == "Ad\u00e4  Love 🎉"
    assert (await rename(account, None))["display_name"] is None


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 101, "a\nb", "a\u0000", "a\u202eb", "a\u2066b", "a\u200fb", "a\u2028b", "\u0085", 1]
)
async def test_display_name_that_could_deceive_or_break_a_line_is_refused(account: Account, name: Any) -> None:
    answer = await account.client.patch("/v1/me", json={"display_name": name})
    assert problem(answer) == (422, "invalid-request")


async def test_display_names_are_shown_where_addresses_are(register: Register, db: Db) -> None:
    ada, ed = await register(), await register()
    await verify(db, ed)
    await rename(ada, "Ada")
    await rename(ed, "Ed")
    folder_id = await make_folder(ada, "/shared")
    granted = await grant(ada, folder_id, ed, "editor")
    assert granted["display_name"] == "Ed"
    pending = {"email": new_address(), "role": "viewer"}
    waiting = (await ada.client.post(f"/v1/files/{folder_id}/grants", json=pending)).raise_for_status().json()
    assert (waiting["pending"], waiting["display_name"]) == (True, None)
    listed = (await ada.client.get(f"/v1/files/{folder_id}/grants")).raise_for_status().json()["items"]
    assert [one["display_name"] for one in listed] == [None, "Ed"]
    changed = await ada.client.patch(f"/v1/files/{folder_id}/grants/{granted['id']}", json={"role": "editor"})
    assert changed.raise_for_status().json()["display_name"] == "Ed"
    file = await upload_file(ed, b"by ed", "file", destination={"parent_id": folder_id})
    assert (file["owner"], file["owner_name"]) == (ada.email, "Ada")
    (revision,) = (await ada.client.get(f"/v1/files/{file['id']}/revisions")).raise_for_status().json()["items"]
    assert (revision["author"], revision["author_name"]) == (ed.email, "Ed")
    entry = (await ada.client.get(f"/v1/files/{file['id']}/activity")).raise_for_status().json()["items"][0]
    assert (entry["actor"], entry["actor_name"]) == (ed.email, "Ed")


async def test_grant_by_id_does_not_tell_the_name_of_the_account(register: Register) -> None:
    ada, stranger = await register(), await register()
    await rename(stranger, "Sam")
    node_id = await make_folder(ada, "/bait")
    by_id = {"user_id": (await stranger.me())["id"], "role": "viewer"}
    granted = (await ada.client.post(f"/v1/files/{node_id}/grants", json=by_id)).raise_for_status().json()
    listed = (await ada.client.get(f"/v1/files/{node_id}/grants")).raise_for_status().json()["items"]
    for shown in [granted, *listed, *(await contacts(ada))["items"]]:
        assert (shown["email"], shown["display_name"]) == (None, None)


async def test_contacts_are_the_people_shared_with_in_either_direction(register: Register, db: Db) -> None:
    ada, ed, vi, stranger = [await register() for _ in range(4)]
    await verify(db, ada, ed, vi)
    await rename(vi, "Vi")
    await rename(stranger, "Not known by the id alone")
    first, second = await make_folder(ada, "/first"), await make_folder(ada, "/second")
    await grant(ada, first, ed, "viewer")
    invited = new_address()
    (await ada.client.post(f"/v1/files/{first}/grants", json={"email": invited, "role": "viewer"})).raise_for_status()
    by_id = {"user_id": (await stranger.me())["id"], "role": "viewer"}
    (await ada.client.post(f"/v1/files/{first}/grants", json=by_id)).raise_for_status()
    await grant(vi, await make_folder(vi, "/of vi"), ada, "editor")
    newest = await grant(ada, second, ed, "editor")
    expected = [
        (ed.email, (await ed.me())["id"], None),
        (vi.email, (await vi.me())["id"], "Vi"),
        (None, by_id["user_id"], None),
        (invited, None, None),
    ]
    items = (await contacts(ada))["items"]
    assert [(one["email"], one["user_id"], one["display_name"]) for one in items] == expected
    assert items[0]["shared_at"] == newest["created_at"]
    paged: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await contacts(ada, limit=1, **cursor)
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert paged == items
    assert [one["email"] for one in (await contacts(stranger))["items"]] == [ada.email]
    assert problem(await ada.client.get("/v1/me/contacts", params={"cursor": str(uuid.uuid4())})) == (
        422,
        "invalid-cursor",
    )
