"""Send a file as a form, as HTML pages and `curl -F` do."""

from dropbox_api.context import Context
from dropbox_api.files import guard
from dropbox_api.files.schemas import File
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.uploads import destinations, plans
from dropbox_api.uploads.direct import direct_session, form_request
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.direct_session import DirectSession, Reservation
from dropbox_api.uploads.direct.intake import open_intake


async def send_file(context: Context, body: RequestBody, once: Once | None) -> File:
    """Store the file of a form and return it.

    Raises InvalidRequest (no such form), BodyTooLarge, QuotaExceeded, TooManyUploads, TooManyFiles, InvalidName,
    NotFound (parent, file), Forbidden, NotAFolder, NotAFile, CrossOwner (another account's folder or file that is
    named after the content), ParentGone, NameTaken, RevisionConflict, IdempotencyMismatch, Replayed, UploadExpired (it
    took too long), Unavailable, StoreError.
    Transaction: T1, S3, T2. Idempotent: by `once`.
    """
    settings, actor_id = context.settings, context.actor_id
    max_bytes = plans.max_direct_bytes(settings)
    form = form_request.open_form(body, form_request.FORM_FIELDS, max_bytes)
    wanted = Reservation(actor_id, actor_id, body.bound_content(max_bytes), nodes=1)
    async with context.db.begin() as tx:
        provisional = await direct_session.claim_in_own_tree(tx, settings, wanted, once)
    async with open_intake(context, provisional if isinstance(provisional, DirectSession) else None) as intake:
        # The fields before the file are known with it.
        file_header, content_blocks = await anext(form_request.read_files(body, form, max_bytes))
        if provisional is not None:
            place = form_request.read_named_place(form)
            async with context.db.begin() as tx:
                intake.session = await direct_session.claim_at_place(tx, settings, wanted, place, provisional)
        await intake.take_all(content_blocks)
        described = form_request.parse_target(file_header, form.fields)
        place = destinations.parse_destination(described.destination)
        received = await intake.finish()
        once = once and once.of(received.fingerprint, described.model_dump_json())
        owner_id = intake.session.owner_id if intake.session else actor_id
        async with context.db.begin() as tx:
            for user_id in sorted({actor_id, owner_id}):
                await guard.lock_owner(tx, user_id)
            await idempotency.claim_key(tx, once)
            content = await direct_session.record_content(tx, intake.session, received)
            target = await destinations.require_target(tx, actor_id, owner_id, place)
            placement = form_request.make_placement(described, target, actor_id, content)
            file = await direct_session.place_content(tx, actor_id, owner_id, placement)
            await idempotency.keep_answer(tx, once, 201, file)
        await failpoint("uploads.stream.after_t2")
    return file
