"""The account of the caller: password, second factor, sign-ins, tokens."""

from collections.abc import Sequence
from typing import Any

from dropbox_client.call import Call, Listing, read_items, read_nothing, read_with, without_none
from dropbox_client.models import (
    Account,
    AccountDeletion,
    Contact,
    CreatedPersonalToken,
    Device,
    Passkey,
    PersonalToken,
    Scope,
    SecondFactorProposal,
    SignInSession,
    StorageUsage,
)


def register(email: str, password: str) -> Call[Account]:
    body = {"email": email, "password": password}
    return Call("POST", "/v1/auth/register", read_with(Account.from_json), body=body, signed_in=False)


def find_identity_provider() -> Call[str | None]:
    def read(document: dict[str, Any]) -> str | None:
        return document["name"] if document["enabled"] else None

    return Call("GET", "/v1/auth/oidc", read_with(read), signed_in=False)


def get() -> Call[Account]:
    return Call("GET", "/v1/me", read_with(Account.from_json))


def get_deletion() -> Call[AccountDeletion]:
    return Call("GET", "/v1/me/deletion", read_with(AccountDeletion.from_json))


def request_deletion(password: str | None) -> Call[AccountDeletion]:
    body = without_none(password=password)
    return Call("POST", "/v1/me/deletion", read_with(AccountDeletion.from_json), body=body)


def cancel_deletion() -> Call[None]:
    return Call("DELETE", "/v1/me/deletion", read_nothing)


def get_storage() -> Call[StorageUsage]:
    return Call("GET", "/v1/me/storage", read_with(StorageUsage.from_json))


def set_display_name(name: str | None) -> Call[Account]:
    return Call("PATCH", "/v1/me", read_with(Account.from_json), body={"display_name": name})


def list_contacts() -> Listing[Contact]:
    return Listing("/v1/me/contacts", Contact.from_json)


def change_password(current_password: str | None, new_password: str) -> Call[None]:
    body = without_none(current_password=current_password, new_password=new_password)
    return Call("PUT", "/v1/me/password", read_nothing, body=body)


def request_email_verification() -> Call[None]:
    return Call("POST", "/v1/auth/verify-email/request", read_nothing)


def verify_email(token: str) -> Call[None]:
    return Call("POST", "/v1/auth/verify-email", read_nothing, body={"token": token}, signed_in=False)


def request_email_change(email: str, password: str | None) -> Call[None]:
    return Call("POST", "/v1/me/email", read_nothing, body=without_none(email=email, password=password))


def change_email(token: str) -> Call[None]:
    return Call("POST", "/v1/auth/change-email", read_nothing, body={"token": token}, signed_in=False)


def undo_email_change(token: str, new_password: str) -> Call[None]:
    body = {"token": token, "new_password": new_password}
    return Call("POST", "/v1/auth/undo-email", read_nothing, body=body, signed_in=False)


def request_password_reset(email: str) -> Call[None]:
    return Call("POST", "/v1/auth/reset-password/request", read_nothing, body={"email": email}, signed_in=False)


def reset_password(token: str, new_password: str) -> Call[None]:
    body = {"token": token, "new_password": new_password}
    return Call("POST", "/v1/auth/reset-password", read_nothing, body=body, signed_in=False)


def propose_second_factor(password: str | None) -> Call[SecondFactorProposal]:
    body = without_none(password=password)
    return Call("POST", "/v1/me/second-factor", read_with(SecondFactorProposal.from_json), body=body)


def confirm_second_factor(code: str) -> Call[list[str]]:
    return Call("POST", "/v1/me/second-factor/confirm", read_items(str, "recovery_codes"), body={"code": code})


def replace_recovery_codes(password: str | None, otp: str | None) -> Call[list[str]]:
    body = without_none(password=password, otp=otp)
    return Call("POST", "/v1/me/second-factor/recovery-codes", read_items(str, "recovery_codes"), body=body)


def remove_second_factor(password: str | None, otp: str) -> Call[None]:
    body = without_none(password=password, otp=otp)
    return Call("DELETE", "/v1/me/second-factor", read_nothing, body=body)


def confirm(password: str) -> Call[None]:
    return Call("POST", "/v1/me/confirm", read_nothing, body={"password": password})


def list_passkeys() -> Call[list[Passkey]]:
    return Call("GET", "/v1/me/passkeys", read_items(Passkey.from_json))


def rename_passkey(passkey_id: str, name: str) -> Call[Passkey]:
    return Call("PATCH", f"/v1/me/passkeys/{passkey_id}", read_with(Passkey.from_json), body={"name": name})


def remove_passkey(passkey_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/me/passkeys/{passkey_id}", read_nothing)


def set_passkeys_only(enabled: bool) -> Call[None]:
    return Call("PUT", "/v1/me/passkeys-only", read_nothing, body={"enabled": enabled})


def list_sign_ins() -> Listing[SignInSession]:
    return Listing("/v1/me/sessions", SignInSession.from_json)


def end_sign_in(sign_in_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/me/sessions/{sign_in_id}", read_nothing)


def end_other_sign_ins() -> Call[None]:
    return Call("DELETE", "/v1/me/sessions", read_nothing)


def list_devices() -> Call[list[Device]]:
    return Call("GET", "/v1/me/devices", read_items(Device.from_json))


def report_device(device_id: str, name: str, cursor: str | None, pending: int) -> Call[Device]:
    body = {"name": name, "cursor": cursor, "pending": pending}
    return Call("PUT", f"/v1/me/devices/{device_id}", read_with(Device.from_json), body=body)


def remove_device(device_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/me/devices/{device_id}", read_nothing)


def list_tokens() -> Listing[PersonalToken]:
    return Listing("/v1/me/tokens", PersonalToken.from_json)


def create_token(name: str, scopes: Sequence[Scope], expires_in_s: int | None) -> Call[CreatedPersonalToken]:
    body = {"name": name, "scopes": list(scopes), "expires_in_s": expires_in_s}
    return Call("POST", "/v1/me/tokens", read_with(CreatedPersonalToken.from_json), body=body)


def revoke_token(token_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/me/tokens/{token_id}", read_nothing)
