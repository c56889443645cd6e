# SPDX-License-Identifier: Apache-2.0
"""A dyno that attacks, its neighbour under load, and the same load beside a benign dyno.

Noise of the machine below comes and goes, and only ever adds. So what counts are the
requests of several windows together, and beside the benign dyno they are measured just
before and just after: a check ends with the first round that is clearly good, and fails when
all rounds together are not, and most of them alone are not: a machine that stood still for a
second in one round is in the p99 of all. A lost request is no noise: each one counts, in
whichever round it was.
"""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import threading
import time

from dynod_testing import make_slug, time_factor, wait_until

COUNT, RATE = 170, 100  # requests of a window, and requests a second
WARM_UP = 20            # of them are not counted: caches are still the other neighbour's
WINDOWS = 2             # of a round beside the bomb, with one beside the benign dyno after each round
ROUNDS = 8              # a check that is not clearly good has as many: what is rare evens out
RATIO = 3.0             # p99 beside a bomb against p99 beside a benign neighbour
# What ends a check early, after that many rounds.
CLEARLY_GOOD = {1: 2.1, 2: 2.4, 3: 2.7}
SECOND_USEC = 1_000_000
HOPELESS_USEC = 10**12  # a request without an answer

TRASH = pathlib.Path("/var/lib/dynod/scratch/fs/dynod/.trash")

# What dies of its own bomb: the dyno is thrown again at the next window.
DEADLY = {"memory", "sockets", "lookups", "memfds pipes shm sysv"}
# Their output is the attack: nobody must be there to take it but the logger.
THROUGH_THE_LOGGER = {"log", "log-lines", "convoy"}


# Under emulation a second is no measure: everything takes some ten times as long. So does what the kernel
# does in one go, but not its slices of time, and on a quiet machine the slowest beside a benign dyno wait
# for little else: for a p99 below this many there counts this many.
EMULATED_LEAST_USEC = 20_000
EMULATED = subprocess.run(["systemd-detect-virt", "--vm"], check=False, capture_output=True,
                          text=True).stdout.strip() == "qemu"


def program():
    return pathlib.Path(os.environ["DYNOD_BUILD"]) / "tests/starvation/bombs"


def bomb_names():
    if "DYNOD_BUILD" not in os.environ or not program().exists():
        return []
    listed = subprocess.run([program(), "list"], check=True, capture_output=True, text=True).stdout
    return [line.split("\t")[0] for line in listed.splitlines()]


