# SPDX-License-Identifier: Apache-2.0
"""Who is not let in, or no longer, gets nothing and uses up nothing: of a dyno, of its
neighbours or of the host."""

import contextlib
import subprocess
import sys

import pytest

from lab import HOST, HOST_LAN, OUTSIDE, UPLINK, Driver, Namespace, address
from test_network_policy import FAR, PG, PORT, SERVICE, Talk, answering, counter, dyno_of, names, syns

WEB = 5000
PUBLISHED = 8080
TRUSTED, STRANGER = "10.77.0.9", "10.77.0.130"


@pytest.fixture
def peers(net):
    """Two clients outside, one of whom a policy may trust."""
    net.outside.run(f"ip addr add {TRUSTED}/32 dev lo; ip addr add {STRANGER}/32 dev lo")
    return net


def flood(namespace, source, target, n, port=PUBLISHED):
    """@n connection attempts from one address, which nobody waits for."""
    namespace.run(f"{sys.executable} -c \"import socket\nk = []\nfor i in range({n}):\n"
                  f" s = socket.socket(); s.setblocking(False); k.append(s); s.bind(('{source}', 0))\n"
                  f" s.connect_ex(('{target}', {port}))\"")


@contextlib.contextmanager
def speaker(namespace, program):
    """A Python program with sockets that says a line for each line that it is told."""
    child = namespace.popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(word=None):
        if word is not None:
            child.stdin.write(word + "\n")
        return child.stdout.readline().strip()
    try:
        assert tell() == "ready"
        yield tell
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def arrivals(namespace, match, name="arrived"):
    """Counts what arrives in a namespace. Returns a function that reads it."""
    namespace.run(f"nft 'add table ip {name}; add chain ip {name} c {{ type filter hook prerouting "
                  f"priority -400; }}; add rule ip {name} c {match} counter'")

    def read():
        return int(namespace.run(f"nft list chain ip {name} c").split("packets ")[1].split()[0])
    return read


# ---- limits ----

@pytest.mark.two_kernels
def test_who_is_not_trusted_uses_up_none_of_the_connections(peers):
    peers.driver.ok(f"policy 1 1 publish={PUBLISHED} trust={TRUSTED}/32")
    dyno = dyno_of(peers, 0, 1, limits="0 0 1", web=WEB)
    with dyno.serve("tcp", "0.0.0.0", WEB):
        flood(peers.outside, STRANGER, HOST, 200)
        assert peers.outside.ask("tcp", HOST, PUBLISHED, TRUSTED) == f"ok {TRUSTED}"
        # The limit itself is there: the same from somebody who may.
        arrived = arrivals(dyno, f"tcp dport {WEB} tcp flags syn")
        flood(peers.outside, TRUSTED, HOST, 200)
        assert arrived() < 200


def test_a_flood_of_connections_one_way_leaves_the_other_way_open(net):
    net.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    dyno = dyno_of(net, 0, 1, limits="0 0 1", web=WEB)
    with dyno.serve("tcp", "0.0.0.0", WEB), net.outside.serve("tcp", "0.0.0.0", PORT):
        flood(net.outside, OUTSIDE, HOST, 200)
        assert dyno.ask("tcp", OUTSIDE, PORT).startswith("ok"), "no way out"
    net.driver.ok("destroy 0")
    net.driver.ok("start")
    dyno = dyno_of(net, 0, 1, limits="0 0 1", web=WEB)
    with dyno.serve("tcp", "0.0.0.0", WEB):
        syns(dyno, FAR, 200)
        assert net.outside.ask("tcp", HOST, PUBLISHED).startswith("ok"), "no way in"


HOLD = ("import socket\nk = []\nprint('ready', flush=True)\ninput()\n"
        "for i in range(20):\n"
        " s = socket.socket(2, {kind}); s.settimeout(0.05); k.append(s)\n"
        " try: s.connect(('{target}', {port})); s.send(b'x')\n"
        " except OSError: pass\n"
        "print('held', flush=True)\ninput()")


@pytest.mark.two_kernels
@pytest.mark.parametrize("way", ["in", "out"])
def test_connections_held_one_way_take_no_place_of_the_other(net, way):
    net.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    dyno = dyno_of(net, 0, 1, limits="0 4 0", web=WEB)
    holder, target = (net.outside, HOST) if way == "in" else (dyno, FAR)
    program = HOLD.format(kind=1 if way == "in" else 2, target=target, port=PUBLISHED)
    with dyno.serve("tcp", "0.0.0.0", WEB), net.outside.serve("udp", OUTSIDE, PORT), \
            speaker(holder, program) as hold:
        assert hold("go") == "held"
        if way == "in":
            assert dyno.ask("udp", OUTSIDE, PORT).startswith("ok")
        else:
            assert net.outside.ask("tcp", HOST, PUBLISHED).startswith("ok")


# ---- both ways ----

PEER = ("import socket\ns = socket.socket(2, 2); s.bind(('0.0.0.0', 7001)); print('ready', flush=True)\n"
        "input(); peer = s.recvfrom(9)[1]; print('heard', flush=True)\n"
        "while True: s.sendto(input().encode(), peer); print('sent', flush=True)")
