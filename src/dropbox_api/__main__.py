"""`dropbox-api`: the server's command line. Each command but `dev` takes its settings from the environment."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
import yaml
from pydantic import ValidationError

from dropbox_api import __version__, migrations, problems
from dropbox_api.app import create_app
from dropbox_api.settings import Settings
from dropbox_api.storage.embedded import EmbeddedError
from dropbox_api.storage.object_store import StoreError
from dropbox_api.storage.probe import probe
from dropbox_api.workers import invariants, runner
from dropbox_api.workers.jobs import JOBS, sweep

cli = typer.Typer(
    help="A self-hosted Dropbox on your own Postgres and your own S3 bucket.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    cli()


def _load() -> Settings:
    """Read the settings; a wrong one ends the program with a sentence, not a traceback."""
    try:
        settings = Settings()
    except ValidationError as error:
        for entry in error.errors():
            where = "__".join(str(part) for part in entry["loc"]).upper()
            typer.echo(f"DROPBOX_{where}: {entry['msg']}" if where else entry["msg"], err=True)
        raise typer.Exit(2) from None
    logging.basicConfig(
        level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    return settings


@cli.command()
def dev(
    data: Annotated[Path, typer.Option(help="Where data, logs and secrets are kept.")] = Path(".dev"),
    port: Annotated[int | None, typer.Option(help="Of the API; another free one is taken when it is in use.")] = None,
) -> None:
    """Run everything on this machine: embedded Postgres and S3, API and worker."""
    from dropbox_api import dev as everything  # noqa: PLC0415 - needs the `embedded` extra, the others do not

    try:
        everything.run(data.absolute(), port=port)
    except EmbeddedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@cli.command()
def serve() -> None:
    """Serve the API."""
    settings = _load()
    uvicorn.run(
        "dropbox_api.__main__:application",
        factory=True,
        host=settings.http.host,
        port=settings.http.port,
        workers=settings.http.workers,
        log_level=settings.log_level.lower(),
        access_log=False,  # a proxy writes one; ours would hold nothing that it does not
        timeout_graceful_shutdown=30,
    )


def application() -> object:
    """Build the application from the environment: what uvicorn's worker processes call."""
    return create_app(_load())


@cli.command()
def worker(
    once: Annotated[str | None, typer.Option(help=f"Run one job once: {', '.join(JOBS)}.")] = None,
    dry_run: Annotated[bool, typer.Option(help="With --once sweep: report only.")] = False,
) -> None:
    """Run the background jobs."""
    settings = _load()
    if once is None:
        asyncio.run(_until_stopped(settings))
        return
    if once not in JOBS or (dry_run and once != "sweep"):
        typer.echo(f"jobs: {', '.join(JOBS)}; --dry-run goes with sweep", err=True)
        raise typer.Exit(2)

    async def job() -> None:
        async with runner.connected(settings) as (db, store):
            report = await (sweep(db, store, settings, dry_run=True) if dry_run else JOBS[once](db, store, settings))
        for note in report.notes:
            typer.echo(note)
        typer.echo(f"{once}: found {report.found}, done {report.done}, failed {report.failed}")

    asyncio.run(_explained(job()))


async def _until_stopped(settings: Settings) -> None:
    task = asyncio.ensure_future(runner.run_forever(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("worker stopped")


async def _explained(work: object) -> None:
    """Await something; what is not there ends the program with a sentence."""
    try:
        await work  # type: ignore[misc]
    except (problems.Problem, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@cli.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = _load()
    asyncio.run(migrations.migrate(settings.database))
    typer.echo(f"schema is at {migrations.head()}")


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    os.environ.setdefault("DROPBOX_MODE", "dev")
    document = create_app(Settings()).openapi()
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), nl=False)


@cli.command()
def doctor(
    check: Annotated[bool, typer.Option("--check", help="Check the invariants of all data, too.")] = False,
) -> None:
    """Look at database, schema and store, and say what is wrong."""
    settings = _load()
    healthy = asyncio.run(_doctor(settings, check=check))
    raise typer.Exit(0 if healthy else 1)


async def _doctor(settings: Settings, *, check: bool) -> bool:
    healthy = True

    def say(good: bool, message: str) -> None:
        nonlocal healthy
        healthy &= good
        typer.echo(f"{'ok ' if good else 'BAD'}  {message}")

    say(True, f"dropbox-api {__version__}, settings read")
    try:
        revision = await migrations.current(settings.database)
        say(
            revision == migrations.head(),
            f"database answers; schema at {revision}, this code needs {migrations.head()}",
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, a person wants to read it
        say(False, f"database: {type(error).__name__}: {error}")
        return healthy
    async with runner.connected(settings) as (db, store):
        try:
            found = await probe(store)
        except StoreError as error:
            say(False, f"store: {error.detail}")
            return healthy
        say(found.level is not None, f"store answers; level of proof {found.level or f'none: {found.missing}'}")
        for behaviour, holds in sorted(found.behaviours.items()):
            typer.echo(f"     {'yes' if holds else 'no ' if holds is False else '?  '} {behaviour}")
        say(abs(found.clock_skew_s) < 300, f"clock differs from the store's by {found.clock_skew_s:.1f} s")
        if check:
            broken = await invariants.violations(db, store)
            for violation in broken:
                say(False, f"{violation.invariant}: {violation.detail}")
            say(not broken, f"invariants: {len(broken)} violations")
    return healthy


if __name__ == "__main__":
    main()
