"""`POST /v1/notifications/store`, which the object store calls."""

import secrets

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer

from dropbox_api import problems
from dropbox_api.deps import LimitsDep, SettingsDep
from dropbox_api.hooks import notifications
from dropbox_api.plumbing import limits
from dropbox_api.responses import problem_responses

router = APIRouter()


@router.post(
    "/notifications/store",
    operation_id="server_notify",
    status_code=204,
    dependencies=[Depends(HTTPBearer(scheme_name="store", auto_error=False))],  # for the documentation; checked below
    responses=problem_responses(
        problems.Unauthenticated,
        problems.NotFound,
        problems.MalformedJson,
        problems.BodyTooLarge,
        problems.InvalidRequest,
    ),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def store_notification(request: Request, settings: SettingsDep, counting: LimitsDep) -> None:
    """Receive a notification of the object store about changed objects, in the format of S3 or of SeaweedFS.

    Requires the bearer token of the server's settings, not an account's. The server checks the named objects itself.
    """
    token = settings.notifications.token
    given = request.headers.get("authorization", "").encode()
    if token is None or not secrets.compare_digest(given, b"Bearer " + token.get_secret_value().encode()):
        # Counted here and not by the gate: the store's own calls are unlimited.
        await counting.hit("address", limits.address_key(request.client.host if request.client else None))
        raise problems.Unauthenticated if token else problems.NotFound
    try:
        names = notifications.parse_notification(await request.body(), settings.s3.bucket)
    except ValueError:
        raise problems.MalformedJson from None
    request.app.state.notification_reconciler.submit(names)
