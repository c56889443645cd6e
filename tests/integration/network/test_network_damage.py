# SPDX-License-Identifier: Apache-2.0
"""Others take away what is ours: it is noticed, named and made good, and nothing else is."""

import pathlib
import shutil

import pytest

from dynod_testing import wait_until
from lab import HOST, OUTSIDE, UPLINK, Driver, address

PORT = 7000


def settle(driver):
    """Works off whatever was reported until now."""
    while driver.say("quiet") != "ok 0":
        driver.ok("watch")


def damage(driver):
    """What is damaged, after the next report; empty: nothing."""
    driver.ok("watch")
    settle(driver)
    answer = driver.say("damage")
    return "" if answer == "ok 0" else answer.removeprefix("damage ")


CHANGES_OF_THE_TABLE = {
    "all rulesets": "nft flush ruleset",
    "the table": "nft delete table inet t1",
    "the table's rules": "nft flush table inet t1",
    "a chain's rules": "nft flush chain inet t1 from_dyno_to_host",
    "one more rule": "nft insert rule inet t1 from_dyno_to_host accept",
    "a rule": "nft delete rule inet t1 to_dyno handle $(nft -a list chain inet t1 to_dyno | "
              "sed -n 's/.*drop # handle //p')",
    "an element": f"nft delete element inet t1 links '{{ \"t1-0\" . {address(0)[1]} }}'",
    "one more element": f"nft add element inet t1 links '{{ \"t1-0\" . {address(9)[1]} }}'",
    "a set": "nft flush set inet t1 uplinks",
    "asleep": "nft add table inet t1 '{ flags dormant; }'",
    "policy": "nft add chain inet t1 input '{ policy drop; }'",
}


@pytest.mark.two_kernels
def test_every_change_of_the_table_is_named_and_made_good(net):
    driver = net.driver
    dyno = driver.create(0)
    driver.ok("web 0 5000")
    settle(driver)
    assert driver.say("damage") == "ok 0"
    before = net.host.run("nft -s list table inet t1")
    for what, command in CHANGES_OF_THE_TABLE.items():
        net.host.run(command)
        assert "the nftables table was changed by nft (PID " in damage(driver), what
        assert "changed by nft" in driver.report()["detail"] or driver.report()["table"] == 0, what
        assert driver.report()["ok"] == 1, what
        assert driver.check(0)[0] == 1, what
        driver.ok("reload")
        assert driver.say("damage") == "ok 0", what
        settle(driver)
        assert driver.say("damage") == "ok 0", what
        assert driver.report()["ok"] == 0 and driver.check(0)[0] == 0, what
        assert net.host.run("nft -s list table inet t1") == before, what
    with net.outside.serve("tcp", OUTSIDE, PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"


STRANGER = "02:00:00:00:00:01"

CHANGES_OF_A_LINK = {
    "the qdisc": ("tc qdisc del dev t1-0 clsact", "tc filter is gone"),
    "the filter in": ("tc filter del dev t1-0 ingress", "tc filter is gone"),
    "the filter out": ("tc filter del dev t1-0 egress", "tc filter is gone"),
    "the address": (f"ip addr del {address(0)[0]}/30 dev t1-0", "no route goes there"),
    "the route": ("ip route del 172.16.0.28/30", "no route goes there"),
    "forwarding": ("sysctl -qw net.ipv4.conf.t1-0.forwarding=0", "does not forward"),
    "the link": ("ip link del t1-0", "link is gone"),
    "down": ("ip link set t1-0 down", "link is down"),
    "down and up": ("ip link set t1-0 down; ip link set t1-0 up", "neighbour entry is gone"),
    "the neighbour": (f"ip neigh del {address(0)[1]} dev t1-0", "neighbour entry is gone"),
    "the neighbours": ("ip neigh flush dev t1-0 nud permanent", "neighbour entry is gone"),
    "another neighbour": (f"ip neigh replace {address(0)[1]} lladdr {STRANGER} dev t1-0",
                          "neighbour entry is gone"),
    "ARP": ("ip link set t1-0 arp on", "link is not deaf to ARP"),
    "IPv6": ("sysctl -qw net.ipv6.conf.t1-0.disable_ipv6=0", "link has IPv6"),
    "IPv6 while it is down": ("ip link set t1-0 down; sysctl -qw net.ipv6.conf.t1-0.disable_ipv6=0; "
                              "ip link set t1-0 up", "link has IPv6"),
    "the MAC": (f"ip link set t1-0 address {STRANGER}", "link is gone"),
    "the name": ("ip link set t1-0 down; ip link set t1-0 name other; ip link set other up",
                 "link is gone"),
    "forwarding of an uplink": (f"sysctl -qw net.ipv4.conf.{UPLINK}.forwarding=0",
                                f"{UPLINK} does not forward any more"),
    "the rule": ("ip rule del priority 10", "routing rule with priority 10 is gone"),
}


@pytest.mark.two_kernels
def test_every_loss_on_a_link_is_named_and_made_good(net):
    driver = net.driver
    dyno = driver.create(0)
    driver.create(1)
    settle(driver)
    with net.outside.serve("tcp", OUTSIDE, PORT):
        for what, (command, text) in CHANGES_OF_A_LINK.items():
            net.host.run(command)
            assert text in damage(driver), what
            assert driver.report()["ok"] == 1, what
            driver.ok("reload")
            settle(driver)
            assert driver.say("damage") == "ok 0", what
            assert driver.report()["ok"] == 0 and driver.check(0)[0] == 0, what
            assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}", what


