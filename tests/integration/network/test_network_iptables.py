# SPDX-License-Identifier: Apache-2.0
"""Beside rules that the real iptables wrote, in nftables and in ip_tables: what Docker has, a
server's own, one that reloads."""

import pytest

from lab import HOST, KEEPERS, OUTSIDE, Namespace, address

PORT = 7000
CONTAINER = "172.17.0.2"

# What dockerd 20.10 (docker.io of Debian 12) runs at its start, and for one container with
# "-p 8088:80".
DOCKER = f"""
-t nat -N DOCKER
-t filter -N DOCKER
-t filter -N DOCKER-ISOLATION-STAGE-1
-t filter -N DOCKER-ISOLATION-STAGE-2
-t filter -A DOCKER-ISOLATION-STAGE-1 -j RETURN
-t filter -A DOCKER-ISOLATION-STAGE-2 -j RETURN
-t nat -I POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-t nat -I DOCKER -i docker0 -j RETURN
-t filter -I FORWARD -i docker0 -o docker0 -j ACCEPT
-t filter -I FORWARD -i docker0 ! -o docker0 -j ACCEPT
-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-t nat -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER ! --dst 127.0.0.0/8
-t filter -I FORWARD -o docker0 -j DOCKER
-t filter -I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-t filter -I FORWARD -j DOCKER-ISOLATION-STAGE-1
-t filter -I DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-t filter -I DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-t filter -P FORWARD DROP
-t filter -N DOCKER-USER
-t filter -A DOCKER-USER -j RETURN
-t filter -I FORWARD -j DOCKER-USER
-t nat -A DOCKER -p tcp -d 0/0 --dport 8088 -j DNAT --to-destination {CONTAINER}:80 ! -i docker0
-t filter -A DOCKER ! -i docker0 -o docker0 -p tcp -d {CONTAINER} --dport 80 -j ACCEPT
-t nat -A POSTROUTING -p tcp -s {CONTAINER} -d {CONTAINER} --dport 80 -j MASQUERADE
"""

# A server that lets in what it must, and logs and drops the rest in a chain of its own.
SERVER = """
-N LOGDROP
-A LOGDROP -j DROP
-P INPUT DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp --dport 22 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j LOGDROP
"""

PROGRAMS = pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])


def load(space, program, rules):
    space.run("set -e\n" + "\n".join(f"{program} {rule}" for rule in rules.strip().splitlines()))


def saved(space, program):
    """Their rules without comments and counts."""
    return [line.split(" [")[0] for line in space.run(f"{program}-save 2>/dev/null").splitlines()
            if not line.startswith("#")]


def kind(program):
    return "legacy" if program.endswith("legacy") else "ip"


def reaches_outside(lab, dyno):
    return dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"


def container(lab):
    """A container of Docker's: behind docker0, with a server."""
    space = Namespace()
    lab.host.run(f"ip link add docker0 type veth peer name eth0 netns {space.keeper.pid}; "
                 "ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up; "
                 "echo 1 >/proc/sys/net/ipv4/ip_forward")
    space.run(f"ip addr add {CONTAINER}/16 dev eth0; ip link set eth0 up; ip route add default via 172.17.0.1")
    return space


@pytest.mark.parametrize("program, first", [
    ("iptables-nft", "docker"), ("iptables-nft", "dynod"), ("iptables-legacy", "docker"),
    pytest.param("iptables-legacy", "dynod", marks=pytest.mark.two_kernels)])
