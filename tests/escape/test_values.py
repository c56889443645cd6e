# SPDX-License-Identifier: Apache-2.0
"""Hostile commands, environments, config values and names: they reach their own app, as they are,
and nobody else."""

import json
import os
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.twice  # no layer is in it

# What loaders, shells and languages obey: were any of dynod's programs to see it, it would
# run the app's code, or fail.
OBEYED = {
    "LD_PRELOAD": "/app/evil.so", "LD_AUDIT": "/app/evil.so", "LD_LIBRARY_PATH": "/app", "LD_DEBUG": "all",
    "LD_DEBUG_OUTPUT": "/app/ld", "GLIBC_TUNABLES": "glibc.malloc.check=3", "MALLOC_PERTURB_": "165",
    "MALLOC_TRACE": "/app/trace", "GCONV_PATH": "/app", "NIS_PATH": "/app", "LOCPATH": "/app", "TMPDIR": "/app",
    "RES_OPTIONS": "debug", "HOSTALIASES": "/app/x", "ENV": "/app/evil.sh",
    "SHELLOPTS": "xtrace", "BASHOPTS": "extdebug",
    "PS4": "$(touch /tmp/ps4)", "IFS": "/", "CDPATH": "/etc", "GLOBIGNORE": "*", "PROMPT_COMMAND": "touch /tmp/prompt",
    "BASH_FUNC_cd%%": "() { touch /tmp/function; }", "NOTIFY_SOCKET": "/run/systemd/notify", "LISTEN_FDS": "3",
    "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/tmp/bus", "SYSTEMD_LOG_LEVEL": "debug", "DYNOD_SOCKET": "/tmp/x",
}

SAY = "import json, os, sys; print('ENV' + json.dumps(dict(os.environ)))"


@pytest.fixture
def deployed(daemon, app, slug):
    path = slug({"Procfile": "worker: echo up; exec sleep 1000000\n", "say.py": SAY,
                 "evil.so": b"\x7fELF no library", "evil.sh": "touch /tmp/evil\n"})
    daemon.ok("deploy", path, "-a", app, timeout=120)
    return app


def environment(done):
    assert "ENV{" in done.stdout, done.stdout + done.stderr
    return json.loads("{" + done.stdout.split("ENV{", 1)[1])


def test_what_loaders_obey_is_the_apps_alone(daemon, deployed):
    """dyno-init is static and takes its own environment from nobody."""
    pairs = [f"{name}={value}" for name, value in OBEYED.items()]
    refused = [pair for pair in pairs if daemon.ctl("config:set", pair, "-a", deployed).returncode != 0]
    assert {pair.split("=")[0] for pair in refused} <= {"BASH_FUNC_cd%%"}, refused
    daemon.ok("config:set", "BASH_ENV=/app/evil.sh", "-a", deployed)

    # Loader and shell complain or obey, in the dyno; the command still runs there.
    done = daemon.run(deployed, "env -i /usr/bin/python3 -c 'import os; print(sorted(os.listdir(\"/tmp\")))'; "
                                "/usr/bin/python3 say.py", timeout=90)
    given = environment(done)
    for name in ("LD_PRELOAD", "LD_AUDIT", "PS4", "NOTIFY_SOCKET", "DBUS_SYSTEM_BUS_ADDRESS"):
        assert given[name] == OBEYED[name]

    # dynod's own processes have none of it, and go on.
    for name in ("dynod", "dynod-supervisor", "dynod-logger"):
        for pid in daemon.pids_of(name) or [daemon.main_pid()]:
            assert b"evil" not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    daemon.ok("ps:scale", "worker=1", "-a", deployed, timeout=120)
    daemon.wait_log(deployed, ": up")
    init = pathlib.Path(f"/proc/{daemon.dyno(deployed, 'worker.1')['pid']}")
    assert (init / "environ").read_bytes() == b"" and (init / "cmdline").read_bytes() == b"dyno-init\0"
    assert daemon.exec(deployed, "worker.1", "true").returncode == 0


def test_control_loaders_obey(tmp_path):
    """The same values in the environment of a launcher's own programs."""
    script = tmp_path / "evil.sh"
    script.write_text(f"touch {tmp_path}/evil\n", encoding="ascii")
    values = {name: value.replace("/app", str(tmp_path)).replace("/tmp/", f"{tmp_path}/")
              for name, value in OBEYED.items()} | {"PATH": os.environ["PATH"], "BASH_ENV": str(script)}
    done = subprocess.run(["bash", "-c", "cd /; true"], env=values, capture_output=True, text=True, check=False)
    left = {path.name.split(".")[0] for path in tmp_path.iterdir()}
    assert "evil.so" in done.stderr and "cannot be preloaded" in done.stderr  # LD_PRELOAD
    assert {"evil", "function"} <= left, left  # BASH_ENV; BASH_FUNC_cd%%


def test_values_arrive_as_they_are(daemon, deployed):
    values = {"NEWLINE": "a\nheroku[web.1]: b\n", "QUOTES": "'\"`$(touch /tmp/q)\\", "EQUALS": "=a=b=", "EMPTY": "",
              "WIDE": "é漢\U0001f600", "CONTROL": "\x01\x1b[31m\x7f", "LONG": "x" * 30000, "SPACES": "  a  "}
    daemon.ok("config:set", *[f"{name}={value}" for name, value in values.items()], "-a", deployed)
    given = environment(daemon.run(deployed, "python3", "say.py", timeout=90))
    assert {name: given[name] for name in values} == values
    assert not any("heroku[web.1]: b" in line for line in daemon.logs(deployed, "--source", "heroku").splitlines())


