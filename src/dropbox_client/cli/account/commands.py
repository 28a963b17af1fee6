"""login, logout, whoami, storage, password, second-factor, passkeys, tokens, sign-ins, devices."""

import os
from argparse import Namespace

from dropbox_client.cli import output
from dropbox_client.cli.arguments import DEFAULT_SERVER, Format
from dropbox_client.cli.confirm import ask_own_password, with_confirmation
from dropbox_client.cli.environment import RETRY_FOR_S, connect, for_each, get_server, read_access_token, token_file
from dropbox_client.cli.wait_report import start_wait_report
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, Usage
from dropbox_client.models import Account, Device, Passkey, PersonalToken, SignInSession, StorageUsage
from dropbox_client.problems import Forbidden

# Sign-in


def login(options: Namespace) -> None:
    """Sign in and store the tokens."""
    server = options.server or get_server() or DEFAULT_SERVER
    with Client(server, token_file(), retry_for_s=RETRY_FOR_S) as client:
        start_wait_report(client, Format.TEXT)
        if options.token:
            token, source = os.environ.get("DBX_TOKEN"), "DBX_TOKEN"
            if not token:
                token, source = output.ask_secret("Access token: "), "stdin"
            client.sign_in_with_token(read_access_token(server, token, source).access_token)
            output.print_note(f"stored an access token for {client.base_url}")
            return
        if options.sso:
            from dropbox_client.cli.account.sso import sign_in_with_browser  # noqa: PLC0415

            sign_in_with_browser(client, open_browser=not options.no_browser)
            email = client.account.get().email
        else:
            email = options.email or output.ask_required("Email: ", "use --email")
            _sign_in_with_password(client, email, options)
        output.print_note(f"signed in to {client.base_url} as {email}")
        _tell_bounds(client)


def _tell_bounds(client: Client) -> None:
    """Tell what to do next if the sign-in lacks a demanded second factor, or its account is being deleted."""
    try:
        next(iter(client.account.list_sign_ins()), None)
    except Forbidden as refused:
        if refused.reason == "being-deleted":
            output.print_note("This account is being deleted. To keep it: dbx account restore")
            return
        if refused.reason != "second-factor-missing":
            raise
        output.print_note(
            "This server demands a second factor, and until then this sign-in can do nothing else. Set one up with",
            f"`dbx second-factor enable`, or open {client.base_url} in a browser.",
        )


def _sign_in_with_password(client: Client, email: str, options: Namespace) -> None:
    if options.password_stdin:
        password = output.read_secret()
    elif options.register:
        password = output.ask_new_secret("Password: ", alternative="use --password-stdin")
    else:
        password = output.ask_secret("Password: ", alternative="use --password-stdin")
    if options.register:
        client.account.register(email, password)
    try:
        client.sign_in(email, password, otp=options.otp)
    except ApiError as problem:
        if problem.code != "second-factor-required" or options.otp:
            raise
        client.sign_in(email, password, otp=_ask_otp(options))


def _ask_otp(options: Namespace) -> str:
    return options.otp or output.ask_required("Code of your app, or a recovery code: ", "use --otp")


def logout(_: Namespace) -> None:
    """Sign out, here and on the server."""
    if os.environ.get("DBX_TOKEN"):
        raise Usage("DBX_TOKEN is set, and used instead of a sign-in: unset it")
    with connect() as client:
        client.sign_out()


def whoami(options: Namespace) -> None:
    """Show the account and its quota; first set its display name if one is given."""
    with connect() as client:
        me = client.account.set_display_name(options.name) if options.name else client.account.get()
    if options.format is Format.JSON:
        output.print_json(me, server=client.base_url)
    else:
        output.print_text(*_describe_account(me, client.base_url))