HELLO = ("import socket\ns = socket.socket(2, 2); s.connect(('%s', 7001)); s.send(b'hello')\n"
         "print('ready', flush=True)\nwhile True: input(); s.send(b'more'); print('sent', flush=True)")


@pytest.mark.two_kernels
def test_a_tighter_policy_silences_the_far_end_too(net):
    """A peer that the dyno has talked to goes on sending, and the dyno says nothing more."""
    dyno = dyno_of(net, 0, 1)
    arrived = arrivals(dyno, "udp sport 7001")
    with speaker(net.outside, PEER) as peer, speaker(dyno, HELLO % OUTSIDE):
        assert peer("hear") == "heard"
        assert peer("one") == "sent" and arrived() == 1
        for serial, policy in enumerate(("closed", f"-{OUTSIDE}/32", f"-{OUTSIDE}/32:udp:7001-7001",
                                         f"closed +{OUTSIDE}/32:tcp +{OUTSIDE}/32:udp:7002-7003")):
            net.driver.ok(f"policy 1 {serial + 1} {policy}")
            assert peer("two") == "sent"
            assert arrived() == 1, policy
        net.host.run("nft flush ruleset")
        net.driver.ok("reload")
        assert peer("three") == "sent"
        assert arrived() == 1, "after a reload"
        net.driver.ok(f"policy 1 9 closed +{OUTSIDE}/32:udp:7001-7001")
        assert peer("four") == "sent" and arrived() == 2, "it was cut for good"


def test_a_closed_app_hears_what_routers_say_of_what_it_may(net):
    """An ICMP error, which belongs to the connection that it is about."""
    dyno = dyno_of(net, 0, 1)
    net.driver.ok(f"policy 1 1 closed +{OUTSIDE}/32:udp:7001-7001")
    assert dyno.ask("udp", OUTSIDE, 7001) == "ECONNREFUSED"
    assert dyno.ask("udp", OUTSIDE, 7002) == "timeout"


@pytest.mark.two_kernels
def test_errors_of_a_dyno_are_not_for_the_budget_of_all(net):
    """What it has sent to it after it closed: its kernel has a burst of 50, which others may need."""
    dyno = net.driver.create(0)
    answer = ("import socket\ns = socket.socket(2, 2); s.bind(('0.0.0.0', 7001)); print('ready', flush=True)\n"
              "input(); _, peer = s.recvfrom(9); print('heard', flush=True)\n"
              "input(); print(sum(s.sendto(b'x', peer) for _ in range(200)), flush=True)")

    def errors():
        names, values = (line.split() for line in dyno.run("grep ^Icmp: /proc/net/snmp").splitlines())
        return int(dict(zip(names, values))["OutDestUnreachs"])
    for bounded in (False, True):  # the second one is the control
        if bounded:
            dyno.run("sysctl -qw net.ipv4.icmp_ratemask=6168")
        with speaker(net.outside, answer) as peer:
            dyno.run(f"{sys.executable} -c \"import socket; socket.socket(2, 2).sendto(b'x', ('{OUTSIDE}', 7001))\"")
            before = errors()
            assert peer("hear") == "heard"
            assert peer("answer") == "200"
            assert (errors() - before > 50) != bounded


def test_few_closed_connections_are_remembered(net):
    """Nobody is charged for them, and the kernel's own bound is up to 262,144."""
    dyno = net.driver.create(0)
    close_many = (f"{sys.executable} -c 'import socket\n"
                  "for port in (7001, 7002, 7003):\n"
                  "    s = socket.create_server((\"127.0.0.1\", port))\n"
                  "    for _ in range(6000):\n"
                  "        a = socket.create_connection(s.getsockname()); b = s.accept()[0]; a.close(); b.close()'")

    def remembered():
        words = dyno.run("cat /proc/net/sockstat").split()
        return int(words[words.index("tw") + 1])
    dyno.run(close_many)
    assert remembered() == 16384
    dyno.run("sysctl -qw net.ipv4.tcp_max_tw_buckets=262144")
    dyno.run(close_many)
    assert remembered() > 17000  # the control


@pytest.mark.two_kernels
@pytest.mark.parametrize("change", [
    "unpublished", pytest.param("another", marks=pytest.mark.twice), "not trusted", "nobody"])
def test_a_dyno_sends_nothing_more_to_whom_may_not_come_any_more(peers, change):
    peers.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    dyno = dyno_of(peers, 0, 1, web=WEB)
    push = (f"import socket\nl = socket.create_server(('', {WEB})); print('ready', flush=True)\n"
            "input(); c, _ = l.accept(); print('open', flush=True)\n"
            "while True: c.sendall(input().encode()); print('sent', flush=True)")
    call = (f"import socket\ns = socket.create_connection(('{HOST}', {PUBLISHED}))\n"
            "print('ready', flush=True); input()")
    seen = counter(peers, f"tcp sport {PUBLISHED}")
    with speaker(dyno, push) as server, speaker(peers.outside, call):
        assert server("accept") == "open"
        before = seen()
        assert server("one") == "sent" and seen() > before
        peers.driver.ok({"unpublished": "policy 1 2", "another": f"policy 1 2 publish={PUBLISHED + 1}", "nobody": f"policy 1 2 nobody publish={PUBLISHED}",
                         "not trusted": f"policy 1 2 publish={PUBLISHED} trust={TRUSTED}/32"}[change])
        before = seen()
        assert server("two") == "sent"
        assert seen() == before
        peers.driver.ok("reload")
        assert server("three") == "sent"
        assert seen() == before


