"""`/v1/fingerprints`: the caller's file or live upload of a content."""

from typing import Annotated

from fastapi import APIRouter, Path

from dropbox_api.accounts.auth import Reader
from dropbox_api.responses import problem_responses
from dropbox_api.schemas import Fingerprint
from dropbox_api.uploads import fingerprints, schemas
from dropbox_api.uploads.routes.problem_sets import OWN

router = APIRouter()


@router.get("/fingerprints/{fingerprint}", operation_id="uploads_find_fingerprint", responses=problem_responses(*OWN))
async def find_fingerprint(context: Reader, fingerprint: Annotated[Fingerprint, Path()]) -> schemas.FingerprintHit:
    """Return your file or live upload of a content. Content of other accounts is answered as unknown content is."""
    return await fingerprints.find_fingerprint(context, fingerprint)
