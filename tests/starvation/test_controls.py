# SPDX-License-Identifier: Apache-2.0
"""The bombs are bombs: each goes off twice, with the dyno's limit and with the limit taken away.

Root takes it away from the running dyno, from outside. What a bomb then takes from the host
or a neighbour is made small beforehand, so that the guest survives it.
"""

import contextlib
import ctypes
import errno
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import time

import pytest

from arena import RATIO, Figures
from dynod_testing import set_quota, wait_until

pytestmark = [pytest.mark.vm, pytest.mark.alone]

MB = 1 << 20
SCRATCH = pathlib.Path("/var/lib/dynod/scratch/fs")
UNLIMITED = resource.RLIM_INFINITY


class Gated:
    """A dyno that waits at a gate before it throws its bomb."""

    def __init__(self, arena, name):
        others = [dyno["id"] for dyno in arena.one_offs()]
        self.arena = arena
        self.client = arena.start("sh", "-c", "echo ready; read x; exec ./bombs throw " + name)
        arena.await_line(self.client, "ready")
        self.dyno = next(dyno for dyno in arena.one_offs()
                         if dyno["state"] == "up" and dyno["id"] not in others)
        self.cgroup = arena.cgroup(self.dyno)

    def throw(self):
        self.client.stdin.write("\n")
        self.client.stdin.flush()

    def going(self):
        self.throw()
        self.arena.await_line(self.client, "going")

    def read(self, name):
        text = (self.cgroup / name).read_text().split()[0]
        return UNLIMITED if text == "max" else int(text)

    def write(self, name, value):
        (self.cgroup / name).write_text(str(value))

    def pids(self):
        return [int(line) for path in (self.cgroup, *self.cgroup.glob("*/"))
                for line in (path / "cgroup.procs").read_text().split()]

    def kill(self):
        """Without a process of our own: there may be no room for one."""
        with contextlib.suppress(FileNotFoundError):
            self.write("cgroup.kill", 1)


@pytest.fixture
def gated(arena):
    thrown = []

    def make(name):
        thrown.append(Gated(arena, name))
        return thrown[-1]
    yield make
    for bomb in thrown:
        bomb.kill()
    arena.end()
    for bomb in thrown:
        arena.close(bomb.client)


@contextlib.contextmanager
def host_setting(path, value):
    path = pathlib.Path(path)
    before = path.read_text()
    path.write_text(str(value))
    try:
        yield
    finally:
        path.write_text(before)


def host_forks():
    try:
        pid = os.fork()
    except OSError as error:
        assert error.errno == errno.EAGAIN
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def threads_of_the_host():
    return int(pathlib.Path("/proc/loadavg").read_text().split()[3].split("/")[1])


def test_fork_bomb_takes_the_hosts_processes_without_limits(gated):
    with host_setting("/proc/sys/kernel/threads-max", threads_of_the_host() + 1000):
        bomb = gated("fork")
        bomb.going()
        assert host_forks() and bomb.read("pids.current") <= 257
        # Without its resource limit, pids.max holds it all the same.
        for pid in bomb.pids():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NPROC, (UNLIMITED, UNLIMITED))
        most = bomb.read("pids.max")
        wait_until(lambda: bomb.read("pids.current") == most, "the bomb is at pids.max")
        assert host_forks()
        try:
            bomb.write("pids.max", "max")
            wait_until(lambda: not host_forks(), "the host has no more processes")
        finally:
            bomb.kill()
    wait_until(host_forks, "the host has processes again")


def available_memory():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no MemAvailable")


def test_memory_bomb_takes_the_hosts_memory_without_a_limit(gated):
    def least_available(bomb):
        """How little the host had left before the bomb's dyno died."""
        least = available_memory()
        bomb.throw()
        while bomb.cgroup.exists():
            least = min(least, available_memory())
        return least

    bomb, spare = gated("memory"), 256 * MB
    limit, before = bomb.read("memory.max"), available_memory()
    assert least_available(bomb) > before - limit - spare

    bomb = gated("memory")
    enough = before - 2 * spare
    assert enough > limit + 2 * spare, "the guest has too little memory for this"
    bomb.write("memory.max", enough)
    assert least_available(bomb) < before - limit - spare


