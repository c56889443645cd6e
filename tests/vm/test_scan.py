# SPDX-License-Identifier: Apache-2.0
"""A scan from inside a dyno of the installed daemon: every TCP port of every address of the host,
of another dyno and of the clouds' metadata, the loopback network, UDP, IPv6, multicast and
broadcast. Nothing answers and nothing arrives; the same scanner outside a dyno finds all of it."""

import contextlib
import ipaddress
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from dynod_testing import WEB_SLUG, make_slug, time_factor, wait_until  # noqa: E402

pytestmark = pytest.mark.vm

SCAN = pathlib.Path(os.environ.get("DYNOD_BUILD", "build")) / "tests/vm/scan"
PATIENCE = int(50 * time_factor())  # ms; all of it happens on one host
PATIENCE_OPEN = 20 * PATIENCE  # where all answer nobody waits for the end of it, and a busy host may be late

UPLINK = "198.51.100.2"  # of the guest, where its default route begins
LAN_MAC = "02:00:00:79:00:01"  # or udev may give it another one, when it has an address by the first
LAN, LAN_ALL, LAN_6 = "10.99.79.1", "10.99.79.255", "fd79::1"
SERVICES = "172.16.0.1"  # service_address, of the host while an app has a service
METADATA = ["169.254.169.254", "100.100.100.200", "100.80.80.80", "192.0.0.192", "168.63.129.16"]
GROUP, GROUP_6 = "224.0.0.251", "ff02::1"
LOOPBACK = ["127.0.0.1", "127.0.0.53", "127.255.255.254"]  # of the host and of each dyno, never the same
EVERYBODY = "255.255.255.255"
PORTS_UDP = [53, 67, 69, 111, 123, 137, 161, 500, 514, 1194, 1900, 2049, 4500, 5353, 11211]
OWN = 7003  # the scanning dyno's, on its loopback

# Only itself can be found, and by this it is seen that it scans at all.
PROCFILE = f"scanner: python3 -m http.server --bind 127.0.0.1 {OWN}\n"


class Host:
    """Listeners at all addresses of the host, and what came to them."""

    def __init__(self, stack, gateway):
        self.tcp = stack.enter_context(socket.create_server(
            ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1000))
        self.port = self.tcp.getsockname()[1]
        self.udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.udp.bind(("", self.port))
        for link in (gateway, LAN):
            self.udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                socket.inet_aton(GROUP) + socket.inet_aton(link))
        self.udp6 = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self.udp6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.udp6.bind(("::", self.port))

    def came(self):
        """How many connections, and datagrams in both families, since it was asked last."""
        counts = []
        for take in (lambda: self.tcp.accept()[0].close(), lambda: self.udp.recv(64), lambda: self.udp6.recv(64)):
            counts.append(0)
            with contextlib.suppress(BlockingIOError):
                for listener in (self.tcp, self.udp, self.udp6):
                    listener.setblocking(False)
                while True:
                    take()
                    counts[-1] += 1
        return counts


def tcp(addresses, first=1, last=65535):
    return [f"tcp,{address},{first},{last}" for address in addresses]


def udp(addresses, ports):
    return [f"udp,{address},{port}" for address in addresses for port in ports]


def read(shown):
    """(what is open, TCP address to counts, UDP (address, port) to what became of it)"""
    opened, counts, datagrams = set(), {}, {}
    for line in shown.splitlines():
        words = line.split()
        if words[0] == "open":
            opened.add((words[1], int(words[2])))
        elif words[0] == "tcp":
            counts[words[1]] = dict(zip(words[2::2], map(int, words[3::2])))
        elif words[0] == "udp":
            datagrams[words[1], int(words[2])] = words[3]
    return opened, counts, datagrams


def from_host(*targets):
    done = subprocess.run([SCAN, str(PATIENCE_OPEN), *targets], capture_output=True, text=True, check=True)
    return read(done.stdout)


@pytest.fixture(scope="module")
def dynos(daemon, stack, tmp_path_factory):
    """The entries of ps of the dyno that scans, and of a web dyno of another app."""
    folder = tmp_path_factory.mktemp("scan")
    slug = make_slug(folder / "scan.tgz", {"Procfile": PROCFILE, "scan": SCAN.read_bytes()}, mode=0o755)
    for app, path in (("scan-from", slug), ("scan-other", make_slug(folder / "web.tgz", WEB_SLUG))):
        daemon.ok("apps:create", app, "--stack", stack)
        daemon.ok("deploy", path, "-a", app, timeout=120)
    daemon.ok("ps:scale", "scanner=1", "-a", "scan-from")
    for app in ("scan-from", "scan-other"):
        daemon.ok("ps:wait", "-a", app, timeout=150)
    daemon.ok("services:add", "postgres", "5432", "-a", "scan-other")
    addresses = "".join(f"ip addr add {address}/32 dev lan2; " for address in METADATA)
    subprocess.run(f"set -e; ip link add lan2 address {LAN_MAC} type dummy; ip link set lan2 up; ip addr add {LAN}/24 brd + dev lan2; "
                   f"ip addr add {LAN_6}/64 dev lan2 nodad; {addresses} ip route add {GROUP}/32 dev lan2",
                   shell=True, check=True)
    wait_until(lambda: not ip("-6", "addr", "show", "dev", "lan2", "tentative"), "addresses of lan2 in use")
    yield daemon.dyno("scan-from", "scanner.1"), daemon.dyno("scan-other", "web.1")
    subprocess.run(["ip", "link", "del", "lan2"], check=True)
    for app in ("scan-from", "scan-other"):
        daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)


