# SPDX-License-Identifier: Apache-2.0
"""One dyno attacks, its neighbour goes on answering, and so does dynod.

A neighbour's web dyno gets requests at fixed times from outside while a bomb goes off in
another dyno. What counts is its p99 against the same load beside a neighbour that works
hard and harms nobody: an idle guest would be slower than a busy one. See arena.py.
"""

import os
import pathlib
import re
import select
import statistics
import subprocess
import threading
import time

import pytest

import arena as arena_module
from arena import (DEADLY, HOPELESS_USEC, RATIO, THROUGH_THE_LOGGER, TRASH, WARM_UP, Figures, Thrown,
                   Together, Verdict, bomb_names)
from dynod_testing import wait_until

pytestmark = [pytest.mark.vm, pytest.mark.alone]

STRESS_NG = ("sh", "-c", "LD_LIBRARY_PATH=/app/lib exec ./stress-ng --temp-path /tmp $0")

# Thrown at once, in one dyno: what the same thing bounds.
TOGETHER = (
    "memfds pipes shm sysv",                        # memory
    "fork zombies threads",                         # processes
    "descriptors watches epolls mqueues signals",   # what is counted for a user
    "fork-churn exec",
    "cpu switches",
    "mappings faults barriers",
    "dentries depth",
    "crashes forbidden-calls",                      # lines of the kernel's
    "connections datagrams",                        # the host's table of connections
)
# In two dynos at once: what is bounded for each dyno, and runs out, or waits, for the host.
TWICE = {"sockets", "in-flight", "locks"}
ELSEWHERE = {"trees", "renames"}  # have tests of their own

# stress-ng's own ideas, a dozen at a time.
STRESS = {
    "scheduler, network": "fork vfork pthread switch futex yield affinity"
                          " udp udp-flood sock sockmany netdev sockfd epoll sendfile",
    "memory": "vm mmap mmapfork tlb-shootdown madvise bigheap stack mlock",
    "files, ipc": "hdd dentry dir getdent rename link symlink flock"
                  " mq msg sem-sysv shm-sysv pipe sockpair timer sigq",
    # Its pty takes EAGAIN for a failure of its own: the bombs ptys and terminals stand for it.
    "kernel": "sysfs procfs membarrier inotify timerfd eventfd",
    "resources": "resources",  # takes all of the disk quota, without which inotify fails
}


def test_a_benign_neighbour_is_like_itself(arena):
    """How far apart two measurements of the same are."""
    arena.judge("(benign)", arena.measure_benign)


def bombs():
    """Each is thrown once: by itself, or with those that are bounded by the same."""
    names = bomb_names()
    alone = ELSEWHERE.union(*(group.split() for group in TOGETHER))
    assert not names or alone | TWICE <= set(names)
    return [name for name in names if name not in alone] + list(TOGETHER if names else ())


@pytest.mark.parametrize("names", bombs())
def test_neighbour_answers_beside(arena, names):
    arena.check(names + (", two dynos" if names in TWICE else ""), "./bombs", "throw", *names.split(),
                attached=names not in THROUGH_THE_LOGGER, deadly=names in DEADLY,
                dynos=2 if names in TWICE else 1)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for group in TOGETHER for name in group.split()])
def test_neighbour_answers_beside_each(arena, name):
    """Those that are thrown together otherwise, which take from each other what bounds them."""
    arena.check(name + ", alone", "./bombs", "throw", name,
                deadly=name in {"memfds", "pipes", "shm", "sysv"})


def test_neighbour_answers_and_renames_beside_renames(arena):
    """All dynos' files are in one file system, which has one lock for renames from folder to folder."""
    def beside_renames():
        with Together(*(Thrown(arena, ("./bombs", "throw", "renames")) for _ in range(2))) as bombs:
            windows = [arena.load()]
            own.append(arena.load(arena.renames()))
            bombs.check_it_goes()
        return windows

    own = []
    arena.judge("renames, two dynos", beside_renames)
    with arena.beside_benign():
        benign = Figures([arena.load(arena.renames())])
    verdict = Verdict([[window] for window in own], benign)
    arena.rows.append(verdict.row("a rename beside"))
    assert verdict.bomb.failed == 0, arena.rows[-1]


def test_neighbour_answers_while_trees_are_removed(arena):
    """Dynos end again and again, each with ten thousand folders and more."""
    def beside_removal():
        with Thrown(arena, ("./bombs", "throw", "trees")), \
                Thrown(arena, ("./bombs", "throw", "trees")):
            for dyno in arena.one_offs():
                arena.kill(dyno)
        wait_until(lambda: any(TRASH.iterdir()), "there is trash")
        return [arena.load()]
    arena.judge("trees, removed", beside_removal)


