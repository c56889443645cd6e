# SPDX-License-Identifier: Apache-2.0
"""One dyno attacks, its neighbour goes on answering, and so does dynod.

A neighbour's web dyno gets requests at fixed times from outside while a bomb goes off in
another dyno. What counts is its p99 against the same load beside a neighbour that works
hard and harms nobody: an idle guest would be slower than a busy one. Noise of the machine
below only ever adds, so that the best of a few windows is what a bomb does at least.
"""

import json
import os
import pathlib
import subprocess
import time

import pytest

from dynod_testing import make_slug, time_factor, wait_until

pytestmark = pytest.mark.vm

COUNT, RATE = 250, 100  # requests, and requests a second
WINDOWS = 3
ROUNDS = 3              # of windows beside a bomb and beside a benign neighbour
RATIO = 3.0             # p99 beside a bomb against p99 beside a benign neighbour
HOPELESS_USEC = 10**12  # a request without an answer

# What dies of its own bomb: the dyno is thrown again as long as the window is open.
DEADLY = {"memory", "memfds", "shm", "sockets", "sysv", "pipes"}
# Their output is the attack: nobody must be there to take it but the logger.
THROUGH_THE_LOGGER = {"log", "log-lines"}


def program():
    return pathlib.Path(os.environ["DYNOD_BUILD"]) / "tests/starvation/bombs"


def bomb_names():
    if "DYNOD_BUILD" not in os.environ or not program().exists():
        return []
    listed = subprocess.run([program(), "list"], check=True, capture_output=True, text=True).stdout
    return [line.split("\t")[0] for line in listed.splitlines()]


# stress-ng's own ideas, eight at a time.
STRESS = {
    "scheduler": "fork vfork pthread switch futex yield affinity",
    "memory": "vm mmap mmapfork tlb-shootdown madvise bigheap stack mlock",
    "files": "hdd dentry dir getdent rename link symlink flock",
    "ipc": "mq msg sem-sysv shm-sysv pipe sockpair timer sigq",
    "network": "udp udp-flood sock sockmany icmp-flood netdev rawsock dccp",
    "kernel": "resources seccomp sysfs procfs membarrier inotify pty key",
}


