"""`dropbox-api`: the server's command line. Every command except `dev` reads its settings from the environment."""

import asyncio
import gc
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
import uvicorn
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import DBAPIError

from dropbox_api import __version__, migrations, problems, serving
from dropbox_api.accounts import personal_tokens, users, verify_address
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import Address, CreateToken, CreateUser, ManagedUser, UpdateUser
from dropbox_api.app import create_app
from dropbox_api.db import Db
from dropbox_api.events import wakeup
from dropbox_api.openapi import to_yaml
from dropbox_api.plumbing import logs
from dropbox_api.plumbing.epoch import start_epoch
from dropbox_api.plumbing.health import find_clock_fault, find_cors_fault, find_schema_fault
from dropbox_api.plumbing.mail import Mailer
from dropbox_api.plumbing.store_config import find_shared_host, read_s3_config
from dropbox_api.settings import Settings
from dropbox_api.storage.cors import make_cors_rule
from dropbox_api.storage.embedded.guard import EmbeddedError
from dropbox_api.storage.object_store import NoSpace, StoreError
from dropbox_api.storage.probe import BucketCapabilities, probe_bucket
from dropbox_api.workers import diagnosis, invariants, runner, thumbnail_objects
from dropbox_api.workers.jobs import JOBS
from dropbox_api.workers.sweep import report_orphans

