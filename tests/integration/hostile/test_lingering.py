# SPDX-License-Identifier: Apache-2.0
"""A client leaves sockets with the supervisor whose close(2) waits: nobody else does.

Each is the last copy of a TCP socket that lingers, in the queue of a Unix socket that the
supervisor closes.
"""

import contextlib
import os
import pathlib
import signal
import socket
import struct

import pytest
from dynod_testing import wait_until
from taken_over import lingering_socket

CONNECTIONS_MAX = 64  # of one uid: control/quota.c
BUS_PATH, BUS_INTERFACE = "/org/dynod/Manager1", "org.dynod.Manager1"


@pytest.fixture
def answers(daemon):
    """Afterwards the same supervisor still answers."""
    before = wait_until(lambda: daemon.pids_of("dynod-supervisor"), "a supervisor")
    yield
    daemon.ok("host:info")
    assert daemon.pids_of("dynod-supervisor") == before


def connect(daemon):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(str(daemon.socket))
    return client


@contextlib.contextmanager
def stopped_supervisor(daemon):
    """Else it may be done with a socket before we are, and ours is the copy that waits."""
    pid = daemon.pids_of("dynod-supervisor")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T",
                   "it is stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def send_last_copy(carrier, descriptor):
    socket.send_fds(carrier, [b"x"], [descriptor])
    os.close(descriptor)


def is_closed(client):
    """Reads to the end, which comes when the supervisor has closed its side."""
    client.settimeout(60)
    with contextlib.suppress(ConnectionError):
        while client.recv(4096):
            pass
    return True


class Message:
    """A call of D-Bus as bytes."""

    def __init__(self):
        self.data = bytearray()

    def align(self, size):
        self.data += bytes(-len(self.data) % size)

    def number(self, code, value):
        self.align(struct.calcsize(code))
        self.data += struct.pack("<" + code, value)

    def text(self, value):
        self.number("I", len(value))
        self.data += value.encode() + b"\0"

    def signature(self, value):
        self.data += bytes([len(value)]) + value.encode() + b"\0"

    def array(self, alignment, fill):
        self.number("I", 0)
        at = len(self.data)
        self.align(alignment)
        begin = len(self.data)
        fill()
        struct.pack_into("<I", self.data, at - 4, len(self.data) - begin)

    def field(self, code, signature, put):
        self.align(8)
        self.data.append(code)
        self.signature(signature)
        put()


def exec_call():
    """ps:exec of a dyno that is not there, with a socket to attach to."""
    body, head = Message(), Message()
    body.text("no-such-app")
    body.text("web.1")
    body.array(4, lambda: body.text("true"))
    body.array(8, lambda: None)
    for code, value in ("I", 0), ("H", 0), ("H", 0), ("I", 0):
        body.number(code, value)
    head.data += b"l\1\0\1"
    head.number("I", len(body.data))
    head.number("I", 1)

    def fields():
        head.field(1, "o", lambda: head.text(BUS_PATH))
        head.field(2, "s", lambda: head.text(BUS_INTERFACE))
        head.field(3, "s", lambda: head.text("Exec"))
        head.field(8, "g", lambda: head.signature("ssasa{ss}bqqh"))
        head.field(9, "u", lambda: head.number("I", 1))
    head.array(8, fields)
    head.align(8)
    return bytes(head.data + body.data)


def read_until(client, text):
    client.settimeout(60)
    data = b""
    while text not in data:
        more = client.recv(4096)
        assert more, data
        data += more


def test_unread_in_a_connection_that_is_dropped(daemon, answers):
    with lingering_socket() as lingering, connect(daemon) as client:
        with stopped_supervisor(daemon):
            client.sendall(b"x" * 4096)  # no line of D-Bus is as long
            send_last_copy(client, lingering)
        assert is_closed(client)
        daemon.ok("version")


def test_unread_in_a_connection_too_many(daemon, answers):
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            stack.enter_context(connect(daemon))
        lingering = stack.enter_context(lingering_socket())
        with stopped_supervisor(daemon):
            last = stack.enter_context(connect(daemon))
            send_last_copy(last, lingering)
        assert is_closed(last)
    wait_until(lambda: daemon.ctl("host:info").returncode == 0, "the others' connections have ended")


def test_unread_in_a_socket_to_attach_to(daemon, answers):
    """ps:exec of a dyno that is not there: its socket is closed as it came."""
    with lingering_socket() as lingering, connect(daemon) as client:
        client.sendall(b"\0AUTH ANONYMOUS\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
        read_until(client, b"AGREE_UNIX_FD\r\n")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with stopped_supervisor(daemon), ours, theirs:
            send_last_copy(ours, lingering)
            socket.send_fds(client, [exec_call()], [theirs.fileno()])
        read_until(client, b"no-such-app")
        daemon.ok("version")
