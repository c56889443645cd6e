# SPDX-License-Identifier: Apache-2.0
"""A taken-over supervisor: root answers what it may ask, refuses the rest, and stays itself."""

import contextlib
import errno
import os
import re
import shutil
import signal

import pytest
from dynod_testing import make_slug, wait_until
from taken_over import Root, hostile_supervisor, lingering_socket
from test_stalled_start import frozen

MEMORY_MIN = 8 << 20  # base/names.h
# The third and fourth leave descriptors open, until dynod restarts after the fourth.
BREAKS = ("short", "size", "folder", "eventfd", "huge", "type", "side", "id", "fds", "closed", "full")
FOREIGN_MAX = 16  # launcher/services.c
JOINS_MAX = 4  # launcher/execs.c


@pytest.fixture(scope="module")
def attacked(daemon, stack, tmp_path_factory):
    """An app with a running dyno, and the harness in place of the supervisor."""
    slug = make_slug(tmp_path_factory.mktemp("slug") / "idle.tgz", {"Procfile": "idle: sleep 1000000\n"})
    daemon.ok("apps:create", "attacked", "--stack", stack)
    daemon.ok("deploy", slug, "-a", "attacked", timeout=120)
    daemon.ok("ps:scale", "idle=1", "-a", "attacked", timeout=120)
    wait_until(lambda: daemon.dyno("attacked", "idle.1")["state"] == "up", "idle.1 is up")
    before = daemon.dyno("attacked", "idle.1")
    with hostile_supervisor(daemon) as harness:
        assert harness.order("hello") == {"live": 1}
        yield harness
    # The real one finds everything as it was.
    assert daemon.dyno("attacked", "idle.1")["pid"] == before["pid"]
    assert daemon.exec("attacked", "idle.1", "true").returncode == 0
    daemon.ok("ps:restart", "-a", "attacked", timeout=90)
    daemon.ok("apps:destroy", "attacked", "--confirm", "attacked", timeout=90)


@pytest.fixture
def root(attacked, daemon):
    """Compares dynod before and after, and proves that it still answers."""
    found = Root(daemon, lambda: attacked.order("unknown"))
    yield found
    assert attacked.order("unknown"), "root answers no more"
    found.check()


def dynos(daemon):
    """A dyno's folder stays until the supervisor has read that it ended: it must be asked something."""
    return sorted(os.listdir(daemon.run_dir / "dynos"))


def idle(names):
    return {"id": next(name for name in names if name.startswith("idle.1-"))}


def test_what_is_not_there(attacked, root):
    assert attacked.order("unknown") == {
        "signal": -errno.ESRCH, "kill": -errno.ESRCH, "inspect": -errno.ESRCH, "exec": -errno.ESRCH,
        "rebuild": -errno.ENOENT, "extract": -errno.ENOENT, "commit": -errno.ENOENT,
        "abandon": 0, "remove": 0}


def test_starts_that_may_not_be(attacked, root):
    assert attacked.order("start") == {
        "replayed": -errno.EEXIST, "swapped": -errno.ENOENT, "no-slug": -errno.ENOENT,
        "memory": -errno.ENOMEM, "kill": -errno.ERANGE, "processes": -errno.ERANGE,
        "lightest": -errno.ERANGE, "heaviest": -errno.ERANGE, "policy": -errno.ESTALE,
        "unsealed": -errno.EBADMSG, "socket": -errno.EBADMSG}


def test_starts_of_junk_leave_nothing(attacked, root, daemon):
    before = dynos(daemon)
    assert attacked.order("junk-specs 5") == {"started": 5, "refused": 0, "result": 0}
    wait_until(lambda: attacked.order("unknown") and dynos(daemon) == before, "their folders are gone")


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_starts_at_once_are_bounded(attacked, root, daemon):
    """Each has ten of root's descriptors until it gets on, which here none does."""
    before = dynos(daemon)
    with frozen(idle(before)):
        seen = attacked.order("starts-at-once 80")
    assert seen == {"answers": 80, "busy": 16}
    wait_until(lambda: attacked.order("unknown") and dynos(daemon) == before, "their folders are gone")