def test_docker_and_dynod_leave_each_other_alone(lab, program, first):
    box = container(lab)
    if first == "docker":
        load(lab.host, program, DOCKER)
    before = saved(lab.host, program)
    driver = lab.start(network="172.18.0.0/16")
    if first == "dynod":
        load(lab.host, program, DOCKER)
        before = saved(lab.host, program)
    dyno, other = driver.create(0), driver.create(1)
    driver.ok("begin 1 1")
    driver.ok("policy 1 1 publish=8080")
    driver.ok("web 1 5000")
    driver.ok("listens 1 1")
    with lab.outside.serve("tcp", OUTSIDE, PORT), other.serve("tcp", "0.0.0.0", 5000), \
            box.serve("tcp", "0.0.0.0", 80):
        # Theirs works as if we were not there; ours does not, and doctor knows why.
        assert lab.outside.ask("tcp", HOST, 8088) == f"ok {OUTSIDE}"
        assert box.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        assert not reaches_outside(lab, dyno)
        assert driver.report()["blockers"] == f"forward {kind(program)} filter FORWARD docker"
        assert saved(lab.host, program) == before

        lab.host.run(f"{program} -I DOCKER-USER -i t1-+ -j ACCEPT && {program} -I DOCKER-USER -o t1-+ -j ACCEPT")
        assert driver.report()["blockers"] == ""
        assert reaches_outside(lab, dyno)
        assert lab.outside.ask("tcp", HOST, 8080).startswith("ok")
        assert lab.host.ask("tcp", "172.18.0.34", 5000).startswith("ok")
        # It opens nothing that we deny.
        assert not dyno.ask("tcp", "172.18.0.34", 5000).startswith("ok")
        assert not dyno.ask("tcp", HOST, 8088).startswith("ok")
        assert not lab.outside.ask("tcp", "172.18.0.34", 5000).startswith("ok")
        assert lab.outside.ask("tcp", HOST, 8088) == f"ok {OUTSIDE}"

        # A restart of dockerd flushes its chains but DOCKER-USER; one of dynod, our table.
        before = saved(lab.host, program)
        lab.host.run(f"{program} -F DOCKER && {program} -A DOCKER ! -i docker0 -o docker0 -p tcp "
                     f"-d {CONTAINER} --dport 80 -j ACCEPT")
        driver.ok("reload")
        assert saved(lab.host, program) == before
        assert reaches_outside(lab, dyno)
        assert lab.outside.ask("tcp", HOST, 8080).startswith("ok")
        driver.ok("purge")
        assert saved(lab.host, program) == before
        assert lab.outside.ask("tcp", HOST, 8088) == f"ok {OUTSIDE}"


@PROGRAMS
def test_a_servers_own_rules_are_restored_without_harm(lab, program):
    load(lab.host, program, SERVER)
    driver = lab.start()
    dyno = driver.create(0)
    driver.ok("begin 0 1")
    driver.ok("policy 1 1 service=tcp:5432")
    line = f"{program} -I FORWARD -i t1-+ -j ACCEPT && {program} -I FORWARD -o t1-+ -j ACCEPT"
    with lab.outside.serve("tcp", OUTSIDE, PORT), lab.host.serve("tcp", "0.0.0.0", 22), \
            lab.host.serve("tcp", "0.0.0.0", 5432):
        blocked = f"input {kind(program)} filter INPUT"
        assert driver.report()["blockers"] == f"{blocked}, forward {kind(program)} filter FORWARD"
        lab.host.run(line)
        assert driver.report()["blockers"] == blocked, "a rule for one hook is none for the other"
        assert reaches_outside(lab, dyno)
        assert not dyno.ask("tcp", "172.16.0.1", 5432).startswith("ok")
        lab.host.run(f"{program} -I INPUT -i t1-+ -j ACCEPT")
        assert driver.report()["blockers"] == ""
        assert dyno.ask("tcp", "172.16.0.1", 5432).startswith("ok")
        # What is accepted there is still ours to deny, and theirs to deny to others.
        assert not dyno.ask("tcp", HOST, 22).startswith("ok")
        assert not dyno.ask("tcp", "172.16.0.1", 22).startswith("ok")
        assert not lab.outside.ask("tcp", HOST, 5432).startswith("ok")
        assert lab.outside.ask("tcp", HOST, 22).startswith("ok")

        # As netfilter-persistent does it: away with all, and back from a file.
        before = saved(lab.host, program)
        lab.host.run(f"{program}-save 2>/dev/null >{lab.host.run_dir('t1')}/saved && {program} -F && {program} -X "
                     f"&& {program}-restore <{lab.host.run_dir('t1')}/saved")
        assert saved(lab.host, program) == before
        assert driver.report()["blockers"] == ""
        assert "ok 0" == driver.say("damage"), "their table is no concern of ours"
        assert reaches_outside(lab, dyno)
        driver.ok("purge")
        assert saved(lab.host, program) == before


