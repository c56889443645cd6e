# SPDX-License-Identifier: Apache-2.0
"""Processes of dynod's own that are hostile: programs of this folder take their place."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

from dynod_testing import time_factor, wait_until

LAYERS_OFF = b"@layers-off@"


class Root:
    """What of dynod must be after an attack as it was before. @ask: a word with who is in the place of the
    supervisor, which reads meanwhile that a dyno ended: until then it has its folder and its slot."""

    def __init__(self, daemon, ask=lambda: None):
        self.daemon, self.ask = daemon, ask
        self.pid = daemon.main_pid()
        self.wait_slots()
        self.descriptors = self.count_descriptors()
        self.rss = self.read_rss()

    def count_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_slots(self):
        """Slots that are made ready while nothing happens have descriptors."""
        pool, name = int(self.daemon.configured("pool")), re.compile(self.daemon.instance + r"-\d+")
        def full():
            self.ask()
            links = [link for link in os.listdir("/sys/class/net") if name.fullmatch(link)]
            return len(links) == pool + len(os.listdir(self.daemon.run_dir / "dynos"))
        wait_until(full, "the pool of slots is full")

    def read_rss(self):
        """KiB"""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def strangers(self):
        """Processes of this instance's imports."""
        first = self.daemon.uid_base() + 16
        return [path for path in pathlib.Path("/proc").glob("[0-9]*")
                if first <= owner(path) < first + 1008]

    def check(self, more_kib=16 * 1024):
        assert self.daemon.main_pid() == self.pid
        if self.daemon.process:
            assert self.daemon.process.poll() is None, self.daemon.log_tail()
        self.wait_slots()
        def fewer():
            self.ask()
            return self.count_descriptors() <= self.descriptors
        wait_until(fewer, f"dynod has its {self.descriptors} descriptors, not more: {self.count_descriptors()}")
        wait_until(lambda: not self.strangers(), "no import's process is left")
        wait_until(lambda: not os.listdir(self.daemon.state_dir / "tmp"), "tmp/ is empty")
        assert self.read_rss() - self.rss < more_kib


def owner(path):
    try:
        return path.stat().st_uid
    except OSError:
        return 0


def put_in_place(path, layers_off):
    """A new file under the same name: what runs is not disturbed."""
    program = pathlib.Path(os.environ["DYNOD_BUILD"]) / "tests" / path.name.replace("dynod", "hostile")
    data = program.read_bytes()
    assert data.count(LAYERS_OFF) == 1
    at, patch = data.index(LAYERS_OFF), layers_off.encode()
    data = data[:at] + patch + b"\0" * (32 - len(patch)) + data[at + 32:]
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.chmod(0o755)
    new.rename(path)


@contextlib.contextmanager
def replaced(daemon, name, layers_off=""):
    """@name is hostile within; the caller makes dynod start it. @layers_off: "landlock seccomp"."""
    path = daemon.prefix / "libexec/dynod" / name
    real = path.with_name(name + ".real")
    shutil.copy2(path, real)
    put_in_place(path, layers_off)
    try:
        yield
    finally:
        real.rename(path)


def end_service(daemon, name):
    """SIGKILL; returns when another one runs."""
    before = daemon.pids_of(name)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(daemon.pids_of(name)) - set(before), f"a new {name}", 60)


def results(text):
    return {name: int(result) for name, result in (word.split("=") for word in text.split())}


class Harness:
    """The hostile supervisor, whichever incarnation of it runs now, behind the control socket."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.socket = None
        self.connect()

    def connect(self):
        if self.socket:
            self.socket.close()

        def greeted():
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.socket.connect(str(self.daemon.socket))
                if (self.order("hello") or {}).get("live") is not None:
                    return True
            except OSError:
                pass
            self.socket.close()
            return False
        wait_until(greeted, "a fresh supervisor was greeted", 60)

    def order(self, line, seconds=60, descriptor=None):
        """Returns the results by name; None if it was ended for what it did."""
        self.socket.settimeout(seconds * time_factor())
        answer = b""
        try:
            socket.send_fds(self.socket, [line.encode() + b"\n"], [] if descriptor is None else [descriptor])
            while not answer.endswith(b"\n"):
                data = self.socket.recv(8192)
                if not data:
                    return None
                answer += data
        except ConnectionError:
            return None
        return results(answer.decode())

    def give(self, descriptor):
        """It has the only copy then, for the next order."""
        assert self.order("hello", descriptor=descriptor) == {"live": 1}
        os.close(descriptor)

    def ended_for(self, line):
        """Root ends the supervisor that does @line, and greets another."""
        before = self.daemon.pids_of("dynod-supervisor")
        self.order(line)
        wait_until(lambda: set(self.daemon.pids_of("dynod-supervisor")) - set(before),
                   f"ended for \"{line}\"", 60)
        self.connect()


# Alone in a network of its own: it connects to itself, and never reads what it sends. SO_LINGER: an hour.
LINGERING = """
import ctypes, fcntl, os, socket, struct
assert ctypes.CDLL(None).unshare(0x40000000) == 0
with socket.socket() as any:
    fcntl.ioctl(any, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
listener.bind(("127.0.0.1", 0))
listener.listen()
client = socket.create_connection(listener.getsockname())
server = listener.accept()[0]
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
client.setblocking(False)
try:
    while True:
        client.send(bytes(65536))
except BlockingIOError:
    pass
channel = socket.socket(fileno=0)
socket.send_fds(channel, [b"x"], [client.fileno()])
client.close()
os.close(1)
channel.recv(1)
"""


@contextlib.contextmanager
def lingering_socket():
    """A TCP socket, ours to close elsewhere: close(2) of its last copy waits for as long as we are within."""
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen([sys.executable, "-c", LINGERING], stdin=theirs.fileno(),
                                stdout=subprocess.PIPE) as peer:
        theirs.close()
        _, received, _, _ = socket.recv_fds(ours, 1, 1)
        peer.stdout.read()  # its own copy is closed
        try:
            yield received[0]
        finally:
            peer.kill()


@contextlib.contextmanager
def hostile_supervisor(daemon, layers_off=""):
    with replaced(daemon, "dynod-supervisor", layers_off):
        end_service(daemon, "dynod-supervisor")
        harness = Harness(daemon)
        try:
            yield harness
        finally:
            harness.socket.close()
    daemon.restart()  # one that ended often would be started late


def order_logger(daemon, line):
    """What the next hostile logger does; its answer is waited for by logger_answer()."""
    logs = daemon.state_dir / "logs"
    (logs / "hostile.answer").unlink(missing_ok=True)
    (logs / "hostile").write_text(line)
    (logs / "hostile").chmod(0o644)


def logger_answer(daemon):
    path = daemon.state_dir / "logs/hostile.answer"
    return results(wait_until(lambda: path.exists() and path.read_text(), "the logger answers"))


def forget_orders(daemon):
    for path in (daemon.state_dir / "logs").glob("hostile*"):
        path.unlink()
