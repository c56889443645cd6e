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
