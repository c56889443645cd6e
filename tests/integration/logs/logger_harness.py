# SPDX-License-Identifier: Apache-2.0
"""Runs dynod-logger as the launcher does, with dynos that are FIFOs held by the test."""

import fcntl
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

LOGGER_UID = 61001
DYNO_UID = 61002
MAGIC = 0x44594C52
RECORD = struct.Struct("=IHHQ32s80s")
# LaunchStart, and DynoStateHead of ipc/dyno_state.h
START = struct.Struct("=II6I5Q2IQ2I32s32s88s32s64s32s")
STATE_HEAD = struct.Struct("=4sI6IQ88s")
LAUNCH_DYNO = 15  # checked against the header by the first test
LINE, STREAM, APPS, APP, APPS_END, FORGET = 1, 2, 3, 4, 5, 6
SOURCES = {1: "app", 2: "heroku"}


def text_of(field):
    return field.rstrip(b"\0").decode()


class Line(tuple):
    """(source, procid, text), with app and usec beside it."""

    def __new__(cls, source, procid, text, app="", usec=0):
        line = super().__new__(cls, (source, procid, text))
        line.app, line.usec = app, usec
        return line


class Dyno:
    """A dyno's folder with both FIFOs, and dyno-init's hold on them."""

    def __init__(self, harness, dyno_id, app):
        self.id, self.app = dyno_id, app
        self.folder = harness.dynos / dyno_id
        hidden = harness.dynos / f".{dyno_id}"
        hidden.mkdir(mode=0o755)
        for name in ("app", "log"):
            os.mkfifo(hidden / name)
            os.chown(hidden / name, DYNO_UID, LOGGER_UID)
            os.chmod(hidden / name, 0o240)
        kind, number = dyno_id.rsplit("-", 1)[0].split(".")
        start = START.pack(0, 0, 0, int(number), 1, 0, 100, 256, 1, 1, 0, 0, 0, 0, 0, 0,
                           harness.number(app), 0,
                           bytes(32), bytes(32), dyno_id.encode(), app.encode(), kind.encode(),
                           b"Standard-1X")
        head = STATE_HEAD.pack(b"dyst", 1, START.size, 2, DYNO_UID, 0, 0, 0, 1, dyno_id.encode())
        (hidden / "state").write_bytes(head + start)
        (hidden / "state").chmod(0o444)
        self.fds = {name: os.open(hidden / name, os.O_RDWR) for name in ("app", "log")}
        hidden.rename(self.folder)

    def write(self, data, fifo="app"):
        """Blocks as an app does when the FIFO is full."""
        view = memoryview(data if isinstance(data, bytes) else data.encode())
        while view:
            view = view[os.write(self.fds[fifo], view):]

    def say(self, text):
        self.write(text + "\n", "log")

    def waiting(self, fifo="app"):
        buf = bytearray(4)
        fcntl.ioctl(self.fds[fifo], 0x541B, buf)  # FIONREAD
        return struct.unpack("i", buf)[0]

    def end(self, remove=True):
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}
        if remove:
            shutil.rmtree(self.folder)


class Stream:
    """A client's end of a log stream."""

    def __init__(self, fd):
        self.fd, self.buf, self.eof = fd, b"", False
        os.set_blocking(fd, False)

    def read(self, until, timeout=20):
        """Lines up to the first for which until(line) is true, or to the end of file."""
        lines, deadline = [], time.monotonic() + timeout
        while True:
            while len(self.buf) >= RECORD.size:
                magic, source, size, usec, app, procid = RECORD.unpack_from(self.buf)
                assert magic == MAGIC
                if len(self.buf) < RECORD.size + size:
                    break
                text = self.buf[RECORD.size:RECORD.size + size]
                self.buf = self.buf[RECORD.size + size:]
                lines.append(Line(SOURCES[source], text_of(procid), text, text_of(app), usec))
                if until(lines[-1]):
                    return lines
            left = deadline - time.monotonic()
            assert left > 0, f"nothing more after {len(lines)} lines: {lines[-3:]}"
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            if not poll.poll(left * 1000):
                continue
            data = os.read(self.fd, 1 << 20)
            if not data:
                self.eof = True
                return lines
            self.buf += data

    def history(self):
        lines = self.read(lambda line: line[1] == "-live-")
        assert lines and lines[-1][1] == "-live-", "the stream ended without the mark"
        return lines[:-1]

    def close(self):
        os.close(self.fd)


