"""Sign-in with a browser at the server's identity provider.

The browser returns to a port of this computer with a code that is valid only together with the client's verifier. A
stolen or injected code therefore signs nothing in. Sources: RFC 8252 (native apps), RFC 7636 (PKCE).
"""

import base64
import hashlib
import queue
import secrets
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from dropbox_client.cli import output
from dropbox_client.client import Client
from dropbox_client.errors import ClientError, Usage

_SIGN_IN_TIMEOUT_S = 300
_IDLE_TIMEOUT_S = 10
"""Of a connection: browsers open some that they never use."""

_PAGE = b"<!doctype html><title>dbx</title><p>You can close this window and return to your terminal."


class SignInFailed(ClientError):
    """The browser returned an error, or did not return in time."""


def sign_in_with_browser(client: Client, *, open_browser: bool) -> None:
    """Print the address of the sign-in, open it in a browser if requested, wait for its result and store the tokens.

    Raises: Usage if the server has no identity provider; SignInFailed; ApiError oidc-failed.
    """
    provider = client.account.find_identity_provider()
    if provider is None:
        raise Usage(f"{client.base_url} has no identity provider: sign in with --email")
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Listener() as listener:
        query = urlencode({"cli_port": listener.server_address[1], "challenge": challenge})
        address = f"{client.base_url}/v1/auth/oidc/start?{query}"
        output.print_note(f"sign in at {provider} in your browser: {address}")
        if open_browser:
            webbrowser.open(address)
        code = listener.wait_for_code()
    client.sign_in_with_code(code, verifier)


class _Listener(ThreadingHTTPServer):
    """Waits on the loopback interface for the redirect of the browser."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.results: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()

    def __enter__(self) -> "_Listener":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def wait_for_code(self) -> str:
        """Return the code that the browser brings. Raises SignInFailed."""
        try:
            result = self.results.get(timeout=_SIGN_IN_TIMEOUT_S)
        except queue.Empty:
            raise SignInFailed(f"no sign-in within {_SIGN_IN_TIMEOUT_S // 60} minutes") from None
        if "code" not in result:
            raise SignInFailed(f"the sign-in failed: {result['error']!r}")
        return result["code"]


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = _IDLE_TIMEOUT_S

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        result = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path != "/" or not {"code", "error"} & set(result):  # a favicon, or an unrelated request
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(_PAGE)))
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(_PAGE)
        self.server.results.put(result)

    def log_message(self, *_: Any) -> None:
        """Log nothing: the request line contains the code."""
