# SPDX-License-Identifier: Apache-2.0
"""Nothing depends on a dynod process staying alive."""

import os
import pathlib
import shutil
import signal
import stat
import subprocess

import pytest

from dynod_testing import WEB_SLUG, http_get, reconfigured, wait_until

COUNTER = '''\
import itertools, time
for n in itertools.count():
    print("line", n, flush=True)
    time.sleep(0.01)
'''


@pytest.fixture
def web(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    return app


def test_restart_keeps_dynos_and_takes_them_over(daemon, web):
    before = daemon.dyno(web, "web.1")
    daemon.restart()
    after = daemon.dyno(web, "web.1")
    assert (after["id"], after["pid"], after["state"]) == (before["id"], before["pid"], "up")
    assert http_get(after)[0] == 200
    # Taken over: it can be stopped, and its end is seen.
    daemon.ok("ps:stop", "web.1", "-a", web, timeout=90)
    daemon.wait_log(web, "heroku[web.1]: Stopping all processes with SIGTERM")
    daemon.wait_log(web, "heroku[web.1]: Process exited with status 143")
    wait_until(lambda: not os.path.exists(f"/proc/{before['pid']}"), "web.1 is gone")


@pytest.mark.parametrize("name", ["dynod-supervisor", "dynod-logger", "dynod"])
def test_killed_process_comes_back_and_dynos_stay(daemon, web, name):
    before = daemon.dyno(web, "web.1")
    daemon.kill_process(name)
    after = daemon.dyno(web, "web.1")
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    assert http_get(after, f"/after-{name}")[0] == 200
    daemon.wait_log(web, f"request /after-{name}")


@pytest.mark.twice
def test_exit_while_dynod_is_down_is_seen_at_the_next_start(daemon, web):
    dyno = daemon.dyno(web, "web.1")
    daemon.stop()
    try:
        try:
            http_get(dyno, "/exit")
        except OSError:
            pass
        # dyno-init stays until its last lines are taken.
        wait_until(lambda: not children_of(dyno["pid"]), "the command ended", 20)
    finally:
        daemon.start()
    daemon.wait_log(web, "Process exited with status 3", 40)
    wait_until(lambda: any(d["id"] != dyno["id"] for d in daemon.dynos(web)), "web.1 starts again", 60)


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


@pytest.mark.twice
def test_no_line_is_lost_when_the_logger_is_killed(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "count: python3 count.py\n", "count.py": COUNTER}), "-a", app)
    daemon.ok("ps:scale", "count=1", "-a", app, timeout=120)
    daemon.wait_log(app, "app[count.1]: line 50")
    for _ in range(3):
        daemon.kill_process("dynod-logger")
        last = numbers(daemon, app)[-1]
        wait_until(lambda: numbers(daemon, app)[-1] > last + 20, "the count goes on", 40)
    seen = numbers(daemon, app)
    assert seen == list(range(seen[0], seen[0] + len(seen))), "a gap or a repeated line"


@pytest.mark.twice
def test_lines_of_an_app_that_went_are_not_there_for_the_next_of_its_name(daemon, app):
    """Who was to remove them is killed before it has read that it should."""
    daemon.ok("config:set", "OF_THE_OLD=1", "-a", app)
    daemon.wait_log(app, "OF_THE_OLD")
    [logger] = daemon.pids_of("dynod-logger")
    os.kill(logger, signal.SIGSTOP)
    daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)
    daemon.kill_process("dynod")
    assert daemon.logs_of_nobody() == []
    daemon.ok("apps:create", app)
    daemon.ok("config:set", "OF_THE_NEW=1", "-a", app)
    daemon.wait_log(app, "OF_THE_NEW")
    assert "OF_THE_OLD" not in daemon.logs(app)


