# SPDX-License-Identifier: Apache-2.0
"""What an operator has said of an app's network is in force again after a reboot: here all that
one takes away is taken away while dynod is stopped."""

import contextlib
import functools
import os
import pathlib
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "network"))

from dynod_testing import remove_cgroups, wait_until  # noqa: E402
from lab import Namespace  # noqa: E402
from test_app_network import (  # noqa: E402
    HOST, HOST_TOO, LINK, NEAR, OTHER, PORT, TARGETS, apps, get, outside, reached, shop, tried)

assert apps and outside and shop  # fixtures
PUBLISHED, SERVICE, BESIDE = 18080, 15432, 15433


def sh(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def guards(daemon):
    return list(pathlib.Path("/sys/fs/bpf", daemon.instance).glob("*"))


def end_dynos(daemon):
    if daemon.is_installed:
        sh("systemctl kill -s KILL dynod-dynos.scope; while systemctl -q is-active dynod-dynos.scope; do sleep 0.1; done")
        return
    (daemon.cgroup_root / "cgroup.kill").write_text("1")
    sh(f"while grep -q 'populated 1' {daemon.cgroup_root}/cgroup.events; do sleep 0.01; done")
    remove_cgroups(daemon.cgroup_root)
    daemon.cgroup_root.mkdir()


def take_away_what_a_reboot_does(daemon, service_address):
    """Only what is the instance's: others may live on this host."""
    end_dynos(daemon)
    name = functools.reduce(lambda h, c: (h ^ c) * 16777619 & 0xffffffff, daemon.instance.encode(), 2166136261)
    sh(f"nft delete table inet {daemon.instance}; ip rule del priority 10 fwmark {0xd0000000 | name & 0x0ffffffe}; "
       f"ip addr del {service_address}/32 dev lo")
    for link in pathlib.Path("/sys/class/net").glob(f"{daemon.instance}-*"):
        sh(f"ip link del {link.name} 2>/dev/null || true")  # one may be going with its namespace
    for link in (daemon.run_dir / "uplinks").read_text().split():
        pathlib.Path(f"/proc/sys/net/ipv4/conf/{link}/forwarding").write_text("0")
    for guard in guards(daemon):
        guard.unlink()
    for entry in daemon.run_dir.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def test_every_policy_is_in_force_after_a_reboot(daemon, apps, shop, outside):  # noqa: F811
    address = daemon.json("firewall", "-a", shop)["service_address"]
    reach = TARGETS + [f"tcp {where} {port}" for where in (address, HOST) for port in (SERVICE, BESIDE)]
    for command in (("firewall:deny", "any"), ("firewall:allow", f"10.99.77.0/24:{PORT}/tcp"),
                    ("firewall:source", HOST_TOO), ("ps:publish", "web", PUBLISHED),
                    ("trusted-ips:add", f"{NEAR}/32"), ("services:add", "postgres", SERVICE)):
        daemon.ok(*command, "-a", shop)

    def state():
        """What the dynos of both apps reach and are seen with, and who reaches the first from outside."""
        found = [tried(daemon, app, "web.1", reach) for app in apps]
        assert found[0].pop(f"tcp {address} {SERVICE}", None) == daemon.dyno(shop, "web.1")["address"]
        return (*found, get(outside, HOST, PUBLISHED, NEAR), get(outside, HOST, PUBLISHED, OTHER)[:3],
                sorted(guard.name for guard in guards(daemon)))

    host = Namespace("/proc/self/ns/net")
    with host.serve("tcp", "0.0.0.0", SERVICE), host.serve("tcp", "0.0.0.0", BESIDE):
        before = state()
        assert before[:4] == ({f"tcp {NEAR} {PORT}": HOST_TOO}, dict.fromkeys(TARGETS, HOST), "web.1", "no:")
        was = daemon.dyno(shop, "web.1")["id"]
        daemon.stop()
        try:
            take_away_what_a_reboot_does(daemon, address)
        finally:
            daemon.start()
        for app in apps:
            daemon.ok("ps:wait", "-a", app, timeout=150)
        assert daemon.dyno(shop, "web.1")["id"] != was
        assert state() == before
        layers = daemon.json("ps:inspect", "web.1", "-a", shop)["layers"]
        assert all(layer["verdict"] != "failed" for layer in layers), layers


@contextlib.contextmanager
def rebooted(daemon):
    """dynod is started again when the block ends."""
    address = daemon.json("firewall", "-a", "shop-net")["service_address"]
    daemon.ok("services:add", "any", SERVICE, "-a", "shop-net")  # service_address is there to be taken away
    daemon.stop()
    try:
        take_away_what_a_reboot_does(daemon, address)
        yield
    finally:
        daemon.start()


def never_crashed(daemon, app):
    return all(dyno["state"] == "up" and dyno["crashes"] == 0 for dyno in daemon.dynos(app)) and daemon.dynos(app)


def test_dynos_wait_for_a_policy_that_cannot_be_put_in_force(daemon, apps, shop):  # noqa: F811
    """Here root cannot keep it. That is no crash of theirs, and they start as soon as it can."""
    daemon.ok("firewall:deny", "any", "-a", shop)
    policy = max((daemon.run_dir / "policies").iterdir(), key=lambda path: path.stat().st_mtime)
    in_the_way = policy.with_name(f".{policy.name}.tmp")
    try:
        with rebooted(daemon):
            in_the_way.mkdir(parents=True)
        daemon.ok("ps:wait", "-a", apps[1], timeout=60)
        assert [(dyno["state"], dyno["crashes"]) for dyno in daemon.dynos(shop)] == [("starting", 0)]
        assert "cannot be applied" in daemon.dyno(shop, "web.1")["reason"]
        assert "cannot be applied" in daemon.run(shop, "true").stderr
        assert "\nNot in force: its network policy cannot be applied" in daemon.ok("firewall", "-a", shop)
        assert "Not possible" in daemon.refused("firewall:deny", "any", "-a", shop), "it is not so already"
    finally:
        in_the_way.rmdir()
    wait_until(lambda: never_crashed(daemon, shop), "dynos start", 20)
    assert reached(daemon, shop) == []


@contextlib.contextmanager
def listening(uid):
    """At the published port, as a process of @uid."""
    with contextlib.ExitStack() as there:
        os.seteuid(uid)
        try:
            for address in ("127.0.0.1", HOST):
                there.enter_context(socket.create_server((address, PUBLISHED)))
        finally:
            os.seteuid(0)
        yield


def test_a_service_of_the_host_keeps_its_port_from_who_published_it(daemon, apps, shop, outside):  # noqa: F811
    """A supervisor that is taken over says of any port that it was published. Dynos wait until it is free."""
    daemon.ok("ps:publish", "web", PUBLISHED, "-a", shop)
    with contextlib.ExitStack() as there:
        with rebooted(daemon):
            there.enter_context(listening(0))
        daemon.ok("ps:wait", "-a", apps[1], timeout=60)
        assert [(dyno["state"], dyno["crashes"]) for dyno in daemon.dynos(shop)] == [("starting", 0)]
        assert f"port {PUBLISHED}, which it publishes, is taken" in daemon.dyno(shop, "web.1")["reason"]
        assert "taken" in daemon.refused("firewall:deny", "any", "-a", shop)
    wait_until(lambda: never_crashed(daemon, shop), "dynos start", 20)
    assert get(outside, HOST, PUBLISHED) == "web.1"


def test_who_listens_at_a_published_port_before_dynod_keeps_no_dyno_down(daemon, apps, shop, outside):  # noqa: F811
    daemon.ok("ps:publish", "web", PUBLISHED, "-a", shop)
    with contextlib.ExitStack() as there:
        with rebooted(daemon):
            there.enter_context(listening(65534))
        daemon.ok("ps:wait", "-a", shop, timeout=60)
        assert never_crashed(daemon, shop)
        assert get(outside, HOST, PUBLISHED) == "web.1"
        if not daemon.is_installed:
            log = daemon.log_tail(400)
            assert log.count(f"{shop}: something on this host listens at port {PUBLISHED}, too") == 1, log
        answer = daemon.ctl("firewall:deny", "any", "-a", shop).stderr
        assert answer.endswith("done, applied to 1 dyno\n"), answer
        assert reached(daemon, shop) == [] and reached(daemon, apps[1]) == sorted(TARGETS)
        assert daemon.run(shop, "true").returncode == 0
        daemon.ok("ps:unpublish", PUBLISHED, "-a", shop)
        text = daemon.refused("ps:publish", PUBLISHED, "-a", shop)
        assert f"Port {PUBLISHED} is taken on this host" in text


def test_fixed_source_that_comes_late_is_waited_for(daemon, apps, shop, outside):  # noqa: F811
    daemon.ok("firewall:source", HOST_TOO, "-a", shop)
    daemon.ok("ps:publish", "web", PUBLISHED, "-a", shop)
    try:
        with rebooted(daemon):
            sh(f"ip addr del {HOST_TOO}/24 dev {LINK}")
        for app in apps:
            daemon.ok("ps:wait", "-a", app, timeout=60)
        assert never_crashed(daemon, shop)
        assert reached(daemon, shop) == [] and reached(daemon, apps[1]) == sorted(TARGETS)
        assert get(outside, HOST, PUBLISHED) == "web.1"

        missing = f"{HOST_TOO}, its fixed source, is no address of this host: its dynos reach nothing until it is"
        network = daemon.json("firewall", "-a", shop)
        assert (network["in_force"], network["problem"]) == (True, missing)
        assert f"\nIncomplete: {missing}.\n" in daemon.ok("firewall", "-a", shop)
        policies = daemon.check("policies")
        assert (policies["verdict"], policies["detail"]) == ("warning", f"{shop}: {missing}")
        layers = daemon.json("ps:inspect", "web.1", "-a", shop)["layers"]
        assert f"no address of the host: {HOST_TOO}" in next(x["detail"] for x in layers if x["layer"] == "network")
        daemon.ok("ps:restart", "-a", shop, timeout=90)
        daemon.ok("ps:wait", "-a", shop, timeout=60)
        daemon.kill_process("dynod-supervisor")  # the next one knows it, too
        assert daemon.json("firewall", "-a", shop)["problem"] == missing
    finally:
        sh(f"ip addr replace {HOST_TOO}/24 dev {LINK}")
    wait_until(lambda: tried(daemon, shop, "web.1", TARGETS) == dict.fromkeys(TARGETS, HOST_TOO), "dynos are let out", 10)
    network = daemon.json("firewall", "-a", shop)
    assert (network["in_force"], network["problem"]) == (True, None)
    assert daemon.check("policies")["verdict"] == "ok"
