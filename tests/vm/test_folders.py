# SPDX-License-Identifier: Apache-2.0
"""Overlayfs makes a list of a folder of /app for who reads it, at nobody's charge. No dyno has more
than its share of them, and what it closes it can have again."""

import pathlib

import pytest

from dynod_testing import wait_until

pytestmark = pytest.mark.vm

PINS = pathlib.Path("/sys/fs/bpf/dynod")
MOST = 64
SMALL, LARGE = "/app/small", "/app/large"
LARGE_FILES = 3000

SLUG = {"Procfile": "worker: sleep infinity\n", "small/of-the-slug": "",
        **{f"large/{n:04}" + "n" * 200: "" for n in range(LARGE_FILES)}}

COMMON = f"""
import array, errno, os, signal, socket
small, large = {SMALL!r}, {LARGE!r}
def change(folder):
    "Whoever comes now gets a list of his own."
    path = folder + "/changed"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)); os.unlink(path)
def read(folder):
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.listdir(fd)
    except OSError:
        os.close(fd)
        raise
    return fd
def fill(folder=small, most=300, changes=True):
    "Reads it again and again; the descriptors, until it is refused."
    held = []
    change(folder)
    for _ in range(most):
        if changes:
            change(folder)
        try:
            held.append(read(folder))
        except OSError as error:
            assert error.errno == errno.ENOMEM, error
            break
    return held
def close(held):
    while held:
        os.close(held.pop())
"""


@pytest.fixture(scope="module")
def app(app_of_module):
    return app_of_module


@pytest.fixture
def reader(daemon, app):
    return lambda text: [int(word) for word in daemon.python(app, COMMON + text).split()]


SHARING = """
held = fill(changes=False)
print(len(held))
close(held)
kept = []
for _ in range(300):
    change(small)
    try:
        first = read(small)
        kept.append(read(small))
        os.close(first)
    except OSError as error:
        assert error.errno == errno.ENOMEM, error
        break
print(len(kept))
"""

ATTACK = "have lists of folders kept without end"
SHARED, GROWN = "the same through lists that others read first", "the same by files that had short ones"


def is_share(n):
    """The folders themselves count, too, for as much as they have on the disk."""
    return MOST * 3 // 4 <= n <= MOST


def test_few_lists_are_kept_and_what_is_closed_can_be_had_again(reader, note_guard):
    found = reader("""
for _ in range(3):
    held = fill()
    print(len(held), flush=True)
    close(held)
pid = os.fork()
if pid == 0:
    print(len(fill()), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
a, b = socket.socketpair()
held = fill()
a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", held))])
close(held)
print(len(fill()))
a.close(); b.close()
print(len(fill()))
""")
    n = found[0]
    note_guard("folders", ATTACK, True, max(found) > MOST)
    assert is_share(n) and found == [n, n, n, n, 0, n], found


def test_a_list_that_is_shared_counts_for_each_that_has_it(reader, note_guard):
    """Or who came first would leave, and take the count along."""
    shared, kept = reader(SHARING)
    note_guard("folders", SHARED, True, kept > MOST)
    assert is_share(shared) and shared - 2 <= kept <= shared, (shared, kept)


GROWING = """
change(small)
held = [read(small) for _ in range(20)]  # of one short list
for n in range(1200):
    os.close(os.open(small + "/%04d" % n + "n" * 200, os.O_CREAT | os.O_WRONLY, 0o600))
kept = 0
try:
    for fd in held:
        change(small)
        first = read(small)
        os.listdir(fd)
        os.close(first)
        kept += 1
except OSError as error:
    assert error.errno == errno.ENOMEM, error
print(kept)
"""


def test_a_long_list_counts_for_who_had_a_short_one(reader, note_guard):
    """Or descriptors that cost little would be had before the folder grows, and keep what others read."""
    kept = reader(GROWING)[0]
    note_guard("folders", GROWN, True, kept == 20)
    assert 3 <= kept <= 12


def test_who_reads_again_has_one_list(reader):
    assert reader("""
fd = read(small)
for _ in range(300):
    change(small)
    os.listdir(fd)
print(300)
""") == [300]


def test_a_folder_of_the_dyno_alone_has_none(reader):
    assert reader("""
os.mkdir("/app/own")
print(len(fill("/app/own")), len(fill("/tmp")), len([read("/etc") for _ in range(300)]))
""") == [300] * 3


def test_long_lists_are_fewer(reader):
    small, large = reader("held = fill()\nprint(len(held))\nclose(held)\nprint(len(fill(large)))")
    assert is_share(small) and 3 <= large <= 9, (small, large)


def test_it_goes_on_over_a_restart(daemon, app, reader):
    daemon.ok("run", "--detached", "-a", app, "--", "python3", "-c", COMMON + """
held = fill()
print("has", len(held), flush=True)
signal.pause()
""")
    wait_until(lambda: "has " in daemon.ctl("logs", "-a", app, "-n", "200").stdout, "it has them", 60)
    one = next(entry for entry in daemon.dynos(app) if entry["type"] == "run" and entry["state"] == "up")
    daemon.restart()
    # Isolated: it would look for its modules in /app, too.
    more = daemon.exec(app, one["name"], "python3", "-I", "-c", COMMON + "print(len(fill()))", timeout=120)
    assert more.stdout.split() == ["0"], more.stdout + more.stderr
    assert is_share(reader("print(len(fill()))")[0])  # another dyno has its own
    daemon.ok("ps:stop", one["name"], "-a", app)
    assert daemon.check("folders")["verdict"] == "ok"


def uncharged():
    """The host's memory in slabs that cannot be reclaimed, in MB."""
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("SUnreclaim:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no SUnreclaim")


def test_without_its_programs_a_dyno_takes_the_hosts_memory(daemon, app, reader, note_guard):
    """The control, and doctor's word."""
    (PINS / "folders-asked").unlink()
    (PINS / "folders-opened").unlink()
    try:
        said = daemon.check("folders")
        assert said["verdict"] == "warning" and "restart dynod" in said["fix"], said
        wait_until(lambda: reader("print(len(fill()))") == [300], "no limit")
        note_guard("folders", ATTACK, False, True)
        note_guard("folders", SHARED, False, reader(SHARING)[1] > MOST)
        note_guard("folders", GROWN, False, reader(GROWING)[0] == 20)
        before = uncharged()
        daemon.ok("run", "--detached", "-a", app, "--", "python3", "-c", COMMON + """
held = fill(large, most=150)
print("has", len(held), flush=True)
signal.pause()
""")
        wait_until(lambda: "has 150" in daemon.ctl("logs", "-a", app, "-n", "200").stdout, "it has them", 200)
        one = next(entry for entry in daemon.dynos(app) if entry["type"] == "run" and entry["state"] == "up")
        group = next(pathlib.Path("/sys/fs/cgroup").rglob(one["id"]))
        charged = int(group.joinpath("memory.current").read_text()) // 2**20
        taken = uncharged() - before
        daemon.ok("ps:stop", one["name"], "-a", app)
        assert taken > 90 and charged < taken // 2, (taken, charged)
    finally:
        daemon.restart()
    assert daemon.check("folders")["verdict"] == "ok"
    assert is_share(reader("print(len(fill()))")[0])
