# SPDX-License-Identifier: Apache-2.0
"""Attached commands, `run` and `ps:exec`: dyno-init's side."""

import os
import signal
import time

import pytest

from init_harness import (
    ATTACH, ATTACH_EXIT, ATTACH_FAILED, ATTACH_OPEN, EXEC, SHELL, TIMEOUT, TTY,
    attach_receive, read_all, read_until,
)

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
