# SPDX-License-Identifier: Apache-2.0
"""The two ends of a connection, for the network tests.

peer.py serve PROTO ADDRESS PORT...     echo server of each; says "ready" when all listen
peer.py PROTO ADDRESS PORT [SOURCE]     one exchange; says "ok PEER" or the error's name
peer.py ask "PROTO ADDRESS PORT [SOURCE]"...    several at once; a line for each

PROTO is tcp, udp, tcp6 or udp6. PEER is the client's address as the server saw it.
"""

import errno
import os
import socket
import sys
import threading

# s; links here answer in µs. The VM says by how much it is slower.
TIMEOUT = 0.7 * float(os.environ.get("DYNOD_TIME_FACTOR", "1"))


def make(proto):
    family = socket.AF_INET6 if proto.endswith("6") else socket.AF_INET
    kind = socket.SOCK_STREAM if proto.startswith("tcp") else socket.SOCK_DGRAM
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s


def listen(proto, address, port):
    s = make(proto)
    s.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
    s.bind((address, int(port)))
    if proto.startswith("tcp"):
        s.listen(16)
    return proto, s


def serve(*words):
    os.seteuid(int(os.environ["PEER_UID"]))  # whose the sockets are
    servers = [listen(*words[at:at + 3]) for at in range(0, len(words), 3)]
    print("ready", flush=True)
    for server in servers[1:]:
        threading.Thread(target=echo, args=server).start()
    echo(*servers[0])


def echo(proto, s):
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


def answer(*attempt):
    try:
        return ask(*attempt)
    except TimeoutError:
        return "timeout"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))


def answers(attempts):
    found = [None] * len(attempts)

    def note(at):
        found[at] = answer(*attempts[at].split())
    threads = [threading.Thread(target=note, args=(at,)) for at in range(len(attempts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    print(*answers(sys.argv[2:]) if sys.argv[1] == "ask" else [answer(*sys.argv[1:])], sep="\n")
