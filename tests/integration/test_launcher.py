# SPDX-License-Identifier: Apache-2.0
"""What the root process does when the world around it is not as it was."""

import fcntl
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "hostile"))

from dynod_testing import wait_until  # noqa: E402
from taken_over import replaced  # noqa: E402

pytestmark = pytest.mark.native

IDLE = {"Procfile": "idle: sleep 100000\n"}


@pytest.fixture
def idle(daemon, app, slug):
    daemon.ok("deploy", slug(IDLE), "-a", app, timeout=120)
    daemon.ok("ps:scale", "idle=1", "-a", app, timeout=120)
    return app


@pytest.mark.parametrize("how", ["smaller", "another"])
def test_dyno_whose_address_is_no_longer_ours_is_stopped(daemon, idle, how):
    # Of two slots in turn, one lies behind the end of the smaller network.
    if daemon.dyno(idle, "idle.1")["address"].endswith(".30"):
        daemon.ok("ps:restart", "-a", idle, timeout=90)
    before = daemon.dyno(idle, "idle.1")
    group = daemon.cgroup_root / before["id"]
    drop_in = daemon.folder / "dynod.conf.d" / "smaller.conf"
    drop_in.parent.mkdir(exist_ok=True)
    network = before["address"].rsplit(".", 1)[0] + ".0/27" if how == "smaller" else "172.31.32.0/20"
    drop_in.write_text(f"network = {network}\n")
    try:
        daemon.restart()
        wait_until(lambda: not os.path.exists(f"/proc/{before['pid']}"), "the dyno is stopped")
        wait_until(lambda: not group.exists(), "its cgroup is gone")
    finally:
        drop_in.unlink()
        daemon.restart()
    assert daemon.dyno(idle, "idle.1")["id"] != before["id"]


@pytest.mark.parametrize("folder", [True, False])
def test_what_no_dyno_belongs_to_is_ended_at_the_next_start(daemon, folder):
    """Of a start that was not completed there is a folder, of whatever else a group alone."""
    daemon.stop()
    group, hidden = daemon.cgroup_root / "web.9-abcdef", daemon.run_dir / "dynos/.web.9-abcdef"
    group.mkdir()
    if folder:
        hidden.mkdir()
    with subprocess.Popen(["sleep", "1000000"]) as process:
        (group / "cgroup.procs").write_text(str(process.pid))
        try:
            daemon.start()
            assert process.wait(20) == -signal.SIGKILL
        finally:
            process.kill()
    assert not hidden.exists()
    wait_until(lambda: not group.exists(), "its group is gone")


def state_file(daemon, dyno):
    return daemon.run_dir / "dynos" / dyno["id"] / "state"


def test_dyno_of_an_older_dynod_is_adopted(daemon, idle):
    """Its state file lacks the last field of today's, which is filled up with zeroes."""
    before = daemon.dyno(idle, "idle.1")
    daemon.stop()
    path = state_file(daemon, before)
    data = bytearray(path.read_bytes())
    data[8:12] = struct.pack("=I", struct.unpack("=I", data[8:12])[0] - 16)
    path.write_bytes(data[:-16])
    daemon.start()
    assert daemon.dyno(idle, "idle.1")["pid"] == before["pid"]
    daemon.ok("ps:inspect", "idle.1", "-a", idle)


def test_dyno_of_a_newer_dynod_is_left_alone(daemon, idle):
    before = daemon.dyno(idle, "idle.1")
    daemon.stop()
    path = state_file(daemon, before)
    data = path.read_bytes()
    path.write_bytes(data[:4] + struct.pack("=I", 99) + data[8:])
    try:
        done = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=20, check=False)
    finally:
        path.write_bytes(data)
        daemon.start()
    assert done.returncode == 1
    assert f"{before['id']} was started by a newer dynod" in done.stderr
    assert daemon.dyno(idle, "idle.1")["pid"] == before["pid"]


def egress_of(daemon, dyno):
    """What the table says of a dyno's way out."""
    def nft(*what):
        return subprocess.run(["nft", "list", what[0], "inet", daemon.instance, what[1]], check=True,
                              capture_output=True, text=True).stdout
    way = subprocess.run(["ip", "route", "get", dyno["address"]], check=True, capture_output=True, text=True).stdout
    chain = re.search(rf'"{way.split()[2]}" : goto (\S+)', nft("map", "policies"))
    return nft("chain", chain[1].rstrip(","))


@pytest.mark.parametrize("how", ["gone", "junk"])
def test_network_policy_that_is_lost_is_a_closed_one(daemon, idle, how, monkeypatch):
    """Until the supervisor says what it is; here one that says nothing."""
    daemon.ok("firewall:deny", "192.0.2.9", "-a", idle)
    if how == "gone":  # else it was started without one, which says nothing of that there should be one
        daemon.ok("ps:restart", "-a", idle, timeout=90)
    dyno = wait_until(lambda: next((d for d in daemon.dynos(idle) if d["state"] == "up"), None), "it is up")
    assert egress_of(daemon, dyno).split()[-3:] == ["accept", "}", "}"]
    log = daemon.folder / "dynod.log"
    with replaced(daemon, "dynod-supervisor"):
        daemon.stop()
        begin = log.stat().st_size
        for path in (daemon.run_dir / "policies").iterdir():
            path.unlink() if how == "gone" else path.write_bytes(b"junk")
        with monkeypatch.context() as patch:
            patch.setattr(daemon, "wait_ready", lambda: None)  # no client is answered meanwhile
            daemon.start()
        wait_until(lambda: b"Ready, dynod" in log.read_bytes()[begin:], "it has taken over")
        assert egress_of(daemon, dyno).split()[-3:] == ["drop", "}", "}"]
    daemon.restart()
    wait_until(lambda: egress_of(daemon, dyno).split()[-3:] == ["accept", "}", "}"], "it is what it was")
    assert daemon.dyno(idle, "idle.1")["pid"] == dyno["pid"]


def test_start_waits_for_a_lock_that_is_just_being_let_go(daemon):
    daemon.stop()
    lock = open(daemon.state_dir / "lock", "rb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(0.2, lock.close).start()
    daemon.start()


def test_killed_while_it_makes_slots_it_leaves_nobody_with_its_lock(daemon):
    """A child that waits for its user namespace has copies of all descriptors, the lock's too."""
    daemon.stop()
    log = daemon.folder / "dynod.log"
    for _ in range(12):
        begin = log.stat().st_size
        with open(log, "ab") as out:
            process = subprocess.Popen(daemon.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(lambda: b"Ready, dynod" in log.read_bytes()[begin:], "it makes slots now")
        process.kill()
        process.wait(timeout=20)
    daemon.start()
