# SPDX-License-Identifier: Apache-2.0
"""A dyno that stops whoever joins it: `ps:exec` fails, and root serves everybody else meanwhile."""

import os
import pathlib
import signal
import subprocess

import pytest

from dynod_testing import time_factor, wait_until

# Stops each new process of its own pid namespace in the moment when it gets the dyno's uid.
STOPPER = """
import ctypes, os
kill = ctypes.CDLL(None).kill
print("at the door", flush=True)
while True:
    next_pid = int(open("/proc/loadavg").read().split()[4]) + 1
    for _ in range(2000):
        if kill(next_pid, 19) == 0 or kill(next_pid + 1, 19) == 0:
            break
"""

ROUNDS = 40


def processes(dyno):
    """pid, name and state of all that is in the dyno's cgroup."""
    cgroup = pathlib.Path(f"/proc/{dyno['pid']}/cgroup").read_text().splitlines()[-1].split("::")[1]
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"::{cgroup}\n" in (path / "cgroup").read_text():
                name, state = (path / "stat").read_text().split("(")[1].rsplit(")", 1)
                found.append((int(path.name), name, state.split()[0]))
        except OSError:
            continue
    return found


def join(daemon, app, name):
    command = [str(daemon.herokuctl), "ps:exec", name, "-a", app, "--no-tty", "--", "true"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True,
                            env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)})


def stopped_on_its_way(daemon, app, dyno):
    """A ps:exec whose process is stopped before it became dyno-init."""
    for _ in range(ROUNDS):
        client = join(daemon, app, dyno["name"])

        def outcome():
            if client.poll() is not None:
                return "ended"
            stopped = [(pid, name) for pid, name, state in processes(dyno) if state == "T"]
            return stopped and (stopped[0][1] == "dynod" or stopped)
        seen = wait_until(outcome, "ps:exec ends or is stopped", 60)
        if seen is True:
            return client
        client.kill()
        client.communicate()
        for pid, name, state in processes(dyno):
            if state == "T":
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not [p for p in processes(dyno) if p[2] == "T"], "they are gone")
    raise AssertionError(f"not stopped in {ROUNDS} rounds: the attack does not work")


def check_descriptors(pid):
    """It has the dyno's uid: of the launcher's descriptors it has only those of its way left, some
    of them twice, while they get their numbers for dyno-init."""
    held = [os.readlink(path).split(":")[0] for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    assert held.count("socket") in (1, 2) and held.count("user") <= 1, " ".join(held)
    assert not {"anon_inode", "net"} & set(held), " ".join(held)


@pytest.mark.twice  # no layer is in it
def test_dyno_that_stops_who_joins_holds_up_nobody(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "idle: sleep 1000000\nstopper: python3 stopper.py\n",
                              "stopper.py": STOPPER}), "-a", app, timeout=120)
    daemon.ok("ps:scale", "idle=1", "stopper=1", "-a", app, timeout=120)
    daemon.wait_log(app, "at the door")
    stopper = daemon.dyno(app, "stopper.1")

    client = stopped_on_its_way(daemon, app, stopper)
    check_descriptors(next(pid for pid, name, state in processes(stopper) if name == "dynod" and state == "T"))
    for _ in range(3):
        assert daemon.exec(app, "idle.1", "true").returncode == 0
        daemon.ok("ps:inspect", "idle.1", "-a", app)
        daemon.ok("ps:inspect", "stopper.1", "-a", app)
    daemon.ok("ps:restart", "idle.1", "-a", app, timeout=90)
    assert client.poll() is None, "root waited for the stopped one first"

    _, error = client.communicate(timeout=60 * time_factor())
    assert client.returncode == 125, error
    wait_until(lambda: not [p for p in processes(stopper) if p[1] == "dynod"], "it was killed")
