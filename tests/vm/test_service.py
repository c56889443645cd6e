# SPDX-License-Identifier: Apache-2.0
"""dynod.service as systemd runs it."""

import re
import subprocess

import pytest

from dynod_testing import WEB_SLUG, http_get

pytestmark = pytest.mark.vm


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_service_is_active_and_says_ready(daemon):
    shown = run("systemctl", "show", "dynod", "-p", "ActiveState,Type,NRestarts,StatusText").stdout
    assert "ActiveState=active" in shown


def test_stop_and_start_keep_dynos(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    before = daemon.dyno(app, "web.1")
    daemon.stop()
    assert run("systemctl", "is-active", "dynod").stdout.strip() == "inactive"
    assert http_get(before)[0] == 200, "the dyno answers while dynod is down"
    daemon.start()
    after = daemon.dyno(app, "web.1")
    assert (before["id"], before["pid"]) == (after["id"], after["pid"])


def test_hardening_of_the_unit_is_below_the_aim(daemon):
    shown = run("systemd-analyze", "security", "dynod.service", "--no-pager").stdout
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", shown)
    assert exposure, shown
    assert float(exposure.group(1)) < 5.5, shown


def test_bounding_set_of_the_unit_is_what_dynod_keeps(daemon):
    with open(f"/proc/{daemon.main_pid()}/status", encoding="ascii") as file:
        facts = dict(line.split(":", 1) for line in file)
    unit = run("systemctl", "show", "dynod", "-P", "CapabilityBoundingSet").stdout.split()
    assert len(unit) == bin(int(facts["CapBnd"], 16)).count("1")


def test_installing_again_restarts_dynod_and_keeps_dynos(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    before, main = daemon.dyno(app, "web.1"), daemon.main_pid()
    done = run("dpkg", "-i", "/payload/dynod.deb")
    assert done.returncode == 0, done.stdout + done.stderr
    daemon.wait_ready()
    assert daemon.main_pid() != main
    after = daemon.dyno(app, "web.1")
    assert (before["id"], before["pid"]) == (after["id"], after["pid"])
    assert http_get(after)[0] == 200
