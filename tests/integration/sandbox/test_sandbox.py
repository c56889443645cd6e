# SPDX-License-Identifier: Apache-2.0
"""The launch path alone: a probe in dyno-init's place says what a dyno is like inside.

Needs root and DYNOD_BUILD. No daemon, no real stack: sandbox_driver links the room.
"""

import os
import pathlib
import re
import signal
import subprocess

import pytest

from sandbox_lab import DYNO, UID_BASE, Lab, open_to_all

@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    build = os.environ.get("DYNOD_BUILD")
    if not build:
        pytest.exit("DYNOD_BUILD names no build folder", 4)
    work = tmp_path_factory.mktemp("sandbox")
    open_to_all(work)
    lab = Lab(work, pathlib.Path(build))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def facts(lab):
    return lab.drive("run", "facts")


def status_of(facts):
    return dict(line.split(":\t", 1) for line in facts["status"].split("|") if ":\t" in line)


def test_launch_leaves_nothing(facts):
    assert (facts["exit"], facts["populated"], facts["removed"]) == ("0", "0", "0")


def test_identity(facts):
    assert facts["pid"] == "1"
    assert facts["ids"] == "10000:10000"
    assert facts["umask"] == "022"
    assert facts["cwd"] == "/app"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
                        facts["host"])
    assert facts["hostname"] == facts["host"] + "|"
    assert facts["fds"].split() == [str(fd) for fd in range(10)]


def test_groups_of_dynod_stay_behind(lab, facts):
    """Of a daemon that has some, as one has that somebody starts from a shell."""
    told = lab.drive("run", "facts", by=["setpriv", "--groups", "4,27"])
    assert status_of(told)["Groups"] == status_of(facts)["Groups"]


def test_user_namespace(facts):
    wanted = [["0", str(UID_BASE), "1"], ["10000", str(DYNO), "1"]]
    assert [line.split() for line in facts["uid_map"].strip("|").split("|")] == wanted
    assert [line.split() for line in facts["gid_map"].strip("|").split("|")] == wanted
    assert facts["projid_map"].split() == ["4294967294", "4294967294", "1|"]
    assert facts["setgroups"] == "deny|"
    assert status_of(facts)["Groups"].strip() == ""
    assert facts["setuid_0"] == "EPERM"


def test_capabilities_and_no_new_privs(facts):
    status = status_of(facts)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert facts["securebits"] == "0xef"
    assert status["NoNewPrivs"] == "1"


def test_seccomp(facts):
    status = status_of(facts)
    assert status["Seccomp"] == "2"
    for call in ("mount", "unshare_user", "setns", "chroot", "bpf", "keyctl", "io_uring", "ptrace",
                 "userfaultfd", "reboot", "ioctl_tiocsti", "ioctl_tiocsti_high", "prlimit_other",
                 "personality", "clone_newuser"):
        assert facts[call] == "EPERM", call
    for call in ("unknown_call", "clone3"):
        assert facts[call] == "ENOSYS", call
    for call in ("socket_unix", "socket_inet", "socket_route", "prlimit_self"):
        assert facts[call] == "0", call
    for call in ("socket_packet", "socket_vsock", "socket_alg"):
        assert facts[call] == "EAFNOSUPPORT", call
    for call in ("socket_netfilter", "socket_sctp"):
        assert facts[call] == "EPROTONOSUPPORT", call
    if os.uname().machine == "x86_64":
        assert facts["x32"] == f"signal {int(signal.SIGSYS)}"
        # A kernel without 32-bit calls ends it before the filter; tests/escape knows one that has them.
        assert facts["i386"] in (f"signal {int(signal.SIGSYS)}", f"signal {int(signal.SIGSEGV)}")


