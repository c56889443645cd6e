# SPDX-License-Identifier: Apache-2.0
"""Beside rulesets of nftables: each keeps what it had, and one line makes dynod work with it."""

import pytest

from lab import HOST, OUTSIDE, UPLINK, address

PORT = 7000

# As these programs leave them, cut down to what matters.
FIREWALLD = """
table inet firewalld {
    chain filter_INPUT {
        type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept
        iifname "lo" accept
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        iifname "lo" accept
        jump filter_FORWARD_ZONES
        ct state invalid drop
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD_ZONES { oifname "lan0" reject with icmpx admin-prohibited; }
}
"""
PLAIN = """
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state { established, related } accept
        iifname "lo" accept
    }
    chain forward { type filter hook forward priority filter; policy drop; }
}
"""

# Chains for what comes to the host, and for what passes it, as the report names them.
FIREWALLS = {"firewalld": (FIREWALLD, "inet firewalld filter_INPUT firewalld", "inet firewalld filter_FORWARD firewalld"),
             "plain": (PLAIN, "inet filter input", "inet filter forward")}


def let_through(chain):
    """What doctor prints and dynod(8) says."""
    family, table, name = chain.split()[:3]
    return (f"nft 'insert rule {family} {table} {name} iifname \"t1-*\" accept' && "
            f"nft 'insert rule {family} {table} {name} oifname \"t1-*\" accept'")


def load(space, rules):
    space.run(f"nft -f - <<'E'\n{rules}\nE")


def theirs(space):
    """All tables but ours, without what counts."""
    return space.run("nft -s list ruleset | sed '/^table inet t1 {/,/^}/d'")


@pytest.mark.two_kernels
@pytest.mark.twice  # vm/test_firewalls.py has the real ones
@pytest.mark.parametrize("name", FIREWALLS)
def test_one_line_makes_it_work_beside_another_firewall(lab, name):
    rules, to_host, chain = FIREWALLS[name]
    load(lab.host, rules)
    before = theirs(lab.host)
    driver = lab.start()
    dyno, other = driver.create(0), driver.create(1)
    driver.ok("web 1 5000")
    with lab.outside.serve("tcp", OUTSIDE, PORT), other.serve("tcp", "0.0.0.0", 5000), \
            lab.host.serve("tcp", "0.0.0.0", PORT):
        assert not dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
        assert driver.report()["blockers"] == f"input {to_host}, forward {chain}"
        assert theirs(lab.host) == before

        lab.host.run(let_through(chain))
        assert driver.report()["blockers"] == f"input {to_host}"
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        # It is no way around what we deny.
        assert not dyno.ask("tcp", address(1)[1], 5000).startswith("ok")
        assert not dyno.ask("tcp", HOST, PORT).startswith("ok")
        assert lab.host.ask("tcp", address(1)[1], 5000).startswith("ok")
        assert not lab.outside.ask("tcp", address(1)[1], 5000).startswith("ok")

        # They reload theirs, we reload ours: nobody loses anything.
        driver.ok("reload")
        lab.host.run(let_through(chain).replace("insert", "add"))
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        before = theirs(lab.host)
        driver.ok("purge")
        assert theirs(lab.host) == before


# What others say about our links: whether that lets a dyno, of slot 1, through to the outside.
SAID = {
    "nothing": ("", False),
    "both directions": ('iifname "t1-*" accept; oifname "t1-*" accept', True),
    "a chain of its own": ('iifname "t1-*" jump ours; oifname "t1-*" jump ours', True),
    "one direction": ('iifname "t1-*" accept', False),
    "one direction, and answers": ('ct state established,related accept; iifname "t1-*" accept', True),
    "one direction, and answers by a map": (
        'ct state vmap { established : accept, related : accept, invalid : drop }; iifname "t1-*" accept', True),
    "one direction, and some answers": (
        'meta l4proto udp ct state established accept; iifname "t1-*" accept', False),
    "one direction, and what is wrong": ('ct state invalid drop; iifname "t1-*" accept', False),
    "one link": ('iifname "t1-0" accept; oifname "t1-0" accept', False),
    "all but ours": ('iifname != "t1-*" accept', False),
    "drop": ('iifname "t1-*" drop; oifname "t1-*" drop', False),
    "more than ours": ('iifname "t*" accept; oifname "t*" accept', True),
    "a set": ('iifname { "lan7", "t1-*" } accept; oifname { "t1-*", "lan7" } accept', True),
    "a set of others": ('iifname { "lan7", "t2-*" } accept; oifname { "t2-*", "lan7" } accept', False),
    "a set of one link": ('iifname { "lan7", "t1-0", "t2-*" } accept; oifname { "lan7", "t1-0", "t2-*" } accept', False),
    "a set of what to drop": ('iifname { "lan7", "t1-*" } drop; oifname { "t1-*", "lan7" } drop', False),
    "a map": ('iifname vmap { "lan7" : drop, "t1-*" : accept }; oifname vmap { "t1-*" : accept }', True),
}


