# SPDX-License-Identifier: Apache-2.0
"""The two ends of a connection, for the network tests.

peer.py serve PROTO ADDRESS PORT        echo server; says "ready" when it listens
peer.py PROTO ADDRESS PORT [SOURCE]     one exchange; says "ok PEER" or the error's name

PROTO is tcp, udp, tcp6 or udp6. PEER is the client's address as the server saw it.
"""

import errno
import os
import socket
import sys

# s; links here answer in µs. The VM says by how much it is slower.
TIMEOUT = 0.7 * float(os.environ.get("DYNOD_TIME_FACTOR", "1"))


def make(proto):
    family = socket.AF_INET6 if proto.endswith("6") else socket.AF_INET
    kind = socket.SOCK_STREAM if proto.startswith("tcp") else socket.SOCK_DGRAM
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s


def serve(proto, address, port):
    s = make(proto)
    s.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
    s.bind((address, int(port)))
    if proto.startswith("tcp"):
        s.listen(16)
    print("ready", flush=True)
    while True:
        try:
            if proto.startswith("tcp"):
                c, peer = s.accept()
                with c:
                    c.recv(16)
                    c.sendall(peer[0].encode())
            else:
                _, peer = s.recvfrom(16)
                s.sendto(peer[0].encode(), peer)
        except OSError:
            pass


def ask(proto, address, port, source=None):
    s = make(proto)
    s.settimeout(TIMEOUT)
    if source:
        s.setsockopt(socket.SOL_IP, 15, 1)
        s.bind((source, 0))
    s.connect((address, int(port)))
    s.sendall(b"hello")
    answer = s.recv(64)
    return "ok " + answer.decode() if answer else "EOF"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    try:
        print(ask(*sys.argv[1:]))
    except TimeoutError:
        print("timeout")
    except OSError as e:
        print(errno.errorcode.get(e.errno, str(e)))
