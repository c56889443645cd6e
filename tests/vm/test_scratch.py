# SPDX-License-Identifier: Apache-2.0
"""The image of scratch and the quota of each dyno: filled in every way, seen from all sides."""

import errno
import json
import os
import pathlib
import subprocess
import time

import pytest

from dynod_testing import WEB_SLUG, http_get, make_slug, set_quota, wait_until

pytestmark = pytest.mark.vm

MB = 1 << 20
DISK, FILES = 16 * MB, 300
FOLDER = pathlib.Path("/var/lib/dynod/scratch")
CONFIG = pathlib.Path("/etc/dynod/dynod.conf.d/scratch-test.conf")


@pytest.fixture(scope="module")
def shop(daemon, stack, tmp_path_factory):
    """An app with a web dyno as a neighbour; one-offs of size Tiny have 16 MB and 300 files."""
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(f"[size Tiny]\nmemory = 256M\nmemory_kill = 256M\ndisk = {DISK}\ndisk_files = {FILES}\n")
    subprocess.run(["systemctl", "reload", "dynod"], check=True)
    files = {"big%d" % i: b"x" * MB for i in range(24)}
    slug = make_slug(tmp_path_factory.mktemp("slug") / "slug.tgz", WEB_SLUG | files | {"many/a": "a"})
    daemon.ok("apps:create", "scratch-shop", "--stack", stack)
    daemon.ok("deploy", slug, "-a", "scratch-shop", timeout=120)
    daemon.ok("ps:wait", "-a", "scratch-shop", timeout=150)
    yield "scratch-shop"
    daemon.ok("apps:destroy", "scratch-shop", "--confirm", "scratch-shop", timeout=90)
    CONFIG.unlink()
    subprocess.run(["systemctl", "reload", "dynod"], check=True)


def in_tiny(daemon, shop, script, timeout=120):
    """Runs Python in a dyno of size Tiny; returns what it printed as JSON."""
    done = daemon.ctl("run", "-a", shop, "--no-tty", "--size", "Tiny", "--", "python3", "-c",
                      "import ctypes, errno, fcntl, json, os, struct\n" + script, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def used():
    """Bytes and inodes that are in use in the image."""
    stat = os.statvfs(FOLDER / "fs")
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize, stat.f_files - stat.f_ffree


@pytest.fixture
def settled(daemon, shop):
    """What is in use before, and the proof that it is the same again afterwards."""
    def empty():
        return not list((FOLDER / "fs/dynod/.trash").iterdir()) and \
            len(list((FOLDER / "fs/dynod").iterdir())) == 1 + len(daemon.dynos(shop))
    wait_until(empty, "the trash is empty")
    before = used()
    yield
    wait_until(empty, "the trash is empty", 60)
    wait_until(lambda: used()[0] <= before[0] + MB and used()[1] <= before[1] + 8,
               f"{before} bytes and inodes are used again", 30)
    web = daemon.dyno(shop, "web.1")
    assert http_get(web)[0] == 200, "the neighbour suffered"


def test_image_is_taken_from_the_disk_and_mounted_for_root_alone(daemon, shop):
    image = FOLDER / "image"
    stat = image.stat()
    assert stat.st_blocks * 512 >= stat.st_size, "the image has holes: the disk can fill up under it"
    for path in (FOLDER, FOLDER / "fs/dynod", image):
        assert path.stat().st_uid == 0 and path.stat().st_mode & 0o077 == 0, path
    mount = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", FOLDER / "fs"], check=True,
                           capture_output=True, text=True).stdout
    assert mount.split()[0] == "ext4", mount
    assert {"prjquota", "nosuid", "nodev"} <= set(mount.split()[1].split(",")), mount
    assert not subprocess.run(["systemctl", "is-failed", "dynod-scratch"], capture_output=True,
                              check=False).returncode == 0


def test_inspect_and_doctor_say_how_much_is_used(daemon, shop):
    web = daemon.dyno(shop, "web.1")
    daemon.ok("ps:exec", "web.1", "-a", shop, "--no-tty", "--", "python3", "-c",
              "open('/app/x', 'wb').write(b'x' * (3 << 20))")
    limits = next(e for e in daemon.json("ps:inspect", "web.1", "-a", shop)["layers"]
                  if e["layer"] == "limits")
    assert limits["ok"] and "scratch 3 of " in limits["detail"], limits
    doctor = {e["layer"]: e for e in daemon.json("doctor")["layers"]}
    assert "% free" in doctor["rootfs"]["detail"], doctor["rootfs"]
    project = subprocess.run(["lsattr", "-pd", FOLDER / "fs/dynod" / web["id"]], check=True,
                             capture_output=True, text=True).stdout.split()
    assert int(project[0]) > 0 and "P" in project[1], project