@pytest.mark.parametrize("name", SAID)
def test_only_a_rule_that_lets_all_our_links_through_counts(lab, name):
    rules, passes = SAID[name]
    driver = lab.start()
    driver.create(0)
    dyno = driver.create(1)
    load(lab.host, f"""
table inet theirs {{
    chain ours {{
        accept
    }}
    chain forward {{
        type filter hook forward priority 10; policy drop; {rules}
    }}
}}
""")
    with lab.outside.serve("tcp", OUTSIDE, PORT):
        assert (dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}") == passes
        assert driver.report()["blockers"] == ("" if passes else "forward inet theirs forward")


def test_a_chain_that_drops_our_links_alone_is_named(lab):
    driver = lab.start()
    load(lab.host, """
table inet theirs {
    chain forward { type filter hook forward priority 10; iifname "t1-*" drop; }
}
table ip theirs {
    chain forward { type filter hook forward priority 10; iifname "t1-*" tcp dport 25 drop; }
}
""")
    assert driver.report()["blockers"] == "forward inet theirs forward"


def test_a_table_that_is_asleep_drops_nothing(lab):
    driver = lab.start()
    dyno = driver.create(0)
    load(lab.host, """
table inet theirs {
    flags dormant
    chain f { type filter hook forward priority 10; policy drop; }
}
""")
    with lab.outside.serve("tcp", OUTSIDE, PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        assert driver.report()["blockers"] == ""
        lab.host.run("nft add table inet theirs")  # awake
        assert dyno.ask("tcp", OUTSIDE, PORT) == "timeout"
        assert driver.report()["blockers"] == "forward inet theirs f"


def test_a_rule_of_theirs_that_refuses_a_dyno_still_counts(lab):
    load(lab.host, """
table inet theirs {
    chain forward { type filter hook forward priority 10; tcp dport 7001 drop; }
}
""")
    driver = lab.start()
    dyno = driver.create(0)
    assert driver.report()["blockers"] == ""
    with lab.outside.serve("tcp", OUTSIDE, PORT), lab.outside.serve("tcp", OUTSIDE, 7001):
        assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
        assert dyno.ask("tcp", OUTSIDE, 7001) == "timeout"


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_no_dnat_of_theirs_leads_a_dyno_to_the_host(lab, proto):
    # A transparent resolver of the host, a proxy, a published port: for others, not for dynos.
    load(lab.host, f"""
table ip nat {{
    chain PREROUTING {{
        type nat hook prerouting priority dstnat; policy accept;
        {proto} dport 53 dnat to {HOST}:5353
        {proto} dport 80 redirect to :5353
        ip daddr {OUTSIDE} {proto} dport 7002 dnat to {address(1)[1]}:5000
    }}
}}
""")
    driver = lab.start()
    dyno, other = driver.create(0), driver.create(1)
    driver.ok("web 1 5000")
    with lab.host.serve(proto, "0.0.0.0", 5353), other.serve(proto, "0.0.0.0", 5000):
        for target, port in ((OUTSIDE, 53), (OUTSIDE, 80), (OUTSIDE, 7002), (HOST, 53), (address(0)[0], 80)):
            assert not dyno.ask(proto, target, port).startswith("ok"), (target, port)
        # The control: it does lead others there.
        lab.outside.run("ip route add 203.0.113.5 via " + HOST)
        assert lab.outside.ask(proto, HOST, 53).startswith("ok")


@pytest.mark.parametrize("off", ["nothing", "tc", "nft", "both"])
def test_a_port_of_the_host_that_they_lead_elsewhere_is_none_for_dynos(net, off):
    """As Docker's published ports: their DNAT comes behind our look at the address."""
    load(net.host, f"""
table ip nat {{
    chain PREROUTING {{
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr {HOST} tcp dport 7003 dnat to {OUTSIDE}:{PORT}
    }}
}}
""")
    dyno = net.driver.create(0)
    if off in ("tc", "both"):
        net.tc_off(0)
        net.host.run("ip link set t1-0 arp on")
        dyno.run("ip link set eth0 arp on")
    if off in ("nft", "both"):
        net.nft_off()
        net.rule_off()
        # What is not masqueraded finds its way back all the same.
        net.outside.run(f"ip route add 172.16.0.0/12 via {HOST}")
    with net.outside.serve("tcp", OUTSIDE, PORT):
        assert dyno.ask("tcp", HOST, 7003).startswith("ok") == (off == "both")


def test_no_dnat_of_theirs_leads_to_a_dyno(net):
    load(net.host, f"""
table ip nat {{
    chain PREROUTING {{
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr {HOST} udp dport 7004 dnat to {address(0)[1]}
    }}
}}
""")
    dyno = net.driver.create(0)
    load(dyno, "table ip seen { chain c { type filter hook prerouting priority 0; udp dport 7004 counter; }; }")
    net.outside.ask("udp", HOST, 7004)
    assert "packets 0 " in dyno.run("nft list table ip seen")
    # The control: it does lead there.
    net.nft_off()
    net.tc_off(0)
    net.outside.ask("udp", HOST, 7004)
    assert "packets 1 " in dyno.run("nft list table ip seen")


def test_two_masquerades_are_one(lab):
    load(lab.host, f"""
table ip nat {{
    chain POSTROUTING {{ type nat hook postrouting priority 90; oifname "{UPLINK}" masquerade; }}
}}
""")
    driver = lab.start()
    dyno = driver.create(0)
    with lab.outside.serve("tcp", OUTSIDE, PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