def test_the_host_answers_no_dyno_whose_service_is_gone(net):
    net.driver.ok(f"policy 1 1 service=udp:{PG}")
    dyno = dyno_of(net, 0, 1)
    arrived = arrivals(dyno, f"udp sport {PG}")
    server = PEER.replace("0.0.0.0", SERVICE).replace("7001", str(PG))
    with speaker(net.host, server) as peer, speaker(dyno, (HELLO % SERVICE).replace("7001", str(PG))):
        assert peer("hear") == "heard"
        assert peer("one") == "sent" and arrived() == 1
        net.driver.ok(f"policy 1 2 service=tcp:{PG}")
        with contextlib.suppress(BrokenPipeError):  # it may be told
            peer("two")
        assert arrived() == 1


def test_nothing_of_a_closed_app_comes_to_a_public_port(lab):
    """Not even what nobody answers."""
    driver = lab.start(public=[f"udp:{PORT}"])
    driver.ok("policy 1 1 closed")
    lab.host.run("nft 'add table inet seen; add chain inet seen c { type filter hook input priority 100; }; "
                 f"add rule inet seen c udp dport {PORT} counter'")
    for slot, app, comes in ((0, 1, False), (1, 2, True)):
        dyno = driver.create(slot)
        driver.ok(f"begin {slot} {app}")
        dyno.ask("udp", HOST, PORT)
        assert ("packets 0 " not in lab.host.run("nft list chain inet seen c")) == comes


def test_nothing_of_a_neighbour_of_the_host_comes_to_a_dyno(net):
    """Not even what it cannot answer."""
    dyno = net.driver.create(0)
    dyno.run("nft 'add table ip seen; add chain ip seen c { type filter hook prerouting priority 0; }; "
             f"add rule ip seen c udp dport {PORT} counter'")
    net.outside.run(f"ip route add {address(0)[1]} via {HOST}")
    net.outside.ask("udp", address(0)[1], PORT)
    assert "packets 0 " in dyno.run("nft list chain ip seen c")
    # The control.
    net.nft_off()
    net.tc_off(0)
    net.outside.ask("udp", address(0)[1], PORT)
    assert "packets 1 " in dyno.run("nft list chain ip seen c")


def test_public_ports_answer_no_dyno_that_may_not_reach_them(lab):
    lab.start(public=("udp:443",))
    dyno = dyno_of(lab, 0, 1)
    arrived = arrivals(dyno, "udp sport 443")
    server = PEER.replace("0.0.0.0", HOST).replace("7001", "443")
    with speaker(lab.host, server) as peer, speaker(dyno, (HELLO % HOST).replace("7001", "443")):
        assert peer("hear") == "heard"
        assert peer("one") == "sent" and arrived() == 1
        lab.driver.ok("policy 1 1 closed")
        with contextlib.suppress(BrokenPipeError):
            peer("two")
        assert arrived() == 1


@pytest.mark.parametrize("layers", ["nft", "tc"])
def test_who_is_no_web_dyno_any_more_says_nothing_to_the_host(net, layers):
    """Not even in what is open."""
    dyno = dyno_of(net, 0, 1, web=WEB)
    net.host.run("nft 'add table ip seen; add chain ip seen c { type filter hook input priority 300; }; "
                 "add rule ip seen c iifname t1-0 counter'")

    def arrived():
        return int(net.host.run("nft list chain ip seen c").split("packets ")[1].split()[0])
    push = (f"import socket\nl = socket.create_server(('', {WEB})); print('ready', flush=True)\n"
            "input(); c, _ = l.accept(); print('open', flush=True)\n"
            "while True: c.sendall(input().encode()); print('sent', flush=True)")
    call = (f"import socket\ns = socket.create_connection(('{address(0)[1]}', {WEB}))\n"
            "print('ready', flush=True); input()")
    with speaker(dyno, push) as server, speaker(net.host, call):
        assert server("accept") == "open"
        before = arrived()
        assert server("one") == "sent" and arrived() > before
        net.driver.ok("forbid 0")
        if layers == "tc":
            net.nft_off()
            net.rule_off()
        else:
            net.tc_off(0)
        before = arrived()
        assert server("two") == "sent"
        assert arrived() == before


def incoming(dyno):
    """Counts what comes out of a dyno's link, whatever becomes of it. Returns a function that reads it."""
    return arrivals(dyno, "iifname eth0", "incoming")


