# SPDX-License-Identifier: Apache-2.0
"""What an app with dyno-init's own uid can do to it: end its own dyno, and nothing else."""

import os
import pathlib
import resource
import select
import signal
import stat
import time

import pytest

from dynod_testing import wait_until
from init_harness import (
    BOUND, EXITED, LOG_GID, ORDER_END, SIGNAL_ALL, SIGNAL_MAIN, TIMEOUT, UID, Dyno, check,
    dyno_init_path, libc,
)


def python(code, *args):
    return ["/usr/bin/python3", "-c", code, *args]


QUEUE = """
import ctypes, os, signal, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def queue(order, signo=34, pid=0, uid=0, code=-1):
    # As if from outside: the kernel leaves si_pid of SI_QUEUE to the sender.
    info = ctypes.create_string_buffer(
        struct.pack("iiiiiIq", signo, 0, code, 0, pid, uid, order), 128)
    return libc.syscall(129, 1, signo, info)  # rt_sigqueueinfo
"""


def test_program_is_not_readable():
    """So that it is not dumpable from the exec on: there is no moment before prctl(2)."""
    mode = os.stat(dyno_init_path()).st_mode
    assert stat.S_IMODE(mode) & 0o044 == 0 and mode & 0o001


def test_forged_order_ends_the_apps_own_dyno_at_most(start):
    dyno = start(python(QUEUE + """
for order in (32, 64, 2 << 8 | 9, -1, 1 << 20):
    queue(order)
print("before", flush=True)
queue(0)
time.sleep(1000)
"""))
    dyno.app.until("before")
    assert dyno.finish() == 137
    assert dyno.log.lines()[-1] == "Process exited with status 137"


def test_plain_sigterm_arrives_under_a_flood_of_queued_signals(start):
    def limit():
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (64, 64))

    dyno = start(python(QUEUE + """
for i in range(2):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            queue(1 << 20, 34)
            queue(1 << 20, 40)
signal.signal(signal.SIGTERM, lambda s, f: os._exit(7))
print("up", flush=True)
while True:
    time.sleep(100)
"""), prepare=limit)
    dyno.app.until("up")
    end = time.monotonic() + TIMEOUT
    while True:  # as dynod does: the order, else the plain signal
        try:
            dyno.order_signal(SIGNAL_ALL, signal.SIGTERM)
            break
        except BlockingIOError:
            dyno.kill(signal.SIGTERM)
            if dyno.has_ended(0.05) or dyno.record()["flags"] & EXITED:
                break
            assert time.monotonic() < end
    assert dyno.finish() == 7


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1,
                                   signal.SIGUSR2], ids=lambda signo: signo.name)
