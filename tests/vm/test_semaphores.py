# SPDX-License-Identifier: Apache-2.0
"""A crowd in a dyno that keeps who makes cgroups, links or mounts waiting is killed. Who only looks is not."""

import contextlib
import itertools
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from dynod_testing import time_factor  # noqa: E402

# Two processors in turn hardly ever meet at a semaphore: run with those that measure.
pytestmark = [pytest.mark.vm, pytest.mark.alone]

PINS = pathlib.Path("/sys/fs/bpf/dynod")
CGROUP = pathlib.Path("/sys/fs/cgroup/semaphores-test")
MOUNT = pathlib.Path("/run/semaphores-test")
CROWD, FEW = 200, 4
GIVEN_UP_SEC = 30 * time_factor()  # for who is not killed, and keeps each write waiting
FORKS = 100  # with a child each: a dyno has 255 processes

# Each looks, and then has its processor for somewhat longer. The parent says what became of the first that
# died, or ends with its input.
LOOKERS = """
import os, select, signal, sys, time
cgroups, processors = (os.open(path, os.O_PATH) for path in ("/sys/fs/cgroup", "/sys/devices/system/cpu"))
looks = {"cgroups": lambda: os.stat("cgroup.type", dir_fd=cgroups),
         "processors": lambda: os.stat("online", dir_fd=processors),
         "mounts": lambda: open("/proc/self/mountinfo").read(), "names": os.uname,
         "forks": lambda: os.waitpid(os.fork() or os._exit(0), 0)}
gate, gate_end = os.pipe()
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.close(gate_end)
        os.read(gate, 1)
        while True:
            for what in sys.argv[2:]:
                try: looks[what]()
                except BlockingIOError: os._exit(os.EX_TEMPFAIL)
            until = time.monotonic() + 0.0002
            while time.monotonic() < until: pass
dies, died = os.pipe()
os.set_blocking(died, False)
signal.set_wakeup_fd(died)
signal.signal(signal.SIGCHLD, lambda *_: None)
os.close(gate_end)
print("go" + "ing", flush=True)  # herokuctl shows this text
if dies in select.select([0, dies], [], [])[0]:
    try:
        os.fork()
        forks = ""
    except BlockingIOError:
        forks = "EAGAIN"
    print("died", os.waitstatus_to_exitcode(os.wait()[1]), forks)
"""


def write_cgroups():
    """Sixty times: once for each file."""
    CGROUP.mkdir()
    CGROUP.rmdir()


def write_mounts():
    for _ in range(20):
        subprocess.run(["mount", "-t", "tmpfs", "semaphores-test", MOUNT], check=True)
        subprocess.run(["umount", MOUNT], check=True)


def write_links():
    for change in ("add", "del"):
        subprocess.run(["ip", "link", change, "semaphores", "type", "dummy"], check=True)


@contextlib.contextmanager
def mover():
    """Moves a process into another cgroup, and back at the next call."""
    CGROUP.mkdir()
    groups = itertools.cycle((CGROUP, CGROUP.parent))
    with subprocess.Popen(["sleep", "infinity"]) as moved:
        try:
            yield lambda: (next(groups) / "cgroup.procs").write_text(str(moved.pid))
        finally:
            moved.kill()
    CGROUP.rmdir()


def write_moves():
    with mover() as move:
        for _ in range(20):
            move()


def write_names():
    for _ in range(100):
        socket.sethostname(socket.gethostname())


@pytest.fixture(autouse=True)
def mount_point():
    MOUNT.mkdir()
    yield
    MOUNT.rmdir()


@pytest.fixture
def crowd(daemon, app, slug):
    """crowd(processes, write, most, *what): what becomes of them while the host writes, so often at most."""
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)

    def run(processes, write, most, *what):
        command = ["herokuctl", "run", "-a", app, "--no-tty", "--", "python3", "-c", LOOKERS, str(processes), *what]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as client:
            while "going" not in (line := client.stdout.readline()):
                assert line, client.wait()
            writes = 0
            while writes < most and client.poll() is None:
                write()
                writes += 1
            client.stdin.close()
            return client.stdout.read(), writes
    return run


@pytest.mark.parametrize("what, write", [
    ("cgroups", write_cgroups), ("processors", write_links), ("mounts", write_mounts), ("names", write_names),
    ("forks", write_moves)])
def test_crowd_is_killed(crowd, what, write):
    given_up = time.monotonic() + GIVEN_UP_SEC

    def write_on():
        assert time.monotonic() < given_up, "nobody is killed"
        write()
    said, writes = crowd(FORKS if what == "forks" else CROWD, write_on, 300, what)
    # Whom the limit finds at its exit is gone without being killed; the next one cannot fork.
    assert re.search(f"died (-9|{os.EX_TEMPFAIL}) EAGAIN", said), (said, writes)


def test_few_that_look_are_left_alone(crowd):
    said, writes = crowd(FEW, write_cgroups, 3000, "cgroups", "processors", "mounts", "names", "forks")
    assert "died" not in said and writes == 3000, said


def test_crowd_that_nobody_waits_for_is_left_alone(crowd):
    """Writers come one by one: what readers do when one is done is nothing to the next."""
    with mover() as move:
        said, rounds = crowd(FORKS, lambda: move() and time.sleep(0.5), 60, "forks")
    assert "died" not in said and rounds == 60, said


def test_without_its_programs_there_is_no_end(daemon, crowd):
    """The control, and doctor's word."""
    assert daemon.check("semaphores")["verdict"] == "ok"
    try:
        for name in ("waits", "had", "forks", "forked"):
            (PINS / f"semaphores-{name}").unlink()
        said = daemon.check("semaphores")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        took = []

        def timed():
            begun = time.monotonic()
            write_cgroups()
            took.append(time.monotonic() - begun)
        for _ in range(12):
            timed()
        said, writes = crowd(CROWD, timed, 12, "cgroups")
        assert "died" not in said and writes == 12, said
        assert sum(took[12:]) > 20 * sum(took[:12]), took
    finally:
        daemon.restart()
    assert daemon.check("semaphores")["verdict"] == "ok"