class Arena:
    """Two apps: the victim with its web dyno, and the one that bombs are thrown in."""

    def __init__(self, daemon, stack, folder):
        self.daemon = daemon
        self.victim, self.attacker = "victim-" + os.urandom(3).hex(), "bomber-" + os.urandom(3).hex()
        slug = make_slug(folder / "bombs.tgz", {
            "Procfile": "web: exec ./bombs serve\n", "bombs": program().read_bytes()}, mode=0o755)
        for app in (self.victim, self.attacker):
            daemon.ok("apps:create", app, "--stack", stack)
        daemon.ok("deploy", slug, "-a", self.victim, timeout=120)
        daemon.ok("ps:wait", "-a", self.victim, timeout=150)
        daemon.ok("deploy", slug, "-a", self.attacker, "--no-wait", timeout=120)
        daemon.ok("ps:scale", "web=0", "-a", self.attacker)
        self.web = daemon.dyno(self.victim, "web.1")
        self.benign = None
        self.rows = []

    def destroy(self):
        for app in (self.attacker, self.victim):
            self.daemon.ok("apps:destroy", app, "--confirm", app, timeout=120)

    def load(self):
        done = subprocess.run([program(), "load", self.web["address"], str(self.web["port"]),
                               str(COUNT), str(RATE)],
                              check=True, capture_output=True, text=True, timeout=120 * time_factor())
        result = json.loads(done.stdout)
        if result["failed"]:
            result["p99_usec"] = HOPELESS_USEC
        begun = time.monotonic()
        self.daemon.ok("ps", "-a", self.victim)
        result["ps_usec"] = int((time.monotonic() - begun) * 1e6)
        return result

    def one_offs(self):
        return [dyno for dyno in self.daemon.dynos(self.attacker) if dyno["type"] == "run"]

    def end(self):
        for dyno in self.one_offs():
            if dyno["state"] not in ("stopping", "down"):
                self.daemon.ctl("ps:stop", dyno["name"], "-a", self.attacker)
        wait_until(lambda: not self.one_offs(), "the bomber's dynos end", 40)

    def run_beside(self, *command, attached=True):
        """A one-off dyno that says "going"; returns the client's process, or None."""
        if not attached:
            self.daemon.ok("run", "--detached", "-a", self.attacker, "--", *command)
            # "going" is soon buried below the flood.
            wait_until(lambda: any(dyno["state"] == "up" for dyno in self.one_offs()),
                       "the bomb goes off")
            return None
        client = subprocess.Popen(
            [self.daemon.herokuctl, "run", "-a", self.attacker, "--no-tty", "--", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(self.daemon.socket)})
        said = []
        for line in client.stdout:
            said.append(line)
            if line.strip() == "going" or "dispatching hogs" in line:
                return client
        raise AssertionError(f"{command} never got going: {client.wait()} {''.join(said)[-500:]}")

    def windows(self, *command, attached=True, deadly=False, enough=None):
        """The best window beside that command; no more of them once one is good enough."""
        best = None
        client = self.run_beside(*command, attached=attached)
        try:
            for _ in range(WINDOWS):
                if deadly and client and client.poll() is not None:
                    client.stdout.close()
                    client = self.run_beside(*command)
                result = self.load()
                best = {key: min(value, best[key]) for key, value in result.items()} if best else result
                if enough and best["p99_usec"] <= enough and best["ps_usec"] <= 1_000_000:
                    break
        finally:
            self.end()
            if client:
                client.stdout.close()
                client.wait(60 * time_factor())
        return best

    def measure_benign(self):
        """Again and again between the bombs: the machine below changes."""
        self.benign = self.windows("./bombs", "benign")
        return self.benign

    def check(self, name, *command, attached=True, deadly=False):
        benign = self.benign or self.measure_benign()
        for attempt in range(ROUNDS):
            if attempt > 0:  # the machine below may have changed since
                benign = self.measure_benign()
            result = self.windows(*command, attached=attached, deadly=deadly,
                                  enough=RATIO * benign["p99_usec"])
            if result["p99_usec"] < RATIO * benign["p99_usec"]:
                break
        ratio = result["p99_usec"] / benign["p99_usec"]
        row = (f"{name:<18} p50 {result['p50_usec'] / 1000:8.1f} ms ({benign['p50_usec'] / 1000:.1f})"
               f"   p99 {result['p99_usec'] / 1000:8.1f} ms ({benign['p99_usec'] / 1000:.1f},"
               f" {ratio:.2f} times)   ps {result['ps_usec'] / 1000:.0f} ms")
        self.rows.append(row)
        assert result["failed"] == 0, row
        assert ratio < RATIO, row
        # A second on a machine of its own; in a guest that is ten times slower it is as
        # long as beside a benign neighbour that would have been in time.
        assert result["ps_usec"] < max(1_000_000, RATIO * benign["ps_usec"]), row


@pytest.fixture(scope="module")
def arena(daemon, stack, tmp_path_factory, request):
    arena = Arena(daemon, stack, tmp_path_factory.mktemp("starvation"))
    yield arena
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print("\nneighbour beside a bomb (beside a benign dyno)")
        print("\n".join(arena.rows))
    arena.destroy()


@pytest.fixture(autouse=True)
def same_victim(arena):
    """No bomb restarts the neighbour, or dynod."""
    pids = [arena.daemon.main_pid(), *arena.daemon.pids_of("dynod-supervisor"),
            *arena.daemon.pids_of("dynod-logger")]
    yield
    dyno = arena.daemon.dyno(arena.victim, "web.1")
    assert (dyno["id"], dyno["pid"], dyno["state"]) == (arena.web["id"], arena.web["pid"], "up")
    assert pids == [arena.daemon.main_pid(), *arena.daemon.pids_of("dynod-supervisor"),
                    *arena.daemon.pids_of("dynod-logger")]


@pytest.mark.parametrize("name", bomb_names())
def test_neighbour_answers_beside(arena, name):
    arena.check(name, "./bombs", "throw", name, attached=name not in THROUGH_THE_LOGGER,
                deadly=name in DEADLY)


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
    arena.check("stress-ng " + group, "sh", "-c",
                "LD_LIBRARY_PATH=/app/lib exec ./stress-ng --temp-path /tmp --timeout 300 " + " ".join(hogs),
                deadly=True)
