# SPDX-License-Identifier: Apache-2.0
"""Few timers of a dyno go off in one interrupt, and few of its epolls, and of who polls them, are
woken by one write; what is closed, or ends with its process, can be had again."""

import ctypes
import os
import pathlib
import re
import resource
import subprocess

import pytest

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
TIMERS, WATCHES, PROCESSES, WAITERS = 256, 1024, 1024, 256
CONFIG = pathlib.Path("/etc/dynod/dynod.conf.d/interrupts-test.conf")

COMMON = """
import ctypes, errno, mmap, os, select, signal, socket, subprocess, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def timers(most):
    "As many as there can be; what the last one was refused with."
    made = []
    while len(made) < most:
        fd = libc.timerfd_create(1, 0)
        if fd < 0:
            return made, ctypes.get_errno()
        made.append(fd)
    return made, 0
event = os.eventfd(0)
numbers = []
def watch(epolls, done, most):
    "Has each epoll watch one thing by all its numbers, and says how often it did so."
    for n in range(most):
        epolls[n // len(numbers)].register(numbers[n % len(numbers)])
        done[:8] = (n + 1).to_bytes(8, "little")
def by_a_child(epolls, most):
    "(what it came to, its status); what it added is in epolls of ours too."
    done = mmap.mmap(-1, 4096)
    child = os.fork()
    if child == 0:
        watch(epolls, done, most)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return int.from_bytes(done[:8], "little"), status
def child(work):
    "What becomes of a process that does it."
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def can(start):
    try:
        start()
    except (BlockingIOError, RuntimeError):
        return 0
    return 1
def starts():
    "By fork, vfork, and as a thread."
    return [can(lambda: child(lambda: None)), can(lambda: subprocess.run("true")),
            can(lambda: threading.Thread(target=int).start())]
def poll_all(epolls):
    poll = select.poll()
    for epoll in epolls:
        poll.register(epoll, 0)
    poll.poll(1000)
"""

WATCH = """
numbers = [os.dup(event) for _ in range(3000)]
epolls = [select.epoll()]
n, status = by_a_child(epolls, 3000)
print(n, status, *starts())
epolls[0].close()
print(*starts())
"""

# A proxy has as many, of a file each.
HONEST = """
numbers = [os.eventfd(0) for _ in range(9000)]
print(*by_a_child([select.epoll() for _ in range(3)], 27000))
"""

POLL = """
epoll = select.epoll()
epoll.register(event)
def poll_it(entries, threads):
    def work():
        numbers = [os.dup(epoll.fileno()) for _ in range(entries)]
        polls = [threading.Thread(target=poll_all, args=[numbers]) for _ in range(threads)]
        for poll in polls: poll.start()
        for poll in polls: poll.join()
    return child(work)
print(*(poll_it(*n) for n in ((4, 1), (1, 4), (2, 2), %s)), *starts())
"""


# Each entry is 64 bytes, of which 63 have a page; a thread's first few have none.
POLLS = """
def poll_often(n, ready):
    poll = select.poll()
    for number in numbers[:n]:
        poll.register(number, select.POLLIN)
    ready.wait()
    poll.poll(1000)
def threads(n, entries):
    def work():
        for _ in range(3):
            ready = threading.Barrier(n)
            polls = [threading.Thread(target=poll_often, args=[entries, ready]) for _ in range(n)]
            for poll in polls: poll.start()
            for poll in polls: poll.join()
    return child(work)
numbers = [os.eventfd(0) for _ in range(1000)]
print(*(threads(*n) for n in (%s)), *starts())
"""
POLLS_OF_ONE = POLLS.replace("os.eventfd(0)", "os.dup(event)")  # poll(2) has an entry for each number


# Whom nobody waits for is still there.
PROCESSES_OF = """
def forks(most):
    "As many as there can be, and what the last one was refused with; all are gone after it."
    made = []
    try:
        while len(made) < most:
            if (pid := os.fork()) == 0: os._exit(0)
            made.append(pid)
    except BlockingIOError:
        pass
    for pid in made: os.waitpid(pid, 0)
    return len(made)
def by_a_thread(work):
    "A process of which another thread does it, while the first one ends."
    if (pid := os.fork()) == 0:
        threading.Thread(target=work).start()
        libc.syscall(60, 0) # exit, of this thread alone
    return pid
"""

