# SPDX-License-Identifier: Apache-2.0
"""A link is made and goes in steps: between them nothing passes that the policy denies."""

import contextlib
import subprocess
import sys

from lab import OUTSIDE, address
from test_network_policy import counter, dyno_of

PORT = 7100
ROUNDS = 10

# Sends without a pause, whatever becomes of its link.
FLOOD = f"""
import socket
s = socket.socket(2, 2)
print("ready", flush=True)
while True:
    try:
        s.sendto(b"x" * 64, ("{OUTSIDE}", {PORT}))
    except OSError:
        pass
"""


@contextlib.contextmanager
def flood(space):
    process = space.popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# What nft monitor would say, but that one crashes when a table with a "ct timeout" goes. A line
# for each element of slot 0 that comes (12, NFT_MSG_NEWSETELEM) or goes (14, DELSETELEM), and one
# for each transaction (15, NEWGEN). Messages are linux/netfilter/nfnetlink.h's.
MONITOR = """
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) # NETLINK_NETFILTER
s.setsockopt(1, 33, 1 << 24) # SO_RCVBUFFORCE
s.bind((0, 0))
s.setsockopt(270, 1, 7) # NETLINK_ADD_MEMBERSHIP: NFNLGRP_NFTABLES
print("ready", flush=True)
while True:
    data = s.recv(1 << 20)
    while data:
        size, kind = struct.unpack("=IH", data[:6])
        body, data, names = data[20:size], data[size + 3 & ~3:], {}
        if kind == 10 << 8 | 15:
            print("end", flush=True)
        elif kind in (10 << 8 | 12, 10 << 8 | 14) and b"t1-0\\0" in body:
            while body:
                length, name = struct.unpack("=HH", body[:4])
                names[name], body = body[4:length], body[length + 3 & ~3:]
            print("add" if kind & 15 == 12 else "delete", names[2].rstrip(b"\\0").decode(), flush=True)
"""


class Monitor:
    """What changes of slot 0 in the host's tables: one set of (verb, name of a set) a transaction."""

    def __init__(self, net):
        self.host = net.host
        self.process = net.host.popen([sys.executable, "-c", MONITOR], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def transactions(self):
        """All until now. Ends it."""
        # Its own element is what it waits for.
        self.host.run("nft 'add table ip end; add set ip end s { type ifname; }; "
                      "add element ip end s { \"t1-0\" }'")
        found, changes = [], set()
        for line in self.process.stdout:
            if line == "end\n":
                if ("add", "s") in changes:
                    break
                found.append(changes)
                changes = set()
            else:
                changes.add(tuple(line.split()))
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.host.run("nft delete table ip end")
        return found


def elements(changes, verb):
    """Names of the sets of which an element of slot 0 comes or goes there."""
    return {name for what, name in changes if what == verb}


OF_A_DYNO = {"policies", "services", "sources", "seen", "clients", "rates_from", "rates_to", "counts_from",
             "counts_to"}


def test_a_link_that_was_deleted_is_never_open(net):
    net.driver.ok("policy 1 1 closed")
    dyno = dyno_of(net, 0, 1, limits="1000000 100 50")
    arrived = counter(net, f"udp dport {PORT}")
    with flood(dyno):
        for _ in range(ROUNDS):
            net.host.run("ip link del t1-0")
            net.driver.ok("reload")
            assert net.driver.check(0)[0] == 0
        assert arrived() == 0
        # The control: it does send.
        net.driver.ok("policy 1 2")
        net.outside.run("while nft list chain ip count c | grep -q 'packets 0 '; do sleep 0.01; done")


def test_a_link_that_was_deleted_gets_all_of_its_dyno_at_once(net):
    net.driver.ok("policy 1 1 closed")
    dyno = dyno_of(net, 0, 1, limits="1000000 100 50")
    net.host.run("ip link del t1-0")
    monitor = Monitor(net)
    net.driver.ok("reload")
    came = [elements(changes, "add") for changes in monitor.transactions()]
    assert [sets for sets in came if "links" in sets] == [{"links"} | OF_A_DYNO], came
    for namespace, link in ((dyno, "eth0"), (net.host, "t1-0")):
        assert "rate 8Mbit" in namespace.run(f"tc qdisc show dev {link} root")


def test_nothing_of_a_closed_dyno_passes_as_its_slot_goes(net):
    net.driver.ok("policy 1 1 closed")
    arrived = counter(net, f"udp dport {PORT}")
    for slot in range(ROUNDS):
        dyno = dyno_of(net, slot, 1)
        with flood(dyno):
            net.driver.ok(f"destroy {slot}")
    assert arrived() == 0
    # The control: an open one does send.
    with flood(dyno_of(net, ROUNDS, 2)):
        net.outside.run("while nft list chain ip count c | grep -q 'packets 0 '; do sleep 0.01; done")


def test_what_lets_a_link_through_goes_with_what_restricts_it(net):
    net.driver.ok("policy 1 1 closed")
    dyno = dyno_of(net, 0, 1, limits="1000000 100 50")
    pid = dyno.keep()
    monitor = Monitor(net)
    net.driver.ok("destroy 0")
    went = [elements(changes, "delete") for changes in monitor.transactions()]
    assert [sets for sets in went if sets] == [{"links"} | OF_A_DYNO], went
    assert pid
    assert address(0)[1] not in net.host.run("nft list table inet t1")
