# SPDX-License-Identifier: Apache-2.0
"""firewall, trusted-ips, ps:publish, services, as an operator types them: each changes what
real dynos reach and who reaches them, exactly that, and it stays so. In the VM
test_network_reboot.py says all of it once, and vm/test_firewalls.py publishes."""

import ast
import concurrent.futures
import contextlib
import json
import pathlib
import re
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "network"))

from dynod_testing import WEB_SLUG, make_slug, time_factor, wait_until  # noqa: E402
from lab import Namespace  # noqa: E402

pytestmark = pytest.mark.twice

LINK = "npol0"
HOST, HOST_TOO = "10.99.77.1", "10.99.77.9"  # of this host, on the link to outside
NEAR, OTHER = "10.99.77.2", "10.99.77.3"  # outside
FAR = "198.51.100.77"  # behind it
PORT = 5432
TIMEOUT = 0.7 * time_factor()  # s; links here answer in µs

# Tries all at once, inside a dyno: "tcp ADDRESS PORT" to "ok PEER" or why not.
PROBE = """
import concurrent.futures, socket, sys
def one(target):
    proto, address, port = target.split()
    s = socket.socket(2, 1 if proto == "tcp" else 2)
    s.settimeout(%s)
    try:
        s.connect((address, int(port)))
        s.sendall(b"hello")
        return "ok " + s.recv(64).decode()
    except OSError as error:
        return type(error).__name__
targets = %r
with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
    print(dict(zip(targets, pool.map(one, targets))))
"""

TARGETS = [f"tcp {NEAR} {PORT}", f"tcp {NEAR} {PORT + 1}", f"udp {NEAR} {PORT}", f"tcp {FAR} {PORT}"]


def tried(daemon, app, dyno, targets):
    """Those of @targets that a dyno reaches: target to the address that it was seen with."""
    done = daemon.exec(app, dyno, "python3", "-c", PROBE % (TIMEOUT, targets))
    assert done.returncode == 0, done.stdout + done.stderr
    answers = ast.literal_eval(done.stdout)
    return {target: answer[3:] for target, answer in answers.items() if answer.startswith("ok")}


def reached(daemon, app, dyno="web.1"):
    return sorted(tried(daemon, app, dyno, TARGETS))


@pytest.fixture(scope="module")
def outside(daemon):
    """A neighbour of this host, with servers for every target."""
    space = Namespace()
    with contextlib.ExitStack() as stack:
        stack.callback(space.close)
        run = ["ip", "link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns",
               str(space.keeper.pid)]
        subprocess.run(run, check=True)
        stack.callback(subprocess.run, ["ip", "link", "del", LINK], check=False)
        for address in (HOST, HOST_TOO):
            subprocess.run(["ip", "addr", "add", f"{address}/24", "dev", LINK], check=True)
        subprocess.run(["ip", "link", "set", LINK, "up"], check=True)
        space.run(f"ip addr add {NEAR}/24 dev {LINK}; ip addr add {OTHER}/24 dev {LINK}; "
                  f"ip addr add {FAR}/32 dev lo; ip link set lo up; ip link set {LINK} up; "
                  f"ip route add 172.16.0.0/12 via {HOST}")
        subprocess.run(["ip", "route", "add", f"{FAR}/32", "via", NEAR], check=True)
        for proto, port in (("tcp", PORT), ("tcp", PORT + 1), ("udp", PORT)):
            stack.enter_context(space.serve(proto, "0.0.0.0", port))
        yield space


@pytest.fixture(scope="module")
def apps(daemon, stack, outside, tmp_path_factory):
    """shop and blog with a web dyno each; blog has no policy: what it reaches can be reached."""
    path = make_slug(tmp_path_factory.mktemp("net") / "slug.tgz", WEB_SLUG)
    for app in ("shop-net", "blog-net"):
        daemon.ok("apps:create", app, "--stack", stack)
        daemon.ok("deploy", path, "-a", app, timeout=120)
    wait_until(lambda: reached(daemon, "blog-net") == sorted(TARGETS), "a dyno reaches outside")
    yield "shop-net", "blog-net"
    for app in ("shop-net", "blog-net"):
        daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)


@pytest.fixture
def shop(daemon, apps):
    yield apps[0]
    daemon.ok("firewall:reset", "-a", apps[0])
    daemon.ok("firewall:source", "auto", "-a", apps[0])
    network = daemon.json("firewall", "-a", apps[0])
    for port in network["published"]:
        daemon.ok("ps:unpublish", port, "-a", apps[0])
    for service in network["services"]:
        daemon.ok("services:remove", service["name"], "-a", apps[0])
    daemon.ok("trusted-ips:add", "0.0.0.0/0", "-a", apps[0])


