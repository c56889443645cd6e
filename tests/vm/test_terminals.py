# SPDX-License-Identifier: Apache-2.0
"""A dyno opens few terminals at once, and few after that: each time it has a lock that the host's own wait for."""

import json
import os
import pathlib

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

    def run(text):
        done = daemon.run(app, "python3", "-c", COMMON + text, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split()
    return run


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


def test_the_hosts_own_are_not_counted():
    for _ in range(2 * AT_ONCE):
        os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


def check_of_terminals(daemon):
    checks = json.loads(daemon.ctl("doctor", "--json").stdout)["checks"]
    return next(check for check in checks if check["check"] == "terminals")


def test_without_its_program_there_is_no_end(daemon, dyno, note_guard):
    """The control, and doctor's word."""
    assert check_of_terminals(daemon)["verdict"] == "ok"
    try:
        PROGRAM.unlink()
        said = check_of_terminals(daemon)
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        many = int(dyno("print(opens('/dev/ptmx', 2000)[0])")[0])
        note_guard("terminals", AGAIN, False, many == 2000)
        assert many == 2000
    finally:
        daemon.restart()
    assert check_of_terminals(daemon)["verdict"] == "ok"
    assert int(dyno("print(opens('/dev/ptmx', 2000)[0])")[0]) < 2000
