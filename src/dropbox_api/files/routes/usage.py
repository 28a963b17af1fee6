"""What uses the storage of the caller's account."""

from fastapi import APIRouter

from dropbox_api import problems
from dropbox_api.accounts.auth import Reader
from dropbox_api.files import usage
from dropbox_api.files.schemas import StorageUsage
from dropbox_api.responses import problem_responses

router = APIRouter()


@router.get(
    "/me/storage",
    operation_id="me_get_storage",
    responses=problem_responses(problems.Unauthenticated, problems.Forbidden),
)
async def get_storage(context: Reader) -> StorageUsage:
    """Show what uses your storage. A large account gets a report of the last 10 minutes: see `computed_at`."""
    return await usage.get_storage(context)
