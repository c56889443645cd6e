# SPDX-License-Identifier: Apache-2.0
"""Raw frames on a dyno's link, as if its kernel were the attacker's.

inject.py JSON      reads names of frames on stdin, sends each on eth0, says "sent NAME"

JSON has macs and addresses, see test_network_injection.py, which imports the lists of names.
"""

import json
import socket
import struct
import sys

TAG = b"dynod-attack"

# Frames that must not get past the tc program nor, alone, past the nftables table.
REFUSED = {}
# Refused by the tc program; to the rest it is what a dyno may send.
REFUSED_BY_TC = {}
# Refused by the table and by nothing else: the tc program knows no connections.
REFUSED_BY_TABLE = {}
# What the kernel itself drops, before or after our layers: refused all the same.
REFUSED_BY_KERNEL = {}
# What a dyno may send.
PASSED = {}


def frame(group, name=None):
    def register(function):
        group[name or function.__name__] = function
        return function
    return register


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ether(c, payload, kind=0x0800, dst=None, src=None):
    return mac(dst or c["gateway_mac"]) + mac(src or c["mac"]) + struct.pack("!H", kind) + payload


def ip(src, dst, protocol, payload, *, fragment=0, ttl=64, options=b"", total=None, ihl=None,
       version=4, check=None, ident=1):
    words = ihl if ihl is not None else 5 + len(options) // 4
    length = total if total is not None else 20 + len(options) + len(payload)
    header = struct.pack("!BBHHHBBH4s4s", version << 4 | words, 0, length, ident, fragment, ttl,
                         protocol, 0, socket.inet_aton(src), socket.inet_aton(dst)) + options
    check = checksum(header) if check is None else check
    return header[:10] + struct.pack("!H", check) + header[12:] + payload


def with_pseudo(src, dst, protocol, segment, at):
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, protocol, len(segment))
    return segment[:at] + struct.pack("!H", checksum(pseudo + segment)) + segment[at + 2:]


def udp(src, dst, sport=7000, dport=7000, payload=TAG):
    return with_pseudo(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload, 6)


def tcp(src, dst, flags, sport=40000, dport=7000, payload=TAG):
    head = struct.pack("!HHLLBBHHH", sport, dport, 1000, 2000, 5 << 4, flags, 65535, 0, 0)
    return with_pseudo(src, dst, 6, head + payload, 16)


def icmp(kind, code, rest=b"\0\0\0\0", payload=TAG):
    message = struct.pack("!BBH", kind, code, 0) + rest + payload
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def ip_udp(c, src, dst, **options):
    return ether(c, ip(src, dst, 17, udp(src, dst), **options))


# ---- whom a packet claims to be from ----

for who in ("victim", "gateway", "host", "host_lan", "outside", "bridge"):
    for whither in ("outside", "host", "victim"):
        if who != whither:
            frame(REFUSED, f"from {who} to {whither}")(
                lambda c, who=who, whither=whither: ip_udp(c, c[who], c[whither]))
for address in ("127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "169.254.1.1", "172.16.0.31",
                "172.16.0.28", "8.8.8.8"):
    frame(REFUSED, f"from {address}")(lambda c, address=address: ip_udp(c, address, c["outside"]))

# ---- where it goes ----

for who in ("victim", "gateway", "victim_gateway", "host", "host_lan", "bridge"):
    frame(REFUSED, f"udp to {who}")(lambda c, who=who: ip_udp(c, c["dyno"], c[who]))
    frame(REFUSED, f"syn to {who}")(lambda c, who=who: ether(
        c, ip(c["dyno"], c[who], 6, tcp(c["dyno"], c[who], 2))))
    frame(REFUSED, f"echo to {who}")(lambda c, who=who: ether(c, ip(c["dyno"], c[who], 1, icmp(8, 0))))