def _describe_account(me: Account, server: str) -> list[str]:
    attributes = (
        (me.kind == "service", "service account"),
        (me.is_admin, "administrator"),
        (me.kind == "person" and not me.email_verified_at, "address not confirmed"),
        (bool(me.second_factor), "second factor on"),
        (me.kind == "person" and me.has_password is False, "no password"),
    )
    used, quota = output.format_bytes(me.used_bytes), output.format_bytes(me.quota_bytes)
    lines = [
        f"{me.display_name} <{me.email}> at {server}" if me.display_name else f"{me.email} at {server}",
        ", ".join(text for applies, text in attributes if applies),
        f"{used} of {quota} used, {me.used_nodes} files and folders",
        f"{output.format_bytes(me.reserved_bytes)} reserved for unfinished uploads" if me.reserved_bytes else "",
    ]
    return [line for line in lines if line]


def storage(options: Namespace) -> None:
    """Show what uses the storage of the account."""
    with connect() as client:
        usage = client.account.get_storage()
    if options.format is Format.JSON:
        output.print_json(usage)
    else:
        output.print_text(*_describe_storage(usage))


def _describe_storage(usage: StorageUsage) -> list[str]:
    parts = (
        ("images", usage.image_bytes),
        ("videos", usage.video_bytes),
        ("audio", usage.audio_bytes),
        ("documents", usage.document_bytes),
        ("archives", usage.archive_bytes),
        ("other files", usage.other_bytes),
        ("older versions", usage.revision_bytes),
        ("trash", usage.trash_bytes),
        ("unfinished", usage.unplaced_bytes),
    )
    used, quota = output.format_bytes(usage.used_bytes), output.format_bytes(usage.quota_bytes)
    lines = [f"{output.format_size_column(size_bytes)}  {name}" for name, size_bytes in parts if size_bytes]
    return [*lines, f"{used} of {quota} used; counted at {output.format_time(usage.computed_at)}"]


def change_password(_: Namespace) -> None:
    """Change the password, or set the first one."""
    with connect() as client:
        old = ask_own_password(client)
        client.account.change_password(old, output.ask_new_secret("New password: "))
    output.print_note("password changed; all other sign-ins have ended")


def change_address(options: Namespace) -> None:
    """Request a mail to a new address."""
    with connect() as client:
        with_confirmation(client, lambda: client.account.request_email_change(options.email))
    output.print_note(
        f"A mail was sent to {options.email}: open its link within the hour, and stay signed in here until then.",
        "The account keeps its address until then. The former address gets a mail that can undo the change for 7 days.",
    )


def delete_account(options: Namespace) -> None:
    """Show what a deletion takes, ask, and delete the account."""
    with connect() as client:
        me, deletion = client.account.get(), client.account.get_deletion()
        output.print_note(
            f"{me.email}: {deletion.nodes} files and folders, {deletion.links} links and {deletion.webhooks} webhooks"
            " will be deleted.",
            f"{deletion.grantees} people lose access to {deletion.shared_items} shared items at once.",
        )
        if not options.yes and output.ask(f"Delete the account? Write {me.email} to confirm: ").strip() != me.email:
            raise Usage("the address was not written: nothing is deleted")
        requested = client.account.request_deletion(ask_own_password(client))
    when = output.format_time(requested.purge_at) if requested.purge_at else ""
    output.print_note(f"The account will be deleted for good on {when}; to keep it: dbx login; dbx account restore")


def restore_account(_: Namespace) -> None:
    """Restore the account."""
    with connect() as client:
        client.account.cancel_deletion()
    output.print_note("The account is restored. Shares, tokens and webhooks have ended; files and links are as before.")


# Second factor


def enable_second_factor(_: Namespace) -> None:
    """Show a secret, confirm it with a code, and print the recovery codes."""
    with connect() as client:
        proposal = client.account.propose_second_factor(ask_own_password(client))
        output.print_note(
            f"Add this secret to your authenticator app: {proposal.secret}", f"or open: {proposal.otpauth_url}"
        )
        code = output.ask_required("Code that the app shows: ", "write it to stdin, on the line after the password")
        codes = client.account.confirm_second_factor(code)
    if codes:
        output.print_note("The second factor is on. Store these recovery codes: each replaces a code of the app once.")
        output.print_text(*codes)
    else:
        output.print_note("The second factor is on. The recovery codes that you have stay valid.")


