"""Reports of downstream processors about a revision."""

import uuid

from sqlalchemy import func, update

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.events import journal
from dropbox_api.files import guard, views
from dropbox_api.files.schemas import File, UpdateProcessing
from dropbox_api.models import Revision
from dropbox_api.plumbing import audit


async def report_processing(
    context: Context,
    node_id: uuid.UUID,
    wanted: UpdateProcessing,
    if_match: str | None,
) -> File:
    """Record the state of the processing of a revision; return the file. The file's ETag stays.

    A service account that may read the file may report; another account must be an editor.
    Raises NotFound (file or revision), Forbidden, NotAFile, PreconditionFailed.
    Transaction: one, under the owner's lock. Idempotent.
    """
    role: access.Role = "viewer" if context.actor.kind == "service" else "editor"
    async with context.db.begin() as tx:
        node = await guard.lock_node(tx, context.actor_id, node_id, role)
        guard.require_match(node, if_match)
        if node.kind != "file":
            raise problems.NotAFile("A folder is not processed")
        revision_id = wanted.revision_id or node.head_revision_id
        report = {"state": wanted.state, "detail": wanted.detail, "revision_id": str(revision_id)}
        values = {"processing_state": wanted.state, "processing_detail": wanted.detail, "processing_at": func.now()}
        of_file = update(Revision).where(Revision.id == revision_id, Revision.node_id == node_id)
        if not (await tx.execute(of_file.values(**values))).rowcount:
            raise problems.NotFound("The file has no such revision")
        await journal.append_changes(tx, node.owner_id, [journal.Change("file.processing", node_id, report)])
        await audit.record(tx, node.owner_id, [audit.Entry("processing-reported", node_id, report)])
        return await views.get_file(tx, context.actor_id, node_id)
