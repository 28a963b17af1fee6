"""Addresses and headers of the server that no request can carry: an error without their text, which may be secret."""

import pytest

from dropbox_client.async_transport import AsyncTransport
from dropbox_client.errors import ClientError, InvalidResponse
from dropbox_client.transport import Transport

REQUESTS = [
    ("file:///etc/signature", {}),
    ("signature", {}),
    ("http://", {}),
    ("http://127.0.0.1:99999/signature", {}),
    ("http://[::1/signature", {}),
    ("http://../signature", {}),
    ("http://127.0.0.1:1/a\r\nX: signature", {}),
    ("http://127.0.0.1:1/", {"X": "signature\r\nY: z"}),
    ("http://127.0.0.1:1/", {"X": "signature\udcff"}),
    ("http://127.0.0.1:1/", {"signature: y\r\n": "z"}),
]


@pytest.mark.parametrize(("url", "headers"), REQUESTS)
def test_request_that_cannot_be_sent_fails_without_showing_it(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(ClientError) as failed:
        Transport().send("PUT", url, headers, b"")
    assert "signature" not in str(failed.value)


@pytest.mark.parametrize(("url", "headers"), REQUESTS)
async def test_request_that_cannot_be_sent_fails_the_same_in_the_asynchronous_client(
    url: str, headers: dict[str, str]
) -> None:
    transport = AsyncTransport()
    with pytest.raises(ClientError) as failed:
        await transport.send("PUT", url, headers, b"")
    await transport.close()
    assert "signature" not in str(failed.value)


def test_password_in_an_address_of_the_server_is_not_shown() -> None:
    with pytest.raises(ClientError, match=r"127\.0\.0\.1:1: ") as failed:
        Transport().send("GET", "http://ada:pass-word@127.0.0.1:1/x?signature", {})
    assert "pass-word" not in str(failed.value)
    assert "signature" not in str(failed.value)
    assert not isinstance(failed.value, InvalidResponse)
