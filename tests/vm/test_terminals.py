# SPDX-License-Identifier: Apache-2.0
"""A dyno opens few terminals at once, and few after that: each time it has a lock that the host's own wait for.
And what it writes to them keeps the kernel's workers busy for a part of the time only."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from dynod_testing import time_factor  # noqa: E402

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
PROGRAM = PINS / "terminals-opened"
AT_ONCE = 64
AGAIN = "open terminals again and again"
TYPES = "have the kernel's workers busy with what it types"

COMMON = """
import errno, os, time
def opens(path, most):
    "How many could be had, one after the other; what the next one was refused with, and how long it took."
    begun = time.monotonic()
    for n in range(most):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_NOCTTY))
        except OSError as e:
            return n, errno.errorcode[e.errno], time.monotonic() - begun
    return most, "", time.monotonic() - begun
"""


# What a worker has much to do with: to show a long line again, to signal a group of processes, to wake many
# that poll the other end, where what is shown comes in.
TYPISTS = """
import fcntl, select, signal, sys, termios, time
def poll_often(fd):
    poll, epoll = select.poll(), select.epoll()
    for number in [os.dup(fd) for _ in range(1000)]:
        poll.register(number, 0)
        epoll.register(number, select.EPOLLPRI)
    poll.poll()
def typist(setting, text, before=b"", polled=False, full=False):
    "Writes that again and again; what became of it, in so many seconds, and whether there is a fork after that."
    def write(master, slave):
        attributes = termios.tcgetattr(slave)
        attributes[3], attributes[6][termios.VREPRINT] = setting, b"\\x12"
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        os.write(master, before)
        os.set_blocking(master, False) # nobody reads there, who would wake this one
        if full: fcntl.ioctl(master, termios.TIOCPKT, bytes((1, 0, 0, 0))) # who polls hears of each stop and start
        while True:
            try: os.write(master, text)
            except BlockingIOError:
                time.sleep(0.001)
                if full: # what could not be taken in is gone over, and then no more
                    termios.tcflush(slave, termios.TCIFLUSH)
                    try: os.write(master, before)
                    except BlockingIOError: pass
            try: os.read(master, 65536)
            except BlockingIOError: pass
    if (pid := os.fork()) == 0:
        os.setsid()
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if setting & termios.ISIG:
            for _ in range(100):
                if os.fork() == 0: time.sleep(1000)
        if polled and os.fork() == 0: poll_often(master)
        write(master, slave)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        time.sleep(0.1)
    try:
        if os.fork() == 0: os._exit(0)
        print("goes on")
    except BlockingIOError:
        print("died", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "EAGAIN")
"""
SHOW = "typist(termios.ICANON | termios.ECHO | termios.IEXTEN, b'\\x12' * 4096, b'x' * 4000)"
SIGNAL = "typist(termios.ISIG | termios.NOFLSH, b'\\x03' * 4096)"
FLOW = "typist(0, b'\\x13\\x11' * 2048, b'x' * 4095, polled=True, full=True)"  # stops and starts it
WAKE = "typist(termios.ICANON | termios.ECHO | termios.ECHOE, b'x\\x7f', polled=True)"  # and erases it


@pytest.fixture
def dyno(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)
    return lambda text: daemon.python(app, COMMON + text).split()


@pytest.mark.parametrize("path", ["'/dev/ptmx'", "os.ttyname(slave)"])
def test_few_at_once_and_then_one_a_second(dyno, note_guard, path):
    """What was refused costs nothing."""
    had, error, took, more = dyno(f"""
master, slave = os.openpty()
n, error, took = opens({path}, 2000)
more, begun = 0, time.monotonic()
while more < 3:
    more += opens({path}, 1)[0]
