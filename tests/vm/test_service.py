# SPDX-License-Identifier: Apache-2.0
"""dynod.service as systemd runs it."""

import os
import pathlib
import re
import signal
import subprocess

import pytest

from dynod_testing import WEB_SLUG, http_get, wait_until

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


def test_host_limits_on_sockets_are_no_less_than_its_memory():
    """The guest's own were an eighth of it: one dyno could have all."""
    pages = os.sysconf("SC_PHYS_PAGES")
    for name in ("udp_mem", "tcp_mem"):
        values = pathlib.Path("/proc/sys/net/ipv4", name).read_text().split()
        assert min(map(int, values[1:])) >= pages and int(values[0]) < pages, (name, values)
    orphans = int(pathlib.Path("/proc/sys/net/ipv4/tcp_max_orphans").read_text())
    assert orphans >= pages * os.sysconf("SC_PAGE_SIZE") // 512


def test_pages_of_the_hosts_sockets_are_small():
    assert pathlib.Path("/proc/sys/net/core/high_order_alloc_disable").read_text() == "1\n"


def test_host_limit_that_is_higher_stays(daemon):
    limit = pathlib.Path("/proc/sys/net/ipv4/tcp_max_orphans")
    before = limit.read_text()
    try:
        for value, then in (("2000000000", "2000000000"), ("1000", before.strip())):
            limit.write_text(value)
            daemon.stop()
            daemon.start()
            assert limit.read_text().strip() == then
    finally:
        limit.write_text(before)


def processor_usec(group):
    return int((pathlib.Path("/sys/fs/cgroup/system.slice") / group / "cpu.stat").read_text().split()[1])


def test_dynos_together_weigh_as_four_services(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    burn = "import os\nfor i in range(2): os.fork()\nwhile True: pass"
    groups = ("dynod-dynos.scope", "other-service.service")
    run("systemd-run", "--unit=other-service", "python3", "-c", burn)
    try:
        daemon.ok("run", "--detached", "-a", app, "--", "python3", "-c", burn)
        wait_until(lambda: all(processor_usec(group) > 1_000_000 for group in groups), "both are busy")
        before = [processor_usec(group) for group in groups]
        wait_until(lambda: processor_usec(groups[0]) > before[0] + 4_000_000, "the dyno has had four seconds")
        dynos, other = (processor_usec(group) - then for group, then in zip(groups, before))
        assert 2.5 < dynos / other < 6, (dynos, other)
    finally:
        run("systemctl", "stop", "other-service")


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


def keepers():
    """Pids of the idle process that keeps the scope of dynos, of the scope as it is now."""
    group = run("systemctl", "show", "-P", "ControlGroup", "dynod-dynos.scope").stdout.strip()
    path = pathlib.Path(f"/sys/fs/cgroup{group}/keeper/cgroup.procs")
    return path.read_text().split() if group and path.exists() else []


def end_keeper(daemon):
    before = keepers()
    assert len(before) == 1, before
    os.kill(int(before[0]), signal.SIGKILL)
    wait_until(lambda: keepers() and keepers() != before, "there is a new keeper")
    daemon.wait_ready()


def test_keeper_is_ended_by_root_alone(daemon):
    [pid] = keepers()
    uid = os.stat(f"/proc/{pid}").st_uid
    assert uid == daemon.uid_base() + 4
    for other in (65534, uid + 1):
        done = run("setpriv", "--reuid", str(other), "--clear-groups", "sh", "-c", f"kill -9 {pid}")
        assert done.returncode != 0, done.stdout
    assert keepers() == [pid]


def test_scope_without_keeper_is_kept(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    before = daemon.dyno(app, "web.1")
    end_keeper(daemon)
    assert daemon.dyno(app, "web.1")["pid"] == before["pid"]
    assert daemon.run(app, "true", timeout=90).returncode == 0


def test_scope_that_is_gone_is_made_again(daemon, app, slug):
    """systemd removes one in which nothing is left."""
    daemon.ok("deploy", slug({"Procfile": "w: true\n"}), "-a", app, timeout=120)
    wait_until(lambda: not daemon.json("ps", "-A"), "no dyno is left")
    main = daemon.main_pid()
    invocation = run("systemctl", "show", "-P", "InvocationID", "dynod-dynos.scope").stdout
    supervisor = daemon.pids_of("dynod-supervisor")
    end_keeper(daemon)
    wait_until(lambda: set(daemon.pids_of("dynod-supervisor")) - set(supervisor), "it knows the new group")
    daemon.wait_ready()
    assert run("systemctl", "show", "-P", "InvocationID", "dynod-dynos.scope").stdout != invocation
    assert daemon.run(app, "true", timeout=90).returncode == 0
    assert pathlib.Path("/sys/fs/bpf/dynod/modules").exists()
    assert daemon.main_pid() == main
