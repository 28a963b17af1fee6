"""/docs works without internet access: the server serves everything that the page loads."""

import re

import httpx2


async def test_docs_page_loads_from_its_own_origin_only(api: httpx2.AsyncClient) -> None:
    page = (await api.get("/docs")).raise_for_status()
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text, flags=re.DOTALL).replace("window.location", "")
    loaded = re.findall(r'(?:src|href)="([^"]+)"|url: \'([^\']+)\'', page.text)
    addresses = {first or second for first, second in loaded}
    assert addresses == {
        "openapi.json",
        "docs/static/swagger-ui-bundle.js",
        "docs/static/swagger-ui.css",
        "docs/static/favicon.png",
    }
    for address in addresses:
        assert (await api.get(f"/{address}")).status_code == 200
    assert "validatorUrl" in page.text


async def test_other_docs_paths_are_404(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/redoc")).status_code == 404
    assert (await api.get("/docs/static/../../settings.py")).status_code == 404
    assert (await api.get("/docs/static/%2e%2e/core.py")).status_code == 404


async def test_document_is_compressed_for_clients_that_accept_gzip(api: httpx2.AsyncClient) -> None:
    compressed = await api.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    plain = await api.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert compressed.json() == plain.json()
    assert int(compressed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