print(n, error, took, time.monotonic() - begun)
""")
    note_guard("terminals", AGAIN, True, int(had) == 2000)
    assert error == "EAGAIN" and AT_ONCE - 2 <= int(had) <= AT_ONCE + float(took), had
    assert float(more) > 2, "each is a second after the one before"


def test_each_dyno_has_its_own(dyno):
    for _ in range(2):
        assert int(dyno("print(opens('/dev/ptmx', 2000)[0])")[0]) >= AT_ONCE


def exec_with_terminal(daemon, app):
    """Who sits at a terminal and has one in the dyno, for a moment."""
    master, slave = os.openpty()
    done = subprocess.run(
        [daemon.herokuctl, "ps:exec", "worker.1", "-a", app, "--", "true"], stdin=slave, stdout=slave,
        stderr=subprocess.PIPE, env={**os.environ, "DYNOD_SOCKET": str(daemon.socket)}, timeout=120, check=False)
    os.close(slave)
    os.close(master)
    return done


def test_a_dyno_that_has_none_left_has_none_for_who_joins(daemon, dyno, app):
    daemon.ok("ps:scale", "worker=1", "-a", app)
    daemon.ok("ps:wait", "-a", app, timeout=120)
    assert exec_with_terminal(daemon, app).returncode == 0
    opens = "while true; do true 3<>/dev/ptmx; done"
    with subprocess.Popen([daemon.herokuctl, "ps:exec", "worker.1", "-a", app, "--no-tty", "--", "sh", "-c", opens],
                          env={**os.environ, "DYNOD_SOCKET": str(daemon.socket)}, stderr=subprocess.PIPE) as opener:
        assert b"Resource temporarily unavailable" in opener.stderr.readline()
        refused = exec_with_terminal(daemon, app)
        assert refused.returncode != 0 and b"Resource temporarily unavailable" in refused.stderr, refused
        assert daemon.exec(app, "worker.1", "true").returncode == 0
        opener.kill()


def test_the_hosts_own_are_not_counted():
    for _ in range(2 * AT_ONCE):
        os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


# Two workers take turns at WAKE, which they do slowly where two processors are emulated in turn.
@pytest.mark.parametrize("what", [pytest.param(SHOW, id="show"), pytest.param(SIGNAL, id="signal"),
                                  pytest.param(FLOW, id="flow"),
                                  pytest.param(WAKE, id="wake", marks=pytest.mark.alone)])
def test_typist_is_killed(dyno, note_guard, what):
    """Before long: if of the two that WAKE keeps busy only the first one counted, it would take some minutes."""
    said = dyno(TYPISTS.replace("SECONDS", str(10 * time_factor())) + what)
    note_guard("terminals", TYPES, True, said[0] == "goes")
    assert said == ["died", "-9", "EAGAIN"], said


def test_who_prints_is_left_alone(dyno):
    """As much as a terminal takes, and each character by itself."""
    assert dyno("""
master, slave = os.openpty()
if os.fork() == 0:
    for _ in range(5000): os.write(slave, b"0123456789" * 100 + b"\\n")
    for _ in range(50000): os.write(slave, b".")
    os.write(slave, b"\\0")
    os._exit(0)
size = 0
while not (some := os.read(master, 65536)).endswith(b"\\0"): size += len(some)
print(size > 5000 * 1000, os.waitpid(-1, 0)[1])
""") == ["True", "0"]


def test_without_its_programs_a_typist_goes_on(daemon, dyno, note_guard):
    try:
        for name in ("works", "worked", "looks", "looked", "written"):
            (PINS / f"terminals-{name}").unlink()
        assert daemon.check("terminals")["verdict"] == "warning"
        for what in SHOW, SIGNAL, FLOW:
            said = dyno(TYPISTS.replace("SECONDS", str(5 * time_factor())) + what)
            note_guard("terminals", TYPES, False, said == ["goes", "on"])
            assert said == ["goes", "on"], said
    finally:
        daemon.restart()
    assert daemon.check("terminals")["verdict"] == "ok"


def test_without_its_program_there_is_no_end(daemon, dyno, note_guard):
    """The control, and doctor's word."""
    assert daemon.check("terminals")["verdict"] == "ok"
    try:
        PROGRAM.unlink()
        said = daemon.check("terminals")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        many = int(dyno("print(opens('/dev/ptmx', 2000)[0])")[0])
        note_guard("terminals", AGAIN, False, many == 2000)
        assert many == 2000
    finally:
        daemon.restart()
    assert daemon.check("terminals")["verdict"] == "ok"
    assert int(dyno("print(opens('/dev/ptmx', 2000)[0])")[0]) < 2000
