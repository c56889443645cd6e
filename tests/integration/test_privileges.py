# SPDX-License-Identifier: Apache-2.0
"""Each process holds the privileges that the documents give it, and links what they name."""

import contextlib
import os
import pathlib
import pwd
import struct
import subprocess

import pytest

from dynod_testing import make_slug, wait_until

# Sonames that each program may need; the C library and the loader need no mention.
LIBRARIES = {
    "sbin/dynod": {"libseccomp", "libapparmor", "libcap", "libnl-3", "libnl-route-3", "libmnl", "libnftnl"},
    "libexec/dynod/dynod-supervisor": {"libseccomp", "libsystemd", "libsqlite3"},
    "libexec/dynod/dynod-logger": {"libseccomp"},
    "libexec/dynod/dynod-unpacker": {"libseccomp", "libarchive", "libisal", "libnettle"},
    "libexec/dynod/dynod-firewall": {"libnftables"},
    "libexec/dynod/dynod-modules": {"libbpf"},
    "libexec/dynod/dynod-scope": {"libsystemd"},
    "libexec/dynod/dyno-init": set(),
    "bin/herokuctl": {"libsystemd", "libjson-c"},
}


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@pytest.mark.parametrize("program", sorted(LIBRARIES))
def test_program_links_only_what_is_agreed(daemon, program):
    path = daemon.prefix / program
    shown = needed(path)
    extra = {name for name in shown if name not in LIBRARIES[program] | {"libc", "ld-linux-x86-64", "libm"}}
    assert not extra, f"{program} links {extra}"


def needed(path):
    """Sonames without version, read from the dynamic section: readelf is not on every host."""
    data = path.read_bytes()
    assert data[:5] == b"\x7fELF\x02", path
    offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, offset + i * size) for i in range(count)]
    dynamic = next((s for s in segments if s[0] == 2), None)
    if dynamic is None:
        return set()
    entries = [struct.unpack_from("<qQ", data, dynamic[2] + i * 16) for i in range(dynamic[5] // 16)]
    table = next((value for tag, value in entries if tag == 5), None)
    if table is None:
        return set()
    base = next(s[2] + table - s[3] for s in segments if s[0] == 1 and s[3] <= table < s[3] + s[6])
    names = set()
    for tag, value in entries:
        if tag == 1:
            end = data.index(b"\0", base + value)
            names.add(data[base + value:end].decode().split(".so")[0])
    return names


# By linux/capability.h. The reasons are in src/launcher/capabilities.c.
ROOT_CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
    "NET_ADMIN": 12, "SYS_CHROOT": 18, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_RESOURCE": 24, "MKNOD": 27,
    "SETFCAP": 31, "PERFMON": 38, "BPF": 39}
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# Per process: those that it holds and may hold, no_new_privs, and its filters with those inherited of us.
PINNED = {
    "dynod": (sum(1 << number for number in ROOT_CAPABILITIES.values()), "0", 1),
    "dynod-supervisor": (0, "1", 2),
    "dynod-logger": (0, "1", 2),
    "dynod-unpacker": (0, "1", 2),
    "dyno-init": (0, "1", 2),
    "app": (0, "1", 2),
}


def filters_of(daemon, pid):
    """Without those of whoever started dynod: the unit has some, a container may have one."""
    outer = int(status(daemon.main_pid())["Seccomp_filters"]) - 1 if daemon.is_installed else \
        int(status("self")["Seccomp_filters"])
    return int(status(pid)["Seccomp_filters"]) - outer


def id_of(daemon, key):
    value = daemon.configured(key)
    return int(value) if value.isdigit() else pwd.getpwnam(value).pw_uid


@contextlib.contextmanager
def waiting_unpacker(daemon, app):
    """Pid of an unpacker that reads a client's archive, of which nothing comes."""
    imports = range(daemon.uid_base() + 16, daemon.uid_base() + 1024)
    with subprocess.Popen([str(daemon.herokuctl), "deploy", "-", "-a", app], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)}) as client:
        def locked_in():
            for path in pathlib.Path("/proc").glob("[0-9]*"):
                try:
                    facts = status(path.name)
                except OSError:
                    continue
                if int(facts["Uid"].split()[0]) in imports and filters_of(daemon, path.name) == 2:
                    return int(path.name)
            return None
        yield wait_until(locked_in, "an unpacker waits for the archive")
        client.kill()