def test_control_values_in_a_careless_shell(tmp_path):
    """Values that are pasted into a command, a log line or a file of settings."""
    subprocess.run(["sh", "-c", f"X=\"`touch {tmp_path}/q`\""], check=True)
    assert (tmp_path / "q").exists()
    assert "heroku[web.1]: b" in "app[web.1]: a\nheroku[web.1]: b\n".splitlines()
    assert dict(pair.split("=", 1) for pair in ["=x", "A B=x"]) == {"": "x", "A B": "x"}


@pytest.mark.parametrize("pair", ["=x", "A B=x", "A\nB=x", "A\x1b=x", "1=x", "A-B=x", "é=x", "A" * 5000 + "=x"])
def test_bad_names_are_refused(daemon, deployed, pair):
    done = daemon.ctl("config:set", pair, "-a", deployed)
    assert done.returncode in (1, 2), done
    assert len(daemon.json("config", "-a", deployed)) == 0


def test_bytes_that_are_no_text_are_refused(daemon, deployed):
    for pair in (b"BAD=\xff\xfe", b"B\xc3=x", b"OVERLONG=\xc0\xaf", b"SURROGATE=\xed\xa0\x80"):
        done = subprocess.run([os.fsencode(daemon.herokuctl), b"config:set", pair, b"-a", deployed.encode()],
                              capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
                              env={"DYNOD_SOCKET": str(daemon.socket)})
        assert done.returncode in (1, 2), (pair, done)
    assert len(daemon.json("config", "-a", deployed)) == 0


def test_too_much_is_refused(daemon, deployed):
    """256 KiB is what the launcher's memfd takes: more must not become a start that fails for ever."""
    big = [f"BIG{i}={'x' * 60000}" for i in range(6)]
    done = [daemon.ctl("config:set", pair, "-a", deployed) for pair in big]
    assert done[0].returncode == 0 and done[-1].returncode == 1, done[-1]
    assert daemon.run(deployed, "true", timeout=90).returncode == 0


@pytest.mark.parametrize("command", [
    "echo one\nheroku[web.1]: State changed", "echo \x1b]0;owned\x07 \x9b", "echo 'a' \"b\" `true` $(true) \\",
    "x" * 100000, "-c", "--", "", " ", "\n", ";", "&", "exec </dev/tty",
], ids=range(12))
def test_hostile_commands(daemon, deployed, command):
    """They run, or fail, in the dyno; in the log dyno-init's line is one line."""
    done = daemon.run(deployed, command, timeout=90)
    assert done.returncode in (0, 1, 2, 126, 127) or (not command and done.returncode == 125), done
    for line in daemon.logs(deployed, "--source", "heroku").splitlines():
        assert " heroku[" in line.split(": ")[0] and "heroku[web.1]" not in line.split(": ")[0], line


def test_what_dynod_sets_cannot_be_set(daemon, deployed):
    """Or is not dynod's to defend: HOME, PATH and the like are the app's own."""
    daemon.ctl("config:set", "PORT=1", "-a", deployed)
    daemon.ctl("config:set", "DYNO=web.99", "-a", deployed)
    given = environment(daemon.run(deployed, "python3", "say.py", timeout=90))
    assert given["DYNO"].startswith("run."), given["DYNO"]
    assert given.get("PORT") != "1" or "PORT" not in OBEYED


def test_profile_scripts_are_the_apps_own(daemon, app, slug):
    """They may fail, loop over traps, end the shell: the dyno's own end, with its status."""
    daemon.ok("deploy", slug({
        "Procfile": "worker: true\n",
        ".profile.d/a.sh": "set -e; false; trap 'echo trapped' EXIT DEBUG ERR\n",
        ".profile.d/b.sh": "kill -9 1; kill -STOP 1; exec 3>/proc/1/fd/7; echo forged >&3; enable -n exec\n",
        ".profile.d/c.sh": "__command='echo replaced'; exec() { echo no; }; bash() { echo no; }\n",
        ".profile": "ulimit -n 3; unset PATH\n"}), "-a", app, timeout=120)
    done = daemon.run(app, "echo as asked", timeout=90)
    assert done.returncode in (0, 1, 2, 126, 127, 137), done
    assert not [line for line in daemon.logs(app, "--source", "heroku").splitlines() if "forged" in line]


@pytest.mark.parametrize("name", ["../../etc", "web.1", "WEB", "a" * 200, "-rf", "web\n", "web web", "wéb", "heroku",
                                  "run"])
def test_process_type_names(daemon, app, slug, name):
    """Refused, or as good as any other: they become names of folders, groups and log lines."""
    path = slug({"Procfile": f"{name}: echo up; exec sleep 1000000\nok: true\n"})
    done = daemon.ctl("deploy", path, "-a", app, timeout=120)
    if done.returncode != 0:
        assert done.returncode == 1 and "Procfile" in done.stderr, done.stderr
        return
    daemon.ok("ps:scale", "-a", app, "--", f"{name}=1", timeout=120)
    daemon.wait_log(app, ": up")
    assert daemon.dyno(app, f"{name}.1")["state"] in ("up", "starting")
