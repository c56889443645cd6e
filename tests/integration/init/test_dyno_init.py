# SPDX-License-Identifier: Apache-2.0
"""dyno-init as PID 1: start sequence, exit status, signals, FIFOs, status record."""

import fcntl
import os
import pathlib
import random
import re
import select
import signal
import struct
import termios
import time

import pytest

from init_harness import (
    BOUND, EXEC, EXITED, ORDER_END, SHELL, SIGNAL_ALL, SIGNAL_MAIN, STARTED, TTY, UID,
    TIMEOUT, Reader, spec_bytes, wait_until,
)

PATH = "PATH=/usr/bin:/bin"


def python(code, *args):
    return ["/usr/bin/python3", "-c", code, *args]


def log_of(dyno):
    dyno.log.read(0)
    return dyno.log.lines()


# ---- start sequence and environment ----


def test_start_sequence_runs_scripts_in_order_then_the_command(start):
    dyno = start(
        ['echo "$ORDER"; echo "$0"; pwd; umask'],
        flags=SHELL,
        env=(PATH, "ORDER=config", "HOME=/app"),
        files={
            ".profile.d/20-b.sh": 'ORDER="$ORDER b"',
            ".profile.d/10-a.sh": 'ORDER="$ORDER a"\nset -a -e -u\n',
            ".profile.d/30-fails.sh": 'false; nonsense_command\nORDER="$ORDER c"\nreturn 3',
            ".profile.d/40-broken.sh": "if then (",
            ".profile.d/50-not-a-script": "ORDER=wrong",
            ".profile": 'export ORDER="$ORDER profile"',
        },
    )
    assert dyno.finish() == 0
    out = dyno.app.data.decode()
    assert "config a b c profile\nbash\n/app\n0022\n" in out
    assert "nonsense_command: command not found" in out
    assert "40-broken.sh: line 1: syntax error" in out


def test_shell_environment_is_the_spec_and_what_scripts_export(start):
    dyno = start(
        ["exec env -0"],
        flags=SHELL,
        env=(PATH, "A=1", "B=two words\nand a line"),
        files={".profile.d/a.sh": "set -a\nexport C=3\nhidden=4"},
    )
    assert dyno.finish() == 0
    env = set(dyno.app.data.decode().split("\0")) - {""}
    ours = {v for v in env if v.split("=")[0] not in ("PWD", "SHLVL", "_", "OLDPWD")}
    assert ours == {PATH, "A=1", "B=two words\nand a line", "C=3", "hidden=4"}


def test_plain_command_gets_exactly_the_environment_of_the_spec(start):
    dyno = start(["env", "-0"], env=(PATH, "A=1", "_X=="))
    assert dyno.finish() == 0
    assert dyno.app.data.decode().split("\0") == [PATH, "A=1", "_X==", ""]


def test_command_that_begins_with_a_dash_is_a_command(start):
    dyno = start(["-x || echo fine"], flags=SHELL)
    assert dyno.finish() == 0
    assert "fine" in dyno.app.data.decode()


def test_nothing_runs_before_the_go_ahead(start):
    dyno = start(["sh", "-c", "echo ran"], go=False)
    assert not dyno.has_ended(0.1)
    assert dyno.record() is None and dyno.children() == []
    dyno.go()
    assert dyno.finish() == 0
    assert dyno.app.data == b"ran\n"


def test_closed_go_pipe_means_die(start):
    dyno = start(["sh", "-c", "echo ran"], go=False)
    os.close(dyno.go_write)
    dyno.go_write = os.open("/dev/null", os.O_RDONLY)
    assert dyno.wait() == 125
    assert dyno.app.read(0) == b"" and dyno.record() is None


# ---- exit status ----


