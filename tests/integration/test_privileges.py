# SPDX-License-Identifier: Apache-2.0
"""Each process holds the privileges that the documents give it, and links what they name.

Of Landlock /proc tells nothing: hostile/test_locked_in.py tries what its rules forbid.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import pathlib
import pwd
import re
import signal
import struct
import subprocess

import pytest

from dynod_testing import make_slug, wait_until
from held import held_at

# What comes with libsystemd.
SYSTEMD = {"libcap", "libgcrypt", "libgpg-error", "liblz4", "liblzma", "libzstd"}
# By program: the libraries that it names, and those that come with them on Debian 12. The C
# library and the loader need no mention.
LIBRARIES = {
    "sbin/dynod": ({"libseccomp", "libapparmor", "libnl-3", "libnl-route-3", "libmnl", "libnftnl"}, set()),
    "libexec/dynod/dynod-supervisor": ({"libseccomp", "libsystemd", "libsqlite3"}, SYSTEMD | {"libm"}),
    "libexec/dynod/dynod-logger": ({"libseccomp"}, set()),
    "libexec/dynod/dynod-unpacker": (
        {"libseccomp", "libarchive", "libisal", "libnettle"},
        {"libacl", "libbz2", "libgcc_s", "libicudata", "libicuuc", "liblz4", "liblzma", "libm", "libstdc++",
         "libxml2", "libz", "libzstd"}),
    "libexec/dynod/dynod-firewall": ({"libnftables"}, {"libgmp", "libjansson", "libmnl", "libnftnl", "libxtables"}),
    "libexec/dynod/dynod-guards": ({"libbpf", "libseccomp"}, {"libelf", "libz"}),
    "libexec/dynod/dynod-scope": ({"libsystemd"}, SYSTEMD),
    "libexec/dynod/dyno-init": (set(), set()),
    "bin/herokuctl": ({"libsystemd", "libjson-c"}, SYSTEMD),
}


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def without_libc(names):
    return {name for name in names if name != "libc" and not name.startswith("ld-linux")}


@pytest.mark.parametrize("program", sorted(LIBRARIES))
def test_program_links_what_is_agreed(daemon, program):
    path = daemon.prefix / program
    named, brought = LIBRARIES[program]
    assert without_libc(needed(path)) == named
    if named:
        listed = subprocess.run([interpreter(path), "--list", str(path)], check=True, capture_output=True, text=True)
        found = {pathlib.Path(line.split(" (")[0].split("=> ")[-1].strip()).name.split(".so")[0]
                 for line in listed.stdout.splitlines() if ".so" in line and "vdso" not in line}
        assert without_libc(found) == named | brought


def segments_of(data):
    """The program headers: readelf is not on every host."""
    assert data[:5] == b"\x7fELF\x02"
    offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    return [struct.unpack_from("<IIQQQQQQ", data, offset + i * size) for i in range(count)]


def interpreter(path):
    """The loader that it asks for."""
    data = path.read_bytes()
    segment = next(s for s in segments_of(data) if s[0] == 3)
    return data[segment[2]:segment[2] + segment[5]].rstrip(b"\0").decode()


def needed(path):
    """Sonames without version, of the dynamic section."""
    data = path.read_bytes()
    segments = segments_of(data)
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


def bits(*names):
    return sum(1 << ROOT_CAPABILITIES[name] for name in names)


# Per process: those that it holds and may hold, no_new_privs, and its filters with those inherited of us.
PINNED = {
    "dynod": (bits(*ROOT_CAPABILITIES), "0", 1),
    "dynod-supervisor": (0, "1", 2),
    "dynod-logger": (0, "1", 2),
    "dynod-unpacker": (0, "1", 2),
    "dyno-init": (0, "1", 2),
    "app": (0, "1", 2),
    # Forked before dynod loads its own filter, and does nothing but be there.
    "dynod-keeper": (0, "1", 0),
    # Those that end soon. Before dynod loads its own filter: ruleset, guards and scope.
    "dynod-firewall": (bits("NET_ADMIN"), "1", 0),
    "dynod-guards": (bits("BPF", "PERFMON"), "1", 1),
    "dynod-scope": (bits("SETUID", "SETGID", "SETPCAP", "KILL"), "1", 0),
    "sweeper": (0, "1", 2),  # dynod-unpacker, of another uid and without an archive
    "exec-init": (0, "1", 2),  # dyno-init again, for ps:exec
    "exec": (0, "1", 2),
}
ROOTS = ("dynod", "dynod-firewall", "dynod-guards", "dynod-scope")
# Not without systemd, the kernel's security module bpf, or scratch on a disk.
GUEST = ("dynod-keeper", "dynod-guards", "dynod-scope", "sweeper")
ALL = [pytest.param(name, marks=pytest.mark.vm) if name in GUEST else name for name in PINNED]
# Which program each is, where the name does not say it.
PROGRAMS = {"sweeper": "dynod-unpacker", "exec-init": "dyno-init", "dynod-keeper": "dynod-scope"}


@functools.cache
def filters_of_unit():
    """How many the unit's settings load: of a process that is started with these and no others."""
    path = subprocess.run(["systemctl", "show", "-P", "FragmentPath", "dynod"], check=True, capture_output=True,
                          text=True).stdout.strip()
    text = re.sub(r"^(Type|Exec\w+|Restart\w*|RuntimeDirectory\w*|AppArmorProfile)=.*\n", "",
                  pathlib.Path(path).read_text(), flags=re.M)
    unit, seen = pathlib.Path("/run/systemd/system/filters-of-dynod.service"), pathlib.Path("/run/filters-of-dynod")
    unit.write_text(text.replace("[Service]\n", "[Service]\nType=oneshot\nExecStart=/bin/cat /proc/self/status\n"
                                 f"StandardOutput=truncate:{seen}\n"))
    try:
        for command in (["daemon-reload"], ["start", unit.name]):
            subprocess.run(["systemctl", *command], check=True, timeout=120)
        return int(re.search(r"^Seccomp_filters:\s*(\d+)$", seen.read_text(), re.M)[1])
    finally:
        unit.unlink()
        seen.unlink(missing_ok=True)
        subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=120)


