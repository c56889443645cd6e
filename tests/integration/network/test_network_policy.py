# SPDX-License-Identifier: Apache-2.0
"""What an app's network policy opens and closes, and nothing beside it."""

import subprocess
import sys

import pytest

from lab import HOST, KEEPERS, OUTSIDE, Driver, address

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
    return sorted(line for line in lines if "\" ct count over" not in line)


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
        # In fragments, the second of which shows no port.
        send = ("python3 -c \"import socket; s = socket.socket(2, 2); s.settimeout(0.5); "
                "s.sendto(b'x' * 4000, ('{0}', {1})); print(s.recv(99))\" 2>&1 | tail -1")
        assert "timed out" in dyno.run(send.format(OUTSIDE, PORT))
        assert HOST in other.run(send.format(OUTSIDE, PORT))


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
    """Sent without a pause while the policy changes to and fro: X under neither, Y under both."""
    dyno = dyno_of(net, 0, 1)
    policies = [f"closed +{OUTSIDE}/32:udp:7100-7100", f"-{OUTSIDE}/32:udp:7200-7300 +{OUTSIDE}/32:udp"]
    net.driver.ok("policy 1 1 " + policies[0])
    denied = counter(net, "udp dport 7200")
    net.outside.run("nft 'add chain ip count d { type filter hook prerouting priority -400; }; "
                    "add rule ip count d udp dport 7100 counter'")
    flood = (f"import socket, sys\ns = socket.socket(2, 2); n = 0\n"
             "print('ready', flush=True); sys.stdin.close(); import select, os\n"
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
    assert "tbf" not in dyno.run("tc qdisc show dev eth0")
    assert "tbf" not in net.host.run("tc qdisc show dev t1-0")


def test_the_read_back_sees_what_is_missing_of_a_dyno(net):
    net.driver.ok("policy 1 1 closed service=tcp:5432")
    spaces = [dyno_of(net, slot, 1, limits="1000000 100 50") for slot in range(5)]
    spaces.append(dyno_of(net, 5, 2))
    net.driver.ok("policy 2 0")
    damages = {
        0: "nft delete element inet t1 policies '{ \"t1-0\" }'",
        1: "nft delete element inet t1 rates '{ \"t1-1\" }'",
        2: "nft 'delete element inet t1 counts_from { \"t1-2\" }; "
           "add element inet t1 counts_from { \"t1-2\" : goto count-128-from }'",
        3: "tc qdisc del dev t1-3 root",
        4: "nft 'delete element inet t1 policies { \"t1-4\" }; add element inet t1 policies { \"t1-4\" : accept }'",
        5: "nft 'add element inet t1 policies { \"t1-5\" : goto app-1-out }'",
    }
    texts = {0: "network policy", 1: "a limit of connections", 2: "a limit of connections",
             3: "bandwidth", 4: "network policy", 5: "of another dyno"}
    for slot, damage in damages.items():
        assert net.driver.check(slot)[0] == 0
        net.host.run(damage)
        result, detail = net.driver.check(slot)
        assert result == 1 and texts[slot] in detail, (slot, detail)
    assert spaces
