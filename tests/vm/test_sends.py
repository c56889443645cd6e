# SPDX-License-Identifier: Apache-2.0
"""What a dyno sends itself by TCP and does not read keeps no pages of the host's that nobody is
charged for, one for each byte: neither while it waits to be sent, nor when it has arrived."""

import json
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
MOST = 32768
LEAST = MOST * 9 // 10  # what is acknowledged counts until all before the socket's mark is
FEWER = 100    # within one dyno, what is opened while a bound is near
MB_WAIT = 100  # of MOST pages of 4 kB
MB_ARRIVE = 40
OTHERS = "send what has no page cache by sendfile(2), each time in a page of its own"
MANY = "send bytes that nobody takes, each in a page of its own"

COMMON = """
import errno, fcntl, json, os, resource, socket, struct, sys, termios
resource.setrlimit(resource.RLIMIT_NOFILE, (10000, 10000))
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
def pair(send=0, receive=0):
    client = socket.socket()
    if send: client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
    if receive: listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(listener.getsockname())
    service, _ = listener.accept()
    client.setblocking(False)
    return client, service
filler, drain = pair()
def turn_page():
    "The rest of the page that the thread's last byte is in is used, and given back."
    filler.send(bytes(4095))
    left = 4095
    while left:
        left -= len(drain.recv(left))
def available():
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
def waiting(pairs):
    "Bytes that were sent and are not acknowledged."
    return sum(struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0] for client, _ in pairs)
def wait(sockets):
    "Nobody reads, and after some hundred bytes nothing arrives."
    pairs, _, *told = spread([pair(1 << 20, 1) for _ in range(sockets)], 4000)
    return pairs, waiting(pairs), *told
def arrive(sockets):
    return spread([pair() for _ in range(sockets)], 200)
def spread(pairs, each):
    before, sent, errors = available(), 0, set()
    for client, _ in pairs:
        for _ in range(each):
            try:
                sent += client.send(b"x")
                turn_page()
            except OSError as error:
                errors.add(errno.errorcode[error.errno])
                break
        if "ENOBUFS" in errors: break
    return pairs, sent, before - available(), sorted(errors)
"""


@pytest.fixture
def dyno(daemon, app, slug):
    """Runs programs in one dyno, one after the other: what the first left counted the next one misses."""
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)
    daemon.ok("ps:scale", "worker=1", "-a", app)

    def run(text):
        done = daemon.exec(app, "worker.1", "python3", "-c", COMMON + text, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)
    run.pid = daemon.dyno(app, "worker.1")["pid"]
    return run


def test_few_pages_wait_to_be_sent(dyno, note_guard):
    """As many sends as there may be, and one more for each socket; all of them again when those are closed."""
    told = dyno("""
held = []
def all_there_are():
    pairs, *told = wait(20)
    held.append(pairs)
    return told
told = [all_there_are()]
free = pair()
told.append(free[0].send(b"first"))
held.clear()
for s in free: s.close()
told.append(all_there_are())
print(json.dumps(told))
""")
    (sent, used, errors), free, (again, _, _) = told
    note_guard("sockets", MANY, True, sent > MOST + FEWER)
    assert "ENOBUFS" in errors and free == 5
    assert LEAST <= sent <= MOST + FEWER and LEAST <= again <= MOST + FEWER
    assert used > MB_WAIT  # the attack it is


def test_little_memory_for_what_arrived(dyno):
    """And a page for each byte where packets stay as they were sent."""
    told = dyno("print(json.dumps(arrive(200)[1:]))")
    assert told[0] == 40000 and told[2] == []
    assert told[1] <= MB_ARRIVE
    subprocess.run(["nsenter", "-t", str(dyno.pid), "-n", "tc", "filter", "del", "dev", "lo", "ingress"],
                   check=True)
    told = dyno("print(json.dumps(arrive(200)[1:]))")
    assert told[0] == 40000 and told[1] > MB_ARRIVE


def test_what_is_acknowledged_counts_no_more(dyno):
    """Be it that all is from time to time, or that something is always on its way."""
    assert dyno("""
def exchange(client, service, times, behind):
    "With so many always unread."
    left = times
    for _ in range(behind):
        client.send(b"x")
    for _ in range(times):
        client.send(b"x")
        service.recv(1)
    return times
print(json.dumps([exchange(*pair(), 40000, 0), exchange(*pair(receive=1), 40000, 4000)]))
""") == [40000, 40000]


