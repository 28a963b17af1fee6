"""/docs works without internet access: the server serves everything that the page loads."""

import json
import re

import httpx2

from dropbox_api.docs_page import convert_to_3_0


async def test_docs_page_loads_from_its_own_origin_only(api: httpx2.AsyncClient) -> None:
    page = (await api.get("/docs")).raise_for_status()
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text, flags=re.DOTALL).replace("window.location", "")
    loaded = re.findall(r'(?:src|href)="([^"]+)"|url: \'([^\']+)\'', page.text)
    addresses = {first or second for first, second in loaded}
    assert addresses == {
        "docs/openapi.json",
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


async def test_document_of_the_page_is_openapi_3_0_with_the_same_operations_and_schemas(
    api: httpx2.AsyncClient,
) -> None:
    document = (await api.get("/openapi.json")).json()
    converted = (await api.get("/docs/openapi.json")).json()
    assert (document["openapi"], converted["openapi"]) == ("3.1.0", "3.0.4")
    assert [*converted["paths"]] == [*document["paths"]]
    assert [*converted["components"]["schemas"]] == [*document["components"]["schemas"]]
    text = json.dumps(converted)
    assert not re.search(r'"const": ["\d]|"type": \[|"examples": \[|"type": "null"', text)
    assert not re.search(r'"\$ref": "[^"]+", "', text)


def test_conversion_of_a_schema_to_openapi_3_0_retains_its_meaning() -> None:
    document = {
        "openapi": "3.1.0",
        "info": {"description": "d"},
        "name": {"type": ["string", "null"], "maxLength": 9, "examples": ["a", "b"]},
        "one": {"anyOf": [{"$ref": "#/x"}, {"type": "null"}], "description": "d"},
        "two": {"anyOf": [{"$ref": "#/x"}, {"$ref": "#/y"}, {"type": "null"}]},
        "code": {"const": "not-found", "type": "string", "default": {"const": "kept"}},
        "kind": {"$ref": "#/x", "description": "d"},
        "properties": {"const": {"type": "integer"}, "type": {"$ref": "#/x"}},
    }
    assert convert_to_3_0(document) == {
        "openapi": "3.0.4",
        "info": {"description": "d\n\nGenerators read [openapi.json](openapi.json) in OpenAPI 3.1."},
        "name": {"type": "string", "maxLength": 9, "nullable": True, "example": "a"},
        "one": {"allOf": [{"$ref": "#/x"}], "description": "d", "nullable": True},
        "two": {"anyOf": [{"$ref": "#/x"}, {"$ref": "#/y"}], "nullable": True},
        "code": {"enum": ["not-found"], "type": "string", "default": {"const": "kept"}},
        "kind": {"allOf": [{"$ref": "#/x"}], "description": "d"},
        "properties": {"const": {"type": "integer"}, "type": {"$ref": "#/x"}},
    }


async def test_document_is_compressed_for_clients_that_accept_gzip(api: httpx2.AsyncClient) -> None:
    compressed = await api.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    plain = await api.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert compressed.json() == plain.json()
    assert int(compressed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
