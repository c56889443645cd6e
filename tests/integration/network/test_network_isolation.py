# SPDX-License-Identifier: Apache-2.0
"""What a dyno reaches and what it does not.

Each denial stands in two layers, nftables and tc. Every attempt is made with both,
with each of them alone, and with neither: then it must succeed, or the test would prove
nothing.
"""

import subprocess
import sys

import pytest

from lab import DYNO_UID, HOST, HOST_LAN, OUTSIDE, UPLINK, Driver, address

PORT = 7000
LAYERS = ["both", "nft", "tc", "none"]


def listen_to_arp(net, slot):
    """The dyno's end is deaf as well, and the change has the host forget its only neighbour."""
    link = f"t1-{slot}"
    dyno, _, mac, *_ = net.host.run(f"ip neigh show dev {link} nud permanent").split()
    net.host.run(f"ip link set {link} arp on; ip neigh replace {dyno} lladdr {mac} dev {link}")


def take_away(net, layers, slots=(0,)):
    if layers in ("tc", "none"):
        net.nft_off()
    if layers in ("nft", "none"):
        for slot in slots:
            net.tc_off(slot)
    if layers == "none":
        # The rule would drop nothing, for nothing is marked; but it is part of the layer.
        net.rule_off()
        for slot in slots:
            listen_to_arp(net, slot)


def expect(layers, answer):
    if layers == "none":
        assert answer.startswith("ok"), f"the attempt itself does not work: {answer}"
    else:
        assert not answer.startswith("ok"), f"reached with {layers}: {answer}"


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_outside_is_reached_and_sees_the_host_address(net, proto):
    dyno = net.driver.create(0)
    with net.outside.serve(proto, OUTSIDE, PORT):
        assert dyno.ask(proto, OUTSIDE, PORT) == f"ok {HOST}"


@pytest.mark.two_kernels
def test_outside_behind_the_gateway_is_reached(net):
    dyno = net.driver.create(0)
    with net.outside.serve("tcp", "198.51.100.7", PORT):
        assert dyno.ask("tcp", "198.51.100.7", PORT) == f"ok {HOST}"


def test_own_loopback_is_reached_in_both_families(net):
    dyno = net.driver.create(0)
    for proto, addr in (("tcp", "127.0.0.1"), ("tcp6", "::1")):
        with dyno.serve(proto, addr, PORT):
            assert dyno.ask(proto, addr, PORT) == f"ok {addr}"


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_another_dyno_is_not_reached(net, proto, layers):
    one, two = net.driver.create(0), net.driver.create(1)
    take_away(net, layers, (0, 1))
    with two.serve(proto, "0.0.0.0", PORT):
        expect(layers, one.ask(proto, address(1)[1], PORT))


@pytest.mark.two_kernels
@pytest.mark.parametrize("layers", LAYERS)
def test_a_web_dyno_is_not_reached_by_another(net, layers):
    one, two = net.driver.create(0), net.driver.create(1)
    net.driver.ok(f"web 1 {PORT}")
    take_away(net, layers, (0, 1))
    with two.serve("tcp", "0.0.0.0", PORT):
        expect(layers, one.ask("tcp", address(1)[1], PORT))


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("target", [address(0)[0], address(1)[0], HOST, HOST_LAN])
def test_no_address_of_the_host_is_reached(net, target, proto, layers):
    dyno = net.driver.create(0)
    net.driver.create(1)
    take_away(net, layers)
    with net.host.serve(proto, target, PORT):
        expect(layers, dyno.ask(proto, target, PORT))


@pytest.mark.parametrize("layers", LAYERS)
def test_a_web_dyno_does_not_reach_the_host_from_its_web_port(net, layers):
    dyno = net.driver.create(0)
    net.driver.ok(f"web 0 {PORT}")
    take_away(net, layers)
    with net.host.serve("tcp", "0.0.0.0", 7001):
        answer = dyno.run(
            "python3 -c 'import socket; s = socket.create_connection("
            f'("{address(0)[0]}", 7001), 0.7, ("{address(0)[1]}", {PORT})); '
            's.sendall(b"x"); print("ok" if s.recv(64) else "EOF")\' 2>/dev/null || echo no'
        ).strip()
    expect(layers, answer)


