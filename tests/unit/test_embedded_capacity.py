"""What `dropbox-api dev` takes from the disk: the volumes of SeaweedFS, and the quota of an account."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api import dev
from dropbox_api.storage.embedded.seaweedfs import choose_volume_mib

GIB = 1024**3
TIB = 1024**4


@given(st.integers(8 * GIB, 30 * TIB))
def test_volumes_of_a_disk_leave_little_unused_and_stay_few(free_bytes: int) -> None:
    volume_bytes = choose_volume_mib(free_bytes) << 20
    assert 2 * volume_bytes <= free_bytes / 50  # SeaweedFS leaves up to two volumes unused
    assert free_bytes / volume_bytes < 1100


@pytest.mark.parametrize(
    ("free_bytes", "volume_mib"),
    [(GIB, 64), (20 * GIB, 204), (250 * GIB, 1024), (TIB, 1048), (8 * TIB, 8388), (100 * TIB, 30_000)],
)
def test_volume_of_a_disk_is_in_the_range_of_seaweedfs(free_bytes: int, volume_mib: int) -> None:
    assert choose_volume_mib(free_bytes) == volume_mib


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "quota_gib"),
    [(8000, 7000, 100), (250, 60, 47.5 + 1), (100, 50, 45 + 1), (100, 2, 0)],
)
def test_default_quota_fits_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total_gib: int, free_gib: int, quota_gib: float
) -> None:
    """1 GiB of the used space is the content of earlier runs, which counts towards the quota."""
    volumes = tmp_path / "s3" / "data"
    volumes.mkdir(parents=True)
    with (volumes / "dropbox_1.dat").open("wb") as file:
        file.truncate(GIB)
    usage = shutil._ntuple_diskusage(total_gib * GIB, (total_gib - free_gib) * GIB, free_gib * GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert dev.choose_quota(tmp_path) == int(quota_gib * GIB)
