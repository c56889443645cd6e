# SPDX-License-Identifier: Apache-2.0
"""attach_run(), herokuctl's side of an attached command, against the real dyno-init."""

import fcntl
import os
import pathlib
import pty
import signal
import socket
import struct
import subprocess
import termios

import pytest

from init_harness import ATTACH, SHELL, TTY, read_until

# Built from the sources, which a machine with an installed dynod does not have.
pytestmark = pytest.mark.native

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[2]
SLEEP = "import signal, time\nprint('up', flush=True)\nwhile True: time.sleep(100)"


def python(code, *args):
    return ["/usr/bin/python3", "-c", code, *args]


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """attach_run() with a main() of its own."""
    out = tmp_path_factory.mktemp("attach") / "driver"
    build = os.environ["DYNOD_BUILD"]
    subprocess.run(
        ["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g", f"-I{TOP}/src", f"-I{TOP}/include",
         f"-I{build}/generated", HERE / "attach_driver.c", TOP / "src/cli/attach.c",
         TOP / "src/ipc/channel.c", TOP / "src/base/log.c", "-o", out], check=True)
    return str(out)


def run_driver(driver, dyno, tty=False, **kwargs):
    fd = dyno.client.fileno()
    process = subprocess.Popen([driver, str(fd), "1" if tty else "0"], pass_fds=[fd], **kwargs)
    dyno.client.close()
    return process