HOST_SAYS = f"""
import socket, struct
def sum16(b):
    t = sum(struct.unpack("!%dH" % (len(b) // 2), b)); t = (t >> 16) + (t & 65535)
    return ~(t + (t >> 16)) & 65535
def icmp(kind, code, rest):
    m = struct.pack("!BBHL", kind, code, 0, 7) + rest
    return m[:2] + struct.pack("!H", sum16(m)) + m[4:]
about = bytes.fromhex("450000200000000040110000") + socket.inet_aton("{address(0)[1]}") + \
    socket.inet_aton("{OUTSIDE}") + struct.pack("!HHHH", 4711, 4712, 12, 0)
errors = [(kind, code, about) for kind, code in ((3, 1), (3, 3), (3, 4), (5, 1), (11, 0), (12, 0))]
for message in [(8, 0, b""), *errors]:
    try: socket.socket(2, 3, 1).sendto(icmp(*message), ("{address(0)[1]}", 0))
    except OSError: pass
s = socket.socket(2, 2)
s.bind(("{SERVICE}", {PG}))
try: s.sendto(b"x", ("{address(0)[1]}", 9))
except OSError: pass
for port in (5001, 22):
    try: socket.create_connection(("{address(0)[1]}", port), 0.2)
    except OSError: pass
"""


def test_the_host_says_nothing_to_a_dyno_that_it_was_not_asked(net):
    """No ping, no error about what was not sent, nothing from a service's port, to no port but the web's."""
    net.driver.ok(f"policy 1 1 service=udp:{PG}")
    dyno = dyno_of(net, 0, 1, web=WEB)
    came = incoming(dyno)
    net.host.run(f"{sys.executable} -c '{HOST_SAYS}'")
    assert came() == 0
    net.nft_off()
    net.tc_off(0)
    net.host.run(f"{sys.executable} -c '{HOST_SAYS}'")
    assert came() > 8, "the attempts themselves do not work"


@pytest.mark.parametrize("layers", ["both", "nft"])
def test_a_host_that_is_a_router_leads_no_neighbour_to_a_dyno(lab, layers):
    """Where the host forwarded before, dynod restricts nothing but what goes to dynos."""
    lab.host.run("sysctl -qw net.ipv4.ip_forward=1")
    lab.start()
    lab.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    dyno = dyno_of(lab, 0, 1, web=WEB)
    lab.outside.run(f"ip route add {address(0)[1]} via {HOST}")
    if layers == "nft":
        lab.tc_off(0)
    came = incoming(dyno)
    for port in (WEB, PUBLISHED, PORT):
        assert not lab.outside.ask("tcp", address(0)[1], port).startswith("ok")
        lab.outside.ask("udp", address(0)[1], port)
    assert came() == 0
    lab.nft_off()
    if layers == "both":
        lab.tc_off(0)
    lab.outside.ask("udp", address(0)[1], PORT)
    assert came() > 0, "the attempt itself does not work"


def test_what_another_table_leaves_untracked_does_not_leave(net):
    """It would show the dyno's own address."""
    dyno = dyno_of(net, 0, 1)
    net.host.run("nft 'add table ip theirs; add chain ip theirs c { type filter hook prerouting priority -290; }; "
                 "add rule ip theirs c udp dport 7001 notrack'")
    seen = counter(net, f"udp dport 7001 ip saddr {address(0)[1]}")
    dyno.ask("udp", OUTSIDE, 7001)
    assert seen() == 0
    net.host.run("nft 'flush chain inet t1 from_dyno'")
    dyno.ask("udp", OUTSIDE, 7001)
    assert seen() == 1, "the attempt itself does not work"


def test_the_filter_lets_nothing_in_that_is_for_another_address(net):
    """Whatever leads there on the host: marked as what may, and by its routes."""
    dyno = net.driver.create(0)
    mark = int(net.host.run("ip rule show priority 10").split("fwmark ")[1].split()[0].split("/")[0], 16) | 1
    net.host.run("ip route add 198.51.100.99/32 dev t1-0; ip neigh add 198.51.100.99 dev t1-0 lladdr "
                 f"$(ip neigh show {address(0)[1]} dev t1-0 | sed 's/.*lladdr \\([^ ]*\\).*/\\1/')")
    net.nft_off()
    net.host.run("nft 'add table ip theirs; add chain ip theirs c { type filter hook postrouting priority 400; }; "
                 f"add rule ip theirs c oifname t1-0 meta mark set {mark}'")
    came = incoming(dyno)
    net.host.ask("udp", "198.51.100.99", PORT)
    assert came() == 0
    net.host.ask("udp", address(0)[1], PORT)
    assert came() == 1, "what is for the dyno passes"


SETTINGS = {"rp_filter": 1, "accept_redirects": 0, "send_redirects": 0, "accept_source_route": 0,
            "route_localnet": 0, "forwarding": 1}


def test_a_link_has_its_own_settings_whatever_the_hosts_are(net):
    for name, value in SETTINGS.items():
        net.host.run(f"sysctl -qw net.ipv4.conf.default.{name}={1 - value}")
    net.driver.create(0)
    for name, value in SETTINGS.items():
        assert net.host.run(f"cat /proc/sys/net/ipv4/conf/t1-0/{name}").strip() == str(value), name
    # IPv6 is off, and who turns it on gets no address with it.
    assert net.host.run("cat /proc/sys/net/ipv6/conf/t1-0/disable_ipv6").strip() == "1"
    net.host.run("sysctl -qw net.ipv6.conf.t1-0.disable_ipv6=0")
    assert net.host.run("ip -6 addr show dev t1-0") == ""


