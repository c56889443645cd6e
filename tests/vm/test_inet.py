# SPDX-License-Identifier: Apache-2.0
"""A dyno has so many sockets of TCP and UDP and no more, however it comes by them: timers and
softirqs work for each, at nobody's expense."""

import pathlib

import pytest

from dynod_testing import wait_until

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
MOST = 12288
MANY, CLOSED = "have sockets without end", "the same of closed connections"

COMMON = """
import errno, os, socket, struct, sys
def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def ping():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except OSError:
        pass
def fill(how, most=9000):
    "As many as there can be, and what the refusal was."
    held = []
    while len(held) < most:
        try:
            held.append(how())
        except OSError as error:
            return held, error.errno
    return held, 0
class Child:
    "That has so many of them until it is told to end."
    def __init__(self, how, most=9000):
        self.until, self.told = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.until[1])
            held, _ = fill(how, most)
            os.write(self.told[1], struct.pack("i", len(held)))
            os.read(self.until[0], 1)
            os._exit(0)
        os.close(self.until[0])
        self.count, = struct.unpack("i", os.read(self.told[0], 4))
    def end(self):
        os.close(self.until[1])
        os.waitpid(self.pid, 0)
def total(how):
    child = Child(how)
    held, error = fill(how)
    for s in held:
        s.close()
    child.end()
    return child.count + len(held), error
server = socket.create_server(("127.0.0.1", 0), backlog=64)
server.settimeout(1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # of all that are accepted: little memory
def orphan():
    "Closed by one end, with bytes that the other does not take; that one is returned."
    client = socket.socket()
    client.settimeout(1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.connect(server.getsockname())
    service, _ = server.accept()
    client.setblocking(False)
    try:
        while True: client.send(bytes(65536))
    except BlockingIOError: pass
    client.close()
    return service
"""


@pytest.fixture
def dyno(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)
    return lambda text: daemon.python(app, COMMON + text, 300)


def test_few_sockets(dyno, note_guard):
    """And again when they are closed; those that are made and freed unnoticed take nothing off."""
    told = dyno("""
for how in (udp, socket.socket, lambda: socket.socket(socket.AF_INET6)):
    print(*total(how))
    for _ in range(3000): ping()
    fill(udp, 100)
""").splitlines()
    note_guard("sockets", MANY, True, max(int(line.split()[0]) for line in told) > MOST)
    assert told == [f"{MOST - 1} 105"] * 3  # ENOBUFS; one is the server's


def test_closed_connections_count_until_they_are_gone(dyno, note_guard):
    """Both ends do: a socket that nobody has open, and one that was accepted."""
    told = dyno("""
held, _ = fill(orphan, 4000)
print(len(held), total(udp)[0])
child = Child(orphan)
print(len(held) + child.count)
child.end()
for s in held: s.close()
for _ in range(20):
    left = total(udp)
    if left[0] == %d: break
print(*left)
""" % (MOST - 1)).splitlines()
    note_guard("sockets", CLOSED, True, int(told[1]) > MOST // 2)
    assert told == [f"4000 {MOST - 1 - 8000}", str((MOST - 1) // 2), f"{MOST - 1} 105"]


def test_who_connects_is_refused_beyond_it(dyno):
    """It hears nothing, as from any listener that is overrun, and tries again."""
    assert dyno("""
child = Child(udp)
held, error = fill(udp, %d - child.count - 2)
late = socket.socket()
late.settimeout(2)
try:
    late.connect(server.getsockname())
    print("through")
except TimeoutError:
    print("refused")
held[0].close(); held[1].close(); late.close()
late = socket.socket()
late.connect(server.getsockname())
print("through")
""" % MOST).split() == ["refused", "through"]


def test_without_its_programs_there_is_no_end(daemon, dyno, note_guard):
    """The control, and doctor's word."""
    assert daemon.check("sockets")["verdict"] == "ok"
    for name in ("sockets-made", "sockets-full"):
        (PINS / name).unlink()
    try:
        said = daemon.check("sockets")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        wait_until(lambda: int(dyno("print(total(udp)[0])")) == 18000, "RLIMIT_NOFILE is the bound")
        note_guard("sockets", MANY, False, True)
        many = int(dyno("""
print(sum(child.count for child in [Child(orphan, 5000) for _ in range(2)]))
"""))
        note_guard("sockets", CLOSED, False, many > MOST // 2)
        assert many == 10000
    finally:
        daemon.restart()
    assert daemon.check("sockets")["verdict"] == "ok"
    assert int(dyno("print(total(udp)[0])")) == MOST - 1
