# SPDX-License-Identifier: Apache-2.0
"""Attempts that need somebody outside: things on the host and in a neighbour, under known names.

The names are those of attempts/ipc.c, which finds them on the host (control) and in the
neighbour itself (second control), and must not find them from another dyno.
"""

import ctypes
import os
import pathlib
import socket
import subprocess

import pytest

from dynod_testing import make_slug
from test_escape import ESCAPE, outcomes, told

NAMES = ["ipc/shared-memory", "ipc/messages", "ipc/semaphores", "ipc/queue", "ipc/abstract-socket"]
OF_THE_HOST = ["ipc/domain-name"]  # no dyno makes these
DOMAIN = pathlib.Path("/proc/sys/kernel/domainname")
KEY = 0x64796E6F
IPC_CREAT, IPC_RMID = 0o1000, 0

# Makes all of them where it runs, and stays.
NEIGHBOUR = f"""
import ctypes, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
assert libc.shmget({KEY}, 1, {IPC_CREAT} | 0o666) >= 0
assert libc.msgget({KEY}, {IPC_CREAT} | 0o666) >= 0
assert libc.semget({KEY}, 1, {IPC_CREAT} | 0o666) >= 0
assert libc.mq_open(b"/escape-queue", os.O_RDWR | os.O_CREAT, 0o666, None) >= 0
s = socket.socket(socket.AF_UNIX)
s.bind("\\0escape-abstract")
s.listen()
open("/tmp/escape-file", "w").write("the neighbour's")
open("/dev/shm/escape-file", "w").write("the neighbour's")
print(subprocess.run(["./escape", "run", {", ".join(repr(n) for n in NAMES)}],
                     capture_output=True, text=True).stdout, flush=True)
print("all there", flush=True)
time.sleep(1000000)
"""


class Libc:
    """System V and POSIX objects of the host, which Python knows nothing of."""

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)

    def checked(self, name, *arguments):
        result = getattr(self.libc, name)(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
        return result


@pytest.fixture(scope="module")
def on_the_host():
    """All of them on the host, open to everybody."""
    libc = Libc()
    shm = libc.checked("shmget", KEY, 1, IPC_CREAT | 0o666)
    msg = libc.checked("msgget", KEY, IPC_CREAT | 0o666)
    sem = libc.checked("semget", KEY, 1, IPC_CREAT | 0o666)
    domain = DOMAIN.read_text(encoding="ascii")
    DOMAIN.write_text("escape-domain\n", encoding="ascii")
    queue = libc.checked("mq_open", b"/escape-queue", os.O_RDWR | os.O_CREAT, 0o666, None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0escape-abstract")
        listener.listen()
        yield
    os.close(queue)
    libc.checked("mq_unlink", b"/escape-queue")
    libc.checked("shmctl", shm, IPC_RMID, None)
    libc.checked("msgctl", msg, IPC_RMID, None)
    libc.checked("semctl", sem, 0, IPC_RMID)
    DOMAIN.write_text(domain, encoding="ascii")


@pytest.fixture(scope="module")
def dynos(daemon, stack, tmp_path_factory):
    """An app with a neighbour that has made all of them; its name."""
    app = "outside-" + os.urandom(3).hex()
    path = make_slug(tmp_path_factory.mktemp("outside") / "slug.tgz",
                     {"Procfile": "neighbour: exec python3 neighbour.py\n", "neighbour.py": NEIGHBOUR,
                      "escape": ESCAPE.read_bytes()}, mode=0o755)
    daemon.ok("apps:create", app, "--stack", stack)
    daemon.ok("deploy", path, "-a", app, timeout=120)
    daemon.ok("ps:scale", "neighbour=1", "-a", app, timeout=120)
    daemon.wait_log(app, "all there", 60)
    yield app
    daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)


def lines_of(daemon, app):
    return "\n".join(line.partition(": ")[2] for line in daemon.logs(app).splitlines())


def test_found_where_they_are(daemon, dynos, on_the_host):
    on_host = subprocess.run([ESCAPE, "run", *NAMES, *OF_THE_HOST], capture_output=True, text=True, check=True).stdout
    for text, names in ((on_host, NAMES + OF_THE_HOST), (lines_of(daemon, dynos), NAMES)):
        assert {name: told(line) for name, line in outcomes(text).items()} == dict.fromkeys(names, "through")


def test_not_found_from_a_dyno(daemon, dynos, on_the_host):
    done = daemon.run(dynos, "./escape", "run", *NAMES, *OF_THE_HOST, timeout=90)
    wanted = dict.fromkeys(NAMES, "absent") | {"ipc/abstract-socket": "ECONNREFUSED", "ipc/domain-name": "nothing"}
    assert {name: told(line) for name, line in outcomes(done.stdout).items()} == wanted, done.stderr


def test_files_of_a_neighbour_are_not_there(daemon, dynos):
    shown = daemon.exec(dynos, "neighbour.1", "ls", "/tmp", "/dev/shm").stdout
    assert shown.count("escape-file") == 2
    done = daemon.run(dynos, "ls", "-A", "/tmp", "/var/tmp", "/dev/shm", timeout=90)
    assert done.returncode == 0 and "escape-file" not in done.stdout, done.stdout + done.stderr


def test_processes_of_a_neighbour_are_not_there(daemon, dynos):
    """Nor any of the host: what a dyno counts are its own."""
    done = daemon.run(dynos, "sh", "-c", "cat /proc/[0-9]*/comm; ls /proc", timeout=90)
    assert done.returncode == 0 and "neighbour" not in done.stdout
    names = {path.name for path in pathlib.Path("/proc").glob("[0-9]*")}
    seen = {word for word in done.stdout.split() if word.isdigit()}
    assert "1" in seen and len(seen) < 10 < len(names), seen
