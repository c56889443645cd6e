# SPDX-License-Identifier: Apache-2.0
"""Few timers of a dyno go off in one interrupt, and few of its epolls, and of who polls them, are
woken by one write; what is closed, or ends with its process, can be had again."""

import ctypes
import os
import pathlib
import resource

import pytest

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
TIMERS, WATCHES = 256, 1024

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
    # Numbers of one thing: poll(2) has an entry for each.
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
numbers = [os.dup(event) for _ in range(1000)]
print(*(threads(*n) for n in (%s)), *starts())
"""


@pytest.fixture
def dyno(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "worker: sleep infinity\n"}), "-a", app, timeout=120)
    return lambda text: daemon.python(app, COMMON + text).split()


AT_ONCE, WOKEN = "have many timers go off in one interrupt", "have one write wake many epolls"
EACH = "have each of them wake who polls it"
MANY = "have one write wake many that poll"


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


def test_without_its_programs_there_are_many(daemon, dyno, note_guard):
    """The control, and doctor's word."""
    programs = [PINS / f"interrupts-{name}" for name in ("freed", "made", "watched", "polled", "forked", "unpolled", "added")]
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
    finally:
        daemon.restart()
    assert daemon.check("interrupts")["verdict"] == "ok"
    assert dyno("print(len(timers(9000)[0]))") == [str(TIMERS)]