def test_cpu_bomb_starves_its_neighbour_without_a_weight(arena, gated):
    def beside_heavy():
        bomb = gated("cpu")
        bomb.write("cpu.weight", 10000)
        bomb.going()
        yield arena.load()
        bomb.kill()
        arena.end()
    verdict = arena.compare(beside_heavy, rounds=1)
    arena.rows.append(verdict.row("cpu, weight 10000"))
    assert verdict.ratio > RATIO


def neighbour_writes(arena):
    done = arena.daemon.exec(arena.victim, "web.1", "sh", "-c",
                             "head -c 4194304 /dev/zero >/tmp/own; s=$?; rm -f /tmp/own; exit $s")
    assert done.returncode == 0 or "No space left" in done.stderr, done.stderr
    return done.returncode == 0


@contextlib.contextmanager
def ballast(leave):
    """Leaves that many bytes of scratch to dynos."""
    path, stat = SCRATCH / "ballast", os.statvfs(SCRATCH)
    free = stat.f_bavail * stat.f_frsize
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        if free > leave:
            os.posix_fallocate(fd, 0, free - leave)
        yield
    finally:
        os.close(fd)
        path.unlink()


def share_of_scratch(arena):
    size = arena.daemon.exec(arena.victim, "web.1", "stat", "-fc", "%b %S %c", "/tmp").stdout.split()
    return int(size[0]) * int(size[1]), int(size[2])


def test_disk_bomb_takes_its_neighbours_bytes_without_a_quota(arena, gated):
    share, _ = share_of_scratch(arena)
    with ballast(share + 64 * MB):
        bomb = gated("disk")
        bomb.going()
        wait_until(lambda: os.statvfs(SCRATCH).f_bavail * 4096 < 80 * MB, "the bomb is at its quota")
        assert neighbour_writes(arena)
        set_quota(SCRATCH / "dynod" / bomb.dyno["id"])
        wait_until(lambda: not neighbour_writes(arena), "its neighbour has no room")


def neighbour_makes_a_file(arena):
    done = arena.daemon.exec(arena.victim, "web.1", "sh", "-c", "mkdir /tmp/own && rmdir /tmp/own")
    assert done.returncode == 0 or "No space left" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.soak
def test_inode_bomb_takes_its_neighbours_files_without_a_quota(arena, gated):
    _, files = share_of_scratch(arena)
    before = os.statvfs(SCRATCH).f_ffree
    bomb = gated("inodes")
    bomb.throw()
    wait_until(lambda: os.statvfs(SCRATCH).f_ffree < before - files * 0.95, "the bomb is at its quota", 60)
    assert neighbour_makes_a_file(arena) and os.statvfs(SCRATCH).f_ffree > before - files - 64
    set_quota(SCRATCH / "dynod" / bomb.dyno["id"])
    wait_until(lambda: os.statvfs(SCRATCH).f_ffree == 0, "no file can be made", 120)
    assert not neighbour_makes_a_file(arena)


def nobody_opens_a_file():
    """As a user without capabilities: root is not bound by fs.file-max."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            os.open("/etc/hostname", os.O_RDONLY)
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.soak
def test_descriptor_bomb_takes_everybodys_where_the_host_counts_them(gated):
    """fs.file-max is for all users together. systemd lifts it: memory bounds a dyno's files."""
    host = pathlib.Path("/proc/sys/fs")
    assert int((host / "file-max").read_text()) > 10**12
    bomb = gated("descriptors")
    bomb.going()
    assert nobody_opens_a_file() == 0
    opened = int((host / "file-nr").read_text().split()[0])
    with host_setting(host / "file-max", opened + 20000):
        wait_until(lambda: nobody_opens_a_file() == errno.ENFILE, "nobody else opens a file")
        bomb.kill()
        wait_until(lambda: nobody_opens_a_file() == 0, "files can be opened again")


# That an attack gets through without them is shown each time, in tests/vm. What the host has of it is for soak.
@contextlib.contextmanager
def without_programs(arena, *names):
    for name in names:
        (pathlib.Path("/sys/fs/bpf/dynod") / name).unlink()
    try:
        yield
    finally:
        # As dynod does it, which goes on meanwhile.
        subprocess.run(["sh", "-c", f"exec /usr/libexec/dynod/dynod-guards dynod 1000 3<{arena.cgroup(arena.web).parent}"],
                       check=True)


