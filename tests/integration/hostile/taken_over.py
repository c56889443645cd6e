# SPDX-License-Identifier: Apache-2.0
"""Processes of dynod's own that are hostile: hostile_service takes their place."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket

from dynod_testing import time_factor, wait_until

PLACEHOLDER = b"@behaviour@"


def hostile_program():
    return pathlib.Path(os.environ["DYNOD_BUILD"]) / "tests/hostile_service"


class Root:
    """What of dynod must be after an attack as it was before."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.pid = daemon.main_pid()
        self.descriptors = self.count_descriptors()
        self.rss = self.read_rss()

    def count_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def read_rss(self):
        """KiB"""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def strangers(self):
        """Processes of this instance's imports."""
        first = 1878982656 + 16
        return [path for path in pathlib.Path("/proc").glob("[0-9]*")
                if first <= owner(path) < first + 1008]

    def check(self, more_descriptors=24, more_kib=16 * 1024):
        """Slots that are made ready while nothing happens have descriptors; attacks use far more."""
        assert self.daemon.main_pid() == self.pid
        assert self.daemon.process.poll() is None, self.daemon.log_tail()
        wait_until(lambda: self.count_descriptors() <= self.descriptors + more_descriptors,
                   f"dynod has its {self.descriptors} descriptors, not more")
        wait_until(lambda: not self.strangers(), "no import's process is left")
        wait_until(lambda: not os.listdir(self.daemon.state_dir / "tmp"), "tmp/ is empty")
        assert self.read_rss() - self.rss < more_kib


def owner(path):
    try:
        return path.stat().st_uid
    except OSError:
        return 0


def put_in_place(path, behaviour):
    """A new file under the same name: what runs is not disturbed. @behaviour: path of a file."""
    data = hostile_program().read_bytes()
    assert data.count(PLACEHOLDER) == 1
    patch = str(behaviour).encode()
    assert len(patch) < 512
    at = data.index(PLACEHOLDER)
    data = data[:at] + patch + b"\0" * (512 - len(patch)) + data[at + 512:]
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.chmod(0o755)
    new.rename(path)


def behave(daemon, how, mode="none"):
    """@mode: the unpacker's, which is attacked; in all others it is the real one."""
    path = daemon.folder / "behaviour"
    real = daemon.prefix / "libexec/dynod/dynod-unpacker.real"
    new = path.with_name("behaviour.new")
    new.write_text(f"{how} {mode} {real}")
    new.chmod(0o644)
    new.rename(path)


@contextlib.contextmanager
def replaced(daemon, name):
    """@name is hostile within, as behave() says; the caller makes dynod start it."""
    path = daemon.prefix / "libexec/dynod" / name
    real = path.with_name(name + ".real")
    shutil.copy2(path, real)
    behave(daemon, "none")
    put_in_place(path, daemon.folder / "behaviour")
    try:
        yield real
    finally:
        real.rename(path)


def end_service(daemon, name):
    """SIGKILL; returns when another one runs."""
    before = daemon.pids_of(name)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(daemon.pids_of(name)) - set(before), f"a new {name}", 60)


class Harness:
    """The hostile supervisor, whichever incarnation of it runs now."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.path = daemon.state_dir / "supervisor/hostile.sock"
        self.socket = None
        self.connect()

    def connect(self):
        if self.socket:
            self.socket.close()

        def connected():
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self.socket.connect(str(self.path))
                return True
            except OSError:
                self.socket.close()
                return False
        wait_until(connected, "a fresh supervisor was greeted", 60)

    def order(self, line, seconds=60):
        """Returns the results by name; None if it was ended for what it did."""
        self.socket.settimeout(seconds * time_factor())
        self.socket.send(line.encode())
        try:
            answer = self.socket.recv(8192).decode()
        except ConnectionError:
            return None
        return {name: int(result) for name, result in (word.split("=") for word in answer.split())} or None

    def ended_for(self, line):
        """Root ends the supervisor that does @line, and greets another."""
        before = self.daemon.pids_of("dynod-supervisor")
        self.order(line)
        wait_until(lambda: set(self.daemon.pids_of("dynod-supervisor")) - set(before),
                   f"ended for \"{line}\"", 60)
        self.connect()


@contextlib.contextmanager
def hostile_supervisor(daemon):
    with replaced(daemon, "dynod-supervisor"):
        end_service(daemon, "dynod-supervisor")
        harness = Harness(daemon)
        try:
            yield harness
        finally:
            harness.socket.close()
    daemon.restart()  # one that ended often would be started late
