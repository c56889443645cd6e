# SPDX-License-Identifier: Apache-2.0
"""An asynchronous scanner: sends to all ports at once and lists what answers.

scan.py JSON      {"link", "mac", "gateway_mac", "source", "targets", "tcp", "udp"}

Says "ready"; at a line on stdin it sends, and then prints JSON: [[PROTO, ADDRESS, PORT], …]
of whatever came from a target: SYN|ACK, RST, an answer, an ICMP message about it.
"""

import json
import select
import socket
import struct
import sys
import time

from inject import ether, ip, tcp, udp


def answers(s, timeout):
    """Frames until nothing comes any more for @timeout seconds."""
    while select.select([s], [], [], timeout)[0]:
        data, origin = s.recvfrom(65536)
        if origin[2] != 4 and len(data) >= 34:  # not our own
            yield data


def describe(data):
    header = (data[14] & 15) * 4
    source = socket.inet_ntoa(data[26:30])
    port = int.from_bytes(data[14 + header:16 + header], "big")
    if data[23] == 6:
        return ("tcp" if data[14 + header + 13] & 0x12 == 0x12 else "tcp closed", source, port)
    if data[23] == 17:
        return ("udp", source, port)
    return (f"protocol {data[23]}", source, 0)


def main():
    c = json.loads(sys.argv[1])
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.bind((c["link"], 0x0800))
    print("ready", flush=True)
    sys.stdin.readline()
    found = set()
    for target in c["targets"]:
        # The checksum of a SYN changes with its port alone: the rest is made once.
        base = bytearray(ether(c, ip(c["source"], target, 6, tcp(c["source"], target, 2, dport=0, payload=b""))))
        check = ~int.from_bytes(base[50:52], "big") & 0xFFFF
        for port in range(*c["tcp"]):
            total = check + port
            base[36:38] = struct.pack("!H", port)
            base[50:52] = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
            s.send(base)
            if port % 4096 == 0:
                found.update(map(describe, answers(s, 0)))
        for port in c["udp"]:
            s.send(ether(c, ip(c["source"], target, 17, udp(c["source"], target, dport=port))))
    deadline = time.monotonic() + 20
    for data in answers(s, float(c.get("patience", 0.5))):
        found.add(describe(data))
        if time.monotonic() > deadline:
            break
    print(json.dumps(sorted(found)), flush=True)


if __name__ == "__main__":
    main()
