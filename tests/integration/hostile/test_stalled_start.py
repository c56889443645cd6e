# SPDX-License-Identifier: Apache-2.0
"""A start whose process does not get on, as by a share of the processor that is next to none:
root serves everybody else meanwhile."""

import contextlib
import os
import pathlib
import subprocess

import pytest

from dynod_testing import cgroup2_mount, time_factor, wait_until


@pytest.fixture
def idle(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "idle: sleep 1000000\nw: sleep 1000000\n"}), "-a", app, timeout=120)
    daemon.ok("ps:scale", "idle=1", "-a", app, timeout=120)
    return wait_until(lambda: next((dyno for dyno in daemon.dynos(app) if dyno["state"] == "up"), None), "it is up")


@contextlib.contextmanager
def frozen(dyno):
    """The group of all dynos: whoever is born below it comes no further. Yields what is born."""
    group = next(cgroup2_mount().rglob(dyno["id"])).parent
    before = set(group.iterdir())

    def born():
        new = [path for path in set(group.iterdir()) - before if path.is_dir()]
        return [path for path in new if (path / "cgroup.procs").read_text().split()]
    (group / "cgroup.freeze").write_text("1")
    try:
        yield lambda: wait_until(born, "a process is on its way")
    finally:
        (group / "cgroup.freeze").write_text("0")


def begin(daemon, *arguments):
    return subprocess.Popen([str(daemon.herokuctl), *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)})


def test_start_that_stalls_holds_up_nobody(daemon, app, idle):
    with frozen(idle) as wait_born:
        client = begin(daemon, "run", "-a", app, "--no-tty", "--", "true")
        wait_born()
        daemon.ok("ps:inspect", "idle.1", "-a", app)
        assert "layers" in daemon.ctl("doctor", "--json").stdout
        assert client.poll() is None, "root waited for the stalled one first"
    _, error = client.communicate(timeout=60 * time_factor())
    assert client.returncode == 0, error


@pytest.mark.twice  # the next one stalls as well
def test_start_that_never_gets_on_is_given_up(daemon, app, idle):
    with frozen(idle) as wait_born:
        client = begin(daemon, "run", "-a", app, "--no-tty", "--", "true")
        first = wait_born()
        try:
            _, error = client.communicate(timeout=60 * time_factor())
        finally:
            client.kill()
        assert client.returncode != 0 and "the new process is stuck" in error, error
        wait_until(lambda: not any(path.exists() for path in first), "it is gone")
    assert daemon.run(app, "true").returncode == 0


def test_start_that_stalls_ends_with_its_supervisor(daemon, app, idle):
    """Nothing of it ran; the next supervisor starts it anew."""
    with frozen(idle) as wait_born:
        client = begin(daemon, "ps:scale", "w=1", "-a", app)
        first = wait_born()
        daemon.kill_process("dynod-supervisor")
        client.communicate(timeout=60 * time_factor())
    wait_until(lambda: not any(path.exists() for path in first), "it is gone")
    wait_until(lambda: daemon.dyno(app, "w.1")["state"] == "up", "w.1 is up")
    assert pathlib.Path(f"/proc/{daemon.dyno(app, 'w.1')['pid']}").exists()
    assert daemon.dyno(app, "idle.1")["pid"] == idle["pid"]