def test_socket_that_lingers_holds_nobody_up(attacked, root, daemon):
    """In the queue of a socket to attach to, of which root may close the last copy: its command ends at once."""
    before = dynos(daemon)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            attacked.give(stack.enter_context(lingering_socket()))
            assert attacked.order("attached") == {"start": 0}
        wait_until(lambda: attacked.order("unknown") and dynos(daemon) == before, "their folders are gone")


def test_socket_that_lingers_in_a_message_with_too_many(attacked, daemon, monkeypatch):
    monkeypatch.setattr(daemon, "wait_ready", lambda: None)  # no client is answered meanwhile
    found = Root(daemon)
    with lingering_socket() as lingering:
        before = daemon.pids_of("dynod-supervisor")
        attacked.give(lingering)
        assert attacked.order("break crowded") is None
        wait_until(lambda: set(daemon.pids_of("dynod-supervisor")) - set(before), "another supervisor", 60)
        attacked.connect()
    found.check()


def test_start_with_the_least_of_everything(attacked, root):
    """Enough for what cannot be killed on its way: root does not wait for it until its patience ends."""
    seen = attacked.order(f"limits-start {MEMORY_MIN} {MEMORY_MIN} 1 1 1")
    assert seen["start"] != -errno.ETIMEDOUT, seen


def test_start_with_less_costs_the_supervisor(attacked, daemon, monkeypatch):
    monkeypatch.setattr(daemon, "wait_ready", lambda: None)  # no client is answered meanwhile
    for limits in (f"{MEMORY_MIN - 1} {MEMORY_MIN} 256 0 0", "1 1 256 0 0", f"{MEMORY_MIN} 1 256 0 0",
                   f"{MEMORY_MIN} {MEMORY_MIN} 0 0 0"):
        attacked.ended_for(f"limits-start {limits}")
    daemon.restart()  # or each next one would wait longer for its start
    attacked.connect()


def test_object_in_use_stays(attacked, root, daemon):
    assert attacked.order("remove") == {"slug": -errno.EBUSY, "stack": -errno.EBUSY}


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_imports_in_a_wrong_order(attacked, root):
    assert attacked.order("imports") == {
        "busy": 200 - 64, "again": -errno.EEXIST, "extract": -errno.EBUSY, "commit": -errno.EBUSY}


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_import_limits_are_those_of_the_configuration(attacked, root, daemon):
    """A megabyte of nothing in every kilobyte: more than import_max_ratio."""
    path = make_slug(daemon.state_dir / "supervisor/bomb.txz", {"Procfile": "a: b\n", "zeroes": b"\0" * (64 << 20)},
                     compression="xz")
    path.chmod(0o644)
    seen = attacked.order(f"limits {path}")
    path.unlink()
    assert seen == {
        "none": -errno.EINVAL, "fetch": 0, "digest": -errno.EBADMSG, "extract": -errno.EBADMSG,
        "commit": -errno.EBUSY, "abandon": 0, "late": -errno.ENOENT}


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_fetches_abandoned_at_once(attacked, root):
    assert attacked.order("fetch-abandon 100") == {"done": 0}


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_exec_storm(attacked, root, daemon):
    with frozen(idle(dynos(daemon))):  # none gets on: what is on its way stays there
        assert attacked.order("exec 100") == {"joined": 0, "busy": 100 - JOINS_MAX, "other": JOINS_MAX}
    seen = attacked.order("exec 100")
    assert seen["joined"] > 0 and seen["joined"] + seen["busy"] + seen["other"] == 100, seen


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_what_is_being_removed_costs_no_descriptors(attacked, root, daemon):
    folder = daemon.state_dir / "supervisor/removals"
    folder.mkdir()
    for number in range(30):
        make_slug(folder / str(number), {"Procfile": "a: true\n", "salt": str(number)})
    assert attacked.order(f"removals {folder} 30") == {"import": 0, "remove": 0}
    assert root.count_descriptors() < root.descriptors + 15  # two are being deleted, some synced
    shutil.rmtree(folder)


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_answers_do_not_reach_the_successor(attacked, daemon):
    found = Root(daemon)
    path = make_slug(daemon.state_dir / "supervisor/many.tgz",
                     {"Procfile": "a: true\n", **{f"file{n}": "x" for n in range(3000)}})
    path.chmod(0o644)
    before = set(os.listdir(daemon.state_dir / "boot"))
    assert attacked.order(f"import {path}") == {"import": 0}
    path.unlink()
    marker = wait_until(lambda: {name for name in set(os.listdir(daemon.state_dir / "boot")) - before
                                 if re.fullmatch("slug-[0-9a-f]{64}", name)}, "its tree is trusted").pop()
    (daemon.state_dir / "boot" / marker).unlink()
    attacked.ended_for("leave-rebuild")
    wait_until(lambda: (daemon.state_dir / "boot" / marker).exists(), "it was made anew after all")
    assert attacked.order("stale") == {"inspect": -errno.ESRCH, "stale": 0}
    assert attacked.order(f"forget {marker.removeprefix('slug-')}") == {"remove": 0}
    found.check()


