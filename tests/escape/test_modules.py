# SPDX-License-Identifier: Apache-2.0
"""No dyno has the host start modprobe, which runs as root and is in no dyno's cgroup.

What a program asks a kernel for is looked up as a module before the kernel says no; the
answer is the same with and without. So the host's own modprobe notes what it is started for.
"""

import contextlib
import pathlib
import subprocess
import threading

import pytest

from dynod_testing import http_get, time_factor, wait_until

pytestmark = pytest.mark.vm

MODPROBE = pathlib.Path("/proc/sys/kernel/modprobe")
PIN = pathlib.Path("/sys/fs/bpf/dynod/modules")
NOTES, HELPER = pathlib.Path("/var/tmp/escape-modules"), pathlib.Path("/var/tmp/escape-modprobe")

# Every family with each type and the protocols that a filter may let by. "few" is for a host
# that starts its modprobe for each.
ASK = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
made = 0
def ask(family, kind, protocol):
    global made
    fd = libc.socket(family, kind, protocol)
    if fd >= 0:
        made += 1
        os.close(fd)
if sys.argv[-1] == "few":
    ask(2, 1, 17), ask(2, 2, 58), ask(10, 2, 1), ask(10, 1, 132), ask(33, 2, 0)
    sys.exit()
for family in range(46):
    for kind in range(12):
        for protocol in (0, 1, 2, 6, 17, 33, 58, 132, 136, 255, 256, 262):
            ask(family, kind, protocol)
for request in (0x8940, 0x8941, 0x8982, 0x8983, 0x89a0, 0x89a1):
    fd = libc.socket(2, 1, 0)
    libc.ioctl(fd, ctypes.c_ulong(request), b"x" * 64)
    os.close(fd)
for level, option, value in ((6, 31, b"tls"), (6, 31, b"smc"), (6, 13, b"vegas"), (0, 64, b"x"), (0, 83, b"x" * 64)):
    fd = libc.socket(2, 1, 0)
    libc.setsockopt(fd, level, option, value, len(value))
    os.close(fd)
for name in (b"squashfs", b"cramfs", b"nosuchfs"):
    libc.mount(b"none", b"/tmp", name, 0, None)
libc.syscall(179, 0x800007 << 8, b"/tmp", 0, None)
print("made", made)
"""

# Who asks by netlink for a classifier needs no right and no filter sees the question: the kernel
# looks for a module of that name before it looks for the block that is asked about, of no link.
CLASSIFY = """
import socket, struct, sys
RTM_GETTFILTER, NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR, TCA_KIND = 46, 1, 4, 2, 1
def ask(name):
    kind = name.encode() + bytes(1)
    kind = struct.pack("=HH", 4 + len(kind), TCA_KIND) + kind + bytes(-len(kind) % 4)
    asked = struct.pack("=BxxxIIII", 0, 0xffffffff, 0, 1, 1 << 16 | socket.htons(0x0800)) + kind
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(struct.pack("=IHHII", 16 + len(asked), RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + asked)
        answer = netlink.recv(4096)
    assert struct.unpack_from("=H", answer, 4) == (NLMSG_ERROR,), answer
    return struct.unpack_from("=i", answer, 16)[0]
for name in sys.argv[1:]:
    print(name, ask(name))
"""

# A program of a format that nobody knows: the kernel up to 6.13 looks for binfmt-ff01 and so on.
START = """
import errno, os
def start(folder, times):
    unknown = 0
    for number in range(times):
        path = os.path.join(folder, "unknown-format")
        with open(path, "wb") as file:
            file.write(bytes([0x7f, 1, number, 0xff]) + bytes(124))
        os.chmod(path, 0o755)
        try:
            os.execv(path, ["x"])
        except OSError as error:
            unknown += error.errno == errno.ENOEXEC
    return unknown
"""
START_WEB = START + """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"unknown": %d}' % start("/app", 10)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def asked():
    """What modprobe was started for so far."""
    def read():
        return NOTES.read_text(encoding="ascii").split("\n")[:-1] if NOTES.exists() else []
    # What root itself needs for the first dyno of all.
    subprocess.run(["modprobe", "overlay"], check=True)
    HELPER.write_text(f'#!/bin/sh\necho "$@" >>{NOTES}\nexit 1\n', encoding="ascii")
    HELPER.chmod(0o755)
    before = MODPROBE.read_text(encoding="ascii")
    MODPROBE.write_text(str(HELPER), encoding="ascii")
    yield read
    MODPROBE.write_text(before, encoding="ascii")
    HELPER.unlink()
    NOTES.unlink(missing_ok=True)


@contextlib.contextmanager
def guard(daemon, on):
    """With the program that refuses modules to all dynos, or without: then the filters are alone."""
    if not on:
        PIN.unlink()
    yield
    if not on:
        daemon.restart()
    assert PIN.exists()