def test_only_known_mounts(facts, lab):
    lines = [line.split() for line in facts["mountinfo"].strip("|").split("|")]
    points = [line[4] for line in lines]
    assert len(points) == len(set(points))
    assert {"/", "/app", "/tmp", "/var/tmp", "/dev", "/dev/pts", "/dev/shm", "/proc", "/proc/sys",
            "/sys", "/sys/devices/system/cpu", "/sys/fs/cgroup", "/sys/fs/cgroup/memory",
            "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname",
            "/etc/resolv.conf"} <= set(points)
    for line in lines:
        assert "nosuid" in line[5], line
        assert "shared:" not in " ".join(line) and "master:" not in " ".join(line), line
        if line[4] not in ("/app", "/tmp", "/var/tmp", "/dev/pts", "/dev/shm", "/proc"):
            assert line[5].split(",")[0] == "ro", line
    assert not any(str(lab.work) in line[4] for line in lines)
    # Or its end would wait for what all others have not yet written to the disk.
    assert "volatile" in next(line[-1] for line in lines if line[4] == "/app")


def test_files(facts):
    for name in ("write_root", "write_etc", "write_dev", "write_sys", "write_sysctl",
                 "write_cgroup"):
        assert facts[name] in ("EROFS", "EACCES"), name
    assert facts["write_sysrq"] in ("EROFS", "EACCES", "ENOENT")  # not every kernel has it
    for name in ("write_app", "write_slug", "write_tmp", "write_var_tmp", "write_shm", "write_ptmx",
                 "write_null", "rename_dir"):
        assert facts[name] == "0", name
    assert facts["read_kcore"] in ("0", "EACCES", "ENOENT")
    assert facts["read_bus"] == "ENOENT"
    assert facts["kallsyms"] == "" and facts["sysrq"] in ("", "ENOENT", "EACCES")
    assert facts["app_owner"] == facts["slug_owner"] == "10000:10000"
    assert facts["etc_owner"] == "0:0"
    assert "u10000:x:10000:10000" in facts["passwd"]
    assert facts["hosts"].endswith(f"172.16.0.30 {facts['host']}|")
    assert facts["resolv_conf"] == "nameserver 9.9.9.9|"
    assert facts["memory_limit"] == "536870912|"
    assert facts["cpu_online"].startswith("0")
    assert facts["cgroup"].split("|")[0].startswith("0::/") or "0::/|" in facts["cgroup"]


def test_slug_is_untouched(facts, lab):
    assert facts["write_slug"] == "0"
    assert (lab.work / "slug/hello").read_text(encoding="ascii") == "world\n"
    assert (lab.work / "slug/dir/file").exists()
    assert (lab.work / "stack/tree/etc/passwd").read_text(encoding="ascii") == "of the stack\n"


def test_two_dynos_share_nothing_written(lab, facts):
    assert facts["write_app"] == "0"
    assert lab.drive("run", "facts")["write_app"] == "0"  # O_CREAT of a fresh file again


def test_limits(facts):
    limits = {line[:26].strip(): line[26:].split() for line in facts["limits"].split("|")}
    assert limits["Max processes"][:2] == ["256", "256"]
    assert limits["Max open files"][:2] == ["10000", "10000"]
    assert limits["Max core file size"][:2] == ["1", "1"]  # 0 would start the host's handler
    assert facts["forks"] == "255"  # and dyno-init itself


@pytest.mark.vm  # root of a container may not set it
def test_oom_killer_spares_dyno_init_and_nothing_of_the_app(facts):
    assert facts["oom_score_adj"] == "-1000|"
    assert (facts["oom_zero"], facts["oom_back"]) == ("0", "EACCES")


@pytest.mark.vm
def test_oom_killer_does_not_spare_who_joins(lab):
    """To leave that its command would be dumpable for a moment, beside an app that may write to it."""
    told = lab.drive("exec", "exec ")
    assert told["oom_score_adj"] == "0|"
    assert (told["oom_zero"], told["oom_back"]) == ("0", "EACCES")


def test_exit_status(lab):
    assert lab.drive("run", "exit 7")["exit"] == "7"


