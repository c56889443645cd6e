# SPDX-License-Identifier: Apache-2.0
"""Limits that the kernel counts for a user: one dyno takes all of its own, others keep theirs.

Each test lets one dyno take a thing until it is refused, and hold it. Then a second dyno of
the same app takes as many, and so does a process of the host's root without capabilities,
with which most of these limits would not bind it.
"""

import contextlib
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from dynod_testing import WEB_SLUG, make_slug, wait_until

# How to take one more of a thing. What is taken goes with the process.
TAKE = {
    "inotify": "def take(n): kept.append(call(libc.inotify_init1(0)))",
    "watches": """
import tempfile
folder = tempfile.mkdtemp(dir="/var/tmp")
notify = call(libc.inotify_init1(0))
def take(n):
    path = folder + "/%d" % n
    open(path, "w").close()
    call(libc.inotify_add_watch(notify, path.encode(), 2))
""",
    "signals": """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
def take(n): call(libc.sigqueue(os.getpid(), signal.SIGRTMIN, None))
""",
    "timers": """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
def take(n): call(libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())))
""",
    "queues": """
def take(n):
    attr = struct.pack("8l", 0, 10, 1024, 0, 0, 0, 0, 0)
    kept.append(call(libc.mq_open(b"/q%d" % n, os.O_CREAT | os.O_RDWR, 0o600, attr)))
    libc.mq_unlink(b"/q%d" % n)
""",
    "locked": """
libc.shmat.restype = ctypes.c_void_p
def take(n):
    segment = call(libc.shmget(0, 1 << 20, 0o1600))
    try:
        call(libc.shmctl(segment, 11, None)) # SHM_LOCK
        libc.shmat(segment, None, 0)
    finally:
        libc.shmctl(segment, 0, None) # IPC_RMID: gone with the last user
""",
    "pipes": """
def take(n):
    kept.extend(os.pipe())
    fcntl.fcntl(kept[-1], 1031, 1 << 20) # F_SETPIPE_SZ
""",
    "in flight": """
def take(n):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    kept.extend((a, b))
    socket.send_fds(a, [b"x"], [0] * 250)
""",
    "epoll": """
soft = min(9000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
pipes = [os.eventfd(0) for i in range(1000)]
def take(n):
    if n % 1000 == 0: kept.append(select.epoll())
    kept[-1].register(pipes[n % 1000])
""",
    "terminals": "def take(n): kept.extend(os.openpty())",
    "processes": """
def take(n):
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    kept.append(pid)
""",
}
PROGRAM = """
import ctypes, errno, fcntl, json, os, resource, select, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
kept = []
def call(r):
    if r < 0: raise OSError(ctypes.get_errno(), "refused")
    return r
%s
n = e = 0
try:
    while n < %d:
        take(n)
        n += 1
except OSError as error: e = error.errno
print(json.dumps([n, e]), flush=True)
sys.stdin.readline()
os.killpg(0, signal.SIGKILL)
"""
# thing: the errnos that may end it, how many a dyno has at least and at most
BOUNDS = {
    "inotify": ({errno.EMFILE}, 64, 4096),
    "signals": ({errno.EAGAIN}, 240, 256),
    "timers": ({errno.EAGAIN}, 240, 256),
    "queues": ({errno.EMFILE, errno.ENOSPC}, 20, 80),
    "locked": ({errno.ENOMEM, errno.EPERM}, 4, 8),
    "pipes": ({errno.EPERM}, 32, 64),
    "in flight": ({errno.ETOOMANYREFS}, 2, 41),  # 2 where the kernel has the security module bpf
    "terminals": ({errno.ENOSPC}, 15, 16),
    "processes": ({errno.EAGAIN}, 240, 321),  # a ps:exec has 65 more than the app
}
BOUNDS_VM = {
    "watches": ({errno.ENOSPC}, 900, 1000),
    "epoll": ({errno.ENOSPC}, 15000, 20000),
}


@pytest.fixture(scope="module")
def pair(daemon, stack, tmp_path_factory):
    """An app with two dynos that are neighbours."""
    name = "t-" + os.urandom(4).hex()
    slug = make_slug(tmp_path_factory.mktemp("slug") / "slug.tgz", WEB_SLUG)
    daemon.ok("apps:create", name, "--stack", stack)
    daemon.ok("deploy", slug, "-a", name, timeout=120)
    daemon.ok("ps:scale", "web=2", "-a", name)
    daemon.ok("ps:wait", "-a", name, timeout=150)
    yield name
    daemon.ok("apps:destroy", name, "--confirm", name, timeout=90)