def test_changed_quota_is_seen(daemon, shop):
    folder = FOLDER / "fs/dynod" / daemon.dyno(shop, "web.1")["id"]
    def limits(status):
        done = daemon.ctl("ps:inspect", "web.1", "-a", shop, "--json")
        assert done.returncode == status, done.stdout
        return next(e for e in json.loads(done.stdout)["layers"] if e["layer"] == "limits")
    size = daemon.exec(shop, "web.1", "stat", "-fc", "%b %S %c", "/tmp").stdout.split()
    right = {"blocks": int(size[0]) * int(size[1]) // 1024, "files": int(size[2])}
    for wrong in ("blocks", "files"):
        set_quota(folder, **(right | {wrong: 0}))
        seen = limits(1)
        assert seen["verdict"] == "failed" and "scratch may have" in seen["detail"], seen
    set_quota(folder, **right)
    assert limits(0)["ok"]


# Each fills until it is refused and prints the errno and how much there was before.
FILL = {
    "bytes in /tmp": "n = fill('/tmp/f')",
    "bytes in /app": "n = fill('/app/f')",
    "bytes in all three": "n = fill('/tmp/f'); n += fill('/app/f'); n += fill('/var/tmp/f')",
    "a deleted file that is open": "f = open('/tmp/f', 'wb', 0); os.unlink('/tmp/f'); n = write(f)",
    "allocated blocks": """
f = open('/tmp/f', 'wb'); n = 0
try:
    while True:
        os.posix_fallocate(f.fileno(), n, 1 << 20); n += 1 << 20
except OSError as error: e = error.errno
""",
    "holes that are filled": """
f = open('/tmp/f', 'wb', 0); os.truncate('/tmp/f', 1 << 40); n = 0
try:
    while True:
        os.pwrite(f.fileno(), b'x' * 4096, n << 10); n += 4096
except OSError as error: e = error.errno
""",
    "copies of the slug's files": """
n = 0
try:
    for i in range(24):
        with open('/app/big%d' % i, 'r+b', 0) as f: f.write(b'y')
        n += 1 << 20
except OSError as error: e = error.errno
""",
    "a mapping that is written": """
import mmap, signal
f = open('/tmp/f', 'w+b'); n = 12 << 20
os.posix_fallocate(f.fileno(), 0, n)
m = mmap.mmap(f.fileno(), n); m[:] = b'x' * n
n += write(open('/app/g', 'wb', 0))
""",
}
FILLER = """
e = 0
def write(f):
    global e
    n = 0
    try:
        while True: n += f.write(b'x' * 65536)
    except OSError as error: e = error.errno
    return n
def fill(path):
    with open(path, 'wb', 0) as f: return write(f)
"""


@pytest.mark.parametrize("way", FILL)
def test_bytes_end_at_the_quota(way, daemon, shop, settled):
    n, error = in_tiny(daemon, shop, FILLER + FILL[way] + "\nprint(json.dumps([n, e]))")
    assert error in (errno.EDQUOT, errno.ENOSPC), (n, errno.errorcode.get(error))
    assert DISK // 2 < n <= DISK, n


FILL_FILES = {
    "empty files in /tmp": "make = lambda i: open('/tmp/%d' % i, 'w').close()",
    "folders in /app": "make = lambda i: os.mkdir('/app/d%d' % i)",
    "links": "make = lambda i: os.symlink('x' * 200, '/var/tmp/%d' % i)",
    "sockets, FIFOs": "make = lambda i: os.mkfifo('/tmp/%d' % i)",
    "by turns": "make = lambda i: open(('/tmp/%d', '/app/%d', '/var/tmp/%d')[i % 3] % i, 'w').close()",
    "renamed over and over": """
def make(i):
    open('/tmp/new', 'w').close(); os.rename('/tmp/new', '/tmp/%d' % i)
""",
    "open and without a name": """
kept = []
make = lambda i: kept.append(os.open('/tmp', os.O_TMPFILE | os.O_RDWR))
""",
}


@pytest.mark.parametrize("way", FILL_FILES)
def test_files_end_at_the_quota(way, daemon, shop, settled):
    n, error = in_tiny(daemon, shop, FILL_FILES[way] + """
n = e = 0
try:
    while n < 5000: make(n); n += 1
except OSError as error: e = error.errno
print(json.dumps([n, e]))
""")
    assert error in (errno.EDQUOT, errno.ENOSPC) and FILES // 2 < n < FILES, (n, errno.errorcode.get(error))


def test_hard_links_are_no_way_to_more(daemon, shop, settled):
    # A folder of links grows: names are bytes too. Links across the mounts are refused.
    result = in_tiny(daemon, shop, FILLER + """
open('/tmp/f', 'w').close(); n = e = 0
try:
    while n < 60000: os.link('/tmp/f', '/tmp/' + '%05d' % n + 'x' * 240); n += 1
except OSError as error: e = error.errno
across = 0
try: os.link('/tmp/f', '/app/f')
except OSError as error: across = error.errno
size = os.statvfs('/tmp')
print(json.dumps([n, e, across, size.f_blocks * size.f_frsize]))
""", timeout=300)
    n, error, across, size = result
    assert across == errno.EXDEV
    assert error in (errno.EDQUOT, errno.ENOSPC, errno.EMLINK), result
    assert size <= DISK, "df shows more than the quota"


def test_names_longer_than_a_profile_takes_are_removed(daemon, shop, settled):
    """By renaming one deep tree into another: AppArmor names nothing beyond 8192 bytes."""
    assert in_tiny(daemon, shop, """
def chain(top, n):
    os.mkdir(top)
    fd = os.open(top, os.O_RDONLY)
    for _ in range(n):
        os.mkdir('n' * 255, dir_fd=fd)
        below = os.open('n' * 255, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd
for top in ('/tmp/', '/app/', '/var/tmp/'):
    fd = chain(top + 'a', 24)
    chain(top + 'b', 24)
    os.rename(top + 'b', 'b', dst_dir_fd=fd)
refused = 0
try: os.chdir('/tmp/a/' + 'n' * 255); [os.chdir('n' * 255) for _ in range(23)]; os.chdir('b'); \
    [os.chdir('n' * 255) for _ in range(20)]; os.mkdir('m')
except OSError as error: refused = error.errno
print(json.dumps(refused))
""") == errno.ENAMETOOLONG, "the control: in here nobody can name it"


def test_project_cannot_be_changed_from_inside(daemon, shop, settled):
    # FS_IOC_FSSETXATTR with another project, without the mark that new files inherit it, and
    # the same mark through FS_IOC_SETFLAGS; the calls for quotas themselves.
    script = FILLER + """
GET, SET, GETFLAGS, SETFLAGS, PROJINHERIT = 0x801c581f, 0x401c5820, 0x80086601, 0x40086602, 0x20000000
def attempt(path, change):
    fd = os.open(path, os.O_RDONLY)
    try:
        return change(fd)
    except OSError as error:
        return error.errno
def change_project(fd):
    a = bytearray(fcntl.ioctl(fd, GET, bytes(28)))
    a[12:16] = struct.pack('I', PROJECT)
    fcntl.ioctl(fd, SET, bytes(a)); return 0
def drop_mark(fd):
    a = bytearray(fcntl.ioctl(fd, GET, bytes(28)))
    a[0:4] = struct.pack('I', struct.unpack('I', a[0:4])[0] & ~0x200)
    fcntl.ioctl(fd, SET, bytes(a)); return 0
def drop_flag(fd):
    flags = struct.unpack('I', fcntl.ioctl(fd, GETFLAGS, bytes(4)))[0]
    if not flags & PROJINHERIT: return -1
    fcntl.ioctl(fd, SETFLAGS, struct.pack('I', flags & ~PROJINHERIT)); return 0
os.mkdir('/tmp/own'); os.mkdir('/app/own'); open('/tmp/own/f', 'w').close()
refused = {}
for path in ('/tmp', '/tmp/own', '/tmp/own/f', '/app', '/app/own', '/var/tmp'):
    for PROJECT in (0, 1):
        refused['project %d of %s' % (PROJECT, path)] = attempt(path, change_project)
    if path != '/tmp/own/f':
        refused['mark of ' + path] = attempt(path, drop_mark)
        refused['flag of ' + path] = attempt(path, drop_flag)
libc = ctypes.CDLL(None, use_errno=True)
for name, number in (('quotactl', 179), ('quotactl_fd', 443)):
    r = libc.syscall(number, os.open('/tmp', os.O_RDONLY), 0x800007 << 8 | 2, 1, ctypes.create_string_buffer(128))
    refused[name] = ctypes.get_errno() if r < 0 else 0
n = fill('/tmp/own/f')
print(json.dumps([refused, n, e]))
"""
    refused, n, error = in_tiny(daemon, shop, script)
    allowed = [what for what, number in refused.items() if number == 0]
    assert not allowed, refused
    assert error == errno.EDQUOT and n <= DISK, (n, error)


def test_project_can_be_changed_by_root(daemon, shop):
    """The control of the test above: the same request, from outside."""
    folder = FOLDER / "fs/dynod" / daemon.dyno(shop, "web.1")["id"] / "tmp/own"
    folder.mkdir()
    subprocess.run(["chattr", "-p", "4711", folder], check=True)
    shown = subprocess.run(["lsattr", "-pd", folder], check=True, capture_output=True, text=True).stdout
    folder.rmdir()
    assert shown.split()[0] == "4711"


def test_dynos_together_cannot_fill_what_one_was_promised(daemon, shop):
    """A dyno's share of the image is its share of the memory, which is never promised twice."""
    web = daemon.dyno(shop, "web.1")
    done = daemon.exec(shop, "web.1", "python3", "-c",
                       "import os; s = os.statvfs('/tmp'); print(s.f_blocks * s.f_frsize, s.f_files)")
    size, files = map(int, done.stdout.split())
    stat, host = os.statvfs(FOLDER / "fs"), daemon.json("host:info")
    share = web["memory_limit"] / host["memory_limit"]
    assert 0.8 * share < size / (stat.f_blocks * stat.f_frsize) < share
    assert 0.8 * share < files / stat.f_files < share


def test_start_waits_for_what_earlier_dynos_left(daemon, shop, settled):
    """What is in the trash is charged to nobody, and what web.1 was promised stays there for it."""
    left = FOLDER / "fs/dynod/.trash/run.9-abcdef"
    stat, begin, uid = os.statvfs(FOLDER / "fs"), time.time(), daemon.dyno(shop, "web.1")["uid"]
    left.mkdir(mode=0o700)
    subprocess.run(["fallocate", "-l", str(stat.f_bavail * stat.f_frsize - 2 * DISK), left / "file"],
                   check=True)
    for path in (left, left / "file"):
        os.chown(path, uid, uid)
    assert in_tiny(daemon, shop, "print(1)") == 1

    def is_said():  # sooner or later: the journal takes its time
        journal = ["journalctl", "--no-pager", "-u", "dynod", "--since", f"@{int(begin)}"]
        return b"waits: scratch has no room before what earlier dynos left is removed" in \
            subprocess.run(journal, check=True, capture_output=True).stdout
    wait_until(is_said, "dynod says why the start waits")


def test_full_disk_of_the_host_is_no_error_in_a_dyno(daemon, shop, settled):
    ballast = pathlib.Path("/var/tmp/ballast")
    stat = os.statvfs("/var/tmp")
    subprocess.run(["fallocate", "-l", str(stat.f_bavail * stat.f_frsize - 2 * MB), ballast], check=True)
    try:
        n, synced = in_tiny(daemon, shop, """
f = open('/tmp/f', 'wb', 0); n = f.write(b'x' * (8 << 20)); os.fsync(f.fileno())
print(json.dumps([n, True]))""")
        assert (n, synced) == (8 * MB, True)
    finally:
        ballast.unlink()
    image = (FOLDER / "image").stat()
    assert image.st_blocks * 512 >= image.st_size, "blocks of the image went back to the disk"


def test_restart_finds_scratch_again_and_a_kill_leaks_nothing(daemon, shop, settled):
    web = daemon.dyno(shop, "web.1")
    daemon.ok("ps:exec", "web.1", "-a", shop, "--no-tty", "--", "sh", "-c", "echo kept >/tmp/kept")
    in_tiny(daemon, shop, "for i in range(250): open('/tmp/%d' % i, 'w').close()\nprint(1)")
    daemon.kill_process("dynod")
    subprocess.run(["systemctl", "restart", "dynod-scratch"], check=False, capture_output=True)
    daemon.restart()
    subprocess.run(["/usr/libexec/dynod/dynod-scratch", "start"], check=True)
    assert daemon.exec(shop, "web.1", "cat", "/tmp/kept").stdout == "kept\n"
    assert daemon.dyno(shop, "web.1")["id"] == web["id"]
    loops = subprocess.run(["losetup", "-n", "-O", "NAME", "-j", FOLDER / "image"], check=True,
                           capture_output=True, text=True).stdout.split()
    assert len(loops) == 1, loops
    inspected = daemon.json("ps:inspect", "web.1", "-a", shop)
    assert all(e["ok"] for e in inspected["layers"] if e["layer"] != "seccomp"), inspected


def test_damaged_scratch_refuses_starts(daemon, shop):
    """What the kernel does after an error: read-only, until it is made anew."""
    subprocess.run(["mount", "-o", "remount,ro", FOLDER / "fs"], check=True)
    try:
        refused = daemon.run(shop, "true")
        assert refused.returncode == 125 and "scratch" in refused.stderr, refused.stderr
        doctor = daemon.ctl("doctor")
        assert doctor.returncode == 1 and "read-only" in doctor.stdout, doctor.stdout
    finally:
        subprocess.run(["mount", "-o", "remount,rw", FOLDER / "fs"], check=True)
    assert daemon.run(shop, "true").returncode == 0