for address in ("127.0.0.1", "127.1.2.3", "169.254.169.254", "169.254.1.1", "224.0.0.1", "224.0.0.251",
                "239.255.255.250", "240.0.0.1", "255.255.255.255", "0.0.0.0", "172.16.0.31", "172.16.0.28",
                "10.77.0.255"):
    frame(REFUSED, f"udp to {address}")(lambda c, address=address: ip_udp(c, c["dyno"], address))
    frame(REFUSED, f"udp to {address} for all")(lambda c, address=address: ether(
        c, ip(c["dyno"], address, 17, udp(c["dyno"], address)), dst="ff:ff:ff:ff:ff:ff"))

for name, protocol in (("igmp", 2), ("ipip", 4), ("egp", 8), ("dccp", 33), ("6in4", 41), ("rsvp", 46),
                       ("gre", 47), ("esp", 50), ("ah", 51), ("ospf", 89), ("pim", 103), ("vrrp", 112),
                       ("l2tp", 115), ("sctp", 132), ("udplite", 136), ("raw", 255)):
    inner = lambda c: ip(c["host"], c["victim"], 17, udp(c["host"], c["victim"]))  # noqa: E731
    frame(REFUSED, f"{name} to the host")(lambda c, protocol=protocol, inner=inner: ether(
        c, ip(c["dyno"], c["host"], protocol, inner(c))))
    frame(REFUSED, f"{name} to a dyno")(lambda c, protocol=protocol, inner=inner: ether(
        c, ip(c["dyno"], c["victim"], protocol, inner(c))))
    # Without ports, what the host itself has with that machine would be the dyno's.
    frame(REFUSED, f"{name} to outside")(lambda c, protocol=protocol, inner=inner: ether(
        c, ip(c["dyno"], c["outside"], protocol, inner(c))))

for name, kind, code in (("redirect", 5, 1), ("unreachable", 3, 1), ("too big", 3, 4), ("quench", 4, 0),
                         ("timestamp", 13, 0), ("mask", 17, 0), ("router", 9, 0), ("solicitation", 10, 0),
                         ("reply", 0, 0), ("information", 15, 0)):
    frame(REFUSED, f"icmp {name} to the host")(lambda c, kind=kind, code=code: ether(c, ip(
        c["dyno"], c["host"], 1, icmp(kind, code, socket.inet_aton(c["dyno"]), ip(
            c["host"], c["outside"], 17, udp(c["host"], c["outside"]))[:28]))))
    for who in ("host", "victim", "dyno"):
        frame(REFUSED, f"icmp {name} to outside, about the {who}")(lambda c, kind=kind, code=code, who=who: ether(
            c, ip(c["dyno"], c["outside"], 1, icmp(kind, code, socket.inet_aton(c["dyno"]), ip(
                c["outside"], c[who], 17, udp(c["outside"], c[who]))[:28]))))


@frame(REFUSED)
def dhcp(c):
    return ether(c, ip("0.0.0.0", "255.255.255.255", 17, udp("0.0.0.0", "255.255.255.255", 68, 67)),
                 dst="ff:ff:ff:ff:ff:ff")


# ---- TCP from the web port to the host: the one way in that the tc program has ----

for name, flags in (("syn", 2), ("null", 0), ("fin", 1), ("push", 8), ("xmas", 0x29), ("syn fin", 3),
                    ("syn urg", 0x22), ("syn ece cwr", 0xC2)):
    frame(REFUSED, f"web port, {name}")(lambda c, flags=flags: ether(c, ip(
        c["dyno"], c["host"], 6, tcp(c["dyno"], c["host"], flags, c["web_port"]))))
