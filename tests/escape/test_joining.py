# SPDX-License-Identifier: Apache-2.0
"""A dyno that lies in wait for `ps:exec`: nothing of the host comes within its reach.

CVE-2019-5736, CVE-2024-21626 and their kin: whoever joins a container brings descriptors, a
program, a root, mounts and a network along. joiner.c looks into every process that appears, over and over.
"""

import hashlib
import os
import pathlib
import subprocess
import time

import pytest

from dynod_testing import make_slug, time_factor

BUILD = pathlib.Path(os.environ.get("DYNOD_BUILD", "build"))
JOINER = BUILD / "tests/escape/joiner"
ROUNDS = 40

# A process of the same user that has what a careless runtime would bring along, and one of
# root's that has not joined yet.
CARELESS = "exec 9</ 7<>/dev/udp/127.0.0.1/9; sleep 1000 & exec 9<&- 7<&-"
NOT_JOINED = """exec 8< <(unshare --mount --net sh -c 'ip link set lo up; echo; exec sleep 1000')
read -u 8; exec 8<&-"""


@pytest.fixture
def lie_in_wait(daemon, app, tmp_path):
    """lie_in_wait(how) starts a dyno that does; its name."""
    def start(how):
        path = make_slug(tmp_path / "slug.tgz", {"Procfile": f"joiner: exec ./joiner {how}\n",
                                                 "joiner": JOINER.read_bytes()}, mode=0o755)
        daemon.ok("deploy", path, "-a", app, timeout=120)
        daemon.ok("ps:scale", "joiner=1", "-a", app, timeout=120)
        daemon.wait_log(app, "waiting")
        return "joiner.1"
    return start


def programs(daemon):
    """Digests of everything of dynod's that is ever executed in a dyno's sight."""
    folders = [daemon.prefix / "libexec/dynod", daemon.prefix / "sbin"]
    paths = [path for folder in folders for path in folder.glob("dyn*")]
    assert len(paths) > 5, paths
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in paths}


def said(daemon, app, word):
    return [line for line in daemon.logs(app).splitlines() if f": {word}" in line]


def check(daemon, app, rounds=ROUNDS):
    """Joins until the dyno has met somebody who did not let it look."""
    end = time.monotonic() + 60 * time_factor()
    while rounds > 0 or not said(daemon, app, "met"):
        assert time.monotonic() < end, "the attack does not meet anybody"
        daemon.exec(app, "joiner.1", "true")
        rounds -= 1
    assert said(daemon, app, "GOT") == []


def test_attack_works_outside(tmp_path):
    program = tmp_path / "joiner"
    program.write_bytes(JOINER.read_bytes())
    program.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc",
                           "bash", "-c", NOT_JOINED + '; exec "$@"', "-",
                           "setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups",
                           "bash", "-c", f"{CARELESS}; exec timeout {2 * time_factor()} {program} look"],
                          capture_output=True, text=True, check=False, timeout=60 * time_factor())
    for got in (" fd 7 socket:", " mountinfo: ", " net/fib_trie: "):
        assert got in done.stdout, done.stdout + done.stderr


def test_who_joins_brings_nothing_along(daemon, app, lie_in_wait):
    before = programs(daemon)
    lie_in_wait("look")
    check(daemon, app)
    assert programs(daemon) == before


def test_who_joins_may_be_killed_at_any_moment(daemon, app, lie_in_wait):
    lie_in_wait("kill")
    check(daemon, app)
    daemon.ok("ps:inspect", "joiner.1", "-a", app)
    daemon.ok("ps:restart", "joiner.1", "-a", app, timeout=90)


@pytest.mark.vm
def test_nobody_joins_on_a_host_that_debugs(daemon, app, lie_in_wait):
    """fs.suid_dumpable=1 opens every process that changes its uid to its new uid."""
    switch = pathlib.Path("/proc/sys/fs/suid_dumpable")
    before = switch.read_text(encoding="ascii")
    lie_in_wait("look")
    switch.write_text("1\n", encoding="ascii")
    try:
        done = [daemon.exec(app, "joiner.1", "true") for _ in range(5)]
    finally:
        switch.write_text(before, encoding="ascii")
    assert [one.returncode for one in done] == [125] * 5, done
    assert "fs.suid_dumpable" in daemon.log_tail(200)
    assert said(daemon, app, "GOT") == []
    assert daemon.exec(app, "joiner.1", "true").returncode == 0
