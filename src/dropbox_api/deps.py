"""What routes of several features share: typed access to `app.state`, parameters, and the answer with an archive.

They are async because FastAPI runs plain functions in a thread, for every request.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.core.body_digests import HEADERS as DIGEST_HEADERS
from dropbox_api.core.body_digests import BadDigest, BodyDigests
from dropbox_api.core.content_disposition import format_content_disposition
from dropbox_api.db import Db
from dropbox_api.plumbing import limits
from dropbox_api.plumbing.limits import Limits
from dropbox_api.plumbing.mail import Mailer
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.settings import Settings
from dropbox_api.storage.probe import BucketCapabilities


def from_state(name: str) -> Any:
    """Return a dependency on one value of `app.state`; the annotation beside it states the type."""

    async def get_value(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(get_value)


def limited(name: limits.LimitName) -> Any:
    """Return a dependency that counts the caller's address: `dependencies=[limited("public")]`. Raises RateLimited."""

    async def count(request: Request) -> None:
        address = limits.address_key(request.client.host if request.client else None)
        request.scope["limits"] = await request.app.state.limits.hit(name, address)

    return Depends(count)


async def _compress(request: Request) -> None:
    """Let `compression` compress the answer of this route, unless it has the URLs of thumbnails.

    Such a URL is a secret, and the same in many answers.
    """
    request.scope["compresses"] = "thumbnails" not in request.query_params


COMPRESSED = Depends(_compress)
"""`dependencies=[COMPRESSED]`: only for answers without secrets (docs/security.md, Compressed answers)."""


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _capabilities(request: Request) -> BucketCapabilities:
    """Raises StoreFull until a full bucket can be probed."""
    capabilities: BucketCapabilities | None = request.app.state.capabilities
    if capabilities is None:
        raise problems.StoreFull(retry_after_s=5)
    return capabilities


ServicesDep = Annotated[Services, Depends(_services)]
SettingsDep = Annotated[Settings, from_state("settings")]
DbDep = Annotated[Db, from_state("db")]
CapabilitiesDep = Annotated[BucketCapabilities, Depends(_capabilities)]
LimitsDep = Annotated[Limits, from_state("limits")]
"""For limits by other keys than addresses: `await limits.hit("mail", email)`."""
MailerDep = Annotated[Mailer, from_state("mailer")]
DirectSlotsDep = Annotated[TransferSlots, from_state("direct_uploads")]
"""Uploads whose bytes pass through the server."""
ArchiveSlotsDep = Annotated[TransferSlots, from_state("archives")]
PublicSlotsDep = Annotated[TransferSlots, from_state("link_transfers")]
"""Archives and uploads of links."""
PageLimit = Annotated[int, Query(ge=1, le=1000)]
"""The `limit` of a list."""
Inline = Annotated[
    bool,
    Query(description="Show instead of save: only types that cannot run script, text and code as `text/plain`."),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="Do it only if the ETag is still one of these; else `precondition-failed`.",
        examples=['"5f0c2a9d41be.3"'],
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=1000,
        description="Do it only if the ETag is none of these, `*` being any; else `precondition-failed`.",
        examples=["*"],
    ),
]


async def _body_digests(request: Request) -> BodyDigests:
    """Return the digests that the headers of a streamed body announce. Raises InvalidRequest."""
    try:
        return BodyDigests(request.headers)
    except BadDigest as bad:
        detail = "should hold digests in base64, as its RFC describes"
        raise problems.InvalidRequest.at(f"/{bad.header}", detail) from None


BodyDigestsDep = Annotated[BodyDigests, Depends(_body_digests)]
ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
"""The content of an archive in OpenAPI."""


def stream_zip(
    filename: str, body: AsyncGenerator[bytes], background: BackgroundTasks, headers: Mapping[str, str]
) -> Response:
    """Return the answer with an archive, whose body it closes."""
    background.add_task(body.aclose)  # also after a disconnect: stop reading from the store
    disposition = format_content_disposition(filename, inline=False)
    headers = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff", **headers}
    return StreamingResponse(body, media_type="application/zip", headers=headers, background=background)


DIGEST_PARAMETERS = [
    {
        "name": name,
        "in": "header",
        "schema": {"type": "string"},
        "description": "Digest of the body: with another one, nothing is stored (`digest-mismatch`).",
    }
    for name in DIGEST_HEADERS
]
"""The headers of `BodyDigestsDep` in OpenAPI: `openapi_extra={"parameters": DIGEST_PARAMETERS}`."""
