# SPDX-License-Identifier: Apache-2.0
"""Who is not let in, or no longer, gets nothing and uses up nothing: of a dyno, of its
neighbours or of the host."""

import contextlib
import subprocess
import sys

import pytest

from lab import HOST, HOST_LAN, OUTSIDE, UPLINK, address
from test_network_policy import FAR, PG, PORT, SERVICE, Talk, counter, dyno_of, syns

WEB = 5000
PUBLISHED = 8080
TRUSTED, STRANGER = "10.77.0.9", "10.77.0.130"


@pytest.fixture
def peers(net):
    """Two clients outside, one of whom a policy may trust."""
    net.outside.run(f"ip addr add {TRUSTED}/32 dev lo; ip addr add {STRANGER}/32 dev lo")
    return net


def flood(namespace, source, target, n, port=PUBLISHED):
    """@n connection attempts from one address, which nobody waits for."""
    namespace.run(f"{sys.executable} -c \"import socket\nk = []\nfor i in range({n}):\n"
                  f" s = socket.socket(); s.setblocking(False); k.append(s); s.bind(('{source}', 0))\n"
                  f" s.connect_ex(('{target}', {port}))\"")


@contextlib.contextmanager
def speaker(namespace, program):
    """A Python program with sockets that says a line for each line that it is told."""
    child = namespace.popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(word=None):
        if word is not None:
            child.stdin.write(word + "\n")
        return child.stdout.readline().strip()
    try:
        assert tell() == "ready"
        yield tell
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


# ---- limits ----

@pytest.mark.two_kernels
def test_who_is_not_trusted_uses_up_none_of_the_connections(peers):
    peers.driver.ok(f"policy 1 1 publish={PUBLISHED} trust={TRUSTED}/32")
    dyno = dyno_of(peers, 0, 1, limits="0 0 1", web=WEB)
    with dyno.serve("tcp", "0.0.0.0", WEB):
        flood(peers.outside, STRANGER, HOST, 200)
        assert peers.outside.ask("tcp", HOST, PUBLISHED, TRUSTED) == f"ok {TRUSTED}"
        # The limit itself is there: the same from somebody who may.
        flood(peers.outside, TRUSTED, HOST, 200)
        assert not peers.outside.ask("tcp", HOST, PUBLISHED, TRUSTED).startswith("ok")


def test_a_flood_of_connections_one_way_leaves_the_other_way_open(net):
    net.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    dyno = dyno_of(net, 0, 1, limits="0 0 1", web=WEB)
    with dyno.serve("tcp", "0.0.0.0", WEB), net.outside.serve("tcp", "0.0.0.0", PORT):
        flood(net.outside, OUTSIDE, HOST, 200)
        assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok"), "no way out"
    net.driver.ok("destroy 0")
    net.driver.ok("start")
    dyno = dyno_of(net, 0, 1, limits="0 0 1", web=WEB)
    with dyno.serve("tcp", "0.0.0.0", WEB):
        syns(dyno, FAR, 200)
        assert net.outside.ask("tcp", HOST, PUBLISHED).startswith("ok"), "no way in"


HOLD = ("import socket\nk = []\nprint('ready', flush=True)\ninput()\n"
        "for i in range(20):\n"
        " s = socket.socket(2, {kind}); s.settimeout(0.05); k.append(s)\n"
        " try: s.connect(('{target}', {port})); s.send(b'x')\n"
        " except OSError: pass\n"
        "print('held', flush=True)\ninput()")


@pytest.mark.two_kernels
@pytest.mark.parametrize("way", ["in", "out"])
def test_connections_held_one_way_take_no_place_of_the_other(net, way):
    net.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    dyno = dyno_of(net, 0, 1, limits="0 4 0", web=WEB)
    holder, target = (net.outside, HOST) if way == "in" else (dyno, FAR)
    program = HOLD.format(kind=1 if way == "in" else 2, target=target, port=PUBLISHED)
    with dyno.serve("tcp", "0.0.0.0", WEB), net.outside.serve("udp", OUTSIDE, PORT), \
            speaker(holder, program) as hold:
        assert hold("go") == "held"
        if way == "in":
            assert dyno.ask("udp", OUTSIDE, PORT).startswith("ok")
        else:
            assert net.outside.ask("tcp", HOST, PUBLISHED).startswith("ok")