# ---- what dynos reach ----

def test_closed_but_for_one_port_and_it_stays_so(daemon, apps, shop):
    answer = daemon.ctl("firewall:deny", "any", "-a", shop).stderr
    assert answer == f"Denying any for {shop}... done, applied to 1 dyno\n"
    assert reached(daemon, shop) == []
    daemon.ok("firewall:allow", f"10.99.77.0/24:{PORT}/tcp", "-a", shop)
    exactly = [f"tcp {NEAR} {PORT}"]
    assert reached(daemon, shop) == exactly
    assert reached(daemon, apps[1]) == sorted(TARGETS), "another app is not concerned"

    daemon.ok("ps:restart", "-a", shop, timeout=90)
    daemon.ok("ps:wait", "-a", shop, timeout=90)
    assert reached(daemon, shop) == exactly, "after a restart of the dyno"
    for process in ("dynod-supervisor", "dynod"):
        daemon.kill_process(process)
        assert reached(daemon, shop) == exactly, f"after {process} was killed"
    daemon.ok("ps:restart", "-a", shop, timeout=90)
    daemon.ok("ps:wait", "-a", shop, timeout=90)
    assert reached(daemon, shop) == exactly, "a dyno that the new dynod started"
    one_off = daemon.run(shop, "python3", "-c", PROBE % (TIMEOUT, TARGETS))
    assert one_off.stdout.count("'ok") == 1, one_off.stdout + one_off.stderr

    daemon.ok("firewall:reset", "-a", shop)
    assert reached(daemon, shop) == sorted(TARGETS)


@pytest.mark.native
def test_what_is_said_last_counts(daemon, shop):
    daemon.ok("firewall:deny", "10.99.77.0/24", "-a", shop)
    assert reached(daemon, shop) == [f"tcp {FAR} {PORT}"]
    daemon.ok("firewall:allow", f"{NEAR}:{PORT}", "-a", shop)
    assert reached(daemon, shop) == sorted([f"tcp {FAR} {PORT}", f"tcp {NEAR} {PORT}", f"udp {NEAR} {PORT}"])
    rules = daemon.json("firewall", "-a", shop)["rules"]
    assert [(r["number"], r["action"], r["target"]) for r in rules] == [
        (1, "allow", f"{NEAR}:{PORT}/tcp"), (2, "allow", f"{NEAR}:{PORT}/udp"), (3, "deny", "10.99.77.0/24")]
    daemon.ok("firewall:remove", "2", "-a", shop)
    assert reached(daemon, shop) == sorted([f"tcp {FAR} {PORT}", f"tcp {NEAR} {PORT}"])
    daemon.ok("firewall:remove", "10.99.77.0/24", "-a", shop)
    assert reached(daemon, shop) == sorted(TARGETS)


def test_no_rule_opens_the_host_or_another_dyno(daemon, apps, shop):
    other = daemon.dyno(apps[1], "web.1")
    daemon.ok("firewall:allow", "10.99.77.0/24", f"{other['address']}/32", "any:1-65535/tcp", "-a", shop)
    with socket.create_server((HOST, 0)) as service:
        port = service.getsockname()[1]
        assert tried(daemon, shop, "web.1", [f"tcp {HOST} {port}", f"tcp {HOST_TOO} {port}",
                                             f"tcp {other['address']} {other['port']}"]) == {}
    assert "link-local" in daemon.refused("firewall:allow", "169.254.169.254", "-a", shop)


def test_source_address_is_what_the_peer_sees(daemon, apps, shop):
    target = f"tcp {NEAR} {PORT}"
    assert tried(daemon, shop, "web.1", [target]) == {target: HOST}
    daemon.ok("firewall:source", HOST_TOO, "-a", shop)
    assert tried(daemon, shop, "web.1", [target]) == {target: HOST_TOO}
    assert tried(daemon, apps[1], "web.1", [target]) == {target: HOST}
    assert f"Source address: {HOST_TOO}" in daemon.ok("firewall", "-a", shop)
    for source in ("10.99.77.10", "127.0.0.1"):
        assert "no address at which others reach this host" in daemon.refused("firewall:source", source, "-a", shop)
    assert tried(daemon, shop, "web.1", [target]) == {target: HOST_TOO}, "a refusal changes nothing"
    daemon.kill_process("dynod")
    assert tried(daemon, shop, "web.1", [target]) == {target: HOST_TOO}
    daemon.ok("firewall:source", "auto", "-a", shop)
    assert tried(daemon, shop, "web.1", [target]) == {target: HOST}


