# SPDX-License-Identifier: Apache-2.0
"""Making, losing, finding again: slots, restarts, foreign tables and links."""

import subprocess
import sys

import pytest

import lab as lab_module
from lab import HOST, OUTSIDE, UPLINK, Driver, address

PORT = 7000


def links(lab):
    names = lab.host.run("ip -br link").split()
    return sorted(n.split("@")[0] for n in names if n.startswith("t1-"))


def elements(lab, name):
    return lab.host.run(f"nft list set inet t1 {name}")


def test_a_slot_is_complete_and_says_so(net):
    dyno = net.driver.create(7)
    assert net.driver.check(7) == (0, f"{address(7)[1]} on t1-7, source pinned by nftables and tc")
    assert f"inet {address(7)[1]}/30" in dyno.run("ip addr show dev eth0")
    assert f"default via {address(7)[0]} dev eth0" in dyno.run("ip route")
    assert "PERMANENT" in dyno.run("ip neigh")
    assert "PERMANENT" in net.host.run("ip neigh show dev t1-7")
    assert net.host.run("cat /proc/sys/net/ipv4/ip_forward").strip() == "0"


def test_everything_that_can_be_missing_is_noticed(net):
    def missing(slot, text):
        result, detail = net.driver.check(slot)
        assert result == 1 and text in detail, detail

    spaces = [net.driver.create(slot) for slot in range(7)]
    assert spaces
    net.driver.ok("web 1 5000")

    net.host.run(f"nft delete element inet t1 links '{{ \"t1-0\" . {address(0)[1]} }}'")
    missing(0, "not in the nftables table")
    net.host.run(f"nft delete element inet t1 web '{{ {address(1)[1]} . 5000 }}'")
    missing(1, "web port")
    net.tc_off(2)
    missing(2, "tc filter is gone")
    net.host.run("tc filter del dev t1-3 egress")
    missing(3, "tc filter is gone")
    net.host.run("ip link del t1-4")
    missing(4, "link is gone")
    net.host.run("sysctl -qw net.ipv4.conf.t1-5.forwarding=0")
    missing(5, "does not forward")
    net.host.run("ip link set t1-6 down")
    missing(6, "link is down")

    net.nft_off()
    missing(5, "")
    net.driver.ok("start")


def test_a_deleted_element_cuts_one_dyno_off(net):
    one, two = net.driver.create(0), net.driver.create(1)
    with net.outside.serve("tcp", OUTSIDE, PORT):
        net.host.run(f"nft delete element inet t1 links '{{ \"t1-0\" . {address(0)[1]} }}'")
        assert one.ask("tcp", OUTSIDE, PORT) == "timeout"
        assert two.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"