class Figures:
    """What was measured beside a neighbour, in several windows together."""

    def __init__(self, windows):
        answers = [usec for latencies, _ in windows for usec in latencies[WARM_UP:]]
        self.latencies = sorted(HOPELESS_USEC if usec is None else usec for usec in answers)
        self.failed = sum(latencies.count(None) for latencies, _ in windows)
        self.ps_usec = max(ps_usec for _, ps_usec in windows)

    def quantile(self, percent):
        return self.latencies[len(self.latencies) * percent // 100]


class Verdict:
    """How a neighbour fares beside a bomb, after a benign one's figures."""

    def __init__(self, rounds, benign):
        self.bomb, self.benign = Figures([window for windows in rounds for window in windows]), benign
        self.ratio = self.bomb.quantile(99) / benign.quantile(99)
        self.median_ratio = statistics.median(
            Figures(windows).quantile(99) / benign.quantile(99) for windows in rounds)
        # A second, in every round; where everything is slow, as long as beside a benign neighbour
        # that would have been in time.
        self.ps_usec = self.bomb.ps_usec
        self.ps_within_second = self.ps_usec < SECOND_USEC
        self.ps_in_time = self.ps_within_second or EMULATED and self.ps_usec < RATIO * benign.ps_usec
        least = EMULATED_LEAST_USEC if EMULATED else 0
        self.scale = min(1, benign.quantile(99) / max(least, 1))

    def clearly_good(self, rounds):
        """After that many of them: nothing that more of them could change is to be feared."""
        return self.ratio * self.scale < CLEARLY_GOOD.get(rounds, RATIO) and self.ps_in_time

    def good(self):
        return min(self.ratio, self.median_ratio) * self.scale < RATIO and self.ps_in_time

    def passed_by(self):
        """What a row owes its verdict to, beyond the plain measures."""
        softer = []
        if min(self.ratio, self.median_ratio) >= RATIO:
            softer.append(f"by {EMULATED_LEAST_USEC // 1000} ms")
        elif self.ratio >= RATIO:
            softer.append("by its median round")
        if not self.ps_within_second:
            softer.append("ps by its benign neighbour's")
        return f"   passed {', '.join(softer)}" if softer and self.good() else ""

    def row(self, name):
        return (f"{name:<18} p50 {self.bomb.quantile(50) / 1000:8.1f} ms"
                f" ({self.benign.quantile(50) / 1000:.1f})"
                f"   p99 {self.bomb.quantile(99) / 1000:8.1f} ms"
                f" ({self.benign.quantile(99) / 1000:.1f}, {self.ratio:.2f} times,"
                f" {self.median_ratio:.2f} in the median round)"
                f"   ps {self.ps_usec / 1000:.0f} ms ({self.benign.ps_usec / 1000:.0f})"
                f"   {len(self.bomb.latencies)} requests{self.passed_by()}")


class Thrown:
    """A one-off dyno with a bomb in it, while the context lasts. A deadly one dies of its own
    bomb, and is thrown again at once."""

    def __init__(self, arena, command, attached=True, deadly=False):
        self.arena, self.command, self.deadly = arena, command, deadly
        self.client, self.thrower, self.over = None, None, False
        self.times, self.attached = 0, attached

    def throw(self):
        self.times += 1
        self.client = self.arena.run_beside(*self.command, attached=self.attached)

    def keep_throwing(self):
        while True:
            for _ in self.client.stdout:
                pass
            self.arena.close(self.client)
            if self.over:
                return
            try:
                # There is memory for two, and the dead one has its own until it is gone.
                wait_until(lambda: len(self.arena.one_offs()) < 2 or self.over, "there is memory for it", 40)
                self.throw()
            except AssertionError:
                if not self.over:
                    raise
                return

    def __enter__(self):
        self.throw()
        if self.deadly:
            self.thrower = threading.Thread(target=self.keep_throwing)
            self.thrower.start()
        return self

    def check_it_goes(self):
        if self.thrower:
            assert self.thrower.is_alive(), f"{self.command} is not thrown any more"
        else:
            assert self.arena.is_going(self.client), f"{self.command} ended: beside whom was that?"

    def __exit__(self, *error):
        self.over = True
        self.arena.end()
        while self.thrower and self.thrower.is_alive():
            self.arena.end()
            self.thrower.join(0.2)
        if self.client and not self.thrower:
            self.arena.close(self.client)


class Together:
    """The same bomb in several dynos at once."""

    def __init__(self, *bombs):
        self.bombs, self.stack = bombs, contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for bomb in self.bombs:
                stack.enter_context(bomb)
            self.stack = stack.pop_all()
        return self

    def check_it_goes(self):
        for bomb in self.bombs:
            bomb.check_it_goes()

    def __exit__(self, *error):
        for bomb in self.bombs:
            bomb.over = True
        self.stack.close()


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
        # The benign neighbour is there all the time, and frozen but for its windows.
        daemon.ok("run", "--detached", "-a", self.victim, "--", "./bombs", "benign")
        self.benign = None
        wait_until(self.find_benign, "the benign dyno is up")
        self.freeze_benign(True)
        self.recent = []
        self.rows = []

    def find_benign(self):
        self.benign = next((dyno for dyno in self.daemon.dynos(self.victim)
                            if dyno["type"] == "run" and dyno["state"] == "up"), None)
        return self.benign

    @staticmethod
    def cgroup(dyno):
        return next(pathlib.Path("/sys/fs/cgroup").rglob(dyno["id"]))

    def kill(self, dyno):
        (self.cgroup(dyno) / "cgroup.kill").write_text("1")

    def freeze_benign(self, frozen):
        cgroup = self.cgroup(self.benign)
        (cgroup / "cgroup.freeze").write_text(str(int(frozen)))
        wait_until(lambda: f"frozen {int(frozen)}" in (cgroup / "cgroup.events").read_text(),
                   "the benign dyno freezes")

    @contextlib.contextmanager
    def beside_benign(self):
        self.freeze_benign(False)
        try:
            yield
        finally:
            self.freeze_benign(True)

    def destroy(self):
        self.freeze_benign(False)
        for app in (self.attacker, self.victim):
            self.daemon.ok("apps:destroy", app, "--confirm", app, timeout=120)

    def requests(self):
        return [program(), "load", self.web["address"], str(self.web["port"]), str(COUNT), str(RATE)]

    def renames(self):
        """What the neighbour does by itself: files of its own, from folder to folder."""
        return ["env", f"DYNOD_SOCKET={self.daemon.socket}", self.daemon.herokuctl, "ps:exec", "web.1",
                "-a", self.victim, "--no-tty", "--", "./bombs", "rename", str(COUNT), str(RATE)]

    def load(self, command=None):
        """One window: what each request took, and the longest `ps` meanwhile. In microseconds."""
        longest = 0
        with subprocess.Popen(command or self.requests(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True) as load:
            while True:
                begun = time.monotonic()
                self.daemon.ok("ps", "-a", self.victim)
                longest = max(longest, int((time.monotonic() - begun) * 1e6))
                try:
                    output = load.communicate(timeout=0.5)[0]
                    break
                except subprocess.TimeoutExpired:
                    continue
        assert load.returncode == 0
        return json.loads(output), longest

    def one_offs_of_the_victim(self):
        return [dyno for dyno in self.daemon.dynos(self.victim)
                if dyno["type"] == "run" and dyno["id"] != self.benign["id"]]

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

    def measure_benign(self):
        """A window beside the benign dyno; kept for the next check, which comes just after."""
        wait_until(lambda: not any(TRASH.iterdir()), "nothing of a bomb is left to remove", 60)
        with self.beside_benign():
            self.recent = [self.load()]
        return self.recent

    def check(self, name, *command, attached=True, deadly=False, dynos=1):
        def beside_bomb():
            with Together(*(Thrown(self, command, attached, deadly) for _ in range(dynos))) as bombs:
                for _ in range(WINDOWS):
                    yield self.load()
                    bombs.check_it_goes()
        self.judge(name, beside_bomb)

    def judge(self, name, beside_bomb):
        """beside_bomb() gives the windows of a round."""
        verdict = self.compare(beside_bomb)
        self.rows.append(verdict.row(name))
        assert verdict.bomb.failed == 0, \
            f"{verdict.bomb.failed} requests without an answer; {self.rows[-1]}"
        assert verdict.good(), self.rows[-1]

    def compare(self, beside_bomb, rounds=ROUNDS):
        bomb, benign = [], list(self.recent) or self.measure_benign()
        for done in range(1, rounds + 1):
            bomb.append(list(beside_bomb()))
            benign += self.measure_benign()
            verdict = Verdict(bomb, Figures(benign))
            if verdict.clearly_good(done):
                break
        return verdict
