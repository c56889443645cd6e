# SPDX-License-Identifier: Apache-2.0
"""Somebody flushes the ruleset of a running dynod: log, doctor, and dynos' network."""

import json
import re
import subprocess

import pytest

from dynod_testing import WEB_SLUG, http_get, time_factor, wait_until


@pytest.fixture
def web(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    return daemon.dyno(app, "web.1")


def sh(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def flush(daemon):
    """As far as others on this host are not concerned."""
    sh("nft flush ruleset" if daemon.is_installed else f"nft delete table inet {daemon.instance}")


def said(daemon, text):
    return [line for line in daemon.log_tail(2000).splitlines() if "network: " in line and text in line]


def restored(daemon, count):
    wait_until(lambda: len(said(daemon, "; restored.")) >= count, f"{count} times restored", 30)


def network_layer(daemon, *command):
    shown = daemon.ctl(*command, "--json").stdout  # ends with 1 while something is damaged
    return next(layer for layer in json.loads(shown)["layers"] if layer["layer"] == "network")


def test_a_flushed_ruleset_is_restored_and_named(daemon, web):
    before = len(said(daemon, "; restored."))
    flush(daemon)
    restored(daemon, before + 1)
    assert "the nftables table was changed by nft (PID " in said(daemon, "; restored.")[-1]
    assert http_get(web)[0] == 200
    assert network_layer(daemon, "doctor")["ok"]
    assert network_layer(daemon, "ps:inspect", web["id"], "-a", web["app"])["ok"]


def test_links_and_filters_are_restored(daemon, web):
    way = subprocess.run(["ip", "route", "get", web["address"]], capture_output=True, text=True,
                         check=True).stdout.split()
    link = way[way.index("dev") + 1]
    for command, text in ((f"tc qdisc del dev {link} clsact", "tc filter is gone"),
                          (f"ip neigh del {web['address']} dev {link}", "neighbour entry is gone"),
                          (f"ip link set {link} down", "link is down"),
                          (f"ip link set {link} arp on", "link is not deaf to ARP"),
                          (f"sysctl -qw net.ipv6.conf.{link}.disable_ipv6=0", "link has IPv6"),
                          (f"ip link set {link} address 02:00:00:00:00:01", "link is gone"),
                          (f"ip link del {link}", "link is gone")):
        before = len(said(daemon, "; restored."))
        sh(command)
        restored(daemon, before + 1)
        assert text in said(daemon, "; restored.")[-1]
        assert http_get(web)[0] == 200


PAUSE = 4  # s, the longest, where a restoration takes less


def pause_of(line):
    return int(re.search(r"restored in (\d+) s", line).group(1))


def in_a_pause(daemon, look):
    """What @look sees between a flush and its restoration. Where it is slow, of a few flushes."""
    for _ in range(10):
        before = len(said(daemon, "; restored."))
        flush(daemon)
        seen = look()
        if len(said(daemon, "; restored.")) == before:
            return seen
    raise AssertionError("it is put back without a pause")


@pytest.mark.twice
def test_who_keeps_flushing_keeps_neither_dynod_busy_nor_dynos_cut_off(daemon, web):
    before, announced = len(said(daemon, "; restored.")), len(said(daemon, "it is restored in"))
    for n in range(5):
        flush(daemon)
        restored(daemon, before + n + 1)
    pauses = [pause_of(line) for line in said(daemon, "it is restored in")[announced:]]
    assert len(pauses) >= 2 and max(pauses) <= PAUSE * time_factor(), pauses
    assert http_get(web)[0] == 200

    # For now nothing is restored, and that is what people are told.
    assert not in_a_pause(daemon, lambda: network_layer(daemon, "doctor"))["ok"]
    restored(daemon, before + 6)
    assert not in_a_pause(daemon, lambda: network_layer(daemon, "ps:inspect", web["id"], "-a", web["app"]))["ok"]
    wait_until(lambda: network_layer(daemon, "doctor")["ok"], "restored")

    def change_often():
        told = len(said(daemon, "it is restored in"))
        for _ in range(20 if time_factor() == 1 else 3):
            sh(f"nft add table inet {daemon.instance}; nft delete table inet {daemon.instance}")
        return len(said(daemon, "it is restored in")) - told

    assert in_a_pause(daemon, change_often) <= 1
    wait_until(lambda: network_layer(daemon, "doctor")["ok"], "restored")
    before = len(said(daemon, "; restored."))
    flush(daemon)
    # A dyno that is to start does not start without its network.
    assert daemon.run(web["app"], "true").returncode == 0
    assert len(said(daemon, "; restored.")) == before + 1
    assert http_get(web)[0] == 200
    # Nor is a policy changed in a table that is not there.
    flush(daemon)
    daemon.ok("firewall:deny", "any", "-a", web["app"])
    assert "closed" in network_layer(daemon, "ps:inspect", web["id"], "-a", web["app"])["detail"]


@pytest.mark.native  # it replaces a program of the instance
def test_a_loader_that_hangs_is_ended_and_everybody_is_served(daemon, web):
    loader = daemon.prefix / "libexec/dynod/dynod-firewall"
    real, once = loader.with_name("dynod-firewall.real"), daemon.folder / "hung-once"
    daemon.restart()  # whose table was changed as often as in here restores it late
    before = len(said(daemon, "; restored."))
    loader.rename(real)
    loader.write_text(f"#!/bin/sh\n/bin/mkdir {once} 2>/dev/null && exec /bin/sleep 1000\nexec {real}\n")
    loader.chmod(0o755)
    try:
        env = {"PATH": "/usr/bin:/bin", "DYNOD_SOCKET": str(daemon.socket)}
        with subprocess.Popen([daemon.herokuctl, "firewall:deny", "any", "-a", web["app"]], env=env,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as change:
            wait_until(once.exists, "the loader hangs")
            assert [dyno["id"] for dyno in daemon.dynos(web["app"])] == [web["id"]]
            assert http_get(web)[0] == 200
            assert change.poll() is None, "it did not hang"
            # Long before anybody gives up: root would wait for it for ever otherwise.
            _, error = change.communicate(timeout=50)
        assert change.returncode == 1 and "Nothing was changed" in error, error
        restored(daemon, before + 1)
        assert "did not come to its end" in said(daemon, "; restored.")[-1]
        assert "reaches the Internet" in network_layer(daemon, "ps:inspect", web["id"], "-a", web["app"])["detail"]
        assert daemon.run(web["app"], "true").returncode == 0
        daemon.ok("firewall:deny", "any", "-a", web["app"])
        assert "closed" in network_layer(daemon, "ps:inspect", web["id"], "-a", web["app"])["detail"]
    finally:
        real.replace(loader)


@pytest.mark.vm  # it stops everybody's forwarding for a moment
def test_doctor_names_a_firewall_that_stops_dynos_and_the_line_that_helps(daemon):
    assert daemon.check("firewall")["verdict"] == "ok"
    sh("nft 'add table inet other; add chain inet other forward "
       "{ type filter hook forward priority 0; policy drop; }'")
    try:
        found = daemon.check("firewall")
        assert found["verdict"] == "warning" and "inet other forward" in found["detail"], found
        sh(found["fix"].replace("sudo ", ""))
        assert daemon.check("firewall")["verdict"] == "ok"
        assert "iifname \"dynod-*\" accept" in subprocess.run(
            ["nft", "list", "table", "inet", "other"], capture_output=True, text=True, check=True).stdout
    finally:
        sh("nft delete table inet other")