# In each of them are two operations of which the second cannot be, and for which COMMAND counts who waits.
WAITING = """
class Operation(ctypes.Structure):
    _fields_ = [("number", ctypes.c_ushort), ("change", ctypes.c_short), ("flags", ctypes.c_short)]
semaphores = libc.semget(0, 2, 0o600)
refused = []
def wait_for_both():
    operations = (Operation * 2)(Operation(0, 0, 0), Operation(1, CHANGE, 0))
    if libc.semop(semaphores, operations, 2) < 0 and ctypes.get_errno() != errno.EIDRM:
        refused.append(errno.errorcode[ctypes.get_errno()])
def waiting():
    return libc.semctl(semaphores, 1, COMMAND)
libc.semctl(semaphores, 1, 16, VALUE) # SETVAL
threads = [threading.Thread(target=wait_for_both) for _ in range(300)]
for thread in threads: thread.start()
while waiting() + len(refused) < 300: time.sleep(0.01)
print(waiting(), *set(refused))
libc.semctl(semaphores, 0, 0) # IPC_RMID
for thread in threads: thread.join()
"""
GETNCNT, GETZCNT = 14, 15
CHANGERS, READERS = ({"CHANGE": -1, "VALUE": 0, "COMMAND": GETNCNT}, {"CHANGE": 0, "VALUE": 1, "COMMAND": GETZCNT})


def waiting(how):
    """The program with that in place."""
    return re.sub("|".join(how), lambda word: str(how[word[0]]), WAITING)


@pytest.fixture
def dyno(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)
    return lambda text: daemon.python(app, COMMON + text).split()


@pytest.fixture
def large(daemon, app, dyno):
    """The same with room for more processes and threads."""
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text("[size Many]\nmemory = 512M\nmemory_kill = 512M\nprocesses = 3000\n")
    subprocess.run(["systemctl", "reload", "dynod"], check=True)

    def run(text):
        done = daemon.ctl("run", "-a", app, "--no-tty", "--size", "Many", "--", "python3", "-c", COMMON + text, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split()
    yield run
    CONFIG.unlink()
    subprocess.run(["systemctl", "reload", "dynod"], check=True)


AT_ONCE, WOKEN = "have many timers go off in one interrupt", "have one write wake many epolls"
EACH = "have each of them wake who polls it"
MANY = "have one write wake many that poll"
OF_ONE = "have one packet wake many that poll"
ORPHANS = "have a large group of processes looked through for each of them"
SETS = "have one change of a semaphore look through many that wait for several"


def test_few_timers(dyno, note_guard):
    """A timer counts until nobody has it open: neither another number for it, nor a message on its way."""
    told = dyno("""
made, error = timers(9000)
print(len(made), errno.errorcode[error])
for fd in made[:24]: os.close(fd)
print(len(timers(9000)[0]))
kept = os.dup(made[24])
os.close(made[24])
ours, theirs = socket.socketpair()
socket.send_fds(ours, [b"x"], [made[25]])
os.close(made[25])
print(len(timers(9000)[0]))
os.close(kept)
theirs.close()
print(len(timers(9000)[0]))
""")
    note_guard("interrupts", AT_ONCE, True, int(told[0]) > TIMERS)
    assert told == [str(TIMERS), "EMFILE", "24", "0", "2"]


def test_timers_of_all_processes_count_together(dyno):
    assert dyno("""
ours, theirs = os.pipe()
child = os.fork()
if child == 0:
    made, error = timers(200)
    os.write(theirs, b"x")
    signal.pause()
os.read(ours, 1)
print(len(timers(9000)[0]))
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print(len(timers(9000)[0]))
""") == [str(TIMERS - 200), "200"]


def test_the_hosts_own_are_not_counted():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * TIMERS), hard))
    made = [ctypes.CDLL(None).timerfd_create(1, 0) for _ in range(TIMERS + 1)]
    for fd in made:
        if fd >= 0:
            os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert -1 not in made


def test_who_has_a_file_watched_too_often_is_killed(dyno, note_guard):
    """And no other process or thread of that dyno comes to add one more."""
    n, *told = dyno(WATCH)
    note_guard("interrupts", WOKEN, True, int(n) > WATCHES)
    assert (int(n), told) == (WATCHES, ["-9", *"000", *"000"])


def test_many_files_are_watched(dyno):
    assert dyno(HONEST) == ["27000", "0"]


@pytest.mark.parametrize("how", [(5, 1), (1, 5), (1000, 1)])
def test_who_polls_an_epoll_that_many_poll_is_killed(dyno, note_guard, how):
    """By one thread or by several, once or under many numbers; and its dyno starts no other."""
    told = dyno(POLL % (how,))
    note_guard("interrupts", EACH, True, told[3] == "0")
    assert told == [*"000", "-9", *"000"]


