"""Signing in with a browser, at the server's identity provider.

The browser comes back to a port of this computer, with a code that is good only together with our verifier: whoever
else sees the code, or sends us one of theirs, signs nobody in. Sources: RFC 8252 (native apps), RFC 7636 (PKCE).
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

from dropbox_client.api import Client
from dropbox_client.cli import output
from dropbox_client.errors import ClientError, Usage

_PATIENCE_S = 300
_SILENCE_S = 10
"""Of a connection; browsers open some that they never use."""

_PAGE = b"<!doctype html><title>dbx</title><p>That is all: you can close this window and go back to your terminal."


class SignInFailed(ClientError):
    """The browser came back without a sign-in, or not at all."""


def sign_in(client: Client, *, open_browser: bool) -> None:
    """Let a person sign in with a browser on this computer, and keep the tokens.

    Raises: Usage when the server has no identity provider; SignInFailed; ApiProblem oidc-failed.
    """
    provider = client.identity_provider()
    if provider is None:
        raise Usage(f"{client.base_url} knows no identity provider: sign in with --email")
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Listener() as listener:
        query = urlencode({"cli_port": listener.server_address[1], "challenge": challenge})
        address = f"{client.base_url}/v1/auth/oidc/start?{query}"
        output.note(f"sign in at {provider} in your browser: {address}")
        if open_browser:
            webbrowser.open(address)
        code = listener.wait()
    client.sign_in_with_code(code, verifier)


class _Listener(ThreadingHTTPServer):
    """Waits on the loopback interface for the browser to come back."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()

    def __enter__(self) -> "_Listener":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def wait(self) -> str:
        """Return the code that the browser brings. Raises SignInFailed."""
        try:
            heard = self.heard.get(timeout=_PATIENCE_S)
        except queue.Empty:
            raise SignInFailed(f"nobody signed in within {_PATIENCE_S // 60} minutes") from None
        if "code" not in heard:
            raise SignInFailed(f"the sign-in did not work out: {heard['error']!r}")
        return heard["code"]


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        answer = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if asked.path != "/" or not {"code", "error"} & set(answer):  # an icon, or somebody curious
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
        self.server.heard.put(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the code is in the request line."""
