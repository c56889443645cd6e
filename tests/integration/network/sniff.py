# SPDX-License-Identifier: Apache-2.0
"""sniff.py LINK...    says "ready"; at the end of stdin prints what came in, a line of hex each"""

import select
import socket
import sys

OUTGOING = 4

sockets = []
for link in sys.argv[1:]:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    s.bind((link, 0))
    sockets.append(s)
print("ready", flush=True)
sys.stdin.read()
while True:
    ready = select.select(sockets, [], [], 0)[0]
    if not ready:
        break
    for s in ready:
        data, origin = s.recvfrom(65536)
        if origin[2] != OUTGOING:
            print(data[:200].hex())
