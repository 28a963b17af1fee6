"""The paths of the web app: the only places in this server's origin to which a sign-in may return.

A page that a stranger controls, such as one of a link, must never receive the code of a sign-in.
"""

import re

CLIENT_PREFIXES = (
    "/sign-in",
    "/sign-up",
    "/welcome",
    "/files",
    "/recent",
    "/conflict-copies",
    "/shared",
    "/links",
    "/trash",
    "/search",
    "/activity",
    "/storage",
    "/account",
    "/admin",
    "/share-target",
)
"""Each with everything below it; `/` is the start page."""

_ADDRESS = re.compile(r"(/[^?#\\\s\x00-\x1f\x7f]*)(\?[^#\\\s\x00-\x1f\x7f]*)?")
_DOTS = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)


def is_client_path(address: str) -> bool:
    """Tell whether a path, with or without a query, is one of the web app, as browsers read it."""
    found = _ADDRESS.fullmatch(address)
    if found is None or _DOTS.search(found[1]):
        return False
    path = found[1]
    return path == "/" or any(path == prefix or path.startswith(f"{prefix}/") for prefix in CLIENT_PREFIXES)
