# SPDX-License-Identifier: Apache-2.0
"""Which chains of others doctor names: what a rule says, how it is reached, and how much there is of it."""

import tempfile

import pytest

from lab import HOST

# A chain that drops by policy, or not, with a rule each; and what it is by then.
NAMED, LEFT = "forward inet theirs forward", ""
OURS = 'iifname "t1-*" accept; oifname "t1-*" accept'
FROM = 'iifname "t1-*" accept'

# By nftables. "policy" is the chain's, "before" what stands in the table before it.
RULES = {
    # Answers to dynos come from the uplink, and go where dynos are.
    "answers from dynos": (f'{FROM}; iifname "t1-*" ct state established accept', "drop", "", NAMED),
    "answers that are counted": (f"{FROM}; ct state established counter", "drop", "", NAMED),
    "answers of a set that are counted": (f"{FROM}; ct state {{ established, related }} counter", "drop", "", NAMED),
    "answers that return": (f"{FROM}; ct state established return", "drop", "", NAMED),
    "answers from some links": (
        f'{FROM}; iifname {{ "lan7", "lan8" }} ct state established accept', "drop", "", NAMED),
    "a mark of connections": (f"{FROM}; ct mark 1 accept", "drop", "", NAMED),
    # A rule that drops is one for all, or for all of ours.
    "dynos' wrong packets": ('iifname "t1-*" ct state invalid drop', "accept", "", LEFT),
    "dynos to a network": ('iifname "t1-*" ip daddr 192.0.2.0/24 drop', "accept", "", LEFT),
    "all that dynos get": ('oifname "t1-*" drop', "accept", "", NAMED),
    "all, with a line in the log": ('iifname "lo" accept; log prefix "no " drop', "accept", "", NAMED),
    "all, counted and refused": ("counter log reject", "accept", "", NAMED),
    "dynos with some marks": ('meta mark { 1, 2 } iifname "t1-*" drop', "accept", "", LEFT),
    # Of two sets in one rule the first is looked into.
    "from ours to some": (
        'iifname { "lan7", "t1-*" } oifname { "up0", "lan8" } accept; oifname "t1-*" accept', "drop", "", LEFT),
    # Chains that are reached by a map are not followed one by one, but those of other tables are not reached.
    "a map to who lets us through": (
        "meta l4proto vmap { tcp : jump ours }", "drop", f"chain ours {{ {OURS}; }}", LEFT),
    "a map to nobody": ("meta l4proto vmap { tcp : jump ours }", "drop", "chain ours { }", NAMED),
    # The second way to a chain is the one that everything takes.
    "sometimes and always": (
        "ip saddr 192.0.2.1 jump last; jump last", "accept", "chain last { drop; }", NAMED),
    "sometimes": ("ip saddr 192.0.2.1 jump last", "accept", "chain last { drop; }", LEFT),
    "by way of what is sometimes met": (
        "ip saddr 192.0.2.1 jump first", "accept", "chain last { drop; }; chain first { jump last; }", LEFT),
    "by way of others": (
        "jump first", "accept", "chain last { drop; }; chain first { counter; jump last; }", NAMED),
    # The end of the range "t1,*" is called as all our links begin.
    "a set that ends before us": (
        'iifname { "lan7", "t1,*" } accept; oifname { "lan7", "t1,*" } accept', "drop", "", NAMED),
}


def load(space, rules):
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
        file.write(rules + "\n")
        file.flush()
        space.run(f"nft -f {file.name}")


def clear(space):
    for line in space.run("nft list tables").splitlines():
        if line != "table inet t1":
            space.run(f"nft delete {line}")


def test_what_rules_say(lab):
    driver = lab.start()
    for name, (rules, policy, before, named) in RULES.items():
        load(lab.host, f"table inet theirs {{ {before}\n chain forward {{ type filter hook forward priority 10; "
                       f"policy {policy}; {rules}; }}; }}")
        assert driver.report()["blockers"] == named, name
        clear(lab.host)
        assert driver.report()["blockers"] == "", name


# What a hook needs, beside what passes the host: the rule, and whether it is enough there.
@pytest.mark.parametrize("hook, rule, enough", [
    ("input", 'iifname "t1-*" accept', True), ("input", 'oifname "lo" accept', False),
    ("input", "ct state established accept", False), ("output", 'oifname "t1-*" accept', True),
    ("output", "ct state established accept", False), ("prerouting", 'iifname "t1-*" accept', True),
    ("prerouting", "ct state established accept", False), ("postrouting", 'iifname "t1-*" accept', True),
    ("postrouting", 'oifname "t1-*" accept', True), ("postrouting", "ct state established accept", False)])