def ip(*words):
    """What ip says of it."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def gateway_of(dyno):
    head, last = dyno["address"].rsplit(".", 1)
    return f"{head}.{int(last) - 1}"


def link_local(link):
    """What a link of the host has by IPv6, or would have if somebody turned that on."""
    mac = json.loads(ip("-j", "link", "show", "dev", link))[0]["address"].split(":")
    bytes_ = [int(byte, 16) for byte in [*mac[:3], "ff", "fe", *mac[3:]]]
    bytes_[0] ^= 2  # EUI-64
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes(bytes_)))


def own_link(address):
    """The host's end of a dyno's link."""
    return json.loads(ip("-j", "route", "get", address))[0]["dev"]


def test_a_dyno_finds_nothing_of_the_host_nor_of_another_dyno(daemon, dynos):
    scanner, other = dynos
    gateway = gateway_of(scanner)
    own = [gateway, gateway_of(other), SERVICES, UPLINK, LAN, *METADATA]  # addresses of the host
    with contextlib.ExitStack() as stack:
        host = Host(stack, gateway)
        near = (max(host.port - 20, 1), min(host.port + 20, 65535))
        by_link = [f"{link_local('lan2')}%lan2", f"{GROUP_6}%lan2"]

        # Who is in no dyno finds every listener, at every address.
        opened, _, datagrams = from_host(
            *tcp([*own, *LOOPBACK, LAN_6, by_link[0], f"::ffff:{gateway}"], *near),
            *tcp([other["address"]], 4990, 5010),
            *udp([*own, *LOOPBACK, LAN_6, *by_link, GROUP, LAN_ALL], [host.port]))
        found = [*own, *LOOPBACK, LAN_6, by_link[0], f"::ffff:{gateway}"]
        assert {address for address in found if (address, host.port) not in opened} == set()
        assert (other["address"], 5000) in opened
        came = host.came()
        assert came[0] == len(found) and came[1] >= len(own) + len(LOOPBACK) + 2 and came[2] == 3, (came, datagrams)

        # A dyno finds itself.
        many = [GROUP, LAN_ALL, "224.0.0.1", "239.255.255.250"]
        gateway_6 = f"{link_local(own_link(scanner['address']))}%eth0"
        targets = [*tcp([*LOOPBACK, *own, other["address"], gateway_6]),
                   *tcp([LAN_6, "fe80::1", "fe80::1%eth0", f"::ffff:{gateway}"], *near),
                   *udp([*own, other["address"], LAN_6, *many, EVERYBODY, gateway_6, GROUP_6,
                         f"{GROUP_6}%eth0", f"{GROUP_6}%lo"], [host.port, *PORTS_UDP]),
                   *udp(LOOPBACK, [host.port])]
        done = daemon.exec("scan-from", "scanner.1", "/app/scan", str(PATIENCE), *targets, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        opened, counts, datagrams = read(done.stdout)
        assert opened == {("127.0.0.1", OWN)}
        for address in LOOPBACK:  # nothing else is there, least of all what listens on the host
            assert counts[address]["refused"] + counts[address]["open"] == 65535, (address, counts[address])
        for address in (*own, other["address"]):
            assert counts[address]["tried"] == counts[address]["silent"] == 65535, (address, counts[address])
        assert counts[f"::ffff:{gateway}"]["silent"] == near[1] - near[0] + 1
        for address in (LAN_6, "fe80::1", "fe80::1%eth0", gateway_6):
            assert counts[address]["nowhere"] == counts[address]["tried"] > 0, (address, counts[address])
        assert {datagrams.pop((address, host.port)) for address in LOOPBACK} == {"refused"}
        assert {at: what for at, what in datagrams.items() if what not in ("silent", "nowhere")} == {}
        # They did leave the dyno's sockets, but for those that it has no way for, and to everybody,
        # whom no socket of a dyno may speak to (SO_BROADCAST).
        sent = {address for (address, port), what in datagrams.items() if what == "silent" and port == host.port}
        assert sent == {*own, other["address"], *many}, sorted(sent)
        assert host.came() == [0, 0, 0]
