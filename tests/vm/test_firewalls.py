# SPDX-License-Identifier: Apache-2.0
"""Beside the real firewalld and ufw: theirs holds, ours holds, and the line that doctor gives
lets dynos through, for good."""

import contextlib
import json
import pathlib
import subprocess
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path[:0] = [str(INTEGRATION), str(INTEGRATION / "network")]

from dynod_testing import WEB_SLUG, http_get, make_slug  # noqa: E402
from lab import Namespace  # noqa: E402
from test_app_network import HOST, NEAR, PORT, get, outside, tried  # noqa: E402,F401

pytestmark = pytest.mark.vm

PUBLISHED = 18080
SERVICE = 5432
OPEN, SHUT = 2223, 2222  # of the host, for who is outside, as its firewall says

FIREWALLS = {
    "firewalld": {
        "start": f"systemctl start firewalld && firewall-cmd --permanent --add-port={OPEN}/tcp && firewall-cmd --reload",
        "reload": "systemctl restart firewalld && firewall-cmd --reload",
        "stop": "systemctl stop firewalld && rm -rf /etc/firewalld/zones/*",
        "chains": {"inet firewalld filter_FORWARD", "inet firewalld filter_INPUT"},
        "published": True,  # it lets pass whatever somebody redirects
        "rules": "nft -s list table inet firewalld",
    },
    "ufw": {
        "start": f"ufw allow {OPEN}/tcp && ufw --force enable",
        "reload": "ufw reload && systemctl restart ufw",
        "stop": "ufw --force reset && systemctl stop ufw",
        "chains": {"ip filter FORWARD", "ip filter INPUT"},
        "published": False,
        "rules": "iptables-save | grep -v '^#' | sed 's/ \\[.*//'",
    },
}


def sh(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def advice(daemon):
    """What doctor names: chain to line."""
    checks = json.loads(daemon.ctl("doctor", "--json").stdout)["checks"]
    return {check["detail"].split(" drops ")[0]: check["fix"].replace("sudo ", "") for check in checks
            if check["check"] == "firewall" and check["verdict"] != "ok"}


@pytest.fixture(scope="module")
def shop(daemon, stack, outside, tmp_path_factory):  # noqa: F811
    app = "beside-others"
    daemon.ok("apps:create", app, "--stack", stack)
    daemon.ok("deploy", make_slug(tmp_path_factory.mktemp("net") / "slug.tgz", WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:publish", PUBLISHED, "-a", app)
    daemon.ok("services:add", "postgres", SERVICE, "-a", app)
    yield app
    daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)


@pytest.fixture(scope="module")
def servers():
    """Of the host itself."""
    host = Namespace("/proc/1/ns/net")
    with contextlib.ExitStack() as stack:
        for port in (OPEN, SHUT, SERVICE):
            stack.enter_context(host.serve("tcp", "0.0.0.0", port))
        yield


def works(daemon, app, space):
    """(a dyno gets out, it reaches its service, it is reached by its published port)"""
    daemon.ok("ps:wait", "-a", app, timeout=150)
    service = daemon.json("firewall", "-a", app)["service_address"]
    targets = [f"tcp {NEAR} {PORT}", f"tcp {service} {SERVICE}"]
    seen = tried(daemon, app, "web.1", targets)
    return targets[0] in seen, targets[1] in seen, get(space, HOST, PUBLISHED) == "web.1"


def theirs_holds(space):
    assert space.ask("tcp", HOST, OPEN).startswith("ok")
    assert not space.ask("tcp", HOST, SHUT).startswith("ok")


def ours_holds(daemon, app, space):
    service = daemon.json("firewall", "-a", app)["service_address"]
    shut = [f"tcp {address} {port}" for address in (HOST, service) for port in (OPEN, SHUT)]
    assert tried(daemon, app, "web.1", shut) == {}
    web = daemon.dyno(app, "web.1")
    assert not space.ask("tcp", web["address"], web["port"]).startswith("ok")
    assert http_get(web)[0] == 200, "the host reaches it"


def restorations(daemon):
    return daemon.log_tail(2000).count("; restored.")


@pytest.mark.parametrize("name", FIREWALLS)
def test_dynod_beside_the_real_one(daemon, shop, outside, servers, name):  # noqa: F811
    firewall = FIREWALLS[name]
    before = restorations(daemon)
    try:
        sh(firewall["start"])
        assert works(daemon, shop, outside) == (False, False, firewall["published"])
        lines = advice(daemon)
        assert set(lines) == firewall["chains"]
        theirs_holds(outside)

        for line in sorted(set(lines.values())):
            sh(line)
        assert advice(daemon) == {}
        assert works(daemon, shop, outside) == (True, True, True)

        sh(firewall["reload"])
        rules = sh(firewall["rules"])
        assert "dynod-" in rules
        assert works(daemon, shop, outside) == (True, True, True), "the line is lost with a reload"
        assert restorations(daemon) == before, "they touched our table"

        # As when the package goes; and then we come second.
        daemon.stop()
        sh("dynod --purge")
        assert sh(firewall["rules"]) == rules
        theirs_holds(outside)
        daemon.start()
        assert works(daemon, shop, outside) == (True, True, True)
        ours_holds(daemon, shop, outside)
        assert sh(firewall["rules"]) == rules
    finally:
        sh(firewall["stop"])
