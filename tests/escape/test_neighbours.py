# SPDX-License-Identifier: Apache-2.0
"""Two dynos of two apps on one stack: neither learns what the other opens, nor holds it up.

Whatever two dynos see through one inode tells each of them, by inotify(7), what the other
opens, and lets each lock it against the other.
"""

import contextlib
import ctypes
import json
import mmap
import os
import pathlib
import pty
import re
import subprocess

import pytest

from dynod_testing import make_slug, time_factor

ESCAPE = pathlib.Path(os.environ.get("DYNOD_BUILD", "build")) / "tests/escape/escape"
INSTALLED = os.environ.get("DYNOD_INSTALLED") == "1"

# Of every mount of a dyno one file or more. Of its own group dynod reads counters now and then.
FILES = ["/", "/usr", "/usr/bin", "/usr/bin/env", "/etc", "/etc/passwd", "/etc/group", "/etc/hosts",
         "/etc/hostname", "/etc/resolv.conf", "/etc/os-release", "/app", "/app/escape", "/tmp", "/var/tmp",
         "/dev", "/dev/null", "/dev/urandom", "/dev/pts", "/dev/shm", "/proc", "/proc/version",
         "/proc/sys/kernel/hostname", "/proc/fs", "/sys", "/sys/devices", "/sys/fs", "/sys/fs/cgroup/cgroup.type",
         "/sys/fs/cgroup/memory/memory.limit_in_bytes"]


class Inside:
    """A program in a dyno of its own that talks."""

    def __init__(self, daemon, app, *command):
        environment = {"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)}
        self.process = subprocess.Popen(
            [str(daemon.herokuctl), "run", "-a", app, "--no-tty", "--", *command], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.before = []
        for line in self.process.stdout:
            if line == "ready\n":
                return
            self.before.append(line.strip())
        raise AssertionError(f"{command}: {self.before} {self.process.stderr.read()}")

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self):
        """Everything that it printed since "ready"."""
        lines, errors = self.process.communicate(timeout=60 * time_factor())
        assert self.process.returncode == 0, errors
        return lines.splitlines()


@contextlib.contextmanager
def inside(*arguments):
    process = Inside(*arguments)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.communicate(timeout=60 * time_factor())


@pytest.fixture(scope="module")
def tenants(daemon, stack, tmp_path_factory):
    """Two apps on one stack."""
    path = make_slug(tmp_path_factory.mktemp("neighbours") / "slug.tgz",
                     {"Procfile": "worker: ./escape list\n", "escape": ESCAPE.read_bytes()}, mode=0o755)
    apps = ["next-" + os.urandom(3).hex() for _ in range(2)]
    for app in apps:
        daemon.ok("apps:create", app, "--stack", stack)
        daemon.ok("deploy", path, "-a", app, timeout=120)
    yield apps
    for app in apps:
        daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)


def test_no_dyno_sees_what_another_opens(daemon, tenants):
    with inside(daemon, tenants[0], "./escape", "watch", *FILES) as watcher:
        # bash, the loader and cat open much more on their way.
        done = daemon.run(tenants[1], "bash", "-c", 'for f; do read -r -n 1 <"$f"; ls -d "$f"; done', "-", *FILES)
        assert done.returncode == 0, done.stderr
        watcher.say("o")
        lines = watcher.end()
    own = lines.index("own")
    assert lines[:own] == []
    # The control: what the watcher itself does is seen.
    assert {line.removeprefix("saw ") for line in lines[own:]} >= set(FILES)


def starting_with(word, lines):
    return {line.removeprefix(word + " ") for line in lines if line.startswith(word + " ")}


def test_no_dyno_locks_a_file_against_another(daemon, tenants):
    with inside(daemon, tenants[0], "./escape", "lock", *FILES) as first:
        assert starting_with("busy", first.before) == set()
        with inside(daemon, tenants[1], "./escape", "lock", *FILES) as second:
            assert starting_with("busy", second.before) == set()
            second.end()
        # The control: in one dyno the same lock is busy.
        dyno = next(dyno for dyno in daemon.dynos(tenants[0]) if dyno["type"] == "run")
        done = daemon.exec(tenants[0], dyno["name"], "./escape", "lock", *FILES)
        lockable = set(FILES) - starting_with("refused", first.before)
        assert "/etc/passwd" in lockable and "/dev/null" in lockable
        assert starting_with("busy", done.stdout.splitlines()) == lockable
        first.end()


