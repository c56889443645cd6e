# SPDX-License-Identifier: Apache-2.0
"""dynod-scope beside a systemd of the test's: what it asks for, and the keeper that it leaves.

Needs root and DYNOD_BUILD. The real systemd is asked in the VM (test_privileges.py).
"""

import contextlib
import os
import pathlib
import shlex
import signal
import socket
import struct
import subprocess
import threading

import pytest

pytestmark = pytest.mark.native

UID = 1700000000 + os.getpid()
KEPT = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8  # KILL, SETGID, SETUID, SETPCAP


def cgroup2_mount():
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="ascii").splitlines():
        if " - cgroup2 " in line:
            return pathlib.Path(line.split()[4])
    pytest.exit("no cgroup2 is mounted", 4)


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def align(data, size):
    return data + b"\0" * (-len(data) % size)


def text(value):
    return struct.pack("<I", len(value)) + value.encode() + b"\0"


def field(code, signature, value):
    return struct.pack("<BB", code, len(signature)) + signature.encode() + b"\0" + value


def message(kind, fields, signature="", body=b"", serial=1):
    """D-Bus, little-endian."""
    if signature:
        fields = [*fields, field(8, "g", bytes([len(signature)]) + signature.encode() + b"\0")]
    head = b"".join(align(it, 8) for it in fields[:-1]) + fields[-1]
    return align(struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, len(head)) + head, 8) + body


class Call:
    """A method call, as far as it matters here."""

    def __init__(self, data):
        self.serial, size = struct.unpack_from("<II", data, 8)
        self.body = data[16 + size + -size % 8:]
        self.data, head = data, data[16:16 + size]
        self.member = next(name for name in ("Get", "Subscribe", "StartTransientUnit", "SetUnitProperties")
                           if text(name) in head)

    def value(self, name, signature):
        """Of a property, where it stands in the body: a number, or the only one of a list."""
        at = self.body.index(text(name)) + len(text(name))
        marked = bytes([len(signature)]) + signature.encode() + b"\0"
        assert self.body[at:].startswith(marked)
        at += len(marked)
        size = 8 if signature == "t" else 4
        at += -at % size
        if signature == "au":
            assert struct.unpack_from("<I", self.body, at) == (4,)
            at += 4
        return struct.unpack_from("<Q" if size == 8 else "<I", self.body, at)[0]


class Systemd:
    """The private socket. Has a scope when it was asked to make one, if it does not refuse."""

    def __init__(self, folder):
        mount = cgroup2_mount()
        self.path = mount / f"scope-test-{os.getpid()}"
        self.group = "/" + str(self.path.relative_to("/sys/fs/cgroup"))
        self.folder, self.calls, self.peer, self.connection = folder, [], None, None
        self.active = self.refuses = False
        self.socket = None

    def answer(self, call):
        back = [field(5, "u", struct.pack("<I", call.serial))]
        refusal = message(3, [field(4, "s", text("org.freedesktop.systemd1.NoSuchUnit")), *back], "s", text("No."))
        if call.member == "Get":
            if not self.active:
                return refusal
            return message(2, back, "v", b"\1s\0\0" + text(self.group))
        if self.refuses and call.member != "Subscribe":
            return refusal
        if call.member != "StartTransientUnit":
            return message(2, back)
        self.path.mkdir(exist_ok=True)
        self.active = True
        job = [field(1, "o", text("/org/freedesktop/systemd1")),
               field(2, "s", text("org.freedesktop.systemd1.Manager")), field(3, "s", text("JobRemoved"))]
        done = b"".join(message(4, job, "uoss", align(struct.pack("<I", 7) + text("/j"), 4) + align(text(unit), 4)
                                + text("done")) for unit in ("other.scope", "t1-dynos.scope"))
        return message(2, back, "o", text("/j")) + done

    def serve(self):
        with contextlib.suppress(OSError), self.socket.accept()[0] as peer:
            self.connection = peer
            pid = struct.unpack("iii", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            self.peer = status(pid)
            data = b""
            while b"BEGIN\r\n" not in data:
                more = peer.recv(4096)
                if not more:
                    return
                data += more
            peer.sendall(b"DATA\r\nOK 00112233445566778899aabbccddeeff\r\nAGREE_UNIX_FD\r\n")
            data = data.partition(b"BEGIN\r\n")[2]
            while True:
                while len(data) >= 16:
                    body, _, head = struct.unpack_from("<III", data, 4)
                    size = 16 + head + -head % 8 + body
                    if len(data) < size:
                        break
                    self.calls.append(Call(data[:size]))
                    peer.sendall(self.answer(self.calls[-1]))
                    data = data[size:]
                more = peer.recv(65536)
                if not more:
                    return
                data += more

    def run(self, *arguments):
        """dynod-scope, in some groups, with this in systemd's place. Its result, what it said, and what it asked for."""
        self.calls, self.peer, self.connection = [], None, None
        (self.folder / "private").unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.folder / "private"))
        self.socket.listen()
        thread = threading.Thread(target=self.serve)
        thread.start()
        program = pathlib.Path(os.environ["DYNOD_BUILD"]) / "bin/dynod-scope"
        said = self.folder / "said"
        script = (f"mount -t tmpfs none /run && mkdir /run/systemd && ln -s {self.folder}/private /run/systemd/ && "
                  f"exec setpriv --groups 4,27 {shlex.join([str(program), *map(str, arguments)])} 3>{said}")
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script], timeout=60, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Nobody may have come; or who came may have left its end to another.
        self.socket.shutdown(socket.SHUT_RDWR)
        if self.connection:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        thread.join()
        self.socket.close()
        return done.returncode, said.read_text(encoding="ascii"), [call.member for call in self.calls]

    def keepers(self):
        try:
            return [int(pid) for pid in (self.path / "keeper/cgroup.procs").read_text().split()]
        except FileNotFoundError:
            return []

    def kill_keepers(self):
        """And wait until the group knows: they are nobody's children here."""
        descriptors = [os.pidfd_open(pid) for pid in self.keepers()]
        for pidfd in descriptors:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        events = self.path / "keeper/cgroup.events"
        while "populated 1" in events.read_text():
            os.sched_yield()

    def close(self):
        if (self.path / "keeper").exists():
            self.kill_keepers()
            (self.path / "keeper").rmdir()
        if self.path.exists():
            self.path.rmdir()


