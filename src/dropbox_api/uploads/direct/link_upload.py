"""Send a file to an upload link: a form's file for the folder of the link's owner."""

from typing import NamedTuple

from dropbox_api import access, problems
from dropbox_api.context import Services
from dropbox_api.files import guard
from dropbox_api.plumbing import audit
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.uploads import destinations, plans
from dropbox_api.uploads.direct import direct_session, form_request
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.direct_session import Reservation
from dropbox_api.uploads.direct.intake import open_intake


class SentToLink(NamedTuple):
    """What the sender may see of the file: what the sender knows already."""

    name: str
    size_bytes: int


async def send_to_link(services: Services, link: access.LinkAccess, body: RequestBody) -> SentToLink:
    """Store the file of a form in the folder of an upload link under a free name; no file is replaced.

    It counts on the folder's owner. The returned name is the requested one, not the one that the file got.
    Raises InvalidRequest, BodyTooLarge, InvalidName, QuotaExceeded and TooManyFiles and TooManyUploads (without
    numbers), NotFound (the link works no more, now or when all of the file has arrived), UploadExpired, Unavailable,
    StoreError.
    Transaction: T1, S3, T2.
    """
    try:
        return await _send(services, link, body)
    except problems.QuotaExceeded:
        raise problems.QuotaExceeded from None  # without the owner's numbers


async def _send(services: Services, link: access.LinkAccess, body: RequestBody) -> SentToLink:
    settings, owner_id = services.settings, link.top.owner_id
    fixed = {"parent_id": str(link.top.node_id), "on_conflict": "rename"}
    max_bytes = plans.max_direct_bytes(settings)
    form = form_request.open_form(body, form_request.LINK_FORM_FIELDS, max_bytes)
    async with services.db.begin() as tx:
        reservation = Reservation(owner_id, owner_id, body.bound_content(max_bytes), nodes=1)
        session = await direct_session.claim_session(tx, settings, reservation)
    async with open_intake(services, session) as intake:
        async for piece in form_request.read_pieces(body, form, max_bytes):
            await intake.take(piece)
        target = form_request.parse_target(form, fixed)
        place = destinations.parse_destination(target.destination)
        received = await intake.finish()
        async with services.db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            await access.require_link(tx, link.link_id)
            content = await direct_session.record_content(tx, session, received)
            folder_id = await destinations.require_folder(tx, owner_id, owner_id, place.folder)
            placement = form_request.make_placement(target, place, folder_id, owner_id, content)
            file = await direct_session.place_content(tx, owner_id, owner_id, placement)
            entry = audit.Entry("uploaded-by-link", file.id, {"link": str(link.link_id), "name": place.name})
            await audit.record(tx, owner_id, [entry])
        await failpoint("uploads.stream.after_t2")
    return SentToLink(place.name, received.size_bytes)