ECHO_TO_PORT_53 = """
import socket, struct
body = struct.pack("!HH", 7, 0)
total = 0x0800 + 7 + 53
rest = ~((total & 0xffff) + (total >> 16)) & 0xffff
packet = struct.pack("!BBHHHH", 8, 0, 53, 7, 0, rest)  # its checksum is where a port would be
socket.socket(2, 3, 1).sendto(packet, ("169.254.169.254", 0))
"""


@pytest.mark.parametrize("layers", ["both", "nft", "tc"])
def test_no_echo_request_passes_for_a_question_to_a_resolver(lab, layers):
    """At a metadata address only port 53 is open, and not what has 53 in its place."""
    lab.driver = Driver(lab.host, resolver="169.254.169.254")
    lab.driver.ok("start")
    dyno = lab.driver.create(0)
    if layers == "tc":
        lab.nft_off()
        lab.rule_off()
    if layers == "nft":
        lab.tc_off(0)
    seen = counter(lab, "ip daddr 169.254.169.254 icmp type echo-request")
    dyno.run(f"{sys.executable} -c '{ECHO_TO_PORT_53}'")
    assert seen() == 0
    lab.host.run("nft flush ruleset; tc qdisc del dev t1-0 clsact; ip rule del priority 10", check=False)
    dyno.run(f"{sys.executable} -c '{ECHO_TO_PORT_53}'")
    assert seen() == 1, "the attempt itself does not work"


# ---- a published port ----

@pytest.mark.two_kernels
@pytest.mark.parametrize("policy", [
    pytest.param("", marks=pytest.mark.twice), f"trust={TRUSTED}/32", "nobody"])
def test_a_published_port_never_leads_to_who_listens_there_on_the_host(peers, policy):
    """While no web dyno listens, and for whom no dyno is."""
    peers.driver.ok(f"policy 1 1 publish={PUBLISHED} {policy}")
    dyno = dyno_of(peers, 0, 1, web=WEB)
    ways = ([("tcp", target, PUBLISHED, source) for target in (HOST, HOST_LAN) for source in (TRUSTED, STRANGER)]
            + [("tcp6", "fd77::2", PUBLISHED)])
    for listens in (1, 0):
        peers.driver.ok(f"listens 0 {listens}")
        # Not at once: who listens at all addresses of IPv6 has those of IPv4, too.
        for served in (("tcp", "0.0.0.0", PUBLISHED), ("tcp6", "::", PUBLISHED)):
            asked = [way for way in ways if way[0] == served[0]]
            with peers.host.serve(*served):
                answers = peers.outside.ask_all(asked)
            assert not [answer for answer in answers if answer.startswith("ok")], (asked, answers, listens)
    assert dyno
    with peers.host.serve("tcp", "0.0.0.0", PUBLISHED):
        assert peers.host.ask("tcp", HOST, PUBLISHED).startswith("ok"), "this is the host's own"
        peers.driver.ok("reload")
        assert not peers.outside.ask(*ways[0]).startswith("ok"), "after a reload"
        peers.driver.ok("policy 1 2")
        assert peers.outside.ask(*ways[0]).startswith("ok"), "the attempt itself does not work"


def test_the_host_may_call_from_a_port_that_is_published(net):
    net.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    call = (f"import socket; s = socket.create_connection(('{OUTSIDE}', {PORT}), 1, ('{HOST}', {PUBLISHED})); "
            "s.sendall(b'x'); print(s.recv(64).decode())")
    with net.outside.serve("tcp", OUTSIDE, PORT):
        assert net.host.run(f'{sys.executable} -c "{call}"').strip() == HOST


def test_a_published_port_takes_nothing_that_is_for_others(net):
    """What the host only forwards, what it asks others for, what it asks itself on its loopback,
    and what somebody else leads to a program of the host's."""
    net.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    web, other = dyno_of(net, 0, 1, web=WEB), dyno_of(net, 1, 2)
    third = Namespace()
    net.host.run(f"ip link add third0 type veth peer name third0 netns {third.keeper.pid}; "
                 "ip addr add 10.79.0.2/24 dev third0; ip link set third0 up; sysctl -qw net.ipv4.ip_forward=1")
    third.run("ip addr add 10.79.0.1/24 dev third0; ip link set third0 up; ip route add default via 10.79.0.2")
    net.outside.run(f"ip route add 10.79.0.0/24 via {HOST}")
    net.driver.ok("refresh")
    answering(web, "dyno", WEB)
    for space, word in ((net.outside, "outside"), (third, "third"), (net.host, "host")):
        answering(space, word, PUBLISHED)
    assert names(net.outside, HOST, PUBLISHED, 1) == names(net.host, HOST, PUBLISHED, 1) == ["dyno"]
    assert names(net.outside, "10.79.0.1", PUBLISHED, 1) == ["third"]
    assert names(net.host, OUTSIDE, PUBLISHED, 1) == ["outside"]
    assert names(other, OUTSIDE, PUBLISHED, 1) == ["outside"]
    assert names(net.host, "127.0.0.1", PUBLISHED, 1) == ["host"]
    net.host.run("nft 'add table ip theirs; add chain ip theirs c { type nat hook prerouting priority -110; }; "
                 f"add rule ip theirs c iifname {UPLINK} tcp dport 9090 redirect to :{PUBLISHED}'")
    assert names(net.outside, HOST, 9090, 1) == ["host"]


