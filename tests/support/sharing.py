"""Grants, links and folders as tests of sharing make them."""

from typing import Any

import httpx2
from sqlalchemy import text

from dropbox_api.db import Db
from tests.support.server import Account, create_folder


async def verify(db: Db, *accounts: Account) -> None:
    """Mark the addresses of these accounts as verified."""
    statement = text("UPDATE users SET email_verified_at = now() WHERE email = ANY(:emails)")
    async with db.begin() as tx:
        await tx.execute(statement, {"emails": [account.email for account in accounts]})


async def make_folder(account: Account, path: str) -> str:
    """Make the missing folders of a path; return the id of the last one."""
    return str((await create_folder(account, path))["id"])


async def grant(owner: Account, node_id: str, grantee: Account, role: str) -> dict[str, Any]:
    body = {"email": grantee.email, "role": role}
    made: dict[str, Any] = (await owner.client.post(f"/v1/files/{node_id}/grants", json=body)).raise_for_status().json()
    return made


async def make_link(owner: Account, node_id: str, mode: str = "download", **more: Any) -> dict[str, Any]:
    answer = await owner.client.post(f"/v1/files/{node_id}/links", json={"mode": mode} | more)
    link: dict[str, Any] = answer.raise_for_status().json()
    return link


def public(link: dict[str, Any], path: str = "") -> str:
    return f"/v1/public/links/{link['token']}{path}"


async def names_in(client: httpx2.AsyncClient, address: str, **params: Any) -> list[str]:
    listed = (await client.get(address, params=params)).raise_for_status().json()
    return [item["name"] for item in listed["items"]]