@pytest.mark.two_kernels
@pytest.mark.parametrize("layers", LAYERS)
def test_a_new_address_of_the_host_is_refused_at_once(net, layers):
    dyno = net.driver.create(0)
    net.host.run("ip addr add 203.0.113.9/32 dev lo")
    take_away(net, layers)
    with net.host.serve("tcp", "203.0.113.9", PORT):
        expect(layers, dyno.ask("tcp", "203.0.113.9", PORT))


@pytest.mark.parametrize("layers", LAYERS)
def test_the_loopback_of_the_host_is_not_reached_over_the_link(net, layers):
    # As root in the dyno and with a host that routes 127/8: more than any dyno can do.
    dyno = net.driver.create(0)
    dyno.run("sysctl -qw net.ipv4.conf.eth0.route_localnet=1")
    dyno.run("ip addr del 127.0.0.1/8 dev lo; ip route flush table local 127.0.0.0/8")
    dyno.run(f"ip route add 127.0.0.5 via {address(0)[0]}")
    net.host.run("sysctl -qw net.ipv4.conf.t1-0.route_localnet=1")
    take_away(net, layers)
    with net.host.serve("udp", "127.0.0.5", PORT):
        expect(layers, dyno.ask("udp", "127.0.0.5", PORT, address(0)[1]))


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_metadata_is_not_reached(net, proto, layers):
    dyno = net.driver.create(0)
    take_away(net, layers)
    net.outside.run(f"ip route add {address(0)[1]} via {HOST}")  # nobody masquerades without nft
    with net.outside.serve(proto, "169.254.169.254", 80):
        expect(layers, dyno.ask(proto, "169.254.169.254", 80))


ELSEWHERE = ["100.100.100.200", "100.80.80.80", "192.0.0.192", "168.63.129.16"]


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("target", ELSEWHERE)
def test_metadata_elsewhere_is_not_reached(net, target, layers):
    dyno = net.driver.create(0)
    take_away(net, layers)
    if layers == "tc":
        net.rule_off()  # its drop would be taken for the filter's
    net.outside.run(f"ip addr add {target}/32 dev lo; nft 'add table ip count; add chain ip count c "
                    "{ type filter hook prerouting priority -400; }; "
                    f"add rule ip count c ip daddr {target} tcp dport 80 counter'")
    with net.outside.serve("tcp", target, 80):
        assert not dyno.ask("tcp", target, 80).startswith("ok") or layers == "none"
        arrived = "packets 0 " not in net.outside.run("nft list chain ip count c")
        assert arrived == (layers == "none")
        assert net.host.ask("tcp", target, 80).startswith("ok")


