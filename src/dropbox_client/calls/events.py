"""The event feed."""

from datetime import datetime

from dropbox_client.call import Call, Listing, read_member, read_with, without_none
from dropbox_client.models import Event, EventList


def get_cursor() -> Call[str]:
    return Call("GET", "/v1/events/cursor", read_member("cursor", str))


def list_activity(kind: str | None, page_items: int) -> Listing[Event]:
    return Listing("/v1/me/activity", Event.from_json, without_none(kind=kind, limit=str(page_items)))


def get_page(cursor: str | None, *, since: datetime | None, limit: int, wait_s: float) -> Call[EventList]:
    begin = without_none(cursor=cursor, since=since.isoformat() if since else None)
    query = {"limit": str(limit), "wait_s": f"{wait_s:.3g}", **begin}
    return Call("GET", "/v1/events", read_with(EventList.from_json), query=query, wait_s=wait_s)