@pytest.mark.native
def test_number_of_an_app_that_left_lines_is_no_new_apps_with_another_database(daemon, app):
    daemon.ok("config:set", "OF_THE_OLD=1", "-a", app)
    daemon.wait_log(app, "OF_THE_OLD")
    store = daemon.state_dir / "supervisor"
    aside = store.with_name("aside")
    daemon.stop()
    last = max(map(int, os.listdir(daemon.state_dir / "logs")))
    store.rename(aside)
    store.mkdir(mode=0o700)
    os.chown(store, aside.stat().st_uid, aside.stat().st_gid)
    try:
        daemon.start()
        daemon.ok("stacks:import", "debian-12", os.environ["DYNOD_STACK"], timeout=600)
        daemon.ok("apps:create", app)
        daemon.ok("config:set", "OF_THE_NEW=1", "-a", app)
        daemon.wait_log(app, "OF_THE_NEW")
        assert "OF_THE_OLD" not in daemon.logs(app)
        assert max(map(int, os.listdir(daemon.state_dir / "logs"))) > last
    finally:
        daemon.stop()
        shutil.rmtree(store)
        aside.rename(store)
        daemon.start()


@pytest.mark.twice
def test_lines_of_an_app_that_was_renamed_come_along(daemon, app):
    """Although the logger was killed before it has read of it."""
    other = app.replace("t-", "r-")
    daemon.ok("config:set", "AS_THE_OLD=1", "-a", app)
    daemon.wait_log(app, "AS_THE_OLD")
    [logger] = daemon.pids_of("dynod-logger")
    os.kill(logger, signal.SIGSTOP)
    daemon.ok("apps:rename", other, "-a", app)
    daemon.kill_process("dynod")
    daemon.wait_log(other, "AS_THE_OLD")
    daemon.ok("apps:create", app)  # the fixture destroys it
    assert "AS_THE_OLD" not in daemon.logs(app)
    daemon.ok("apps:destroy", other, "--confirm", other, timeout=90)


def numbers(daemon, app):
    return [int(line.rsplit(" ", 1)[1]) for line in daemon.logs(app, "--ps", "count.1", "--source", "app").splitlines()
            if "]: line " in line]


@pytest.mark.native
def test_second_daemon_on_the_same_folders_is_refused(daemon):
    done = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done.stderr
    assert str(daemon.state_dir) in done.stderr or "already" in done.stderr
    daemon.ok("host:info")


