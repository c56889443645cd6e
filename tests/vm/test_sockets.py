# SPDX-License-Identifier: Apache-2.0
"""What Linux charges nobody for waits in few sockets of a dyno at once, however it is done, and
what is given up can be had again."""

import os
import pathlib

import pytest

from dynod_testing import reconfigured, wait_until

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
MOST = 512

COMMON = """
import array, ctypes, errno, os, signal, socket, struct, sys
IP_RECVERR, IPV6_RECVERR, UDP_CORK, SO_TIMESTAMPING, MSG_MORE = 11, 25, 1, 37, 0x8000
SO_ZEROCOPY, SO_TXTIME = 60, 61
def udp(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_DGRAM)
def netlink(held):
    held.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
def copies(held):
    held.append(udp()); held[-1].setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("iI", 1, 0))
def word(held):
    held.append(udp()); held[-1].setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
def word_tcp(held):
    held.append(socket.socket()); held[-1].setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
def copy_of_one(held):
    held.append(udp())
    held[-1].sendmsg([b"x"], [(socket.SOL_SOCKET, SO_TIMESTAMPING, struct.pack("I", 2))], 0, ("127.0.0.1", 9))
class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("name_length", ctypes.c_uint), ("iov", ctypes.POINTER(Iovec)),
                ("iov_length", ctypes.c_size_t), ("control", ctypes.c_char_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_long), ("sent", ctypes.c_long)]  # ints, padded
def copy_of_second(held):
    "The kernel asks about the first message of a call alone, when the next is for the same address."
    held.append(udp())
    name = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", 9, socket.inet_aton("127.0.0.1"))
    control = struct.pack("NiiI4x", 20, socket.SOL_SOCKET, SO_TIMESTAMPING, 2)
    iov = ctypes.pointer(Iovec(b"x", 1))
    two = (Message * 2)(Message(name, 16, iov, 1), Message(name, 16, iov, 1, control, len(control)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sendmmsg(held[-1].fileno(), two, 2, 0) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def cork(held):
    held.append(udp()); held[-1].setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
def cork_by_udp_lite(held):
    held.append(udp()); held[-1].setsockopt(socket.IPPROTO_UDPLITE, UDP_CORK, 1)
def unfinished(held):
    held.append(udp()); held[-1].sendto(bytes(60000), MSG_MORE, ("127.0.0.1", 9))
def listener(held):
    held.append(socket.socket()); held[-1].bind(("127.0.0.1", 0)); held[-1].listen(1)
def plain(held):
    held.append(udp()); held[-1].sendto(b"x", ("127.0.0.1", 9))
    held.append(socket.socket())
    held += socket.socketpair()
    held[-1].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    held[-2].recv(1) # how many are in flight has a bound of its own
def fill(how, most=2000):
    "Does it again and again; how often before the refusal. All is kept."
    held = []
    for n in range(most):
        try:
            how(held)
        except OSError as error:
            assert error.errno == errno.ENOBUFS, error
            return n, held
    return most, held
def fill_again(how):
    "As many as the first time, when the kernel has freed what was closed."
    n = 0
    while n < 512:
        n, held = fill(how)
        for s in held:
            s.close()
    return n
def established(sockets):
    return sum(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1 for s in sockets)
def server():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(4096)
    return s
def connect(server, most):
    clients = []
    for _ in range(most):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(server.getsockname())
        clients.append(s)
    return clients
"""

SLUG = {"Procfile": "worker: sleep infinity\n"}

WAYS = ["netlink", "copies", "word", "word_tcp", "copy_of_one", "copy_of_second", "cork", "cork_by_udp_lite",
        "unfinished", "listener"]


def told(way):
    """What docs/escape-layers.md calls it."""
    return f"hold what nobody pays for, in sockets (`{way}`)"


@pytest.fixture(scope="module")
def app(app_of_module):
    return app_of_module


@pytest.fixture
def dyno(daemon, app):
    return lambda text: daemon.python(app, COMMON + text)


@pytest.mark.parametrize("way", WAYS)
def test_few_sockets_hold_what_nobody_pays_for(dyno, note_guard, way):
    """And it is the same again when they are closed."""
    held = dyno(f"""
for _ in range(3):
    print(fill_again({way}))
""").split()
    note_guard("sockets", told(way), True, max(map(int, held)) > MOST)
    assert held == [str(MOST)] * 3


def test_all_ways_count_together_and_each_socket_once(dyno):
    assert dyno("""
held = []
for n in range(100):
    for way in (netlink, copies, unfinished):
        way(held)
for s in held:
    if s.family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
        s.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
print(fill(listener)[0])
""").split() == [str(MOST - 300)]


