"""Send files to an upload link: a form's files for the folder of the link's owner."""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from dropbox_api import access, problems
from dropbox_api.context import Services
from dropbox_api.db import Tx
from dropbox_api.files import guard
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.uploads import destinations, link_sessions, plans, quota
from dropbox_api.uploads.direct import direct_session, form_request
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.direct_session import Reservation
from dropbox_api.uploads.direct.form_request import FormFile
from dropbox_api.uploads.direct.intake import open_intake


class SentToLink(NamedTuple):
    """What the sender may see of the file: what the sender knows already."""

    name: str
    size_bytes: int


async def send_to_link(services: Services, link: access.LinkAccess, body: RequestBody) -> SentToLink:
    """Store the file of a form in the folder of an upload link under a free name; no file is replaced.

    It counts on the folder's owner. The returned name is the requested one, not the one that the file got.
    Raises InvalidRequest, BodyTooLarge, InvalidName, QuotaExceeded and TooManyFiles and TooManyUploads (without
    numbers), LinkFull, NotFound (the link works no more, now or when all of the file has arrived), UploadExpired,
    Unavailable, StoreError.
    Transaction: T1, S3, T2.
    """
    max_bytes = _find_max_bytes(services, link)
    form = form_request.open_form(body, form_request.LINK_FORM_FIELDS, max_bytes)
    file = await anext(form_request.read_files(body, form, max_bytes))
    return await _send(services, link, file, form.fields, body.bound_content(max_bytes))


async def send_all_to_link(services: Services, link: access.LinkAccess, body: RequestBody) -> AsyncIterator[SentToLink]:
    """Store all files of a form without fields, each as `send_to_link` does; yield each one when it is stored."""
    max_bytes = _find_max_bytes(services, link)
    form = form_request.open_form(body, (), max_bytes, form_request.MAX_FORM_FILES)
    bound_bytes = body.bound_content(max_bytes)
    async for file in form_request.read_files(body, form, max_bytes):
        sent = await _send(services, link, file, form.fields, bound_bytes)
        bound_bytes = max(0, bound_bytes - sent.size_bytes)
        yield sent


def _find_max_bytes(services: Services, link: access.LinkAccess) -> int:
    """Return the size of the largest file that a form may bring to the link."""
    max_bytes = plans.max_direct_bytes(services.settings)
    return max_bytes if link.max_file_bytes is None else min(max_bytes, link.max_file_bytes)


async def _take(tx: Tx, link: access.LinkAccess, size_bytes: int) -> None:
    """Raise LinkFull or SizeNotAllowed for a file that the link does not take. Transaction: as `read_budget`."""
    if problem := (await link_sessions.read_budget(tx, link.link_id)).take(size_bytes):
        raise problem


async def _send(
    services: Services, link: access.LinkAccess, file: FormFile, fields: Mapping[str, str], bound_bytes: int
) -> SentToLink:
    """Store one file of at most `bound_bytes`; `fields` are those of its form once its content is read."""
    owner_id, (header, blocks) = link.top.owner_id, file
    try:
        async with services.db.begin() as tx:
            reservation = Reservation(owner_id, owner_id, bound_bytes, nodes=1)
            # A sender ends no session of another one: only the owner's uploads make room.
            allowance = await quota.lock_allowance(tx, services.settings, owner_id, owner_id)
            session = await direct_session.open_session(tx, services.settings, reservation, allowance)
            await _take(tx, link, 0)
    except problems.QuotaExceeded:
        raise problems.QuotaExceeded from None  # without the owner's numbers
    async with open_intake(services, session) as intake:
        await intake.take_all(blocks)
        fixed = {"parent_id": str(link.top.node_id), "on_conflict": "rename"}
        described = form_request.parse_target(header, {**fields, **fixed})
        place = destinations.parse_destination(described.destination)
        received = await intake.finish()
        async with services.db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            await access.require_link(tx, link.link_id)
            await _take(tx, link, received.size_bytes)
            content = await direct_session.record_content(tx, session, received)
            target = await destinations.require_target(tx, owner_id, owner_id, place)
            placement = form_request.make_placement(described, target, owner_id, content)
            stored = await direct_session.place_content(tx, owner_id, owner_id, placement)
            taken = link_sessions.ReceivedContent(link.link_id, stored.id, target.name, received.size_bytes)
            await link_sessions.record_received(tx, owner_id, [taken])
        await failpoint("uploads.stream.after_t2")
    return SentToLink(target.name, received.size_bytes)
