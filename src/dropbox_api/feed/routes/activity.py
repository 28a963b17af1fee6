"""The activity of the caller's account."""

from typing import Annotated

from fastapi import APIRouter, Query

from dropbox_api import problems
from dropbox_api.accounts.auth import Reader
from dropbox_api.deps import COMPRESSED, PageLimit
from dropbox_api.events.journal import EventKind
from dropbox_api.feed import read
from dropbox_api.feed.schemas import EventHistory
from dropbox_api.responses import problem_responses

router = APIRouter(prefix="/v1/me/activity")


@router.get(
    "",
    operation_id="me_list_activity",
    dependencies=[COMPRESSED],
    responses=problem_responses(
        problems.Unauthenticated, problems.Forbidden, problems.InvalidRequest, problems.InvalidCursor
    ),
)
async def list_activity(
    context: Reader,
    kind: Annotated[EventKind | None, Query(description="Only events of this kind.")] = None,
    limit: PageLimit = 100,
    cursor: str | None = None,
) -> EventHistory:
    """List what happened to your files and to those shared with you, newest first, as far back as the journal reaches.

    Each event shows its file as it is now, your own also in the trash, and who made the change.
    """
    return await read.list_account_activity(context, kind, limit=limit, cursor=cursor)
