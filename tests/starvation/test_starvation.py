# SPDX-License-Identifier: Apache-2.0
"""One dyno attacks, its neighbour goes on answering, and so does dynod.

A neighbour's web dyno gets requests at fixed times from outside while a bomb goes off in
another dyno. What counts is its p99 against the same load beside a neighbour that works
hard and harms nobody: an idle guest would be slower than a busy one. See arena.py.
"""

import os
import pathlib

import pytest

from arena import DEADLY, THROUGH_THE_LOGGER, bomb_names, summary

pytestmark = pytest.mark.vm

# stress-ng's own ideas, eight at a time.
STRESS = {
    "scheduler": "fork vfork pthread switch futex yield affinity",
    "memory": "vm mmap mmapfork tlb-shootdown madvise bigheap stack mlock",
    "files": "hdd dentry dir getdent rename link symlink flock",
    "ipc": "mq msg sem-sysv shm-sysv pipe sockpair timer sigq",
    "network": "udp udp-flood sock sockmany icmp-flood netdev rawsock dccp",
    "kernel": "resources sysfs procfs membarrier inotify pty key",
    "resources": "resources",
}


@pytest.mark.parametrize("name", bomb_names())
def test_neighbour_answers_beside(arena, name):
    arena.check(name, lambda bound: arena.windows(
        "./bombs", "throw", name, attached=name not in THROUGH_THE_LOGGER, deadly=name in DEADLY,
        bound=bound))


def test_neighbour_answers_while_trees_are_removed(arena):
    """Dynos end again and again, each with as many folders as its quota allows."""
    arena.check("trees, removed", lambda bound: arena.windows_after(
        "./bombs", "throw", "trees", dynos=2, bound=bound))


def test_lost_requests_are_not_outvoted():
    window = {"p50_usec": 1, "p99_usec": 1, "ps_usec": 1, "failed": 0}
    assert summary([window, window | {"failed": 2}, window | {"p99_usec": 9}]) == \
        window | {"failed": 2}
    assert summary([window, window | {"p99_usec": 9}])["p99_usec"] == 9


@pytest.fixture(scope="module")
def stress(arena):
    """From here on the bomber's slug is stress-ng."""
    slug = pathlib.Path(os.environ["DYNOD_BUILD"]) / "tests/starvation/stress-ng.tgz"
    arena.daemon.ok("deploy", slug, "-a", arena.attacker, "--no-wait", timeout=120)
    arena.daemon.ok("ps:scale", "web=0", "-a", arena.attacker)


@pytest.mark.parametrize("group", STRESS)
def test_neighbour_answers_beside_stress_ng(arena, stress, group):
    hogs = [word for name in STRESS[group].split() for word in ("--" + name, "1")]
    # Deadly: a dyno that stress-ng takes over its memory is killed, and thrown again.
    arena.check("stress-ng " + group, lambda bound: arena.windows(
        "sh", "-c", "LD_LIBRARY_PATH=/app/lib exec ./stress-ng --temp-path /tmp --timeout 300 " +
        " ".join(hogs), deadly=True, bound=bound))