def test_inspect_and_adopt(lab):
    told = lab.drive("inspect")
    assert told["inspect"] == "0"
    for layer in ("namespaces", "user", "seccomp", "capabilities", "no_new_privs", "rootfs",
                  "network", "limits"):
        assert told[layer].startswith("ok"), (layer, told[layer])
    for layer in ("cgroup", "apparmor"):
        assert not told[layer].startswith("failed"), (layer, told[layer])
    # What each part of the read-back is for, seen by itself: a later one would stop the dyno, too.
    assert told["not_mapped"] == "maps other ids than its own and the stack's"
    assert told["with_groups"] == "has supplementary groups"
    assert told["with_projects"] == "maps projects of quotas"
    assert told["with_setgroups"] == "setgroups is not denied"
    assert told["not_in_group"] == "the process is not in the dyno's cgroup"
    assert told["of_host"] == "mnt is the host's"
    assert told["other_userns"] == "user is not the one made for this dyno"
    assert told["more_processes"] == "Max processes is 256, must be 255"
    assert told["less_scratch"].startswith("scratch has ") and told["fewer_files"].startswith("scratch has ")
    assert re.fullmatch(r"dyno-init is PID \d+ inside, must be 1", told["not_first"])
    assert (told["adopt"], told["adopt_pid"]) == ("0", "1")
    for name in ("adopt_other_uid", "adopt_self", "adopt_other_group", "adopt_other_process", "inspect_gone"):
        assert told[name] == "-3", (name, told[name])
    assert (told["killed"], told["removed"]) == ("137", "0")


@pytest.fixture(scope="module")
def told_apart(lab):
    """What the read-back says where one thing alone is not as it must be."""
    return lab.drive("one-by-one")


@pytest.mark.parametrize("name", ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"])
def test_read_back_knows_each_namespace_of_the_host(told_apart, name):
    assert told_apart[f"host_{name}"] == f"failed {name} is the host's"


def test_read_back_knows_the_dynos_own_network(told_apart):
    assert told_apart["other_netns"] == "failed not the namespace made for this dyno"


def test_read_back_compares_each_id_and_both_maps(told_apart):
    for i in range(8):
        user, group = (DYNO + 1, DYNO) if i < 4 else (DYNO, DYNO + 1)
        assert told_apart[f"id_{i}"] == f"failed runs as {user}:{group}, must be {DYNO}:{DYNO}"
    for name in ("other_uid_map", "other_gid_map"):
        assert told_apart[name] == "failed maps other ids than its own and the stack's"


def test_read_back_compares_each_limit_of_the_group(told_apart):
    """Of files that say what a group with every controller would."""
    whole = "web.1-7f3a9c: quota 512 MB, kill 1024 MB, pids 321, cpu.weight 100"
    assert told_apart["group"] == told_apart["group_swap"] == f"ok {whole}"
    for name in ("memory.max", "memory.oom.group", "cpu.weight", "pids.max"):
        assert told_apart[f"group_0_{name}"] == told_apart[f"group_1_{name}"] == f"failed {name} is not as asked for"
    assert told_apart["group_0_memory.swap.max"].startswith("ok ")  # the host has no swap
    assert told_apart["group_1_memory.swap.max"] == "failed memory.swap.max is not as asked for"
    assert told_apart["group_io.weight"] == "failed io.weight is not as asked for"
    assert told_apart["group_missing"] == "allowed web.1-7f3a9c, without limits: pids"
    assert told_apart["group_unread"] == "failed cannot be read back: Bad file descriptor"


def test_read_back_counts_filters(told_apart):
    assert re.fullmatch(r"failed (\d+) levels, must be (?!\1$)\d+", told_apart["less_filters"])
    assert re.fullmatch(r"failed (\d+) levels, must be (?!\1$)\d+", told_apart["more_filters"])
    # What an earlier dynod was started behind is not known.
    assert re.fullmatch(r"ok filter, \d+ levels, by an earlier dynod", told_apart["adopted_filters"])
    own = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    if "\nSeccomp:\t0\n" in own:
        assert told_apart["no_filter"] == "failed mode is 0, must be 2 (filter)"
    if "\nNoNewPrivs:\t0\n" in own:
        assert told_apart["privileges"] == "failed is not set"


def test_read_back_looks_at_each_set_of_capabilities(told_apart):
    for name in ("inheritable", "permitted", "bounding"):
        assert re.fullmatch(rf"failed {name} is [0-9a-f]{{16}}, must be empty", told_apart[name])


def may_raise_limits():
    own = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"CapEff:\t(\w+)", own)[1], 16) >> 24 & 1  # CAP_SYS_RESOURCE


