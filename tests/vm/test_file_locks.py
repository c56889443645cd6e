# SPDX-License-Identifier: Apache-2.0
"""Record locks are charged to nobody: no dyno has more than its share, and what it gives up
it has again, however it was given up."""

import contextlib
import fcntl
import os
import pathlib
import struct

import pytest

from dynod_testing import wait_until

pytestmark = pytest.mark.vm

PINS = [pathlib.Path("/sys/fs/bpf/dynod/locks" + part) for part in ("", "-taken", "-closed", "-released")]
MOST, WEIGHT = 2048, 8

COMMON = """
import array, errno, fcntl, os, signal, socket, struct, sys
F_OFD_SETLK = 37
def lock(fd, kind, start, length, command=fcntl.F_SETLK):
    fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, 0, start, length, 0))
def fill(fd, command=fcntl.F_SETLK, most=100000):
    "Locks every second byte; how many there were before the refusal."
    for n in range(most):
        try:
            lock(fd, fcntl.F_WRLCK, 2 * n, 1, command)
        except OSError as error:
            assert error.errno == errno.ENOLCK, error
            return n
    return most
def fresh(name):
    return os.open("/tmp/" + name, os.O_RDWR | os.O_CREAT, 0o600)
"""

WAYS = {
    "unlock": "lock(fd, fcntl.F_UNLCK, 0, 0)\nos.close(fd)",
    "close": "os.close(fd)",
    "close of another descriptor": "os.close(os.open('/tmp/f', os.O_RDONLY))\nos.close(fd)",
    "unlink, then close": "os.unlink('/tmp/f')\nos.close(fd)",
}


