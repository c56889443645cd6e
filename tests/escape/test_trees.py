# SPDX-License-Identifier: Apache-2.0
"""Stacks and slugs whose folders and files are links, files, traps where dynod mounts and reads.

Root mounts into these trees: a link that it followed would put a file of the dyno over one of
the host's, or one of the host's into the dyno. CVE-2021-30465, CVE-2025-31133, CVE-2025-52881.
"""

import io
import os
import pathlib
import stat
import tarfile
import tempfile

import pytest

LOOK = pathlib.Path(os.environ.get("DYNOD_BUILD", "build")) / "tests/escape/look"
CHAIN = 60  # beyond the 40 that the kernel follows

# Everything that root mounts, and what of the host's could be behind it.
SEEN = ["/etc/hosts", "/etc/passwd", "/etc/group", "/etc/hostname", "/etc/resolv.conf", "/tmp", "/var/tmp",
        "/dev/null", "/dev/pts", "/dev/shm", "/proc/self/comm", "/proc/sys/kernel/ostype", "/proc/interrupts",
        "/sys/fs/cgroup/cgroup.procs", "/sys/kernel", "/app/Procfile", "/etc/shadow"]


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


def folder(name, mode=0o755):
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def file(name, data=b"of the stack\n", mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    return info, data


def archive(path, entries):
    with tarfile.open(path, "w") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return path


def stack(path, *entries):
    """A stack of one program, with @entries before it."""
    have = {info.name.split("/")[0] for info, _ in entries}
    rest = [folder(name) for name in ("usr", "usr/bin", "etc", "var") if name.split("/")[0] not in have]
    return archive(path, [*rest, *entries, file("usr/bin/bash", LOOK.read_bytes(), 0o755)])


@pytest.mark.parametrize("entries", [
    [link(name, target)] for name in ("app", "dev", "proc", "sys", "tmp", "var", "etc")
    for target in ("/etc", "../../../../etc", ".")
] + [
    [file(name)] for name in ("app", "dev", "proc", "sys", "tmp")
] + [
    [folder("etc"), folder("etc/hosts"), file("etc/hosts/inside")],
    [folder("etc"), folder("etc/passwd"), file("etc/passwd/inside")],
    [folder("var"), file("var/tmp")],
    [link("usr", "/proc/self/root"), folder("usr/bin")],
], ids=lambda entries: f"{entries[0][0].name}-{entries[-1][0].linkname or entries[-1][0].name}".replace("/", "_"))
@pytest.mark.twice  # by the unpacker's rules, before anything is mounted
def test_refused(daemon, tmp_path, entries):
    name = "trap-" + os.urandom(3).hex()
    assert "trap.tar" in daemon.refused("stacks:import", name, stack(tmp_path / "trap.tar", *entries))
    assert name not in daemon.ok("stacks")


TRAPS = {
    "files-are-links": [folder("etc"), *[link(f"etc/{name}", "/etc/shadow") for name in (
        "hosts", "passwd", "group", "hostname", "resolv.conf")]],
    "files-are-links-upwards": [folder("etc"), *[link(f"etc/{name}", "../" * 20 + "etc/shadow") for name in (
        "hosts", "passwd", "group", "hostname", "resolv.conf")]],
    "files-are-magic-links": [folder("etc"), *[link(f"etc/{name}", "/proc/1/root/etc/shadow") for name in (
        "hosts", "passwd", "group", "hostname", "resolv.conf")]],
    "files-are-links-to-descriptors": [folder("etc"), *[
        link(f"etc/{name}", f"/proc/self/fd/{fd}") for fd in range(3, 8)
        for name in [("hosts", "passwd", "group", "hostname", "resolv.conf")[fd - 3]]]],
    "files-are-empty-folders": [folder("etc"), folder("etc/hosts"), folder("etc/passwd"), folder("etc/resolv.conf")],
    "files-are-chains": [folder("etc"), link("etc/hosts", "chain0"), *[
        link(f"etc/chain{i}", f"chain{i + 1}") for i in range(CHAIN)], link(f"etc/chain{CHAIN}", "/etc/shadow")],
    "files-are-loops": [folder("etc"), link("etc/hosts", "hosts"), link("etc/passwd", "group"),
                        link("etc/group", "passwd")],
    "var-tmp-is-a-link": [folder("var"), link("var/tmp", "/etc")],
    "var-tmp-is-a-link-upwards": [folder("var"), link("var/tmp", "../../../../../etc")],
    "var-tmp-is-itself": [folder("var"), link("var/tmp", "tmp")],
    "folders-are-closed": [folder("var"), folder("var/tmp", 0), folder("tmp", 0), folder("dev", 0),
                           folder("proc", 0), folder("sys", 0), folder("app", 0)],
    "proc-is-there-before": [folder("proc"), folder("proc/self"), file("proc/self/comm"), folder("proc/sys"),
                             folder("proc/sys/kernel"), file("proc/sys/kernel/ostype"),
                             link("proc/interrupts", "/etc/shadow")],
    "dev-is-there-before": [folder("dev"), file("dev/null"), link("dev/pts", "/etc"), link("dev/shm", "/etc"),
                            link("dev/fd", "/etc"), link("dev/ptmx", "/etc/shadow")],
    "sys-is-there-before": [folder("sys"), link("sys/fs", "/etc"), folder("sys/kernel"), file("sys/kernel/mine")],
    "app-is-there-before": [folder("app"), file("app/Procfile"), link("app/.profile", "/etc/shadow")],
    "top-links-into-proc": [link("run", "/proc/1/root"), link("lib", "/proc/self/cwd"), link("mnt", "/proc/self/fd")],
}


@pytest.fixture
def trapped(daemon, tmp_path, request):
    """An app on a stack with that trap."""
    name = "trap-" + os.urandom(3).hex()
    daemon.ok("stacks:import", name, stack(tmp_path / "trap.tar", *TRAPS[request.param]), timeout=120)
    daemon.ok("apps:create", name, "--stack", name)
    slug = archive(tmp_path / "slug.tar", [folder("./app"), file("./app/Procfile", b"look: x\n"),
                                           link("./app/.profile.d", "/etc"), link("./app/.profile", "/proc/1/environ")])
    daemon.ok("deploy", slug, "-a", name, timeout=120)
    yield name
    daemon.ok("apps:destroy", name, "--confirm", name, timeout=90)
    daemon.ok("stacks:remove", name, timeout=90)


def fingerprints():
    """Of what the traps lead to on the host."""
    files = ["/etc/shadow", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/null"]
    found = {path: os.stat(path) for path in files if os.path.exists(path)}
    return ({path: (st.st_ino, st.st_mode, st.st_uid, st.st_size, st.st_mtime_ns) for path, st in found.items()},
            sorted(os.listdir("/etc")), pathlib.Path("/proc/self/mountinfo").read_text(encoding="ascii"))


# Whatever has a name in /app and /tmp is something else in the next moment, and far too deep.
SWAPPER = """
import ctypes, os
os.chdir("/tmp")
for folder in ("/tmp", "/app"):
    os.chdir(folder)
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
os.chdir("/app")
os.mkdir("real")
for n, target in enumerate(("/", "/etc", "/proc/1/root", "/proc/self/fd", "..", "/dev", "loop")):
    os.symlink(target, f"link{n}")
print("swapping", flush=True)
rename = ctypes.CDLL(None).renameat2
while True:
    for n in range(7):
        rename(-100, b"real", -100, b"link%d" % n, 2)  # RENAME_EXCHANGE
        rename(-100, b"Procfile", -100, b"link%d" % n, 2)
        rename(-100, b"real", -100, b"link%d" % n, 2)
        rename(-100, b"Procfile", -100, b"link%d" % n, 2)
    os.chmod("/app", 0)
    os.chmod("/app", 0o755)
"""


@pytest.mark.twice  # a race, of which the host has many more rounds
def test_names_that_change_all_the_time(daemon, app, tmp_path):
    """While others join, while dynod is killed and takes over, and while it is torn down."""
    slug = archive(tmp_path / "slug.tar", [folder("./app"), file("./app/Procfile", b"swapper: exec python3 swap.py\n"),
                                           file("./app/swap.py", SWAPPER.encode())])
    before = fingerprints()
    daemon.ok("deploy", slug, "-a", app, timeout=120)
    daemon.ok("ps:scale", "swapper=1", "-a", app, timeout=120)
    daemon.wait_log(app, "swapping", 60)
    pid = daemon.dyno(app, "swapper.1")["pid"]
    for _ in range(10):
        done = daemon.exec(app, "swapper.1", "sh", "-c", "cd /; pwd; ls /etc/debian_version")
        # /app is closed every other moment, for its own user.
        assert (done.returncode, done.stdout) in ((0, "/\n/etc/debian_version\n"), (126, "")), done
    daemon.kill_process("dynod")
    assert daemon.dyno(app, "swapper.1")["pid"] == pid, "taken over"
    daemon.ok("ps:inspect", "swapper.1", "-a", app)
    daemon.ok("ps:restart", "swapper.1", "-a", app, timeout=90)
    daemon.ok("ps:scale", "swapper=0", "-a", app, timeout=90)
    assert fingerprints()[:2] == before[:2]


# What a launcher that takes names as they are mounts over, writes to, or leaves as it found it.
FOLDERS = ["/tmp", "/var/tmp", "/dev", "/dev/pts", "/dev/shm", "/proc", "/sys", "/sys/fs", "/app", "/run", "/lib", "/mnt"]
FILES = ["/etc/hosts", "/etc/passwd", "/etc/group", "/etc/hostname", "/etc/resolv.conf", "/dev/null", "/dev/ptmx",
         "/dev/fd", "/proc/interrupts", "/app/Procfile", "/app/.profile"]


def fall(tree):
    """What becomes of a launcher without precautions in that tree: a line for each step that fails."""
    fallen = []
    for path in FOLDERS + FILES:
        try:
            fd = os.open(f"{tree}{path}", os.O_PATH)
        except FileNotFoundError:
            continue  # it would make it
        except OSError as e:
            fallen.append(f"{path}: {e.strerror}")
            continue
        where, st = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd)
        os.close(fd)
        if where != str(tree) and not where.startswith(f"{tree}/"):
            fallen.append(f"{path}: leads to {where}")
        elif stat.S_ISDIR(st.st_mode) != (path in FOLDERS):
            fallen.append(f"{path}: is of another kind")
        elif stat.S_ISDIR(st.st_mode) and st.st_mode & 0o777 == 0:
            fallen.append(f"{path}: is closed")
        elif path.startswith(("/proc/", "/dev/", "/sys/", "/app/")):
            fallen.append(f"{path}: is there already")
    return fallen


@pytest.mark.parametrize("name", ["none", *TRAPS])
def test_control_trap_catches_a_careless_launcher(tmp_path, name):
    # Not deep down: a trap that leads upwards goes as far as a store is.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as tree, \
            tarfile.open(stack(tmp_path / "trap.tar", *TRAPS.get(name, [folder("app"), folder("tmp")]))) as tar:
        tar.extraction_filter = lambda member, _: member  # newer ones of Python would help
        tar.extractall(tree)
        assert bool(fall(tree)) == (name in TRAPS), fall(tree)


@pytest.mark.parametrize("trapped", TRAPS, indirect=True)
def test_trap_catches_nobody(daemon, trapped):
    before = fingerprints()
    done = daemon.run(trapped, " ".join(SEEN), timeout=90)
    assert fingerprints() == before
    seen = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith("/"))
    assert len(seen) == len(SEEN), done.stdout + done.stderr

    # dynod's own, whatever the stack had in their place.
    assert "127.0.0.1 localhost" in seen["/etc/hosts"] and "|::1 localhost" in seen["/etc/hosts"]
    assert "u10000:x:10000:10000" in seen["/etc/passwd"] and "u10000:x:10000" in seen["/etc/group"]
    assert seen["/etc/resolv.conf"].startswith("file ") and "nameserver" in seen["/etc/resolv.conf"]
    assert seen["/etc/hostname"].startswith("file ")
    assert seen["/tmp"].startswith("folder 1777") and seen["/var/tmp"].startswith("folder 1777")
    assert seen["/dev/null"].startswith("other 666") and seen["/dev/pts"].startswith("folder")
    assert seen["/dev/shm"].startswith("folder 1777")
    assert '"bash|"' in seen["/proc/self/comm"] and '"Linux|"' in seen["/proc/sys/kernel/ostype"]
    assert '""' in seen["/proc/interrupts"] or "EACCES" in seen["/proc/interrupts"]
    assert seen["/sys/fs/cgroup/cgroup.procs"].startswith("file") and seen["/sys/kernel"] == "ENOENT"
    assert '"look: x|"' in seen["/app/Procfile"]
    assert seen["/etc/shadow"] == "ENOENT"
    assert "root:" not in seen["/etc/passwd"].replace("root:x:0:0:", "")
