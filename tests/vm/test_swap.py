# SPDX-License-Identifier: Apache-2.0
"""Swap by size, on a host that has some: a dyno over its quota swaps (R14), and no more than its size
lets it; then it is killed, and gives all of it back."""

import pathlib
import subprocess

import pytest

from dynod_testing import WEB_SLUG, wait_until

pytestmark = pytest.mark.vm

MB = 1 << 20
FILE = pathlib.Path("/var/lib/swap-of-the-test")


@pytest.fixture
def web(daemon, app, slug):
    FILE.touch(0o600)
    try:
        subprocess.run(["fallocate", "-l", "900M", FILE], check=True)
        subprocess.run(["mkswap", "-q", FILE], check=True)
        subprocess.run(["swapon", FILE], check=True)
        daemon.restart()  # it looks when it starts
        daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
        daemon.ok("ps:wait", "-a", app, timeout=150)
        yield app
        daemon.ok("ps:scale", "web=0", "-a", app)
    finally:
        subprocess.run(["swapoff", FILE], check=False)
        FILE.unlink()
        daemon.restart()


def swap_in_use():
    """Of the host, in bytes."""
    facts = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    return (int(facts["SwapTotal"].split()[0]) - int(facts["SwapFree"].split()[0])) * 1024


def test_dyno_swaps_as_much_as_its_size_says_and_no_more(daemon, web):
    def read(dyno, name):
        folder = next(pathlib.Path("/sys/fs/cgroup").rglob(dyno["id"]))
        return (folder / name).read_text().strip()

    def one_off():
        return next((dyno for dyno in daemon.dynos(web) if dyno["type"] == "run" and dyno["state"] == "up"), None)

    assert [read(daemon.dyno(web, "web.1"), name) for name in ("memory.max", "memory.swap.max")] == [str(512 * MB)] * 2
    script = "import time\nx = bytearray(b'x') * (700 << 20)\nprint('there', flush=True)\ntime.sleep(1000)"
    daemon.ok("run", "--detached", "-a", web, "--", "python3", "-c", script)
    dyno = wait_until(one_off, "it is up")
    wait_until(lambda: int(read(dyno, "memory.swap.current")) > 150 * MB, "it swaps", 120)
    wait_until(lambda: daemon.dyno(web, dyno["name"]).get("reason") == "R14, swapping", "ps tells", 60)
    daemon.ok("ps:stop", dyno["name"], "-a", web)
    wait_until(lambda: not one_off(), "it ended")

    before = swap_in_use()
    hog = "x = []\nwhile True: x.append(bytearray(b'x') * (16 << 20)); print(len(x), flush=True)"
    done = daemon.run(web, "python3", "-c", hog, timeout=300)
    # In steps of 16 MB: 32 of memory alone, 64 with swap. Pages on their way to the disk count for both, half of
    # the memory on a slow one.
    pieces = len(done.stdout.split())
    assert done.returncode == 137 and 40 <= pieces <= 64, (pieces, done.stderr)
    wait_until(lambda: swap_in_use() < before + 64 * MB, "the host has its swap back")
    assert daemon.dyno(web, "web.1")["state"] == "up"
