"""share, unshare, shared, leave, link, unlink, upload-tokens."""

from argparse import Namespace
from datetime import UTC, datetime, timedelta
from functools import partial

from dropbox_client.cli import output, remote
from dropbox_client.cli.arguments import Format
from dropbox_client.cli.environment import connect, for_each
from dropbox_client.client import Client
from dropbox_client.errors import ClientError, Usage
from dropbox_client.models import File, Grant, GrantedRole, Link, OwnShare, UploadToken


class NotSharedWith(ClientError):
    """The address has no access that could be revoked here."""


def share(options: Namespace) -> int:
    """Share with people, or list who has access."""
    if options.edit and not options.emails:
        raise Usage("--edit needs an EMAIL to share with")
    role: GrantedRole = "editor" if options.edit else "viewer"
    with connect() as client:
        file = remote.get_file(client, options.path)
        if not options.emails:
            output.print_results(client.shares.list(file.id), _describe_grant, options.format)
            return 0

        def grant(email: str) -> None:
            output.print_result(client.shares.grant(file.id, email, role), _describe_grant, options.format)

        return for_each(options.emails, grant)


def _describe_grant(grant: Grant) -> str:
    pending = "  (pending: no account with this confirmed address)" if grant.pending else ""
    inherited = "  (inherited from a folder above)" if grant.inherited else ""
    name = f"  {grant.display_name}" if grant.display_name else ""
    return f"{grant.role:<6}  {grant.email or grant.user_id}{name}{pending}{inherited}"


def unshare(options: Namespace) -> int:
    """Stop sharing with people."""
    with connect() as client:
        file = remote.get_file(client, options.path)
        return for_each(options.emails, partial(_revoke_access, client, file))


def _revoke_access(client: Client, file: File, email: str) -> None:
    grants = [grant for grant in client.shares.list(file.id) if email.casefold() in {grant.email, grant.user_id}]
    own_grants = [grant for grant in grants if not grant.inherited]
    if not grants:
        raise NotSharedWith(f"{remote.format_path(file)} is not shared with this address")
    if not own_grants:
        raise NotSharedWith(f"{remote.format_path(file)} is shared through a folder above: unshare that folder")
    for grant in own_grants:
        client.shares.revoke(file.id, grant.id)


def list_shared(options: Namespace) -> None:
    """List what is shared with the caller, or what the caller shares."""
    if options.by_me:
        with connect() as client:
            describe_own = _describe_own_share if options.long else _format_own_share
            output.print_results(client.shares.list_by_me(), describe_own, options.format)
        return
    describe = _describe_shared if options.long else _format_name
    with connect() as client:
        output.print_results(client.shares.list_with_me(), describe, options.format)


def _format_name(file: File) -> str:
    return f"{remote.format_path(file)}/" if file.kind == "folder" else remote.format_path(file)


def _describe_shared(file: File) -> str:
    kind = "d" if file.kind == "folder" else "-"
    size = output.format_size_column(file.size_bytes)
    when = output.format_time(file.client_modified_at or file.modified_at)
    return f"{kind} {size}  {when}  {file.role:<6}  {file.owner}  {file.id}  {_format_name(file)}"


def _format_own_share(share: OwnShare) -> str:
    return _format_name(share.file)


def _describe_own_share(share: OwnShare) -> str:
    counts = f"{share.grant_count:>3} grants  {share.link_count:>3} links"
    return f"{output.format_time(share.shared_at)}  {counts}  {share.file.id}  {_format_name(share.file)}"


def leave(options: Namespace) -> int:
    """Give up access to shared items."""
    with connect() as client:
        return for_each(
            options.things, lambda thing: client.shares.leave(remote.get_shared_file(client, thing.rstrip("/")).id)
        )


def link(options: Namespace) -> None:
    """Create a link and print its address, or list the links."""
    limits = (options.max_downloads, options.max_size, options.max_file_size, options.max_files)
    if options.list and any((options.password, options.password_stdin, options.expires, *limits)):
        raise Usage("--list cannot be combined with options of a new link")
    with connect() as client:
        file = remote.get_file(client, options.path)
        if options.list:
            for existing in client.links.list(file.id):
                _print_link(existing, _describe_link(existing, _format_address(client, existing)), client, options)
            return
        created = client.links.create(
            file.id,
            options.mode,
            password=_ask_link_password(options),
            expires_at=datetime.now(UTC) + timedelta(seconds=options.expires) if options.expires else None,
            max_downloads=options.max_downloads,
            max_bytes=options.max_size,
            max_file_bytes=options.max_file_size,
            max_files=options.max_files,
        )
        _print_link(created, _format_address(client, created), client, options)


def _ask_link_password(options: Namespace) -> str | None:
    if options.password_stdin:
        return output.read_secret()
    if options.password:
        return output.ask_new_secret("Password of the link: ", alternative="use --password-stdin")
    return None


def _print_link(shown: Link, text: str, client: Client, options: Namespace) -> None:
    if options.format is Format.JSON:
        output.print_json(shown, url=_format_address(client, shown))
    else:
        output.print_text(text)


def _describe_link(shown: Link, address: str) -> str:
    used = _describe_use(shown)
    expiry = f"  until {output.format_time(shown.expires_at)}" if shown.expires_at else ""
    password = "  with a password" if shown.has_password else ""
    return f"{shown.id}  {shown.mode:<8}  {used}{expiry}{password}  {address}"


def _describe_use(shown: Link) -> str:
    if shown.mode != "upload":
        limit = "" if shown.max_downloads is None else f" of {shown.max_downloads}"
        return f"{shown.downloads}{limit} downloads"
    files = "" if shown.max_files is None else f" of {shown.max_files}"
    size = "" if shown.max_bytes is None else f" of {output.format_bytes(shown.max_bytes)}"
    each = "" if shown.max_file_bytes is None else f", {output.format_bytes(shown.max_file_bytes)} each"
    return f"{shown.received_files}{files} files, {output.format_bytes(shown.received_bytes)}{size}{each}"


def _format_address(client: Client, shown: Link) -> str:
    return client.base_url + shown.url_path


def unlink(options: Namespace) -> int:
    """Revoke links."""
    with connect() as client:
        return for_each(options.ids, client.links.revoke)


def list_upload_tokens(options: Namespace) -> None:
    """List the upload tokens."""
    with connect() as client:
        output.print_results(client.uploads.list_tokens(), _describe_upload_token, options.format)


def _describe_upload_token(token: UploadToken) -> str:
    used = f"{output.format_bytes(token.received_bytes)} of {output.format_bytes(token.max_bytes)}"
    return f"{token.id}  until {output.format_time(token.expires_at)}  {used:<22}  {token.parent_id}"


def create_upload_token(options: Namespace) -> None:
    """Create an upload token and print it alone on a line."""
    with connect() as client:
        folder = remote.get_file(client, options.path)
        token = client.uploads.create_token(folder, max_bytes=options.max_size, expires_in_s=options.expires)
    output.print_result(token, lambda created: created.token, options.format)


def revoke_upload_tokens(options: Namespace) -> int:
    """Revoke upload tokens."""
    with connect() as client:
        return for_each(options.ids, client.uploads.revoke_token)