def filters_of(daemon, pid):
    """Without those of whoever started dynod: the unit has some, a container may have one."""
    outer = filters_of_unit() if daemon.is_installed else int(status("self")["Seccomp_filters"])
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


def cgroup_of_all(daemon):
    if daemon.cgroup_root:
        return daemon.cgroup_root
    group = subprocess.run(["systemctl", "show", "-P", "ControlGroup", "dynod-dynos.scope"], check=True,
                           capture_output=True, text=True).stdout.strip()
    return pathlib.Path(f"/sys/fs/cgroup{group}")


@pytest.fixture(scope="module")
def idle(daemon, stack, tmp_path_factory):
    """A dyno, and the pid of its command."""
    archive = make_slug(tmp_path_factory.mktemp("slug") / "idle.tgz", {"Procfile": "idle: sleep 1000000\n"})
    daemon.ok("apps:create", "pinned", "--stack", stack)
    daemon.ok("deploy", archive, "-a", "pinned", timeout=120)
    daemon.ok("ps:scale", "idle=1", "-a", "pinned", timeout=120)
    wait_until(lambda: daemon.dyno("pinned", "idle.1")["state"] == "up", "idle.1 is up")
    dyno = daemon.dyno("pinned", "idle.1")
    children = pathlib.Path(f"/proc/{dyno['pid']}/task/{dyno['pid']}/children")
    yield dyno, int(wait_until(lambda: children.read_text().split(), "the command runs")[0])
    daemon.ok("apps:destroy", "pinned", "--confirm", "pinned", timeout=90)