@pytest.mark.parametrize("layers", LAYERS)
def test_multicast_does_not_leave_the_dyno(net, layers):
    dyno = net.driver.create(0)
    take_away(net, layers)
    server = (
        "import socket, sys; s = socket.socket(2, 2); s.bind(('', 7002)); "
        "s.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('224.0.0.251') + "
        f"socket.inet_aton('{address(0)[0]}')); print('ready', flush=True); "
        "sys.stdin.read(); s.settimeout(1.5); s.recv(9); print('ok', flush=True)"
    )
    p = net.host.popen([sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
    assert p.stdout.readline() == b"ready\n"
    dyno.run(
        "python3 -c \"import socket; "
        "socket.socket(2, 2).sendto(b'x', ('224.0.0.251', 7002))\"",
        check=False,
    )
    p.stdin.close()  # it was sent
    got = p.stdout.readline().decode().strip() or "nothing"
    p.wait()
    p.stdout.close()
    expect(layers, got)


# A dyno's own datagrams for a group that every link is in, and for everybody.
TO_GROUP = """
import socket, sys
group, link = sys.argv[1:]
receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
receiver.bind(("", 7003))
receiver.settimeout(1)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sender.sendto(b"x", (group, 7003))
try:
    print("copied", receiver.recv(9))
except TimeoutError:
    print("nothing")
"""


@pytest.mark.two_kernels
@pytest.mark.parametrize("group, link", [
    ("224.0.0.1", "eth0"), ("224.0.0.1", "lo"),
    pytest.param("255.255.255.255", "eth0", marks=pytest.mark.twice)])
def test_nothing_for_a_group_comes_in_inside_a_dyno(net, group, link):
    """The kernel copies it to every socket of the port in one go, for as many as there are."""
    dyno = net.driver.create(0)
    program = f"{sys.executable} -c '{TO_GROUP}' {group} {link}"
    assert dyno.run(program).strip() == "nothing"
    dyno.run("tc filter del dev lo ingress; tc filter del dev eth0 ingress")
    assert dyno.run(program).startswith("copied")


def test_a_filter_that_is_gone_inside_a_dyno_is_noticed(net):
    dyno = net.driver.create(0)
    assert net.driver.check(0)[0] == 0
    for link in ("lo", "eth0"):
        dyno.run(f"tc filter del dev {link} ingress")
        result, detail = net.driver.check(0)
        assert result != 0 and "tc filter is gone at the dyno's end" in detail, link
        net.driver.ok("reload")
        assert net.driver.check(0)[0] == 0, link


def test_a_link_that_speaks_arp_inside_a_dyno_is_noticed(net):
    dyno = net.driver.create(0)
    dyno.run("ip link set eth0 arp on")
    result, detail = net.driver.check(0)
    assert result != 0 and "speaks ARP" in detail


@pytest.mark.parametrize("layers", LAYERS)
def test_a_forged_source_address_does_not_leave(net, layers):
    dyno = net.driver.create(0)
    dyno.run("ip addr add 198.51.100.99/32 dev lo")
    net.host.run("ip route add 198.51.100.99/32 dev t1-0")  # past rp_filter
    net.outside.run(f"ip route add 198.51.100.99/32 via {HOST}")
    take_away(net, layers)
    if layers == "none":
        dyno.run("ip link set eth0 arp on")  # the host asks where that address is
    with net.outside.serve("udp", OUTSIDE, PORT):
        expect(layers, dyno.ask("udp", OUTSIDE, PORT, "198.51.100.99"))


# One datagram that may go no further than to the next router, which is the host.
SHORT_LIVED = """
import socket, sys
kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
s = socket.socket(socket.AF_INET, kind)
s.setsockopt(socket.SOL_IP, socket.IP_TTL, 1)
s.setblocking(False)
s.connect_ex((sys.argv[2], 7004))
if kind == socket.SOCK_DGRAM:
    s.send(b"x")
"""


@pytest.mark.two_kernels
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("proto", ["tcp", pytest.param("udp", marks=pytest.mark.twice)])
def test_the_host_tells_nobody_that_a_packet_lived_too_short(net, proto, layers):
    """It says so a thousand times a second to all there are, and no more to its own peers then."""
    dyno = net.driver.create(0)
    take_away(net, layers)
    if layers == "tc":
        net.rule_off()  # its drop would be taken for the filter's

    def told():
        names, values = (line.split() for line in net.host.run("grep ^Icmp: /proc/net/snmp").splitlines())
        return int(dict(zip(names, values))["OutTimeExcds"])
    before = told()
    dyno.run(f"{sys.executable} -c '{SHORT_LIVED}' {proto} {OUTSIDE}")
    expect(layers, "ok" if told() > before else "nothing")


@pytest.mark.parametrize("layers", LAYERS)
def test_there_is_no_ipv6(net, layers):
    dyno = net.driver.create(0)
    assert "inet6" not in dyno.run("ip -6 addr show dev eth0")
    assert "inet6" not in net.host.run("ip -6 addr show dev t1-0")

    # Root in the dyno and root on the host turn it on again.
    listen_to_arp(net, 0)
    dyno.run("ip link set eth0 arp on")
    for namespace, link, addr in ((dyno, "eth0", "fd99::2"), (net.host, "t1-0", "fd99::1")):
        namespace.run(f"sysctl -qw net.ipv6.conf.{link}.disable_ipv6=0")
        namespace.run(f"ip addr add {addr}/64 dev {link} nodad")
    take_away(net, layers)
    with net.host.serve("tcp6", "::", PORT):
        expect(layers, dyno.ask("tcp6", "fd99::1", PORT))


@pytest.mark.two_kernels
def test_the_host_reaches_the_web_port_and_no_other(net):
    dyno = net.driver.create(0)
    target = address(0)[1]
    with dyno.serve("tcp", "0.0.0.0", 5000), dyno.serve("tcp", "0.0.0.0", 5001):
        assert not net.host.ask("tcp", target, 5000).startswith("ok")
        net.driver.ok("web 0 5000")
        assert net.host.ask("tcp", target, 5000) == f"ok {address(0)[0]}"
        assert not net.host.ask("tcp", target, 5001).startswith("ok")
        net.driver.ok("forbid 0")
        assert not net.host.ask("tcp", target, 5000).startswith("ok")

        # The control: without the table and the filter both ports answer.
        take_away(net, "none")
        assert net.host.ask("tcp", target, 5001).startswith("ok")


@pytest.mark.parametrize("layers", LAYERS)
def test_a_neighbour_of_the_host_does_not_reach_a_dyno(net, layers):
    dyno = net.driver.create(0)
    net.driver.ok("web 0 5000")
    net.outside.run(f"ip route add {address(0)[1]} via {HOST}")
    take_away(net, layers)
    with dyno.serve("tcp", "0.0.0.0", 5000):
        expect(layers, net.outside.ask("tcp", address(0)[1], 5000))


def test_the_host_is_no_router_for_its_neighbours(net):
    # From the uplink through the host into its other network.
    net.outside.run("ip addr add 10.99.0.1/32 dev lo")
    net.host.run("ip route add 10.99.0.1 via 10.78.0.1")
    net.outside.run(f"ip rule add to 10.99.0.1 priority 1 table 7; "
                    f"ip route add 10.99.0.1 via {HOST} dev {UPLINK} table 7; "
                    "ip rule add priority 2 table local; ip rule del priority 0; "
                    "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lan0.accept_local=1")
    assert net.host.run(f"cat /proc/sys/net/ipv4/conf/{UPLINK}/forwarding").strip() == "1"
    assert net.host.run("cat /proc/sys/net/ipv4/ip_forward").strip() == "0"
    count = "nft list chain inet count c"
    net.host.run("nft 'add table inet count; add chain inet count c { type filter hook "
                 "postrouting priority 0; }; add rule inet count c ip daddr 10.99.0.1 counter'")
    net.outside.ask("udp", "10.99.0.1", PORT)
    assert "packets 0 " in net.host.run(count)
    net.nft_off()
    net.outside.ask("udp", "10.99.0.1", PORT)
    assert "packets 0 " not in net.host.run(count)


@pytest.mark.two_kernels
def test_a_host_process_with_a_dyno_uid_cannot_use_lo(net):
    client = (
        "import os, socket; os.setresuid({0}, {0}, {0}); "
        "socket.create_connection(('127.0.0.1', 7000), 1); print('ok')"
    )

    def attempt(uid):
        return net.host.run(f'{sys.executable} -c "{client.format(uid)}" 2>/dev/null', check=False).strip()

    with net.host.serve("tcp", "127.0.0.1", PORT):
        assert attempt(DYNO_UID) == ""
        assert attempt(DYNO_UID - 1024 - 1) == "ok"  # the uid before the range
        net.nft_off()
        assert attempt(DYNO_UID) == "ok"


@pytest.mark.two_kernels
def test_flushed_ruleset_cuts_off_and_opens_nothing(net):
    one, two = net.driver.create(0), net.driver.create(1)
    net.driver.ok("web 1 5000")
    # Even if everybody could find the way back.
    net.outside.run(f"ip route add 172.16.0.0/24 via {HOST}")
    with net.outside.serve("udp", OUTSIDE, PORT), two.serve("tcp", "0.0.0.0", 5000), \
            net.host.serve("tcp", "0.0.0.0", PORT):
        assert one.ask("udp", OUTSIDE, PORT).startswith("ok")
        assert net.host.ask("tcp", address(1)[1], 5000).startswith("ok")

        net.host.run("nft flush ruleset")
        assert one.ask_all([("udp", OUTSIDE, PORT), ("tcp", address(1)[1], 5000),
                            ("tcp", address(0)[0], PORT)]) == ["timeout"] * 3
        assert net.host.ask("tcp", address(1)[1], 5000) == "timeout"
        assert net.outside.ask("tcp", address(1)[1], 5000) == "timeout"

        net.driver.ok("reload")
        assert one.ask("udp", OUTSIDE, PORT).startswith("ok")
        assert net.host.ask("tcp", address(1)[1], 5000).startswith("ok")


@pytest.mark.two_kernels
def test_without_the_routing_rule_a_flushed_host_lets_packets_out(net):
    # The control of the rule: it is what keeps a dyno's packets in when the table is gone.
    dyno = net.driver.create(0)
    net.outside.run("nft 'add table ip count; add chain ip count c { type filter hook prerouting "
                    f"priority 0; }}; add rule ip count c ip saddr {address(0)[1]} counter'")
    count = "nft list chain ip count c"
    net.nft_off()
    dyno.ask("udp", OUTSIDE, PORT)
    assert "packets 0 " in net.outside.run(count)
    net.rule_off()
    dyno.ask("udp", OUTSIDE, PORT)
    assert "packets 0 " not in net.outside.run(count)


def test_a_resolver_on_the_host_stays_refused(net):
    dyno = net.driver.create(0)
    with net.host.serve("udp", "0.0.0.0", 53):
        for target in (HOST, address(0)[0], "127.0.0.1"):
            assert not dyno.ask("udp", target, 53).startswith("ok")
    with net.outside.serve("udp", OUTSIDE, 53):
        assert dyno.ask("udp", OUTSIDE, 53).startswith("ok")


@pytest.mark.parametrize("layers", ["both", "nft", "tc"])
@pytest.mark.parametrize("resolver", ["169.254.169.254", ELSEWHERE[2]])
def test_port_53_of_a_resolver_at_a_metadata_address_is_open_and_no_other(lab, resolver, layers):
    lab.outside.run(f"ip addr replace {resolver}/32 dev lo")
    lab.driver = Driver(lab.host, resolver=resolver)
    lab.driver.ok("start")
    dyno = lab.driver.create(0)
    lab.outside.run(f"ip route add {address(0)[1]} via {HOST}")
    take_away(lab, layers)
    if layers == "tc":
        lab.rule_off()
        # Without the table nothing comes back through the filter: count what goes out.
        lab.outside.run("nft 'add table ip count; add chain ip count c { type filter hook "
                        f"prerouting priority 0; }}; add rule ip count c ip saddr {address(0)[1]} "
                        "counter'")
    for proto, port, passes in (("udp", 53, True), ("tcp", 53, True), ("udp", 80, False),
                                ("tcp", 80, False)):
        with lab.outside.serve(proto, resolver, port):
            if layers == "tc":
                lab.outside.run("nft reset counters table ip count; nft flush chain ip count c; "
                                f"nft add rule ip count c ip saddr {address(0)[1]} counter")
                dyno.ask(proto, resolver, port)
                seen = "packets 0 " not in lab.outside.run("nft list chain ip count c")
                assert seen == passes, (proto, port)
            else:
                assert dyno.ask(proto, resolver, port).startswith("ok") == passes