def test_no_call_of_a_dyno_starts_modprobe(daemon, app, slug, asked, note_guard):
    daemon.ok("deploy", slug({"Procfile": "worker: true\n", "ask.py": ASK}), "-a", app, timeout=120)
    for on in (True, False):
        with guard(daemon, on):
            before = asked()
            done = daemon.run(app, "python3", "/app/ask.py", timeout=120)
            assert done.returncode == 0 and "made" in done.stdout, done.stdout + done.stderr
            note_guard("modules", "have modprobe started by a call", on, asked() != before)
            assert asked() == before
    # The control: an ordinary user of the host has it started, for some of these.
    subprocess.run(["setpriv", "--reuid", "65533", "--clear-groups", "python3", "-c", ASK, "few"], check=True,
                   capture_output=True, timeout=60 * time_factor())
    words = " ".join(asked()[len(before):])
    assert "net-pf-2-proto-17-type-1" in words and "net-pf-2-proto-58-type-2" in words, words[:500]


def classifiers(asked):
    """Of that what was looked for because of a classifier: cls_NAME, and from Linux 6.9 on net-cls-NAME."""
    names = [line.split()[-1].replace("-", "_") for line in asked()]
    return [name.rpartition("cls_")[2] for name in names if "cls_" in name]


def test_no_dyno_starts_modprobe_by_a_classifier(daemon, app, slug, asked, note_guard):
    daemon.ok("deploy", slug({"Procfile": "worker: true\n", "ask.py": CLASSIFY}), "-a", app, timeout=120)

    def ask(*names):
        done = daemon.run(app, "python3", "/app/ask.py", *names, timeout=120)
        assert done.returncode == 0 and done.stdout.count("\n") == len(names), done.stdout + done.stderr
    told = "have modprobe started by a question for a classifier"
    with guard(daemon, True):
        ask("with1", "with2", "basic")
        note_guard("modules", told, True, classifiers(asked) != [])
        assert classifiers(asked) == []
    # The control: outside of the dynos' cgroup, and in it without the program.
    subprocess.run(["setpriv", "--reuid", "65533", "--clear-groups", "python3", "-c", CLASSIFY, "outside"], check=True,
                   capture_output=True, timeout=60 * time_factor())
    assert classifiers(asked) == ["outside"]
    with guard(daemon, False):
        # The kernel takes it off a moment later.
        wait_until(lambda: ask("without1", "without2") or len(classifiers(asked)) > 1, "a dyno starts modprobe")
        note_guard("modules", told, False, "without2" in classifiers(asked))
    without = classifiers(asked)
    ask("again")
    assert classifiers(asked) == without


def starts_unknown_programs(dyno):
    assert http_get(dyno, timeout=30 * time_factor()) == (200, {"unknown": 10})


@contextlib.contextmanager
def starting_unknown_programs(dyno):
    """All the time, by one request after the other; yields how many were answered."""
    answered, failed, over = [], [], threading.Event()

    def go_on():
        while not over.is_set():
            try:
                starts_unknown_programs(dyno)
                answered.append(True)
            except (AssertionError, OSError) as error:
                failed.append(error)
                return
    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield answered
    finally:
        over.set()
        thread.join()
    assert not failed, failed


def formats(asked):
    """Of that what was looked for because of a program; a start of dynod may ask for others."""
    return [name for name in (line.split()[-1] for line in asked()) if name.startswith("binfmt-")]


def test_no_dyno_starts_modprobe_by_programs_of_unknown_formats(daemon, app, slug, asked, tmp_path, note_guard):
    daemon.ok("deploy", slug({"Procfile": "web: python3 web.py\n", "web.py": START_WEB}), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    dyno = daemon.dyno(app, "web.1")
    assert daemon.check("modules")["verdict"] == "ok" and PIN.exists()
    starts_unknown_programs(dyno)
    told = "have modprobe started by a program of an unknown format"
    note_guard("modules", told, True, formats(asked) != [])
    assert formats(asked) == []

    # While no dynod runs, and while the next one puts its own program in place of this one.
    first = PIN.stat().st_ino
    with starting_unknown_programs(dyno) as answered:
        daemon.stop()
        before = len(answered)
        starts_unknown_programs(dyno)
        daemon.start()
        assert len(answered) > before
    assert formats(asked) == [] and PIN.stat().st_ino != first
    assert daemon.dyno(app, "web.1")["id"] == dyno["id"]

    # The control: outside of the dynos' cgroup, and in it without the program.
    subprocess.run(["python3", "-c", START + f"start({str(tmp_path)!r}, 3)"], check=True,
                   timeout=60 * time_factor())
    outside = formats(asked)
    assert outside == ["binfmt-ff00", "binfmt-ff01", "binfmt-ff02"]
    PIN.unlink()
    try:
        said = daemon.check("modules")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        # The kernel takes it off a moment later.
        wait_until(lambda: starts_unknown_programs(dyno) or len(formats(asked)) > len(outside),
                   "a dyno starts modprobe")
        without = formats(asked)
        note_guard("modules", told, False, len(without) > len(outside))
    finally:
        daemon.restart()
    starts_unknown_programs(dyno)
    assert formats(asked) == without and daemon.check("modules")["verdict"] == "ok"
