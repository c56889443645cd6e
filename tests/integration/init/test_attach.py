# SPDX-License-Identifier: Apache-2.0
"""Attached commands: dyno-init's side, and herokuctl's attach_run() on the other."""

import fcntl
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from init_harness import (
    ATTACH, ATTACH_EXIT, ATTACH_FAILED, ATTACH_OPEN, EXEC, SHELL, TIMEOUT, TTY,
    attach_receive, read_all,
)

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[2]
SLEEP = "import signal, time\nprint('up', flush=True)\nwhile True: time.sleep(100)"


def python(code, *args):
    return ["/usr/bin/python3", "-c", code, *args]


def open_streams(process, n):
    kind, status, fds = attach_receive(process.client)
    assert (kind, status, len(fds)) == (ATTACH_OPEN, 0, n)
    return fds


def close_all(fds):
    for fd in fds:
        os.close(fd)


def read_until(fd, text, data=b""):
    while text not in data:
        assert select.select([fd], [], [], TIMEOUT)[0], data
        data += os.read(fd, 65536)
    return data


# ---- dyno-init ----


def test_pipes_carry_all_three_streams(start):
    dyno = start(["sh", "-c", "cat; echo error >&2; exit 9"], flags=ATTACH)
    fds = open_streams(dyno, 3)
    os.write(fds[0], b"through")
    os.close(fds[0])
    assert read_all(fds[1]) == b"through"
    assert read_all(fds[2]) == b"error\n"
    assert attach_receive(dyno.client) == (ATTACH_EXIT, 9, [])
    assert attach_receive(dyno.client) is None
    assert dyno.finish() == 9
    assert dyno.app.data == b""
    assert dyno.log.lines()[-1] == "Process exited with status 9"
    close_all(fds[1:])


def test_terminal_is_a_real_one(start):
    code = """
import os, termios
print(os.isatty(0), os.isatty(1), os.isatty(2), os.get_terminal_size())
print(os.tcgetpgrp(0) == os.getpid() == os.getsid(0), os.ttyname(0).startswith("/dev/pts/"))
fd = os.open("/dev/tty", os.O_RDWR)
print("fds", sorted(os.listdir("/proc/self/fd"), key=int)[:3], len(os.listdir("/proc/self/fd")) - 2)
print(input())
"""
    dyno = start(python(code), flags=ATTACH | TTY, rows=33, columns=101)
    (master,) = open_streams(dyno, 1)
    os.write(master, b"typed\n")
    out = read_all(master).decode().replace("\r", "")
    assert "True True True os.terminal_size(columns=101, lines=33)" in out
    assert "True True\n" in out
    assert "fds ['0', '1', '2'] 3\n" in out
    assert out.endswith("typed\n")
    assert attach_receive(dyno.client) == (ATTACH_EXIT, 0, [])
    assert dyno.finish() == 0
    os.close(master)


def test_terminal_ends_although_a_child_ignores_the_hangup(start):
    dyno = start(
        ["trap '' HUP; sleep 1000 & echo started; exit 2"], flags=ATTACH | TTY | SHELL)
    (master,) = open_streams(dyno, 1)
    assert read_all(master) == b"started\r\n"
    assert attach_receive(dyno.client) == (ATTACH_EXIT, 2, [])
    assert dyno.finish() == 2
    os.close(master)


def test_interrupt_character_reaches_the_foreground(start):
    dyno = start(["echo up; sleep 1000; echo after $?"], flags=ATTACH | TTY | SHELL)
    (master,) = open_streams(dyno, 1)
    read_until(master, b"up\r\n")
    os.write(master, b"\x03")
    assert attach_receive(dyno.client) == (ATTACH_EXIT, 130, [])
    os.close(master)
    assert dyno.finish() == 130


@pytest.mark.parametrize("args, errno, status", [(["nope"], 2, 127), (["/etc/passwd"], 13, 126)])
def test_command_that_cannot_run_is_told_to_the_client_alone(start, args, errno, status):
    dyno = start(args, flags=ATTACH)
    fds = open_streams(dyno, 3)
    assert attach_receive(dyno.client) == (ATTACH_FAILED, errno, [])
    assert read_all(fds[2]) == b""
    assert dyno.finish() == status
    close_all(fds)