cli = typer.Typer(
    help="A self-hosted Dropbox on your own Postgres and your own S3 bucket.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

users_command = typer.Typer(help="Manage accounts, directly in the database.", no_args_is_help=True)
cli.add_typer(users_command, name="users")
thumbnails_command = typer.Typer(help="Thumbnails of pictures, PDF files and videos.", no_args_is_help=True)
cli.add_typer(thumbnails_command, name="thumbnails")


def main() -> None:
    """Run the command line."""
    cli()


def _load_settings() -> Settings:
    """Read the settings; a wrong one ends the program with a message instead of a traceback."""
    try:
        settings = Settings()
    except ValidationError as error:
        for entry in error.errors():
            where = "__".join(str(part) for part in entry["loc"]).upper()
            typer.echo(f"DROPBOX_{where}: {entry['msg']}" if where else entry["msg"], err=True)
        raise typer.Exit(2) from None
    logs.configure(settings)
    return settings


@cli.command()
def dev(
    data: Annotated[Path, typer.Option(help="Folder of data, logs and secrets.")] = Path(".dev"),
    port: Annotated[int | None, typer.Option(help="Port of the API; a free one if it is in use.")] = None,
) -> None:
    """Run everything on this machine: embedded Postgres and S3, API and worker."""
    from dropbox_api import dev as everything  # noqa: PLC0415 - only this command needs the extra `embedded`

    try:
        everything.run(data.absolute(), port=port)
    except EmbeddedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@cli.command()
def serve() -> None:
    """Serve the API."""
    settings = _load_settings()
    uvicorn.run(
        "dropbox_api.__main__:application",
        factory=True,
        host=settings.http.host,
        port=settings.http.port,
        workers=settings.http.workers,
        **serving.options(settings),
    )


def application() -> object:
    """Create the application from the environment; uvicorn's processes call this."""
    app = create_app(_load_settings())
    # Thousands of waiting requests are live objects: scanning them for garbage again and again takes half of the
    # processor time. Objects that exist by now stay alive anyway.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return app


@cli.command()
def worker(
    once: Annotated[str | None, typer.Option(help=f"Run one job once: {', '.join(JOBS)}.")] = None,
    dry_run: Annotated[bool, typer.Option(help="With --once sweep: report only.")] = False,
) -> None:
    """Run the background jobs."""
    settings = _load_settings()
    if once is None:
        asyncio.run(_report_errors(_run_until_stopped(settings)))
        return
    if once not in JOBS or (dry_run and once != "sweep"):
        typer.echo(f"jobs: {', '.join(JOBS)}; --dry-run works only with sweep", err=True)
        raise typer.Exit(2)

    async def job() -> None:
        if dry_run:
            async with runner.open_services(settings) as services:
                report = await report_orphans(services)
        else:
            report = await runner.run_once(settings, once)
        for note in report.notes:
            typer.echo(note)
        typer.echo(f"{once}: found {report.found}, done {report.done}, failed {report.failed}")

    asyncio.run(_report_errors(job()))


async def _run_until_stopped(settings: Settings) -> None:
    task = asyncio.ensure_future(runner.run_forever(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("worker stopped")


async def _report_errors(work: Awaitable[None]) -> None:
    """Await the work; a problem or a store error ends the program with a message."""
    try:
        await work
    except (problems.Problem, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@thumbnails_command.command("rebuild")
def rebuild_thumbnails(
    all_of_them: Annotated[
        bool, typer.Option("--all", help="All of them, and try again what gave none; else those that the store lost.")
    ] = False,
) -> None:
    """Have the worker make thumbnails again."""
    settings = _load_settings()

    async def work() -> None:
        async with runner.open_services(settings) as services:
            requeue = thumbnail_objects.requeue_all if all_of_them else thumbnail_objects.requeue_lost
            typer.echo(f"{await requeue(services)} contents are queued for the worker")

    asyncio.run(_report_errors(work()))


@cli.command()
def migrate() -> None:
    """Upgrade the database to the newest schema."""
    settings = _load_settings()
    try:
        asyncio.run(migrations.migrate(settings.database))
    except migrations.MigrationBlockedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except (OSError, DBAPIError) as error:  # the database is away, or refuses the sign-in
        if isinstance(error, DBAPIError) and error.statement is not None:
            raise
        reason = error.orig if isinstance(error, DBAPIError) else error
        typer.echo(f"no connection to the database: {reason}: check DROPBOX_DATABASE__URL", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"schema is at {migrations.head()}")


@cli.command()
def restored() -> None:
    """Tell clients to read everything again. Run it after every restore of the database, before the server starts.

    Restores that change the system identifier or the timeline of Postgres are noticed without it.
    """

    async def work(db: Db, _: Settings) -> None:
        typer.echo(f"data epoch {await start_epoch(db)} begins: ETags and cursors of events from before are void")

    _run_with_database(work)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    os.environ.setdefault("DROPBOX_MODE", "dev")
    typer.echo(to_yaml(create_app(Settings()).openapi()), nl=False)


@cli.command()
def doctor(
    check: Annotated[bool, typer.Option("--check", help="Also check the invariants of all data.")] = False,
) -> None:
    """Check database, store and workers, and print a remedy for each fault. Exit code 1 after any fault."""
    settings = _load_settings()
    healthy = asyncio.run(_doctor(settings, check=check))
    raise typer.Exit(0 if healthy else 1)


class _Say(Protocol):
    def __call__(self, is_good: bool, message: str, remedy: str = "") -> None:
        """Print one finding, with its remedy if it is a fault."""


async def _doctor(settings: Settings, *, check: bool) -> bool:
    healthy = True

    def say(is_good: bool, message: str, remedy: str = "") -> None:
        nonlocal healthy
        healthy &= is_good
        typer.echo(f"{'ok' if is_good else '!!'}  {message}{f': {remedy}' if remedy and not is_good else ''}")

    say(True, f"settings: dropbox-api {__version__}, mode {settings.mode}")
    if not await _doctor_database(settings, say):
        return False
    async with runner.open_services(settings) as services:
        db, store = services.db, services.store
        try:
            capabilities = await probe_bucket(read_s3_config(settings), origins=settings.web_origins)
        except NoSpace as error:
            say(False, f"store: full: {error.detail}", diagnosis.MAKE_ROOM)
        except StoreError as error:
            say(False, f"store: {error.detail}", "check DROPBOX_S3__*, the bucket and its policy")
        else:
            level = capabilities.level or f"none: {', '.join(capabilities.missing)}"
            say(
                capabilities.level is not None,
                f"store: level of proof {level}",
                "this store cannot be trusted with uploads",
            )
            for behaviour, holds in sorted(capabilities.behaviours.items()):
                typer.echo(f"      {'yes' if holds else 'no ' if holds is False else '?  '} {behaviour}")
            clock_fault = find_clock_fault(capabilities.clock_skew_s)
            say(clock_fault is None, f"clock: {clock_fault or 'the same as the store'}", "run NTP on both")
            _say_browsers(settings, capabilities, say)
        for finding in await diagnosis.diagnose(db, settings):
            say(finding.is_good, finding.message, finding.remedy)
        if check:
            broken = await invariants.find_violations(db, store)
            for violation in broken:
                say(False, f"{violation.invariant}: {violation.detail}")
            say(not broken, f"invariants: {len(broken)} violations")
    return healthy


def _say_browsers(settings: Settings, capabilities: BucketCapabilities, say: _Say) -> None:
    """Tell whether pages can use the store, and whether it gets their cookies."""
    if settings.web_origins:
        fault = find_cors_fault(capabilities.blocked_origins)
        rule = json.dumps(make_cors_rule(settings.web_origins))
        say(fault is None, f"browsers: {fault or 'may upload'}", f"install this rule (put-bucket-cors): {rule}")
    host = find_shared_host(settings)
    if host:
        remedy = "give the store a host name of its own: cookies ignore ports"
        say(False, f"cookies: API and store share the host {host}", remedy)


async def _doctor_database(settings: Settings, say: _Say) -> bool:
    """Return whether database and schema are usable for further checks."""
    try:
        fault = find_schema_fault(await migrations.current(settings.database))
        say(True, "database: answers")
    except Exception as error:  # noqa: BLE001 - the operator must see every error
        say(False, f"database: {type(error).__name__}: {error}", "check DROPBOX_DATABASE__URL")
        return False
    say(fault is None, f"schema: {fault or migrations.head()}", "run `dropbox-api migrate`")
    try:
        can_listen = await wakeup.can_listen(settings.database)
    except Exception as error:  # noqa: BLE001
        can_listen, result = False, f"{type(error).__name__}: {error}"
    else:
        result = "receives notifications" if can_listen else "receives no notifications"
    say(can_listen, f"listen connection: {result}", "set DROPBOX_DATABASE__LISTEN_URL to Postgres itself")
    return fault is None


# Users

_UserWork = Callable[[Db, Settings], Awaitable[None]]
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGTP]i?)?B?", re.IGNORECASE)


def _parse_bytes(text: str) -> int:
    """Read a size such as 50GiB, 1.5TB or 1048576."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a size: write 50GiB, 1.5TB or a number of bytes")
    unit = (found[2] or "").lower()
    factor = (1024 if unit.endswith("i") else 1000) ** " kmgtp".index(unit[:1] or " ")
    return int(Decimal(found[1]) * factor)


Email = Annotated[str, typer.Argument(help="The address of the account.")]
QuotaBytes = Annotated[
    int | None, typer.Option("--bytes", parser=_parse_bytes, metavar="SIZE", help="The quota, such as 50GiB.")
]
QuotaNodes = Annotated[int | None, typer.Option("--nodes", min=0, help="The quota of files and folders.")]


def _run_with_database(work: _UserWork) -> None:
    """Run the work with a database connection; an error ends the program with a message."""
    settings = _load_settings()

    async def connected() -> None:
        db = Db.connect(settings.database)
        try:
            await work(db, settings)
        finally:
            await db.close()

    try:
        asyncio.run(_report_errors(connected()))
    except ValidationError as error:
        for entry in error.errors(include_input=False):
            typer.echo(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}".removeprefix(": "), err=True)
        raise typer.Exit(2) from None


def _change_user(email: str, **changes: Any) -> None:
    async def work(db: Db, _: Settings) -> None:
        user_id = await users.require_user_id(db, email.lower())
        _show(await users.change_user(db, user_id, UpdateUser(**changes)))

    _run_with_database(work)


def _show(user: ManagedUser) -> None:
    flags = {
        "service": user.kind == "service",
        "admin": user.is_admin,
        "second-factor": user.second_factor,
        "disabled": user.disabled_at is not None and user.purge_at is None,
        "in-deletion": user.purge_at is not None and user.deleted_at is None,
        "deleted": user.deleted_at is not None,
    }
    stored = f"{user.used_bytes / 1024**3:.2f} of {user.quota_bytes / 1024**3:.2f} GiB"
    notes = " ".join(name for name, holds in flags.items() if holds)
    typer.echo(f"{user.id}  {user.email:<40}  {stored:>24}  {user.used_nodes:>9} files  {notes}".rstrip())


@users_command.command("list")
def list_users(text: Annotated[str | None, typer.Argument(help="A part of the address.")] = None) -> None:
    """List accounts: id, address, usage and flags."""

    async def work(db: Db, _: Settings) -> None:
        cursor = None
        while True:
            page = await users.list_users(db, q=text, limit=1000, cursor=cursor)
            for user in page.items:
                _show(user)
            cursor = page.next_cursor
            if cursor is None:
                return

    _run_with_database(work)


@users_command.command("create")
def create_user(
    *,
    email: Email,
    service: Annotated[bool, typer.Option("--service", help="The account of a program: tokens only.")] = False,
    administers: Annotated[bool, typer.Option("--admin", help="Make it an administrator.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from one line of stdin.")
    ] = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="The user sets one by mail, or signs in by OIDC.")
    ] = False,
    quota_bytes: QuotaBytes = None,
    quota_nodes: QuotaNodes = None,
) -> None:
    """Create an account. Asks for the password unless an option says otherwise."""
    password = None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not (service or no_password):
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def work(db: Db, settings: Settings) -> None:
        new = CreateUser.model_validate(
            {
                "email": email,
                "password": password,
                "kind": "service" if service else "person",
                "quota_bytes": quota_bytes,
                "quota_nodes": quota_nodes,
            }
        )
        passwords = Passwords(1)
        try:
            user = await users.create_user(db, settings.auth, passwords, new)
        finally:
            passwords.close()
        if administers:
            user = await users.change_user(db, user.id, UpdateUser(is_admin=True))
        _show(user)

    _run_with_database(work)


@users_command.command("disable")
def disable_user(email: Email) -> None:
    """Disable an account: its sessions and tokens end at once, its files stay."""
    _change_user(email, disabled=True)


@users_command.command("enable")
def enable_user(email: Email) -> None:
    """Enable a disabled account."""
    _change_user(email, disabled=False)


@users_command.command("quota")
def set_quota(email: Email, quota_bytes: QuotaBytes = None, quota_nodes: QuotaNodes = None) -> None:
    """Set the quota of an account. A quota below its usage deletes nothing and refuses new content."""
    _change_user(email, quota_bytes=quota_bytes, quota_nodes=quota_nodes)


@users_command.command("admin")
def set_admin(
    email: Email, revoke: Annotated[bool, typer.Option("--revoke", help="Make it an ordinary account.")] = False
) -> None:
    """Make an account an administrator."""
    _change_user(email, is_admin=not revoke)


@users_command.command("address")
def set_address(email: Email, new_email: Annotated[str, typer.Argument(help="The new address.")]) -> None:
    """Give an account another address, and send the mail that confirms it. Verify the user's identity first."""

    async def work(db: Db, settings: Settings) -> None:
        address = TypeAdapter(Address).validate_python(new_email)
        user_id = await users.require_user_id(db, email.lower())
        _show(await users.change_address(db, user_id, address))
        mailer = Mailer(settings.mail)
        mailer.send_composed(partial(verify_address.compose_verification, db, settings, user_id))
        await mailer.close()

    _run_with_database(work)


@users_command.command("reset-second-factor")
def reset_second_factor(email: Email) -> None:
    """Remove app, passkeys and recovery codes of an account and end its sessions. Verify the user's identity first."""

    async def work(db: Db, _: Settings) -> None:
        user_id = await users.require_user_id(db, email.lower())
        await users.remove_second_factor(db, user_id)
        _show(await users.get_user(db, user_id))

    _run_with_database(work)


@users_command.command("token")
def create_token(
    email: Email,
    name: Annotated[str, typer.Option(help="The purpose of the token.")],
    scope: Annotated[list[str], typer.Option(help="files:read, files:write or processing; may be repeated.")],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; default: never.")] = None,
) -> None:
    """Create an access token for a service account and print it. It is shown only once."""

    async def work(db: Db, _: Settings) -> None:
        expires_in_s = None if days is None else days * 86400
        new = CreateToken.model_validate({"name": name, "scopes": scope, "expires_in_s": expires_in_s})
        user_id = await users.require_user_id(db, email.lower())
        created = await personal_tokens.create_service_token(db, user_id, new)
        typer.echo(created.token)

    _run_with_database(work)


if __name__ == "__main__":
    main()