def locks_of_the_host():
    """From the allocator: to read /proc/locks takes the square of their number."""
    for line in pathlib.Path("/proc/slabinfo").read_text(encoding="ascii").splitlines():
        if line.startswith("file_lock_cache"):
            return int(line.split()[1])
    raise AssertionError("the kernel names no locks")


@pytest.mark.soak
def test_lock_bomb_takes_the_hosts_memory_without_dynods_programs(arena, gated):
    """Nobody is charged for them: not even the dyno's own memory.max ends it."""
    bomb = gated("locks")
    bomb.going()
    assert locks_of_the_host() < 10000
    bomb.kill()
    with without_programs(arena, "locks"):
        bomb = gated("locks")
        bomb.going()
        wait_until(lambda: locks_of_the_host() > 50000, "there are many locks", 120)
        bomb.kill()
        wait_until(lambda: locks_of_the_host() < 10000, "they are gone")
    bomb = gated("locks")
    bomb.going()
    assert locks_of_the_host() < 10000


def orphans():
    """Of the whole host, whichever network namespace asks."""
    words = pathlib.Path("/proc/net/sockstat").read_text().split()
    return int(words[words.index("orphan") + 1])


def host_close_delivers():
    """What a service of the host has sent and not yet got rid of when it closes a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            socket.create_connection(listener.getsockname()) as client:
        with listener.accept()[0] as service:
            service.setblocking(False)
            sent = service.send(bytes(1 << 20))
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := client.recv(65536):
                got += len(chunk)
        return got == sent


def test_orphan_bomb_takes_the_hosts_closed_connections_without_dynods_limit(gated):
    bomb = gated("orphans")
    bomb.going()
    wait_until(lambda: orphans() > 6000, "there are many orphans", 120)
    assert host_close_delivers()
    with host_setting("/proc/sys/net/ipv4/tcp_max_orphans", 3000):
        assert not host_close_delivers()
        bomb.kill()
        wait_until(host_close_delivers, "the host's services can close connections again")


@pytest.mark.soak
def test_keepalive_bomb_loses_a_neighbours_packets_without_dynods_program(arena, gated):
    """Those that are lost are sent once more, a second later: it is in the p99, if not in the median."""
    def beside_bomb():
        bomb = gated("keepalives")
        bomb.going()
        windows = [arena.load() for _ in range(2)]
        bomb.kill()
        arena.end()
        return Figures(windows)

    with without_programs(arena, "sockets-made", "sockets-full"):
        unbounded = beside_bomb()
    bounded = beside_bomb()
    arena.rows.append(f"keepalives, 12288 sockets: p99 {bounded.quantile(99) / 1000:.1f} ms, as many as there is"
                      f" memory for: {unbounded.quantile(99) / 1000:.1f} ms")
    assert unbounded.quantile(99) > 3 * bounded.quantile(99), arena.rows[-1]


def host_passes_descriptors():
    """How long each takes, from being sent to being received: a quantile of 90 %, in microseconds."""
    took = []
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        for _ in range(300):
            begun = time.monotonic()
            socket.send_fds(ours, [b"x"], [0])
            os.close(socket.recv_fds(theirs, 1, 1)[1][0])
            took.append(int((time.monotonic() - begun) * 1e6))
            time.sleep(0.005)
    return sorted(took)[270]


@pytest.mark.soak
def test_in_flight_bombs_hold_up_the_hosts_descriptors_without_dynods_program(arena, gated):
    def beside_two(best):
        """Of some rounds, since a quiet machine collects them faster than it is asked to."""
        bombs = [gated("in-flight"), gated("in-flight")]
        for bomb in bombs:
            bomb.going()
        usec = best(host_passes_descriptors() for _ in range(5))
        for bomb in bombs:
            bomb.kill()
        arena.end()
        return usec

    bounded = beside_two(min)
    with without_programs(arena, "flight"):
        unbounded = beside_two(max)
    arena.rows.append(f"the host passes a descriptor, p90, beside in-flight in two dynos: {bounded} us,"
                      f" without dynod's program {unbounded} us")
    assert unbounded > 2 * bounded, arena.rows[-1]


def check_with_and_without(arena, gated, name, programs, measure, times, work_usec=0):
    """What @measure says beside a bomb that has worked for so long is that many times more without dynod's programs."""
    def beside_one():
        bomb = gated(name)
        bomb.going()
        wait_until(lambda: int((bomb.cgroup / "cpu.stat").read_text().split()[1]) >= work_usec, f"{name} is at work")
        usec = measure()
        bomb.kill()
        arena.end()
        return usec

    bounded = beside_one()
    with without_programs(arena, *programs):
        unbounded = beside_one()
    what = measure.__name__.replace("_", " ")
    arena.rows.append(f"{what}, beside {name}: {bounded} us, without dynod's programs {unbounded} us")
    assert unbounded > times * bounded, arena.rows[-1]