def test_a_public_port_that_is_published_too_leads_dynos_to_the_host(lab):
    lab.start(public=(f"tcp:{PUBLISHED}",))
    lab.driver.ok(f"policy 1 1 publish={PUBLISHED}")
    web, other = dyno_of(lab, 0, 1, web=WEB), dyno_of(lab, 1, 2)
    answering(web, "dyno", WEB)
    answering(lab.host, "host", PUBLISHED)
    assert names(lab.outside, HOST, PUBLISHED, 1) == ["dyno"]
    assert names(other, HOST, PUBLISHED, 1) == ["host"]


# ---- the address that is shared with the host and with all other dynos ----

SEEN_PORT = f"""
import select, socket
tcp, udp = socket.create_server(("{OUTSIDE}", {PORT})), socket.socket(2, 2)
udp.bind(("{OUTSIDE}", {PORT}))
print("ready", flush=True)
while True:
    for s in select.select([tcp, udp], [], [])[0]:
        if s is udp:
            peer = udp.recvfrom(9)[1]
            udp.sendto(str(peer[1]).encode(), peer)
        else:
            c, peer = tcp.accept()
            c.sendall(str(peer[1]).encode())
            c.close()
"""
SEEN_WITH = f"""
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for port in (1023, 8080, 40000, 51820, 65535):
        s = socket.socket(2, kind)
        s.settimeout(1)
        s.bind(("", port))
        s.connect(("{OUTSIDE}", {PORT}))
        s.send(b"x")
        print(port, s.recv(9).decode())
"""


@pytest.mark.parametrize("fixed", ["", "10.77.0.50"])
def test_no_dyno_chooses_the_port_that_it_is_seen_with(net, fixed):
    """Whatever port it calls from, it is answered, and seen with one that it could not know."""
    if fixed:
        net.host.run(f"ip addr add {fixed}/24 dev {UPLINK}")
        net.driver.ok(f"policy 1 1 source={fixed}")
    dyno = dyno_of(net, 0, 1)
    with speaker(net.outside, SEEN_PORT):
        seen = [tuple(map(int, line.split())) for line in
                dyno.run(f"{sys.executable} -c '{SEEN_WITH}'").splitlines()]
    assert len(seen) == 10 and min(port for _, port in seen) >= 32768, seen
    assert sum(port == asked for asked, port in seen) <= 1, seen  # one in 32768 may be so by chance

TAKE = """
import socket
s = socket.socket(2, {kind}); s.setblocking(False); s.bind(("", {port})); s.settimeout(1)
print("ready", flush=True); input()
try: s.connect(("{far}", {far_port})); s.send(b"mine")
except OSError: pass
print("sent", flush=True); input()
try: print(s.recv(99), flush=True)
except OSError: print("nothing", flush=True)
"""
CALL = ("import socket\ns = socket.socket(2, {kind}); s.settimeout(1); s.bind(('{far}', {far_port}))\n"
        "try: s.connect(('{host}', {port})); s.send(b'secret'); print(s.recv(64).decode())\n"
        "except OSError as e: print(e)")
def only_new_ones_out(net):
    """The client has a firewall, so that what it has not asked for is not refused either."""
    net.outside.run("nft 'add table ip fw; add chain ip fw i { type filter hook input priority 0; }; "
                    f"add rule ip fw i iifname {UPLINK} ct state new drop'")


@pytest.mark.two_kernels
@pytest.mark.parametrize("fixed", ["", "10.77.0.50"])
@pytest.mark.parametrize("kind, port, far_port", [
    (1, 8080, 20000), pytest.param(1, 22222, 40000, marks=pytest.mark.twice), (2, 4500, 4500)])
def test_no_dyno_takes_the_place_of_who_listens_on_the_host(net, kind, port, far_port, fixed):
    """From that port the dyno speaks to who will call it: it must be seen with another one."""
    if fixed:
        net.host.run(f"ip addr add {fixed}/24 dev {UPLINK}")
    net.driver.ok(f"policy 1 1 source={fixed}" if fixed else "policy 2 1 publish=8080")
    dyno, web = dyno_of(net, 0, 1), dyno_of(net, 1, 2, web=WEB)
    only_new_ones_out(net)
    take = TAKE.format(kind=kind, port=port, far=OUTSIDE, far_port=far_port)
    call = CALL.format(kind=kind, port=port, far=OUTSIDE, far_port=far_port, host=fixed or HOST)
    served = ("tcp" if kind == 1 else "udp", fixed or HOST, port)
    with web.serve("tcp", "0.0.0.0", WEB), net.host.serve(*served), speaker(dyno, take) as taker:
        assert taker("go") == "sent"
        assert net.outside.run(f'{sys.executable} -c "{call}"').strip() == OUTSIDE
        assert taker("heard?") in ("nothing", "b\'\'"), "the dyno has it"


