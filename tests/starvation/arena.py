# SPDX-License-Identifier: Apache-2.0
"""A dyno that attacks, its neighbour under load, and the same load beside a benign dyno.

Noise of the machine below comes and goes, and only ever adds. So a figure is the median of
a few windows, beside a bomb as beside the benign dyno, and what is above the bound is
measured again next to a benign dyno of the same minute. A lost request is no noise: each
one counts, in whichever window it was.
"""

import json
import os
import pathlib
import statistics
import subprocess
import time

from dynod_testing import make_slug, time_factor, wait_until

COUNT, RATE = 250, 100  # requests of a window, and requests a second
WINDOWS = 3             # fewer when most of them agree
ROUNDS = 3              # of windows beside a bomb and beside a benign neighbour
RATIO = 3.0             # p99 beside a bomb against p99 beside a benign neighbour
SECOND_USEC = 1_000_000
HOPELESS_USEC = 10**12  # a request without an answer

TRASH = pathlib.Path("/var/lib/dynod/scratch/fs/dynod/.trash")

# What dies of its own bomb: the dyno is thrown again at the next window.
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


def summary(results):
    """Of several windows: the median, the worse one of two, and all requests that failed."""
    return {key: statistics.median_high(result[key] for result in results)
            for key in ("p50_usec", "p99_usec", "ps_usec")} | {
            "failed": sum(result["failed"] for result in results)}


class Bound:
    """What is good enough, after a benign neighbour's figures."""

    def __init__(self, benign):
        self.p99_usec = RATIO * benign["p99_usec"]
        # A second on a machine of its own; in a guest that is ten times slower it is as
        # long as beside a benign neighbour that would have been in time.
        self.ps_usec = max(SECOND_USEC, RATIO * benign["ps_usec"])

    def holds(self, result):
        return result["p99_usec"] < self.p99_usec and result["ps_usec"] < self.ps_usec


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
        self.quietest = None
        self.rows = []

    def destroy(self):
        for app in (self.attacker, self.victim):
            self.daemon.ok("apps:destroy", app, "--confirm", app, timeout=120)

    def load(self):
        """One window."""
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

    def start(self, *command):
        """A one-off dyno of the bomber's; returns the client's process."""
        return subprocess.Popen(
            [self.daemon.herokuctl, "run", "-a", self.attacker, "--no-tty", "--", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(self.daemon.socket)})

    @staticmethod
    def await_line(client, *words):
        said = []
        for line in client.stdout:
            said.append(line)
            if any(word in line for word in words):
                return
        raise AssertionError(f"it never said {words}: {client.wait()} {''.join(said)[-500:]}")

    @staticmethod
    def close(client):
        client.stdin.close()
        client.stdout.close()
        client.wait(60 * time_factor())

    def run_beside(self, *command, attached=True):
        """A one-off dyno that says "going"; returns the client's process, or None."""
        if not attached:
            self.daemon.ok("run", "--detached", "-a", self.attacker, "--", *command)
            # "going" is soon buried below the flood.
            wait_until(lambda: any(dyno["state"] == "up" for dyno in self.one_offs()),
                       "the bomb goes off")
            return None
        client = self.start(*command)
        self.await_line(client, "going", "dispatching hogs")
        return client

    def is_going(self, client):
        if client:
            return client.poll() is None
        return any(dyno["state"] == "up" for dyno in self.one_offs())

    @staticmethod
    def gather(measure, bound):
        """Windows that measure() gives; no more once most are on one side of the bound."""
        results = []
        while len(results) < WINDOWS:
            results.append(measure())
            good = sum(bound.holds(result) for result in results) if bound else 0
            if bound and max(good, len(results) - good) > WINDOWS // 2:
                break
        return summary(results)

    def windows(self, *command, attached=True, deadly=False, bound=None):
        """Windows beside that command."""
        client = self.run_beside(*command, attached=attached)

        def measure():
            nonlocal client
            if deadly and not self.is_going(client):
                self.close(client)
                client = self.run_beside(*command)
            result = self.load()
            assert deadly or self.is_going(client), f"{command} ended: beside whom was that measured?"
            return result
        try:
            return self.gather(measure, bound)
        finally:
            self.end()
            if client:
                self.close(client)

    def windows_after(self, *command, dynos, bound):
        """Windows while what such dynos left is removed."""
        def measure():
            clients = [self.start(*command) for _ in range(dynos)]
            for client in clients:
                self.await_line(client, "going")
            for dyno in self.one_offs():
                cgroup = next(pathlib.Path("/sys/fs/cgroup").rglob(dyno["id"]))
                (cgroup / "cgroup.kill").write_text("1")
            for client in clients:
                self.close(client)
            wait_until(lambda: any(TRASH.iterdir()), "there is trash")
            result = self.load()
            self.end()
            return result
        return self.gather(measure, bound)

    def measure_benign(self):
        benign = self.windows("./bombs", "benign")
        if not self.quietest or benign["p99_usec"] < self.quietest["p99_usec"]:
            self.quietest = benign
        return benign

    def check(self, name, measure):
        """measure(bound) gives a summary. First against the quietest that a benign dyno ever was."""
        benign, failed = self.quietest or self.measure_benign(), 0
        for attempt in range(ROUNDS):
            if attempt > 0:  # the machine below may have changed since
                benign = self.measure_benign()
            result = measure(Bound(benign))
            failed += result["failed"]
            if Bound(benign).holds(result):
                break
        ratio = result["p99_usec"] / benign["p99_usec"]
        row = (f"{name:<18} p50 {result['p50_usec'] / 1000:8.1f} ms ({benign['p50_usec'] / 1000:.1f})"
               f"   p99 {result['p99_usec'] / 1000:8.1f} ms ({benign['p99_usec'] / 1000:.1f},"
               f" {ratio:.2f} times)   ps {result['ps_usec'] / 1000:.0f} ms")
        self.rows.append(row)
        assert failed == 0, f"{failed} requests without an answer; {row}"
        assert result["p99_usec"] < Bound(benign).p99_usec, row
        assert result["ps_usec"] < Bound(benign).ps_usec, row