@pytest.mark.soak
def test_policies_are_bounded(attacked, root):
    seen = attacked.order("policies 1200", 600)
    assert seen["refused"] == -errno.ENOSPC, seen
    assert "removal" not in seen, seen


@pytest.mark.twice  # no layer is in it
def test_broken_protocol_costs_the_supervisor_alone(attacked, daemon, monkeypatch):
    monkeypatch.setattr(daemon, "wait_ready", lambda: None)  # no client is answered meanwhile
    found = Root(daemon)
    for count, how in enumerate(BREAKS):
        attacked.ended_for(f"break {how}")
        assert attacked.order("hello") == {"live": 1}
        if count % 4 == 3:  # or each next one would wait longer for its start
            daemon.restart()
            found.pid = daemon.main_pid()
            attacked.connect()
    found.check()


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_flood_without_reading(attacked, daemon):
    found = Root(daemon)
    attacked.ended_for("flood")
    found.check(more_kib=48 * 1024)  # what malloc keeps of a full queue


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_imports_of_an_ended_supervisor_are_gone(attacked, daemon):
    found = Root(daemon)
    assert attacked.order("leave-imports") == {"left": 0}
    attacked.ended_for("break closed")
    assert attacked.order("imports")["busy"] == 200 - 64
    found.check()


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_control_socket_outlives_who_shuts_it_down(attacked, daemon):
    found = Root(daemon)
    assert attacked.order("shared listener") == {"shutdown": 0}
    attacked.ended_for("break closed")
    assert attacked.order("hello") == {"live": 1}
    found.check()


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_channel_to_the_logger_outlives_who_shuts_it_down(attacked, daemon):
    def ends():
        return daemon.log_tail(5000).count("dynod-logger ended")
    loggers, before = daemon.pids_of("dynod-logger"), ends()
    assert attacked.order("shared channel") == {"shutdown": 0}
    wait_until(lambda: set(daemon.pids_of("dynod-logger")) - set(loggers), "a logger with another channel")
    attacked.ended_for("break closed")
    assert ends() == before + 1, "its channel does not work either"


@pytest.mark.native  # with systemd, which ends what dynod leaves
def test_supervisor_ends_with_root(attacked, daemon, monkeypatch):
    """It has blocked SIGTERM, and never looks for it."""
    monkeypatch.setattr(daemon, "wait_ready", lambda: None)
    before = daemon.pids_of("dynod-supervisor")
    os.kill(daemon.main_pid(), signal.SIGKILL)
    daemon.process.wait(10)
    daemon.start()
    wait_until(lambda: not set(before) & set(daemon.pids_of("dynod-supervisor")), "the old one is gone")
    attacked.connect()


@pytest.mark.native  # no layer is in it, and a guest is slow
def test_descriptors_that_stay_open_are_bounded(attacked, daemon, monkeypatch):
    """Of each supervisor four; whoever sends them is not started for ever."""
    monkeypatch.setattr(daemon, "wait_ready", lambda: None)
    found = Root(daemon)
    for _ in range(FOREIGN_MAX // 4 - 1):
        attacked.ended_for("break foreign")
    assert attacked.order("break foreign") is None
    wait_until(lambda: "is not started again" in daemon.log_tail(), "dynod gives up", 60)
    assert not daemon.pids_of("dynod-supervisor")
    assert found.count_descriptors() <= found.descriptors + FOREIGN_MAX
    daemon.restart()
    attacked.connect()