# ---- who reaches them ----

GET = ("import http.client, json, sys\n"
       "c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=float(sys.argv[4]),"
       " source_address=(sys.argv[3], 0))\n"
       "try:\n c.request('GET', '/'); print(json.loads(c.getresponse().read())['dyno'])\n"
       "except OSError as e: print('no:', type(e).__name__)\n")


def get(outside, address, port, source=NEAR):
    """Which dyno answers an HTTP request from outside, or "no: …"."""
    return outside.run(f'{sys.executable} -c "{GET}" {address} {port} {source} {TIMEOUT}').strip()


def test_published_port_leads_to_all_web_dynos_of_the_app(daemon, apps, shop, outside):
    assert get(outside, HOST, 18080).startswith("no:")
    daemon.ok("ps:scale", "web=2", "-a", shop, timeout=90)
    daemon.ok("ps:wait", "-a", shop, timeout=90)
    daemon.ok("ps:publish", "web", "18080", "-a", shop)
    seen = {get(outside, HOST, 18080) for _ in range(12)}
    assert seen == {"web.1", "web.2"}
    assert get(outside, HOST_TOO, 18080).startswith("web.")
    dyno = daemon.dyno(shop, "web.1")
    assert dyno["published"] == [18080]
    assert "published 18080" in daemon.ok("ps", "-a", shop)
    assert get(outside, dyno["address"], dyno["port"]).startswith("no:"), "not but by the published port"
    assert get(outside, HOST, 18081).startswith("no:")
    assert tried(daemon, apps[1], "web.1", [f"tcp {HOST} 18080"]) == {}, "for outside, not for dynos"

    daemon.kill_process("dynod")
    daemon.ok("ps:scale", "web=1", "-a", shop, timeout=90)
    wait_until(lambda: len(daemon.dynos(shop)) == 1, "one dyno alone")
    assert {get(outside, HOST, 18080) for _ in range(8)} == {"web.1"}
    daemon.ok("ps:restart", "-a", shop, timeout=90)
    daemon.ok("ps:wait", "-a", shop, timeout=90)
    assert get(outside, HOST, 18080) == "web.1"
    daemon.ok("ps:unpublish", "18080", "-a", shop)
    assert get(outside, HOST, 18080).startswith("no:")
    assert daemon.dyno(shop, "web.1")["published"] == []


def test_only_trusted_addresses_connect(daemon, apps, shop, outside):
    daemon.ok("ps:publish", "18080", "-a", shop)
    assert get(outside, HOST, 18080, OTHER) == "web.1"
    daemon.ok("trusted-ips:add", f"{NEAR}/32", "-a", shop)
    assert get(outside, HOST, 18080, NEAR) == "web.1"
    assert get(outside, HOST, 18080, OTHER).startswith("no:")
    daemon.kill_process("dynod")
    assert get(outside, HOST, 18080, OTHER).startswith("no:")
    daemon.ok("ps:restart", "-a", shop, timeout=90)
    daemon.ok("ps:wait", "-a", shop, timeout=90)
    assert get(outside, HOST, 18080, OTHER).startswith("no:")
    assert get(outside, HOST, 18080, NEAR) == "web.1"
    daemon.ok("trusted-ips:add", "10.99.77.0/24", "-a", shop)  # around the first
    assert get(outside, HOST, 18080, OTHER) == "web.1"
    daemon.ok("trusted-ips:remove", "10.99.77.0/24", f"{NEAR}/32", "-a", shop)
    assert "All inbound web requests to dynos are blocked." in daemon.ok("trusted-ips", "-a", shop)
    for source in (NEAR, OTHER):
        assert get(outside, HOST, 18080, source).startswith("no:"), "nobody is trusted"
    daemon.ok("trusted-ips:add", "0.0.0.0/0", "-a", shop)
    assert get(outside, HOST, 18080, OTHER) == "web.1"


@pytest.mark.native
def test_port_that_is_taken_is_refused_naming_who_has_it(daemon, apps, shop, outside):
    daemon.ok("ps:publish", "18080", "-a", apps[1])
    try:
        text = daemon.refused("ps:publish", "18080", "-a", shop)
        assert f"published for {apps[1]} already" in text
        assert get(outside, HOST, 18080) == "web.1"
        assert daemon.json("ps:publish", "-a", shop)["published"] == []
    finally:
        daemon.ok("ps:unpublish", "18080", "-a", apps[1])
    with socket.create_server(("", 0)) as service:
        port = service.getsockname()[1]
        assert f"Port {port} is taken on this host" in daemon.refused("ps:publish", port, "-a", shop)


