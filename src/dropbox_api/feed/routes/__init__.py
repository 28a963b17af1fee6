"""`/v1/events`: read the journal, wait for new events (long poll), or receive them as a stream.

A waiting request holds no database connection and no lock. It waits while the response is sent, after FastAPI has
released the request's resources, so thousands can wait. It registers its waiter before the first read: no event between
the read and the wait is missed.
"""

from dropbox_api.feed.routes.events import router

__all__ = ["router"]