for name, flags in (("ack", 0x10), ("rst", 4), ("syn rst", 6), ("syn ack", 0x12), ("fin ack", 0x11),
                    ("rst ack", 0x14), ("everything", 0xFF)):
    frame(REFUSED, f"not the web port, {name}")(lambda c, flags=flags: ether(c, ip(
        c["dyno"], c["host"], 6, tcp(c["dyno"], c["host"], flags))))
    for who in ("gateway", "host", "victim_gateway"):
        frame(REFUSED_BY_TABLE, f"web port to {who}, {name}")(lambda c, flags=flags, who=who: ether(
            c, ip(c["dyno"], c[who], 6, tcp(c["dyno"], c[who], flags, c["web_port"]))))
    frame(REFUSED, f"port 0 to the host, {name}")(lambda c, flags=flags: ether(c, ip(
        c["dyno"], c["host"], 6, tcp(c["dyno"], c["host"], flags, 0))))
    frame(REFUSED, f"udp of the web port that looks like tcp, {name}")(lambda c, flags=flags: ether(c, ip(
        c["dyno"], c["host"], 17, udp(c["dyno"], c["host"], c["web_port"], payload=bytes([0] * 5 + [flags]) + TAG))))
    frame(REFUSED, f"web port to a dyno, {name}")(lambda c, flags=flags: ether(c, ip(
        c["dyno"], c["victim"], 6, tcp(c["dyno"], c["victim"], flags, c["web_port"], c["web_port"]))))


# ---- fragments ----

SEGMENT = 0x2000  # more follow

for name, offset, size in (("first", SEGMENT, 24), ("tiny first", SEGMENT, 8), ("second", SEGMENT | 1, 8),
                           ("last", 3, 8), ("over the top", 0x1FFF, 64)):
    frame(REFUSED, f"fragment to the host, {name}")(lambda c, offset=offset, size=size: ether(c, ip(
        c["dyno"], c["host"], 6, tcp(c["dyno"], c["host"], 0x10, c["web_port"])[:size], fragment=offset)))
    frame(REFUSED, f"fragment to outside, {name}")(lambda c, offset=offset, size=size: ether(c, ip(
        c["dyno"], c["outside"], 17, udp(c["dyno"], c["outside"], payload=TAG * 3)[:size], fragment=offset)))
    frame(REFUSED, f"fragment to a dyno, {name}")(lambda c, offset=offset, size=size: ether(c, ip(
        c["dyno"], c["victim"], 17, udp(c["dyno"], c["victim"], payload=TAG * 3)[:size], fragment=offset)))


# ---- options: source routes through the host, and what routers write down ----

for name, options in (("record route", b"\x07\x27\x04" + bytes(37)), ("timestamp", b"\x44\x24\x05\x01" + bytes(32)),
                      ("router alert", b"\x94\x04\0\0"), ("security", b"\x82\x0b" + bytes(10)),
                      ("nothing", b"\x01" * 4)):
    frame(REFUSED, f"option {name} to outside")(
        lambda c, options=options: ip_udp(c, c["dyno"], c["outside"], options=options))
for name, kind in (("loose", 0x83), ("strict", 0x89)):
    frame(REFUSED, f"{name} source route from outside to the host")(lambda c, kind=kind: ip_udp(
        c, c["dyno"], c["outside"], options=struct.pack("!BBB4sB", kind, 7, 4, socket.inet_aton(c["host_lan"]), 0)))
    for whither in ("victim", "outside", "host_lan"):
        frame(REFUSED, f"{name} source route to {whither}")(lambda c, kind=kind, whither=whither: ether(
            c, ip(c["dyno"], c["host"], 17, udp(c["dyno"], c["host"]),
                  options=struct.pack("!BBB4sB", kind, 7, 4, socket.inet_aton(c[whither]), 0))))


# ---- about which the host would have to tell the sender something ----

for ttl in (0, 1):
    frame(REFUSED, f"time to live {ttl}")(lambda c, ttl=ttl: ip_udp(c, c["dyno"], c["outside"], ttl=ttl))


# ---- not IPv4, or not quite ----

