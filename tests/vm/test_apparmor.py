# SPDX-License-Identifier: Apache-2.0
"""Labels of dynod's processes and of dynos, as the kernel reports them."""

import pathlib

import pytest

from dynod_testing import WEB_SLUG

pytestmark = pytest.mark.vm


def label(pid):
    return pathlib.Path(f"/proc/{pid}/attr/apparmor/current").read_text().strip()


def processes_in(dyno_id):
    for procs in pathlib.Path("/sys/fs/cgroup").rglob(f"{dyno_id}/cgroup.procs"):
        return [int(pid) for pid in procs.read_text().split()]
    raise AssertionError(f"no cgroup of {dyno_id}")


def test_every_process_of_dynod_is_confined(daemon):
    assert label(daemon.main_pid()) == "dynod (enforce)"
    for name, wanted in (("dynod-supervisor", "dynod-supervisor (enforce)"),
                         ("dynod-logger", "dynod-logger (enforce)")):
        pids = daemon.pids_of(name)
        assert pids, name
        for pid in pids:
            assert label(pid) == wanted


def test_every_process_of_a_dyno_is_confined(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    pids = processes_in(daemon.dyno(app, "web.1")["id"])
    assert len(pids) >= 2
    for pid in pids:
        assert label(pid) == "dynod-dyno (enforce)"


def test_exec_runs_under_the_same_label(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    done = daemon.exec(app, "web.1", "cat", "/proc/self/attr/current")
    assert "dynod-dyno (enforce)" in done.stdout or done.returncode != 0