@contextlib.contextmanager
def taken(thing, command, most=100000, **options):
    """Runs PROGRAM by @command; gives what it could take, and holds that meanwhile."""
    process = subprocess.Popen([*command, "python3" if command else sys.executable, "-c",
                                PROGRAM % (TAKE[thing], most)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, start_new_session=True, **options)
    try:
        line = process.stdout.readline()
        assert line, f"{thing}: it ended with {process.wait(60)}"
        yield json.loads(line)
    finally:
        process.communicate("\n", timeout=60)


def in_dyno(daemon, app, dyno):
    return ["env", f"DYNOD_SOCKET={daemon.socket}", str(daemon.herokuctl), "ps:exec", dyno, "-a", app,
            "--no-tty", "--"]


PLAIN_ROOT = ["prlimit", "--memlock=8388608", "setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def check(daemon, app, thing, bounds):
    errors, least, most = bounds
    with taken(thing, in_dyno(daemon, app, "web.1")) as (n, error):
        assert error in errors and least <= n <= most, (thing, n, errno.errorcode.get(error))
        with taken(thing, in_dyno(daemon, app, "web.2")) as (other, _):
            assert other >= n * 0.9, f"{thing}: {n} in one dyno leave {other} to its neighbour"
        with taken(thing, PLAIN_ROOT, most=5) as (own, error):
            assert own == 5, f"{thing}: the host's root gets {own}, {errno.errorcode.get(error)}"


@pytest.mark.parametrize("thing", BOUNDS)
def test_what_a_user_has_is_the_dynos_own(thing, daemon, pair):
    check(daemon, pair, thing, BOUNDS[thing])


def test_pages_of_a_dynos_output_are_not_the_hosts_roots(daemon, pair):
    """Whoever opens a pipe first pays for what becomes of its size, and its logger makes it larger."""
    enlarge = "import fcntl, time\nprint('has', fcntl.fcntl(1, 1031, 1 << 20), flush=True)\ntime.sleep(1000)"
    with taken("pipes", PLAIN_ROOT) as (before, error):
        assert error == errno.EPERM and before > 10
    for _ in range(2):
        daemon.ok("run", "--detached", "-a", pair, "--", "python3", "-c", enlarge)
    try:
        wait_until(lambda: daemon.logs(pair).count("has 1048576") == 2, "they have made their output larger")
        with taken("pipes", PLAIN_ROOT) as (after, _):
            assert after >= before - 1, f"of {before} MB of pipes two dynos leave {after} to root"
    finally:
        for dyno in daemon.dynos(pair):
            if dyno["type"] == "run":
                daemon.ok("ps:stop", dyno["name"], "-a", pair)


def test_dyno_at_its_process_limit_can_be_looked_into(daemon, pair):
    run = ["env", f"DYNOD_SOCKET={daemon.socket}", str(daemon.herokuctl), "run", "-a", pair, "--no-tty", "--"]
    with taken("processes", run) as (n, error):
        assert error == errno.EAGAIN and 240 < n < 256, (n, error)
        dyno = next(dyno["name"] for dyno in daemon.dynos(pair) if dyno["type"] == "run")
        done = daemon.exec(pair, dyno, "sh", "-c", "ls / | wc -l")
        assert done.returncode == 0 and int(done.stdout) > 5, done.stdout + done.stderr


EXACT = """
import json, os, resource, signal, threading
stop, threads, n = threading.Event(), 0, 0
resource.setrlimit(resource.RLIMIT_STACK, (65536, resource.RLIM_INFINITY))
try:
    while threads < 1000:
        threading.Thread(target=stop.wait, daemon=True).start()
        threads += 1
except RuntimeError: pass
stop.set()
print(json.dumps([resource.getrlimit(resource.RLIMIT_NPROC), threads]), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("size,limit", [("standard-1x", 256), ("standard-2x", 512)])
def test_app_has_all_processes_of_its_size_but_one(size, limit, daemon, pair):
    """Its main process and the threads; the one is dyno-init, which has the dyno's uid too."""
    done = daemon.ctl("run", "-a", pair, "--no-tty", "--size", size, "--", "exec", "python3", "-c", EXACT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[limit, limit], limit - 2]


def test_keys_and_quotas_are_not_for_dynos(daemon, pair):
    done = daemon.exec(pair, "web.1", "python3", "-c", """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for call in ((248, b"user", b"k", b"v", 1, -3), (250, 1, None)):
    print(libc.syscall(*call), ctypes.get_errno())""")
    assert done.stdout.split() == ["-1", "1", "-1", "1"], done.stdout + done.stderr


def test_tmpfs_of_a_dyno_has_a_bound_on_its_files(daemon, pair):
    done = daemon.exec(pair, "web.1", "python3", "-c", """
import os
n = 0
try:
    while n < 100000: open("/dev/shm/%d" % n, "w").close(); n += 1
except OSError as error: print(n, error.errno)
for i in range(n): os.unlink("/dev/shm/%d" % i)""", timeout=300)
    n, error = map(int, done.stdout.split())
    assert error == errno.ENOSPC and 16000 < n <= 16384, done.stdout


def test_blocks_are_asked_for_by_the_piece(daemon, pair):
    """At the quota's end ext4 tries each smaller number of a request, and holds the processor."""
    done = daemon.exec(pair, "web.1", "python3", "-c", """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
f = open("/tmp/blocks", "w+b")
def told(result): return ctypes.get_errno() if result < 0 else 0
def fallocate(mode, size): return told(libc.fallocate(f.fileno(), mode, 0, size))
piece = 16 << 20
print(fallocate(0, piece - 4096), fallocate(0, piece), fallocate(1, 1 << 32), fallocate(0x10, 3 << 31),
      fallocate(3, 4096), *(told(libc.ioctl(f.fileno(), number, ctypes.create_string_buffer(48)))
                               for number in (0x40305828, 0x40305829, 0x4030582a, 0x4030582b, 0x40305839)))
os.posix_fallocate(f.fileno(), 0, piece + 1)
print(os.fstat(f.fileno()).st_size)
os.unlink("/tmp/blocks")""")
    few = [0, *4 * [errno.EOPNOTSUPP], *5 * [errno.ENOTTY]]
    assert [int(word) for word in done.stdout.split()] == [*few, (16 << 20) + 1], done.stdout + done.stderr


# Closes a socket whose peer reads nothing, and is ended by a signal if that takes so many seconds.
LINGERS = """
import signal, socket, struct, sys
signal.alarm(int(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
peer = listener.accept()
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
client.setblocking(False)
try:
    while True: client.send(b"x" * 65536)
except BlockingIOError: pass
print(struct.unpack("ii", client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)), flush=True)
client.close()
print("closed")
"""


def test_no_socket_of_a_dyno_lingers(daemon, pair):
    """Where root's worker closes it, no signal would end that."""
    done = daemon.exec(pair, "web.1", "python3", "-c", LINGERS, "100")
    assert done.stdout.splitlines() == ["(0, 0)", "closed"], done
    outside = subprocess.run([sys.executable, "-c", LINGERS, "1"], capture_output=True, text=True, check=False)
    assert outside.stdout.splitlines() == ["(1, 3600)"] and outside.returncode == -signal.SIGALRM, outside


@pytest.mark.vm
@pytest.mark.parametrize("thing", BOUNDS_VM)
def test_watches_of_a_user_are_the_dynos_own(thing, daemon, pair):
    """As above, with a limit of the host that is quick to reach."""
    key = pathlib.Path({"watches": "/proc/sys/fs/inotify/max_user_watches",
                        "epoll": "/proc/sys/fs/epoll/max_user_watches"}[thing])
    before = key.read_text()
    key.write_text("1000" if thing == "watches" else "20000")
    try:
        check(daemon, pair, thing, BOUNDS_VM[thing])
    finally:
        key.write_text(before)


@pytest.mark.vm
def test_namespaces_that_root_owns_share_what_root_has():
    """The control: without the dyno's own uid as owner of its user namespace they would."""
    control = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def dyno(uid):
    ready, mapped = os.pipe(), os.pipe()
    done = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.unshare(0x10000000) # CLONE_NEWUSER, as root
        os.write(ready[1], b"x")
        os.read(mapped[0], 1)
        os.setresuid(0, 0, 0)
        n = 0
        while n < 4096 and libc.inotify_init1(0) >= 0: n += 1
        os.write(done[1], b"%d" % n)
        os.pause() if hasattr(os, "pause") else __import__("signal").pause()
    os.read(ready[0], 1)
    open("/proc/%d/uid_map" % pid, "w").write("0 %d 1" % uid)
    os.write(mapped[1], b"x")
    return pid, int(os.read(done[0], 16))
first, n = dyno(1500000000)
second, m = dyno(1500000001)
for pid in (first, second): os.kill(pid, 9)
print(json.dumps([n, m]))
"""
    done = subprocess.run([sys.executable, "-c", control], capture_output=True, text=True, check=True)
    n, m = json.loads(done.stdout)
    assert n > 64 and m == 0, "then the tests above prove nothing"
