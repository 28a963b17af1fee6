"""`/v1/uploads`, `/v1/fingerprints`, `/v1/capabilities`: the upload journey of `docs/protocol.md`.

And `POST /v1/files`, `PUT /v1/files/{id}/content`: content through the API itself.
"""

from fastapi import APIRouter

from dropbox_api.uploads.routes import batches, capabilities, direct, fingerprints, sessions

router = APIRouter(prefix="/v1")
for part in (capabilities, fingerprints, batches, sessions, direct):  # `batches` before `/uploads/{upload_id}`
    router.include_router(part.router)
