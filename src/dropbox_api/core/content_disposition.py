"""The Content-Disposition header for any file name.

Source: RFC 6266 section 4.3 and appendix D, RFC 5987 section 3.2.
"""

from urllib.parse import quote


def format_content_disposition(filename: str, *, inline: bool) -> str:
    """Return the header value in printable ASCII.

    `filename*` carries the exact name. The plain `filename` is for old clients: characters that it cannot hold, or that
    these clients misread, become `_`.
    """
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%/' else "_" for c in filename)
    extended = quote(filename, safe="!#$&+^`|", errors="replace")
    return f"{'inline' if inline else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{extended}"