@pytest.mark.native
def test_program_that_listens_on_a_published_port_later_is_named(daemon, shop):
    def named():
        checks = json.loads(daemon.ctl("doctor", "--json").stdout)["checks"]
        return [(check["detail"], check["fix"]) for check in checks if check["check"] == "published ports"]

    daemon.ok("ps:publish", "18080", "-a", shop)
    assert named() == []
    with socket.create_server(("", 18080)):
        (detail, fix), = named()
        assert detail.startswith(f"18080 is published for {shop}, and a program of this host listens there, too")
        assert fix.startswith(f"herokuctl ps:unpublish 18080 -a {shop}")
    assert named() == []


@pytest.mark.native
def test_one_of_those_who_publish_a_port_at_once_has_it_and_is_named(daemon, apps):
    for port in range(18090, 18100):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda app, port=port: daemon.ctl("ps:publish", port, "-a", app), apps))
        codes = [answer.returncode for answer in answers]
        assert sorted(codes) == [0, 1]
        winner = apps[codes.index(0)]
        daemon.ok("ps:unpublish", port, "-a", winner)
        text = answers[codes.index(1)].stderr
        assert f"Port {port} is published for {winner} already" in text, text


# ---- ports of the host ----

def test_service_opens_one_port_of_the_host_to_one_app(daemon, apps, shop):
    address = daemon.json("firewall", "-a", shop)["service_address"]
    with socket.create_server(("", 0)) as service, socket.create_server(("", 0)) as beside:
        service.listen()
        port, other = service.getsockname()[1], beside.getsockname()[1]
        everywhere = [f"tcp {where} {p}" for where in (address, HOST) for p in (port, other)]

        def connects(app):
            """Targets that accept; nobody answers there, so the probe only times out."""
            code = (f"import socket\nfor t in {everywhere!r}:\n s = socket.socket(); s.settimeout({TIMEOUT})\n"
                    " try: s.connect((t.split()[1], int(t.split()[2]))); print(t)\n except OSError: pass")
            return daemon.exec(app, "web.1", "python3", "-c", code).stdout.splitlines()

        assert connects(shop) == []
        daemon.ok("firewall:deny", "any", "-a", shop)  # a service is open all the same
        answer = daemon.ctl("services:add", "postgres", port, "-a", shop).stderr
        assert f"reach it at {address}:{port}, applied to 1 dyno" in answer
        assert connects(shop) == [f"tcp {address} {port}"]
        assert connects(apps[1]) == []
        layers = daemon.json("ps:inspect", "web.1", "-a", shop)["layers"]
        assert f"service postgres:{port}" in next(x["detail"] for x in layers if x["layer"] == "network")
        daemon.kill_process("dynod")
        assert connects(shop) == [f"tcp {address} {port}"]
        daemon.ok("services:remove", "postgres", "-a", shop)
        assert connects(shop) == []


@pytest.mark.native
def test_without_its_fixed_source_an_app_can_be_changed(daemon, shop, outside):
    daemon.ok("firewall:source", HOST_TOO, "-a", shop)
    daemon.ok("ps:publish", "18080", "-a", shop)
    subprocess.run(["ip", "addr", "del", f"{HOST_TOO}/24", "dev", LINK], check=True)
    try:
        wait_until(lambda: reached(daemon, shop) == [], "nothing leaves", 10)
        assert "no address of this host" in daemon.json("firewall", "-a", shop)["problem"]
        assert get(outside, HOST, 18080, OTHER) == "web.1"
        daemon.ok("trusted-ips:add", f"{NEAR}/32", "-a", shop)
        assert get(outside, HOST, 18080, OTHER).startswith("no:") and get(outside, HOST, 18080, NEAR) == "web.1"
        daemon.ok("ps:unpublish", "18080", "-a", shop)
        assert get(outside, HOST, 18080, NEAR).startswith("no:")
        daemon.ok("firewall:deny", f"{FAR}/32", "-a", shop)
        assert reached(daemon, shop) == []
        assert "is no address at which others reach this host" in daemon.refused(
            "firewall:source", "10.99.77.8", "-a", shop)
    finally:
        subprocess.run(["ip", "addr", "add", f"{HOST_TOO}/24", "dev", LINK], check=True)
    near = [target for target in TARGETS if FAR not in target]
    wait_until(lambda: tried(daemon, shop, "web.1", TARGETS) == dict.fromkeys(near, HOST_TOO), "it is back", 10)
    # Any address will do: what was missing is missed no more.
    subprocess.run(["ip", "addr", "del", f"{HOST_TOO}/24", "dev", LINK], check=True)
    try:
        wait_until(lambda: reached(daemon, shop) == [], "nothing leaves", 10)
        daemon.ok("firewall:source", "auto", "-a", shop)
        assert reached(daemon, shop) == sorted(near)
        assert daemon.json("firewall", "-a", shop)["problem"] is None
    finally:
        subprocess.run(["ip", "addr", "add", f"{HOST_TOO}/24", "dev", LINK], check=True)