def test_no_dyno_is_seen_with_a_low_port_that_another_table_left_it(net):
    """Another masquerade that comes first keeps the port."""
    net.host.run("nft 'add table ip theirs; add chain ip theirs c { type nat hook postrouting priority 90; }; "
                 f"add rule ip theirs c oifname {UPLINK} masquerade'")
    dyno = dyno_of(net, 0, 1)
    seen = counter(net, f"udp dport {PORT}")
    send = f"{sys.executable} -c \"import socket; s = socket.socket(2, 2); s.bind(('', %d)); s.sendto(b'x', ('{OUTSIDE}', {PORT}))\""
    dyno.run(send % 8080)
    assert seen() == 0
    dyno.run(send % 40000)
    assert seen() == 1


def test_no_dyno_is_seen_with_a_published_port(net):
    dyno, far = dyno_of(net, 0, 1), ("tcp", OUTSIDE, PORT)
    with net.outside.serve("tcp", "0.0.0.0", PORT):
        # All that there are, as if they were published.
        net.host.run('echo "add element inet t1 published_ports { $(seq -s, 32768 65535) }" | nft -f -')
        assert dyno.ask(*far) == "timeout"
        net.driver.ok("reload")
        assert dyno.ask(*far) == f"ok {HOST}"


# ---- the fixed source ----

FIXED = "10.77.0.50"


@pytest.mark.two_kernels
def test_a_new_fixed_source_holds_for_what_is_open(net):
    net.host.run(f"ip addr add {FIXED}/24 dev {UPLINK}")
    dyno = dyno_of(net, 0, 1, web=WEB)
    old, new = (arrivals(net.outside, f"udp dport 7001 ip saddr {source}", name)
                for source, name in ((HOST, "old"), (FIXED, "new")))
    with net.outside.serve("udp", OUTSIDE, 7001), speaker(dyno, HELLO % OUTSIDE) as talker:
        assert talker("one") == "sent" and (old(), new()) == (2, 0)
        net.driver.ok(f"policy 1 1 source={FIXED} publish={PUBLISHED}")
        assert talker("two") == "sent" and (old(), new()) == (2, 1)
        # What is open the other way stays so, whoever it is seen with.
        talk = Talk(dyno, net.outside, HOST, PUBLISHED, listen=WEB)
        assert talk.say("one") == "one"
        net.driver.ok(f"policy 1 2 publish={PUBLISHED}")
        assert talker("three") == "sent" and (old(), new()) == (3, 1)
        assert talk.say("two") == "two"
        # Entries that are there with the wrong one, as after a restart, are no way out.
        net.driver.ok("restore 1 3 source=" + FIXED)
        net.driver.ok("reload")
        assert talker("four") == "sent" and old() == 3


@pytest.mark.two_kernels
def test_nothing_leaves_with_the_address_that_another_table_gave_it(net):
    net.host.run(f"ip addr add {FIXED}/24 dev {UPLINK}")
    net.driver.ok(f"policy 1 1 source={FIXED}")
    dyno, other = dyno_of(net, 0, 1), dyno_of(net, 1, 2)
    seen = counter(net, f"ip saddr {HOST} udp dport {PORT}")
    net.host.run("nft 'add table ip theirs; add chain ip theirs c { type nat hook postrouting priority 90; }; "
                 f"add rule ip theirs c oifname {UPLINK} masquerade'")
    with net.outside.serve("udp", "0.0.0.0", PORT):
        assert dyno.ask("udp", OUTSIDE, PORT) == "timeout"
        assert seen() == 0
        assert other.ask("udp", OUTSIDE, PORT) == f"ok {HOST}"
        net.host.run("nft delete table ip theirs; conntrack -F 2>/dev/null || true")
        assert dyno.ask("udp", OUTSIDE, PORT) == f"ok {FIXED}"


# ---- the host ----

@pytest.mark.two_kernels
def test_the_host_routes_nothing_for_its_neighbours_that_belongs_to_no_connection(net):
    """A stray answer is "invalid" to the tracking, and has no state that a rule could ask for."""
    net.host.run("nft 'add table ip count; add chain ip count c { type filter hook forward priority 100; }; "
                 f"add rule ip count c iifname {UPLINK} oifname lan0 counter'")
    net.outside.run(f"ip route add 10.78.0.77/32 via {HOST}")
    send = (f"{sys.executable} -c \"import socket, struct\n"
            "def sum16(b):\n t = sum(struct.unpack('!%dH' % (len(b) // 2), b)); t = (t >> 16) + (t & 65535)\n"
            " return ~(t + (t >> 16)) & 65535\n"
            "echo = struct.pack('!BBHHH', 0, 0, 0, 7, 7)\n"
            "echo = echo[:2] + struct.pack('!H', sum16(echo)) + echo[4:]\n"
            "socket.socket(2, 3, 1).sendto(echo, ('10.78.0.77', 0))\n"
            "tcp = struct.pack('!HHLLBBHHH', 7000, 7000, 1, 0, 5 << 4, {0}, 9, 0, 0)\n"
            f"pseudo = socket.inet_aton('{OUTSIDE}') + socket.inet_aton('10.78.0.77') + "
            "struct.pack('!BBH', 0, 6, len(tcp))\n"
            "tcp = tcp[:16] + struct.pack('!H', sum16(pseudo + tcp)) + tcp[18:]\n"
            "socket.socket(2, 3, 6).sendto(tcp, ('10.78.0.77', 0))\"")

    def routed():
        return int(net.host.run("nft list chain ip count c").split("packets ")[1].split()[0])
    for flags in (4, 0x10, 0x11, 0, 2):  # RST, ACK, FIN and ACK, none, SYN
        net.outside.run(send.format(flags))
        assert routed() == 0, flags
    net.nft_off()
    net.outside.run(send.format(4))
    assert routed() == 2, "the attempt itself does not work"


