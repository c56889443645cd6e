# SPDX-License-Identifier: Apache-2.0
"""A taken-over logger and a taken-over unpacker: neither root nor supervisor follow them down."""

import os
import subprocess

import pytest
from dynod_testing import reconfigured, wait_until
from taken_over import Root, end_service, forget_orders, order_logger, replaced

pytestmark = pytest.mark.twice  # no layer is in it: the protocols with root are

OUTSIDE = ("/etc/passwd", "/etc/shadow")


def facts_outside():
    return [(path, os.stat(path).st_mtime_ns, os.stat(path).st_nlink) for path in OUTSIDE]


@pytest.mark.parametrize("how", ("close", "shutdown", "junk", "credentials", "filter"))
def test_hostile_logger(daemon, app, slug, how):
    daemon.ok("deploy", slug({"Procfile": "w: sh -c 'echo hello; exec sleep 1000000'\n", "salt": how}),
              "-a", app, timeout=120)
    root, supervisor = Root(daemon), daemon.pids_of("dynod-supervisor")
    with replaced(daemon, "dynod-logger"):
        order_logger(daemon, how)
        end_service(daemon, "dynod-logger")
        daemon.ok("ps:scale", "w=1", "-a", app, timeout=120)
        wait_until(lambda: daemon.dyno(app, "w.1")["state"] == "up", "dynos start all the same")
        assert daemon.main_pid() == root.pid
        assert daemon.pids_of("dynod-supervisor") == supervisor
    forget_orders(daemon)
    end_service(daemon, "dynod-logger")
    daemon.wait_log(app, "hello")  # what it wrote meanwhile was waiting
    daemon.ok("ps:scale", "w=0", "-a", app, timeout=120)
    daemon.wait_log(app, "Scaled")  # of the supervisor's: the channel between the two works
    wait_until(lambda: not daemon.dynos(app), "the dyno is gone")
    root.check()


def test_logger_that_reads_nothing_holds_no_slots(daemon, app, slug):
    """A line of dyno-init's is left of each dyno that ends. It waits for a logger, starts do not."""
    daemon.ok("deploy", slug({"Procfile": "w: true\n"}), "-a", app, timeout=120)
    running = len(daemon.json("ps", "-A"))
    with replaced(daemon, "dynod-logger"):
        order_logger(daemon, "nothing")
        with reconfigured(daemon, f"watchdog = 2s\nmax_dynos = {running + 2}\npool = 0\n"):
            logger = wait_until(lambda: daemon.pids_of("dynod-logger"), "the logger is there")
            for number in range(5):
                done = daemon.run(app, "true", timeout=60)
                assert done.returncode == 0, (number, done.stderr)
                wait_until(lambda: len(daemon.json("ps", "-A")) == running, "it is gone", 60)
            assert daemon.pids_of("dynod-logger") == logger, "it answers root, and reads nothing"
    forget_orders(daemon)
    end_service(daemon, "dynod-logger")


@pytest.fixture(scope="module")
def unpacker(daemon, stack):
    """dynod-unpacker does what archives say; dynod keeps its file open, so it restarts."""
    with replaced(daemon, "dynod-unpacker"):
        daemon.restart()
        yield
    daemon.restart()


def hostile_slug(slug, mode, how):
    """An archive that takes its unpacker over."""
    return slug({"Procfile": "a: true\n", "order": f"@{mode} {how}@"}, name=f"{mode}-{how}.tar", compression="")


@pytest.mark.parametrize("mode, how, succeeds", (
    ("fetch", "lies", False), ("fetch", "long", False), ("fetch", "status", False),
    ("fetch", "silent", False), ("extract", "reports", False), ("extract", "oversized", False),
    ("extract", "status", False), ("extract", "links", None), ("extract", "nothing", None),
    ("extract", "special", True), ("extract", "forks", None)))
def test_hostile_unpacker(daemon, unpacker, app, slug, mode, how, succeeds):
    root, supervisor, outside = Root(daemon), daemon.pids_of("dynod-supervisor"), facts_outside()
    done = daemon.ctl("deploy", hostile_slug(slug, mode, how), "-a", app, timeout=120)
    if succeeds is not None:
        assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
    if done.returncode == 0 and not succeeds:
        # What it called a tree is none: nothing starts from it, and no link is followed.
        assert daemon.run(app, "true").returncode != 0
    assert daemon.pids_of("dynod-supervisor") == supervisor
    assert facts_outside() == outside
    daemon.ok("deploy", slug({"Procfile": "a: true\n", "salt": "good" + mode + how}), "-a", app, timeout=120)
    root.check()


def test_unpacker_that_never_ends(daemon, unpacker, app, slug):
    root = Root(daemon)
    with subprocess.Popen([str(daemon.herokuctl), "deploy", hostile_slug(slug, "extract", "hangs"), "-a", app],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)}) as client:
        wait_until(root.strangers, "it hangs")
        daemon.ok("host:info")
        end_service(daemon, "dynod-supervisor")
        client.kill()
    daemon.wait_ready()
    root.check()