def the_host_sleeps_too_long():
    """How much longer than five milliseconds it took at most, in microseconds: of some times the median, each
    with a whole instant of bombs_kernel.c's in it, one every other second."""
    def once():
        worst, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            begun = time.monotonic()
            time.sleep(0.005)
            worst = max(worst, int((time.monotonic() - begun) * 1e6) - 5000)
        return worst
    return statistics.median(once() for _ in range(5))


@pytest.mark.soak
@pytest.mark.parametrize("name, programs", [
    ("instants", ["interrupts-made"]), ("wakes", ["interrupts-watched", "interrupts-polled", "interrupts-forked"]),
    ("polls", ["interrupts-unpolled", "interrupts-added"])])
def test_bombs_of_interrupts_stop_the_host_without_dynods_programs(arena, gated, name, programs):
    check_with_and_without(arena, gated, name, programs, the_host_sleeps_too_long, 2)


CROWD_USEC = 2_000_000  # 200 processes have had a processor then, each for some of its slices


def the_host_opens_a_terminal():
    """How long each takes: the mean of some, in microseconds. Rare ones take very long."""
    took = []
    for _ in range(20):
        begun = time.monotonic()
        os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
        took.append(int((time.monotonic() - begun) * 1e6))
        time.sleep(0.1)
    return sum(took) // len(took)


@pytest.mark.soak
def test_terminals_bomb_keeps_the_hosts_terminals_waiting_without_dynods_program(arena, gated):
    check_with_and_without(arena, gated, "terminals", ["terminals-opened"], the_host_opens_a_terminal, 3, CROWD_USEC)


def the_host_makes_a_cgroup():
    """What it takes in most cases, in microseconds, with the lock of all cgroups held."""
    folder = pathlib.Path("/sys/fs/cgroup/controls-test")
    took = []
    for _ in range(9):
        begun = time.monotonic()
        folder.mkdir()
        took.append(int((time.monotonic() - begun) * 1e6))
        folder.rmdir()
    return statistics.median(took)


@pytest.mark.soak
def test_lookups_bomb_keeps_the_hosts_cgroups_waiting_without_dynods_programs(arena, gated):
    programs = [f"semaphores-{name}" for name in ("waits", "had", "forks", "forked")]
    check_with_and_without(arena, gated, "lookups", programs, the_host_makes_a_cgroup, 3, CROWD_USEC)


MS_NOSUID, MS_NOEXEC, MS_REMOUNT, CLONE_NEWNS = 2, 8, 32, 0x20000


def give_all_terminals(bomb):
    """Its devpts again, without a number of terminals."""
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        with open(f"/proc/{bomb.dyno['pid']}/ns/mnt", "rb") as namespace:
            done = libc.setns(namespace.fileno(), CLONE_NEWNS) == 0 and \
                libc.mount(b"devpts", b"/dev/pts", b"devpts", MS_REMOUNT | MS_NOSUID | MS_NOEXEC,
                           b"mode=620,ptmxmode=666") == 0
        os._exit(0 if done else ctypes.get_errno())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def host_has_a_terminal():
    try:
        for fd in os.openpty():
            os.close(fd)
    except OSError:
        return False
    return True


def test_terminal_bomb_takes_the_hosts_terminals_without_a_limit(gated):
    host = pathlib.Path("/proc/sys/kernel/pty")
    with host_setting(host / "reserve", 0), \
            host_setting(host / "max", int((host / "nr").read_text()) + 40):
        bomb = gated("ptys")
        bomb.going()
        time.sleep(1)
        assert host_has_a_terminal()
        bomb.kill()
        bomb = gated("ptys")
        give_all_terminals(bomb)
        bomb.going()
        wait_until(lambda: not host_has_a_terminal(), "the host has no more terminals")
        bomb.kill()
        wait_until(host_has_a_terminal, "the host has terminals again")