def test_errors_are_told_and_not_kept(dyno):
    assert dyno("""
for family, level, option, host in ((socket.AF_INET, socket.IPPROTO_IP, IP_RECVERR, "127.0.0.1"),
                                    (socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_RECVERR, "::1")):
    s = udp(family)
    s.setsockopt(level, option, 1)
    s.connect((host, 9))
    s.send(b"x")
    try:
        s.recv(1)
    except OSError as error:
        print(errno.errorcode[error.errno], s.getsockopt(level, option))
    try:
        s.recv(1, socket.MSG_ERRQUEUE)
    except OSError as error:
        print(errno.errorcode[error.errno])
""").split() == ["ECONNREFUSED", "0", "EAGAIN"] * 2


def test_connections_that_nobody_accepts(dyno, note_guard):
    held = dyno("""
s = server()
first = connect(s, 700)
print(established(first))
accepted = [s.accept() for _ in range(established(first))]
more = connect(s, 700)          # those that are accepted count no more
print(established(more) + established(first) - len(accepted))
s.close()                       # and with the listener go all that wait
print(fill_again(netlink))
""").split()
    note_guard("sockets", told("connect"), True, int(held[0]) > MOST)
    assert held == [str(MOST - 1), str(MOST - 1), str(MOST)]


def test_sockets_that_are_opened_and_closed_are_never_too_many(dyno):
    """As for each name that is looked up."""
    assert dyno("""
for n in range(20000):
    s = []
    netlink(s)
    s[0].close()
print("done")
""") == "done\n"


def test_other_sockets_are_not_counted(dyno):
    assert dyno("""
n, held = fill(plain, 1500)
s = server()
accepted = []
for _ in range(4):
    clients = connect(s, 300)
    held += clients
    accepted += [s.accept() for _ in clients]
print(n, len(accepted), fill(netlink)[0])
""").split() == ["1500", "1200", str(MOST - 1)]


def test_it_holds_without_dynod_and_after_a_restart(daemon, app, dyno):
    daemon.ok("run", "--detached", "-a", app, "--", "python3", "-c", COMMON + """
n, held = fill(copies)
print("has", n, flush=True)
signal.signal(signal.SIGUSR1, lambda *_: None)
for name in ("restarted", "stopped"):
    while not os.path.exists("/tmp/" + name):
        signal.pause()
    print(name, fill(netlink)[0], flush=True)
held = None
print("closed", fill_again(netlink), flush=True)
signal.pause()
""")

    def says(text):
        wait_until(lambda: text in daemon.ctl("logs", "-a", app, "-n", "200").stdout, text, 60)

    says(f"has {MOST}")
    one = next(entry for entry in daemon.dynos(app) if entry["type"] == "run")
    group = next(pathlib.Path("/sys/fs/cgroup").rglob(one["id"]))

    def poke(name):
        (pathlib.Path(f"/proc/{one['pid']}/root/tmp") / name).touch()
        for pid in group.joinpath("cgroup.procs").read_text().split():
            if "python3" in pathlib.Path(f"/proc/{pid}/comm").read_text():
                os.kill(int(pid), 10)

    with reconfigured(daemon, "max_dynos = 900\n"):  # by which the maps would have another size
        assert int(dyno("print(fill(netlink)[0])")) == MOST  # another dyno has its own
        poke("restarted")
        says("restarted 0")
    daemon.stop()
    try:
        poke("stopped")
    finally:
        daemon.start()
    says("stopped 0")
    says(f"closed {MOST}")
    daemon.ok("ps:stop", one["name"], "-a", app)


def test_without_its_programs_there_is_no_end(daemon, dyno, note_guard):
    """The control, and doctor's word."""
    assert daemon.check("sockets")["verdict"] == "ok"
    for name in ("netlink", "option", "sent", "listen", "asked"):
        (PINS / f"sockets-{name}").unlink()
    try:
        said = daemon.check("sockets")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        def all_ways():
            """One dyno after each other has room for what one way takes: it is given up again."""
            held = dyno(f"""
for way in ({", ".join(WAYS)}):
    n, held = fill(way, 1000)
    print(n)
    for s in held: s.close()
""").split()
            return held == ["1000"] * len(WAYS) and list(map(int, held))
        for way, held in zip(WAYS, wait_until(all_ways, "no limit on any way")):
            note_guard("sockets", told(way), False, held > MOST)
        held = int(dyno("s = server()\nprint(established(connect(s, 700)))"))
        note_guard("sockets", told("connect"), False, held > MOST)
        assert held == 700
        # The copy is there.
        assert dyno("""
held = []
copy_of_second(held)
print(len(held[0].recvmsg(100, 100, socket.MSG_ERRQUEUE)[1]) > 0)
""") == "True\n"
    finally:
        daemon.restart()
    assert daemon.check("sockets")["verdict"] == "ok"
    assert int(dyno("print(fill(unfinished)[0])")) == MOST