def test_plain_signal_from_outside_is_for_all(start, signo):
    """What dynod falls back to while the app's queue is full."""
    dyno = start(python(f"""
import os, signal
child = os.fork()
signal.signal({int(signo)}, lambda s, f: os._exit(7))
print("up", "parent" if child else "child", flush=True)
while child == 0:
    signal.pause()
print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""))
    dyno.app.until("up parent")
    dyno.app.until("up child")
    dyno.kill(signo)
    assert dyno.finish() == 7


def test_limits_lowered_from_inside_do_not_stop_dyno_init(start):
    dyno = start(python("""
import ctypes, resource, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
# All but CPU, STACK and NOFILE (poll(2) wants it above the number of descriptors), which end
# dyno-init and with it the dyno. In a real dyno the filter refuses the call.
for limit in (1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15):
    new = ctypes.create_string_buffer(struct.pack("QQ", 0, 0), 16)
    assert libc.syscall(302, 1, limit, new, None) == 0, limit
s = socket.socket()
s.bind(("0.0.0.0", 5000))
s.listen()
print("up", flush=True)
time.sleep(1000)
"""), web_port=5000)
    dyno.app.until("up")
    # RLIMIT_FSIZE 0: nothing more is recorded; the exit status is still that of PID 1.
    dyno.kill(signal.SIGTERM)
    assert dyno.finish() == 143
    assert dyno.log.lines()[-1] == "Process exited with status 143"
    assert not dyno.record()["flags"] & (BOUND | EXITED)


def test_fork_bomb_is_gone_when_the_command_ends(start):
    def limit():
        resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))

    dyno = start(["bash", "-c", "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 0.3; exit 9"],
                 prepare=limit)
    assert dyno.finish() == 9
    assert dyno.log.lines()[-1] == "Process exited with status 9"


def test_stopped_and_deaf_processes_are_killed_too(start):
    dyno = start(python("""
import os, signal, sys
for signo in range(1, 65):
    if signo not in (9, 17, 19, 32, 33):
        signal.signal(signo, signal.SIG_IGN)
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
if os.fork() == 0:
    os.setsid()
    while True:
        signal.pause()
sys.stdout.write("end\\n")
sys.exit(3)
"""))
    assert dyno.finish() == 3


@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_resized_fifo_loses_nothing(start, size):
    dyno = start(python(f"""
import fcntl, os, sys
fcntl.fcntl(1, 1031, {size})  # F_SETPIPE_SZ
for i in range(3000):
    os.write(1, b"%0100d\\n" % i)
"""))
    assert dyno.finish() == 0
    assert dyno.app.data == b"".join(b"%0100d\n" % i for i in range(3000))


def test_packet_mode_and_nonblocking_are_the_apps_own(start):
    """Flags of its descriptor are not shared with dyno-init's or root's."""
    dyno = start(python("""
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT)
os.write(1, b"x")
os.execvp("sh", ["sh", "-c", "exit 4"])
"""))
    assert dyno.finish() == 4
    flags = [open(f"/proc/self/fdinfo/{fd}").read() for fd in dyno.fifos.values()]
    assert all("flags:\t0104002\n" in text or "flags:\t02104002\n" in text for text in flags), flags


def test_full_scratch_and_no_more_processes_do_not_stop_the_end(start):
    def limit():
        resource.setrlimit(resource.RLIMIT_NPROC, (3, 3))

    dyno = start(["sh", "-c", "head -c 100000000 /dev/zero >/app/full; exit 2"], prepare=limit)
    assert dyno.finish() == 2


def test_app_has_no_way_to_its_fifo(start):
    """What it may do with its output it does with a pipe of its own, and the lines go on."""
    code = """
import fcntl, os, stat
print(os.readlink("/proc/self/fd/1").split(":")[0], os.readlink("/proc/self/fd/2").split(":")[0])
os.fchmod(1, 0)
for change in (lambda: os.fchmod(1, 0o600), lambda: fcntl.flock(1, fcntl.LOCK_EX),
               lambda: fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK), lambda: fcntl.fcntl(1, 1031, 4096)):
    change()
own = os.fstat(1)
for pid in (name for name in os.listdir("/proc") if name.isdigit()):
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        print("closed", pid)
        continue
    for fd in fds[:-1]:  # the last is the folder's own
        there = os.stat(f"/proc/{pid}/fd/{fd}")
        if stat.S_ISFIFO(there.st_mode) and there.st_ino != own.st_ino:
            print("SEEN", pid, fd)
print("and on")
"""
    dyno = start(python(code), go=False)
    for name in ("app", "log"):
        os.chown(dyno.folder / name, LOG_GID, UID)
        os.chmod(dyno.folder / name, 0o420)
    dyno.go()
    assert dyno.finish() == 0
    assert dyno.app.data == b"pipe pipe\nclosed 1\nand on\n"
    assert dyno.log.lines()[-1] == "Process exited with status 0"


BOMBS = pathlib.Path(os.environ.get("DYNOD_BUILD", "")) / "tests/starvation/bombs"


def share_of_time_in_read(fd, seconds):
    """How much of the time who reads a pipe waits in read(2), where nothing ever waits."""
    begun = time.monotonic()
    inside = 0.0
    while time.monotonic() < begun + seconds:
        select.select([fd], [], [], 0.1)
        before = time.monotonic()
        try:
            os.read(fd, 65536)
        except BlockingIOError:
            pass
        inside += time.monotonic() - before
    return inside / (time.monotonic() - begun)


def test_reader_of_the_fifo_does_not_wait_for_the_apps_memory(start):
    """Who writes to a pipe holds its lock while each page that is written waits for 200 threads."""
    dyno = start(["/app/bombs", "throw", "convoy"], files={"bombs": BOMBS.read_bytes()})
    dyno.app.until("going")
    # Whoever reads the app's own pipe does wait, once the app has come to write.
    own = os.open(f"/proc/{dyno.children()[0]}/fd/1", os.O_RDONLY | os.O_NONBLOCK)
    try:
        wait_until(lambda: share_of_time_in_read(own, 1) > 0.25, "the attack goes on", 120)
        assert share_of_time_in_read(dyno.app.fd, 3) < 0.25
    finally:
        os.close(own)
