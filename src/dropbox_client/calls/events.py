"""The event feed."""

from datetime import datetime

from dropbox_client.call import Call, read_member, read_with, without_none
from dropbox_client.models import EventList


def get_cursor() -> Call[str]:
    return Call("GET", "/v1/events/cursor", read_member("cursor", str))


def get_page(cursor: str | None, *, since: datetime | None, limit: int, wait_s: float) -> Call[EventList]:
    begin = without_none(cursor=cursor, since=since.isoformat() if since else None)
    query = {"limit": str(limit), "wait_s": f"{wait_s:.3g}", **begin}
    return Call("GET", "/v1/events", read_with(EventList.from_json), query=query, wait_s=wait_s)
