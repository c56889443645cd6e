# SPDX-License-Identifier: Apache-2.0
"""Few descriptors of a dyno are in flight at once, however they are sent; what is received, or
ends with its process, can be sent again."""

import pathlib

import pytest

from dynod_testing import wait_until

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
MOST = 512  # what a message can hold counts, and 4 for each that is being sent

COMMON = """
import array, ctypes, errno, os, signal, socket, struct, threading, time
STREAM, DATAGRAM, PACKETS = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
libc = ctypes.CDLL(None, use_errno=True)
def pair(kind):
    return socket.socketpair(socket.AF_UNIX, kind)
def send(s, n):
    "n descriptors; the errno"
    try:
        socket.send_fds(s, [b"x"], [0] * n)
    except OSError as error:
        return error.errno
    return 0
def fill(kind, n, most=1000):
    "How many messages of n descriptors each before the refusal, and what they wait in."
    held = []
    for sent in range(most):
        held.append(pair(kind))
        error = send(held[-1][0], n)
        if error:
            assert error == errno.ETOOMANYREFS, error
            return sent, held
    return most, held
def receive(s, n):
    fds = socket.recv_fds(s, 200, n)[1]
    for fd in fds:
        os.close(fd)
    return len(fds)
def crowd(kind):
    "40 threads that want to send into a full queue, and the errnos of those that need not wait."
    a, b = pair(kind)
    a.setblocking(False)
    try:
        while True: a.send(bytes(200))
    except BlockingIOError: pass
    a.setblocking(True)
    errors = []
    for _ in range(40):
        threading.Thread(target=lambda: errors.append(send(a, 250)), daemon=True).start()
    while len(errors) < 38: time.sleep(0.1)
    time.sleep(2)
    return a, b, errors
class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("name_length", ctypes.c_uint), ("iov", ctypes.POINTER(Iovec)),
                ("iov_length", ctypes.c_size_t), ("control", ctypes.c_char_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_long), ("sent", ctypes.c_long)]  # ints, padded
def send_many(s, name, n, times):
    "n descriptors in each of so many messages of one call, the first without: how many got through"
    iov = Iovec(b"x", 1)
    control = struct.pack("Nii", 16 + 4 * n, socket.SOL_SOCKET, socket.SCM_RIGHTS) + bytes(4 * n)
    messages = (Message * times)(*(Message(name, len(name or b""), ctypes.pointer(iov), 1, control if i else None,
                                           len(control) if i else 0) for i in range(times)))
    sent = libc.sendmmsg(s.fileno(), messages, times, socket.MSG_DONTWAIT)
    return sent if sent >= 0 else -ctypes.get_errno()
def named():
    "Two: who sends to the name, and whose it is."
    a, b = (socket.socket(socket.AF_UNIX, DATAGRAM) for _ in range(2))
    b.bind("\\0flight")
    return a, b, struct.pack("H", socket.AF_UNIX) + b"\\0flight"
"""


NOWHERE = """
for kind in (STREAM, DATAGRAM, PACKETS):
    s, errors = socket.socket(socket.AF_UNIX, kind), []
    for _ in range(40):
        thread = threading.Thread(target=lambda: errors.append(send(s, 250)))
        thread.start()
        thread.join()
    print(errors.count(errno.ENOTCONN), fill(kind, 250)[0])
"""


@pytest.fixture
def dyno(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)
    return lambda text: daemon.python(app, COMMON + text)


MANY, BATCH = "have descriptors in flight without end", "the same in one call"


def test_few_descriptors_are_in_flight(dyno, note_guard):
    """And it is the same again when they are received, or their queue is closed."""
    told = dyno("""
for kind in (STREAM, DATAGRAM, PACKETS):
    n, held = fill(kind, 250)
    print(n, sum(receive(b, 250) for a, b in held[:-1]), end=" ")
    print(fill(kind, 1)[0])
""").splitlines()
    note_guard("flight", MANY, True, any(int(line.split()[0]) > 2 for line in told))
    assert told == [f"2 500 {MOST - 9}"] * 3


def test_who_waits_with_descriptors_in_hand_counts(dyno):
    """Else they would all get through at once, when there is room. A thread that is killed does not."""
    assert dyno("""
for kind in (STREAM, DATAGRAM):
    child = os.fork()
    if child == 0:
        crowd(kind)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    a, b, errors = crowd(kind)
    print(errors.count(errno.ETOOMANYREFS), fill(kind, 1, 1)[0], end=" ")
    fds = 0
    b.settimeout(3)
    try:
        while True: fds += receive(b, 250)
    except TimeoutError: pass
    print(fds, errors.count(0), fill(kind, 250)[0])
""").splitlines() == ["38 0 500 2 2"] * 2


def test_what_is_refused_for_another_reason_does_not_count(dyno):
    """Nobody is connected, and each thread tries once."""
    assert dyno(NOWHERE).splitlines() == ["40 2"] * 3


def test_many_messages_of_one_call(dyno, note_guard):
    """The kernel asks about the first alone, when all are for one address."""
    told = dyno("""
a, b, name = named()
print(send_many(a, name, 200, 9), send_many(a, name, 200, 1))
a.connect("\\0flight")
print(send_many(a, None, 200, 9))
""").split()
    note_guard("flight", BATCH, True, max(map(int, told)) > 3)
    assert told == ["-109", "1", "3"]


def test_without_its_program_there_are_many(daemon, dyno, note_guard):
    """The control, and doctor's word."""
    assert daemon.check("descriptors")["verdict"] == "ok"
    (PINS / "flight-packet").unlink()
    try:
        wait_until(lambda: dyno(NOWHERE).splitlines() == ["40 2", "40 2", "2 0"], "what ends otherwise counts on")
        (PINS / "flight").unlink()
        said = daemon.check("descriptors")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        wait_until(lambda: int(dyno("print(fill(STREAM, 250)[0])")) == 41, "RLIMIT_NOFILE is the bound")
        note_guard("flight", MANY, False, True)
        sent = int(dyno("""
a, b, name = named()
print(send_many(a, name, 200, 9))
"""))
        note_guard("flight", BATCH, False, sent > 3)
        assert sent == 9
    finally:
        daemon.restart()
    assert daemon.check("descriptors")["verdict"] == "ok"
    assert int(dyno("print(fill(STREAM, 250)[0])")) == 2
