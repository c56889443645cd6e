# SPDX-License-Identifier: Apache-2.0
"""Many rounds of what happens in a year: nothing may grow. DYNOD_SOAK_ROUNDS says how many."""

import os
import random

import pytest

from dynod_testing import WEB_SLUG, http_get, wait_until

pytestmark = pytest.mark.soak

ROUNDS = int(os.environ.get("DYNOD_SOAK_ROUNDS", "200"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def sizes(daemon):
    pids = [daemon.main_pid(), *daemon.pids_of("dynod-supervisor"), *daemon.pids_of("dynod-logger")]
    return [(descriptors(pid), resident(pid)) for pid in pids]


def test_rounds_of_scale_restart_and_run_leave_no_trace(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    before = None
    for number in range(ROUNDS):
        daemon.ok("ps:scale", f"web={random.randint(1, 4)}", f"worker={random.randint(0, 3)}", "-a", app)
        daemon.ok("ps:wait", "-a", app, timeout=150)
        daemon.ok("ps:restart", "web.1", "-a", app)
        daemon.ok("ps:wait", "-a", app, timeout=150)
        assert http_get(daemon.dyno(app, "web.1"))[0] == 200
        assert daemon.run(app, "true").returncode == 0
        daemon.ok("ps:scale", "web=1", "worker=0", "-a", app)
        daemon.ok("ps:wait", "-a", app, timeout=150)
        if number == 20:
            before = sizes(daemon)
    if before:
        # What can be torn down later is torn down later: give it the time.
        wait_until(lambda: all(now[0] <= then[0] + 4 for then, now in zip(before, sizes(daemon))),
                   f"as few descriptors as before, {before}", 30)
        for (_, memory), (_, memory_now) in zip(before, sizes(daemon)):
            assert memory_now <= memory * 1.5 + 4096, "memory leaks"


def test_kills_at_any_moment_lose_no_dyno(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:scale", "web=3", "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    before = sorted((dyno["id"], dyno["pid"]) for dyno in daemon.dynos(app))
    for _ in range(ROUNDS // 4):
        daemon.kill_process(random.choice(["dynod", "dynod-supervisor", "dynod-logger"]))
        assert sorted((dyno["id"], dyno["pid"]) for dyno in daemon.dynos(app)) == before
    for dyno in daemon.dynos(app):
        assert http_get(dyno)[0] == 200
