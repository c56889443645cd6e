# SPDX-License-Identifier: Apache-2.0
"""A host of its own in network namespaces: 'host' with the network room's driver in it,
'outside' behind its uplink, and whatever dynos a test makes."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("DYNOD_BUILD", "build"))
SOURCE = pathlib.Path(__file__).resolve().parents[3]
PEER = str(pathlib.Path(__file__).with_name("peer.py"))

UPLINK = "up0"
HOST = "10.77.0.2"  # on the uplink
OUTSIDE = "10.77.0.1"
HOST_LAN = "10.78.0.2"  # on another link of the host
OUTSIDE_LAN = "10.78.0.1"
UID_BASE = 700000
DYNO_UID = UID_BASE + 1024


def address(slot):
    """(gateway, dyno) of a slot in 172.16.0.0/12."""
    first = 28 + 4 * slot
    return tuple(f"172.16.{(first + i) >> 8}.{(first + i) & 255}" for i in (1, 2))


KEEPERS = []  # processes that keep namespaces; Lab.close() ends them


class Namespace:
    """A network namespace, kept by a process of its own or found by path."""

    def __init__(self, path=None):
        self.keeper = self.folder = None
        if path is None:
            self.keeper = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", "echo up; exec sleep 600"],
                stdout=subprocess.PIPE,
            )
            KEEPERS.append(self.keeper)
            self.keeper.stdout.readline()
            path = f"/proc/{self.keeper.pid}/ns/net"
        self.path = path

    def run_dir(self, instance):
        """The folder of an instance whose host this namespace is; it outlives its driver."""
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="dynod-net.")
        path = pathlib.Path(self.folder.name) / instance
        path.mkdir(exist_ok=True)
        return str(path)

    def keep(self):
        """Let it live on without its maker, as a dyno's processes do. Returns the pid."""
        self.keeper = self.popen(["sh", "-c", "echo up; exec sleep 600"], stdout=subprocess.PIPE)
        KEEPERS.append(self.keeper)
        self.keeper.stdout.readline()
        self.path = f"/proc/{self.keeper.pid}/ns/net"
        return self.keeper.pid

    def popen(self, argv, **kwargs):
        return subprocess.Popen(["nsenter", f"--net={self.path}", *argv], **kwargs)

    def run(self, command, check=True):
        """A command line in the namespace; its output."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", "sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=20,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.stderr}")
        return done.stdout

    def ip(self, *commands):
        """Several of ip(8), by one process."""
        subprocess.run(["nsenter", f"--net={self.path}", "ip", "-batch", "-"], input="\n".join(commands),
                       text=True, check=True, timeout=20)

    @contextlib.contextmanager
    def serve(self, *args, uid=0):
        """peer.py as a server of each PROTO, ADDRESS, PORT, until the block ends."""
        server = self.popen([sys.executable, PEER, "serve", *map(str, args)], stdout=subprocess.PIPE,
                            env={**os.environ, "PEER_UID": str(uid)})
        try:
            assert server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.kill()
            server.wait()

    def ask(self, *args):
        """peer.py as a client: "ok …" or why not."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", sys.executable, PEER, *map(str, args)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask_all(self, attempts):
        """The answer to each, in their order. All are made at once: those that wait, wait together."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", sys.executable, PEER, "ask",
             *(" ".join(map(str, attempt)) for attempt in attempts)],
            capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        answers = done.stdout.splitlines()
        assert len(answers) == len(attempts), done.stdout
        return answers

    def close(self):
        if self.keeper:
            self.keeper.kill()
            self.keeper.wait()
            self.keeper.stdout.close()


class Driver:
    """net_driver in the host's namespace: the launcher's part."""

    def __init__(self, host, instance="t1", network="172.16.0.0/12", uid_base=UID_BASE,
                 resolver=OUTSIDE, run_dir=None, public=()):
        run_dir = run_dir or host.run_dir(instance)
        self.process = host.popen(
            [
                str(BUILD / "tests" / "net_driver"),
                instance,
                network,
                str(uid_base),
                str(BUILD / "bin"),
                str(SOURCE / "profiles"),
                run_dir,
                resolver,
                *public,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        word, tc_error = self.process.stdout.readline().split()
        assert word == "ready"
        self.tc_error = int(tc_error)

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, f"the driver died at: {command}"
        return answer

    def ok(self, command):
        answer = self.say(command)
        assert answer == "ok 0", f"{command}: {answer}"

    def create(self, slot):
        word, fd = self.say(f"create {slot}").split()
        assert word == "fd", (word, fd)
        return Namespace(f"/proc/{self.process.pid}/fd/{fd}")

    def check(self, slot):
        """(0 or a condition, detail)"""
        result, detail = self.say(f"check {slot}").split(" ", 1)
        return int(result), detail

    def report(self):
        return json.loads(self.say("report"))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.close(-signal.SIGKILL)

    def close(self, status=0):
        self.process.stdin.close()
        ended = self.process.wait(timeout=20)
        self.process.stdout.close()
        assert ended == status


class Lab:
    def __init__(self):
        self.host = Namespace()
        self.outside = Namespace()
        for name in (UPLINK, "lan0"):
            subprocess.run(["nsenter", f"--net={self.host.path}", "ip", "link", "add", name, "type", "veth",
                            "peer", "name", name, "netns", str(self.outside.keeper.pid)], check=True)
        self.outside.ip(
            f"addr add {OUTSIDE}/24 dev {UPLINK}", f"addr add {OUTSIDE_LAN}/24 dev lan0",
            f"addr add fd77::1/64 dev {UPLINK} nodad",
            "addr add 198.51.100.7/32 dev lo", "addr add 169.254.169.254/32 dev lo",
            f"link set {UPLINK} up", "link set lan0 up")
        self.host.ip(
            f"addr add {HOST}/24 dev {UPLINK}", f"addr add {HOST_LAN}/24 dev lan0",
            f"addr add fd77::2/64 dev {UPLINK} nodad",
            f"link set {UPLINK} up", "link set lan0 up", "link set lo up",
            f"route add default via {OUTSIDE}", f"route add 169.254.169.254/32 via {OUTSIDE}")
        # The ends that were up before the others hear of it from a worker, and drop what they send until then.
        # It holds a lock meanwhile, for which the last command waits.
        self.outside.run("until [ $(ip -br link | grep -c ' UP ') = 2 ]; do sleep 0.01; done; ip link set lo up")
        self.driver = None

    def start(self, **kwargs):
        self.driver = Driver(self.host, **kwargs)
        self.driver.ok("start")
        return self.driver

    # The layers, each of which can be taken away.

    def nft_off(self, instance="t1"):
        self.host.run(f"nft delete table inet {instance}")

    def tc_off(self, slot, instance="t1"):
        self.host.run(f"tc qdisc del dev {instance}-{slot} clsact")

    def rule_off(self):
        self.host.run("ip rule del priority 10")

    def close(self):
        if self.driver and self.driver.process.poll() is None:
            self.driver.close()
        while KEEPERS:
            keeper = KEEPERS.pop()
            keeper.kill()
            keeper.wait()
            keeper.stdout.close()
        if self.host.folder:
            self.host.folder.cleanup()
