# SPDX-License-Identifier: Apache-2.0
"""A dyno opens few terminals at once, and few after that: each time it has a lock that the host's own wait for."""

import os
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.vm

PROGRAM = pathlib.Path("/sys/fs/bpf/dynod/terminals-opened")
AT_ONCE = 64
AGAIN = "open terminals again and again"

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