def script(daemon, app, text, **options):
    done = daemon.run(app, "python3", "-c", COMMON + text, timeout=240, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def locker(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)
    return lambda text: script(daemon, app, text)


# Each prints how many it had before the refusal; {most} is where it ends by itself.
MANY_FILES = """
n = 0
try:
    while n < {most}:
        lock(fresh("f%d" % n), fcntl.F_WRLCK, 0, 1)
        n += 1
except OSError as error:
    assert error.errno == errno.ENOLCK, error
print(n)
"""
UNLOCKING = """
fd = fresh("f")
lock(fd, fcntl.F_WRLCK, 0, 0)
n = 0
try:
    while n < {most}:
        lock(fd, fcntl.F_UNLCK, 2 * n + 1, 1)
        n += 1
except OSError as error:
    assert error.errno == errno.ENOLCK, error
print(n)
"""
# What each does, the program, and where it ends.
ATTACKS = {
    "take locks in one file without end": ("print(fill(fresh('f'), most={most}))", MOST - WEIGHT),
    "the same for a file description": ("print(fill(fresh('f'), F_OFD_SETLK, {most}))", MOST - WEIGHT),
    "take one lock in each of many files": (MANY_FILES, MOST // (WEIGHT + 1) + 1),
    "cut one lock into many by unlocking": (UNLOCKING, MOST + 1024 - WEIGHT - 1),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_dyno_has_locks_without_end(locker, note_guard, attack):
    text, end = ATTACKS[attack]
    had = int(locker(text.format(most=100000)))
    note_guard("locks", attack, True, had > end)
    assert had == end


@pytest.mark.parametrize("way", WAYS)
def test_what_is_given_up_can_be_had_again(locker, way):
    assert locker(f"""
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        fd = fresh("f")
        print(fill(fd), flush=True)
        {"; ".join(WAYS[way].splitlines())}
        print(fill(fresh("again")), flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
""").split() == [str(MOST - WEIGHT)] * 6


def test_what_a_process_had_can_be_had_again_when_it_ends(locker):
    assert locker("""
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        print(fill(fresh("f")), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
""").split() == [str(MOST - WEIGHT)] * 3


def test_locks_of_a_description_in_flight_count_until_it_is_gone(locker):
    first, second, third = map(int, locker("""
a, b = socket.socketpair()
fd = fresh("f")
print(fill(fd, F_OFD_SETLK))
a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
os.close(fd)
print(fill(fresh("g"), most=10))
a.close(); b.close()
print(fill(fresh("g")))
""").split())
    assert (first, second, third) == (MOST - WEIGHT, 0, MOST - WEIGHT)


def test_flock_is_not_counted(locker):
    assert locker("""
held = []
for n in range(2000):
    fd = fresh("f%d" % n)
    fcntl.flock(fd, fcntl.LOCK_EX)
    held.append(fd)
print(fill(fresh("g")))
""").split() == [str(MOST - WEIGHT)]


def host_locks():
    """Takes more than a dyno may have."""
    with open("/var/tmp/host-locks", "w+b") as file:
        for n in range(MOST + 100):
            fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 2 * n, 1, 0))
    os.unlink("/var/tmp/host-locks")


@contextlib.contextmanager
def at_its_limit(daemon, app):
    """A dyno that has all the locks that it may have."""
    daemon.ok("run", "--detached", "-a", app, "--", "python3", "-c", COMMON + """
fd = fresh("f")
while True:
    print("locks", fill(fd), flush=True)
    signal.pause()
""")
    wait_until(lambda: f"locks {MOST - WEIGHT}" in daemon.ctl("logs", "-a", app).stdout, "it has them all", 60)
    yield next(dyno for dyno in daemon.dynos(app) if dyno["type"] == "run")


def test_neighbour_and_host_have_theirs(daemon, app, locker):
    with at_its_limit(daemon, app) as dyno:
        assert int(locker("print(fill(fresh('f')))")) == MOST - WEIGHT
        host_locks()
        daemon.ok("ps:stop", dyno["name"], "-a", app)


def test_it_holds_without_dynod_and_after_a_restart(daemon, app, locker):
    """And a restart, which starts to count anew, knows of a file what it has."""
    held = """
fd = fresh("f")
print("locks", fill(fd), flush=True)
signal.signal(signal.SIGUSR1, lambda *_: None)
for name in ("restarted", "stopped"):
    while not os.path.exists("/tmp/" + name):
        signal.pause()
    other = fresh("g")
    print(name, fill(fd), fill(other), flush=True)
    os.close(other)
signal.pause()
"""
    daemon.ok("run", "--detached", "-a", app, "--", "python3", "-c", COMMON + held)

    def says(text):
        wait_until(lambda: text in daemon.ctl("logs", "-a", app, "-n", "200").stdout, text, 60)

    says(f"locks {MOST - WEIGHT}")
    dyno = next(dyno for dyno in daemon.dynos(app) if dyno["type"] == "run")

    def poke(name):
        root = pathlib.Path(f"/proc/{dyno['pid']}/root/tmp")
        (root / name).touch()
        for pid in cgroup_of(dyno).joinpath("cgroup.procs").read_text().split():
            if "python3" in pathlib.Path(f"/proc/{pid}/comm").read_text():
                os.kill(int(pid), 10)

    before = [pin.stat().st_ino for pin in PINS]
    daemon.restart()
    assert [pin.stat().st_ino for pin in PINS] != before
    poke("restarted")
    says("restarted 1 0")  # the one that had it counted again, and no more
    daemon.stop()
    try:
        poke("stopped")
    finally:
        daemon.start()
    says("stopped 0 0")
    daemon.ok("ps:stop", dyno["name"], "-a", app)


def cgroup_of(dyno):
    return next(pathlib.Path("/sys/fs/cgroup").rglob(dyno["id"]))


def test_without_its_programs_there_is_no_end(daemon, locker, note_guard):
    """The control, and doctor's word."""
    assert daemon.check("file locks")["verdict"] == "ok"
    PINS[0].unlink()
    try:
        said = daemon.check("file locks")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        for attack, (text, end) in ATTACKS.items():
            most = end + 100
            had = wait_until(lambda text=text, most=most: int(locker(text.format(most=most))) == most and most,
                             f"no end: {attack}")
            note_guard("locks", attack, False, had > end)
    finally:
        daemon.restart()
    assert daemon.check("file locks")["verdict"] == "ok"
    assert int(locker("print(fill(fresh('f')))")) == MOST - WEIGHT