def test_client_that_goes_away_means_sighup_to_all(start):
    code = """
import os, signal, time
name = "child" if os.fork() == 0 else "main"
def hangup(signo, frame):
    with open("/app/" + name, "w"):
        pass
    if name == "main":
        while not os.path.exists("/app/child"):
            time.sleep(0.005)
        os._exit(8)
signal.signal(signal.SIGHUP, hangup)
print(name, "ready", flush=True)
while True:
    time.sleep(100)
"""
    dyno = start(python(code), flags=ATTACH)
    fds = open_streams(dyno, 3)
    data = read_until(fds[1], b"main ready")
    read_until(fds[1], b"child ready", data)
    close_all(fds)
    dyno.client.close()
    assert dyno.finish() == 8
    assert dyno.log.lines()[1:] == [
        "Client connection closed. Sending SIGHUP to all processes", "Process exited with status 8"]


def test_client_that_never_came_means_no_start(start):
    dyno = start(["touch", "/app/ran"], flags=ATTACH, go=False)
    dyno.client.close()
    dyno.go()
    assert dyno.finish() == 125
    dyno.log.until("Cannot start the process: Connection reset by peer\n")


# ---- ps:exec ----


def test_exec_runs_beside_the_command(start):
    dyno = start(["sh", "-c", "touch /app/by-main; echo up; exec sleep 1000"])
    dyno.app.until("up")
    extra = start.exec(
        dyno, ["sh", "-c", "ls /app; cat /proc/1/comm; echo $A; exit 5"],
        env=("PATH=/usr/bin:/bin", "A=exec"))
    fds = open_streams(extra, 3)
    assert read_all(fds[1]) == b"by-main\ndyno-init\nexec\n"
    assert read_all(fds[2]) == b""
    assert attach_receive(extra.client) == (ATTACH_EXIT, 5, [])
    assert extra.wait() == 5
    assert not dyno.has_ended()
    dyno.log.read(0)
    assert len(dyno.log.lines()) == 1 and dyno.record()["flags"] == 4
    close_all(fds)


def test_exec_leaves_what_it_started_to_the_dyno(start):
    dyno = start(["sh", "-c", "echo up; exec sleep 1000"])
    dyno.app.until("up")
    extra = start.exec(dyno, ["sh", "-c", "setsid sleep 999 >/dev/null 2>&1 </dev/null & exit 0"])
    fds = open_streams(extra, 3)
    assert extra.wait() == 0
    end = time.monotonic() + TIMEOUT
    while len(dyno.children()) != 2:
        assert time.monotonic() < end
        time.sleep(0.005)
    close_all(fds)


def test_exec_with_terminal(start):
    dyno = start(["sh", "-c", "echo up; exec sleep 1000"])
    dyno.app.until("up")
    extra = start.exec(dyno, ["stty size; tty"], flags=EXEC | ATTACH | TTY | SHELL, rows=24,
                       columns=80)
    (master,) = open_streams(extra, 1)
    assert read_all(master) == b"24 80\r\n/dev/pts/0\r\n"
    assert extra.wait() == 0
    os.close(master)


def test_kill_of_exec_ends_its_command(start):
    dyno = start(["sh", "-c", "echo up; exec sleep 1000"])
    dyno.app.until("up")
    extra = start.exec(dyno, python(SLEEP))
    fds = open_streams(extra, 3)
    read_until(fds[1], b"up")
    extra.kill(signal.SIGKILL)
    assert extra.wait() == -9
    assert read_all(fds[1]) == b""  # its end is closed: the command is dead
    assert not dyno.has_ended()
    close_all(fds)


def test_end_of_the_dyno_ends_the_exec(start):
    dyno = start(["sh", "-c", "echo up; read x </app/stop; exit 3"],
                 prepare=lambda: os.mkfifo("/app/stop", 0o666) or os.chmod("/app/stop", 0o666))
    dyno.app.until("up")
    extra = start.exec(dyno, python(SLEEP))
    fds = open_streams(extra, 3)
    read_until(fds[1], b"up")
    with open(f"/proc/{dyno.pid}/root/app/stop", "w") as f:
        f.write("now\n")
    assert dyno.finish() == 3
    assert extra.wait() == -9
    close_all(fds)


# ---- attach_run() ----


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """attach_run() with a main() of its own."""
    out = tmp_path_factory.mktemp("attach") / "driver"
    build = os.environ.get("DYNOD_BUILD")
    if not build:
        pytest.skip("an installed dynod has no sources to build the driver from")
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
signal.signal(signal.SIGWINCH, lambda s, f: print(tuple(os.get_terminal_size(0)), flush=True))
print("up", tuple(os.get_terminal_size(0)), flush=True)
try:
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
