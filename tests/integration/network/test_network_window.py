# SPDX-License-Identifier: Apache-2.0
"""A link is made and goes in steps: between them nothing passes that the policy denies."""

import contextlib
import select
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


class Monitor:
    """What changes in the host's tables: one list of lines for each transaction."""

    def __init__(self, net):
        self.host = net.host
        self.process = net.host.popen(["stdbuf", "-oL", "nft", "monitor"], stdout=subprocess.PIPE, text=True)
        self.seen = []
        while not select.select([self.process.stdout], [], [], 0.05)[0]:
            self.host.run("nft add table ip begun; nft delete table ip begun")  # until it listens

    def transactions(self):
        """All until now. Ends it."""
        self.host.run("nft add table ip ended")
        found, lines = [], []
        for line in self.process.stdout:
            if line.startswith("# new generation"):
                found.append(lines)
                if any("table ip ended" in text for text in lines):
                    break
                lines = []
            else:
                lines.append(line)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.host.run("nft delete table ip ended")
        return found


def elements(lines, verb):
    """Names of the sets of which an element of slot 0 comes or goes there."""
    return {line.split()[4] for line in lines if line.startswith(f"{verb} element inet t1 ") and '"t1-0"' in line}


OF_A_DYNO = {"policies", "services", "sources", "clients", "rates", "counts_from", "counts_to"}


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
    came = [elements(lines, "add") for lines in monitor.transactions()]
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
    went = [elements(lines, "delete") for lines in monitor.transactions()]
    assert [sets for sets in went if sets] == [{"links"} | OF_A_DYNO], went
    assert pid
    assert address(0)[1] not in net.host.run("nft list table inet t1")