def test_many_senders_leave_nothing_counted(dyno):
    """Threads that send by one socket at the same time, while what they sent is acknowledged."""
    told = dyno("""
import threading
pairs = [pair() for _ in range(4)]
def take(service):
    while service.recv(65536): pass
def send(client):
    for _ in range(2000): client.send(b"x")
takers = [threading.Thread(target=take, args=(service,)) for _, service in pairs]
for client, _ in pairs: client.setblocking(True)
senders = [threading.Thread(target=send, args=(client,)) for client, _ in pairs for _ in range(8)]
for thread in takers + senders: thread.start()
for thread in senders: thread.join()
for client, _ in pairs: client.shutdown(socket.SHUT_WR)
for thread in takers: thread.join()
held, sent, _, errors = wait(20)
print(json.dumps([sent, errors]))
""")
    assert LEAST <= told[0] <= MOST + FEWER and "ENOBUFS" in told[1]


def test_messages_to_an_address_come_one_at_a_time(dyno):
    """Of those of one sendmmsg(2) the kernel asks about the first alone, and TCP ignores the address."""
    assert dyno("""
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
client, service = pair()
name = ctypes.create_string_buffer(16)
buffer = ctypes.create_string_buffer(b"x", 1)
part = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(buffer), 1))
def send(to):
    header = struct.pack("QIxxxxQQQQixxxxIxxxx", ctypes.addressof(name) if to else 0, 16 if to else 0,
                         ctypes.addressof(part), 1, 0, 0, 0, 0)
    n = libc.sendmmsg(client.fileno(), ctypes.create_string_buffer(header * 3), 3, 0)
    return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
print(json.dumps([send(False), send(True)]))
""") == [3, "ENOBUFS"]


SENDFILE = """
import pathlib, tempfile
def told(out, source):
    try:
        return os.sendfile(out, source, None, 1)
    except OSError as error:
        return errno.errorcode[error.errno]
def opened(path, flags=0):
    return os.open(path, os.O_RDONLY | flags)
client, service = pair()
unix = socket.socketpair()
outs = [os.pipe()[1], unix[0].fileno(), client.fileno()]
unix[0].send(b"xxxxxxxx"); filler.send(b"xxxxxxxx")
pathlib.Path("/app/file").write_bytes(bytes(100000))
pathlib.Path("/tmp/file").write_bytes(bytes(100000))
pathlib.Path("/dev/shm/file").write_bytes(bytes(100000))
files = [opened(path) for path in ("/app/file", "/tmp/file", "/dev/shm/file", "/usr/bin/python3", sys.executable)]
others = [opened(path) for path in ("/proc/uptime", "/proc/sys/kernel/ostype", "/sys/fs/cgroup/memory.max",
                                    "/sys/devices/system/cpu/online")]
others += [opened("/app/file", os.O_DIRECT), unix[1].fileno(), drain.fileno()]
print(json.dumps([[told(out, source) for out in outs for source in sources] for sources in (files, others)]))
"""


def test_files_are_sent_and_nothing_else(dyno, note_guard):
    files, others = dyno(SENDFILE)
    note_guard("sockets", OTHERS, True, set(others) != {"EINVAL"})
    assert files == [1] * 15 and others == ["EINVAL"] * 21


def test_without_its_program_all_is_sent(daemon, dyno, note_guard):
    """The control: sockets go into pipes alone, and not all file systems let O_DIRECT be sent."""
    (PINS / "sends-files").unlink()
    try:
        files, others = dyno(SENDFILE)
    finally:
        daemon.restart()
    note_guard("sockets", OTHERS, False, others.count(1) >= 14)
    assert files == [1] * 15 and others.count(1) >= 14, others


def test_without_its_program_there_is_no_end(daemon, dyno, note_guard):
    """The control, and doctor's word."""
    (PINS / "sends-asked").unlink()
    try:
        assert daemon.check("sockets")["verdict"] == "warning"
        told = dyno("print(json.dumps(wait(12)[1:]))")
        note_guard("sockets", MANY, False, told[0] > MOST + FEWER)
        assert told[0] > MOST + FEWER and told[1] > MB_WAIT and told[2] == []
    finally:
        daemon.restart()
    assert daemon.check("sockets")["verdict"] == "ok"
