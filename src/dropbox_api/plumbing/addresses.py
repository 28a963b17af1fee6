"""The address at which people reach this server, for mails, links and redirects.

Never taken from a request: whoever sends the Host header would choose where a link with a secret in it leads.
"""

from dropbox_api.settings import Settings


def base_url(settings: Settings) -> str | None:
    """Return it without a slash at the end; None when nobody said what it is, outside `dev`."""
    if settings.http.public_url:
        return settings.http.public_url.rstrip("/")
    return f"http://{settings.http.host}:{settings.http.port}" if settings.mode == "dev" else None
