# SPDX-License-Identifier: Apache-2.0
"""What an operator has said of an app's network is in force again after a reboot: here all that
one takes away is taken away while dynod is stopped."""

import pathlib
import shutil
import subprocess
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path[:0] = [str(INTEGRATION), str(INTEGRATION / "network")]

from lab import Namespace  # noqa: E402
from test_app_network import (  # noqa: E402
    HOST, HOST_TOO, NEAR, OTHER, PORT, TARGETS, apps, get, outside, shop, tried)

pytestmark = pytest.mark.vm

assert apps and outside and shop  # fixtures
PUBLISHED, SERVICE, BESIDE = 18080, 15432, 15433
GUARDS = pathlib.Path("/sys/fs/bpf")


def sh(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def take_away_what_a_reboot_does(service_address):
    sh("systemctl kill -s KILL dynod-dynos.scope; systemctl stop dynod-dynos.scope; nft flush ruleset; ip rule del priority 10; conntrack -F || true")
    for link in pathlib.Path("/sys/class/net").glob("dynod-*"):
        sh(f"ip link del {link.name} 2>/dev/null || true")  # one may be going with its namespace
    sh(f"ip addr del {service_address}/32 dev lo")
    sh("for i in /proc/sys/net/ipv4/conf/*/forwarding; do echo 0 >$i; done")
    for guard in GUARDS.glob("dynod-*"):
        guard.unlink()
    for entry in pathlib.Path("/run/dynod").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


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
        assert found[0].pop(f"tcp {address} {SERVICE}") == daemon.dyno(shop, "web.1")["address"]
        return (*found, get(outside, HOST, PUBLISHED, NEAR), get(outside, HOST, PUBLISHED, OTHER)[:3],
                sorted(path.name for path in GUARDS.glob("dynod-*")))

    host = Namespace("/proc/self/ns/net")
    with host.serve("tcp", "0.0.0.0", SERVICE), host.serve("tcp", "0.0.0.0", BESIDE):
        before = state()
        assert before[:4] == ({f"tcp {NEAR} {PORT}": HOST_TOO}, dict.fromkeys(TARGETS, HOST), "web.1", "no:")
        was = daemon.dyno(shop, "web.1")["id"]
        daemon.stop()
        take_away_what_a_reboot_does(address)
        daemon.start()
        for app in apps:
            daemon.ok("ps:wait", "-a", app, timeout=150)
        assert daemon.dyno(shop, "web.1")["id"] != was
        assert state() == before
        layers = daemon.json("ps:inspect", "web.1", "-a", shop)["layers"]
        assert all(layer["ok"] for layer in layers), layers
