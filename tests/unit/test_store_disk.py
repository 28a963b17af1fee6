"""The disk of a store on this machine: when it is low, and when it is not known."""

import shutil
from pathlib import Path

import pytest

from dropbox_api.plumbing.store_disk import StoreDisk, read_store_disk
from dropbox_api.settings import S3Settings, Settings

GIB = 1024**3


@pytest.mark.parametrize(("free_gib", "is_low"), [(11, False), (10, False), (9, True), (0, True)])
def test_disk_below_a_tenth_is_low(free_gib: int, is_low: bool) -> None:
    assert StoreDisk(100 * GIB, free_gib * GIB).is_low is is_low


def test_disk_of_a_directory_is_that_of_its_file_system(tmp_path: Path) -> None:
    disk = read_store_disk(Settings(mode="dev", s3=S3Settings(data_dir=str(tmp_path))))
    assert disk is not None
    assert disk.total_bytes == shutil.disk_usage(tmp_path).total


@pytest.mark.parametrize("data_dir", [None, "/does/not/exist"])
def test_disk_without_a_directory_is_unknown(data_dir: str | None) -> None:
    assert read_store_disk(Settings(mode="dev", s3=S3Settings(data_dir=data_dir))) is None