def test_many_poll_a_little_and_some_much(dyno):
    """What they wait with is given back, each time."""
    assert dyno(POLLS % "(180, 9), (30, 1000), (100, 300)") == [*"000", *"111"]


def test_who_polls_too_much_is_killed(dyno, note_guard):
    """All threads of a dyno together."""
    told = dyno(POLLS % "(40, 1000),")
    note_guard("interrupts", MANY, True, told[0] == "0")
    assert told == ["-9", *"000"]


def test_who_polls_one_thing_too_much_is_killed(dyno, note_guard):
    """Once a thousand times, or by a hundred threads a few times, is not: it is 1024 in pages."""
    assert dyno(POLLS_OF_ONE % "(1, 1000), (100, 9), (10, 90)") == [*"000", *"111"]
    told = dyno(POLLS_OF_ONE % "(2, 1000),")
    note_guard("interrupts", OF_ONE, True, told[0] == "0")
    assert told == ["-9", *"000"]


def test_few_processes(large, note_guard):
    """Whoever is a process by execve(2) in another thread counts on; who is gone does not, whoever was last of it."""
    n, once_more, less, again, last = large(PROCESSES_OF + """
print(n := forks(2500), forks(2500))
ours, theirs = os.pipe()
os.set_inheritable(theirs, True)
sleepers = [by_a_thread(lambda: os.execv("/bin/sh", ["sh", "-c", "echo x >&%d; exec sleep 1000" % theirs])) for _ in range(3)]
for _ in sleepers: os.read(ours, 2)
print(forks(2500))
for pid in sleepers:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(forks(2500))
for _ in range(100): os.waitpid(by_a_thread(lambda: os.read(ours, 0)), 0)
until = time.monotonic() + 60 # the kernel forgets those later
while (last := forks(2500)) != n and time.monotonic() < until: time.sleep(0.1)
print(last)
""")
    note_guard("interrupts", ORPHANS, True, int(n) == 2500)
    assert PROCESSES - 4 <= int(n) < PROCESSES and n == once_more == again == last and int(less) == int(n) - 3, \
        (n, once_more, less, again, last)


@pytest.mark.parametrize("how", [CHANGERS, READERS], ids=["change", "zero"])
def test_few_wait_for_several_semaphores(large, note_guard, how):
    n, *refused = large(waiting(how))
    note_guard("interrupts", SETS, True, int(n) == 300)
    # Whoever is asked while another one comes in may be one more.
    assert WAITERS - 1 <= int(n) <= WAITERS + 2 and refused == ["ENOMEM"]


def test_without_its_programs_there_are_many(daemon, dyno, large, note_guard):
    """The control, and doctor's word."""
    programs = [PINS / f"interrupts-{name}" for name in ("freed", "made", "watched", "polled", "forked", "unpolled", "added",
                                                      "reaped", "ended", "begun", "operates")]
    for program in programs:
        assert daemon.check("interrupts")["verdict"] == "ok"
        away = program.rename(program.with_name("away"))
        said = daemon.check("interrupts")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        away.rename(program)
    try:
        for program in programs:
            program.unlink()
        many = int(dyno("print(len(timers(9000)[0]))")[0])
        note_guard("interrupts", AT_ONCE, False, many > TIMERS)
        n, *told = dyno(WATCH)
        note_guard("interrupts", WOKEN, False, int(n) > WATCHES)
        assert many == 9000 and (int(n), told) == (3000, ["0", *"111", *"111"])
        told = dyno(POLL % ((1000, 1),))
        note_guard("interrupts", EACH, False, told[3] == "0")
        assert told == [*"0000", *"111"]
        told = dyno(POLLS % "(40, 1000),")
        note_guard("interrupts", MANY, False, told[0] == "0")
        assert told == [*"0", *"111"]
        told = dyno(POLLS_OF_ONE % "(2, 1000),")
        note_guard("interrupts", OF_ONE, False, told[0] == "0")
        assert told == [*"0", *"111"]
        n = int(large(PROCESSES_OF + "print(forks(2500))")[0])
        note_guard("interrupts", ORPHANS, False, n == 2500)
        assert n == 2500
        for how in CHANGERS, READERS:
            n = int(large(waiting(how))[0])
            note_guard("interrupts", SETS, False, n == 300)
            assert n == 300
    finally:
        daemon.restart()
    assert daemon.check("interrupts")["verdict"] == "ok"
    assert dyno("print(len(timers(9000)[0]))") == [str(TIMERS)]