@pytest.mark.two_kernels
def test_a_link_changed_while_nobody_is_there_is_made_good_at_the_next_start(net):
    pid = net.driver.create(0).keep()
    for command in (f"ip link set t1-0 address {STRANGER}", "ip link set t1-0 down",
                    f"ip neigh del {address(0)[1]} dev t1-0"):
        net.driver.kill()
        net.host.run(command)
        net.driver = Driver(net.host)
        net.driver.ok(f"start 0:0:{pid}")
        assert net.driver.check(0)[0] == 0, command


def test_neighbours_and_ipv6_of_others_are_no_news(net):
    """Dynos make such, by what they send to machines that are not there."""
    # The host's own links get IPv6 a moment after they are up.
    wait_until(lambda: net.host.run("ip -6 route show table local").count("multicast ff00::/8") == 2, "it has IPv6")
    settle(net.driver)
    net.host.run(f"ip -6 route add fd78::/64 dev {UPLINK}; ip -6 route del fd78::/64")
    net.host.run(f"ip neigh add 10.77.0.9 lladdr {STRANGER} dev {UPLINK}")
    net.host.run(f"ip neigh del 10.77.0.9 dev {UPLINK}")
    assert net.driver.say("quiet") == "ok 0"


def test_a_routing_rule_that_is_not_ours_does_not_pass_for_it(net):
    """In its place, with another mark, or with the mark and another end."""
    mark = net.host.run("ip rule show priority 10").split("fwmark ")[1].split()[0]
    for other in ("fwmark 5 blackhole", f"fwmark {mark} lookup main"):
        net.host.run(f"ip rule add priority 10 {other}")
        net.host.run(f"ip rule del priority 10 fwmark {mark} blackhole")
        assert "routing rule with priority 10 is gone" in damage(net.driver), other
        net.host.run(f"ip rule del priority 10 {other}")
        net.driver.ok("reload")
        settle(net.driver)
        assert net.driver.say("damage") == "ok 0"


def test_who_changed_the_table_writes_nothing_on_terminals(net, tmp_path):
    """A process may have any name."""
    program = tmp_path / "n\x1b[2Jf\tt"
    program.write_bytes(pathlib.Path(shutil.which("nft")).read_bytes())
    program.chmod(0o755)
    net.driver.create(0)
    settle(net.driver)
    net.host.run(f"'{program}' flush set inet t1 uplinks")
    assert "changed by n?[2Jf?t (PID" in damage(net.driver)


def test_what_we_do_ourselves_is_no_damage(net):
    driver = net.driver
    for slot in range(4):
        driver.create(slot)
        driver.ok(f"web {slot} 5000")
    driver.ok("forbid 1")
    driver.ok("destroy 2")
    driver.ok("reload")
    driver.ok("destroy 0")
    driver.create(0)
    settle(driver)
    assert driver.say("damage") == "ok 0"
    # And of a namespace that is gone with its link, which takes a moment.
    driver.ok("destroy 1")
    net.host.run("while ip link show dev t1-1 >/dev/null 2>&1; do sleep 0.05; done")
    settle(driver)
    assert driver.say("damage") == "ok 0"
    # Two instances do not take each other's work for damage.
    other = Driver(net.host, instance="t2", network="172.30.0.0/16", uid_base=800000)
    other.ok("start")
    other.create(0)
    settle(driver)
    settle(other)
    assert driver.say("damage") == "ok 0" and other.say("damage") == "ok 0"
    other.close()


