"""`/docs` and `/openapi.json`: the API described for people and for generators, without any other origin."""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from dropbox_api.deps import COMPRESSED
from dropbox_api.plumbing.page_policies import list_script_hashes

_SWAGGER = {
    "validatorUrl": None,  # an external service
    "docExpansion": "none",
    "defaultModelsExpandDepth": 0,
    "filter": True,
    "tryItOutEnabled": True,
}
_VALUES = {"default", "enum", "example"}
"""Members of a schema that hold a value, not a schema."""


def add_docs(app: FastAPI) -> None:
    """Serve the document that `app.openapi` builds, and Swagger UI on it."""
    app.mount("/docs/static", StaticFiles(packages=[("fastapi_offline", "static")]))
    app.add_api_route("/docs", show_docs, include_in_schema=False)
    for path, document in (
        ("/openapi.json", _Document(app.openapi)),
        ("/docs/openapi.json", _Document(lambda: convert_to_3_0(app.openapi()))),
    ):
        app.add_api_route(path, document.send, include_in_schema=False, dependencies=[COMPRESSED])


def convert_to_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document as 3.0.4, with the same meaning for readers.

    Only for Swagger UI, which needs twice the time to show a 3.1 document and to open each operation of it.
    """
    converted = {key: _convert(value) for key, value in document.items()}
    description = f"{converted['info']['description']}\n\nGenerators read [openapi.json](openapi.json) in OpenAPI 3.1."
    return {**converted, "openapi": "3.0.4", "info": {**converted["info"], "description": description}}


def _convert(value: Any) -> Any:
    match value:
        case list():
            return [_convert(item) for item in value]
        case {"$ref": str() as reference, **rest} if rest:
            return {**_convert(rest), "allOf": [{"$ref": reference}]}
        case {"type": [*types], **rest} if "null" in types:
            others = [name for name in types if name != "null"]
            return _convert({**rest, "type": others[0] if len(others) == 1 else others, "nullable": True})
        case {"anyOf": [*schemas], **rest} if {"type": "null"} in schemas:
            others = [schema for schema in schemas if schema != {"type": "null"}]
            return _convert({**rest, "allOf" if len(others) == 1 else "anyOf": others, "nullable": True})
        case {"const": (str() | int()) as constant, **rest}:
            return _convert({**rest, "enum": [constant]})
        case {"examples": [first, *_], **rest}:
            return _convert({**rest, "example": first})
        case dict():
            return {key: item if key in _VALUES else _convert(item) for key, item in value.items()}
    return value


class _Document:
    """The document as JSON, encoded at the first request."""

    def __init__(self, build: Callable[[], dict[str, Any]]) -> None:
        self._build = build
        self._encoded = b""

    async def send(self) -> Response:
        if not self._encoded:
            self._encoded = orjson.dumps(self._build())
        return Response(self._encoded, media_type="application/json")


async def show_docs() -> HTMLResponse:
    """Show the operations in Swagger UI; relative URLs work behind a path prefix.

    The policy allows the page's own script by its hash.
    """
    page = get_swagger_ui_html(
        title="dropbox-api",
        openapi_url="docs/openapi.json",
        swagger_js_url="docs/static/swagger-ui-bundle.js",
        swagger_css_url="docs/static/swagger-ui.css",
        swagger_favicon_url="docs/static/favicon.png",
        swagger_ui_parameters=_SWAGGER,
    )
    hashes = list_script_hashes(bytes(page.body).decode())
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page