@pytest.mark.parametrize(
    "args, status",
    [
        (["sh", "-c", "exit 0"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -SEGV $$"], 139),
        (["no-such-command"], 127),
        (["/no/such/command"], 127),
        (["/usr"], 126),
        (["/etc/passwd"], 126),
    ],
)
def test_exit_status_is_that_of_a_shell(start, args, status):
    dyno = start(args)
    assert dyno.finish() == status
    record = dyno.record()
    assert record["flags"] == STARTED | EXITED and record["status"] == status
    assert 0 < record["exited"] <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    assert log_of(dyno) == [
        f"Starting process with command `{' '.join(args)}`",
        f"Process exited with status {status}",
    ]


def test_command_that_cannot_run_says_why_in_the_apps_log(start):
    dyno = start(["no-such-command"])
    dyno.finish()
    assert dyno.app.data == b"cannot run no-such-command: No such file or directory\n"


def test_command_cannot_forge_a_line_of_the_log(start):
    command = "true\nProcess exited with status 7\r\x1b[2K" + "x" * 9000
    dyno = start([command], flags=SHELL)
    dyno.finish()
    lines = log_of(dyno)
    assert len(lines) == 2
    assert lines[0].startswith("Starting process with command `true\\nProcess exited with status 7")
    assert lines[0].endswith("xxx...`") and len(lines[0]) < 4096
    assert lines[1].startswith("Process exited with status ")


# ---- processes ----


def test_orphans_are_reaped(start):
    code = """
import os, sys, time
for i in range(50):
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.01)
        os._exit(0)
    os.wait()
print("forked", flush=True)
sys.stdin.read()
time.sleep(1000)
"""
    dyno = start(python(code))
    dyno.app.until("forked")
    end = time.monotonic() + 10
    while len(dyno.children()) != 1:
        assert time.monotonic() < end, dyno.children()
        time.sleep(0.005)
    dyno.order_signal(SIGNAL_MAIN, signal.SIGTERM)
    assert dyno.finish() == 143


def test_what_the_command_left_running_is_killed(start):
    dyno = start(
        ["sh", "-c", "trap '' TERM HUP; setsid sleep 1000 & (setsid sleep 1001 &) ; echo up; exit 4"]
    )
    assert dyno.finish() == 4
    assert dyno.app.data == b"up\n"


def test_order_reaches_all_or_the_command_alone(start):
    code = """
import os, signal
awaited = (signal.SIGTERM, signal.SIGUSR2)
signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
name = "child" if os.fork() == 0 else "main"
os.write(1, f"{name} ready\\n".encode())
while True:
    os.write(1, f"{name} {signal.sigwait(awaited)}\\n".encode())
"""
    dyno = start(python(code))
    dyno.app.until("main ready")
    dyno.app.until("child ready")
    dyno.order_signal(SIGNAL_MAIN, signal.SIGUSR2)
    dyno.app.until("main 12")
    dyno.order_signal(SIGNAL_ALL, signal.SIGTERM)
    dyno.app.until("main 15")
    dyno.app.until("child 15")
    assert b"child 12" not in dyno.app.data
    dyno.kill(signal.SIGTERM)
    end = time.monotonic() + 10
    while dyno.app.data.count(b" 15\n") < 4:
        assert time.monotonic() < end
        dyno.app.read(1)
    dyno.order_signal(SIGNAL_ALL, signal.SIGKILL)
    assert dyno.finish() == 137


def test_orders_sent_at_once_all_arrive(start):
    code = """
import os, signal
seen = []
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
os.write(1, b"ready\\n")
while True:
    signo = signal.sigwait(range(1, 32))
    os.write(1, f"got {signo}\\n".encode())
"""
    dyno = start(python(code))
    dyno.app.until("ready")
    for signo in (1, 2, 3, 10, 12, 15):
        dyno.order_signal(SIGNAL_MAIN, signo)
    for signo in (1, 2, 3, 10, 12, 15):
        dyno.app.until(f"got {signo}\n")


@pytest.mark.parametrize("order", [32, 64, 255, 2 << 8 | 9, 1 << 8, -1, 1 << 20, -(1 << 31)])
def test_order_out_of_range_does_nothing(start, order):
    dyno = start(["sh", "-c", "echo up; exec sleep 1000"])
    dyno.app.until("up")
    dyno.order(order)
    dyno.order_signal(SIGNAL_MAIN, signal.SIGINT)
    assert dyno.finish() == 130


def test_signals_from_inside_do_nothing(start):
    code = """
import os, signal
for signo in range(1, 65):
    if signo not in (32, 33):
        os.kill(1, signo)
os.kill(1, signal.SIGTERM)
print("sent", flush=True)
signal.pause()
"""
    dyno = start(python(code))
    dyno.app.until("sent")
    dyno.order_signal(SIGNAL_MAIN, signal.SIGINT)
    assert dyno.finish() in (1, 130)


# ---- FIFOs ----


def test_dyno_ends_only_when_its_output_was_read(start):
    dyno = start(["sh", "-c", "head -c 60000 /dev/zero"])
    dyno.wait_record(EXITED)
    assert not dyno.has_ended(0.2)
    dyno.log.read(0)
    assert not any(line.startswith("Process exited") for line in dyno.log.lines())
    assert dyno.finish() == 0
    assert len(dyno.app.data) == 60000
    dyno.log.until("Process exited with status 0\n")


def test_readers_that_die_lose_nothing(start):
    code = "import sys\nfor i in range(30000): sys.stdout.write(f'line {i:06}\\n')"
    dyno = start(python(code))
    data = b""
    while not data.endswith(b"line 029999\n"):
        reader = Reader(dyno.folder / "app")
        while len(reader.data) < 15000 and not (data + reader.data).endswith(b"line 029999\n"):
            assert reader.read(TIMEOUT, 3000)
        reader.close()
        data += reader.data
    assert data == b"".join(b"line %06d\n" % i for i in range(30000))
    assert dyno.finish() == 0


def test_dyno_waits_for_its_own_lines_to_be_read(start):
    dyno = start(["true"])
    dyno.wait_record(EXITED)
    assert not dyno.has_ended(0.2)
    dyno.log.until("Process exited with status 0\n")
    assert dyno.wait() == 0


def test_full_log_fifo_never_blocks_dyno_init(start):
    dyno = start(["sh", "-c", "kill -9 $$"], go=False)
    try:
        while True:
            os.write(dyno.fifos["log"], b"x" * 4096)
    except BlockingIOError:
        pass
    dyno.go()
    dyno.wait_record(EXITED)
    assert not dyno.has_ended(0.1)
    dyno.log.until("Process exited with status 137\n")
    text = dyno.log.data.lstrip(b"x")
    assert text.splitlines()[0].startswith(b"Starting process")
    assert dyno.wait() == 137


def test_order_to_end_skips_the_wait(start):
    dyno = start(["sh", "-c", "echo unread; exit 5"])
    dyno.wait_record(EXITED)
    assert not dyno.has_ended(0.1)
    dyno.order(ORDER_END)
    assert dyno.wait() == 5
    dyno.log.read(0)
    assert dyno.log.lines()[-1] == "Process exited with status 5"


def test_order_to_end_kills_a_running_command(start):
    dyno = start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1000; done"])
    dyno.app.until("up")
    dyno.order(ORDER_END)
    assert dyno.wait() == 137


def test_second_sigterm_while_draining_ends_the_wait(start):
    dyno = start(["sh", "-c", "echo unread; exit 6"])
    dyno.wait_record(EXITED)
    dyno.kill(signal.SIGTERM)
    assert not dyno.has_ended(0.1)
    dyno.kill(signal.SIGTERM)
    assert dyno.wait() == 6


def test_app_reopens_its_output(start):
    """/dev/stdout is /proc/self/fd/1. Whoever reads from there takes what it wrote itself."""
    code = """
import os
for path in ("/proc/self/fd/1", "/proc/self/fd/2"):
    for flags in (os.O_WRONLY, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, os.O_RDWR):
        fd = os.open(path, flags)
        os.write(fd, b"again\\n")
        os.close(fd)
fd = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
os.close(fd)
os.write(1, b"and on\\n")
"""
    dyno = start(python(code))
    assert dyno.finish() == 0
    assert dyno.app.data == b"again\n" * 6 + b"and on\n"


def test_a_grandchild_writes_where_the_command_has_closed_its_output(start):
    code = """
import os, signal
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(r, 1)
        os.write(1, b"late\\n")
    os._exit(0)
os.write(1, b"first\\n")
os.close(1)
os.close(2)
os.write(w, b"x")
signal.pause()
"""
    dyno = start(python(code))
    dyno.app.until("first\nlate\n")
    dyno.order_signal(SIGNAL_MAIN, signal.SIGTERM)
    assert dyno.finish() == 143


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_output_that_all_have_closed_costs_no_time(start):
    dyno = start(["sh", "-c", "echo first; exec >&- 2>&-; exec sleep 1000"])
    dyno.app.until("first")
    child = dyno.children()[0]
    wait_until(lambda: not os.path.lexists(f"/proc/{child}/fd/1"))
    before = cpu_ticks(dyno.pid)
    assert not dyno.has_ended(0.5)
    assert cpu_ticks(dyno.pid) - before < 10


def full(dyno):
    """True if nothing more fits into the app's FIFO: dyno-init waits for a reader."""
    return not select.select([], [dyno.fifos["app"]], [], 0)[1]


NUMBERS = "import sys\nfor i in range(%d): sys.stdout.write(f'line {i:06}\\n')\n%s"


def numbers(n):
    return b"".join(b"line %06d\n" % i for i in range(n))


def test_nothing_is_lost_while_nobody_reads(start):
    """FIFO, buffer and pipe fill up, the app waits, and orders are obeyed all the same."""
    dyno = start(python("import signal\nsignal.signal(signal.SIGUSR1, lambda s, f: open('told', 'w').close())\n" +
                        NUMBERS % (40000, "")))
    wait_until(lambda: full(dyno))
    dyno.order_signal(SIGNAL_ALL, signal.SIGUSR1)
    wait_until(lambda: os.path.exists(f"/proc/{dyno.pid}/root/app/told"))
    assert dyno.finish() == 0
    assert dyno.app.data == numbers(40000)
    assert dyno.log.lines()[-1] == "Process exited with status 0"


def bytes_in(fd):
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]


def test_app_that_waits_for_a_reader_ends_when_told(start):
    dyno = start(python(NUMBERS % (40000, "")))
    wait_until(lambda: full(dyno))
    pipe = os.open(f"/proc/{dyno.children()[0]}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    try:
        wait_until(lambda: not select.select([], [pipe], [], 0)[1])
        written = bytes_in(dyno.fifos["app"]) + bytes_in(pipe)
    finally:
        os.close(pipe)
    dyno.order_signal(SIGNAL_ALL, signal.SIGTERM)
    record = dyno.wait_record(EXITED)
    assert record["status"] == 143 and not dyno.has_ended(0.1)
    assert dyno.finish() == 143
    assert numbers(40000).startswith(dyno.app.data) and len(dyno.app.data) >= written > 65536
    assert dyno.log.lines()[-1] == "Process exited with status 143"


def test_bytes_left_in_the_pipe_come_before_the_exit_line(start):
    """More than the FIFO holds is on its way when the command ends, and nobody reads yet."""
    dyno = start(python(NUMBERS % (10000, "")))
    dyno.wait_record(EXITED)
    assert not dyno.has_ended(0.1)
    dyno.log.read(0)
    assert not any(line.startswith("Process exited") for line in dyno.log.lines())
    assert dyno.finish() == 0
    assert dyno.app.data == numbers(10000) and len(dyno.app.data) > 65536
    dyno.log.until("Process exited with status 0\n")


def test_order_to_end_leaves_all_output_to_who_reads_later(start):
    dyno = start(python(NUMBERS % (10000, "")))
    dyno.wait_record(EXITED)
    dyno.order(ORDER_END)
    assert dyno.wait() == 0
    while dyno.app.read(0):
        pass
    assert dyno.app.data == numbers(10000)
    dyno.log.until("Process exited with status 0\n")


def test_order_to_end_while_the_app_writes_ends_it(start):
    dyno = start(["sh", "-c", "yes & exec yes"])
    wait_until(lambda: full(dyno))
    dyno.order(ORDER_END)
    assert dyno.wait() == 137
    while dyno.app.read(0):
        pass
    assert set(dyno.app.data.split(b"\n")[:-1]) == {b"y"} and len(dyno.app.data) > 65536


def test_dyno_init_keeps_what_it_relays_in_memory(start):
    dyno = start(["sh", "-c", "echo up; exec sleep 1000"])
    dyno.app.until("up")
    locked = re.search(r"^VmLck:\s+(\d+) kB$", pathlib.Path(f"/proc/{dyno.pid}/status").read_text(), re.M)
    assert int(locked[1]) >= 64
    child = pathlib.Path(f"/proc/{dyno.children()[0]}/status").read_text()
    assert re.search(r"^VmLck:\s+0 kB$", child, re.M)


# ---- boot detection ----

LISTEN = """
import socket, sys, time
family, address, port = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if family == "6" else socket.AF_INET)
s.bind((address, int(port)))
print("bound", flush=True)
s.listen()
print("listening", flush=True)
sys.stdin.read()
time.sleep(1000)
"""


@pytest.mark.parametrize("family, address", [("4", "0.0.0.0"), ("6", "::")])
def test_listener_on_the_port_is_found(start, family, address):
    dyno = start(python(LISTEN, family, address, "5000"), web_port=5000)
    dyno.app.until("listening")
    record = dyno.wait_record(BOUND)
    assert record["flags"] == STARTED | BOUND
    assert 0 < record["bound"] <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


@pytest.mark.parametrize(
    "family, address, port", [("4", "127.0.0.1", "5000"), ("6", "::1", "5000"),
                              ("4", "127.1.2.3", "5000"), ("4", "0.0.0.0", "5001")])
def test_listener_elsewhere_does_not_count(start, family, address, port):
    dyno = start(python(LISTEN, family, address, port), web_port=5000)
    dyno.app.until("listening")
    time.sleep(0.15)  # seven looks
    assert dyno.record()["flags"] == STARTED


def test_dyno_without_web_port_is_not_watched(start):
    dyno = start(python(LISTEN, "4", "0.0.0.0", "5000"))
    dyno.app.until("listening")
    time.sleep(0.1)
    assert dyno.record()["flags"] == STARTED


# ---- what the app can reach ----


def test_app_has_three_descriptors_and_nothing_of_dynod(start):
    code = """
import os
names = sorted(os.listdir("/proc/self/fd"), key=int)
print(len(names) - 1, [os.readlink(f"/proc/self/fd/{n}") for n in names[:3]])
print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())
import signal
print([s for s in range(1, 65) if s not in (9, 13, 19, 25, 32, 33) and
       signal.getsignal(s) not in (signal.SIG_DFL, signal.default_int_handler)],
      signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    dyno = start(python(code))
    assert dyno.finish() == 0
    first, second, third = dyno.app.data.decode().splitlines()
    assert first.startswith("3 ['/dev/null', ") and first.count("'pipe:[") == 2
    assert second == "True True"
    assert third == "[] set()"


def test_app_cannot_look_into_dyno_init(start):
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for name in ("mem", "maps", "environ", "auxv", "syscall", "stack", "fd/3", "fd/8", "fdinfo/3",
             "cwd/x", "root/x", "exe", "map_files", "fd", "ns/mnt", "pagemap", "clear_refs"):
    for flags in (os.O_RDONLY, os.O_RDWR):
        try:
            fd = os.open("/proc/1/" + name, flags)
            if name == "fd":
                os.listdir(fd)
            data = os.read(fd, 1)
            print("OPENED", name)
        except OSError:
            pass
for name, value in (("oom_score_adj", "-1"), ("oom_score_adj", "1000"), ("coredump_filter", "1"),
                    ("comm", "x")):
    try:
        with open("/proc/1/" + name, "w") as f:
            f.write(value)
        print("WROTE", name)
    except OSError:
        pass
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
for request in (PTRACE_ATTACH, PTRACE_SEIZE):
    if libc.ptrace(request, 1, 0, 0) == 0:
        print("TRACED")
buf = ctypes.create_string_buffer(8)
class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
mine = Iovec(ctypes.addressof(buf), 8)
if libc.process_vm_readv(1, ctypes.byref(mine), 1, ctypes.byref(mine), 1, 0) > 0:
    print("PEEKED")
pidfd = os.pidfd_open(1)
for fd in range(10):
    if libc.syscall(438, pidfd, fd, 0) >= 0:
        print("STOLE", fd)
print("done")
"""
    dyno = start(python(code))
    assert dyno.finish() == 0
    assert dyno.app.data == b"done\n"


def test_dyno_init_is_not_dumpable_while_it_waits(start):
    dyno = start(["true"], go=False)
    # Files of a process that is not dumpable belong to root.
    assert os.stat(f"/proc/{dyno.pid}/mem").st_uid == 0
    assert os.stat(f"/proc/{dyno.pid}").st_uid in (0, UID)
    dyno.go()
    assert dyno.finish() == 0


@pytest.mark.vm
def test_command_cannot_hide_from_the_oom_killer(start):
    def protect():
        pathlib.Path("/proc/self/oom_score_adj").write_text("0")
        pathlib.Path("/proc/self/oom_adj").write_text("-17")

    code = """
print(open("/proc/self/oom_score_adj").read().strip(), open("/proc/1/oom_score_adj").read().strip())
for name, value in (("oom_score_adj", "-1000"), ("oom_score_adj", "-1")):
    try:
        with open("/proc/self/" + name, "w") as f:
            f.write(value)
        print("LOWERED")
    except OSError:
        pass
"""
    dyno = start(python(code), prepare=protect)
    assert dyno.finish() == 0
    assert dyno.app.data == b"0 -1000\n"


# ---- bad specs ----


@pytest.mark.parametrize(
    "flags", [EXEC, EXEC | 4, TTY, 1 << 4], ids=["exec", "exec-attach", "tty", "unknown"])
def test_spec_for_another_process_is_refused(start, flags):
    dyno = start(["true"], spec=spec_bytes(["true"], [], flags))
    assert dyno.wait() == 125
    assert dyno.record() is None
    dyno.log.until("Cannot start the process: Bad message\n")


def test_mutated_specs_never_crash_or_hang(start):
    """Whatever the bytes are: refused with 125, or some command runs and ends."""
    rng = random.Random(20260501)
    good = spec_bytes(["/bin/true", "x"], [PATH, "A=1"], 0, 0)
    for _ in range(60):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            kind = rng.randrange(4)
            at = rng.randrange(len(data))
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at:at + rng.randrange(1, 9)]
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            else:
                at &= ~3
                data[at:at + 4] = struct.pack("<I", rng.choice((0, 1, 2, 0xFFFF, 0xFFFFFFFF)))
        if not data:
            continue
        dyno = start(["x"], spec=bytes(data))
        assert dyno.finish() in (0, 125, 126, 127), bytes(data)
        dyno.close()
        start.forget(dyno)