NEIGHBOURS = """
import socket, struct
by_link = (0, 8, struct.pack("iII", socket.if_nametoindex("eth0"), 0, 0))  # IP_PKTINFO
s = socket.socket(2, 2)
for n in range(1, 20):
    s.sendmsg([b"x"], [by_link], 4, ("10.9.8.%d" % n, 9))  # MSG_DONTROUTE
"""


@pytest.mark.two_kernels
def test_a_dyno_takes_none_of_the_hosts_table_of_neighbours(net):
    """It is one for all namespaces, and full when a thousand do not answer: then the host does
    not find its gateway any more."""
    dyno = dyno_of(net, 0, 1)
    subprocess.run(["nsenter", f"--net={dyno.path}", "setpriv", "--reuid", "65534", "--clear-groups",
                    "--bounding-set=-all", sys.executable, "-c", NEIGHBOURS], check=True)
    assert dyno.run("ip neigh show nud incomplete; ip neigh show nud failed") == ""
    # The control: the same on a link that asks for its neighbours.
    dyno.run("ip link set eth0 arp on")
    subprocess.run(["nsenter", f"--net={dyno.path}", sys.executable, "-c", NEIGHBOURS], check=True)
    assert dyno.run("ip neigh show nud incomplete").count("INCOMPLETE") == 19, "the attempt itself does not work"


STRANGERS = """
import socket
s = socket.socket(2, 2)
for n in range(10, 110):
    s.sendto(b"x", ("10.78.0.%d" % n, 9))
"""


@pytest.mark.two_kernels
def test_a_dyno_has_the_host_ask_for_few_neighbours_that_are_not_there(net):
    """Each has a place in that table, and what is sent to it waits in the host's memory."""
    dyno = dyno_of(net, 0, 1)
    net.host.ask("udp", OUTSIDE, 9)  # so that the host knows its gateway
    far = counter(net, "udp dport 9 ip daddr 203.0.113.0/24")
    many = [sys.executable, "-c", STRANGERS]
    subprocess.run(["nsenter", f"--net={dyno.path}", *many], check=True)
    asked = net.host.run("ip neigh show dev lan0").count("10.78.0.")
    assert 0 < asked <= 20
    # It is for neighbours that are not known: behind the gateway everything is reached.
    subprocess.run(["nsenter", f"--net={dyno.path}", sys.executable, "-c",
                    STRANGERS.replace("10.78.0", "203.0.113")], check=True)
    assert far() == 100
    # And for dynos alone.
    subprocess.run(["nsenter", f"--net={net.host.path}", *many], check=True)
    assert net.host.run("ip neigh show dev lan0").count("10.78.0.") >= 100, "the attempt itself does not work"


FRAGMENTS = """
import socket, struct
s = socket.socket(2, 3, 255)
for ident in range(200):
    place = (0x2000, 0x2096, 0x96)[ident %% 3]  # the first, one behind it, the last
    s.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, ident, place, 64, 17, 0,
                         socket.inet_aton("%s"), socket.inet_aton("%s")) + bytes(1200), ("%s", 0))
"""


@pytest.mark.two_kernels
@pytest.mark.parametrize("layers", ["both", "nft", "tc", "none"])
def test_a_dyno_takes_none_of_the_memory_for_fragments(net, layers):
    """Fragments, whose rest never comes: the host keeps each for half a minute."""
    dyno = dyno_of(net, 0, 1)
    # Somebody else tracks connections too, with or without our table.
    net.host.run("nft 'add table ip theirs; add chain ip theirs c { type filter hook prerouting priority 0; }; "
                 "add rule ip theirs c ct state new counter'")
    if layers in ("tc", "none"):
        net.nft_off()
    if layers in ("nft", "none"):
        net.tc_off(0)
    if layers == "none":
        net.rule_off()
    program = FRAGMENTS % (address(0)[1], OUTSIDE, OUTSIDE)
    subprocess.run(["nsenter", f"--net={dyno.path}", sys.executable, "-c", program], check=True)
    line = next(line for line in net.host.run("cat /proc/net/sockstat").splitlines() if line.startswith("FRAG"))
    if layers == "none":
        assert line != "FRAG: inuse 0 memory 0", "the attempt itself does not work"
    else:
        assert line == "FRAG: inuse 0 memory 0"