def test_driver_copies_everything_and_ends_with_the_status(start, driver, tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(data)
    dyno = start(["sh", "-c", "tee /proc/self/fd/2; exit 42"], flags=ATTACH)
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as out, \
            open(tmp_path / "err", "wb") as err:
        process = run_driver(driver, dyno, stdin=source, stdout=out, stderr=err)
        assert process.wait(60) == 42
    assert (tmp_path / "out").read_bytes() == data
    assert (tmp_path / "err").read_bytes() == data
    assert dyno.finish() == 42


def test_driver_waits_for_slow_readers(start, driver):
    dyno = start(["sh", "-c", "head -c 1000000 /dev/zero; exit 1"], flags=ATTACH)
    process = run_driver(driver, dyno, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    total = 0
    while got := os.read(process.stdout.fileno(), 1000):
        total += len(got)
    assert total == 1000000
    assert process.wait(10) == 1


def test_driver_does_not_wait_for_what_an_exec_left_running(start, driver):
    dyno = start(["sh", "-c", "echo up; exec sleep 1000"])
    dyno.app.until("up")
    extra = start.exec(dyno, ["sh", "-c", "setsid sleep 999 & echo gone; exit 6"])
    process = run_driver(driver, extra, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.read() == b"gone\n"
    assert process.wait(10) == 6


@pytest.mark.parametrize("args, status", [(["nope"], 127), (["/usr"], 126)])
def test_driver_says_what_cannot_run(start, driver, args, status):
    dyno = start(args, flags=ATTACH)
    process = run_driver(driver, dyno, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert b"cannot be run: " in process.stderr.read()
    assert process.wait(10) == status


def test_driver_notices_a_killed_dyno(start, driver):
    dyno = start(["sh", "-c", "echo last words; exec sleep 1000"], flags=ATTACH)
    process = run_driver(driver, dyno, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    read_until(process.stdout.fileno(), b"last words\n")
    dyno.kill(signal.SIGKILL)
    assert process.wait(10) == 200


class Terminal:
    """A terminal of the caller's, with attach_run() on it."""

    def __init__(self, driver, dyno, rows=24, columns=80):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)

        def own():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = run_driver(
            driver, dyno, tty=True, stdin=self.slave, stdout=self.slave, stderr=self.slave,
            preexec_fn=own)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)

    def close(self):
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)


def test_driver_makes_the_terminal_raw_and_restores_it(start, driver):
    dyno = start(["echo up; read -r x; echo \"got $x\"; exit 3"], flags=ATTACH | TTY | SHELL)
    terminal = Terminal(driver, dyno)
    assert read_until(terminal.master, b"up\r\n") == b"up\r\n"
    os.write(terminal.master, b"typed\r")
    out = read_until(terminal.master, b"got typed\r\n")
    assert out == b"typed\r\ngot typed\r\n"  # one echo: the dyno's
    assert terminal.process.wait(10) == 3
    terminal.close()


def test_driver_passes_size_and_control_characters(start, driver):
    code = """
import os, signal, time
def say(text):
    os.write(1, f"{text} {tuple(os.get_terminal_size(0))}\\n".encode())
signal.signal(signal.SIGWINCH, lambda s, f: say("now"))
try:
    say("up")
    while True:
        time.sleep(100)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    dyno = start(python(code), flags=ATTACH | TTY)
    terminal = Terminal(driver, dyno, 30, 90)
    read_until(terminal.master, b"up")
    assert terminal.is_raw()
    terminal.resize(40, 120)
    read_until(terminal.master, b"(120, 40)")
    os.write(terminal.master, b"\x03")
    read_until(terminal.master, b"interrupted")
    assert terminal.process.wait(10) == 0
    terminal.close()


def test_driver_restores_the_terminal_when_killed_by_a_signal(start, driver):
    for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        dyno = start(python(SLEEP), flags=ATTACH | TTY)
        terminal = Terminal(driver, dyno)
        read_until(terminal.master, b"up")
        terminal.process.send_signal(signo)
        assert terminal.process.wait(10) == -signo
        terminal.close()
        assert dyno.finish() == 129


def test_driver_drains_a_terminal_completely(start, driver):
    dyno = start(python("for i in range(20000): print('line', i)"), flags=ATTACH | TTY)
    terminal = Terminal(driver, dyno)
    out = read_until(terminal.master, b"line 19999\r\n")
    assert out.count(b"\n") == 20000
    assert terminal.process.wait(10) == 0
    terminal.close()


def test_end_of_the_callers_input_is_the_end_for_a_terminal_too(start, driver):
    dyno = start(["echo up; cat; echo end"], flags=ATTACH | TTY | SHELL)
    terminal = Terminal(driver, dyno)
    read_until(terminal.master, b"up\r\n")
    os.write(terminal.master, b"\x04")  # raw: passed on, and the dyno's terminal acts on it
    read_until(terminal.master, b"end\r\n")
    assert terminal.process.wait(10) == 0
    terminal.close()


def test_output_of_pipes_is_cleaned_for_a_terminal_alone(start, driver):
    text = b"a\tb\x1b]0;title\x07\xc2\x9b2J \xc3\x9f\x7f\n"
    command = ["printf", text.decode()]
    master, slave = pty.openpty()
    dyno = start(command, flags=ATTACH)
    process = run_driver(driver, dyno, stdin=subprocess.DEVNULL, stdout=slave)
    assert process.wait(10) == 0
    out = read_until(master, b"\n")
    assert out.startswith(b"a\tb?]0;title?\xc2?2J \xc3\x9f?")
    os.close(master)
    os.close(slave)

    dyno = start(command, flags=ATTACH)
    process = run_driver(driver, dyno, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.read() == text
    assert process.wait(10) == 0


@pytest.mark.parametrize("fds", [["/dev/null"] * 3, ["/dev/null"], []])
def test_descriptors_of_another_kind_are_refused(driver, fds):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    opened = [os.open(path, os.O_RDWR) for path in fds]
    process = subprocess.Popen(
        [driver, str(theirs.fileno()), "0"], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    socket.send_fds(ours, [struct.pack("<IIII", 0x44594154, 1, 0, 0)], opened)
    assert b"Bad message" in process.stderr.read()
    assert process.wait(10) == 201
    for fd in opened:
        os.close(fd)
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "message", [(0, 1, 0, 0), (0x44594154, 9, 0, 0), (0x44594154, 2, 0, 0), (0x44594154, 3, 2, 1)])
def test_messages_of_another_form_are_refused(driver, message):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [driver, str(theirs.fileno()), "0"], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    ours.send(struct.pack("<IIII", *message))
    assert b"Bad message" in process.stderr.read()
    assert process.wait(10) == 201
    ours.close()
    theirs.close()
