# SPDX-License-Identifier: Apache-2.0
"""From an archive to dynos that answer over HTTP, and what those dynos may not do."""

import json
import socket

import pytest

from dynod_testing import WEB_SLUG, http_get, wait_until


@pytest.fixture(scope="module")
def shop(daemon, stack, tmp_path_factory):
    """An app with two web dynos up, shared by the tests that only look."""
    from dynod_testing import make_slug

    path = make_slug(tmp_path_factory.mktemp("shop") / "slug.tgz", {
        **WEB_SLUG, ".profile.d/greeting.sh": "export GREETING=\"${GREETING:-hello from profile.d}\"\n"})
    daemon.ok("apps:create", "shop", "--stack", stack)
    daemon.ok("deploy", path, "-a", "shop", timeout=120)
    daemon.ok("ps:scale", "web=2", "-a", "shop", timeout=120)
    daemon.ok("ps:wait", "-a", "shop", timeout=150)
    yield "shop"
    daemon.ok("apps:destroy", "shop", "--confirm", "shop", timeout=90)


def inside(daemon, app, dyno, code, **options):
    """What a Python program prints that runs inside a dyno of @app."""
    done = daemon.exec(app, dyno, "python3", "-c", code, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def connects(daemon, app, dyno, address, port, family="AF_INET"):
    """True if a TCP connection from inside the dyno gets through."""
    code = (f"import socket\ns = socket.socket(socket.{family})\ns.settimeout(2)\n"
            f"try:\n s.connect(({address!r}, {port}))\n print('through')\n"
            "except OSError as error:\n print('blocked', error)")
    return inside(daemon, app, dyno, code).startswith("through")


# ---- what a user asks for ----

def test_web_scaled_to_two_both_answer(daemon, shop):
    seen = set()
    for name in ("web.1", "web.2"):
        dyno = daemon.dyno(shop, name)
        assert dyno["state"] == "up"
        status, body = http_get(dyno)
        assert status == 200
        seen.add(body["dyno"])
        assert body["port"] == str(dyno["port"])
        assert body["cwd"] == "/app"
        assert body["uid"] == 10000
    assert seen == {"web.1", "web.2"}


def test_profile_d_sets_variable_seen_by_app(daemon, shop):
    assert http_get(daemon.dyno(shop, "web.1"))[1]["greeting"] == "hello from profile.d"


def test_ps_json_has_the_documented_keys(daemon, shop):
    dyno = daemon.dyno(shop, "web.1")
    for key in ("id name app type command size state reason release stack stack_version pid uid "
                "address port since crashes next_start exit_status memory memory_limit "
                "cpu_seconds").split():
        assert key in dyno, key
    assert dyno["id"].startswith("web.1-")
    assert dyno["app"] == shop and dyno["type"] == "web" and dyno["size"] == "Standard-1X"


def test_inspect_finds_every_layer_in_order(daemon, shop):
    report = daemon.json("ps:inspect", "web.1", "-a", shop)
    layers = {layer["layer"]: layer for layer in report["layers"]}
    assert list(layers) == ["namespaces", "user", "cgroup", "seccomp", "apparmor", "capabilities",
                            "no_new_privs", "rootfs", "network", "limits"]
    for layer in layers.values():
        assert layer["verdict"] in ("ok", "allowed"), layer


@pytest.mark.vm
def test_inspect_on_reference_host_allows_no_gap(daemon, shop):
    report = daemon.json("ps:inspect", "web.1", "-a", shop)
    assert {layer["verdict"] for layer in report["layers"]} == {"ok"}, report


def test_logs_have_app_and_heroku_lines(daemon, shop):
    assert "app[web.1]: listening soon" in daemon.wait_log(shop, "app[web.1]: listening soon")
    assert "`python3 web.py`" in daemon.wait_log(shop, "heroku[web.1]: Starting process with command")
    daemon.wait_log(shop, "heroku[web.1]: State changed from starting to up")


def test_scale_down_stops_and_up_starts(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:scale", "web=0", "worker=2", "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    wait_until(lambda: sorted(d["name"] for d in daemon.dynos(app)) == ["worker.1", "worker.2"],
               "two workers alone")
    assert daemon.ok("ps:scale", "-a", app).split() == ["web=0:Standard-1X", "worker=2:Standard-1X"] \
        or "worker=2:Standard-1X" in daemon.ok("ps:scale", "-a", app)


def test_config_change_is_a_release_and_rollback_restores_it(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("config:set", "GREETING=good morning", "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    assert http_get(daemon.dyno(app, "web.1"))[1]["greeting"] == "good morning"
    daemon.ok("releases:rollback", "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    assert http_get(daemon.dyno(app, "web.1"))[1]["greeting"] is None
    assert "good morning" not in daemon.ok("releases", "-a", app) + daemon.logs(app)


def test_crash_is_recorded_and_restarted(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    before = daemon.dyno(app, "web.1")
    try:
        http_get(before, "/exit")
    except OSError:
        pass
    daemon.wait_log(app, "Process exited with status 3")
    daemon.wait_log(app, "State changed from up to crashed")
    wait_until(lambda: any(d["id"] != before["id"] and d["state"] == "up" for d in daemon.dynos(app)),
               "a new web.1 is up", 60)


def test_run_passes_status_and_output(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    done = daemon.run(app, "sh", "-c", "echo out; pwd; exit 7")
    assert done.returncode == 7, done.stderr
    assert done.stdout.split() == ["out", "/app"]
    assert daemon.run(app, "/nonexistent").returncode == 127
    assert daemon.run(app, "/etc/passwd").returncode == 126


def test_same_slug_twice_is_already_here(daemon, app, slug):
    path = slug(WEB_SLUG)
    daemon.ok("deploy", path, "-a", app, timeout=120)
    done = daemon.ctl("deploy", path, "-a", app, timeout=120)
    assert done.returncode == 0
    assert "already here" in done.stdout + done.stderr


# ---- what a dyno sees and may do ----

def test_dyno_is_unprivileged_user_without_capabilities(daemon, shop):
    status = inside(daemon, shop, "web.1", "print(open('/proc/self/status').read())")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[name], 16) == 0, name
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    assert facts["Uid"].split() == ["10000"] * 4


def test_stack_is_read_only_and_app_and_tmp_are_not(daemon, shop):
    code = ("import os\nfor p in ('/etc/x', '/usr/x', '/x', '/app/x', '/tmp/x', '/var/tmp/x', '/dev/shm/x'):\n"
            " try: open(p, 'w').close(); print(p, 'yes')\n except OSError as e: print(p, e.errno)")
    answers = dict(line.split() for line in inside(daemon, shop, "web.1", code).splitlines())
    for path in ("/app/x", "/tmp/x", "/var/tmp/x", "/dev/shm/x"):
        assert answers[path] == "yes", answers
    for path in ("/etc/x", "/usr/x", "/x"):
        assert answers[path] != "yes", answers


def test_scratch_of_one_dyno_is_not_seen_by_another(daemon, shop):
    inside(daemon, shop, "web.1", "open('/app/mine', 'w').write('secret')")
    assert inside(daemon, shop, "web.2", "import os; print(os.path.exists('/app/mine'))") == "False"


def test_dyno_sees_no_other_process(daemon, shop):
    pids = inside(daemon, shop, "web.1", "import os\nprint(len([p for p in os.listdir('/proc') if p.isdigit()]))")
    assert int(pids) < 10


def test_forbidden_system_calls_are_refused(daemon, shop):
    code = ("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
            "def call(n, *a):\n r = libc.syscall(n, *a); return ctypes.get_errno() if r < 0 else 0\n"
            # mount, unshare(user), bpf, keyctl, clone3, init_module
            "print(call(165, 0, 0, 0, 0, 0), call(272, 0x10000000), call(321, 0, 0, 0),"
            " call(250, 0, 0), call(435, 0, 0), call(175, 0, 0, 0))")
    errors = [int(e) for e in inside(daemon, shop, "web.1", code).split()]
    assert all(e in (1, 38) for e in errors), errors
    assert errors[4] == 38, "clone3 must look as if it did not exist"


def test_app_can_not_forge_a_heroku_line(daemon, shop):
    done = daemon.exec(shop, "web.1", "sh", "-c",
                       "ls -l /run/dynod /proc/1/fd /proc/1/mem 2>&1; echo heroku > /proc/1/fd/3 2>&1; true")
    assert "heroku[web.1]: heroku" not in daemon.logs(shop)
    assert done.returncode == 0


# ---- networks ----

def test_no_dyno_reaches_another(daemon, shop):
    other = daemon.dyno(shop, "web.2")
    assert not connects(daemon, shop, "web.1", other["address"], other["port"])


def test_dyno_reaches_its_own_loopback(daemon, shop):
    port = daemon.dyno(shop, "web.1")["port"]
    assert connects(daemon, shop, "web.1", "127.0.0.1", port)


@pytest.mark.twice  # vm/test_scan.py does more
def test_no_service_of_the_host_is_reached_over_any_address(daemon, shop):
    dyno = daemon.dyno(shop, "web.1")
    gateway = inside(daemon, shop, "web.1",
                     "print([l.split()[2] for l in open('/proc/net/route') if l.split()[1] == '00000000'][0])")
    gateway = socket.inet_ntoa(bytes.fromhex(gateway)[::-1])
    hosts = {gateway, "127.0.0.1", "127.0.0.2", "169.254.169.254"}
    for line in __import__("subprocess").run(["ip", "-j", "-4", "address"], capture_output=True, text=True,
                                             check=True).stdout.splitlines():
        hosts |= {a["local"] for link in json.loads(line) for a in link["addr_info"]}
    with socket.create_server(("", 0)) as service:
        service.listen()
        port = service.getsockname()[1]
        for host in sorted(hosts):
            if host != dyno["address"]:
                assert not connects(daemon, shop, "web.1", host, port), host
    with socket.create_server(("::", 0), family=socket.AF_INET6) as service:
        assert not connects(daemon, shop, "web.1", "::1", service.getsockname()[1], "AF_INET6")


def test_flush_of_the_ruleset_opens_nothing(daemon, shop):
    import subprocess

    other = daemon.dyno(shop, "web.2")
    saved = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert f"table inet {daemon.instance}" in saved
    subprocess.run(["nft", "delete", "table", "inet", daemon.instance], check=True)
    try:
        assert not connects(daemon, shop, "web.1", other["address"], other["port"])
    finally:
        daemon.restart()
    after = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert f"table inet {daemon.instance}" in after, "a restart brings back what should be there"
    assert http_get(daemon.dyno(shop, "web.1"))[0] == 200
