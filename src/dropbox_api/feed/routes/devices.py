"""Routes of the caller's devices."""

import uuid

from fastapi import APIRouter, Request

from dropbox_api import problems
from dropbox_api.accounts.auth import Reader, Writer
from dropbox_api.deps import COMPRESSED
from dropbox_api.feed import devices
from dropbox_api.feed.schemas import Device, DeviceList, ReportDevice
from dropbox_api.responses import BODY, problem_responses

router = APIRouter(prefix="/v1/me/devices")

_ACCOUNT = (problems.Unauthenticated, problems.Forbidden)


@router.get("", operation_id="me_list_devices", dependencies=[COMPRESSED], responses=problem_responses(*_ACCOUNT))
async def list_devices(context: Reader) -> DeviceList:
    """List the devices that report to your account, last seen first, all in one answer."""
    return await devices.list_devices(context)


@router.put(
    "/{device_id}",
    operation_id="me_update_device",
    responses=problem_responses(*BODY, *_ACCOUNT, problems.InvalidCursor, problems.TooManyDevices),
)
async def report(context: Reader, request: Request, device_id: uuid.UUID, body: ReportDevice) -> Device:
    """Report how far a device has read the journal. The client makes the id, a UUID, once for each device.

    A device without a report for 90 days is removed.
    """
    return await devices.report_device(context, request.app.state.cursors, device_id, body)


@router.delete(
    "/{device_id}",
    operation_id="me_delete_device",
    status_code=204,
    responses=problem_responses(*_ACCOUNT, problems.InvalidRequest, problems.NotFound),
)
async def delete(context: Writer, device_id: uuid.UUID) -> None:
    """Remove a device from the list. Its next report adds it again: revoke its token to end its access."""
    await devices.delete_device(context, device_id)
