"""ETags of files and folders: `"<epoch>.<version>"`, the epoch of the data and the version of the node.

The epoch makes an ETag from before a restore of the database match no state after it. Only this module knows the form.
"""

import re

from dropbox_api import problems

_ETAG = re.compile(r'\s*(?:W/)?("[^"]*")\s*(?:,|$)')


def format_etag(epoch: str, version: int) -> str:
    """Return the ETag, with its quotes, of a version of a node. `plumbing.epoch.EPOCH` selects the epoch."""
    return f'"{epoch}.{version}"'


def add_quotes(if_match: str) -> str:
    """Return an `if_match` of a JSON body as the header has it: there an ETag may come without its quotes."""
    return if_match if '"' in if_match or if_match.strip() == "*" else f'"{if_match.strip()}"'


def names_etag(header: str, value: str, etag: str) -> bool:
    """Return whether an If-Match or If-None-Match names an ETag: `*`, or a list of ETags.

    A weak ETag counts as a strong one, because a proxy that compresses an answer weakens its ETag.
    Raises InvalidRequest (not a list of ETags).
    """
    if value.strip() == "*":
        return True
    listed = _ETAG.findall(value)
    if not listed or _ETAG.sub("", value).strip():
        raise problems.InvalidRequest.at(f"/{header}", 'should be "*" or a list of ETags in quotes')
    return etag in listed