LINES, PAUSE = 40, 0.1  # of the neighbour's: that many, and how long after one comes the next
LATE_USEC = 60_000_000  # nobody waits longer for a line


class Ticker:
    """A neighbour that writes down when it says each line, and whoever follows its log meanwhile."""

    def __init__(self, arena):
        self.arena = arena
        self.others = [dyno["id"] for dyno in arena.one_offs_of_the_victim()]
        self.command = ("run", "--detached", "-a", arena.victim, "--", "sh", "-c",
                        f"while :; do echo tick $(date +%s%N); sleep {PAUSE}; done")
        self.dyno = self.client = None

    def find(self):
        self.dyno = next((dyno for dyno in self.arena.one_offs_of_the_victim()
                          if dyno["id"] not in self.others and dyno["state"] == "up"), None)
        return self.dyno

    def __enter__(self):
        self.arena.daemon.ok(*self.command)
        wait_until(self.find, "the neighbour speaks")
        self.client = subprocess.Popen(
            [self.arena.daemon.herokuctl, "logs", "-t", "-n", "1", "-a", self.arena.victim, "--ps", self.dyno["name"]],
            stdout=subprocess.PIPE, env={"DYNOD_SOCKET": str(self.arena.daemon.socket)})
        os.set_blocking(self.client.stdout.fileno(), False)
        return self

    def __exit__(self, *error):
        self.client.kill()
        self.client.wait()
        self.client.stdout.close()
        self.arena.daemon.ctl("ps:stop", self.dyno["name"], "-a", self.arena.victim)
        wait_until(lambda: self.dyno["id"] not in
                   [dyno["id"] for dyno in self.arena.one_offs_of_the_victim()], "it ends", 40)

    def lateness(self):
        """Sorted, in microseconds, of lines said from now on."""
        since, text, late = time.time_ns(), b"", []
        while len(late) < LINES and time.time_ns() < since + LATE_USEC * 1000:
            select.select([self.client.stdout], [], [], 1)
            text += self.client.stdout.read() or b""
            *lines, text = text.split(b"\n")
            said = [int(line.split()[-1]) for line in lines if b": tick " in line]
            late += [(time.time_ns() - ns) // 1000 for ns in said if ns > since]
        return sorted(late[:LINES] + [LATE_USEC] * (LINES - len(late)))


class Waiting(threading.Thread):
    """How often a process is found waiting where nothing interrupts it."""

    def __init__(self, pid):
        super().__init__()
        self.stat, self.looks, self.waits, self.over = pathlib.Path(f"/proc/{pid}/stat"), 0, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.looks += 1
            self.waits += self.stat.read_text().rsplit(")", 1)[1].split()[0] == "D"

    def share(self):
        self.over.set()
        self.join()
        return self.waits / max(self.looks, 1)


def lines_beside(arena, name, *command):
    """When a neighbour's lines come, and how long the logger waits: beside a bomb, and a benign dyno."""
    def lateness():
        waiting = Waiting(arena.daemon.pids_of("dynod-logger")[0])
        waiting.start()
        with Ticker(arena) as ticker:
            late = ticker.lateness()
        return late, waiting.share()

    with arena.beside_benign():
        benign, benign_share = lateness()
    with Thrown(arena, command, attached=False) as bomb:
        late, share = lateness()
        bomb.check_it_goes()
    middle, most = len(late) // 2, len(late) * 9 // 10
    arena.rows.append(
        f"a neighbour's line beside {name}: p50 {late[middle] / 1000:.1f} ms ({benign[middle] / 1000:.1f}), p90"
        f" {late[most] / 1000:.1f} ms ({benign[most] / 1000:.1f}), the logger waits {share:.0%} of the time"
        f" ({benign_share:.0%})")
    return late[most] / max(benign[most], 10_000), share - benign_share


def test_neighbours_lines_come_beside_a_convoy(arena):
    """A dyno that keeps whoever reads its output waiting has no reader but its own dyno-init."""
    ratio, share = lines_beside(arena, "a convoy", "./bombs", "throw", "convoy")
    assert ratio < 10 and share < 0.25, arena.rows[-1]


def test_lost_requests_are_not_outvoted():
    fine, lost = ([9] * (WARM_UP + 200), 1), ([None] + [9] * (WARM_UP + 199), 1)
    assert Figures([fine, fine]).failed == 0 and Figures([fine, lost, fine]).failed == 1
    assert Figures([([9] * (WARM_UP + 90) + [None] * 10, 1)]).quantile(99) == HOPELESS_USEC


def test_ps_takes_a_second_at_most_where_the_machine_is_no_emulation(monkeypatch):
    def verdict(ps_usec, benign_ps_usec):
        requests = [9] * (WARM_UP + 200)
        return Verdict([[(requests, ps_usec)]], Figures([(requests, benign_ps_usec)]))

    monkeypatch.setattr(arena_module, "EMULATED", False)
    assert verdict(999_999, 1).good() and not verdict(1_000_001, 999_999).good()
    late, prompt = ([9] * (WARM_UP + 200), 1_000_001), ([9] * (WARM_UP + 200), 1)
    assert not Verdict([[late], [prompt]], Figures([prompt])).good()  # in every round
    monkeypatch.setattr(arena_module, "EMULATED", True)
    assert verdict(1_000_001, 999_999).good() and "by its benign" in verdict(1_000_001, 999_999).row("")
    assert not verdict(3_000_001, 999_999).good() and "passed" not in verdict(999_999, 1).row("")


def test_one_round_that_stood_still_is_noise_and_most_are_not():
    usual = 30_000
    fine, still = [([usual] * (WARM_UP + 150), 1)] * 2, [([usual] * (WARM_UP + 100) + [100 * usual] * 50, 1)] * 2
    benign = Figures(fine)
    assert Verdict([fine] * 3 + [still] * 2, benign).good()
    assert Verdict([fine] * 3 + [still] * 2, benign).ratio > RATIO
    assert "passed by its median round" in Verdict([fine] * 3 + [still] * 2, benign).row("")
    assert not Verdict([fine] * 2 + [still] * 3, benign).good()
    assert not Verdict([still], benign).good()


def test_under_emulation_little_more_is_no_attack(monkeypatch):
    def verdict(p99, benign_p99):
        return Verdict([[([p99] * (WARM_UP + 200), 1)]], Figures([([benign_p99] * (WARM_UP + 200), 1)]))

    monkeypatch.setattr(arena_module, "EMULATED", False)
    assert not verdict(30_000, 10_000).good() and verdict(29_000, 10_000).good()
    monkeypatch.setattr(arena_module, "EMULATED", True)
    assert verdict(59_000, 10_000).good() and "passed by 20 ms" in verdict(59_000, 10_000).row("")
    assert not verdict(60_000, 10_000).good() and not verdict(90_000, 30_000).good()
    # It counts as so many from the first round on.
    assert verdict(41_000, 10_000).clearly_good(1) and not verdict(43_000, 10_000).clearly_good(1)
    assert not verdict(64_000, 30_000).clearly_good(1) and not verdict(60_000, 10_000).clearly_good(8)


STARTS = 4


@pytest.mark.parametrize("name", ["cpu", "fork-churn", "disk"])
def test_neighbours_start_beside(arena, name):
    """A one-off of the victim's, from the command to its exit status."""
    def starts():
        took = []
        for _ in range(STARTS):
            begun = time.monotonic()
            arena.daemon.ok("run", "-a", arena.victim, "--", "true", timeout=120)
            took.append(time.monotonic() - begun)
            wait_until(lambda: not arena.one_offs_of_the_victim(), "its memory is free again", 60)
        return statistics.median(took)

    with arena.beside_benign():
        benign = starts()
    with Thrown(arena, ("./bombs", "throw", name)):
        bomb = starts()
    arena.rows.append(f"start beside {name}: {bomb * 1000:.0f} ms ({benign * 1000:.0f})")
    assert bomb < RATIO * benign, arena.rows[-1]


@pytest.fixture(scope="module")
def stress(arena):
    """From here on the bomber's slug is stress-ng."""
    slug = pathlib.Path(os.environ["DYNOD_BUILD"]) / "tests/starvation/stress-ng.tgz"
    arena.daemon.ok("deploy", slug, "-a", arena.attacker, "--no-wait", timeout=120)
    arena.daemon.ok("ps:scale", "web=0", "-a", arena.attacker)


@pytest.mark.parametrize("group", STRESS)
def test_neighbour_answers_beside_stress_ng(arena, stress, group):
    hogs = " ".join(f"--{name} 1" for name in STRESS[group].split())
    # A stressor that finds itself refused ends at once, and would be no neighbour at all.
    done = arena.daemon.ctl("run", "-a", arena.attacker, "--", *STRESS_NG, "--timeout 2 " + hogs,
                            timeout=300)
    said = done.stdout + done.stderr
    assert "dispatching hogs" in said and not re.search(r"skip|not supported|stress-ng: fail", said), said
    # Deadly: a dyno that stress-ng takes over its memory is killed, and thrown again.
    arena.check("stress-ng " + group, *STRESS_NG, "--timeout 300 " + hogs, deadly=True)
