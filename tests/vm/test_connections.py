# SPDX-License-Identifier: Apache-2.0
"""The host's table of connections, made small: no dyno takes it from a neighbour or the host."""

import contextlib
import json
import pathlib
import socket
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from dynod_testing import WEB_SLUG, make_slug  # noqa: E402
from test_app_network import NEAR, outside  # noqa: E402,F401

pytestmark = pytest.mark.vm

MAX = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")
ROOM = 800
SHARE = 32  # half of an eighth, as a power of two: the other half is for what comes in

HOLD = """
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
listener = socket.create_server(("", 7007), backlog=512)
print("ready", flush=True)
kept = []
while True:
    kept.append(listener.accept()[0])
"""

# Opens connections until no more of them are answered, says how many, and holds them.
TAKE = """
import json, resource, select, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
most, kept, taken = int(sys.argv[1]), [], 0
while taken < most:
    poll, waiting = select.epoll(), 0
    for _ in range(min(50, most - taken)):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("%s", 7007))
        poll.register(s, select.EPOLLOUT | select.EPOLLONESHOT)
        kept.append(s)
        waiting += 1
    before = taken
    while waiting:
        events = poll.poll(5)
        if not events:
            break
        waiting -= len(events)
        taken += sum(not event & select.EPOLLERR for _, event in events)
    if taken == before:
        break
print(taken, flush=True)
sys.stdin.readline()
""" % NEAR


def forget_all():
    """Earlier tests left thousands of connections that have ended, for two minutes yet."""
    nf_netlink, ctnl, delete, request_ack = 12, 1, 2, 1 | 4
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nf_netlink) as s:
        s.send(struct.pack("=IHHIIBBH", 20, ctnl << 8 | delete, request_ack, 1, 0, 0, 0, 0))
        assert struct.unpack_from("=i", s.recv(4096), 16) == (0,), "the table was not emptied"


@pytest.fixture(name="small")
def small_table(outside):  # noqa: F811
    """A table with room for ROOM connections, and somebody outside who answers and holds them."""
    before = MAX.read_text()
    server = outside.popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"ready\n"
        MAX.write_text(str(ROOM))
        forget_all()
        yield
    finally:
        MAX.write_text(before)
        server.kill()
        server.wait()
        server.stdout.close()


@contextlib.contextmanager
def taken(command, most=2 * ROOM):
    """Takes as many as there are, up to @most, and holds them; gives the number."""
    process = subprocess.Popen([*command, "python3" if command else sys.executable, "-c", TAKE, str(most)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate("\n", timeout=120)


def test_one_dyno_never_fills_the_hosts_table(daemon, stack, tmp_path, small):
    app = "connections"
    daemon.ok("apps:create", app, "--stack", stack)
    try:
        daemon.ok("deploy", make_slug(tmp_path / "slug.tgz", WEB_SLUG), "-a", app, timeout=120)
        daemon.ok("ps:scale", "web=2", "-a", app, timeout=120)
        daemon.ok("ps:wait", "-a", app, timeout=150)

        def dyno(name):
            return ["env", f"DYNOD_SOCKET={daemon.socket}", str(daemon.herokuctl), "ps:exec", name, "-a", app,
                    "--no-tty", "--"]
        with taken(dyno("web.1")) as n:
            assert SHARE / 2 < n <= SHARE
            with taken(dyno("web.2")) as other:
                assert SHARE / 2 < other <= SHARE, "its neighbour has as many"
            with taken([], most=50) as own:
                assert own == 50, "and so has the host's root"
        # The control: root has no such limit, and fills the table for everybody.
        with taken([]) as own:
            assert ROOM / 2 < own <= ROOM
            with taken(dyno("web.2"), most=20) as other:
                assert other < 20, "the table was not full: nothing is shown"
    finally:
        daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)