@pytest.fixture(scope="module")
def processes(daemon, stack, tmp_path_factory):
    """Pid and user of one process of each kind."""
    archive = make_slug(tmp_path_factory.mktemp("slug") / "idle.tgz", {"Procfile": "idle: sleep 1000000\n"})
    daemon.ok("apps:create", "pinned", "--stack", stack)
    daemon.ok("deploy", archive, "-a", "pinned", timeout=120)
    daemon.ok("ps:scale", "idle=1", "-a", "pinned", timeout=120)
    wait_until(lambda: daemon.dyno("pinned", "idle.1")["state"] == "up", "idle.1 is up")
    dyno = daemon.dyno("pinned", "idle.1")
    children = pathlib.Path(f"/proc/{dyno['pid']}/task/{dyno['pid']}/children")
    command = int(wait_until(lambda: children.read_text().split(), "the command runs")[0])
    supervisor, logger = (wait_until(lambda name=name: daemon.pids_of(name), f"{name} runs")
                          for name in ("dynod-supervisor", "dynod-logger"))
    with waiting_unpacker(daemon, "pinned") as unpacker:
        yield {"dynod": (daemon.main_pid(), 0),
               "dynod-supervisor": (supervisor[0], id_of(daemon, "supervisor_user")),
               "dynod-logger": (logger[0], id_of(daemon, "logger_user")),
               "dynod-unpacker": (unpacker, int(status(unpacker)["Uid"].split()[0])),
               "dyno-init": (dyno["pid"], dyno["uid"]), "app": (command, dyno["uid"])}
    daemon.ok("apps:destroy", "pinned", "--confirm", "pinned", timeout=90)


@pytest.mark.parametrize("name", PINNED)
def test_process_has_what_is_pinned(daemon, processes, name):
    held, no_new_privs, filters = PINNED[name]
    held &= int(status("self")["CapBnd"], 16)  # a container may have given us less
    pid, uid = processes[name]
    facts = status(pid)
    assert set(facts["Uid"].split()) == {str(uid)}
    assert uid != 0 or name == "dynod"
    assert {kind: int(facts[kind], 16) for kind in SETS} == \
        {"CapInh": 0, "CapPrm": held, "CapEff": held, "CapBnd": held, "CapAmb": 0}
    assert (facts["NoNewPrivs"], facts["Seccomp"], filters_of(daemon, pid)) == (no_new_privs, "2", filters)
    if name != "dynod":
        assert facts["Groups"].split() in ([], [facts["Gid"].split()[0]])
        assert "0" not in facts["Gid"].split()


@pytest.mark.vm
@pytest.mark.parametrize("name", PINNED)
def test_process_has_its_label(processes, name):
    profile = "dynod-dyno" if name in ("dyno-init", "app") else name
    shown = pathlib.Path(f"/proc/{processes[name][0]}/attr/apparmor/current").read_text().strip()
    assert shown == f"{profile} (enforce)"


def test_unpacker_has_the_descriptors_of_its_work(processes, daemon):
    pid, _ = processes["dynod-unpacker"]
    kinds, paths = descriptors(pid)
    assert kinds <= {"socket", "pipe"}, kinds
    assert not outside(paths, daemon.state_dir / "tmp"), paths


def test_logger_has_no_network_and_sees_no_other_state(daemon):
    pid = daemon.pids_of("dynod-logger")[0]
    ours = os.stat("/proc/self/ns/net").st_ino
    assert os.stat(f"/proc/{pid}/ns/net").st_ino != ours
    seen = os.listdir(f"/proc/{pid}/root{daemon.state_dir}")
    assert seen == ["logs"], seen


def test_supervisor_sees_only_its_own_state(daemon):
    pid = daemon.pids_of("dynod-supervisor")[0]
    seen = os.listdir(f"/proc/{pid}/root{daemon.state_dir}")
    assert seen == ["supervisor"], seen


def test_files_have_the_modes_of_the_documents(daemon):
    for path, mode in ((daemon.socket, 0o660), (daemon.state_dir, 0o700),
                       (daemon.state_dir / "supervisor", 0o700), (daemon.state_dir / "logs", 0o700)):
        assert path.stat().st_mode & 0o7777 == mode, path


LOOP = {"socket", "anon_inode:[eventpoll]", "anon_inode:[signalfd]", "anon_inode:[timerfd]"}


def descriptors(pid):
    """Kinds of all but the standard ones, and the paths of those that are files."""
    kinds, paths = set(), set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if int(link.name) <= 2:
            continue
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.startswith("/") and not target.startswith("/memfd:"):
            paths.add(target)
        elif target.startswith("anon_inode:"):
            kinds.add(target)
        else:
            kinds.add(target.split(":")[0].strip("/"))
    return kinds, paths


def outside(paths, *folders):
    return {path for path in paths
            if not any(path == str(folder) or path.startswith(f"{folder}/") for folder in folders)}


def test_processes_hold_the_descriptors_of_their_work(daemon):
    state, run, cgroups = daemon.state_dir, daemon.run_dir, daemon.cgroup_root or "/sys/fs/cgroup"
    for name, kinds, folders in (
            ("dynod-supervisor", LOOP, (state / "supervisor", run / "supervisor", cgroups)),
            ("dynod-logger", LOOP | {"pipe", "anon_inode:inotify"}, (state / "logs", run / "dynos")),
            ("dynod", LOOP | {"pipe", "memfd", "anon_inode:inotify", "anon_inode:[pidfd]", "anon_inode:bpf-map",
                              "anon_inode:bpf-prog", "net", "user", "mnt"},
             (state, run, cgroups, daemon.prefix / "libexec", "/run/dynod.instances"))):
        pid = daemon.main_pid() if name == "dynod" else \
            wait_until(lambda name=name: daemon.pids_of(name), f"{name} runs")[0]
        held, paths = descriptors(pid)
        assert held <= kinds, (name, held - kinds)
        assert not outside(paths, *folders), (name, outside(paths, *folders))