@contextlib.contextmanager
def sweeping(daemon):
    """Pid of the process that removes what a dyno left, at a folder that the dyno made."""
    daemon.ok("run", "--detached", "-a", "pinned", "--", "sh", "-c", "mkdir /tmp/held; touch /tmp/held/it; exec sleep 1000000")
    dyno = next(dyno for dyno in daemon.dynos("pinned") if dyno["type"] == "run")
    folder = pathlib.Path(f"/proc/{dyno['pid']}/root/tmp/held")
    wait_until((folder / "it").exists, "the dyno has made its folder")
    with held_at(folder, daemon.prefix / "libexec/dynod/dynod-unpacker",
                 lambda: daemon.ok("ps:stop", dyno["name"], "-a", "pinned", timeout=90)) as pid:
        yield pid


@contextlib.contextmanager
def executing(daemon, dyno):
    """Pids of what joins a dyno, and of its command."""
    def joined():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # others end meanwhile
            found = [pid for pid in map(int, children_of(daemon.main_pid()))
                     if status(pid)["Uid"].split()[0] == str(dyno["uid"]) and pid != dyno["pid"]]
            return [(pid, int(child)) for pid in found for child in children_of(pid)
                    if pathlib.Path(f"/proc/{child}/comm").read_text() == "sleep\n"]
        return []
    with subprocess.Popen([str(daemon.herokuctl), "ps:exec", dyno["name"], "-a", "pinned", "--no-tty", "--", "sleep",
                           "1000000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)}) as client:
        try:
            [pids] = wait_until(joined, "the command runs in the dyno")
            yield pids
            os.kill(pids[1], signal.SIGKILL)
            client.wait(60)
        finally:
            client.kill()


def children_of(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@contextlib.contextmanager
def soon_over(daemon, name):
    """Pid of a child of root's that runs at each start, where it opens something and has dropped what it drops."""
    path = {"dynod-firewall": "/etc/iproute2/rt_realms", "dynod-guards": "/sys/kernel/btf/vmlinux",
            "dynod-scope": cgroup_of_all(daemon) / "keeper/cgroup.events"}[name]
    with held_at(path, daemon.prefix / "libexec/dynod" / name, daemon.restart) as pid:
        yield pid


@contextlib.contextmanager
def one_of(daemon, idle, name):
    """Pid and uid of a process of that kind."""
    dyno, command = idle
    if name == "dynod":
        yield daemon.main_pid(), 0
    elif name == "dynod-unpacker":
        with waiting_unpacker(daemon, "pinned") as pid:
            yield pid, int(status(pid)["Uid"].split()[0])
    elif name == "dynod-keeper":
        [pid] = (cgroup_of_all(daemon) / "keeper/cgroup.procs").read_text().split()
        yield int(pid), daemon.uid_base() + 4
    elif name == "sweeper":
        with sweeping(daemon) as pid:
            yield pid, daemon.uid_base() + 2
    elif name in ("exec-init", "exec"):
        with executing(daemon, dyno) as pids:
            yield pids[name == "exec"], dyno["uid"]
    elif name in ROOTS:
        with soon_over(daemon, name) as pid:
            yield pid, 0
    elif name in ("dyno-init", "app"):
        yield dyno["pid"] if name == "dyno-init" else command, dyno["uid"]
    else:
        pids = wait_until(lambda: daemon.pids_of(name), f"{name} runs")
        yield pids[0], id_of(daemon, name.removeprefix("dynod-") + "_user")


def mapped(pid):
    """Libraries, without version: libelf's is before the suffix."""
    lines = (line.split(None, 5) for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines())
    files = {pathlib.Path(words[5]).name for words in lines if len(words) > 5 and ".so" in words[5]}
    return {re.sub(r"-\d+\.\d+$", "", file.split(".so")[0]) for file in files}


@dataclasses.dataclass
class Look:
    """What /proc said of a process."""
    uid: int  # that it must have
    status: dict
    filters: int
    label: str
    libraries: set
    descriptors: dict


@pytest.fixture(scope="module")
def look(daemon, idle):
    """look(name): of one process of each kind. Once, for some are there only while dynod starts, and a
    dynod that took over what runs holds other descriptors than one that started it."""
    @functools.cache
    def once(name):
        with one_of(daemon, idle, name) as (pid, uid):
            label = pathlib.Path(f"/proc/{pid}/attr/apparmor/current")
            return Look(uid, status(pid), filters_of(daemon, pid), label.read_text().strip() if daemon.is_installed else "",
                        mapped(pid), settled(daemon, pid, name))
    return once


@pytest.mark.parametrize("name", ALL)
def test_process_has_what_is_pinned(look, name):
    held, no_new_privs, filters = PINNED[name]
    held &= int(status("self")["CapBnd"], 16)  # a container may have given us less
    seen = look(name)
    facts = seen.status
    assert set(facts["Uid"].split()) == {str(seen.uid)}
    assert seen.uid != 0 or name in ROOTS
    assert {kind: int(facts[kind], 16) for kind in SETS} == \
        {"CapInh": 0, "CapPrm": held, "CapEff": held, "CapBnd": held, "CapAmb": 0}
    assert (facts["NoNewPrivs"], seen.filters) == (no_new_privs, filters)
    if filters:
        assert facts["Seccomp"] == "2"
    if name not in ROOTS:
        assert facts["Groups"].split() in ([], [facts["Gid"].split()[0]])
        assert "0" not in facts["Gid"].split()


@pytest.mark.vm
@pytest.mark.parametrize("name", PINNED)
def test_process_has_its_label(look, name):
    profile = {"sweeper": "dynod-unpacker", "dynod-keeper": "dynod"}.get(name, name)
    if name in ("dyno-init", "app", "exec-init", "exec"):
        profile = "dynod-dyno"
    elif name in ROOTS:
        profile = "dynod"
    assert look(name).label == f"{profile} (enforce)"


@pytest.mark.parametrize("name", [one for one in ALL if one not in ("app", "exec")])
def test_process_has_mapped_what_is_agreed(look, name):
    """Whatever way a library came in: by a plug-in of the C library's, or by another one."""
    program = PROGRAMS.get(name, name)
    named, brought = LIBRARIES[next(path for path in LIBRARIES if path.endswith(f"/{program}"))]
    assert without_libc(look(name).libraries) == named | brought


def is_read_only(pid, path):
    return os.statvfs(f"/proc/{pid}/root{path}").f_flag & os.ST_RDONLY != 0


def test_logger_has_no_network_and_sees_no_other_state(daemon):
    pid = daemon.pids_of("dynod-logger")[0]
    for kind in ("net", "ipc"):
        assert os.stat(f"/proc/{pid}/ns/{kind}").st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino
    assert is_read_only(pid, daemon.state_dir) and not is_read_only(pid, daemon.state_dir / "logs")
    seen = os.listdir(f"/proc/{pid}/root{daemon.state_dir}")
    assert seen == ["logs"], seen


def test_supervisor_sees_only_its_own_state(daemon):
    pid = daemon.pids_of("dynod-supervisor")[0]
    seen = os.listdir(f"/proc/{pid}/root{daemon.state_dir}")
    assert seen == ["supervisor"], seen
    assert is_read_only(pid, daemon.state_dir) and not is_read_only(pid, daemon.state_dir / "supervisor")


def test_files_have_the_modes_of_the_documents(daemon):
    for path, mode in ((daemon.socket, 0o660), (daemon.state_dir, 0o700),
                       (daemon.state_dir / "supervisor", 0o700), (daemon.state_dir / "logs", 0o700)):
        assert path.stat().st_mode & 0o7777 == mode, path


O_PATH = 0o10000000  # linux/fcntl.h
STANDARD = ("stdin", "stdout", "stderr")


def place_of(daemon, target):
    """A path below one of the instance's folders, with dynos and imports under no name of their own."""
    for name, folder in (("STATE", daemon.state_dir), ("RUN", daemon.run_dir), ("PREFIX", daemon.prefix),
                         ("CGROUP", daemon.cgroup_root or cgroup_of_all(daemon))):
        if target == str(folder) or target.startswith(f"{folder}/"):
            target = name + target[len(str(folder)):]
            break
    target = re.sub(r"idle\.1-[0-9a-f]{6}", "DYNO", target)
    target = re.sub(r"^STATE/logs/\d+", "STATE/logs/APP", target)
    return re.sub(r"^STATE/tmp/[^/]+", "STATE/tmp/IMPORT", target)


def descriptors(daemon, pid):
    """What a process has open: how many of each kind and access mode."""
    held = collections.Counter()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
            info = (link.parent.parent / "fdinfo" / link.name).read_text()
        except FileNotFoundError:
            continue  # closed meanwhile
        flags = int(info.split("flags:")[1].split()[0], 8)
        mode = "path" if flags & O_PATH else ("r", "w", "rw")[flags & os.O_ACCMODE]
        kind = place_of(daemon, target.removesuffix(" (deleted)"))
        if not kind.startswith(("/", "anon_inode:")) and ":[" in kind:
            kind = kind.split(":")[0]
        number = int(link.name)
        if number <= 2:
            kind = f"{STANDARD[number]} {kind}"
            if kind.endswith((" socket", "/dynod.log")):  # of the journal, or of the test's
                held[f"{STANDARD[number]} LOG"] += 1
                continue
        held[f"{kind} {mode}"] += 1
    return held


SERVICE = {"stdin /dev/null r": 1, "stdout LOG": 1, "stderr LOG": 1}
FIFO_APP, FIFO_LOG = "RUN/dynos/DYNO/app", "RUN/dynos/DYNO/log"
# While one dyno runs and nobody is connected; of dynod's see below.
DESCRIPTORS = {
    "dynod-supervisor": {
        **SERVICE, "CGROUP r": 1, "RUN/supervisor r": 1, "STATE/supervisor/dynod.db rw": 1,
        "STATE/supervisor/dynod.db-shm rw": 1, "STATE/supervisor/dynod.db-wal rw": 1,
        "anon_inode:[eventpoll] rw": 1, "anon_inode:[signalfd] rw": 1, "anon_inode:[timerfd] rw": 2,
        "pipe r": 1, "socket rw": 3},
    "dynod-logger": {
        **SERVICE, "RUN/dynos r": 1, f"{FIFO_APP} r": 1, f"{FIFO_LOG} r": 1, "STATE/logs r": 1,
        "STATE/logs/APP r": 1, "STATE/logs/APP/history.1 rw": 1, "STATE/logs/APP/DYNO.app rw": 1,
        "STATE/logs/APP/DYNO.log rw": 1, "anon_inode:[eventpoll] rw": 1, "anon_inode:[signalfd] rw": 1,
        "pipe r": 1, "anon_inode:inotify r": 1, "socket rw": 1},
    "dynod-unpacker": {
        "stdin /dev/null rw": 1, "stdout /dev/null rw": 1, "stderr /dev/null rw": 1,
        "STATE/tmp/IMPORT/archive w": 1, "pipe r": 1, "pipe w": 1, "socket rw": 1},
    "dyno-init": {
        "stdin /dev/null rw": 1, f"stdout {FIFO_LOG} rw": 1, f"stderr {FIFO_LOG} rw": 1, "/dev/null rw": 2,
        "/memfd:dyno-spec rw": 1, f"{FIFO_APP} rw": 1, f"{FIFO_LOG} rw": 1, f"{FIFO_LOG} w": 1,
        f"{FIFO_APP} w": 1, "RUN/dynos/DYNO/status rw": 1, "anon_inode:[signalfd] rw": 1, "pipe r": 3, "pipe w": 1},
    "app": {"stdin /dev/null r": 1, "stdout pipe w": 1, "stderr pipe w": 1},
    "dynod-keeper": {},
    "dynod-firewall": {"stdin /memfd:ruleset rw": 1, "stdout LOG": 1, "stderr LOG": 1},
    "dynod-guards": {**SERVICE, "CGROUP r": 1, "anon_inode:bpf-map rw": 1},
    "dynod-scope": {**SERVICE, "pipe w": 1, "socket rw": 1},
    # The host's /dev is gone from under them.
    "sweeper": {"stdin /null rw": 1, "stdout /null rw": 1, "stderr /null rw": 1, "/ path": 1, "/ r": 1, "/tmp r": 1},
    "exec-init": {
        "stdin /dev/null rw": 1, "stdout /dev/null rw": 1, "stderr /dev/null rw": 1, "/dev/null rw": 4,
        "/memfd:dyno-spec rw": 1, "anon_inode:[signalfd] rw": 1, "pipe r": 2, "socket rw": 1},
    "exec": {"stdin pipe r": 1, "stdout pipe w": 1, "stderr pipe w": 1},
}


def descriptors_of_root(daemon):
    """With what each slot has, ready or in use, and what it follows systemd's scope and scratch by."""
    slots = int(daemon.configured("pool")) + 1
    held = {
        **SERVICE, "/memfd:dynod-config rw": 1, f"/run/dynod.instances/{daemon.instance} rw": 1, "CGROUP r": 1,
        "CGROUP/DYNO r": 1, "PREFIX/libexec/dynod/dyno-init path": 1, "PREFIX/libexec/dynod/dynod-unpacker path": 2,
        "RUN r": 1, "RUN/.sandbox path": 1, "RUN/dynos r": 1, f"{FIFO_APP} rw": 1, f"{FIFO_LOG} rw": 1,
        "RUN/dynos/DYNO/status rw": 1, "RUN/policies r": 1, "STATE r": 2, "STATE/archives r": 1, "STATE/boot r": 1,
        "STATE/lock rw": 1, "STATE/slugs r": 1, "STATE/stacks r": 1, "STATE/tmp r": 1,
        "anon_inode:bpf-map rw": 2, "anon_inode:bpf-prog rw": 3, "anon_inode:inotify r": 1,
        "anon_inode:[eventpoll] rw": 3, "anon_inode:[signalfd] rw": 1,
        "pipe r": 2, "pipe w": 2, "anon_inode:[pidfd] rw": 3, "socket rw": 11,
        "net r": slots + 1, "user r": 2 * slots + 1}
    if daemon.is_installed:
        held |= {"CGROUP/keeper/cgroup.events r": 1, "STATE/scratch/fs/dynod r": 1,
                 "STATE/scratch/fs/dynod/.trash r": 1}
    else:
        held["stdin /dev/null rw"] = held.pop("stdin /dev/null r")  # the test's own
    return held


def settled(daemon, pid, name):
    """As they are when clients and what they began have gone: soon those that are wanted, or what differs."""
    seen = {}

    def is_as_wanted():
        seen.clear()
        seen.update(descriptors(daemon, pid))
        return seen == wanted_descriptors(daemon, name)
    try:
        wait_until(is_as_wanted, "its descriptors are as pinned", 10)
    except AssertionError:
        pass  # the difference says more
    return seen


def wanted_descriptors(daemon, name):
    return descriptors_of_root(daemon) if name == "dynod" else DESCRIPTORS[name]


@pytest.mark.parametrize("name", ALL)
def test_process_holds_the_descriptors_of_its_work(daemon, look, name):
    """All of them, by kind, access mode and number."""
    assert look(name).descriptors == wanted_descriptors(daemon, name)