def test_what_others_do_with_their_own_is_no_damage(net):
    net.driver.create(0)
    net.host.run("nft 'add table inet other; add chain inet other c; add rule inet other c drop'")
    net.host.run("nft 'add table ip t1; add chain ip t1 c'; nft delete table ip t1")
    net.host.run("ip rule add priority 20 fwmark 5 blackhole; ip rule del priority 20")
    net.host.run(f"tc qdisc add dev {UPLINK} clsact; tc qdisc del dev {UPLINK} clsact")
    net.host.run("ip addr add 203.0.113.9/32 dev lo; ip addr del 203.0.113.9/32 dev lo")
    net.host.run("for i in 1 2; do ip link add d0 type veth; ip addr add 203.0.113.9/24 dev d0; "
                 "ip link set d0 up; ip link del d0; done")
    settle(net.driver)
    assert net.driver.say("damage") == "ok 0"
    assert net.driver.check(0)[0] == 0


def test_more_changes_than_the_kernel_keeps_count_as_damage(net):
    net.host.run(
        "{ echo 'table inet big { set s { type ipv4_addr; elements = {'; "
        "seq -f '%.0f' 1 200000 | awk '{ printf \"10.%d.%d.%d,\\n\", $1/65536, $1/256%256, $1%256 }'; "
        "printf '}\n}\n}\n'; } | nft -f -")
    assert "may have changed" in damage(net.driver)
    net.driver.ok("reload")
    assert net.driver.say("damage") == "ok 0"


def guard(net):
    return net.host.run("nft list set inet t1 uplinks")


@pytest.mark.two_kernels
def test_a_flush_while_nobody_is_there_is_made_good_at_the_next_start(net):
    driver = net.driver
    dyno = driver.create(0)
    pid = dyno.keep()
    driver.kill()
    net.host.run("nft flush ruleset; tc qdisc del dev t1-0 clsact; ip rule del priority 10")
    net.driver = Driver(net.host)
    net.driver.ok(f"start 0:0:{pid}")
    assert net.driver.check(0)[0] == 0 and net.driver.report()["ok"] == 0
    # Forwarding is still ours, so it is still guarded, and goes off with us.
    assert f'"{UPLINK}"' in guard(net) and '"lan0"' in guard(net)
    net.driver.kill()
    net.host.run("nft flush ruleset")
    net.driver = Driver(net.host)
    net.driver.ok("purge")
    assert net.host.run(f"cat /proc/sys/net/ipv4/conf/{UPLINK}/forwarding").strip() == "0"


def test_what_forwarded_before_us_is_never_guarded_nor_turned_off(lab):
    lab.host.run("sysctl -qw net.ipv4.conf.lan0.forwarding=1")
    lab.start()
    assert '"lan0"' not in guard(lab) and f'"{UPLINK}"' in guard(lab)
    lab.host.run("nft flush ruleset")
    lab.driver.ok("reload")
    assert '"lan0"' not in guard(lab) and f'"{UPLINK}"' in guard(lab)
    lab.driver.ok("purge")
    assert lab.host.run("cat /proc/sys/net/ipv4/conf/lan0/forwarding").strip() == "1"


def forwards(lab, link):
    return lab.host.run(f"cat /proc/sys/net/ipv4/conf/{link}/forwarding").strip() == "1"


def test_an_uplink_that_forwards_no_more_by_itself_does_so_for_us(lab):
    lab.host.run("sysctl -qw net.ipv4.conf.lan0.forwarding=1")
    lab.start()
    settle(lab.driver)
    lab.host.run("sysctl -qw net.ipv4.conf.lan0.forwarding=0")
    assert damage(lab.driver) == ""
    assert forwards(lab, "lan0") and '"lan0"' in guard(lab)


def test_where_a_router_does_not_forward_is_its_own_decision_and_named(lab):
    lab.host.run("sysctl -qw net.ipv4.ip_forward=1")
    lab.start()
    lab.host.run("sysctl -qw net.ipv4.conf.lan0.forwarding=0")
    assert damage(lab.driver) == "" and not forwards(lab, "lan0")
    report = lab.driver.report()
    assert report["ok"] == 0 and report["detail"].endswith("out by up0 lan0 (does not forward)")
    lab.host.run(f"sysctl -qw net.ipv4.conf.{UPLINK}.forwarding=0")
    assert damage(lab.driver) == "" and not forwards(lab, UPLINK)
    report = lab.driver.report()
    assert report["ok"] == 1 and report["detail"].startswith("no link that leads out forwards")
