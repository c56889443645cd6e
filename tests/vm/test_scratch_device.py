# SPDX-License-Identifier: Apache-2.0
"""scratch = /dev/NAME: a device of dynod's own, and what is on one that is not is left alone."""

import errno
import json
import os
import pathlib
import subprocess

import pytest

from dynod_testing import WEB_SLUG, http_get, make_slug

pytestmark = pytest.mark.vm

MB = 1 << 20
DISK = 16 * MB
FS = pathlib.Path("/var/lib/dynod/scratch/fs")
FILE = pathlib.Path("/var/tmp/device")
CONFIG = pathlib.Path("/etc/dynod/dynod.conf.d/device-test.conf")


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout.strip()


def source():
    return run("findmnt", "-n", "-o", "SOURCE", FS)


def move(daemon, text):
    """As an operator does it: nobody has scratch in use while it moves."""
    daemon.stop()
    run("systemctl", "stop", "dynod-scratch")
    if text:
        CONFIG.write_text(text)
    else:
        CONFIG.unlink()
    moved = subprocess.run(["systemctl", "start", "dynod-scratch"], check=False, capture_output=True)
    daemon.start()
    return moved.returncode == 0


@pytest.fixture(scope="module")
def device(daemon):
    CONFIG.parent.mkdir(exist_ok=True)
    run("truncate", "-s", "256M", FILE)
    name = run("losetup", "--find", "--show", FILE)
    yield name
    assert move(daemon, None)
    run("losetup", "--detach", name)
    FILE.unlink()
    assert source() != name


def test_device_that_holds_something_is_left_alone(daemon, device):
    run("mkfs.ext4", "-q", "-L", "dear", device)
    before = run("sha256sum", FILE)
    assert not move(daemon, f"scratch = {device}\n")
    assert run("sha256sum", FILE) == before
    assert f"wipefs -a {device}" in run("journalctl", "--no-pager", "-u", "dynod-scratch", "-n", "20")
    doctor = daemon.ctl("doctor")
    assert doctor.returncode == 1 and "scratch" in doctor.stdout, doctor.stdout


def test_dynos_write_to_the_device_within_their_quota(daemon, device, stack, tmp_path):
    run("wipefs", "-q", "-a", device)
    assert move(daemon, f"scratch = {device}\n[size Tiny]\nmemory = 256M\nmemory_kill = 256M\ndisk = {DISK}\n")
    assert source() == device
    shop = "device-shop"
    daemon.ok("apps:create", shop, "--stack", stack)
    try:
        daemon.ok("deploy", make_slug(tmp_path / "slug.tgz", WEB_SLUG), "-a", shop, timeout=120)
        daemon.ok("ps:wait", "-a", shop, timeout=150)
        done = daemon.ctl("run", "-a", shop, "--no-tty", "--size", "Tiny", "--", "python3", "-c", """
import json
n = e = 0
try:
    f = open('/tmp/f', 'wb', 0)
    while True: n += f.write(b'x' * 65536)
except OSError as error: e = error.errno
print(json.dumps([n, e]))""", timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        n, error = json.loads(done.stdout.splitlines()[-1])
        assert error in (errno.EDQUOT, errno.ENOSPC) and DISK // 2 < n <= DISK, (n, errno.errorcode.get(error))
        # Neither a restart nor another start of its unit takes it from a dyno.
        web = daemon.dyno(shop, "web.1")
        daemon.restart()
        run("/usr/libexec/dynod/dynod-scratch", "start")
        assert daemon.dyno(shop, "web.1")["id"] == web["id"] and http_get(web)[0] == 200
        assert source() == device
    finally:
        daemon.ok("apps:destroy", shop, "--confirm", shop, timeout=90)


def test_device_that_served_before_is_made_anew(daemon, device):
    (FS / "left").write_text("of the last boot")
    assert move(daemon, f"scratch = {device}\n")
    assert source() == device and "left" not in os.listdir(FS)