class Harness:
    def __init__(self, build, disk=None):
        """disk: size of a file system of its own for the logs, such as "2m"."""
        self.mounted = False
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="dynod-logs-"))
        self.root.chmod(0o755)
        self.program = self.root / "dynod-logger"
        shutil.copy(pathlib.Path(build) / "bin" / "dynod-logger", self.program)
        self.logs = self.root / "state" / "logs"
        self.logs.mkdir(parents=True)
        if disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}", "tlogs", self.logs],
                           check=True)
            self.mounted = True
        os.chown(self.logs, LOGGER_UID, LOGGER_UID)
        self.dynos = self.root / "run" / "dynos"
        self.dynos.mkdir(parents=True)
        os.chown(self.dynos, 0, LOGGER_UID)
        self.dynos.chmod(0o750)
        self.process, self.channel, self.theirs, self.held = None, None, None, []
        self.numbers, self.last_number = {}, 0

    def start(self, say_apps=True):
        """The channel outlives a logger, as it does in the launcher. @say_apps: it is told that
        the list of apps has been said, which takes none for gone."""
        if self.channel is None:
            self.channel, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        config = os.memfd_create("config")
        os.write(config, (f"instance = tlogs\nstate_dir = {self.root}/state\n"
                          f"run_dir = {self.root}/run\nlogger_user = {LOGGER_UID}\n"
                          "supervisor_user = 61003\ncontrol_group = 61003\n").encode())
        watchdog = os.eventfd(0, os.EFD_NONBLOCK)  # nobody asks
        # Above 5, so that bash can put them there without overwriting one with the other.
        passed = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (self.theirs.fileno(), config, watchdog)]
        command = ["setpriv", f"--reuid={LOGGER_UID}", f"--regid={LOGGER_UID}", "--clear-groups",
                   "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
                   str(self.program), "--instance", "tlogs"]
        shell = f'exec 3<&{passed[0]} 4<&{passed[1]} 5<&{passed[2]} && ' + \
            ' '.join(f'exec {fd}<&-;' for fd in passed) + ' exec "$@"'
        self.process = subprocess.Popen(["bash", "-c", shell, "bash", *command],
                                        pass_fds=passed,
                                        # LeakSanitizer needs ptrace, which Landlock refuses.
                                        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
                                        stderr=(self.root / "stderr").open("ab"))
        for fd in (config, watchdog, *passed):
            os.close(fd)
        if say_apps:
            self.apps(last=0)

    def kill(self, signo=signal.SIGKILL):
        self.process.send_signal(signo)
        return self.process.wait(20)

    def end_supervisor(self):
        """And the launcher."""
        self.channel.close()
        self.theirs.close()
        self.channel = None

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        if self.channel:
            self.end_supervisor()
        print(self.errors())
        if self.mounted:
            subprocess.run(["umount", self.logs], check=True)
        shutil.rmtree(self.root)

    def errors(self):
        return (self.root / "stderr").read_text()

    def number(self, app):
        """Of the app of that name. That there is one, only tell_app() and apps() say."""
        if app not in self.numbers:
            self.last_number += 1
            self.numbers[app] = self.last_number
        return self.numbers[app]

    def folder(self, app):
        """Of the app's lines, if it has any."""
        return self.logs / str(self.number(app))

    def line(self, app, procid, text, seconds_ago=0.0):
        usec = int((time.time() - seconds_ago) * 1e6)
        record = RECORD.pack(MAGIC, 2, len(text), usec, app.encode(), procid.encode())
        self.channel.send(struct.pack("=II", LINE, self.number(app)) + record + text.encode())

    def tell_app(self, app, kind=APP):
        self.channel.send(struct.pack("=II32s", kind, self.number(app), app.encode()))

    def apps(self, *names, last=None):
        """Those that there are; others up to the last number are gone."""
        last = self.last_number if last is None else last
        self.channel.send(struct.pack("=II", APPS, last))
        for name in names:
            self.tell_app(name)
        self.channel.send(struct.pack("=II", APPS_END, last))

    def gone(self, app):
        """Says nothing to the logger; the next app of that name has another number."""
        return self.numbers.pop(app)

    def forget(self, app):
        self.tell_app(app, FORGET)
        self.gone(app)

    def renamed(self, app, new):
        """Says nothing to the logger."""
        self.numbers[new] = self.gone(app)

    def rename(self, app, new):
        self.renamed(app, new)
        self.tell_app(new)

    def stream(self, app="", follow=True, pipe=False, keep=False):
        """@keep: the end that the logger writes to stays open here too, as `theirs`."""
        if pipe:
            ours, theirs = os.pipe()
        else:
            left, right = socket.socketpair()
            ours, theirs = left.detach(), right.detach()
        number = self.number(app) if app else 0
        message = struct.pack("=III32s", STREAM, number, int(follow), app.encode())
        socket.send_fds(self.channel, [message], [theirs])
        stream = Stream(ours)
        if keep:
            stream.theirs = theirs
        else:
            os.close(theirs)
        return stream

    def history(self, app=""):
        stream = self.stream(app, follow=False)
        lines = stream.history()
        stream.close()
        return lines

    def wait_for(self, app, text, timeout=20):
        """Waits until a line with that text is there; returns all lines."""
        stream = self.stream(app)
        lines = stream.read(lambda line: line[2] == text, timeout)
        stream.close()
        return [line for line in lines if line[1] != "-live-"]

    def dyno(self, dyno_id, app="shop"):
        return Dyno(self, dyno_id, app)
