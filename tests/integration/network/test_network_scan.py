# SPDX-License-Identifier: Apache-2.0
"""All ports of everything that is the host's, a neighbour's, or nobody's, out of one dyno."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from lab import HOST, HOST_LAN, OUTSIDE, SOURCE, address

BRIDGE, ON_LO = "10.88.0.1", "10.99.0.9"
TCP_OPEN = (22, 80, 5432, 65535)
UDP_OPEN = (53, 123, 7000)
COMMON_UDP = (7, 9, 19, 53, 67, 68, 69, 111, 123, 135, 137, 138, 161, 162, 177, 389, 443, 500, 514, 520, 546,
              547, 623, 631, 1194, 1434, 1645, 1812, 1900, 2049, 3478, 4500, 4789, 5060, 5353, 5355, 5683,
              6081, 7000, 8472, 11211, 27015, 51820)
# Emulated, each packet takes ten times as long: there, and for the halves alone, two addresses do.
EMULATED = os.environ.get("DYNOD_INSTALLED") == "1"


def targets(layers):
    own = address(0)[0].rsplit(".", 1)
    network, broadcast = f"{own[0]}.{int(own[1]) - 1}", f"{own[0]}.{int(own[1]) + 2}"
    few = [address(0)[0], HOST]
    if EMULATED or layers != "both":
        return few
    return few + [
        HOST_LAN, BRIDGE, ON_LO, *address(1), network, broadcast, "127.0.0.1", "127.0.0.53", "127.255.255.254",
        "169.254.169.254", "169.254.1.1", "224.0.0.1", "224.0.0.251", "255.255.255.255", "10.77.0.255", "0.0.0.0"]


@contextlib.contextmanager
def everything_listens(net, dyno):
    """On the host, outside and in the other dyno, on wildcard addresses of both families."""
    with contextlib.ExitStack() as stack:
        for space in (net.host, net.outside, dyno):
            for port in TCP_OPEN:
                stack.enter_context(space.serve("tcp", "0.0.0.0", port))
            for port in UDP_OPEN:
                stack.enter_context(space.serve("udp", "0.0.0.0", port))
        yield


def scan(space, link, source, gateway_mac, where):
    mac = json.loads(space.run(f"ip -j link show dev {link}"))[0]["address"]
    config = {"link": link, "mac": mac, "gateway_mac": gateway_mac, "source": source, "targets": where,
              "tcp": (1, 65536), "udp": COMMON_UDP, "patience": 3 if EMULATED else 0.5}
    scanner = space.popen([sys.executable, str(SOURCE / "tests/integration/network/scan.py"),
                           json.dumps(config)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert scanner.stdout.readline() == "ready\n"
    out = scanner.communicate("go\n", timeout=300)[0]
    return {tuple(entry) for entry in json.loads(out)}


def gateway_mac(net, link):
    return json.loads(net.host.run(f"ip -j link show dev {link}"))[0]["address"]


def open_of(found):
    return {entry for entry in found if entry[0] in ("tcp", "udp")}


def expected(target):
    return {("tcp", target, port) for port in TCP_OPEN} | {("udp", target, port) for port in UDP_OPEN}


@pytest.fixture
def scene(net):
    one, two = net.driver.create(0), net.driver.create(1)
    net.driver.ok("web 0 5000")
    net.driver.ok("web 1 80")
    net.host.run(f"ip link add docker0 type veth peer name d0 && ip addr add {BRIDGE}/24 dev docker0"
                 f" && ip link set docker0 up && ip link set d0 up && ip addr add {ON_LO}/32 dev lo")
    with everything_listens(net, two):
        yield one


# Emulated, the two halves alone take too long; the tests of injected frames have them there.
@pytest.mark.two_kernels
@pytest.mark.parametrize("layers", ["both"] if EMULATED else ["both", "nft", "tc"])
def test_no_port_of_the_host_or_of_a_neighbour_answers(net, scene, layers):
    if layers == "tc":
        net.nft_off()
    if layers == "nft":
        net.tc_off(0)
    found = scan(scene, "eth0", address(0)[1], gateway_mac(net, "t1-0"), targets(layers))
    assert found == set()


def test_the_scanner_sees_what_it_may_see(net, scene):
    found = scan(scene, "eth0", address(0)[1], gateway_mac(net, "t1-0"), [OUTSIDE])
    assert open_of(found) == expected(OUTSIDE)
    # And without layers the same listeners are all there.
    net.nft_off()
    net.tc_off(0)
    net.rule_off()
    for target in (HOST, ON_LO):
        found = scan(scene, "eth0", address(0)[1], gateway_mac(net, "t1-0"), [target])
        # A wildcard UDP server of the host answers from the address that is nearest.
        answered = {(proto, target, port) for proto, _, port in open_of(found)}
        assert answered == expected(target), target


def test_a_neighbour_of_the_host_scans_no_dyno(net, scene):
    for flushed in (False, True):
        if flushed:
            net.host.run("nft flush ruleset")
        found = scan(net.outside, "up0", OUTSIDE, gateway_mac(net, "up0"), [address(0)[1], address(1)[1]])
        assert open_of(found) == set(), flushed
        # Only of the host itself there may be an answer: that it does not lead there.
        assert {proto for proto, _, _ in found} <= {"protocol 1"}, found


def test_nmap_finds_nothing_either(net, scene):
    wide = " ".join([address(0)[0], HOST, HOST_LAN, ON_LO, address(1)[1], "169.254.169.254"])
    ports = "T:22,80,5000,5432,65535,U:53,123,7000"
    command = "nmap -n -Pn -sS -sU --max-retries 0 --host-timeout 30s -T5 -oG - "
    out = scene.run(f"{command} -p {ports} {wide}")
    assert "/open/" not in out and "/closed/" not in out, out
    out = scene.run(f"{command} -p {ports} {OUTSIDE}")
    assert "80/open/tcp" in out and "53/open/udp" in out, out
    for kind in ("-sA", "-sF", "-sX", "-sN", "-sW", "-sM", "-sO"):
        what = "-p 1,2,6,17,47,132" if kind == "-sO" else "-p 22,80,5432"
        out = scene.run(f"nmap -n -Pn {kind} --max-retries 0 --host-timeout 30s -T5 -oG - {what} "
                        f"{address(0)[0]} {HOST} {address(1)[1]}")
        assert "/open/" not in out and "/closed/" not in out and "/unfiltered/" not in out, out


def test_nmap_of_a_dyno_without_privileges_finds_no_port_of_the_host(net, scene):
    """By connections, as an app's program has nothing else; all ports that there are."""
    command = ["nsenter", f"--net={scene.path}", "setpriv", "--reuid", "65534", "--clear-groups",
               "--bounding-set=-all", "nmap", "-n", "-Pn", "-sT", "--unprivileged", "-T5", "--max-retries", "0",
               "--min-rate", "20000", "--max-rtt-timeout", "50ms", "-oG", "-"]
    listening = ",".join(map(str, TCP_OPEN))

    def found(target, ports):
        out = subprocess.run([*command, "-p", ports, target], check=True, capture_output=True, text=True,
                             timeout=120).stdout
        return {int(port.split("/")[0]) for port in out.split("Ports: ")[-1].split(", ")
                if "/open/" in port or "/closed/" in port}

    assert found(address(0)[0], "-") == set()
    assert found(OUTSIDE, listening) == set(TCP_OPEN)
    net.nft_off()
    net.tc_off(0)
    net.rule_off()
    assert found(address(0)[0], listening) == set(TCP_OPEN), "the attempt itself does not work"
