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
TABLE = pathlib.Path("/proc/net/nf_conntrack")
ROOM = 800
SHARE = 32  # half of an eighth, as a power of two: the other half is for what comes in

# Holds what comes to port 7007, and closes what comes to 7008 once the other side has.
HOLD = """
import resource, socket, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
listeners = [socket.create_server(("", port), backlog=512) for port in (7007, 7008)]
def close():
    while True:
        with listeners[1].accept()[0] as s:
            s.recv(1)
threading.Thread(target=close, daemon=True).start()
print("ready", flush=True)
kept = []
while True:
    kept.append(listeners[0].accept()[0])
"""

# Opens connections until one is not answered, says how many were, and holds them.
TAKE = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
most, kept = int(sys.argv[1]), []
try:
    while len(kept) < most:
        # A SYN over the rate is sent again after one, three and seven seconds.
        kept.append(socket.create_connection(("%s", 7007), timeout=15))
except OSError:
    pass
print(len(kept), flush=True)
sys.stdin.readline()
""" % NEAR

# Opens and closes connections until it is killed, and says how many it has had.
CLOSE = """
import socket, sys
done = 0
while True:
    try:
        with socket.create_connection(("%s", 7008), timeout=15) as s:
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
        done += 1
        print(done, flush=True)
    except OSError as error:
        print(error, flush=True)
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


@pytest.fixture(name="run_in")
def two_dynos(daemon, stack, tmp_path):
    """An app with two dynos; gives how a command is run in one of them."""
    app = "connections"
    daemon.ok("apps:create", app, "--stack", stack)
    daemon.ok("deploy", make_slug(tmp_path / "slug.tgz", WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:scale", "web=2", "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    yield lambda name: ["env", f"DYNOD_SOCKET={daemon.socket}", str(daemon.herokuctl), "ps:exec", name,
                        "-a", app, "--no-tty", "--"]
    daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)


def test_one_dyno_never_fills_the_hosts_table(small, run_in):
    with taken(run_in("web.1")) as n:
        assert SHARE / 2 < n <= SHARE
        with taken(run_in("web.2")) as other:
            assert SHARE / 2 < other <= SHARE, "its neighbour has as many"
        with taken([], most=50) as own:
            assert own == 50, "and so has the host's root"
    # The control: root has no such limit, and fills the table for everybody.
    with taken([]) as own:
        assert ROOM / 2 < own <= ROOM
        with taken(run_in("web.2"), most=20) as other:
            assert other < 20, "the table was not full: nothing is shown"


def test_what_a_dyno_has_closed_does_not_fill_the_hosts_table(small, run_in):
    """Nothing counts it any more, but it stays in the table for a while."""
    process = subprocess.Popen([*run_in("web.1"), "python3", "-c", CLOSE], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            assert line.strip().isdigit(), "its own connections fail, too: " + line
            if int(line) == 4 * SHARE:
                break
        # Without those whose time is over: they go when this is read, or when the table is full.
        tracked = len(TABLE.read_text().splitlines())
        assert SHARE / 4 < tracked <= 2 * SHARE + 16, "16: for what else the host does"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
