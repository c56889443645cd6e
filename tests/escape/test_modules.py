# SPDX-License-Identifier: Apache-2.0
"""No dyno has the host start modprobe, which runs as root and is in no dyno's cgroup.

What a program asks a kernel for is looked up as a module before the kernel says no; the
answer is the same with and without. So the host's own modprobe notes what it is started for.
"""

import pathlib
import subprocess

import pytest

from dynod_testing import time_factor

pytestmark = pytest.mark.vm

MODPROBE = pathlib.Path("/proc/sys/kernel/modprobe")
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


@pytest.fixture
def asked():
    """What modprobe was started for so far."""
    def read():
        return NOTES.read_text(encoding="ascii").split("\n")[:-1] if NOTES.exists() else []
    HELPER.write_text(f'#!/bin/sh\necho "$@" >>{NOTES}\nexit 1\n', encoding="ascii")
    HELPER.chmod(0o755)
    before = MODPROBE.read_text(encoding="ascii")
    MODPROBE.write_text(str(HELPER), encoding="ascii")
    yield read
    MODPROBE.write_text(before, encoding="ascii")
    HELPER.unlink()
    NOTES.unlink(missing_ok=True)


def test_no_dyno_starts_modprobe(daemon, app, slug, asked):
    daemon.ok("deploy", slug({"Procfile": "worker: true\n", "ask.py": ASK}), "-a", app, timeout=120)
    before = asked()
    done = daemon.run(app, "python3", "/app/ask.py", timeout=120)
    assert done.returncode == 0 and "made" in done.stdout, done.stdout + done.stderr
    assert asked() == before
    # The control: an ordinary user of the host has it started, for some of these.
    subprocess.run(["setpriv", "--reuid", "65533", "--clear-groups", "python3", "-c", ASK, "few"], check=True,
                   capture_output=True, timeout=60 * time_factor())
    words = " ".join(asked()[len(before):])
    assert "net-pf-2-proto-17-type-1" in words and "net-pf-2-proto-58-type-2" in words, words[:500]
