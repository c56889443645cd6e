# SPDX-License-Identifier: Apache-2.0
"""public_ports of dynod.conf: what dynos then reach of the host, and nothing beside it."""

import json
import pathlib
import subprocess
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path[:0] = [str(INTEGRATION), str(INTEGRATION / "network")]

from dynod_testing import WEB_SLUG, make_slug  # noqa: E402
from test_app_network import tried  # noqa: E402

pytestmark = pytest.mark.vm

CONF = pathlib.Path("/etc/dynod/dynod.conf.d/public-ports.conf")
PUBLIC = "198.51.100.2"  # of the guest, where its default route begins
LAN = "10.99.78.1"  # of the guest, on a link without one
PORTS = {"tcp": (8443, 8444), "udp": (8443, 8453)}

# A UDP server that is bound to no address answers with another one than it was asked at.
SERVE = """
import select, socket, sys
sockets = []
for word in sys.argv[1:]:
    proto, address, port = word.split()
    s = socket.socket(2, 1 if proto == "tcp" else 2)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind((address, int(port)))
    except OSError as error:
        sys.exit(f"{word}: {error}")
    if proto == "tcp":
        s.listen()
    sockets.append(s)
print("ready", flush=True)
while True:
    for s in select.select(sockets, [], [])[0]:
        if s.type == socket.SOCK_DGRAM:
            s.sendto(b"hello", s.recvfrom(16)[1])
        else:
            with s.accept()[0] as c:
                c.sendall(b"hello")
"""


@pytest.fixture(scope="module")
def apps(daemon, stack, tmp_path_factory):
    """An app as it is made, and one that reaches nothing."""
    slug = make_slug(tmp_path_factory.mktemp("net") / "slug.tgz", WEB_SLUG)
    names = ("public-open", "public-closed")
    for name in names:
        daemon.ok("apps:create", name, "--stack", stack)
        daemon.ok("deploy", slug, "-a", name, timeout=120)
    daemon.ok("firewall:deny", "any", "-a", names[1])
    subprocess.run(f"ip link add lan1 type dummy; ip addr add {LAN}/24 dev lan1; ip link set lan1 up",
                   shell=True, check=True)
    yield names
    subprocess.run(["ip", "link", "del", "lan1"], check=True)
    for name in names:
        daemon.ok("apps:destroy", name, "--confirm", name, timeout=90)


def addresses():
    return subprocess.run(["ip", "-brief", "address"], check=True, capture_output=True, text=True).stdout


def reached(daemon, app):
    """Of all that is served at every address of the host what a dyno of the app gets to."""
    daemon.ok("ps:wait", "-a", app, timeout=150)
    head, last = daemon.dyno(app, "web.1")["address"].rsplit(".", 1)
    targets = [f"{proto} {address} {port}" for address in (PUBLIC, LAN, f"{head}.{int(last) - 1}")
               for proto, ports in PORTS.items() for port in ports]
    with subprocess.Popen([sys.executable, "-c", SERVE, *targets], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout.readline() == b"ready\n", addresses()
            return sorted(tried(daemon, app, "web.1", targets))
        finally:
            server.kill()


def said(daemon, app):
    """What doctor and ps:inspect tell of it."""
    checks = {check["check"]: check["detail"] for check in json.loads(daemon.ctl("doctor", "--json").stdout)["checks"]}
    layers = daemon.json("ps:inspect", "web.1", "-a", app)["layers"]
    return checks.get("public ports", ""), next(x["detail"] for x in layers if x["layer"] == "network")


def test_public_ports_open_exactly_what_they_say(daemon, apps):
    assert reached(daemon, apps[0]) == []
    assert said(daemon, apps[0])[0] == "" and "public" not in said(daemon, apps[0])[1]
    made = not CONF.parent.exists()  # what is left would outlive a purge
    CONF.parent.mkdir(exist_ok=True)
    CONF.write_text("public_ports = 8443 8453/udp\n")
    try:
        daemon.restart()
        opened = [f"tcp {PUBLIC} 8443", f"udp {PUBLIC} 8453"]
        assert reached(daemon, apps[0]) == opened, "dynos that run get it, too"
        checked, inspected = said(daemon, apps[0])
        assert checked == "8443, 8453/udp: all dynos reach them at public addresses"
        assert inspected.endswith(" (public ports 8443, 8453/udp)")
        assert reached(daemon, apps[1]) == [], "an app's policy counts"
        daemon.ok("firewall:allow", f"{PUBLIC}:8443/tcp", "-a", apps[1])
        assert reached(daemon, apps[1]) == opened[:1]
    finally:
        CONF.unlink()
        if made:
            CONF.parent.rmdir()
        daemon.restart()
    assert reached(daemon, apps[0]) == []
