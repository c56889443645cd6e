# SPDX-License-Identifier: Apache-2.0
"""What an app's network policy opens and closes, and nothing beside it."""

import re
import subprocess
import sys

import pytest

from lab import HOST, HOST_LAN, KEEPERS, OUTSIDE, UPLINK, Driver, address

PORT = 7000
FAR = "198.51.100.7"  # behind the gateway


def dyno_of(net, slot, app, limits="", web=0):
    """A dyno of an app, as the launcher makes it."""
    dyno = net.driver.create(slot)
    net.driver.ok(f"begin {slot} {app} {limits}")
    if web:
        net.driver.ok(f"web {slot} {web}")
        net.driver.ok(f"listens {slot} 1")
    assert net.driver.check(slot)[0] == 0, net.driver.check(slot)
    return dyno


def counter(net, match):
    """Counts what arrives outside. Returns a function that reads it."""
    net.outside.run("nft 'add table ip count; add chain ip count c { type filter hook prerouting "
                    f"priority -400; }}; add rule ip count c {match} counter'")

    def read():
        text = net.outside.run("nft list chain ip count c")
        return sum(int(line.split("packets ")[1].split()[0])
                   for line in text.splitlines() if "packets " in line)
    return read


def ping(namespace, target):
    """One ICMP echo: "reached" or "lost"."""
    script = ("import socket\ns = socket.socket(2, socket.SOCK_RAW, 1); s.settimeout(0.5)\n"
              f"s.connect((\"{target}\", 0)); s.send(bytes.fromhex(\"0800f7fd00010001\"))\n"
              "try: s.recv(99); print(\"reached\")\nexcept TimeoutError: print(\"lost\")")
    return namespace.run(f"{sys.executable} -c '{script}'").strip()


def table(net):
    """The table without its order, which depends on what was there before, and counts."""
    lines = net.host.run("nft -s list table inet t1").splitlines()
    return sorted(line for line in lines if not re.search(r'"( \. \d+)? ct count over', line))


# ---- egress ----

@pytest.mark.two_kernels
def test_a_closed_app_reaches_exactly_what_is_allowed(net):
    dyno = dyno_of(net, 0, 1)
    other = dyno_of(net, 1, 2)
    net.driver.ok(f"policy 1 1 closed +{OUTSIDE}/32:tcp:{PORT}-{PORT}")
    with net.outside.serve("tcp", "0.0.0.0", PORT), net.outside.serve("udp", "0.0.0.0", PORT), \
            net.outside.serve("tcp", "0.0.0.0", PORT + 1):
        assert dyno.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        for attempt in (("tcp", OUTSIDE, PORT + 1), ("tcp", FAR, PORT), ("udp", OUTSIDE, PORT)):
            assert dyno.ask(*attempt) == "timeout", attempt
            assert other.ask(*attempt).startswith("ok"), "the attempt itself does not work"
        assert ping(dyno, OUTSIDE) == "lost"
        assert ping(other, OUTSIDE) == "reached"
        # In fragments, the second of which shows no port: these leave no dyno.
        send = ("python3 -c \"import socket; s = socket.socket(2, 2); s.settimeout(0.5); "
                "s.sendto(b'x' * 4000, ('{0}', {1})); print(s.recv(99))\" 2>&1 | tail -1")
        assert "timed out" in dyno.run(send.format(OUTSIDE, PORT))
        assert "timed out" in other.run(send.format(OUTSIDE, PORT))


def test_the_first_rule_that_fits_decides(net):
    dyno = dyno_of(net, 0, 1)
    net.driver.ok(f"policy 1 1 -{OUTSIDE}/32:tcp:{PORT}-{PORT} +{OUTSIDE}/32 -10.0.0.0/8 -0.0.0.0/0:udp")
    with net.outside.serve("tcp", "0.0.0.0", PORT), net.outside.serve("tcp", "0.0.0.0", PORT + 1), \
            net.outside.serve("udp", "0.0.0.0", PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT) == "timeout"
        assert dyno.ask("tcp", OUTSIDE, PORT + 1).startswith("ok")
        assert dyno.ask("udp", OUTSIDE, PORT).startswith("ok")
        assert dyno.ask("tcp", "10.78.0.1", PORT + 1) == "timeout"
        assert dyno.ask("udp", FAR, PORT) == "timeout"
        assert dyno.ask("tcp", FAR, PORT).startswith("ok"), "what no rule fits is open"


def test_no_policy_opens_what_is_always_denied(net):
    one, two = dyno_of(net, 0, 1, web=5000), dyno_of(net, 1, 1, web=5000)
    net.driver.ok("policy 1 1 +0.0.0.0/0")
    net.outside.run("ip addr add 169.254.169.254/32 dev lo", check=False)
    with two.serve("tcp", "0.0.0.0", 5000), net.host.serve("tcp", "0.0.0.0", PORT), \
            net.outside.serve("tcp", "169.254.169.254", 80):
        assert one.ask("tcp", address(1)[1], 5000) == "timeout"
        assert one.ask("tcp", HOST, PORT) == "timeout"
        assert one.ask("tcp", "169.254.169.254", 80) == "timeout"


def test_a_closed_app_resolves_names_unless_a_rule_says_no(net):
    dyno = dyno_of(net, 0, 1)
    net.driver.ok("policy 1 1 closed")
    with net.outside.serve("udp", "0.0.0.0", 53), net.outside.serve("tcp", "0.0.0.0", 53):
        assert dyno.ask("udp", OUTSIDE, 53).startswith("ok")
        assert dyno.ask("tcp", OUTSIDE, 53).startswith("ok")
        assert dyno.ask("udp", FAR, 53) == "timeout"
        net.driver.ok(f"policy 1 2 closed -{OUTSIDE}/32:udp:53-53")
        assert dyno.ask("udp", OUTSIDE, 53) == "timeout"
        assert dyno.ask("tcp", OUTSIDE, 53).startswith("ok")


