# SPDX-License-Identifier: Apache-2.0
"""Huge pages that the host reserved, for a database say, are not for dynos to take."""

import contextlib
import errno
import json
import pathlib
import subprocess
import sys

import pytest

from dynod_testing import WEB_SLUG

pytestmark = pytest.mark.vm

VM = pathlib.Path("/proc/sys/vm")
PAGES, NOBODY = 8, 65534

# Each way prints its errno, 0 if it got a page; all hold what they got until the end.
PROGRAM = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.shmat.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
SIZE, HUGE_2MB = 2 << 20, 21 << 26
def touch(p):
    if p in (None, ctypes.c_void_p(-1).value): return ctypes.get_errno()
    ctypes.memset(p, 1, SIZE)
    return 0
def mapping(flags):
    return touch(libc.mmap(None, SIZE, 3, 0x22 | 0x40000 | flags, -1, 0))
def memfd(flags):
    fd = libc.memfd_create(b"x", 4 | flags)
    return touch(libc.mmap(None, SIZE, 3, 1, fd, 0)) if fd >= 0 else ctypes.get_errno()
def segment(flags):
    id = libc.shmget(0, SIZE, 0o1600 | 0x800 | flags)
    if id < 0: return ctypes.get_errno()
    try: return touch(libc.shmat(id, None, 0))
    finally: libc.shmctl(id, 0, None)
print(json.dumps([way(flags) for way in (mapping, memfd, segment) for flags in (0, HUGE_2MB)]), flush=True)
input()
"""


@pytest.fixture
def reserved():
    """Some huge pages, which a group may also have by shmget(2): without, that is refused anyway."""
    before = {name: (VM / name).read_text() for name in ("nr_hugepages", "hugetlb_shm_group")}
    (VM / "hugetlb_shm_group").write_text(str(NOBODY))
    (VM / "nr_hugepages").write_text(str(PAGES))
    yield
    for name, value in before.items():
        (VM / name).write_text(value)


def counted():
    return [int(line.split()[1]) for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
            if line.startswith(("HugePages_Free:", "HugePages_Rsvd:"))]


@contextlib.contextmanager
def taking(*command, **options):
    process = subprocess.Popen([*command, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, **options)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate("\n", timeout=60)


def test_dyno_gets_none_of_the_reserved_huge_pages(daemon, app, slug, reserved):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    assert counted() == [PAGES, 0]
    with taking(daemon.herokuctl, "run", "-a", app, "--no-tty", "--", "python3") as errors:
        assert errors == [errno.ENOMEM] * 2 + [errno.EINVAL] * 2 + [errno.EPERM] * 2
        assert counted() == [PAGES, 0]


def test_any_other_user_gets_them(reserved):
    """The control of the test above."""
    with taking(sys.executable, user=NOBODY, group=NOBODY, extra_groups=[]) as errors:
        assert errors == [0] * 6
        assert counted()[0] == PAGES - 6
