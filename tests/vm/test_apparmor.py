# SPDX-License-Identifier: Apache-2.0
"""Labels of dynod's processes and of dynos, as the kernel reports them."""

import pathlib
import subprocess

import pytest

from dynod_testing import WEB_SLUG, time_factor

pytestmark = pytest.mark.vm


def label(pid):
    return pathlib.Path(f"/proc/{pid}/attr/apparmor/current").read_text().strip()


def processes_in(dyno_id):
    for procs in pathlib.Path("/sys/fs/cgroup").rglob(f"{dyno_id}/cgroup.procs"):
        return [int(pid) for pid in procs.read_text().split()]
    raise AssertionError(f"no cgroup of {dyno_id}")


def test_every_process_of_dynod_is_confined(daemon):
    assert label(daemon.main_pid()) == "dynod (enforce)"
    for name, wanted in (("dynod-supervisor", "dynod-supervisor (enforce)"),
                         ("dynod-logger", "dynod-logger (enforce)")):
        pids = daemon.pids_of(name)
        assert pids, name
        for pid in pids:
            assert label(pid) == wanted


def test_every_process_of_a_dyno_is_confined(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    pids = processes_in(daemon.dyno(app, "web.1")["id"])
    assert len(pids) >= 2
    for pid in pids:
        assert label(pid) == "dynod-dyno (enforce)"


def test_exec_runs_under_the_same_label(daemon, app, slug):
    daemon.ok("deploy", slug(WEB_SLUG), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    done = daemon.exec(app, "web.1", "cat", "/proc/self/attr/current")
    assert "dynod-dyno (enforce)" in done.stdout or done.returncode != 0


# ---- what the profiles refuse to root ----

# Takes a profile as the running process has it, then tries what root could do without.
ATTEMPT = """
import ctypes, errno, os, socket, sys
profile, what, argument = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
with open("/proc/self/attr/apparmor/current", "w") as f:
    f.write("changeprofile " + profile)
def trace(pid):
    if libc.ptrace(16, int(pid), None, None) < 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "")
try:
    {"write": lambda path: open(path, "ab").close(), "read": lambda path: open(path, "rb").close(),
     "run": lambda path: os.execv(path, [path, "done"]), "connect": lambda address: socket.socket(socket.AF_INET).close(),
     "trace": trace}[what](argument)
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("done")
"""

REFUSED = {
    "dynod": [("run", "/bin/echo"), ("run", "/usr/bin/printf"), ("trace", "VICTIM"),
              ("write", "/proc/sys/kernel/core_pattern"), ("write", "/proc/sysrq-trigger"), ("read", "/proc/kcore")],
    "dynod-supervisor": [("write", "/etc/dynod/mine.conf"), ("write", "/var/lib/dynod/archives/mine"),
                         ("write", "/run/dynod/mine"), ("run", "/bin/echo"), ("connect", ""), ("trace", "VICTIM")],
    "dynod-logger": [("read", "/etc/shadow"), ("read", "/var/lib/dynod/supervisor/dynod.db"),
                     ("write", "/var/lib/dynod/mine"), ("run", "/bin/echo"), ("connect", ""), ("trace", "VICTIM")],
}


def attempt(profile, what, argument):
    """What root hears that has taken @profile."""
    with subprocess.Popen(["sleep", "600"]) as victim:
        try:
            return subprocess.run(
                ["python3", "-c", ATTEMPT, profile, what, argument.replace("VICTIM", str(victim.pid))], check=True,
                capture_output=True, text=True, timeout=60 * time_factor()).stdout.strip()
        finally:
            victim.kill()


@pytest.mark.parametrize("name", REFUSED)
def test_profile_refuses_what_root_could_do(daemon, name):
    """Under the very label that the process has now, which is none once its profile is gone."""
    pid = daemon.main_pid() if name == "dynod" else daemon.pids_of(name)[0]
    profile = label(pid).removesuffix(" (enforce)")
    told = {(what, argument): attempt(profile, what, argument) for what, argument in REFUSED[name]}
    without = {(what, argument): attempt("unconfined", what, argument) for what, argument in REFUSED[name]}
    for path in ("/etc/dynod/mine.conf", "/var/lib/dynod/archives/mine", "/run/dynod/mine", "/var/lib/dynod/mine"):
        pathlib.Path(path).unlink(missing_ok=True)
    assert set(told.values()) <= {"EACCES", "EPERM"}, told
    assert set(without.values()) == {"done"}, f"the control: {without}"