@pytest.mark.native
@pytest.mark.parametrize("text, wanted", [
    ("no_such_key = 1\n", "no_such_key"),
    ("web_port = many\n", "web_port"),
    ("this is no line\n", "line"),
    ("allow_missing = seccomp\n", "allow_missing"),
    ("[size Big]\nmemory = 2G\nmemory_kill = 1G\n", "memory_kill"),
])
def test_damaged_configuration_is_refused_with_its_line(daemon, tmp_path, text, wanted):
    path = tmp_path / "dynod.conf"
    good = (daemon.folder / "dynod.conf").read_text()
    path.write_text(good + text)
    done = subprocess.run([daemon.command()[0], "--instance", "itestbad", "--config", str(path), "--check"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert wanted in done.stderr, done.stderr
    if "memory_kill" not in wanted:  # the sum of all lines, not one line, is wrong there
        assert f"{path}:{good.count(chr(10)) + 1}:" in done.stderr, done.stderr


HOSTILE_STDOUT = '''\
import os, time
for change in (lambda: os.fchmod(1, 0), lambda: os.fchown(1, -1, os.getgid())):
    try:
        change()
        print("changed", flush=True)
    except PermissionError:
        print("refused", flush=True)
n = 0
while True:
    n += 1
    print("tick", n, flush=True)
    time.sleep(0.05)
'''


@pytest.mark.twice
def test_app_cannot_close_its_output_to_the_next_logger(daemon, app, slug):
    """Whoever owns a FIFO may take its mode away: a logger that comes later could not open it. What
    the app owns is its own pipe."""
    files = {"Procfile": "worker: python3 -u hostile.py\n", "hostile.py": HOSTILE_STDOUT}
    daemon.ok("deploy", slug(files), "-a", app, timeout=120)
    daemon.ok("ps:scale", "worker=1", "-a", app)
    daemon.wait_log(app, "app[worker.1]: tick")
    fifo = daemon.run_dir / "dynos" / daemon.dyno(app, "worker.1")["id"] / "app"
    assert stat.S_IMODE(fifo.stat().st_mode) == 0o420
    daemon.kill_process("dynod-logger")
    last = max(int(line.rsplit(" ", 1)[1]) for line in daemon.logs(app).splitlines() if " tick " in line)
    daemon.wait_log(app, f"tick {last + 20}")


def test_reloaded_configuration_outlives_the_supervisor(daemon):
    """A supervisor that is started later runs by the newest file, and a bad one changes nothing."""
    folder = pathlib.Path("/etc/dynod/dynod.conf.d") if daemon.is_installed else daemon.folder / "dynod.conf.d"
    folder.mkdir(exist_ok=True)
    drop_in = folder / "90-test.conf"

    def names():
        return {size["name"] for size in daemon.json("sizes")}

    def reload(text):
        drop_in.write_text(text)
        os.kill(daemon.main_pid(), signal.SIGHUP)

    try:
        reload("[size Tiny]\nmemory = 64M\nmemory_kill = 64M\n")
        wait_until(lambda: "Tiny" in names(), "the new size is known")
        daemon.kill_process("dynod-supervisor")
        assert "Tiny" in names()
        reload("nonsense = 1\n")
        daemon.kill_process("dynod-supervisor")
        assert "Tiny" in names()
    finally:
        drop_in.unlink()
        os.kill(daemon.main_pid(), signal.SIGHUP)
    wait_until(lambda: "Tiny" not in names(), "the old sizes are back")


@pytest.mark.native
def test_smaller_max_dynos_keeps_what_runs(daemon, app, slug):
    """Nothing new starts above it; what runs already goes on until it ends."""
    daemon.ok("deploy", slug({"Procfile": "w: sleep 1000000\n"}), "-a", app, timeout=120)
    daemon.ok("ps:scale", "w=3", "-a", app, timeout=120)
    wait_until(lambda: {d["state"] for d in daemon.dynos(app)} == {"up"}, "all are up")
    before = {d["name"]: d["pid"] for d in daemon.dynos(app)}
    config = daemon.folder / "dynod.conf"
    text = config.read_text()
    try:
        config.write_text(text + "max_dynos = 1\n")
        daemon.restart()
        assert {d["name"]: d["pid"] for d in daemon.dynos(app)} == before
        assert daemon.run(app, "true").returncode != 0
        assert daemon.exec(app, "w.3", "true").returncode == 0
    finally:
        config.write_text(text)
        daemon.restart()
    assert {d["name"]: d["pid"] for d in daemon.dynos(app)} == before


@pytest.mark.native
def test_started_without_standard_descriptors(daemon):
    """What it opens first must not become the place where children write to."""
    daemon.stop()
    daemon.process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *daemon.command()], start_new_session=True)
    try:
        daemon.wait_ready()
        for fd in range(3):
            assert os.readlink(f"/proc/{daemon.main_pid()}/fd/{fd}") == "/dev/null"
    finally:
        daemon.restart()


@pytest.mark.twice
@pytest.mark.parametrize("name", ["dynod-supervisor", "dynod-logger"])
def test_service_that_hangs_is_replaced(daemon, name):
    with reconfigured(daemon, "watchdog = 2s\n"):
        before = wait_until(lambda: daemon.pids_of(name), f"{name} runs")
        os.kill(before[0], signal.SIGSTOP)
        wait_until(lambda: set(daemon.pids_of(name)) - set(before), f"a new {name}", 60)
        daemon.wait_ready()
