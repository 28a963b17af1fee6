"""The script of the pages of links: when a page has it, what it is told, and what the policy of the page allows."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.server import Account, RunningServer, upload_file
from tests.support.sharing import make_folder, make_link, public

pytestmark = pytest.mark.usefixtures("invariants_hold")

PASSWORD = "Käse & Brot"


@pytest.fixture(params=[True])
def built(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the server have the script or, by another parameter, not, whether `make web` has built it or not."""
    state = server.app.state
    before, state.has_link_script = state.has_link_script, request.param
    yield
    state.has_link_script = before


def read_script(page: httpx2.Response) -> tuple[str, dict[str, Any]]:
    """Return the address of a page's script, and what the page tells it."""
    ((address, data),) = re.findall(r'<script type="module" src="([^"]+)" data-link="([^"]+)"></script>', page.text)
    told: dict[str, Any] = json.loads(html.unescape(data))
    return str(page.url.join(address)), told


async def make_links(account: Account, **more: Any) -> dict[str, dict[str, Any]]:
    """Return links to a file, to a folder, and for uploads."""
    folder = await make_folder(account, "/page")
    file = await upload_file(account, b"x", "a.png", destination={"parent_id": folder}, content_type="image/png")
    wanted = {"file": (file["id"], "view"), "folder": (folder, "download"), "inbox": (folder, "upload")}
    return {name: await make_link(account, *link, **more) for name, link in wanted.items()}


@pytest.mark.usefixtures("built")
async def test_page_of_a_link_loads_its_script_under_a_policy_without_inline_code(
    account: Account, api: httpx2.AsyncClient, server: RunningServer
) -> None:
    store = " ".join(server.store.list_address_prefixes())
    for link in (await make_links(account)).values():
        page = await api.get(link["url_path"])
        address, told = read_script(page)
        assert address == str(api.base_url.join("/assets/link.js"))
        assert told == {"token": link["token"], "mode": link["mode"], "pass": None}
        policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "worker-src": "'self'",
            "style-src": "'self'",
            "img-src": f"'self' {store}",
            "media-src": store,
            "connect-src": f"'self' {store}",
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
        }


@pytest.mark.parametrize("built", [False], indirect=True)
@pytest.mark.usefixtures("built")
async def test_page_of_a_server_without_the_build_has_no_script(account: Account, api: httpx2.AsyncClient) -> None:
    for link in (await make_links(account)).values():
        assert "<script" not in (await api.get(link["url_path"])).text


@pytest.mark.usefixtures("built")
async def test_page_behind_a_password_gives_its_script_a_pass_and_nothing_before(
    account: Account, api: httpx2.AsyncClient
) -> None:
    for link in (await make_links(account, password=PASSWORD)).values():
        page = await api.get(link["url_path"])
        assert (page.status_code, "<script" in page.text) == (401, False)
        page = await api.post(f"{link['url_path']}/password", data={"password": PASSWORD}, follow_redirects=True)
        link_pass = read_script(page)[1]["pass"]["link_pass"]
        assert (await api.get(public(link))).status_code == 401
        assert (await api.get(public(link), headers={"X-Link-Pass": link_pass})).status_code == 200


@pytest.mark.usefixtures("built")
async def test_name_of_a_file_cannot_leave_the_data_of_the_script(account: Account, api: httpx2.AsyncClient) -> None:
    folder = await make_folder(account, "/names")
    name = """"><script>alert(1)</script>' onload='x.png"""
    await upload_file(
        account, b"x", name.replace("/", "_"), destination={"parent_id": folder}, content_type="image/png"
    )
    page = await api.get((await make_link(account, folder, "view"))["url_path"])
    assert len(re.findall(r"<script|</script", page.text)) == 2
    assert 'data-name="&#34;&gt;&lt;script&gt;' in page.text
