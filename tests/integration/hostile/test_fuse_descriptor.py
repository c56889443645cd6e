# SPDX-License-Identifier: Apache-2.0
"""A client's archive on a file system of its own, whose daemon never answers close(2)."""

import os
import pathlib
import pty
import socket
import subprocess
import sys

import pytest

from dynod_testing import time_factor, wait_until

SERVER = pathlib.Path(__file__).parent / "fuse_server.py"


@pytest.fixture
def archive(tmp_path, slug):
    """Path of a slug on FUSE, and a function that lists who has closed it: [pid, name] each."""
    where, said = tmp_path / "fuse", tmp_path / "said"
    where.mkdir()
    content = slug({"Procfile": "idle: sleep 1000000\n"})
    with open(said, "wb") as out:
        server = subprocess.Popen([sys.executable, SERVER, where, content, "dynod", "dynod-superviso"], stdout=out)

    def closed_by():
        return [line.split() for line in said.read_text().splitlines()[1:]]
    try:
        wait_until(lambda: "mounted" in said.read_text(), "the file system is mounted", 10)
        yield where / "archive", closed_by
    finally:
        server.kill()
        server.wait()
        subprocess.run(["umount", "-l", where], check=True)


def test_archive_on_fuse_is_deployed(daemon, app, archive):
    path, closed_by = archive
    daemon.ok("deploy", path, "-a", app, timeout=30)
    daemon.ok("ps:scale", "idle=1", "-a", app, timeout=60)
    assert {name for _, name in closed_by()} == {"herokuctl"}


def test_nobody_closes_a_hostile_file(daemon, archive):
    """The supervisor drops who sends it one, and serves all others."""
    path, closed_by = archive
    before = daemon.pids_of("dynod-supervisor")
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as client, open(path, "rb") as file:
            client.settimeout(30 * time_factor())
            client.connect(str(daemon.socket))
            socket.send_fds(client, [b"\0"], [file.fileno()])
            assert client.recv(1) == b""
        daemon.ok("host:info")
    assert not {name for _, name in closed_by() if name.startswith("dynod")}, closed_by()
    assert daemon.pids_of("dynod-supervisor") == before


def test_detached_run_from_a_terminal(daemon, app, slug):
    """A descriptor goes along that nobody needs, and it is none of the terminal."""
    daemon.ok("deploy", slug({"Procfile": "idle: sleep 1000000\n"}), "-a", app, timeout=60)
    ours, theirs = pty.openpty()
    try:
        subprocess.run([str(daemon.herokuctl), "run:detached", "-a", app, "--", "echo", "said so"], check=True,
                       stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, timeout=60 * time_factor(),
                       env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)})
    finally:
        os.close(ours)
        os.close(theirs)
    daemon.wait_log(app, "said so")