@PROGRAMS
@pytest.mark.parametrize("rules, passes", [
    (["-i t1-+ -j ACCEPT", "-o t1-+ -j ACCEPT"], True), (["-i t1-+ -j ACCEPT"], False),
    (["-i t1-+ -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"], True),
    (["-i t1-+ -j ACCEPT", "-p udp -m conntrack --ctstate ESTABLISHED -j ACCEPT"], False),
    (["-i t1-+ -j ACCEPT", "-o lan0 -m conntrack --ctstate ESTABLISHED -j ACCEPT"], False),
    (["-i t1-0 -j ACCEPT", "-o t1-0 -j ACCEPT"], False), (["-i t1-+ -j DROP", "-o t1-+ -j DROP"], False),
    (["! -i t1-+ -j ACCEPT", "! -o t1-+ -d 192.0.2.1 -j ACCEPT"], False), (["-i t+ -j ACCEPT", "-o t+ -j ACCEPT"], True)])
def test_only_a_rule_that_lets_all_our_links_through_counts(lab, program, rules, passes):
    driver = lab.start()
    driver.create(0)
    dyno = driver.create(1)
    load(lab.host, program, "-P FORWARD DROP\n" + "\n".join(f"-A FORWARD {rule}" for rule in rules))
    with lab.outside.serve("tcp", OUTSIDE, PORT):
        assert reaches_outside(lab, dyno) == passes
        assert driver.report()["blockers"] == ("" if passes else f"forward {kind(program)} filter FORWARD")


@pytest.mark.parametrize("hook, way", [("prerouting", "i"), ("input", "i"), ("output", "o"), ("postrouting", "o")])
def test_a_drop_on_any_hook_is_named(lab, hook, way):
    driver = lab.start()
    dyno = driver.create(0)
    driver.ok("web 0 5000")
    assert driver.report()["blockers"] == ""
    lab.host.run(f"nft 'add table inet other; add chain inet other {hook} {{ type filter hook {hook} priority 10; }}; "
                 f"add chain inet other last; add rule inet other last counter drop; "
                 f"add rule inet other {hook} iifname \"lo\" accept; "
                 f"add rule inet other {hook} {way}ifname \"up0\" accept; add rule inet other {hook} jump last'")
    with dyno.serve("tcp", "0.0.0.0", 5000):
        assert driver.report()["blockers"] == f"{hook} inet other {hook}"
        assert not lab.host.ask("tcp", address(0)[1], 5000).startswith("ok")
        lab.host.run(f"nft 'insert rule inet other {hook} {way}ifname \"t1-*\" accept'")
        assert driver.report()["blockers"] == ""
        assert lab.host.ask("tcp", address(0)[1], 5000).startswith("ok")


def test_rules_that_only_look_like_it_are_not_named(lab):
    lab.host.run("nft 'add table inet other; add chain inet other f { type filter hook forward priority 10; }; "
                 "add chain inet other maybe; add rule inet other maybe drop; "
                 "add rule inet other f ip saddr 192.0.2.1 jump maybe; add rule inet other f tcp dport 25 drop; "
                 "add table ip6 other; add chain ip6 other f { type filter hook forward priority 0; policy drop; }'")
    load(lab.host, "iptables-legacy", "-N maybe\n-A maybe -j DROP\n-A FORWARD -s 192.0.2.1 -j maybe\n-A INPUT -j ACCEPT")
    driver = lab.start()
    dyno = driver.create(0)
    assert driver.report()["blockers"] == ""
    with lab.outside.serve("tcp", OUTSIDE, PORT):
        assert reaches_outside(lab, dyno)
    assert KEEPERS


def test_who_listens_on_a_published_port_later_is_named(lab):
    driver = lab.start()
    dyno = driver.create(0)
    driver.ok("begin 0 1")
    driver.ok("policy 1 1 publish=8080 publish=8081")
    driver.ok("web 0 5000")
    driver.ok("listens 0 1")
    with dyno.serve("tcp", "0.0.0.0", 5000):
        for where, proto, shadowed in (("0.0.0.0", "tcp", 1), (HOST, "tcp", 1), ("::", "tcp6", 1),
                                       ("127.0.0.1", "tcp", 0), ("::1", "tcp6", 0), ("0.0.0.0", "udp", 0)):
            with lab.host.serve(proto, where, 8081):
                report = driver.report()
                assert report["n_shadowed"] == shadowed, (where, proto)
                assert report["shadowed"] == 8081 * shadowed
        assert driver.report()["n_shadowed"] == 0
