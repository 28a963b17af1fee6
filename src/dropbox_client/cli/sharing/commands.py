"""Who else may see your files, and what others let you see."""

from argparse import Namespace
from datetime import UTC, datetime, timedelta
from functools import partial

from dropbox_client.api import Client
from dropbox_client.cli import output, remote
from dropbox_client.cli.environment import connect, for_each
from dropbox_client.errors import ClientError, Usage
from dropbox_client.models import File, GrantedRole, Link


class NotSharedWith(ClientError):
    """They have no access that could be ended here."""


def share(options: Namespace) -> int:
    """Share with people, or list who has access."""
    if options.edit and not options.emails:
        raise Usage("say with whom to share it")
    role: GrantedRole = "editor" if options.edit else "viewer"
    with connect() as client:
        file = remote.find(client, options.path)
        if not options.emails:
            for grant in client.list_grants(file.id):
                output.grant(grant, json=options.json)
            return 0
        return for_each(
            options.emails, lambda email: output.grant(client.grant(file.id, email, role), json=options.json)
        )


def unshare(options: Namespace) -> int:
    """Stop sharing with people."""
    with connect() as client:
        file = remote.find(client, options.path)
        return for_each(options.emails, partial(_unshare, client, file))


def _unshare(client: Client, file: File, email: str) -> None:
    theirs = [grant for grant in client.list_grants(file.id) if email.casefold() in {grant.email, grant.user_id}]
    here = [grant for grant in theirs if not grant.inherited]
    if not theirs:
        raise NotSharedWith(f"{remote.shown(file)} is not shared with them")
    if not here:
        raise NotSharedWith(f"a folder above {remote.shown(file)} is shared with them: unshare that")
    for grant in here:
        client.revoke_grant(file.id, grant.id)


def shared(options: Namespace) -> None:
    """List what others share with you."""
    with connect() as client:
        for file in client.shared_with_me():
            output.shared(file, long=options.long, json=options.json)


def leave(options: Namespace) -> int:
    """Give up what others share with you."""
    with connect() as client:
        return for_each(options.things, lambda thing: client.leave(remote.find_shared(client, thing.rstrip("/")).id))


def link(options: Namespace) -> None:
    """Make a link and print its address, or list the links there are."""
    settings = (options.password, options.password_stdin, options.expires, options.max_downloads)
    if options.list and any(settings):
        raise Usage("--list goes with nothing else")
    with connect() as client:
        file = remote.find(client, options.path)
        if options.list:
            for found in client.list_links(file.id):
                output.link(found, _address(client, found), json=options.json)
            return
        made = client.create_link(
            file.id,
            options.mode,
            password=_password(options),
            expires_at=datetime.now(UTC) + timedelta(seconds=options.expires) if options.expires else None,
            max_downloads=options.max_downloads,
        )
        address = _address(client, made)
        if options.json:
            output.record(made, url=address)
        else:
            output.say(address)


def _password(options: Namespace) -> str | None:
    if options.password_stdin:
        return output.ask("").rstrip("\n")
    if options.password:
        return output.ask_secret("Password of the link: ", twice=True, instead="--password-stdin")
    return None


def _address(client: Client, found: Link) -> str:
    return client.base_url + found.url_path


def unlink(options: Namespace) -> int:
    """End links."""
    with connect() as client:
        return for_each(options.ids, client.revoke_link)