def test_each_hook_needs_its_direction(lab, hook, rule, enough):
    driver = lab.start()
    load(lab.host, f"table inet theirs {{ chain c {{ type filter hook {hook} priority 10; policy drop; {rule}; }}; }}")
    assert driver.report()["blockers"] == ("" if enough else f"{hook} inet theirs c")


def forward(rules="counter", policy="drop", name="forward"):
    return f"chain {name} {{ type filter hook forward priority 10; policy {policy}; {rules}; }}"


def test_tables_of_one_name_are_two(lab):
    driver = lab.start()
    for rules, named in {
            # One of them sleeps.
            f"table inet theirs {{ flags dormant; {forward()}; }}\ntable ip theirs {{ {forward()}; }}":
                "forward ip theirs forward",
            # One of them has thought of us, in a chain of the same name.
            f"table inet theirs {{ {forward()}; }}\ntable ip theirs {{ {forward(OURS, 'accept')}; }}":
                "forward inet theirs forward",
            # One of them is reached by a map that leads to nobody.
            f"table inet theirs {{ chain ours {{ }}; {forward('meta l4proto vmap { tcp : jump ours }')}; }}\n"
            f"table ip theirs {{ chain ours {{ {OURS}; }}; }}\ntable inet more {{ chain ours {{ {OURS}; }}; }}":
                "forward inet theirs forward",
            # Of the family ip a set is looked up as such.
            'table ip theirs { %s; }' % forward('iifname { "lan7", "t1-*" } accept; oifname { "lan7", "t1-*" } accept'):
                "",
            # Two that sleep.
            f"table inet one {{ flags dormant; {forward()}; }}\ntable inet two {{ flags dormant; {forward()}; }}": ""}.items():
        load(lab.host, rules)
        assert driver.report()["blockers"] == named, rules
        clear(lab.host)


def test_one_chain_stops_all_hooks_that_lead_to_it(lab):
    driver = lab.start()
    load(lab.host, """
table inet theirs {
    chain last { drop; }
    chain in { type filter hook input priority 10; jump last; }
    chain through { type filter hook forward priority 10; jump last; }
}
""")
    assert driver.report()["blockers"] == "input inet theirs in, forward inet theirs through"


def test_who_it_belongs_to_is_told_by_its_chains(lab):
    driver = lab.start()
    for chains, named in {
            "DOCKER-USER": "input ip filter INPUT, forward ip filter FORWARD docker",
            "ufw-user-forward": "input ip filter INPUT ufw, forward ip filter FORWARD ufw",
            "DOCKER-USER ufw-user-forward": "input ip filter INPUT ufw, forward ip filter FORWARD ufw"}.items():
        load(lab.host, "table ip filter {\n" + "\n".join(f"chain {name} {{ }}" for name in chains.split()) + f"""
    chain INPUT {{ type filter hook input priority 0; policy drop; }}
    {forward(name="FORWARD")}
}}
table ip other {{ chain DOCKER-USER {{ }}; chain ufw-user-forward {{ }}; }}
""")
        assert driver.report()["blockers"] == named
        clear(lab.host)


def test_what_no_command_line_takes_is_not_told(lab):
    """doctor prints lines for a shell."""
    driver = lab.start()
    load(lab.host, f"table inet a/b {{ {forward()}; }}\ntable inet theirs {{ {forward(name='a/b')}; }}\n"
                   f"table inet {'x' * 64} {{ {forward(name='y' * 64)}; }}")
    named = driver.report()["blockers"]
    assert "/" not in named
    clear(lab.host)
    # Nor a hook that dynos' packets do not pass.
    load(lab.host, "table inet theirs { chain c { type filter hook ingress device lan0 priority 10; policy drop; }; }")
    assert driver.report()["blockers"] == ""


def test_a_host_with_many_chains_is_looked_at(lab):
    """As many as one with thousands of services has, and one that drops among them; no more are told than fit."""
    driver = lab.start()
    count = 600
    chains = "\n".join(f"chain c{i} {{ counter; }}" for i in range(count))
    jumps = "; ".join(f"jump c{i}" for i in range(count))
    load(lab.host, f"table inet theirs {{\nchain last {{ drop; }}\n{chains}\n"
                   f"{forward(jumps + '; jump last', 'accept')}\n}}")
    assert driver.report()["blockers"] == NAMED
    clear(lab.host)
    load(lab.host, "table inet theirs {\n" + "\n".join(forward(name=f"f{i}") for i in range(12)) + "\n}")
    assert driver.report()["blockers"] == ", ".join(f"forward inet theirs f{i}" for i in range(8))


