"""The address of a server, as people type it. No I/O."""

from urllib.parse import urlsplit


def read_address(text: str) -> str:
    """Return the base URL of a server, without a slash at its end.

    Raises: ValueError with a text for the user. It shows no user name or password that the address contains.
    """
    address = text.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").strip(".").encode("idna")
        is_complete = bool(host) and parts.port != 0
    except ValueError:  # the brackets, the port, a label of the host
        is_complete = False
    if not address.lower().startswith(("http://", "https://")):
        raise ValueError("an address must begin with http:// or https://, as in https://files.example.org")
    if not is_complete or any(ord(sign) <= 0x20 or ord(sign) == 0x7F for sign in address):
        raise ValueError("the host or the port is not valid: write an address as https://files.example.org:8000")
    if "@" in parts.netloc:
        raise ValueError("an address must not contain a user name or a password: sign in instead")
    if "?" in address or "#" in address or not parts.path.isascii():
        raise ValueError("an address must not have a query, a fragment, or a path with other than ASCII characters")
    return address