def test_a_destroyed_slot_passes_nothing_and_leaves_nothing(net):
    dyno = net.driver.create(0)
    net.driver.ok("web 0 5000")
    dyno.keep()
    with net.outside.serve("tcp", OUTSIDE, PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
        net.driver.ok("destroy 0")
        assert dyno.ask("tcp", OUTSIDE, PORT) == "timeout"
        # By tc alone as well.
        net.nft_off()
        net.rule_off()
        net.outside.run(f"ip route add {address(0)[1]} via {HOST}; "
                        "nft 'add table ip count; add chain ip count c { type filter hook prerouting priority -400; }; "
                        f"add rule ip count c ip saddr {address(0)[1]} counter'")
        assert dyno.ask("tcp", OUTSIDE, PORT) == "timeout"
        assert "packets 0 " in net.outside.run("nft list chain ip count c")
    dyno.close()

    net.driver.ok("start")
    assert "t1-" not in elements(net, "links")
    assert address(0)[1] not in elements(net, "web")
    again = net.driver.create(0)
    with net.outside.serve("tcp", OUTSIDE, PORT):
        assert again.ask("tcp", OUTSIDE, PORT).startswith("ok")


@pytest.mark.two_kernels
def test_a_restart_keeps_the_living_and_removes_the_rest(net):
    kept, gone = net.driver.create(0), net.driver.create(1)
    net.driver.ok("web 0 5000")
    pid = kept.keep()
    other = gone.keep()
    net.driver.kill()

    with net.outside.serve("tcp", OUTSIDE, PORT), kept.serve("tcp", "0.0.0.0", 5000):
        # Nobody is there, everything works.
        assert kept.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        assert net.host.ask("tcp", address(0)[1], 5000).startswith("ok")

        net.driver = Driver(net.host)
        net.driver.ok(f"start 0:5000:{pid}")
        assert links(net) == ["t1-0"]
        assert net.driver.check(0)[0] == 0
        assert kept.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        assert net.host.ask("tcp", address(0)[1], 5000).startswith("ok")
        assert gone.ask("tcp", OUTSIDE, PORT) == "ENETUNREACH"
        # Still filtered, now by the new program.
        with net.host.serve("tcp", "0.0.0.0", PORT):
            assert kept.ask("tcp", address(0)[0], PORT) == "timeout"
            net.nft_off()
            assert kept.ask("tcp", address(0)[0], PORT) == "timeout"
    assert other


def test_a_connection_survives_restart_and_reload(net):
    dyno = net.driver.create(0)
    pid = dyno.keep()
    script = (
        "import socket, sys; s = socket.create_connection(('%s', 7001), 1); s.settimeout(5)\n"
        "for line in sys.stdin: s.sendall(line.encode()); print(s.recv(9).decode(), end='', "
        "flush=True)" % OUTSIDE
    )
    echo = (
        "import socket; l = socket.create_server(('', 7001)); print('ready', flush=True); "
        "c, _ = l.accept()\nwhile d := c.recv(9): c.sendall(d)"
    )
    server = net.outside.popen([sys.executable, "-c", echo], stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"ready\n"
    client = dyno.popen([sys.executable, "-c", script], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE)

    def exchange(text):
        client.stdin.write(text)
        client.stdin.flush()
        assert client.stdout.readline() == text

    exchange(b"one\n")
    net.driver.kill()
    exchange(b"two\n")
    net.driver = Driver(net.host)
    net.driver.ok(f"start 0:0:{pid}")
    exchange(b"three\n")
    net.driver.ok("reload")
    exchange(b"four\n")
    client.stdin.close()
    for p in (client, server):
        p.wait(timeout=10)
        p.stdout.close()


def test_a_deleted_link_is_made_again(net):
    dyno = net.driver.create(0)
    pid = dyno.keep()
    net.driver.kill()
    net.host.run("ip link del t1-0; nft flush ruleset")
    net.driver = Driver(net.host)
    net.driver.ok(f"start 0:5000:{pid}")
    assert net.driver.check(0)[0] == 0
    with net.outside.serve("tcp", OUTSIDE, PORT), dyno.serve("tcp", "0.0.0.0", 5000):
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        assert net.host.ask("tcp", address(0)[1], 5000).startswith("ok")


def test_what_is_not_ours_is_not_touched(net):
    rules = "table inet other {\n\tchain c {\n\t\ttype filter hook forward priority filter + 5; policy accept;\n\t}\n}"
    net.host.run(f"nft '{rules}'")
    net.host.run("ip link add t1-9 type veth peer name foreign")  # our name, not our MAC
    net.host.run("ip link add t1-8 address 02:64:79:01:00:08 type bridge")  # our name and MAC, not our kind
    net.host.run("ip link add t1-x type veth peer name foreign2")
    net.host.run("ip link add t2-1 type veth peer name foreign3")
    net.host.run("ip rule add priority 20 fwmark 5 blackhole")
    net.driver.create(0)
    net.driver.ok("start")
    assert links(net) == ["t1-8", "t1-9", "t1-x"]
    net.driver.create(1)
    net.driver.ok("purge")
    assert links(net) == ["t1-8", "t1-9", "t1-x"]
    assert "t2-1" in net.host.run("ip -br link")
    assert "fwmark 0x5 blackhole" in net.host.run("ip rule")
    assert net.host.run("nft list ruleset").strip() == rules


@pytest.mark.two_kernels
def test_purge_leaves_the_host_as_it_was(lab):
    for link in (UPLINK, "lan0"):
        lab.host.run(f"until ip -br link show {link} | grep -q ' UP '; do sleep 0.01; done")
    before = lab.host.run("ip -br link; ip rule; ip route; nft list ruleset; "
                          f"cat /proc/sys/net/ipv4/conf/{UPLINK}/forwarding")
    lab.start()
    for slot in range(5):
        lab.driver.create(slot)
    lab.driver.ok("purge")
    lab.driver.ok("purge")
    after = lab.host.run("ip -br link; ip rule; ip route; nft list ruleset; "
                         f"cat /proc/sys/net/ipv4/conf/{UPLINK}/forwarding")
    assert after == before


def test_published_port_passes_another_instance(net):
    """Each turned forwarding on for the same uplink, and lets nobody in by it for that alone."""
    other = Driver(net.host, instance="t2", network="172.30.0.0/16", uid_base=800000)
    other.ok("start")
    for driver, port, address_of_dyno in ((net.driver, 8081, "172.16.0.30"), (other, 8082, "172.30.0.30")):
        dyno = driver.create(0)
        for command in ("begin 0 1", "web 0 5000", "listens 0 1", f"policy 1 1 publish={port}"):
            driver.ok(command)
        with dyno.serve("tcp", "0.0.0.0", 5000):
            assert net.outside.ask("tcp", HOST, port).startswith("ok"), port
            net.outside.run(f"ip route replace {address_of_dyno}/32 via {HOST}")
            assert net.outside.ask("tcp", address_of_dyno, 5000) == "timeout"
    other.close()


def test_two_instances_live_side_by_side(net):
    one = net.driver.create(0)
    other = Driver(net.host, instance="t2", network="172.30.0.0/16", uid_base=800000)
    other.ok("start")
    two = other.create(0)
    with net.outside.serve("tcp", OUTSIDE, PORT), two.serve("tcp", "0.0.0.0", PORT):
        for dyno in (one, two):
            assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
        assert one.ask("tcp", "172.30.0.30", PORT) == "timeout"
        net.host.run("nft flush ruleset")
        assert one.ask("tcp", "172.30.0.30", PORT) == "timeout"
        net.driver.ok("reload")
        assert one.ask("tcp", "172.30.0.30", PORT) == "timeout"
        other.ok("reload")
    # The uplink forwards for both, until the last one is gone.
    forwarding = f"cat /proc/sys/net/ipv4/conf/{UPLINK}/forwarding"
    net.driver.ok("purge")
    assert net.host.run(forwarding).strip() == "1"
    with net.outside.serve("tcp", OUTSIDE, PORT):
        assert two.ask("tcp", OUTSIDE, PORT).startswith("ok")
    other.ok("purge")
    assert net.host.run(forwarding).strip() == "0"
    other.close()


def test_overlapping_addresses_are_left_out(lab):
    lab.host.run(f"ip route add 172.16.0.32/27 via {OUTSIDE}")
    lab.host.run("ip route add blackhole 172.16.0.0/12")  # nobody's
    driver = lab.start()
    report = driver.report()
    assert report["n_overlap"] == 8
    assert report["overlap"] == f"172.16.0.32/27 on {UPLINK}"
    assert driver.say("usable 0") == "ok 1"
    assert driver.say("usable 1") == "ok 0"
    assert driver.say("usable 9") == "ok 1"
    assert driver.say("create 1") == "ok 2"


def test_report_names_what_doctor_needs(lab):
    lab.host.run("nft 'add table ip filter; add chain ip filter FORWARD "
                 "{ type filter hook forward priority 0; policy drop; }'")
    driver = lab.start()
    report = driver.report()
    assert report["ok"] == 0 and report["table"] and report["tc"] and report["flush_guard"]
    assert report["uplinks"].split() == [UPLINK, "lan0"] and report["forwarding"]
    assert report["n_resolvers"] == 1
    assert report["blockers"] == "forward ip filter FORWARD"
    lab.nft_off()
    assert driver.report()["table"] == 0 and driver.report()["ok"] == 1


def test_a_resolver_of_the_host_is_none_for_dynos(lab):
    lab.driver = Driver(lab.host, resolver=HOST)
    lab.driver.ok("start")
    assert lab.driver.report()["n_resolvers"] == 0


def test_a_new_uplink_forwards_after_refresh(net):
    net.host.run("ip link add wan1 type veth peer name w && ip link set wan1 up && ip link set w up"
                 " && ip addr add 10.79.0.2/24 dev wan1")
    path = "cat /proc/sys/net/ipv4/conf/wan1/forwarding"
    assert net.host.run(path).strip() == "0"
    net.driver.ok("refresh")
    assert net.host.run(path).strip() == "1"
    assert "wan1" in elements(net, "uplinks")
    # The administrator makes it a router: nothing is restricted any more.
    net.host.run("sysctl -qw net.ipv4.ip_forward=1")
    net.driver.ok("refresh")
    assert "wan1" not in elements(net, "uplinks")


def test_a_link_of_another_instance_is_no_uplink(net):
    for name, prefix in (("other-3", 30), ("wan-1", 24)):
        peer = name.replace("-", "p")
        net.host.run(f"ip link add {name} type veth peer name {peer} && ip link set {name} up"
                     f" && ip link set {peer} up && ip addr add 10.79.{prefix}.1/{prefix} dev {name}")
    net.driver.ok("refresh")
    uplinks = net.driver.report()["uplinks"].split()
    assert "other-3" not in uplinks and "wan-1" in uplinks
    assert net.host.run("cat /proc/sys/net/ipv4/conf/other-3/forwarding").strip() == "0"


def test_an_uplink_that_comes_later_is_noticed(lab):
    lab.host.run("ip route del default")
    for link in (UPLINK, "lan0"):
        lab.host.run(f"ip link set {link} down")
    driver = lab.start()
    dyno = driver.create(0)
    assert driver.report()["uplinks"] == ""
    with lab.outside.serve("tcp", OUTSIDE, PORT):
        assert not dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
        lab.host.run(f"ip link set {UPLINK} up")
        driver.ok("watch")
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"


def test_addresses_that_come_later_are_left_out(net):
    assert net.driver.say("usable 1") == "ok 1"
    net.host.run(f"ip route add 172.16.0.32/27 via {OUTSIDE}")
    net.driver.ok("watch")
    assert net.driver.say("usable 1") == "ok 0"


def test_a_broken_ruleset_is_refused_and_the_old_one_stays(net, tmp_path):
    dyno = net.driver.create(0)
    pid = dyno.keep()
    before = net.host.run("nft list table inet t1")
    (tmp_path / "ruleset.nft.in").write_text("table inet t1 { nonsense }\n")
    saved, lab_module.SOURCE = lab_module.SOURCE, tmp_path
    try:
        (tmp_path / "profiles").mkdir()
        (tmp_path / "ruleset.nft.in").rename(tmp_path / "profiles" / "ruleset.nft.in")
        driver = Driver(net.host)
    finally:
        lab_module.SOURCE = saved
    assert driver.say(f"start 0:0:{pid}") == "ok 3"
    assert net.host.run("nft list table inet t1") == before
    driver.close()
