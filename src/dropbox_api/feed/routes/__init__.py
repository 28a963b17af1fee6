"""`/v1/events`: read the journal, wait for new events (long poll), or receive them as a stream; devices; activity.

A waiting request holds no database connection and no lock. It waits while the response is sent, after FastAPI has
released the request's resources, so thousands can wait. It registers its waiter before the first read: no event between
the read and the wait is missed.
"""

from fastapi import APIRouter

from dropbox_api.feed.routes import activity, devices, events

router = APIRouter()
router.include_router(events.router)
router.include_router(devices.router)
router.include_router(activity.router)
