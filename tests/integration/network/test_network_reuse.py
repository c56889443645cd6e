# SPDX-License-Identifier: Apache-2.0
"""A slot's next dyno has the address of the one before: nobody may take it for that one."""

import subprocess
import sys

import pytest

from lab import HOST, OUTSIDE, Driver, address

WEB_PORT = 5000
EVIL = 7000

# The accomplice outside: "call" sends out of the port that the old dyno has talked to.
ACCOMPLICE = f"""
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET, kind)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("{OUTSIDE}", {EVIL}))
if kind == socket.SOCK_STREAM:
    s.listen()
print("ready", flush=True)
if kind == socket.SOCK_STREAM:
    c, peer = s.accept()
    c.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR: closed without a word
    c.close()
    s.close()
else:
    peer = s.recvfrom(9)[1]
print(*peer, flush=True)
sys.stdin.readline()
if kind == socket.SOCK_STREAM:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("{OUTSIDE}", {EVIL}))
s.settimeout(1)
try:
    if kind == socket.SOCK_STREAM:
        s.connect(peer)
        s.sendall(b"attack")
    else:
        s.sendto(b"attack", peer)
    print(s.recv(64).decode() or "EOF")
except OSError as error:
    print(error)
"""

# The old dyno talks out of what will be the next one's web port, and says nothing at its end.
FIRST = f"""
import os, socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET, kind)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", {WEB_PORT}))
s.connect(("{OUTSIDE}", {EVIL}))
s.send(b"hello")
print("said", flush=True)
sys.stdin.readline()
"""


def child(space, program, *arguments):
    return space.popen([sys.executable, "-c", program, *arguments], text=True,
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def prepare(net, proto):
    """The accomplice, after the first dyno of slot 0 has talked to it."""
    accomplice = child(net.outside, ACCOMPLICE, proto)
    assert accomplice.stdout.readline() == "ready\n"
    first = net.driver.create(0)
    net.driver.ok(f"web 0 {WEB_PORT}")
    talker = child(first, FIRST, proto)
    assert talker.stdout.readline() == "said\n"
    assert accomplice.stdout.readline().split()[0] == HOST
    return first, accomplice, talker


def finish(accomplice, talker):
    answer = accomplice.communicate("call\n", timeout=20)[0].strip()
    talker.kill()
    talker.wait()
    talker.stdin.close()
    talker.stdout.close()
    return answer


@pytest.mark.two_kernels
@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("how", ["destroyed", "restarted"])
def test_what_one_dyno_opened_is_closed_for_the_next(net, proto, how):
    _, accomplice, talker = prepare(net, proto)
    if how == "destroyed":
        net.driver.ok("destroy 0")
    else:  # it ended while dynod was not there
        net.driver.kill()
        net.driver = Driver(net.host)
        net.driver.ok("start")
    second = net.driver.create(0)
    net.driver.ok(f"web 0 {WEB_PORT}")
    with second.serve(proto, "0.0.0.0", WEB_PORT):
        assert finish(accomplice, talker) in ("timed out", "[Errno 111] Connection refused")


def test_the_same_dyno_does_get_answers(net):
    # The control: what the accomplice does reaches a dyno that has talked to it.
    first, accomplice, talker = prepare(net, "udp")
    talker.kill()
    talker.wait()
    with first.serve("udp", "0.0.0.0", WEB_PORT):
        assert finish(accomplice, talker) == OUTSIDE


def known(net, slot):
    """How many connections of a slot's address the host knows."""
    table = net.host.run("cat /proc/net/nf_conntrack")
    return sum(f"src={address(slot)[1]} " in line for line in table.splitlines())


def test_connections_go_with_the_dyno_and_those_of_others_stay(net):
    one, two, web = (net.driver.create(slot) for slot in range(3))
    net.driver.ok(f"web 2 {WEB_PORT}")
    many = (f"import socket\nfor port in range(1, 2001): socket.socket(2, 2).sendto(b'x', ('{OUTSIDE}', port))")
    assert one.run(f'{sys.executable} -c "{many}"') == ""
    two.ask("udp", OUTSIDE, EVIL)
    with web.serve("tcp", "0.0.0.0", WEB_PORT):
        assert net.host.ask("tcp", address(2)[1], WEB_PORT).startswith("ok")
    assert known(net, 0) >= 1900 and known(net, 1) == 1 and known(net, 2) == 1
    net.driver.ok("destroy 0")
    net.driver.ok("destroy 2")
    net.driver.create(2)  # at the latest now
    assert [known(net, slot) for slot in range(3)] == [0, 1, 0]
    net.driver.ok("reload")
    assert known(net, 1) == 1