@pytest.fixture
def systemd(tmp_path):
    it = Systemd(tmp_path)
    yield it
    it.close()


def all_keepers():
    """Wherever they are; not what is dead and waits for its parent."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            facts = status(path.name)
            if facts["Uid"].split() == [str(UID)] * 4 and not facts["State"].startswith("Z"):
                found.append(int(path.name))
    return found


def test_scope_is_made_with_a_keeper_that_can_do_nothing(systemd):
    asked = ["Get", "Subscribe", "StartTransientUnit", "Get", "SetUnitProperties"]
    assert systemd.run("t1", 90, UID, 5000) == (0, f"/sys/fs/cgroup{systemd.group}", asked)
    [pid] = systemd.keepers()
    start, limits = systemd.calls[2], systemd.calls[4]
    assert text("t1-dynos.scope") in start.body
    assert (start.value("PIDs", "au"), start.value("Delegate", "b")) == (pid, 1)
    assert start.value("TimeoutStopUSec", "t") == 90_000_000
    assert (limits.value("CPUWeight", "t"), limits.value("TasksMax", "t")) == (400, 5000)

    # What asked has what it needs for that, and can gain nothing.
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert int(systemd.peer[kind], 16) == KEPT & int(status("self")["CapBnd"], 16)
    assert int(systemd.peer["CapInh"], 16) == int(systemd.peer["CapAmb"], 16) == 0
    assert systemd.peer["NoNewPrivs"] == "1"

    facts = status(pid)
    assert facts["Name"] == "dynod-keeper"
    assert facts["Uid"].split() == facts["Gid"].split() == [str(UID)] * 4
    assert facts["Groups"].split() == []
    assert all(int(facts[kind], 16) == 0 for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert facts["NoNewPrivs"] == "1"
    assert os.listdir(f"/proc/{pid}/fd") == [] and os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) == pid


def test_scope_that_is_there_keeps_its_keeper_and_gets_new_limits(systemd):
    assert systemd.run("t1", 90, UID, 5000)[0] == 0
    before = systemd.keepers()
    assert systemd.run("t1", 90, UID, 0) == (0, f"/sys/fs/cgroup{systemd.group}", ["Get", "SetUnitProperties"])
    assert systemd.calls[1].value("TasksMax", "t") == 2 ** 64 - 1
    assert systemd.keepers() == before

    # One that has lost its keeper, and that systemd has not yet removed, gets another one.
    systemd.kill_keepers()
    assert systemd.run("t1", 90, UID, 5000)[2] == ["Get", "SetUnitProperties"]
    [pid] = systemd.keepers()
    assert [pid] != before


def test_nobody_is_left_where_there_is_no_scope(systemd):
    systemd.refuses = True
    assert systemd.run("t1", 90, UID, 5000) == (1, "", ["Get", "Subscribe", "StartTransientUnit"])
    assert all_keepers() == []


def test_scope_without_its_limits_is_none(systemd):
    assert systemd.run("t1", 90, UID, 5000)[0] == 0
    systemd.refuses = True
    assert systemd.run("t1", 90, UID, 5000) == (1, "", ["Get", "SetUnitProperties"])


@pytest.mark.parametrize("arguments", [
    ("t1", 90, 0, 5000), ("t1", 90, 2 ** 32 - 1, 5000), ("t1", 90, -1, 5000), ("../t1", 90, UID, 5000),
    ("t1", "x", UID, 5000), ("t1", 90, UID, "x"), ("t1", 90, UID), ("t1", 90, UID, 5000, 1)])
def test_nothing_else_is_understood(systemd, arguments):
    assert systemd.run(*arguments) == (2, "", [])
    assert systemd.peer is None
