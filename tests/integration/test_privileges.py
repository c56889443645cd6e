# SPDX-License-Identifier: Apache-2.0
"""Each process holds the privileges that the documents give it, and links what they name."""

import os
import pathlib
import struct

import pytest

from dynod_testing import wait_until

# Sonames that each program may need; the C library and the loader need no mention.
LIBRARIES = {
    "sbin/dynod": {"libseccomp", "libapparmor", "libcap", "libnl-3", "libnl-route-3", "libmnl", "libnftnl"},
    "libexec/dynod/dynod-supervisor": {"libseccomp", "libsystemd", "libsqlite3"},
    "libexec/dynod/dynod-logger": {"libseccomp"},
    "libexec/dynod/dynod-unpacker": {"libseccomp", "libarchive", "libisal", "libnettle"},
    "libexec/dynod/dynod-firewall": {"libnftables"},
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


@pytest.mark.parametrize("name", ["dynod-supervisor", "dynod-logger"])
def test_service_process_holds_nothing(daemon, name):
    pids = daemon.pids_of(name)
    assert len(pids) == 1
    facts = status(pids[0])
    for capability_set in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"):
        assert int(facts[capability_set], 16) == 0, capability_set
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    assert "0" not in facts["Uid"].split()
    assert facts["Groups"].split() in ([], [facts["Gid"].split()[0]])


def test_root_process_is_bounded_and_filtered(daemon):
    facts = status(daemon.main_pid())
    held = int(facts["CapPrm"], 16)
    # CAP_SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, AUDIT_CONTROL, MAC_ADMIN, SYSLOG, NET_RAW
    for capability in (16, 17, 22, 25, 30, 33, 34, 13):
        assert not held & (1 << capability), capability
    assert facts["Seccomp"] == "2"


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


@pytest.mark.native
def test_processes_hold_the_descriptors_of_their_work(daemon):
    state, run = daemon.state_dir, daemon.run_dir
    for name, kinds, folders in (
            ("dynod-supervisor", LOOP, (state / "supervisor", run / "supervisor", daemon.cgroup_root)),
            ("dynod-logger", LOOP | {"pipe", "anon_inode:inotify"}, (state / "logs", run / "dynos")),
            ("dynod", LOOP | {"pipe", "memfd", "anon_inode:inotify", "anon_inode:[pidfd]", "anon_inode:bpf-map",
                              "anon_inode:bpf-prog", "net", "user", "mnt"},
             (state, run, daemon.cgroup_root, daemon.prefix / "libexec", "/run/dynod.instances"))):
        pid = daemon.main_pid() if name == "dynod" else \
            wait_until(lambda name=name: daemon.pids_of(name), f"{name} runs")[0]
        held, paths = descriptors(pid)
        assert held <= kinds, (name, held - kinds)
        assert not outside(paths, *folders), (name, outside(paths, *folders))
