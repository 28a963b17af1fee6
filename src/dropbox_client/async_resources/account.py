"""Generated from `resources/account.py` by `make sdk`: edit that module."""

import builtins
from collections.abc import AsyncIterator, Sequence

from dropbox_client.async_resources.resource import Resource
from dropbox_client.calls import account
from dropbox_client.models.account import (
    Account,
    AccountDeletion,
    CreatedPersonalToken,
    Device,
    Passkey,
    PersonalToken,
    Scope,
    SecondFactorProposal,
    SignInSession,
    StorageUsage,
)
from dropbox_client.models.sharing import Contact


class OwnAccount(Resource):
    """The account of the caller.

    A `password` is None for an account without one: the server then requires a sign-in of the last minutes.
    """

    async def register(self, email: str, password: str) -> Account:
        """Create an account; `sign_in` follows. Raises EmailTaken, RegistrationClosed, WeakPassword."""
        return await self._run(account.register(email, password))

    async def find_identity_provider(self) -> str | None:
        """Return the name of the server's identity provider; None if it has none."""
        return await self._run(account.find_identity_provider())

    async def get(self) -> Account:
        """Return the account, its usage and its quota."""
        return await self._run(account.get())

    async def get_deletion(self) -> AccountDeletion:
        """Return what a deletion of the account takes, from the caller and from others."""
        return await self._run(account.get_deletion())

    async def request_deletion(self, password: str | None) -> AccountDeletion:
        """Delete the account: sign-ins, tokens, webhooks and grants end now, files are deleted after the time of grace.

        Raises: InvalidCredentials, Forbidden (an old sign-in, or the last administrator).
        """
        return await self._run(account.request_deletion(password))

    async def cancel_deletion(self) -> None:
        """Restore the account with a new sign-in, within the time of grace. Raises Forbidden, NotFound."""
        return await self._run(account.cancel_deletion())

    async def get_storage(self) -> StorageUsage:
        """Return what uses the storage of the account; of a large one a report of the last 10 minutes."""
        return await self._run(account.get_storage())

    async def set_display_name(self, name: str | None) -> Account:
        """Set the name that people with whom the account shares see; None removes it. Raises InvalidRequest."""
        return await self._run(account.set_display_name(name))

    def list_contacts(self) -> AsyncIterator[Contact]:
        """Iterate over the people with whom the caller shares now, newest share first."""
        return self._pages(account.list_contacts())

    async def change_password(self, current_password: str | None, new_password: str) -> None:
        """Change the password and end all other sign-ins. Raises InvalidCredentials, WeakPassword."""
        return await self._run(account.change_password(current_password, new_password))

    async def request_email_verification(self) -> None:
        """Send a mail that confirms the address of the account."""
        return await self._run(account.request_email_verification())

    async def verify_email(self, token: str) -> None:
        """Confirm an address with the token of the mail. Raises InvalidMailToken."""
        return await self._run(account.verify_email(token))

    async def request_email_change(self, email: str, password: str | None = None) -> None:
        """Send a mail to a new address, whose link makes it the address of the account.

        Raises: InvalidCredentials; EmailTaken for the address of the account itself; Forbidden (see `confirm`, or a
            server without mail).
        """
        return await self._run(account.request_email_change(email, password))

    async def change_email(self, token: str) -> None:
        """Give the account its new address with the token of the mail. Raises InvalidMailToken, EmailTaken."""
        return await self._run(account.change_email(token))

    async def undo_email_change(self, token: str, new_password: str) -> None:
        """Give the account its former address back, with the token of the notice, and set a new password.

        Raises InvalidMailToken, WeakPassword.
        """
        return await self._run(account.undo_email_change(token, new_password))

    async def request_password_reset(self, email: str) -> None:
        """Send a mail that resets the password, if the address has an account."""
        return await self._run(account.request_password_reset(email))

    async def reset_password(self, token: str, new_password: str) -> None:
        """Set a new password with the token of the mail. Raises InvalidMailToken, WeakPassword."""
        return await self._run(account.reset_password(token, new_password))

    async def propose_second_factor(self, password: str | None) -> SecondFactorProposal:
        """Return a new secret for an authenticator app. Raises InvalidCredentials, SecondFactorState."""
        return await self._run(account.propose_second_factor(password))

    async def confirm_second_factor(self, code: str) -> builtins.list[str]:
        """Turn the second factor on with a code of the app and return the recovery codes. Raises as above."""
        return await self._run(account.confirm_second_factor(code))

    async def replace_recovery_codes(self, password: str | None, otp: str | None) -> builtins.list[str]:
        """Return new recovery codes, which invalidate the old ones. Raises as above."""
        return await self._run(account.replace_recovery_codes(password, otp))

    async def remove_second_factor(self, password: str | None, otp: str) -> None:
        """Turn the second factor off. Raises as above."""
        return await self._run(account.remove_second_factor(password, otp))

    async def confirm(self, password: str) -> None:
        """Confirm this sign-in, so that it may add tokens and remove passkeys for ten minutes.

        Raises InvalidCredentials.
        """
        return await self._run(account.confirm(password))

    async def list_passkeys(self) -> builtins.list[Passkey]:
        """Return the passkeys of the account, newest first."""
        return await self._run(account.list_passkeys())

    async def rename_passkey(self, passkey_id: str, name: str) -> Passkey:
        """Rename a passkey. Raises NotFound."""
        return await self._run(account.rename_passkey(passkey_id, name))

    async def remove_passkey(self, passkey_id: str) -> None:
        """Remove a passkey and end all other sign-ins. Raises NotFound, Forbidden (see `confirm`)."""
        return await self._run(account.remove_passkey(passkey_id))

    async def set_passkeys_only(self, *, enabled: bool) -> None:
        """Choose whether a sign-in by password needs a code. Raises SecondFactorState, Forbidden (see `confirm`)."""
        return await self._run(account.set_passkeys_only(enabled))

    def list_sign_ins(self) -> AsyncIterator[SignInSession]:
        """Iterate over the sign-ins of the account, newest first."""
        return self._pages(account.list_sign_ins())

    async def end_sign_in(self, sign_in_id: str) -> None:
        """End a sign-in immediately. Raises NotFound."""
        return await self._run(account.end_sign_in(sign_in_id))

    async def end_other_sign_ins(self) -> None:
        """End all sign-ins but that of this client."""
        return await self._run(account.end_other_sign_ins())

    async def list_devices(self) -> builtins.list[Device]:
        """Return the devices that report to the account, last seen first."""
        return await self._run(account.list_devices())

    async def report_device(self, device_id: str, name: str, *, cursor: str | None, pending: int = 0) -> Device:
        """Report how far a device has read the events; `device_id` is a UUID that the device keeps.

        Raises: InvalidCursor, TooManyDevices.
        """
        return await self._run(account.report_device(device_id, name, cursor, pending))

    async def remove_device(self, device_id: str) -> None:
        """Remove a device from the list; its next report adds it again. Raises NotFound."""
        return await self._run(account.remove_device(device_id))

    def list_tokens(self) -> AsyncIterator[PersonalToken]:
        """Iterate over the valid personal access tokens, newest first."""
        return self._pages(account.list_tokens())

    async def create_token(
        self, name: str, scopes: Sequence[Scope], *, expires_in_s: int | None = None
    ) -> CreatedPersonalToken:
        """Create a personal access token; only this result has `token`.

        Raises Forbidden: scope `admin`, or reason `sign-in-too-old` (see `confirm`).
        """
        return await self._run(account.create_token(name, scopes, expires_in_s))

    async def revoke_token(self, token_id: str) -> None:
        """Revoke a personal access token immediately. Raises NotFound."""
        return await self._run(account.revoke_token(token_id))
