# SPDX-License-Identifier: Apache-2.0
"""Memory, process and CPU limits: what the kernel enforces for a dyno."""

import json
import pathlib
import resource
import subprocess

import pytest

from dynod_testing import WEB_SLUG, wait_until

pytestmark = pytest.mark.vm

MB = 1 << 20
SLUG = WEB_SLUG


@pytest.fixture
def web(daemon, app_of_module):
    """With web.1, which starts again where a test had it killed."""
    daemon.ok("ps:wait", "-a", app_of_module, timeout=150)
    return app_of_module


def cgroup_of(dyno):
    for folder in pathlib.Path("/sys/fs/cgroup").rglob(dyno["id"]):
        return folder
    raise AssertionError(f"no cgroup of {dyno['id']}")


def test_limits_of_the_size_are_set(daemon, web):
    folder = cgroup_of(daemon.dyno(web, "web.1"))
    assert "dynod-dynos.scope" in str(folder)
    read = lambda name: (folder / name).read_text().strip()  # noqa: E731
    # A guest without swap: the kill point is the limit.
    assert read("memory.max") == str(1024 * MB)
    assert read("memory.swap.max") == "0"
    assert read("memory.high") == "max"
    assert read("memory.oom.group") == "1"
    assert read("cpu.weight") == "100"
    assert int(read("pids.max")) >= 257


def test_shares_of_the_size_are_set(daemon, web):
    """Of a size whose weight is not the kernel's own default."""
    subprocess.run(["modprobe", "bfq"], check=True)
    daemon.ok("run", "--detached", "-a", web, "--size", "standard-2x", "--", "sleep", "1000")
    dyno = wait_until(lambda: next((dyno for dyno in daemon.dynos(web)
                                    if dyno["type"] == "run" and dyno["state"] == "up"), None), "it is up")
    folder = cgroup_of(dyno)
    first = lambda name: (folder / name).read_text().split("\n")[0]  # noqa: E731
    assert first("cpu.weight") == "200"
    weights = {name: first(name) for name in ("io.weight", "io.bfq.weight") if (folder / name).exists()}
    assert weights and set(weights.values()) <= {"default 200", "200"}, weights
    assert 512 < int(first("pids.max")) < 600
    daemon.ok("ps:stop", dyno["name"], "-a", web)


def test_all_dynos_together_leave_the_host_threads(daemon, web):
    def check():
        shown = subprocess.run(["systemctl", "show", "-P", "TasksMax", "dynod-dynos.scope"], check=True,
                               capture_output=True, text=True).stdout
        assert int(shown) == most
        folder = cgroup_of(daemon.dyno(web, "web.1"))
        assert int((folder.parent / "pids.max").read_text()) == most

    threads, pids = (int(pathlib.Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("threads-max", "pid_max"))
    most = min(threads, pids) // 4 * 3
    check()
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    check()
    subprocess.run(["systemctl", "set-property", "--runtime", "dynod-dynos.scope", "TasksMax=1000"], check=True)
    daemon.restart()
    check()


CHANGES = {"memory.max": "max", "memory.oom.group": "0", "cpu.weight": "300", "pids.max": "max",
           "io.weight": "default 300"}


def test_changed_limit_is_seen(daemon, web):
    """The read-back, which also ends a dyno before its app starts."""
    folder = cgroup_of(daemon.dyno(web, "web.1"))
    def layer(status):
        done = daemon.ctl("ps:inspect", "web.1", "-a", web, "--json")
        assert done.returncode == status, done.stdout
        return next(e for e in json.loads(done.stdout)["layers"] if e["layer"] == "cgroup")
    for name, value in CHANGES.items():
        if name == "io.weight" and not (folder / name).exists():
            continue
        before = (folder / name).read_text().split("\n")[0]
        (folder / name).write_text(value)
        seen = layer(1)
        assert seen["verdict"] == "failed" and seen["detail"].startswith(name + " "), seen
        (folder / name).write_text(before)
    assert layer(0)["ok"]


OWN = {"NPROC": 256, "NOFILE": 10000, "MEMLOCK": 8 * MB, "SIGPENDING": 256, "MSGQUEUE": 819200,
       "NICE": 0, "RTPRIO": 0, "CORE": 1}


def test_limits_are_the_dynos_own_whatever_dynod_has(daemon, web):
    """Some are the kernel's defaults: here dynod has more of all to pass on."""
    kinds = {name: getattr(resource, "RLIMIT_" + name) for name in OWN}
    before = {kind: resource.prlimit(daemon.main_pid(), kind) for kind in kinds.values()}
    try:
        for kind in kinds.values():
            most = 1 << 20 if kind == resource.RLIMIT_NOFILE else resource.RLIM_INFINITY
            resource.prlimit(daemon.main_pid(), kind, (most, most))
        done = daemon.run(web, "python3", "-c", "import json, resource as r\n"
                          f"print(json.dumps({{n: r.getrlimit(k) for n, k in {kinds}.items()}}))")
    finally:
        for kind, limits in before.items():
            resource.prlimit(daemon.main_pid(), kind, limits)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: [value, value] for name, value in OWN.items()}


HOG = "x = []\nwhile True: x.append(bytearray(16 << 20))"


def test_dyno_over_its_memory_is_killed_alone_and_as_a_whole(daemon, web):
    done = daemon.run(web, "sh", "-c", 'python3 -c "$0"; echo half an app', HOG, timeout=120)
    assert done.returncode == 137 and "half an app" not in done.stdout, done.stdout + done.stderr
    assert daemon.dyno(web, "web.1")["state"] == "up"


def test_who_joined_is_killed_with_the_dyno(daemon, web):
    done = daemon.exec(web, "web.1", "sh", "-c", 'python3 -c "$0"; echo half a dyno', HOG, timeout=120)
    assert done.returncode == 125 and "half a dyno" not in done.stdout, done.stdout + done.stderr
    assert "web.1 ended without saying how. See: herokuctl logs" in done.stderr, done.stderr
    daemon.wait_log(web, "heroku[web.1]: Process exited with status 137")


def test_fork_bomb_stays_in_its_dyno(daemon, web):
    bomb = ("import os, time\nn = 0\ntry:\n while True:\n  if os.fork() == 0: time.sleep(1000)\n  n += 1\n"
            "except OSError as error: print(n, error.errno)")
    done = daemon.run(web, "python3", "-c", bomb, timeout=120)
    count, errno = done.stdout.split()
    assert int(errno) == 11 and 100 < int(count) <= 257, done.stdout


def test_dyno_sees_its_own_limits(daemon, web):
    done = daemon.exec(web, "web.1", "cat", "/sys/fs/cgroup/memory.max",
                       "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert done.stdout.split() == [str(1024 * MB), str(512 * MB)], done.stdout + done.stderr


def test_ps_shows_memory_and_limit(daemon, web):
    dyno = daemon.dyno(web, "web.1")
    assert dyno["memory_limit"] == 512 * MB
    assert 0 < dyno["memory"] < 512 * MB