@pytest.mark.parametrize("name, text, value", [
    ("processes", "Max processes", 256), ("files", "Max open files", 10000), ("core", "Max core file size", 1),
    ("memlock", "Max locked memory", 8 << 20), ("signals", "Max pending signals", 256),
    ("queues", "Max msgqueue size", 819200), ("nice", "Max nice priority", 0), ("realtime", "Max realtime priority", 0)])
def test_read_back_compares_each_limit(told_apart, name, text, value):
    for kind in ("hard", "soft"):
        # A container may let nobody have more.
        if told_apart[f"{kind}_{name}"] != "refused" or may_raise_limits():
            assert told_apart[f"{kind}_{name}"] == f"failed {text} is {value + 1}, must be {value}"


def test_read_back_lets_what_joins_have_more_processes(told_apart):
    """More processes, so that a dyno at its limit can be looked into."""
    assert told_apart["exec_processes"].startswith("ok ")
    assert told_apart["exec_more_processes"] == "failed Max processes is 322, must be 321"


def test_read_back_tells_of_a_soft_limit_that_is_less(told_apart):
    """No core at all would start the host's handler."""
    assert told_apart["none_core"] == "failed Max core file size is 0, must be 1"


def test_read_back_compares_each_mount(told_apart):
    assert told_apart["mounts"].startswith("ok ")
    for name, text in {"new": "/app/dir must not be mounted", "twice": "/dev/shm must not be mounted",
                       "writable": "/etc/hosts is not mounted as it must be",
                       "suid": "/tmp is not mounted as it must be", "shared": "/app is not mounted as it must be",
                       "gone": "/dev/shm is not mounted", "unreadable": "the mounts cannot be read",
                       "other_type": "/dev/shm is not mounted as it must be"}.items():
        assert told_apart[f"mount_{name}"] == told_apart[f"exec_mount_{name}"] == f"failed {text}"
    # A dyno's has all that this kernel has; since it started there may be more.
    assert told_apart["mount_masked"] == "failed /proc/cmdline is not mounted"
    assert told_apart["exec_mount_masked"].startswith("ok ")


def test_read_back_of_one_that_has_ended_tells_nothing(told_apart):
    assert told_apart["ended"] == "ESRCH"


def test_exec_is_confined_alike(lab, facts):
    told = lab.drive("exec", "exec ")
    assert told["exec_exit"] == "0"
    assert told["exec_gone"].startswith("-")
    assert told["pid"] != "1"
    # More processes than the app may have, so that one at its limit can be looked into.
    more = re.sub(r"(Max processes +)256( +)256", r"\g<1>321\g<2>321", facts["limits"])
    facts = facts | {"limits": more}
    for name in ("ids", "cwd", "securebits", "uid_map", "gid_map", "projid_map", "setgroups", "limits", "fds",
                 "write_root", "mount", "clone3", "clone_newuser", "unknown_call", "umask"):
        assert told[name] == facts[name], name
    inside, alone = status_of(told), status_of(facts)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
                 "Seccomp_filters", "Uid", "Gid", "Groups"):
        assert inside[name] == alone[name], name
    assert [line.split()[4] for line in told["mountinfo"].strip("|").split("|")] == \
        [line.split()[4] for line in facts["mountinfo"].strip("|").split("|")]


