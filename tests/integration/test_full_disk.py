# SPDX-License-Identifier: Apache-2.0
"""A disk that is full during an import: said so, and what was there stays usable."""

import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from dynod_testing import native_daemon, wait_until

pytestmark = pytest.mark.native

PLACES = ("dev", "proc", "sys", "app", "tmp", "var", "var/tmp", "etc", "usr", "bin")


def stack_archive(path, noise):
    with tarfile.open(path, "w") as tar:
        for place in PLACES:
            info = tarfile.TarInfo(f"./{place}/")
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        if noise:
            info = tarfile.TarInfo("./usr/noise")
            info.size = noise
            with open("/dev/urandom", "rb") as source:
                tar.addfile(info, source)
    return path


@pytest.fixture
def small(tmp_path):
    """A daemon whose state folder has 24 MB."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dynod-itest.", dir="/var/tmp"))
    state = folder / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(state)], check=True)
    try:
        small = native_daemon(pathlib.Path(os.environ["DYNOD_BUILD"]), folder, "itsmall",
                              "network = 172.31.128.0/20\nservice_address = 172.31.128.1\nuid_base = 1879120000\n")
        small.start()
        yield small
        small.stop()
        subprocess.run(small.command("--purge"), check=False, timeout=60)
    finally:
        subprocess.run(["umount", str(state)], check=True)
        shutil.rmtree(folder)


@pytest.mark.parametrize("noise", [12 << 20, 40 << 20], ids=["tree does not fit", "archive does not fit"])
def test_import_on_a_full_disk_is_refused_and_undone(small, tmp_path, noise):
    small.ok("stacks:import", "good", stack_archive(tmp_path / "good.tar", 0))
    before = free(small)
    error = small.refused("stacks:import", "big", stack_archive(tmp_path / "big.tar", noise))
    assert "room" in error.lower() and str(small.state_dir) in error, error
    assert [stack["name"] for stack in small.json("stacks")] == ["good"]
    wait_until(lambda: before - free(small) < 1 << 20, "what the import wrote is gone", 10)
    small.ok("apps:create", "still-works", "--stack", "good")


def free(daemon):
    stat = os.statvfs(daemon.state_dir)
    return stat.f_bavail * stat.f_bsize
