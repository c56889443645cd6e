# SPDX-License-Identifier: Apache-2.0
"""A client's archive on a file system of its own, whose daemon never answers root's close(2)."""

import pathlib
import subprocess
import sys

import pytest

from dynod_testing import wait_until

SERVER = pathlib.Path(__file__).parent / "fuse_server.py"


@pytest.fixture
def archive(tmp_path, slug):
    """Path of a slug on FUSE, and a function that lists who has closed it: [pid, name] each."""
    where, said = tmp_path / "fuse", tmp_path / "said"
    where.mkdir()
    content = slug({"Procfile": "idle: sleep 1000000\n"})
    with open(said, "wb") as out:
        server = subprocess.Popen([sys.executable, SERVER, where, content, "dynod"], stdout=out)

    def closed_by():
        return [line.split() for line in said.read_text().splitlines()[1:]]
    try:
        wait_until(lambda: "mounted" in said.read_text(), "the file system is mounted", 10)
        yield where / "archive", closed_by
    finally:
        server.kill()
        server.wait()
        subprocess.run(["umount", "-l", where], check=True)


def test_root_never_has_a_clients_file(daemon, app, archive):
    path, closed_by = archive
    daemon.ok("deploy", path, "-a", app, timeout=30)
    daemon.ok("ps:scale", "idle=1", "-a", app, timeout=60)
    names = {name for _, name in closed_by()}
    assert {"dynod-superviso", "dynod-unpacker"} <= names, "the attack does not work"
    assert str(daemon.main_pid()) not in [pid for pid, _ in closed_by()], closed_by()
