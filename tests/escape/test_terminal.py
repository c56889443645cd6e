# SPDX-License-Identifier: Apache-2.0
"""The operator's terminal: a dyno behind `run` and `ps:exec` never holds it, nor writes its own
commands to it where herokuctl prints what tenants wrote."""

import json
import os
import pty
import select
import subprocess
import termios
import time

import pytest

from dynod_testing import time_factor

# In the dyno: what its terminal is, and the ways from it to somebody else's.
LOOK = r"""
import fcntl, json, os, sys
def outcome(call):
    try:
        call()
        return "through"
    except OSError as e:
        return e.strerror
tty = os.stat(0)
facts = {
    "name": os.ttyname(0), "device": tty.st_dev, "inode": tty.st_ino, "rdev": tty.st_rdev,
    "others": sorted(os.listdir("/dev/pts")),
    "fds": sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)),
    "same": [os.stat(i).st_ino == tty.st_ino for i in (1, 2)],
    "push": outcome(lambda: fcntl.ioctl(0, 0x5412, b"\n")),
    "paste": outcome(lambda: fcntl.ioctl(0, 0x541C, b"\2")),
    "console": outcome(lambda: fcntl.ioctl(0, 0x541D)),
    "discipline": outcome(lambda: fcntl.ioctl(0, 0x5423, b"\x15\0\0\0")),
    "tty": os.fstat(os.open("/dev/tty", os.O_RDWR)).st_rdev == os.makedev(5, 0),
    "session": os.getsid(0) == os.getpid() == os.tcgetpgrp(0),
}
print("FACTS" + json.dumps(facts) + "END", flush=True)
"""

# What terminals obey: titles, clipboards, colours, 8-bit controls, keys as if typed.
NASTY = b"\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[31m\x1b[2J\x1bP+q\x1b\\\x9b31m\x1b[6n\x1bc\x0e\r"

BAD = [b"\x1b]", b"\x1bP", b"\x1bc", b"\x1b[2J", b"\x1b[6n", b"\x9b", b"\x07", b"\x0e"]


def ctl_on_terminal(daemon, *arguments, seconds=60):
    """herokuctl with a terminal of ours: its output and status, and what was typed for it."""
    master, slave = pty.openpty()
    here = os.fstat(slave)
    process = subprocess.Popen([str(daemon.herokuctl), *arguments], stdin=slave, stdout=slave, stderr=slave,
                               env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket), "TERM": "xterm"},
                               start_new_session=True)
    output, end = b"", time.monotonic() + seconds * time_factor()
    while process.poll() is None or select.select([master], [], [], 0)[0]:
        assert time.monotonic() < end, output
        if select.select([master], [], [], 0.1)[0]:
            output += os.read(master, 65536)
    # In no mode but that of a line may anything wait to be read: nobody typed.
    mode = termios.tcgetattr(slave)
    mode[3] &= ~termios.ICANON
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    typed = select.select([slave], [], [], 0)[0]
    os.close(slave)
    os.close(master)
    return process.returncode, output, here, typed


@pytest.fixture
def running(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: echo up; exec sleep 1000000\n", "look.py": LOOK}),
              "-a", app, timeout=120)
    daemon.ok("ps:scale", "worker=1", "-a", app, timeout=120)
    daemon.wait_log(app, ": up")
    return app


@pytest.mark.parametrize("how", ["run", "exec"])
def test_terminal_in_a_dyno_is_its_own(daemon, running, how):
    command = ["run"] if how == "run" else ["ps:exec", "worker.1"]
    status, output, here, typed = ctl_on_terminal(
        daemon, *command, "-a", running, "--", "python3", "look.py", seconds=90)
    assert status == 0, output
    facts = json.loads(output.split(b"FACTS")[1].split(b"END")[0])

    assert facts["name"] == "/dev/pts/0" and facts["others"] == ["0", "ptmx"]
    assert facts["device"] != here.st_dev, "the terminal is of the operator's own devpts"
    assert facts["fds"] == ["0", "1", "2"] and facts["same"] == [True, True]
    for way in ("push", "paste", "console", "discipline"):
        assert facts[way] == "Operation not permitted", way
    assert facts["session"]
    assert not typed


def test_what_tenants_wrote_is_no_command_to_the_terminal(daemon, app, slug):
    """In ps, logs, releases, config: names, commands, output."""
    printf = "".join(f"\\{byte:03o}" for byte in NASTY)
    command = f"printf '{printf}'; echo; echo printed; exec sleep 100000"
    daemon.ok("deploy", slug({"Procfile": f"worker: {command}\n"}), "-a", app, timeout=120)
    bad_slug = slug({"Procfile": f"worker: {command} #".encode() + NASTY.replace(b"\r", b"") + b"\n"}, name="bad.tgz")
    daemon.ok("config:set", "NASTY=" + NASTY.decode("latin-1"), "-a", app, timeout=60)
    daemon.ok("ps:scale", "worker=1", "-a", app, timeout=120)
    daemon.wait_log(app, "printed")

    status, output, _, _ = ctl_on_terminal(daemon, "deploy", str(bad_slug), "-a", app)
    assert status == 1 and not any(bad in output for bad in BAD), output
    for command in (["ps"], ["logs"], ["releases"], ["releases:info"], ["config"], ["apps:info"],
                    ["ps:inspect", "worker.1"]):
        status, output, _, typed = ctl_on_terminal(daemon, *command, "-a", app)
        assert status == 0 and len(output) > 20, output
        assert not any(bad in output for bad in BAD), (command, output)
        assert not typed