def test_more_chains_than_are_looked_at_are_no_failure(lab):
    driver = lab.start()
    load(lab.host, "table inet theirs {\n" + forward() + "\n" + "\n".join(f"chain c{i} {{ }}" for i in range(8500))
         + "\n}")
    assert driver.report()["blockers"] == NAMED


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_what_rules_of_iptables_say(lab, program):
    driver = lab.start()
    named = f"forward {'legacy' if program.endswith('legacy') else 'ip'} filter FORWARD"
    local = "-m addrtype --dst-type LOCAL"
    established = "-m conntrack --ctstate ESTABLISHED"
    for policy, rules, blocked in (
            # More than the state of a connection, or something else, is not all answers.
            ("DROP", ["-i t1-+ -j ACCEPT", f"{local} {established} -j ACCEPT"], True),
            ("DROP", ["-i t1-+ -j ACCEPT", f"{local} -j ACCEPT"], True),
            ("DROP", ["-i t1-+ -j ACCEPT", f"{established} -j RETURN"], True),
            ("DROP", ["-i t1-+ -j ACCEPT", "-m state --state ESTABLISHED -j ACCEPT"], False),
            # All but what our links bring, or take.
            ("DROP", ["! -i t1-+ -j ACCEPT", "-o t1-+ -j ACCEPT"], True),
            ("DROP", ["-i t1-+ -j ACCEPT", "! -o t1-+ -j ACCEPT"], True),
            # What drops some packets, all of ours, or all.
            ("ACCEPT", [f"{local} -j DROP"], False), ("ACCEPT", [f"-i t1-+ {local} -j DROP"], False),
            ("ACCEPT", ["-i t1-+ -d 192.0.2.1 -j DROP"], False), ("ACCEPT", ["-i t1-+ -j DROP"], True),
            ("ACCEPT", ["-o t1-+ -j DROP"], True), ("ACCEPT", ["-j REJECT"], True),
            ("ACCEPT", ["-d 192.0.2.1 -j REJECT"], False), ("ACCEPT", ["-j LOG"], False),
            ("ACCEPT", [f"{established} -j ACCEPT", "-j LOG", "-j REJECT"], True)):
        lab.host.run("set -e\n" + "\n".join(f"{program} {line}" for line in (
            "-F", f"-P FORWARD {policy}", *(f"-A FORWARD {rule}" for rule in rules))))
        assert driver.report()["blockers"] == (named if blocked else ""), rules


def test_report_tells_of_what_is_not_as_it_should_be(lab):
    driver = lab.start()
    report = driver.report()
    assert report["detail"].endswith("nftables and tc, out by up0 lan0") and report["public_left_out"] == 0
    assert report["ok"] == 0 and report["forwarding"] and report["flush_guard"]

    lab.host.run("sysctl -qw net.ipv4.conf.lan0.forwarding=0")
    assert not driver.report()["forwarding"]
    lab.host.run("sysctl -qw net.ipv4.conf.lan0.forwarding=1")
    assert driver.report()["forwarding"]

    lab.rule_off()
    report = driver.report()
    assert (report["ok"], report["flush_guard"], report["detail"]) == (1, 0, "the routing rule is gone")


def test_report_tells_that_no_address_is_left(lab):
    lab.host.run("ip route add 172.16.0.0/12 via 10.77.0.1")
    report = lab.start().report()
    assert (report["ok"], report["detail"]) == (1, "network = overlaps 172.16.0.0/12 on up0")


def test_report_tells_that_no_resolver_is_left(lab):
    report = lab.start(resolver=HOST).report()
    assert report["n_resolvers"] == 0 and report["detail"].endswith(", no resolver")


def test_as_many_shadowed_ports_are_named_as_fit(lab):
    """Of more than one app."""
    driver = lab.start()
    ports = range(8080, 8090)
    for app in (1, 2):
        driver.ok(f"policy {app} 1 " + " ".join(f"publish={port}" for port in ports[5 * (app - 1):5 * app]))
    listen = ("import socket, sys\nkept = [socket.create_server(('', int(p))) for p in sys.argv[1:]]\n"
              "print('ready', flush=True)\nsys.stdin.read()")
    for open_ports, named in ((ports[5:6], 1), (ports, 8)):
        server = lab.host.popen(["python3", "-c", listen, *map(str, open_ports)], stdin=-1, stdout=-1)
        try:
            assert server.stdout.readline() == b"ready\n"
            report = driver.report()
            assert (report["n_shadowed"], report["shadowed"]) == (named, open_ports[0])
        finally:
            server.communicate()