# ---- around it ----

@pytest.mark.native
def test_rename_keeps_the_policy_and_destroy_frees_it(daemon, stack, apps, outside, slug):
    name = "gone-net"
    daemon.ok("apps:create", name, "--stack", stack)
    try:
        daemon.ok("firewall:deny", "any", "10.0.0.0/8", "-a", name)
        daemon.ok("firewall:deny", "any:25", "-a", name)
        told = daemon.ctl("firewall:remove", "any:25", "-a", name).stderr
        assert '"deny any:25/tcp, deny any:25/udp" is gone' in told, told
        told = daemon.ctl("services:add", "dns", "53/udp", "-a", name).stderr
        assert told.endswith("; it has to be bound to that address, not to 0.0.0.0\n"), told
        daemon.ok("ps:publish", "18080", "-a", name)
        daemon.ok("apps:rename", "went-net", "-a", name)
        name = "went-net"
        daemon.ok("deploy", slug(WEB_SLUG), "-a", name, timeout=120)
        assert reached(daemon, name) == []
        assert get(outside, HOST, 18080) == "web.1"
        info = daemon.ok("apps:info", "-a", name)
        assert "closed, 1 rule" in info and "18080, for everybody" in info
        for n in range(20):
            daemon.ok("services:add", f"s{n}", f"{6000 + n}", "-a", name)
        told = daemon.ok("ps:inspect", "web.1", "-a", name)
        assert re.search(r"services( [0-9/udp]+){5} and 16 more, published 18080", told), told
    finally:
        answer = daemon.ctl("apps:destroy", name, "--confirm", name, timeout=90).stderr
    assert answer.endswith(", 1 firewall rule, 1 published port, 21 services\n"), answer
    assert get(outside, HOST, 18080).startswith("no:")
    daemon.ok("ps:publish", "18080", "-a", apps[1])
    assert get(outside, HOST, 18080) == "web.1"
    daemon.ok("ps:unpublish", "18080", "-a", apps[1])


@pytest.mark.native
def test_wrong_spellings_are_refused_with_the_right_one(daemon, shop):
    for arguments, right in ((["firewall:allow", "10.1.2.3/8"], "10.0.0.0/8"),
                             (["firewall:allow", "example.com:443"], "names are not looked up"),
                             (["firewall:deny", "fd00::/8"], "IPv6"),
                             (["firewall:remove", "9"], "has no rule 9"),
                             (["trusted-ips:remove", "203.0.113.0/24"], "is not on the list"),
                             (["ps:publish", "worker", "80"], "only web dynos"),
                             (["ps:unpublish", "80"], "not published"),
                             (["services:add", "Post", "5432"], "cannot be a service's name"),
                             (["services:remove", "postgres"], "no service")):
        text = daemon.refused(*arguments, "-a", shop)
        assert right in text and "Nothing was changed" in text, text
    assert daemon.json("firewall", "-a", shop)["rules"] == []


@pytest.mark.native
def test_completion_knows_rules_services_and_ports(daemon, shop):
    daemon.ok("firewall:allow", "10.0.0.0/8", "192.0.2.7", "-a", shop)
    daemon.ok("ps:publish", "18080", "-a", shop)
    daemon.ok("services:add", "redis", "6379", "-a", shop)

    def complete(*words):
        return daemon.ok("--complete", *words, "").split()
    # An answer that takes longer than a finger at the Tab key waits is none.
    wait_until(lambda: complete("firewall:remove", "-a", shop) == ["1", "2"], "the numbers of the rules", 5)
    wait_until(lambda: complete("ps:unpublish", "-a", shop) == ["18080"], "the published port", 5)
    wait_until(lambda: complete("services:remove", "-a", shop) == ["redis"], "the service", 5)
