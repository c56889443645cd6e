# SPDX-License-Identifier: Apache-2.0
"""A dyno whose kernel is the attacker's: any frame at all on its link.

Every frame is sent with both layers, with each alone and with neither. Counters of the
kernel say how far it came: "in" is behind the tc program, "routed" behind the table.
"""

import json
import subprocess
import sys

import pytest

import inject
from lab import HOST, HOST_LAN, OUTSIDE, SOURCE, UPLINK, address

BRIDGE = "10.88.0.1"
WEB_PORT = 5000
HERE = SOURCE / "tests/integration/network"

# Behind everything that the table has on these hooks.
COUNTERS = """
table netdev observed {
    counter in { }
    chain ingress { type filter hook ingress device "t1-0" priority 100; counter name in; }
}
table inet observed {
    counter first { }
    counter seen { }
    counter routed { }
    chain untracked { type filter hook prerouting priority -250; iifname "t1-0" counter name first; }
    chain prerouting { type filter hook prerouting priority -120; iifname "t1-0" counter name seen; }
    chain input { type filter hook input priority 100; iifname "t1-0" counter name routed; }
    chain forward { type filter hook forward priority 100; iifname "t1-0" counter name routed; }
}
"""


class Attack:
    """Frames out of slot 0, and who sees what of them."""

    def __init__(self, net, layers, **options):
        self.net, self.layers = net, layers
        driver = net.driver
        self.dyno, self.victim = driver.create(0), driver.create(1)
        driver.ok(f"web 0 {WEB_PORT}")
        driver.ok(f"web 1 {WEB_PORT}")
        net.host.run(f"ip link add docker0 type veth peer name d0 && ip addr add {BRIDGE}/24 dev docker0"
                     " && ip link set docker0 up && ip link set d0 up")
        net.host.run(f"nft -f - <<'E'\n{COUNTERS}\nE")
        if layers in ("tc", "none"):
            net.nft_off()
        if layers in ("nft", "none"):
            net.tc_off(0)
            net.tc_off(1)
        if layers == "none":
            net.rule_off()
        links = json.loads(self.dyno.run("ip -j link show dev eth0"))[0], \
            json.loads(net.host.run("ip -j link show dev t1-0"))[0]
        self.config = {
            "mac": links[0]["address"], "gateway_mac": links[1]["address"],
            "dyno": address(0)[1], "gateway": address(0)[0], "victim": address(1)[1],
            "victim_gateway": address(1)[0], "host": HOST, "host_lan": HOST_LAN, "outside": OUTSIDE,
            "bridge": BRIDGE, "web_port": WEB_PORT, **options,
        }
        self.children = []
        self.injector = self._python(self.dyno, "inject.py", json.dumps(self.config))

    def _python(self, space, program, *arguments):
        child = space.popen([sys.executable, str(HERE / program), *arguments], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout.readline() == "ready\n"
        self.children.append(child)
        return child

    def send(self, name):
        """True if the kernel of the dyno itself let it out."""
        self.injector.stdin.write(name + "\n")
        self.injector.stdin.flush()
        answer = self.injector.stdout.readline()
        assert name in answer, answer
        return answer.startswith("sent")

    def counters(self):
        found = {}
        for entry in json.loads(self.net.host.run("nft -j list counters; nft reset counters >&2"))["nftables"]:
            if "counter" in entry and entry["counter"]["table"] == "observed":
                found[entry["counter"]["name"]] = entry["counter"]["packets"]
        return found

    def sniff(self):
        """Begins to watch who gets anything of it."""
        self.sniffers = {"attacker": self._python(self.dyno, "sniff.py", "eth0"),
                         "victim": self._python(self.victim, "sniff.py", "eth0"),
                         "outside": self._python(self.net.outside, "sniff.py", UPLINK, "lan0")}

    def heard(self):
        return {who: [bytes.fromhex(line) for line in sniffer.communicate(timeout=20)[0].split()]
                for who, sniffer in self.sniffers.items()}

    def undo(self):
        """For another attack on the same host."""
        self.net.host.run("nft delete table netdev observed; nft delete table inet observed; "
                          "ip link del docker0")
        for slot in (0, 1):
            self.net.driver.ok(f"destroy {slot}")

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()


@pytest.fixture
def attack(net):
    attacks = []

    def make(layers, **options):
        attacks.append(Attack(net, layers, **options))
        return attacks[-1]
    yield make
    for it in attacks:
        it.close()


def how_far(attack, names):
    """Names with the counters that moved at each."""
    attack.counters()
    found = {}
    for name in names:
        if attack.send(name):
            found[name] = {counter for counter, n in attack.counters().items() if n > 0}
    assert len(found) > 0.9 * len(names)  # a kernel may refuse to send a few
    return found


def strays(attack, names, counter):
    """Names of those that moved @counter. All at once first, for none is expected to."""
    attack.counters()
    sent = sum(attack.send(name) for name in names)
    assert sent > 0.9 * len(names)
    if attack.counters()[counter] == 0:
        return []
    return [name for name, far in how_far(attack, names).items() if counter in far]


PACKETS = {**inject.REFUSED, **inject.REFUSED_BY_TABLE, **inject.REFUSED_BY_KERNEL}


# What must not come how far, with these layers.
REFUSED = {
    "both": ({**PACKETS, **inject.REFUSED_BY_TC}, "routed"),
    "nft": (PACKETS, "routed"),
    "tc": ({**inject.REFUSED, **inject.REFUSED_BY_TC}, "in"),
}


@pytest.mark.parametrize("layers", ["both", pytest.param("nft", marks=pytest.mark.two_kernels),
                                    pytest.param("tc", marks=pytest.mark.two_kernels), "none"])
def test_no_frame_of_a_kernel_of_its_own_gets_in(attack, layers):
    it = attack(layers)
    if layers == "none":
        assert_frames_arrive(it)
        return
    assert strays(it, *REFUSED[layers]) == []
    if layers == "both":
        assert {name: far for name, far in how_far(it, inject.PASSED).items() if "routed" not in far} == {}


def assert_frames_arrive(it):
    seen = how_far(it, {**inject.REFUSED, **inject.REFUSED_BY_TC, **inject.REFUSED_BY_TABLE})
    assert {name: far for name, far in seen.items() if "in" not in far} == {}
    # What is plain IPv4 gets to where the host routes or answers it.
    routed = {name for name, far in seen.items() if "routed" in far}
    for name in ("udp to victim", "syn to host", "echo to gateway", "gre to a dyno", "web port, syn",
                 "udp to 224.0.0.1", "web port to host, ack", "web port to host, rst", "udp to 10.77.0.255",
                 "icmp redirect to the host"):
        assert name in routed, name
    assert len(routed) > 100


def test_what_claims_to_be_from_others_is_never_tracked(attack, net):
    """Nor is IPv6, whoever turned that on for the link: both go before they are looked at."""
    it = attack("nft")
    net.host.run("sysctl -qw net.ipv6.conf.t1-0.disable_ipv6=0")
    names = [name for name in inject.REFUSED if name.startswith(("from ", "ipv6 "))]
    assert strays(it, names, "seen") == []
    # The control: they get there.
    net.nft_off()
    assert {name.split()[0] for name in names if it.send(name)} == {"from", "ipv6"}
    assert it.counters()["seen"] > 10


def test_what_goes_to_nobody_is_never_tracked(attack, net):
    """Nor does it get as far as where the kernel itself refuses some of it."""
    it = attack("nft")
    names = [f"udp to {target}" for target in ("0.0.0.0", "127.0.0.1", "127.1.2.3", "169.254.1.1", "224.0.0.1",
                                               "239.255.255.250", "240.0.0.1", "255.255.255.255")]
    broadcast = ["udp to 10.77.0.255", "udp to 172.16.0.31"]
    assert strays(it, names, "first") == []
    assert strays(it, broadcast, "seen") == []
    # The control: they get there.
    net.nft_off()
    far = how_far(it, names + broadcast)
    assert {name for name in names if "first" not in far[name]} == set()
    assert {name for name in broadcast if "seen" not in far[name]} == set()


def test_who_is_no_web_dyno_says_nothing_to_the_host(attack, net):
    it = attack("tc")
    net.driver.ok("forbid 0")
    names = [name for name in PACKETS if name.startswith(("port 0", "web port", "udp of the web port"))]
    assert strays(it, names, "in") == []


def knowledge(space):
    """What a kernel has learned from others, but for how fresh it is."""
    neighbours = [{key: entry[key] for key in ("dst", "dev", "lladdr") if key in entry}
                  for entry in json.loads(space.run("ip -j -4 neigh")) + json.loads(space.run("ip -j -6 neigh show dev t1-0"))]
    # The other links' own IPv6 addresses take a while to settle.
    return neighbours, space.run("ip -4 route show table all; ip -6 route show table all dev t1-0; "
                                 "ip maddr show dev t1-0")


def unexplained(who, frames):
    """Frames that the attack caused: with its tag, or from a dyno's address, or any to a dyno."""
    return [frame for frame in frames
            if who != "outside" or inject.TAG in frame or frame[26:28] == b"\xac\x10"]


@pytest.mark.two_kernels
@pytest.mark.parametrize("layers", ["both", "nft", "tc", "none"])
def test_nobody_hears_or_answers(attack, net, layers):
    it = attack(layers)
    net.host.ask("udp", OUTSIDE, 9)  # so that the host knows its neighbour
    before = knowledge(net.host)
    while net.driver.say("quiet") != "ok 0":
        net.driver.ok("watch")
    it.sniff()
    with net.host.serve("udp", "0.0.0.0", 7000), net.host.serve("tcp", "0.0.0.0", 7000), \
            it.victim.serve("udp", "0.0.0.0", 7000), it.victim.serve("tcp", "0.0.0.0", WEB_PORT):
        for name in PACKETS:
            it.send(name)
        # Whatever was under way has come: a packet of the host's own takes the same queues.
        net.host.ask("udp", OUTSIDE, 9)
    heard = {who: unexplained(who, frames) for who, frames in it.heard().items()}
    if layers == "none":
        assert all(heard.values()), heard
        return
    assert heard == {"attacker": [], "victim": [], "outside": []}
    assert knowledge(net.host) == before
    # And nobody can make dynod busy with it.
    assert net.driver.say("quiet") == "ok 0"


@pytest.mark.parametrize("kind", [1, 3, 4, 5])  # TCPv4, UDP, TCPv6, UDP_L4 of virtio_net
def test_a_packet_that_claims_to_be_many_is_refused(attack, kind):
    it = attack("both", gso=kind)
    names = [name for name in inject.REFUSED if name.startswith(("from ", "udp to ", "syn to ", "web port"))]
    it.counters()
    sent = sum(it.send(name) for name in names)
    assert it.counters()["routed"] == 0
    assert sent > 0 or kind in (4, 5)  # of IPv6, or not in every kernel


def test_marks_of_a_dyno_mean_nothing(attack, net):
    # Those that tie the two layers together, known from the outside.
    rule = net.host.run("ip rule show priority 10")
    mark = int(rules_word(rule, "fwmark").split("/")[0], 16)
    for value in (mark, mark | 1):
        it = attack("both", mark=value)
        assert strays(it, PACKETS, "routed") == []
        assert {name for name, far in how_far(it, inject.PASSED).items() if "routed" in far} == set(inject.PASSED)
        it.undo()


def rules_word(text, before):
    words = text.split()
    return words[words.index(before) + 1]
