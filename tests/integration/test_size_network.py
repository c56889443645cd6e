# SPDX-License-Identifier: Apache-2.0
"""bandwidth, connections and connection_rate of a size, from dynod.conf to the dyno's link: what
the kernel has of them, and what packets get through."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "network"))

from dynod_testing import make_slug, wait_until  # noqa: E402
from lab import KEEPERS  # noqa: E402
from test_app_network import NEAR, outside  # noqa: E402,F401

APP = "sizes-net"
PORT = 7009

# Each size has all three; each type of process shows one of them.
SIZES = """
[size Slow]
memory = 256M
memory_kill = 512M
cpu_weight = 100
processes = 64
bandwidth = 250000
connections = 5000
connection_rate = 7

[size Few]
memory = 256M
memory_kill = 512M
cpu_weight = 100
processes = 64
bandwidth = 500000
connections = 40
connection_rate = 100000
"""
# tc's rate, the class of connections, new ones a second; Standard-1X is what dynod.conf(5) says.
KERNEL = {"slow": ("2Mbit", 4096, 7), "few": ("4Mbit", 32, 100000), "plain": ("536870Kbit", 2048, 256)}

# Outside: as many datagrams for an answer as were asked for.
ANSWER = f"""
import socket
s = socket.socket(2, 2)
s.bind(("{NEAR}", {PORT}))
print("ready", flush=True)
while True:
    n, peer = s.recvfrom(16)
    for _ in range(int(n)):
        s.sendto(bytes(1000), peer)
"""

NEW = f"""
import socket
kept = [socket.socket(2, 2) for _ in range(200)]
for s in kept:
    s.sendto(b"0", ("{NEAR}", {PORT}))
"""

# One connection, 100 kB each way: more than the burst of a slow link.
MUCH = f"""
import socket
s = socket.socket(2, 2)
s.setsockopt(1, 8, 1 << 20) # SO_RCVBUF
s.settimeout(2)
s.connect(("{NEAR}", {PORT}))
for _ in range(100):
    s.send(b"0" * 1000)
got = 0
while got < 30:
    s.send(b"100") # lost, if the link is full
    try:
        while got < 30:
            s.recv(2000)
            got += 1
    except TimeoutError:
        pass
"""


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def configured(daemon, text, names):
    """More sizes, while the daemon runs."""
    folder = pathlib.Path("/etc/dynod/dynod.conf.d") if daemon.is_installed else daemon.folder / "dynod.conf.d"
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    drop_in = folder / "90-sizes.conf"
    drop_in.write_text(text)
    try:
        os.kill(daemon.main_pid(), signal.SIGHUP)
        wait_until(lambda: names <= {size["name"] for size in daemon.json("sizes")}, "the new sizes are known")
        yield
    finally:
        drop_in.unlink()
        if made:
            folder.rmdir()
        os.kill(daemon.main_pid(), signal.SIGHUP)


@pytest.fixture(scope="module", name="dynos")
def dynos_of_sizes(daemon, stack, outside, tmp_path_factory):  # noqa: F811
    """A dyno of each type: its entry of ps, and "link"."""
    procfile = "".join(f"{name}: sleep 1000000\n" for name in KERNEL)
    slug = make_slug(tmp_path_factory.mktemp("sizes") / "slug.tgz", {"Procfile": procfile})
    server = outside.popen([sys.executable, "-c", ANSWER], stdout=subprocess.PIPE)
    KEEPERS.append(server)
    assert server.stdout.readline() == b"ready\n"
    outside.run("nft 'add table ip count; add chain ip count c { type filter hook prerouting priority -400; }; "
                f"add rule ip count c udp dport {PORT} counter'")
    with configured(daemon, SIZES, {"Slow", "Few"}):
        daemon.ok("apps:create", APP, "--stack", stack)
        try:
            daemon.ok("deploy", slug, "-a", APP, timeout=120)
            daemon.ok("ps:scale", "slow=1:Slow", "few=1:Few", "plain=1", "-a", APP, timeout=120)
            daemon.ok("ps:wait", "-a", APP, timeout=150)
            found = {name: daemon.dyno(APP, f"{name}.1") for name in KERNEL}
            for dyno in found.values():
                way = output("ip", "route", "get", dyno["address"]).split()
                dyno["link"] = way[way.index("dev") + 1]
            yield found
        finally:
            daemon.ok("apps:destroy", APP, "--confirm", APP, timeout=90)
            server.kill()


def inside(daemon, name, code):
    done = daemon.exec(APP, f"{name}.1", "python3", "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


def arrived(outside):  # noqa: F811
    return int(re.search(r"packets (\d+)", outside.run("nft list chain ip count c")).group(1))


def queues(dyno):
    """What tc says of both ends: the host's, then the dyno's."""
    return (output("tc", "-s", "qdisc", "show", "dev", dyno["link"], "root"),
            output("nsenter", "-t", str(dyno["pid"]), "-n", "tc", "-s", "qdisc", "show", "dev", "eth0", "root"))


@pytest.mark.parametrize("name", KERNEL)
def test_the_kernel_has_what_the_size_says(daemon, dynos, name):
    dyno, (rate, connections, new) = dynos[name], KERNEL[name]
    for shown in queues(dyno):
        assert shown.startswith("qdisc tbf") and f" rate {rate} " in shown, shown
    table = {kind: output("nft", "list", kind.split()[0], "inet", daemon.instance, kind.split()[1])
             for kind in ("set rates_from", "set rates_to", "map counts_from", "map counts_to")}
    link = dyno["link"]
    for way in ("from", "to"):
        assert re.search(rf'"{link}" limit rate over {new}/second', table[f"set rates_{way}"]), table
        assert re.search(rf'"{link}" : goto count-{connections}-{way}\b', table[f"map counts_{way}"]), table


def test_new_connections_get_through_as_the_size_says(daemon, dynos, outside):  # noqa: F811
    through = {}
    for name in KERNEL:
        before = arrived(outside)
        inside(daemon, name, NEW)
        through[name] = arrived(outside) - before
    assert 7 <= through["slow"] < 100
    assert through["few"] == 32
    assert through["plain"] == 200


def test_each_end_holds_back_what_is_more_than_the_size_says(daemon, dynos):
    for name, held_back in (("slow", True), ("plain", False)):
        inside(daemon, name, MUCH)
        for shown in queues(dynos[name]):
            over = int(re.search(r"overlimits (\d+)", shown).group(1))
            assert (over > 0) == held_back, (name, shown)


def test_a_limit_that_is_gone_from_the_dynos_end_is_named(daemon, dynos):
    def network():
        shown = json.loads(daemon.ctl("ps:inspect", "few.1", "-a", APP, "--json").stdout)
        return next(layer for layer in shown["layers"] if layer["layer"] == "network")

    assert network()["ok"]
    output("nsenter", "-t", str(dynos["few"]["pid"]), "-n", "tc", "qdisc", "del", "dev", "eth0", "root")
    assert not network()["ok"] and "at the dyno's end" in network()["detail"]
