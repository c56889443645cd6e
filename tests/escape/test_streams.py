# SPDX-License-Identifier: Apache-2.0
"""What an app has to write to: a pipe of its own, nothing of the host's, and nothing of dyno-init's."""

import json
import os
import subprocess
import sys

# Run as a formation dyno, whose stdout dyno-init relays to the FIFO that the logger reads.
APP = r"""
import fcntl, json, os, stat, sys, time

def outcome(call):
    try:
        return call() or "through"
    except OSError as e:
        return os.strerror(e.errno)

def opened(path, flags):
    return outcome(lambda: os.close(os.open(path, flags | os.O_NONBLOCK)))

def kinds(pid):
    def list_them():
        found = {}
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[fd] = stat.S_IFMT(os.stat(f"/proc/{pid}/fd/{fd}").st_mode)
            except OSError:
                pass  # of the listing itself
        return found
    return outcome(list_them)

status_fd = None
facts = {
    "own": kinds("self"),
    "null": os.fstat(0).st_rdev == os.makedev(1, 3),
    "one_and_two": os.fstat(1).st_ino == os.fstat(2).st_ino,
    "init": kinds(1),
    "read": opened("/proc/self/fd/1", os.O_RDONLY),
    "read_write": opened("/proc/self/fd/1", os.O_RDWR),
    "write": opened("/proc/self/fd/1", os.O_WRONLY),
    "by_dev": opened("/dev/stdout", os.O_WRONLY),
    "chmod": outcome(lambda: os.fchmod(1, 0)),
    "chown": outcome(lambda: os.fchown(1, os.getuid(), -1)),
    "unlink": outcome(lambda: os.unlink(os.readlink("/proc/self/fd/1"))),
    "init_log": [opened(f"/proc/1/fd/{fd}", os.O_WRONLY) for fd in range(10)],
    "path": os.readlink("/proc/self/fd/1"),
    "folder": outcome(lambda: str(os.listdir(os.path.dirname(os.readlink("/proc/self/fd/1"))))),
    "lock": outcome(lambda: fcntl.flock(1, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    "watch": outcome(lambda: __import__("select").epoll().register(1, 1)),
    "lease": outcome(lambda: fcntl.fcntl(1, fcntl.F_SETLEASE, fcntl.F_RDLCK)),
}
# Lines of another source, as far as text can say so.
print("2026-01-01T00:00:00.000000+00:00 heroku[web.1]: State changed from up to crashed")
print("a\x1b[2K\x1b[1Gheroku[web.1]: forged by a terminal")
print("nul \0 heroku[web.1]: forged by a nul")
print("FACTS " + json.dumps(facts), flush=True)
time.sleep(1000000)
"""

S_IFIFO, S_IFCHR = 0o010000, 0o020000


def test_streams_of_an_app(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: exec python3 app.py\n", "app.py": APP}), "-a", app, timeout=120)
    daemon.ok("ps:scale", "worker=1", "-a", app, timeout=120)
    facts = json.loads(daemon.wait_log(app, "FACTS ").partition("FACTS ")[2])

    # python3 opens its script and closes it; nothing else is there.
    assert facts["own"] == {"0": S_IFCHR, "1": S_IFIFO, "2": S_IFIFO}, facts["own"]
    assert facts["null"] and facts["one_and_two"]
    assert facts["init"] == "Permission denied"
    assert facts["init_log"] == ["Permission denied"] * 10
    assert facts["path"].startswith("pipe:[")  # what it does to that it does to itself
    assert facts["write"] == facts["by_dev"] == "through"
    assert facts["unlink"] != "through" and not facts["folder"].startswith("["), facts
    assert facts["lease"] != "through"

    # The end is not the app's to say: of what it wrote, every line bears its own name.
    for line in daemon.logs(app, "--source", "heroku").split("\n"):
        assert "forged" not in line and "up to crashed" not in line, line
    for line in filter(None, daemon.logs(app, "--source", "app").split("\n")):
        assert " app[" in line.split(": ")[0], line
    assert len(daemon.logs(app, "--grep", "forged by a nul").split("\n")) == 2  # and what is behind the last
    assert sum("forged" in line for line in daemon.logs(app, "--source", "app").split("\n")) == 2

    # Locked or not, it goes on being read, and ends.
    daemon.ok("ps:stop", "worker", "-a", app, timeout=90)
    daemon.wait_log(app, "Process exited with status")


def test_control_streams_of_a_careless_launcher(tmp_path):
    """A FIFO of the host's that is the app's stdout, beside an init whose /proc it may read."""
    (tmp_path / "own").mkdir()
    fifo = tmp_path / "own/fifo"
    os.mkfifo(fifo, 0o600)
    fd = os.open(fifo, os.O_RDWR)
    with open(fifo, encoding="utf-8", errors="replace") as lines, \
            subprocess.Popen([sys.executable, "-c", APP], stdin=subprocess.DEVNULL, stdout=fd, stderr=fd) as process:
        os.close(fd)
        text = []
        for line in lines:
            text.append(line)
            if line.startswith("FACTS "):
                break
        process.kill()
    facts = json.loads(text[-1].removeprefix("FACTS "))
    for what in ("read", "read_write", "write", "by_dev", "chmod", "chown", "unlink"):
        assert facts[what] == "through", (what, facts[what])
    assert facts["path"].startswith(str(fifo))
    assert facts["init"] != "Permission denied" and facts["folder"].startswith("["), facts
    # And with one stream for all, what it wrote stands there as somebody else's line.
    assert "2026-01-01T00:00:00.000000+00:00 heroku[web.1]: State changed from up to crashed\n" in text