for name, kind in (("rarp", 0x8035), ("wake on lan", 0x0842), ("mpls", 0x8847), ("mpls multicast", 0x8848),
                   ("pppoe discovery", 0x8863), ("pppoe session", 0x8864), ("eapol", 0x888E),
                   ("lldp", 0x88CC), ("macsec", 0x88E5), ("ptp", 0x88F7), ("fcoe", 0x8906),
                   ("loopback", 0x9000), ("batman", 0x4305), ("ipx", 0x8137), ("teb", 0x6558),
                   ("802.3 length", 60), ("hsr", 0x892F), ("ncsi", 0x88F8)):
    frame(REFUSED, name)(lambda c, kind=kind: ether(
        c, ip(c["dyno"], c["outside"], 17, udp(c["dyno"], c["outside"])), kind))
for name, kinds in (("vlan", (0x8100,)), ("qinq", (0x88A8, 0x8100)), ("vlan in vlan", (0x8100, 0x8100)),
                    ("priority tag", (0x8100,))):
    @frame(REFUSED_BY_TC if name == "priority tag" else REFUSED, name)
    def tagged(c, name=name, kinds=kinds):
        tags, number = b"", 0 if name.startswith("priority") else 5
        for kind in [*kinds[1:], 0x0800]:
            tags += struct.pack("!HH", number, kind)
        return ether(c, tags + ip(c["dyno"], c["outside"], 17, udp(c["dyno"], c["outside"])), kinds[0])


@frame(REFUSED)
def stp(c):
    return ether(c, b"\x42\x42\x03" + b"\0" * 35, 38, "01:80:c2:00:00:00")


def arp(c, operation, sender, target, sender_mac=None, dst=None):
    return ether(c, struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, mac(sender_mac or c["mac"]),
                                socket.inet_aton(sender), b"\0" * 6, socket.inet_aton(target)),
                 0x0806, dst or "ff:ff:ff:ff:ff:ff")


for who in ("gateway", "host", "host_lan", "victim", "victim_gateway", "outside", "bridge"):
    frame(REFUSED, f"arp who has {who}")(lambda c, who=who: arp(c, 1, c["dyno"], c[who]))
    frame(REFUSED, f"arp {who} is here")(lambda c, who=who: arp(c, 2, c[who], c[who]))
    frame(REFUSED, f"arp {who} asks the gateway")(lambda c, who=who: arp(c, 1, c[who], c["gateway"]))


def ipv6(c, src, dst, next_header, payload, dst_mac):
    pseudo = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    if next_header == 58:
        check = checksum(pseudo + struct.pack("!LL", len(payload), 58) + payload)
        payload = payload[:2] + struct.pack("!H", check) + payload[4:]
    return ether(c, struct.pack("!LHBB", 6 << 28, len(payload), next_header, 255) + pseudo + payload,
                 0x86DD, dst_mac)


for name, kind, rest in (("solicitation", 135, socket.inet_pton(socket.AF_INET6, "fd77::2")),
                         ("advertisement", 136, socket.inet_pton(socket.AF_INET6, "fd77::1")),
                         ("router advertisement", 134, struct.pack("!LL", 0, 0)),
                         ("router solicitation", 133, b""), ("mld report", 131, b"\xff\x02" + b"\0" * 14),
                         ("echo", 128, TAG), ("redirect", 137, b"\0" * 32)):
    frame(REFUSED, f"ipv6 {name}")(lambda c, kind=kind, rest=rest: ipv6(
        c, "fe80::1", "ff02::1", 58, struct.pack("!BBHL", kind, 0, 0, 0) + rest, "33:33:00:00:00:01"))
for name, dst in (("all nodes", "ff02::1"), ("dhcp servers", "ff02::1:2"), ("the host", "fd77::2"),
                  ("a mapped address", "::ffff:10.77.0.2"), ("loopback", "::1")):
    frame(REFUSED, f"ipv6 udp to {name}")(lambda c, dst=dst: ipv6(
        c, "fe80::1", dst, 17, struct.pack("!HHHH", 546, 547, 8 + len(TAG), 0) + TAG, "33:33:00:00:00:01"))