def cached_pages(path):
    """How many pages of a file are in the page cache, by mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    found = ctypes.create_string_buffer(pages)
    with path.open("rb") as file:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        assert libc.mincore(address, size, found) == 0
        libc.munmap(address, size)
    return sum(byte & 1 for byte in found.raw[:pages])


def evict(path):
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_no_dyno_throws_a_file_of_the_stack_out_of_the_page_cache(daemon, tenants):
    """Its neighbours would read it from the disk again, and be seen to."""
    name = "usr/lib/python3.11/_pydecimal.py"  # large, and loaded by nobody
    path = next(daemon.state_dir.glob(f"stacks/**/{name}"))
    path.read_bytes()
    before = cached_pages(path)
    assert before > 10
    done = daemon.run(tenants[0], "python3", "-c", "import os, sys\nf = open(sys.argv[1], 'rb')\n"
                      "os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)", "/" + name)
    assert done.returncode == 0, done.stderr
    assert cached_pages(path) >= before
    # The control.
    evict(path)
    assert cached_pages(path) == 0


# All that can be read in /proc, but for processes, and in /sys, but for the own cgroup.
READ_ALL = """
import json, os, sys
def read(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(fd, 1 << 20).hex()
    except OSError:
        return None
    finally:
        os.close(fd)
def read_all():
    found = {}
    for top in ("/proc", "/sys"):
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.isdigit() and folder + "/" + name != "/sys/fs/cgroup"]
            found |= {path: read(path) for path in (folder + "/" + name for name in files)}
    return found
before = read_all()
print("ready", flush=True)
sys.stdin.read(1)
after = read_all()
print(json.dumps([len(before), sorted(path for path in before.keys() | after if before.get(path) != after.get(path))]))
"""

# What docs/SECURITY.md names, clocks of processors, and what has another value for whoever asks.
TELLS = re.compile(r"/proc/(stat|loadavg|meminfo|uptime|cgroups|cpuinfo)"
                   r"|/sys/devices/system/cpu/(cpu\d+/)?cpufreq/.*"
                   r"|/proc/sys/kernel/(ns_last_pid|random/uuid|random/entropy_avail)")
TELLS_WITHOUT_APPARMOR = re.compile(r"/sys/devices/system/cpu/cpu\d+/cpuidle/.*")


def test_nothing_counts_what_others_do_but_what_the_manual_names(daemon, tenants, tmp_path):
    counters = [pathlib.Path("/proc/sys") / name for name in ("fs/file-nr", "fs/inode-nr", "kernel/pty/nr")]
    on_host = [path.read_text() for path in counters]
    with inside(daemon, tenants[0], "python3", "-c", READ_ALL) as reader, contextlib.ExitStack() as held:
        for fd in (fd for _ in range(8) for fd in pty.openpty()):
            held.callback(os.close, fd)
        for i in range(500):
            held.enter_context((tmp_path / str(i)).open("wb"))
        assert daemon.run(tenants[1], "sh", "-c", "echo x >/tmp/x; ls -lR /usr/bin >/dev/null").returncode == 0
        # The control: the host's own counters have changed.
        assert not [path for path, text in zip(counters, on_host) if path.read_text() == text]
        reader.say("o")
        number, changed = json.loads(reader.end()[-1])
    assert number > 300 and "/proc/stat" in changed
    changed = [path for path in changed if not TELLS.fullmatch(path)]
    if not INSTALLED:
        changed = [path for path in changed if not TELLS_WITHOUT_APPARMOR.fullmatch(path)]
    assert changed == []


# A futex in a page of a file is the same for all that have it mapped: what waits is found by
# the file below the overlays.
FUTEX = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(sys.argv[2], os.O_RDONLY)
page = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0))  # PROT_READ, MAP_SHARED
word = ctypes.c_void_p(page)
if sys.argv[1] == "wait":
    value = ctypes.c_int.from_address(page).value
    print("ready", flush=True)
    timeout = (ctypes.c_long * 2)(int(sys.argv[3]), 0)
    print("woken" if libc.syscall(202, word, 0, value, timeout, None, 0) == 0 else "not woken")
else:
    end = time.monotonic() + int(sys.argv[3])
    while (woken := libc.syscall(202, word, 1, 1, None, None, 0)) == 0 and time.monotonic() < end:
        time.sleep(0.01)
    print("woke", woken)
"""


@pytest.mark.parametrize("path,woken", [("/usr/bin/env", True), ("/etc/hosts", False)])
def test_futexes_in_pages_of_the_stack_are_what_the_manual_says(daemon, tenants, path, woken):
    """docs/SECURITY.md: they reach from dyno to dyno. In a file of a dyno's own they do not."""
    with inside(daemon, tenants[0], "python3", "-c", FUTEX, "wait", path, str(60 if woken else 5)) as waiter:
        done = daemon.run(tenants[1], "python3", "-c", FUTEX, "wake", path, str(30 if woken else 1), timeout=90)
        assert done.returncode == 0, done.stderr
        lines = waiter.end()
    assert (lines, done.stdout.split()) == ((["woken"], ["woke", "1"]) if woken else (["not woken"], ["woke", "0"]))
