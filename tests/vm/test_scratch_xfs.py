# SPDX-License-Identifier: Apache-2.0
"""Scratch on an XFS that the operator mounted: its quotas are other code of the kernel's."""

import errno
import fcntl
import json
import os
import pathlib
import subprocess

import pytest

from dynod_testing import WEB_SLUG, make_slug, wait_until

pytestmark = pytest.mark.vm

MB = 1 << 20
DISK, FILES = 16 * MB, 300
FICLONE = 0x40049409
IMAGE, OUTSIDE = pathlib.Path("/var/tmp/xfs.image"), pathlib.Path("/mnt/xfs")
PLACE = pathlib.Path("/var/lib/dynod/own-scratch")
CONFIG = pathlib.Path("/etc/dynod/dynod.conf.d/xfs-test.conf")


def configure(daemon, place):
    CONFIG.write_text(f"scratch = {place}\n[size Tiny]\nmemory = 256M\nmemory_kill = 256M\n"
                      f"disk = {DISK}\ndisk_files = {FILES}\n")
    daemon.restart()


@pytest.fixture(scope="module")
def mounted():
    for folder in (OUTSIDE, PLACE, CONFIG.parent):
        folder.mkdir(exist_ok=True)
    subprocess.run(["truncate", "-s", "512M", IMAGE], check=True)
    subprocess.run(["mkfs.xfs", "-q", IMAGE], check=True)
    subprocess.run(["mount", "-o", "loop,prjquota,nodev,nosuid", IMAGE, OUTSIDE], check=True)
    subprocess.run(["mount", "--bind", OUTSIDE, PLACE], check=True)
    yield
    for folder in (PLACE, OUTSIDE):
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
    IMAGE.unlink()


@pytest.fixture(scope="module")
def shop(daemon, stack, mounted, tmp_path_factory):
    configure(daemon, PLACE)
    slug = make_slug(tmp_path_factory.mktemp("slug") / "slug.tgz", WEB_SLUG)
    daemon.ok("apps:create", "xfs-shop", "--stack", stack)
    daemon.ok("deploy", slug, "-a", "xfs-shop", timeout=120)
    yield "xfs-shop"
    daemon.ok("apps:destroy", "xfs-shop", "--confirm", "xfs-shop", timeout=90)
    wait_until(lambda: not left(), "scratch is empty", 60)
    CONFIG.unlink()
    daemon.restart()


def test_place_that_the_unit_may_not_write_to_is_told(daemon, mounted):
    configure(daemon, OUTSIDE)
    doctor = daemon.ctl("doctor")
    assert doctor.returncode == 1 and "read-only here" in doctor.stdout, doctor.stdout


def left():
    return [path for folder in (PLACE / "dynod", PLACE / "dynod/.trash") for path in folder.iterdir()
            if path.name != ".trash"]


def limits_left():
    """Projects that still have a limit."""
    report = subprocess.run(["xfs_quota", "-x", "-c", "report -p -n -N -b -i", PLACE], check=True,
                            capture_output=True, text=True).stdout
    return [line for line in report.splitlines()
            if line.split() and (line.split()[3] != "0" or line.split()[8] != "0")]


def in_tiny(daemon, shop, script):
    done = daemon.ctl("run", "-a", shop, "--no-tty", "--size", "Tiny", "--", "python3", "-c",
                      "import json, os\nn = e = 0\ntry:\n" + script +
                      "\nexcept OSError as error: e = error.errno\nprint(json.dumps([n, e]))", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_dyno_runs_under_its_quota(daemon, shop):
    daemon.ok("ps:wait", "-a", shop, timeout=150)
    folder = PLACE / "dynod" / daemon.dyno(shop, "web.1")["id"]
    assert folder.stat().st_uid == 0 and folder.stat().st_mode & 0o777 == 0o700
    limits = next(e for e in daemon.json("ps:inspect", "web.1", "-a", shop)["layers"] if e["layer"] == "limits")
    assert limits["ok"] and limits["verdict"] == "ok" and "scratch " in limits["detail"], limits


@pytest.mark.parametrize("folder", ["/app", "/tmp", "/var/tmp"])
def test_bytes_end_at_the_quota(folder, daemon, shop):
    n, error = in_tiny(daemon, shop, f" f = open('{folder}/f', 'wb', 0)\n while True: n += f.write(b'x' * 65536)")
    assert error in (errno.EDQUOT, errno.ENOSPC) and DISK // 2 < n <= DISK, (n, errno.errorcode.get(error))


def test_blocks_of_two_files_count_for_both(daemon, shop):
    """copy_file_range(2) shares them, and nobody gets past a quota by it; a dyno cannot clone."""
    whole, copy, clone = (OUTSIDE / name for name in ("whole", "copy", "clone"))
    whole.write_bytes(os.urandom(MB))
    with whole.open("rb") as source, copy.open("wb") as other, clone.open("wb") as third:
        assert os.copy_file_range(source.fileno(), other.fileno(), MB) == MB
        assert fcntl.ioctl(third, FICLONE, source.fileno()) == 0
    for path in (copy, clone):
        extents = subprocess.run(["filefrag", "-v", path], check=True, capture_output=True, text=True).stdout
        assert "shared" in extents, extents
    for path in (whole, copy, clone):
        path.unlink()
    n, error = in_tiny(daemon, shop, """
    source = open('/tmp/whole', 'w+b', 0)
    source.write(os.urandom(1 << 20))
    while n < 64:
        copy = open('/tmp/%d' % n, 'wb', 0)
        os.copy_file_range(source.fileno(), copy.fileno(), 1 << 20, 0, 0)
        n += os.fstat(copy.fileno()).st_size == 1 << 20""")
    assert error in (errno.EDQUOT, errno.ENOSPC) and DISK // 2 < n * MB < DISK, (n, errno.errorcode.get(error))
    _, error = in_tiny(daemon, shop, f"""
    import fcntl
    fcntl.ioctl(open('/tmp/clone', 'wb'), {FICLONE}, open('/tmp/whole', 'w+b').fileno())""")
    assert error == errno.EOPNOTSUPP, errno.errorcode.get(error)


def test_files_end_at_the_quota(daemon, shop):
    n, error = in_tiny(daemon, shop, " while n < 5000: open('/tmp/%d' % n, 'w').close(); n += 1")
    assert error in (errno.EDQUOT, errno.ENOSPC) and FILES // 2 < n < FILES, (n, errno.errorcode.get(error))


def test_project_cannot_be_changed_from_inside(daemon, shop):
    n, error = in_tiny(daemon, shop, """
    import fcntl, struct
    os.mkdir('/tmp/own')
    fd = os.open('/tmp/own', os.O_RDONLY)
    a = bytearray(fcntl.ioctl(fd, 0x801c581f, bytes(28)))
    a[12:16] = struct.pack('I', 1)
    n = fcntl.ioctl(fd, 0x401c5820, bytes(a)) is not None""")
    assert (n, error) in ((0, errno.EINVAL), (0, errno.EPERM)), (n, errno.errorcode.get(error))


def test_nothing_of_it_stays(daemon, shop):
    in_tiny(daemon, shop, " for i in range(200): os.mkdir('/tmp/%d' % i)")
    web = daemon.dyno(shop, "web.1")["id"]
    wait_until(lambda: [path.name for path in left()] == [web], "the others' folders are gone", 60)
    wait_until(lambda: len(limits_left()) == 1, "the others' limits are gone", 10)
    assert os.statvfs(PLACE).f_bavail > 0