ECHO = ("import socket; l = socket.create_server(('', 7001)); print('ready', flush=True); "
        "c, _ = l.accept()\nwhile d := c.recv(9): c.sendall(d)")
TALK = ("import socket, sys; s = socket.create_connection(('%s', %d), 1); s.settimeout(%s)\n"
        "for line in sys.stdin:\n"
        " try: s.sendall(line.encode()); print(s.recv(9).decode(), end='', flush=True)\n"
        " except TimeoutError: print('silence', flush=True)")


class Talk:
    """A TCP connection that stays open: says what comes back, or "silence"."""

    def __init__(self, server, client, target=OUTSIDE, port=7001, timeout=0.4, listen=7001):
        self.server = server.popen([sys.executable, "-c", ECHO.replace("7001", str(listen))],
                                   stdout=subprocess.PIPE)
        assert self.server.stdout.readline() == b"ready\n"
        self.client = client.popen([sys.executable, "-c", TALK % (target, port, timeout)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        KEEPERS.extend((self.server, self.client))  # they end with the lab

    def say(self, word):
        self.client.stdin.write(word.encode() + b"\n")
        self.client.stdin.flush()
        return self.client.stdout.readline().decode().strip()


@pytest.mark.two_kernels
def test_a_tighter_policy_cuts_running_connections_at_once(net):
    dyno = dyno_of(net, 0, 1)
    talk = Talk(net.outside, dyno)
    seen = counter(net, "tcp dport 7001")
    assert talk.say("one") == "one"
    net.driver.ok("policy 1 1 closed")
    before = seen()
    assert talk.say("two") == "silence"
    assert seen() == before, "packets of the connection still leave"
    net.driver.ok("policy 1 0")
    assert any(talk.say("three") != "silence" for _ in range(20)), "it was cut for good"


def test_a_change_never_passes_what_both_policies_deny(net):
    """Sent without a pause while the policy changes back and forth: X under neither, Y under both."""
    dyno = dyno_of(net, 0, 1)
    policies = [f"closed +{OUTSIDE}/32:udp:7100-7100", f"-{OUTSIDE}/32:udp:7200-7300 +{OUTSIDE}/32:udp"]
    net.driver.ok("policy 1 1 " + policies[0])
    denied = counter(net, "udp dport 7200")
    net.outside.run("nft 'add chain ip count d { type filter hook prerouting priority -400; }; "
                    "add rule ip count d udp dport 7100 counter'")
    flood = (f"import socket, sys\ns = socket.socket(2, 2); n = 0\n"
             "import signal; signal.signal(2, signal.default_int_handler)\n"  # though it be ignored here
             "print('ready', flush=True)\n"
             "try:\n"
             " while True:\n"
             f"  s.sendto(b'x', ('{OUTSIDE}', 7200)); s.sendto(b'x', ('{OUTSIDE}', 7100)); n += 1\n"
             "except KeyboardInterrupt: print(n, flush=True)")
    p = dyno.popen([sys.executable, "-c", flood], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                   stderr=subprocess.DEVNULL)
    assert p.stdout.readline() == b"ready\n"
    for serial in range(2, 22):
        net.driver.ok(f"policy 1 {serial} " + policies[serial % 2])
    p.send_signal(2)
    sent = int(p.stdout.readline())
    p.wait()
    p.stdout.close()
    text = net.outside.run("nft list chain ip count d")
    arrived = int(text.split("packets ")[1].split()[0])
    assert denied() == 0
    assert sent > 1000 and arrived in (sent, sent + 1), (sent, arrived)


def test_inspection_says_what_a_dyno_reaches(net):
    dyno_of(net, 0, 1, limits="1000000 100 50")

    def said():
        result, detail = net.driver.check(0)
        assert result == 0 and detail.startswith("172.16.0.30 on t1-0, source pinned by nftables and tc; ")
        return detail.split("; ")[1]
    assert said() == "reaches the Internet"
    net.driver.ok(f"policy 1 1 closed source={HOST} +10.0.0.0/8 service=tcp:5432 service=udp:53 publish=80")
    assert said() == f"closed but for 1 rule as {HOST}, services 5432 53/udp, published 80"
    net.driver.ok("policy 1 2 -10.0.0.0/8 -192.168.0.0/16")
    assert said() == "reaches the Internet but for 2 rules"
    net.driver.ok("policy 1 3 " + " ".join(f"publish={port}" for port in range(60001, 60017))
                  + "".join(f" service=tcp:{port}" for port in range(40001, 40033)))
    assert len(net.driver.check(0)[1]) < 160


def test_a_policy_that_is_refused_changes_nothing(net):
    dyno = dyno_of(net, 0, 1)
    net.driver.ok(f"policy 1 1 closed +{OUTSIDE}/32:tcp:{PORT}-{PORT}")
    before = net.host.run("nft list table inet t1")
    assert net.driver.say("policy 1 2 source=203.0.113.77") == "error Cannot assign requested address"
    assert net.host.run("nft list table inet t1") == before
    with net.outside.serve("tcp", "0.0.0.0", PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
        assert dyno.ask("tcp", FAR, PORT) == "timeout"


# ---- life ----

@pytest.mark.two_kernels
@pytest.mark.twice  # test_network_damage.py has it of the whole table
def test_policies_come_back_with_the_table(net):
    dyno = dyno_of(net, 0, 1, limits="0 100 50")
    net.driver.ok(f"policy 1 1 closed +{OUTSIDE}/32:tcp:{PORT}-{PORT}")
    before = table(net)
    with net.outside.serve("tcp", "0.0.0.0", PORT):
        for damage in ("nft flush ruleset", "nft flush chain inet t1 app-1-out",
                       "nft delete element inet t1 policies '{ \"t1-0\" }'"):
            net.host.run(damage)
            net.driver.ok("watch")
            assert "changed by nft" in net.driver.say("damage")
            net.driver.ok("reload")
            assert table(net) == before
            assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
            assert dyno.ask("tcp", FAR, PORT) == "timeout"


@pytest.mark.two_kernels
def test_a_restart_never_opens_a_closed_app(net):
    dyno = dyno_of(net, 0, 1)
    net.driver.ok("policy 1 1 closed")
    pid = dyno.keep()
    seen = counter(net, "udp dport 7100")
    flood = (f"import socket\ns = socket.socket(2, 2)\nprint('ready', flush=True)\n"
             f"while True: s.sendto(b'x', ('{OUTSIDE}', 7100))")
    p = dyno.popen([sys.executable, "-c", flood], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    net.driver.kill()
    net.driver = Driver(net.host)
    net.driver.ok("restore 1 1 closed")
    net.driver.ok(f"start 0:0:{pid}:1")
    net.driver.ok("reload")
    assert seen() == 0
    net.driver.ok("policy 1 2")
    while seen() == 0:
        assert p.poll() is None  # the flood itself works
    p.kill()
    p.wait()
    p.stdout.close()


def test_a_destroyed_dyno_leaves_nothing_on_its_slot(net):
    net.driver.ok("policy 1 1 closed publish=8080 service=tcp:5432")
    dyno_of(net, 0, 1, limits="1000000 100 50", web=5000)
    net.driver.ok("destroy 0")
    assert "t1-0" not in net.host.run("nft list table inet t1")
    assert address(0)[1] not in net.host.run("nft list table inet t1")
    net.driver.ok("start")
    dyno = dyno_of(net, 0, 2)
    with net.outside.serve("tcp", "0.0.0.0", PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok")
    assert "rate 8Tbit" in dyno.run("tc qdisc show dev eth0")
    assert "rate 8Tbit" in net.host.run("tc qdisc show dev t1-0")


def test_the_read_back_sees_what_is_missing_of_a_dyno(net):
    net.driver.ok("policy 1 1 closed service=tcp:5432")
    spaces = [dyno_of(net, slot, 1, limits="1000000 100 50") for slot in range(5)]
    more = [dyno_of(net, slot, 1, limits="1000000 100 50") for slot in (8, 9)]
    assert more
    spaces.append(dyno_of(net, 5, 2))
    net.driver.ok("policy 2 0")
    spaces.append(dyno_of(net, 6, 2, limits="1000000"))
    spaces.append(dyno_of(net, 7, 2))
    damages = {
        0: "nft delete element inet t1 policies '{ \"t1-0\" }'",
        1: "nft delete element inet t1 rates_to '{ \"t1-1\" }'",
        2: "nft 'delete element inet t1 counts_from { \"t1-2\" }; "
           "add element inet t1 counts_from { \"t1-2\" : goto count-128-from }'",
        3: "tc qdisc del dev t1-3 root",
        4: "nft 'delete element inet t1 policies { \"t1-4\" }; add element inet t1 policies { \"t1-4\" : accept }'",
        5: "nft 'add element inet t1 policies { \"t1-5\" : goto app-1-out }'",
        8: "nft 'delete element inet t1 rates_from { \"t1-8\" }; "
           "add element inet t1 rates_from { \"t1-8\" limit rate over 51/second }'",
        9: "nft 'delete element inet t1 rates_to { \"t1-9\" }; "
           "add element inet t1 rates_to { \"t1-9\" limit rate 50/second }'",
    }
    inside = {6: "tc qdisc del dev eth0 root", 7: "tc qdisc change dev eth0 root tbf rate 1gbit burst 1m limit 1m"}
    texts = {0: "network policy", 1: "a limit of connections", 2: "a limit of connections",
             3: "bandwidth", 4: "network policy", 5: "of another dyno",
             8: "a limit of connections", 9: "a limit of connections",
             6: "bandwidth is not limited as it must be at the dyno's end", 7: "at the dyno's end"}
    for slot, damage in (damages | inside).items():
        assert net.driver.check(slot)[0] == 0
        (spaces[slot] if slot in inside else net.host).run(damage)
        result, detail = net.driver.check(slot)
        assert result == 1 and texts[slot] in detail, (slot, detail)
    net.driver.ok("reload")
    for slot in texts:
        assert net.driver.check(slot)[0] == 0, net.driver.check(slot)


# ---- ports of the host ----

SERVICE = "172.16.0.1"
PG = 5432


def without(net, layers, slots=(0,)):
    """Takes a layer away; @layers stay."""
    if layers == "tc":
        net.nft_off()
        net.rule_off()  # or its drop would be taken for the filter's
    if layers == "nft":
        for slot in slots:
            net.tc_off(slot)


@pytest.mark.two_kernels
@pytest.mark.parametrize("proto", ["tcp", pytest.param("udp", marks=pytest.mark.twice)])
def test_a_service_is_open_to_its_app_and_nothing_else_is(net, proto):
    net.driver.ok(f"policy 1 1 closed service={proto}:{PG}")
    one, other = dyno_of(net, 0, 1), dyno_of(net, 1, 2)
    wrong = "udp" if proto == "tcp" else "tcp"
    net.host.run("ip addr add 203.0.113.9/32 dev lo")
    with net.host.serve(proto, SERVICE, PG):
        assert one.ask(proto, SERVICE, PG) == f"ok {address(0)[1]}"
    attempts = [(proto, SERVICE, PG + 1), (wrong, SERVICE, PG)]
    attempts += [(proto, target, PG) for target in
                 (HOST, HOST_LAN, "203.0.113.9", address(0)[0], address(1)[0])]
    with net.host.serve(*sum(attempts, ())):
        assert dict(zip(attempts, one.ask_all(attempts))) == dict.fromkeys(attempts, "timeout")
    with net.host.serve(proto, SERVICE, PG):
        assert other.ask(proto, SERVICE, PG) == "timeout"
        net.driver.ok("policy 1 2 closed")
        assert not one.ask(proto, SERVICE, PG).startswith("ok")


@pytest.mark.parametrize("layers", ["nft", "tc"])
def test_each_layer_alone_keeps_what_is_beside_a_service_closed(net, layers):
    """What arrives at the host counts: without the table no answer would come back."""
    net.driver.ok(f"policy 1 1 service=tcp:{PG} service=udp:{PG + 2} service=tcp:{PG + 3}")
    net.driver.ok(f"policy 1 2 service=tcp:{PG} service=udp:{PG + 2}")
    one, other = dyno_of(net, 0, 1), dyno_of(net, 1, 2)
    # One that was open while the dyno ran.
    net.driver.ok(f"policy 1 3 service=tcp:{PG} service=udp:{PG + 2} service=tcp:{PG + 4}")
    net.driver.ok(f"policy 1 4 service=tcp:{PG} service=udp:{PG + 2}")
    net.host.run("nft 'add table ip count; add chain ip count c { type filter hook input priority 300; }'")

    def arrives(who, *attempt):
        net.host.run("nft 'flush chain ip count c; add rule ip count c iifname \"t1-*\" counter'")
        with net.host.serve(*attempt):
            who.ask(*attempt)
        return "packets 0 " not in net.host.run("nft list chain ip count c")

    attempts = [(one, "tcp", SERVICE, PG + 1), (one, "udp", SERVICE, PG + 1), (other, "tcp", SERVICE, PG),
                (one, "tcp", HOST, PG), (one, "udp", address(0)[0], PG + 2), (one, "udp", SERVICE, PG),
                (one, "tcp", SERVICE, PG + 2), (one, "tcp", SERVICE, PG + 3), (one, "tcp", SERVICE, PG + 4)]
    without(net, layers, (0, 1))
    for attempt in attempts:
        assert not arrives(*attempt), attempt
    for proto, port in (("tcp", PG), ("udp", PG + 2)):
        assert arrives(one, proto, SERVICE, port)
    if layers == "tc":  # the attempts themselves work where there is no layer
        net.tc_off(0)
        assert arrives(*attempts[0]) and arrives(*attempts[3])


def test_fragments_reach_no_service(net):
    net.driver.ok(f"policy 1 1 service=udp:{PG}")
    dyno = dyno_of(net, 0, 1)
    send = ("python3 -c \"import socket; s = socket.socket(2, 2); s.settimeout(0.5); "
            "s.sendto(b'x' * {1}, ('{0}', 5432)); print(s.recv(99))\" 2>&1 | tail -1")
    with net.host.serve("udp", SERVICE, PG):
        assert "timed out" in dyno.run(send.format(SERVICE, 4000))
        assert address(0)[1] in dyno.run(send.format(SERVICE, 1000))


def test_the_service_address_is_for_dynos_and_the_host_alone(net):
    before = net.host.run("ip addr show lo")
    net.driver.ok(f"policy 1 1 service=tcp:{PG}")
    net.outside.run(f"ip route add {SERVICE} via {HOST}")
    dyno = dyno_of(net, 0, 1)
    with net.host.serve("tcp", SERVICE, PG):
        assert net.host.ask("tcp", SERVICE, PG).startswith("ok")
        assert dyno.ask("tcp", SERVICE, PG).startswith("ok")
        assert net.outside.ask("tcp", SERVICE, PG) == "timeout"
        net.host.run(f"ip addr del {SERVICE}/32 dev lo")
        net.driver.ok("watch")
        assert dyno.ask("tcp", SERVICE, PG).startswith("ok"), "the address does not come back"
    net.driver.ok("policy 1 2")
    assert net.host.run("ip addr show lo") == before
    net.driver.ok(f"policy 1 3 service=tcp:{PG}")
    net.driver.ok("purge")
    assert net.host.run("ip addr show lo") == before


def test_an_address_that_the_host_has_anyway_stays_as_it_is(lab):
    lab.host.run(f"ip addr add {SERVICE}/32 dev {UPLINK}")
    lab.outside.run(f"ip route add {SERVICE} via {HOST}")
    lab.start()
    lab.driver.ok(f"policy 1 1 service=tcp:{PG}")
    dyno = dyno_of(lab, 0, 1)
    with lab.host.serve("tcp", SERVICE, PG):
        assert dyno.ask("tcp", SERVICE, PG).startswith("ok")
        assert lab.outside.ask("tcp", SERVICE, PG).startswith("ok")
    lab.driver.ok("purge")
    assert SERVICE in lab.host.run(f"ip addr show {UPLINK}")


def test_public_ports_say_at_how_many_addresses_they_are_not_open(lab):
    for i in range(18):  # beside HOST
        lab.host.run(f"ip addr add 203.0.113.{100 + i}/32 dev {UPLINK}")
    lab.start(public=("tcp:443",))
    dyno = dyno_of(lab, 0, 1)
    assert lab.driver.report()["public_left_out"] == 3
    with lab.host.serve("tcp", "0.0.0.0", 443):
        assert dyno.ask("tcp", HOST, 443).startswith("ok")
        assert dyno.ask("tcp", "203.0.113.117", 443) == "timeout"
    lab.host.run(f"ip addr del 203.0.113.100/32 dev {UPLINK}")
    lab.driver.ok("watch")
    assert lab.driver.report()["public_left_out"] == 2
    lab.driver.ok("policy 2 1 closed")  # nothing is counted twice
    assert lab.driver.report()["public_left_out"] == 2


@pytest.mark.two_kernels
def test_public_ports_are_open_at_public_addresses_alone(lab):
    lab.start(public=("tcp:443", "udp:443"))
    dyno, closed = dyno_of(lab, 0, 1), dyno_of(lab, 1, 2)
    lab.driver.ok("policy 2 1 closed")
    public = [(proto, HOST, 443) for proto in ("tcp", "udp")]
    beside = [(proto, target, port) for proto in ("tcp", "udp")
              for target, port in ((HOST, 444), (HOST_LAN, 443), (address(0)[0], 443))]
    with lab.host.serve(*sum(public + beside, ())):
        assert all(answer.startswith("ok") for answer in dyno.ask_all(public))
        assert closed.ask_all(public) == ["timeout"] * 2
        assert dict(zip(beside, dyno.ask_all(beside))) == dict.fromkeys(beside, "timeout")
    lab.driver.ok(f"policy 2 2 closed +{HOST}/32:tcp:443-443")
    with lab.host.serve("tcp", "0.0.0.0", 443):
        assert closed.ask("tcp", HOST, 443).startswith("ok")
    # An address that comes later.
    assert lab.driver.report()["public_left_out"] == 0
    lab.host.run(f"ip addr add 203.0.113.20/32 dev {UPLINK}")
    lab.driver.ok("watch")
    with lab.host.serve("tcp", "0.0.0.0", 443):
        assert dyno.ask("tcp", "203.0.113.20", 443).startswith("ok")
        lab.driver.ok("reload")
        assert dyno.ask("tcp", "203.0.113.20", 443).startswith("ok")
        for layers in ("nft", "tc"):
            without(lab, layers, (0,))
            with lab.host.serve("tcp", "0.0.0.0", 444):
                assert dyno.ask("tcp", HOST, 444) == "timeout"
            lab.driver.ok("reload")


def test_no_address_but_a_public_one_has_public_ports(lab):
    """Not one that is valid on its link alone, nor the services' own, nor one that was public."""
    lab.host.run(f"ip addr add 203.0.113.50/32 dev {UPLINK} scope link; ip addr add {SERVICE}/32 dev {UPLINK}; "
                 f"ip addr add 203.0.113.20/32 dev {UPLINK}")
    lab.start(public=("tcp:443",))
    dyno = dyno_of(lab, 0, 1)
    with lab.host.serve("tcp", "0.0.0.0", 443):
        assert dyno.ask("tcp", "203.0.113.20", 443).startswith("ok")
        assert dyno.ask("tcp", "203.0.113.50", 443) == "timeout"
        assert dyno.ask("tcp", SERVICE, 443) == "timeout"
        # By each half alone: in the other one it may still be open.
        lab.host.run(f"ip addr del 203.0.113.20/32 dev {UPLINK}; ip addr add 203.0.113.20/32 dev lan0")
        lab.driver.ok("watch")
        while lab.driver.say("quiet") != "ok 0":
            lab.driver.ok("watch")
        assert dyno.ask("tcp", HOST, 443).startswith("ok")
        lab.host.run("nft 'add table ip count; add chain ip count c { type filter hook input priority 300; }; "
                     "add rule ip count c iifname t1-0 ip daddr 203.0.113.20 counter'")
        lab.nft_off()
        lab.rule_off()
        dyno.ask("tcp", "203.0.113.20", 443)
        assert "packets 0 " in lab.host.run("nft list chain ip count c")
        lab.tc_off(0)
        dyno.ask("tcp", "203.0.113.20", 443)
        assert "packets 0 " not in lab.host.run("nft list chain ip count c"), "the attempt itself does not work"


# ---- published ports ----

def answering(namespace, word, port=5000):
    """A server that answers with its own name."""
    script = (f"import socket\nl = socket.create_server(('', {port})); print('ready', flush=True)\n"
              "while True:\n c, _ = l.accept()\n"
              f" try: c.recv(9); c.sendall(b'{word}'); c.close()\n except OSError: pass")
    p = namespace.popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    KEEPERS.append(p)
    assert p.stdout.readline() == b"ready\n"
    return p


def names(namespace, target, port, n):
    """Who answers @n connections, sorted; "no" for none."""
    script = ("import socket\n"
              f"for _ in range({n}):\n"
              " try:\n"
              f"  s = socket.create_connection(('{target}', {port}), 0.5); s.settimeout(0.5)\n"
              "  s.sendall(b'x'); print(s.recv(9).decode())\n"
              " except OSError as e: print('no')\n")
    return sorted(namespace.run(f"{sys.executable} -c \"{script}\"").split())


@pytest.mark.two_kernels
def test_a_published_port_leads_to_the_apps_web_dynos_that_listen(net):
    net.driver.ok("policy 1 1 publish=8080")
    one, two = dyno_of(net, 0, 1, web=5000), dyno_of(net, 1, 1, web=5000)
    other = dyno_of(net, 2, 2, web=5000)
    for slot, dyno in enumerate((one, two, other)):
        answering(dyno, f"dyno{slot}")
    for client, target in ((net.outside, HOST), (net.host, HOST), (net.outside, HOST_LAN)):
        assert names(client, target, 8080, 8) == ["dyno0"] * 4 + ["dyno1"] * 4, (client, target)
    # Its own ports, also the web port itself, stay what they were.
    assert names(net.outside, HOST, 5000, 1) == ["no"]
    assert names(net.outside, HOST, 8081, 1) == ["no"]
    assert names(net.host, "127.0.0.1", 8080, 1) == ["no"]
    # No dyno gets to another through the host's address.
    assert names(other, HOST, 8080, 1) == ["no"]
    assert names(one, HOST, 8080, 1) == ["no"]

    net.driver.ok("listens 0 0")
    assert names(net.outside, HOST, 8080, 4) == ["dyno1"] * 4
    net.driver.ok("destroy 1")
    assert names(net.outside, HOST, 8080, 1) == ["no"]
    net.driver.ok("listens 0 1")
    assert names(net.outside, HOST, 8080, 4) == ["dyno0"] * 4
    net.host.run("nft flush ruleset")
    net.driver.ok("reload")
    assert names(net.outside, HOST, 8080, 4) == ["dyno0"] * 4
    net.driver.ok("policy 1 2")
    assert names(net.outside, HOST, 8080, 1) == ["no"]


@pytest.mark.two_kernels
def test_only_trusted_networks_open_a_published_port(net):
    net.outside.run("ip addr add 10.77.0.9/32 dev lo; ip addr add 10.77.0.130/32 dev lo")
    net.driver.ok("policy 1 1 publish=8080 trust=10.77.0.0/28 trust=10.77.0.0/25")
    dyno = dyno_of(net, 0, 1, web=5000)
    with dyno.serve("tcp", "0.0.0.0", 5000):
        assert net.outside.ask("tcp", HOST, 8080, "10.77.0.9") == "ok 10.77.0.9"
        assert not net.outside.ask("tcp", HOST, 8080, "10.77.0.130").startswith("ok")
        assert net.host.ask("tcp", HOST, 8080).startswith("ok"), "the host itself may"
        net.driver.ok("policy 1 2 publish=8080")
        assert net.outside.ask("tcp", HOST, 8080, "10.77.0.130") == "ok 10.77.0.130"


@pytest.mark.two_kernels
def test_who_is_no_longer_trusted_is_cut_off_at_once(net):
    net.driver.ok("policy 1 1 closed publish=8080")
    dyno = dyno_of(net, 0, 1, web=5000)
    talk = Talk(dyno, net.outside, HOST, 8080, listen=5000)
    assert talk.say("one") == "one", "a closed app answers whom it may be reached by"
    net.driver.ok("policy 1 2 closed publish=8080 trust=192.0.2.0/24")
    assert talk.say("two") == "silence"


def test_a_connection_to_a_dyno_that_is_gone_reaches_no_other_app(net):
    """Its address becomes another app's, and the host still knows the connection."""
    net.driver.ok("policy 1 1 publish=8080")
    net.driver.ok("policy 2 1 publish=9090")
    dyno_of(net, 0, 1, web=5000)
    with net.outside.serve("tcp", OUTSIDE, PORT):
        first = net.outside.run(  # a SYN that nobody answers is not kept; so a half-open one is made
            "python3 -c \"import socket; s = socket.socket(); s.setsockopt(1, 2, 1); "
            f"s.bind(('{OUTSIDE}', 40000)); s.settimeout(0.3); print(s.connect_ex(('{HOST}', 8080)))\"")
    assert first.strip() != "0"
    net.driver.ok("destroy 0")
    net.driver.ok("start")
    stranger = dyno_of(net, 0, 2, web=5000)
    with stranger.serve("tcp", "0.0.0.0", 5000):
        assert not net.outside.run(
            "python3 -c \"import socket; s = socket.socket(); s.setsockopt(1, 2, 1); "
            f"s.bind(('{OUTSIDE}', 40000)); s.settimeout(0.5); print(s.connect_ex(('{HOST}', 8080)))\""
        ).strip() == "0"
        assert net.outside.ask("tcp", HOST, 9090).startswith("ok")


def test_a_port_that_is_taken_is_not_published(net):
    net.driver.ok("policy 1 1 publish=8080")
    assert net.driver.say("policy 2 1 publish=8079 publish=8080 publish=8081") == "taken 8080"
    for proto, where in (("tcp", "0.0.0.0"), ("tcp", "127.0.0.1"), ("tcp6", "::")):
        with net.host.serve(proto, where, 8081):
            assert net.driver.say("policy 2 1 publish=8079 publish=8081") == "taken 8081"
    with net.host.serve("udp", "0.0.0.0", 8081):
        net.driver.ok("policy 2 1 publish=8081")
    net.driver.ok("policy 1 2")
    net.driver.ok("policy 2 2 publish=8080 publish=8081")


def test_what_was_published_before_is_so_again_whatever_user_listens(net):
    """As after a reboot: the port is the app's, as if the program had come later. The host's services keep theirs."""
    answering(dyno_of(net, 0, 1, web=5000), "app")
    net.driver.ok("policy 2 1 publish=8079")
    for serial, where in enumerate(("127.0.0.1", HOST, "0.0.0.0"), 1):
        with net.host.serve("tcp", where, 8080):
            assert net.driver.say(f"stored 1 {serial} publish=8080") == "taken 8080"
        with net.host.serve("tcp", where, 8080, uid=65534):
            assert net.driver.say(f"stored 1 {serial} publish=8080") == "shared 8080"
            assert set(names(net.outside, HOST, 8080, 3)) == {"app"}
            net.driver.ok(f"policy 1 {serial + 10} closed publish=8080")
            assert net.driver.say(f"policy 1 {serial + 20} publish=8080 publish=8079") == "taken 8079"
            assert net.driver.say(f"stored 1 {serial + 20} publish=8079") == "taken 8079", "it is another app's"
        net.driver.ok(f"policy 1 {serial + 30}")


# ---- source, limits ----

@pytest.mark.two_kernels
def test_a_fixed_source_is_the_only_one(net):
    net.host.run(f"ip addr add 10.77.0.50/24 dev {UPLINK}")
    net.driver.ok("policy 1 1 source=10.77.0.50")
    dyno, other = dyno_of(net, 0, 1), dyno_of(net, 1, 2)
    seen = counter(net, f"ip saddr {HOST} udp dport {PORT}")
    with net.outside.serve("tcp", "0.0.0.0", PORT), net.outside.serve("udp", "0.0.0.0", PORT):
        assert dyno.ask("tcp", OUTSIDE, PORT) == "ok 10.77.0.50"
        assert other.ask("tcp", OUTSIDE, PORT) == f"ok {HOST}"
        # It vanishes: nothing leaves with another one.
        net.host.run(f"ip addr del 10.77.0.50/24 dev {UPLINK}")
        net.driver.ok("watch")
        assert dyno.ask("udp", OUTSIDE, PORT) == "timeout"
        assert net.driver.check(0)[0] == 0, "no dyno could start"
        assert net.driver.check(0)[1].endswith("; reaches nothing, no address of the host: 10.77.0.50")
        net.driver.ok("reload")
        assert dyno.ask("udp", OUTSIDE, PORT) == "timeout"
        assert seen() == 0
        net.host.run(f"ip addr add 10.77.0.50/24 dev {UPLINK}")
        net.driver.ok("watch")
        assert dyno.ask("udp", OUTSIDE, PORT) == "ok 10.77.0.50"


def test_a_fixed_source_that_comes_late_lets_nothing_out_before(net):
    """As after a reboot. Whatever else changes meanwhile does so, and opens nothing."""
    dyno, other = dyno_of(net, 0, 1), dyno_of(net, 1, 2)
    seen = counter(net, f"ip saddr != 10.77.0.50 udp dport {PORT}")
    with net.outside.serve("tcp", "0.0.0.0", PORT), net.outside.serve("udp", "0.0.0.0", PORT):
        for how in ("stored", "policy"):  # a change, which does not touch the source
            for serial, more in enumerate(("", "publish=8080", "+0.0.0.0/0")):
                net.driver.ok(f"{how} 1 {serial + 1} source=10.77.0.50 {more}")
                for proto in ("tcp", "udp"):
                    assert dyno.ask(proto, OUTSIDE, PORT) == "timeout"
        late = dyno_of(net, 2, 1)
        assert late.ask("udp", OUTSIDE, PORT) == "timeout"
        assert seen() == 0
        assert other.ask("udp", OUTSIDE, PORT) == f"ok {HOST}"
        assert net.driver.say("policy 1 9 source=10.77.0.51") == "error Cannot assign requested address"
        net.host.run(f"ip addr add 10.77.0.50/24 dev {UPLINK}")
        net.driver.ok("watch")
        for space in (dyno, late):
            for proto in ("tcp", "udp"):
                assert space.ask(proto, OUTSIDE, PORT) == "ok 10.77.0.50"


def test_a_fixed_source_is_an_address_that_others_can_answer(net):
    """Not the loopback's, and none of dynod's own."""
    net.driver.ok("policy 2 1 service=tcp:5432")
    dyno_of(net, 0, 1)
    for source in ("127.0.0.1", "127.8.9.1", SERVICE, address(0)[0], "10.77.0.99"):
        assert net.driver.say(f"policy 1 1 source={source}") == "error Cannot assign requested address", source
    net.driver.ok(f"policy 1 1 source={HOST}")


def syns(namespace, target, n, port=7001):
    """@n connection attempts at once, which nobody answers."""
    namespace.run(f"{sys.executable} -c \"import socket\nk = []\nfor i in range({n}):\n"
                  " s = socket.socket(); s.setblocking(False); k.append(s)\n"
                  f" s.connect_ex(('{target}', {port}))\"")


def tracked(net, match):
    return int(net.host.run(f"grep -c '{match}' /proc/net/nf_conntrack || true").strip())


@pytest.mark.two_kernels
def test_new_connections_are_limited_per_second_in_both_directions(net):
    net.driver.ok("policy 1 1 publish=8080")
    dyno, other = dyno_of(net, 0, 1, limits="0 0 20", web=5000), dyno_of(net, 1, 2)
    out = counter(net, "tcp dport 7001")
    syns(dyno, FAR, 200)
    assert 20 <= out() < 60
    before = out()
    syns(other, FAR, 200)
    assert out() - before >= 200, "another dyno is limited with it"
    # The other way: what arrives in the dyno.
    dyno.run("nft 'add table ip c; add chain ip c c { type filter hook prerouting priority 0; }; "
             "add rule ip c c tcp flags syn tcp dport 5000 counter'")
    syns(net.outside, HOST, 200, 8080)
    arrived = int(dyno.run("nft list chain ip c c").split("packets ")[1].split()[0])
    assert arrived < 60


@pytest.mark.two_kernels
def test_a_dyno_has_its_number_of_tracked_connections_and_no_more(net):
    dyno, other = dyno_of(net, 0, 1, limits="0 40 0"), dyno_of(net, 1, 2)
    seen = counter(net, "udp dport 7001")
    send = (f"{sys.executable} -c \"import socket\nk = []\nfor i in range(200):\n"
            f" s = socket.socket(2, 2); k.append(s); s.sendto(b'x', ('{FAR}', 7001))\"")
    dyno.run(send)
    assert seen() == 32, "the class of 40 is 32"
    before = seen()
    other.run(send)
    assert seen() - before == 200
    # A flow that nobody answers is one connection, however many packets it has.
    third = dyno_of(net, 2, 3, limits="0 4 4")
    before = seen()
    third.run(f"{sys.executable} -c \"import socket\ns = socket.socket(2, 2)\nfor i in range(200):\n"
              f" s.sendto(b'x', ('{FAR}', 7001))\"")
    assert seen() - before == 200
    # The next dyno on the slot begins with none.
    third.run(send)
    net.driver.ok("destroy 2")
    again = dyno_of(net, 2, 3, limits="0 4 0")
    before = seen()
    again.run(send)
    assert seen() - before == 4


@pytest.mark.two_kernels
def test_a_large_number_of_connections_is_counted_in_parts(net):
    """The kernel looks through all that one element counts, with softirqs off."""
    dyno = dyno_of(net, 0, 1, limits="0 2048 0")
    send = (f"{sys.executable} -c \"import socket\nfor i in range(%d):\n"
            f" socket.socket(2, 2).sendto(b'x', ('{FAR}', 7001))\"")
    dyno.run(send % 1400)
    assert tracked(net, "dport=7001") > 1200  # a port may come twice
    parts = net.host.run("nft list set inet t1 counted-2048-from").count("ct count over 128")
    assert parts == 16
    dyno.run(send % 3000)
    assert 1900 < tracked(net, "dport=7001") <= 2048


def test_connections_to_a_dyno_are_counted_as_those_from_it(net):
    net.driver.ok("policy 1 1 publish=8080")
    net.driver.ok("policy 2 1 publish=8081")
    few, many = dyno_of(net, 0, 1, limits="0 8 0", web=5000), dyno_of(net, 1, 2, limits="0 4096 0", web=5000)
    for dyno in (few, many):
        dyno.run("nft 'add table ip c; add chain ip c c { type filter hook prerouting priority 0; }; "
                 "add rule ip c c tcp flags syn tcp dport 5000 counter'")
    arrived = []
    for dyno, port in ((few, 8080), (many, 8081)):
        syns(net.outside, HOST, 200, port)
        arrived.append(int(dyno.run("nft list chain ip c c").split("packets ")[1].split()[0]))
    assert 1 <= arrived[0] <= 8 and arrived[1] == 200, arrived


@pytest.mark.parametrize("way", ["from", "to"])
def test_what_has_closed_is_soon_forgotten(net, way):
    """Nothing counts it any more, and the kernel's own time for it is two minutes."""
    net.driver.ok("policy 1 1 publish=8080")
    dyno = dyno_of(net, 0, 1, limits="0 8 0", web=5000)
    server, client, target = ((net.outside, dyno, (OUTSIDE, PORT)) if way == "from" else
                              (dyno, net.outside, (HOST, 8080)))
    with server.serve("tcp", "0.0.0.0", PORT if way == "from" else 5000):
        assert client.ask("tcp", *target).startswith("ok")
        net.host.run("until grep -q TIME_WAIT /proc/net/nf_conntrack; do sleep 0.01; done")
    left = [int(line.split()[4]) for line in net.host.run("cat /proc/net/nf_conntrack").splitlines()
            if "TIME_WAIT" in line]
    assert left and max(left) <= 7, left


def test_no_limit_is_a_share_of_the_hosts_table(net):
    dyno_of(net, 0, 1)
    with open("/proc/sys/net/netfilter/nf_conntrack_max", encoding="ascii") as file:
        share = int(file.read()) // 16  # an eighth for both ways
    number = 1 << min(share.bit_length() - 1, 20)
    dyno_of(net, 1, 1, limits="0 1048576 0")  # of a size that is too large for this host
    for way in ("from", "to"):
        counts = net.host.run(f"nft list map inet t1 counts_{way}")
        assert counts.count(f"goto count-{number}-{way}") == 2, counts


def test_tcp_has_a_rate_of_its_own_by_the_number_of_connections(net):
    """What has closed counts for nothing, and the kernel remembers it for a while."""
    dyno = dyno_of(net, 0, 1, limits="0 64 0")
    seen = counter(net, "tcp dport 7001 tcp flags syn")
    syns(dyno, FAR, 200)
    assert 8 <= seen() < 24  # 8 at once and 8 a second, of 64


@pytest.mark.two_kernels
def test_bandwidth_is_limited_in_both_directions_and_by_nobody_inside(net):
    """20 Mbit/s; the wire alone does gigabits."""
    dyno = dyno_of(net, 0, 1, limits="2500000")
    for namespace, link in ((dyno, "eth0"), (net.host, "t1-0")):
        assert "rate 20Mbit" in namespace.run(f"tc qdisc show dev {link} root")
    sink = ("import socket, sys, time\nl = socket.create_server(('', 7003)); print('ready', flush=True)\n"
            "while True:\n c, _ = l.accept(); n = 0; t = time.monotonic()\n"
            " way = c.recv(1)\n"
            " if way == b'r':\n"
            "  c.sendall(bytes(5000000)); c.close(); continue\n"
            " while d := c.recv(65536): n += len(d)\n"
            " c.close()\n")
    p = net.outside.popen([sys.executable, "-c", sink], stdout=subprocess.PIPE)
    KEEPERS.append(p)
    assert p.stdout.readline() == b"ready\n"
    client = ("import socket, time, sys\ns = socket.create_connection(('%s', 7003)); t = time.monotonic()\n"
              "if sys.argv[1] == 'r':\n"
              " s.sendall(b'r'); n = 0\n"
              " while d := s.recv(65536): n += len(d)\n"
              "else:\n"
              " s.sendall(b'w' + bytes(5000000)); s.shutdown(1); s.recv(1)\n"
              "print(time.monotonic() - t)" % OUTSIDE)
    for way in ("r", "w"):
        took = float(subprocess.run(
            ["nsenter", f"--net={dyno.path}", sys.executable, "-c", client, way],
            capture_output=True, text=True, timeout=60, check=True).stdout)
        assert took > 1.5, f"5 MB in {took} s: not limited"
    # What holds it back is put back where somebody took it away.
    net.host.run("tc qdisc del dev t1-0 root")
    assert net.driver.check(0)[0] == 1
    net.driver.ok("reload")
    assert net.driver.check(0)[0] == 0