# ---- cut short and wrong ----

@frame(REFUSED)
def nothing_but_ethernet(c):
    return ether(c, b"")


@frame(REFUSED)
def half_an_ip_header(c):
    return ether(c, ip(c["dyno"], c["outside"], 17, b"")[:10])


@frame(REFUSED)
def version_5(c):
    return ip_udp(c, c["dyno"], c["outside"], version=5)


@frame(REFUSED)
def version_6_as_ipv4(c):
    return ip_udp(c, c["dyno"], c["outside"], version=6)


@frame(REFUSED)
def transport_header_missing(c):
    return ether(c, ip(c["dyno"], c["host"], 6, b""))


@frame(REFUSED)
def options_beyond_the_end(c):
    return ether(c, ip(c["dyno"], c["host"], 6, b"", ihl=15))


for name, options in (("short header", {"ihl": 4}), ("no header", {"ihl": 0}), ("long header", {"ihl": 15}),
                      ("too long", {"total": 1400}), ("too short", {"total": 10}),
                      ("bad checksum", {"check": 1}), ("reserved option", {"options": b"\x83\x03\x04\0"})):
    frame(REFUSED_BY_KERNEL, name)(lambda c, options=options: ip_udp(c, c["dyno"], c["outside"], **options))
for name, dst in (("for all", "ff:ff:ff:ff:ff:ff"), ("multicast", "01:00:5e:00:00:01"),
                  ("somebody's", "02:00:00:00:00:99")):
    frame(REFUSED_BY_KERNEL, f"mac {name}")(lambda c, dst=dst: ether(
        c, ip(c["dyno"], c["outside"], 17, udp(c["dyno"], c["outside"])), dst=dst))


# ---- what belongs to no connection, and would leave with the dyno's own address ----

for name, flags in (("rst", 4), ("syn ack", 0x12)):
    frame(REFUSED_BY_TABLE, f"{name} to outside")(lambda c, flags=flags: ether(
        c, ip(c["dyno"], c["outside"], 6, tcp(c["dyno"], c["outside"], flags))))


# ---- what is allowed ----

@frame(PASSED)
def udp_to_outside(c):
    return ip_udp(c, c["dyno"], c["outside"])


@frame(PASSED)
def from_another_mac(c):
    return ether(c, ip(c["dyno"], c["outside"], 17, udp(c["dyno"], c["outside"])), src="02:11:22:33:44:55")


@frame(PASSED)
def syn_to_outside(c):
    return ether(c, ip(c["dyno"], c["outside"], 6, tcp(c["dyno"], c["outside"], 2)))


@frame(PASSED)
def echo_to_outside(c):
    return ether(c, ip(c["dyno"], c["outside"], 1, icmp(8, 0)))


GROUPS = {"refused": REFUSED, "by tc": REFUSED_BY_TC, "by table": REFUSED_BY_TABLE, "by kernel": REFUSED_BY_KERNEL, "passed": PASSED}


def main():
    config = json.loads(sys.argv[1])
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    if config.get("mark"):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", config["mark"]))
    if config.get("gso"):
        s.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
    s.bind(("eth0", 0))
    frames = {name: make for group in GROUPS.values() for name, make in group.items()}
    print("ready", flush=True)
    for line in sys.stdin:
        name = line.strip()
        data = frames[name](config)
        if config.get("gso"):
            # A packet that claims to be many: 40 kB of segments of 1000 bytes.
            data = data[:16] + struct.pack("!H", 40000) + data[18:] + b"x" * 40000
            is_tcp = config["gso"] in (1, 4)
            data = struct.pack("<BBHHHH", 1, config["gso"], 54 if is_tcp else 42, 1000, 34,
                               16 if is_tcp else 6) + data
        try:
            s.send(data)
        except OSError as error:
            print("refused", name, error, flush=True)
            continue
        print("sent", name, flush=True)


if __name__ == "__main__":
    main()