def test_process_that_joins_without_a_layer_is_refused(lab):
    told = lab.drive("exec-sabotaged", "exec ")
    assert (told["exec"], told["layer"]) == ("EPROTO", "seccomp")


@pytest.mark.parametrize("what,layer", [
    ("seccomp", "seccomp"), ("user", "user"), ("network", "namespaces"),
    ("namespaces", "user"), ("filter", "seccomp"), ("store", "store"), ("apparmor", "apparmor")])
def test_broken_layer_refuses_the_start(lab, what, layer):
    told = lab.drive("sabotage", what)
    assert told["launch"] != "0"
    assert told["layer"] == layer, told
    assert told["detail"]
    assert told["left"] == "-2"  # ENOENT: the cgroup is gone
    assert told["children"] == "0"


@pytest.mark.parametrize("name", ["proc", "tmp", "etc/hosts", "etc/resolv.conf"])
def test_link_in_the_stack_leads_no_mount_astray(lab, name):
    """The unpacker refuses or replaces those; should it fail, the start is refused."""
    path = lab.work / "stack/tree" / name
    aside = path.with_name(path.name + ".aside")
    path.rename(aside)
    path.symlink_to("/app")
    try:
        told = lab.drive("sabotage", "none")
    finally:
        path.unlink()
        aside.rename(path)
    assert (told["launch"], told["layer"]) == ("ELOOP", "rootfs"), told
    assert name in told["detail"]
    assert (told["left"], told["children"]) == ("-2", "0")


def test_link_of_others_in_the_network_namespace_refuses_the_start(lab):
    ip = ["nsenter", f"--net={lab.work}/net", "ip", "link"]
    subprocess.run([*ip, "add", "other", "type", "bridge"], check=True)
    try:
        told = lab.drive("sabotage", "none")
    finally:
        subprocess.run([*ip, "del", "other"], check=True)
    assert (told["launch"], told["layer"], told["detail"]) == ("EPROTO", "network", "other must not be there")


def test_missing_link_in_the_network_namespace_refuses_the_start(lab):
    ip = ["nsenter", f"--net={lab.work}/net", "ip", "link"]
    subprocess.run([*ip, "del", "eth0"], check=True)
    try:
        told = lab.drive("sabotage", "none")
    finally:
        subprocess.run([*ip, "add", "eth0", "type", "bridge"], check=True)
    assert (told["launch"], told["layer"], told["detail"]) == ("EPROTO", "network", "eth0 is missing")


def test_link_beside_the_stack_leads_to_no_file_of_the_host(lab, facts):
    """An unpacker that was taken over makes what it likes there."""
    secret = lab.work / "secret"
    secret.write_text("of the host\n", encoding="ascii")
    path = lab.work / "stack/passwd"
    aside = path.with_name("passwd.aside")
    path.rename(aside)
    path.symlink_to(secret)
    try:
        told = lab.drive("run", "facts")
    finally:
        path.unlink()
        aside.rename(path)
    assert told["passwd"] == "ENOENT" != facts["passwd"]


def test_missing_layer_is_refused_unless_allowed(lab):
    missing = [line for line in lab.drive("host").values() if line.startswith("allowed")]
    if not missing:
        return  # this kernel lacks nothing
    lab.config("")
    try:
        told = lab.drive("sabotage", "none")
    finally:
        lab.config("apparmor cgroup-memory cgroup-cpu cgroup-pids cgroup-io tc")
    assert told["launch"] == "ENOPROTOOPT"
    assert "missing" in told["detail"]
    assert (told["left"], told["children"]) == ("-2", "0")


def test_dynods_own_filter_is_inherited(lab, facts):
    told = lab.drive("run", "facts", CONFINE="1")
    assert int(status_of(told)["Seccomp_filters"]) == int(status_of(facts)["Seccomp_filters"]) + 1
    assert lab.drive("exec", "exec ", CONFINE="1")["exec_exit"] == "0"


def test_no_descriptor_leaks(lab):
    assert lab.drive("bench", "20")["fds_leaked"] == "0"
