# SPDX-License-Identifier: Apache-2.0
"""A crash in a dyno: no file anywhere, and no program of the host's is started for it."""

import pathlib
import subprocess

import pytest

from dynod_testing import wait_until

PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern")

# Tries to get a core first: by raising the limit, and by lowering it, also with an address
# whose low half is zero, which a filter that compares 32 bits takes for none.
CRASH = """
import ctypes, mmap, os, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
for limit in ((-1, -1), (0, 0), (4096, 4096)):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, limit)
    except (OSError, ValueError):
        pass
low = libc.mmap(0x700000000, 4096, 3, 0x100022, -1, 0)  # MAP_FIXED_NOREPLACE
assert low == 0x700000000
ctypes.memset(low, 0, 16)
libc.syscall(ctypes.c_long(302), 0, 4, ctypes.c_void_p(low), None)  # prlimit64
libc.syscall(ctypes.c_long(160), 4, ctypes.c_void_p(low))           # setrlimit
print("limit", *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
if os.environ.get("HOW") == "seccomp":
    libc.syscall(ctypes.c_long(0x40000000 | 39))  # x32: killed by the filter
os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def crashing(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: true\n", "crash.py": CRASH}), "-a", app, timeout=120)
    return app


@pytest.mark.parametrize("how, status", [("signal", 139), ("seccomp", 159)])
def test_crash_leaves_no_file(daemon, crashing, how, status):
    script = f"cd /tmp; HOW={how} python3 /app/crash.py; echo status $?; ls -A /tmp /app | grep core"
    done = daemon.run(crashing, "sh", "-c", script, timeout=90)
    assert "limit 1 1" in done.stdout and f"status {status}" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1, done.stdout  # grep: nothing


@pytest.mark.vm
def test_doctor_names_a_socket_that_takes_every_core(daemon):
    """From Linux 6.16 on the kernel connects to it whatever the limit is."""
    before = PATTERN.read_text(encoding="ascii")
    assert daemon.check("core dumps")["verdict"] == "ok"
    PATTERN.write_text("@/run/escape-cores\n", encoding="ascii")
    try:
        assert daemon.check("core dumps")["verdict"] == "warning"
    finally:
        PATTERN.write_text(before, encoding="ascii")


@pytest.mark.vm
def test_crash_starts_no_handler_of_the_host(daemon, crashing):
    """A pipe in core_pattern is served by root of the host, whatever the limit, but for 1."""
    mark, handler = pathlib.Path("/var/tmp/escape-core"), pathlib.Path("/var/tmp/escape-handler")
    handler.write_text(f"#!/bin/sh\necho \"$@\" >>{mark}\n", encoding="ascii")
    handler.chmod(0o755)
    before = PATTERN.read_text(encoding="ascii")
    PATTERN.write_text(f"|{handler} %P %u %c\n", encoding="ascii")
    try:
        for how in ("signal", "seccomp"):
            daemon.run(crashing, "sh", "-c", f"HOW={how} python3 crash.py; true", timeout=90)
        # The control, and the last of the three: a crash with no limit at all, 0, is served.
        subprocess.run(["setpriv", "--reuid", "65533", "--clear-groups", "sh", "-c", "ulimit -c 0; kill -SEGV $$"],
                       check=False, cwd="/")
        wait_until(lambda: mark.exists() and "65533 0\n" in mark.read_text(encoding="ascii"), "the handler is started")
        assert len(mark.read_text(encoding="ascii").splitlines()) == 1, mark.read_text(encoding="ascii")
    finally:
        PATTERN.write_text(before, encoding="ascii")
        mark.unlink(missing_ok=True)
        handler.unlink()
