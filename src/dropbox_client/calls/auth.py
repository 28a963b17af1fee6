"""The sign-in of a client."""

from typing import Any

from dropbox_client.call import Call, read_member, read_nothing, read_with, without_none

_read_document = read_with(dict[str, Any])


def sign_in(email: str, password: str, otp: str | None) -> Call[dict[str, Any]]:
    form = without_none(grant_type="password", username=email, password=password, otp=otp)
    return Call("POST", "/v1/auth/token", _read_document, form=form, signed_in=False)


def sign_in_with_code(code: str, verifier: str) -> Call[dict[str, Any]]:
    body = {"code": code, "verifier": verifier}
    return Call("POST", "/v1/auth/oidc/token", _read_document, body=body, signed_in=False)


def refresh(refresh_token: str) -> Call[dict[str, Any]]:
    return Call("POST", "/v1/auth/refresh", _read_document, body={"refresh_token": refresh_token}, signed_in=False)


def sign_out(refresh_token: str) -> Call[None]:
    return Call("POST", "/v1/auth/logout", read_nothing, body={"refresh_token": refresh_token}, signed_in=False)


def check_token() -> Call[int]:
    """Return a request that any valid token is accepted for, if it has the scope files:read."""
    return Call("GET", "/v1/capabilities", read_member("batch_items", int))