def disable_second_factor(options: Namespace) -> None:
    """Turn the second factor off."""
    with connect() as client:
        client.account.remove_second_factor(ask_own_password(client), _ask_otp(options))
    output.print_note("the second factor is off")


def replace_recovery_codes(options: Namespace) -> None:
    """Print new recovery codes, which invalidate the old ones."""
    with connect() as client:
        output.print_text(*client.account.replace_recovery_codes(ask_own_password(client), _ask_otp(options)))


# Passkeys


def list_passkeys(options: Namespace) -> None:
    """List the passkeys of the account."""
    with connect() as client:
        output.print_results(client.account.list_passkeys(), _describe_passkey, options.format)


def _describe_passkey(passkey: Passkey) -> str:
    used = output.format_time(passkey.last_used_at) if passkey.last_used_at else "never used"
    return f"{passkey.id}  {used:<16}  {passkey.name}"


def remove_passkeys(options: Namespace) -> int:
    """Remove passkeys; asks for the password if the sign-in is older than ten minutes."""

    with connect() as client:
        return for_each(
            options.ids,
            lambda passkey_id: with_confirmation(client, lambda: client.account.remove_passkey(passkey_id)),
        )


# Personal access tokens


def list_tokens(options: Namespace) -> None:
    """List the personal access tokens."""
    with connect() as client:
        output.print_results(client.account.list_tokens(), _describe_token, options.format)


def _describe_token(token: PersonalToken) -> str:
    used = output.format_time(token.last_used_at) if token.last_used_at else "never used"
    expiry = f"until {output.format_time(token.expires_at)}" if token.expires_at else "until revoked"
    return f"{token.id}  {used:<16}  {expiry:<22}  {','.join(sorted(token.scopes))}  {token.name}"


def create_token(options: Namespace) -> None:
    """Create a token and print it alone on a line."""
    with connect() as client:
        scopes, account = sorted(set(options.scopes)), client.account
        token = with_confirmation(
            client, lambda: account.create_token(options.name, scopes, expires_in_s=options.expires)
        )
    output.print_result(token, lambda created: str(created.token), options.format)


def revoke_tokens(options: Namespace) -> int:
    """Revoke tokens."""
    with connect() as client:
        return for_each(options.ids, client.account.revoke_token)


# Sign-ins


def list_sign_ins(options: Namespace) -> None:
    """List the sign-ins of the account."""
    with connect() as client:
        output.print_results(client.account.list_sign_ins(), _describe_sign_in, options.format)


def _describe_sign_in(sign_in: SignInSession) -> str:
    mark = "*" if sign_in.is_current else " "
    used = output.format_time(sign_in.last_used_at)
    return f"{mark} {sign_in.id}  {used}  {sign_in.address or '-':<15}  {sign_in.user_agent or '-'}"


def revoke_sign_ins(options: Namespace) -> int:
    """End sign-ins."""
    with connect() as client:
        return for_each(options.ids, client.account.end_sign_in)


def revoke_other_sign_ins(_: Namespace) -> None:
    """End all other sign-ins."""
    with connect() as client:
        client.account.end_other_sign_ins()


# Devices


def list_devices(options: Namespace) -> None:
    """List the devices that report to the account."""
    with connect() as client:
        output.print_results(client.account.list_devices(), _describe_device, options.format)


def _describe_device(device: Device) -> str:
    behind = "nothing read" if device.behind is None else f"{device.behind} behind"
    seen = output.format_time(device.last_seen_at)
    return f"{device.id}  {seen}  {behind:<12}  {device.pending} to send  {device.name}"


def remove_devices(options: Namespace) -> int:
    """Remove devices from the list."""
    with connect() as client:
        return for_each(options.ids, client.account.remove_device)
